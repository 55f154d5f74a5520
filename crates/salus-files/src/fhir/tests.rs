#![allow(clippy::unwrap_used)]

use super::*;

#[test]
fn nobody_who_was_drawn_is_born_in_the_future() {
    let days = ["2031-01-01", "2026-03-01", "1970-05-05", ""];
    let table = Table::from_columns(vec![
        Column::from_values("gender", ["female", "male", "female", "male"]).unwrap(),
        Column::from_values("birth_date", days).unwrap(),
    ])
    .unwrap();
    let now: Timestamp = "2026-03-01T12:00:00Z".parse().unwrap();
    let lines = String::from_utf8(of_drawn("Patient", &table, now).unwrap()).unwrap();
    let births: Vec<Option<String>> = lines
        .lines()
        .map(|line| {
            let patient: serde_json::Value = serde_json::from_str(line).unwrap();
            patient["birthDate"].as_str().map(str::to_owned)
        })
        .collect();
    let day = |text: &str| Some(text.to_owned());
    assert_eq!(births, [day("2026-03-01"), day("2026-03-01"), day("1970-05-05"), None]);
    // What people said of themselves is not changed.
    let told = String::from_utf8(ndjson("Patient", &table).unwrap()).unwrap();
    assert!(told.contains("2031-01-01"), "{told}");
}
