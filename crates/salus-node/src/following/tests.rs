#![allow(clippy::unwrap_used)]

use super::*;

fn report(source: &SourceName, accepted: u64) -> PullReport {
    PullReport {
        source: source.clone(),
        through: String::new(),
        accepted,
        unchanged: 0,
        deleted: 1,
        quarantined: 2,
        quarantine: None,
        reasons: Vec::new(),
        tables: Vec::new(),
        remarks: Vec::new(),
    }
}

#[test]
fn trouble_is_counted_until_a_pull_comes_to_its_end() {
    let at = |micros| Timestamp::from_micros(micros).unwrap();
    let name = SourceName::try_from("clinic".to_owned()).unwrap();
    let following = Following::default();
    // What is not followed is not made up.
    following.failed(&name, "no".to_owned(), at(1), false);
    assert!(following.all().is_empty());
    let url = "https://clinic.example/fhir".to_owned();
    let (last, trouble) = (None, None);
    let followed = Followed { url, told: Told::ByPolling, every_seconds: 60, last, trouble };
    following.begin(name.clone(), followed);
    following.failed(&name, "away".to_owned(), at(2), false);
    following.failed(&name, "still away".to_owned(), at(3), false);
    let trouble = following.all()[&name].trouble.clone().unwrap();
    assert_eq!((trouble.times, trouble.said.as_str(), trouble.at), (2, "still away", at(3)));
    following.pulled(&report(&name, 7), at(4));
    let now = following.all()[&name].clone();
    assert_eq!(now.trouble, None);
    assert_eq!(now.last, Some(Pulled { at: at(4), accepted: 7, deleted: 1, quarantined: 2 }));
    following.failed(&name, "refused".to_owned(), at(5), true);
    let now = following.all()[&name].clone();
    assert!(now.trouble.unwrap().is_final && now.last.is_some());
}
