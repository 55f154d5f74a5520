use salus_dp::{Delta, Epsilon, UnitKey, rho_from_epsilon};
use salus_model::{ColumnPath, MicroRho};
use salus_synth::{DiscoverError, Kind, Reading, discover};

use crate::support::{adult, name};

type Rows = Vec<(UnitKey, Vec<Option<String>>)>;

const WHOLE: Reading = Reading::Number { decimals: 0 };

fn adult_rows() -> (Vec<(ColumnPath, Reading)>, Rows) {
    let (attributes, rows) = adult();
    let reading = |n: &ColumnPath| if n.as_str() == "age" { WHOLE } else { Reading::Text };
    let names = attributes.iter().map(|a| (a.name().clone(), reading(a.name()))).collect();
    (names, (0u128..).map(UnitKey::new).zip(rows).collect())
}

#[test]
fn the_domains_of_adult_are_found_for_half_an_epsilon() {
    let delta = Delta::new(1e-6).unwrap();
    let rho = rho_from_epsilon(Epsilon::new(0.5).unwrap(), delta);
    let (names, rows) = adult_rows();
    let found = discover(&names, &rows, 1, rho, Delta::new(1e-7).unwrap()).unwrap();
    assert_eq!(found.cost.rho, rho);
    assert_eq!(found.cost.threshold_delta, Delta::new(1e-7).ok());
    let of = |wanted: &str| found.attributes.iter().find(|a| a.name() == &name(wanted)).unwrap();
    let (mut lows, mut highs) = (Vec::new(), Vec::new());
    for _ in 0..5 {
        let again = discover(&names, &rows, 1, rho, Delta::new(1e-7).unwrap()).unwrap();
        let age = again.attributes.iter().find(|a| a.name() == &name("age")).unwrap();
        let Kind::Number { bounds, .. } = age.kind() else { panic!("age is a number") };
        lows.push(bounds.low());
        highs.push(bounds.high());
    }
    lows.sort_unstable();
    highs.sort_unstable();
    println!("age from {lows:?} to {highs:?} where 17 to 90 occur");
    // The lowest cell that stands out is that of 17. One in a hundred is older than 72, and so thin
    // a tail drowns in the noise of a ninth of ε = 0.5. One run in 250 ends in the empty cells
    // beyond 90; three of five do with alpha = 6e-7.
    assert!((16..=19).contains(&lows[2]) && (65..=95).contains(&highs[2]));
    assert_eq!(found.without_gaps.len(), 9);
    assert!(found.left_out.is_empty());
    let Kind::Category(sex) = of("sex").kind() else { panic!("sex is a category") };
    assert_eq!(sex.values(), ["Female", "Male"]);
    let Kind::Category(country) = of("native-country").kind() else { panic!("a category") };
    println!("{} of 41 countries shown for {rho}", country.values().len());
    assert!(country.code("United-States").is_some());
    // One person only comes from there.
    assert!(country.code("Holand-Netherlands").is_none());
}

#[test]
fn a_name_that_one_patient_has_is_never_found() {
    let rows: Rows = (0u128..400)
        .map(|unit| {
            let note = if unit == 7 { "Her Own Name" } else { ["a", "b"][(unit % 2) as usize] };
            (
                UnitKey::new(unit),
                vec![Some(note.to_owned()), Some(format!("{}", -(unit as f64) / 8.0))],
            )
        })
        // The same patient once more, a thousand times: her rows are bounded.
        .chain((0..1_000).map(|_| {
            (UnitKey::new(7), vec![Some("Her Own Name".to_owned()), Some("1e9".to_owned())])
        }))
        .collect();
    let names = [(name("note"), Reading::Text), (name("balance"), Reading::Number { decimals: 3 })];
    let delta = Delta::new(1e-9).unwrap();
    let mut wide = 0;
    for _ in 0..200 {
        let found = discover(&names, &rows, 1, MicroRho::new(1_000_000), delta).unwrap();
        let Kind::Category(notes) = found.attributes[0].kind() else { panic!("a category") };
        assert_eq!(notes.values(), ["a", "b"]);
        let Kind::Number { bounds, .. } = found.attributes[1].kind() else { panic!("a number") };
        wide += u32::from(bounds.value(bounds.high().into()) > 1.0);
        assert!((-64.0..=-40.0).contains(&bounds.value(bounds.low().into())), "{bounds:?}");
    }
    // Noise alone makes one of the 75 sizes stand out once in 4,000 runs, hers once in 10,000:
    // n = 200, 0.07 expected, and four or more have alpha = 1e-6.
    println!("{wide} of 200 runs reach beyond 1; at most 3 may at alpha = 1e-6");
    assert!(wide <= 3, "one patient's number is shown in {wide} of 200 runs");
}

#[test]
fn a_column_of_names_is_left_out_beside_one_that_is_frequent() {
    let rows: Rows = (0u128..3_000)
        .map(|u| {
            let sex = if u % 2 == 0 { "f" } else { "m" };
            let gap = (u % 3 > 0).then(|| "present".to_owned());
            (UnitKey::new(u), vec![Some(format!("patient {u}")), Some(sex.to_owned()), gap])
        })
        .collect();
    let columns = ["patient", "sex", "gap"].map(|n| (name(n), Reading::Text));
    let delta = Delta::new(1e-6).unwrap();
    let found = discover(&columns, &rows, 1, MicroRho::new(100_000), delta).unwrap();
    assert_eq!(found.left_out, [name("patient")]);
    assert_eq!(found.without_gaps, [name("sex")]);
    assert_eq!(found.attributes.len(), 2);
}

#[test]
fn a_column_of_names_is_refused_and_so_is_too_little() {
    let rows: Rows =
        (0u128..300).map(|u| (UnitKey::new(u), vec![Some(format!("patient {u}"))])).collect();
    let delta = Delta::new(1e-6).unwrap();
    let patient = [(name("patient"), Reading::Text)];
    let refused = discover(&patient, &rows, 1, MicroRho::new(100_000), delta);
    assert!(matches!(refused, Err(DiscoverError::NothingFrequent { .. })), "{refused:?}");
    let little = discover(&patient, &rows, 1, MicroRho::new(19), delta);
    assert!(matches!(little, Err(DiscoverError::TooLittle)));
}
