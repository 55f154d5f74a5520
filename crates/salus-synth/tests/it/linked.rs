//! People and their visits: no visit of nobody, and as many as the people had.

use salus_dp::audit::audit;
use salus_dp::{Delta, Epsilon, UnitKey, rho_from_epsilon};
use salus_model::MicroRho;
use salus_synth::{Link, LinkedError, LinkedModel, LinkedSample, Method, Missing, Row, fit_linked};

use crate::support::{category, name, number};

fn link(most: u32) -> Link {
    Link {
        people: vec![
            category("sex", &["f", "m"], Missing::Never),
            number("age", 0.0, 99.0, 10, Missing::Never),
        ],
        rows: vec![
            category("reason", &["check-up", "pregnancy", "prostate"], Missing::Never),
            number("days", 0.0, 30.0, 16, Missing::Possible),
        ],
        depends_on: vec![name("sex"), name("age")],
        most,
    }
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

type Tables = (Vec<(UnitKey, Row)>, Vec<(UnitKey, Row)>);

/// Old people come often; what they come for follows from sex and age.
fn hospital(people: u128) -> Tables {
    let (mut first, mut second) = (Vec::new(), Vec::new());
    for i in 0..people {
        let (sex, age) = (["f", "m"][(i % 2) as usize], (i * 37) % 100);
        let unit = UnitKey::new(i);
        first.push((unit, vec![some(sex), Some(age.to_string())]));
        for visit in 0..age / 25 {
            let reason = match (sex, age) {
                ("f", 25..45) => "pregnancy",
                ("m", 60..) => "prostate",
                _ => "check-up",
            };
            let days = if (i + visit) % 10 == 0 { None } else { Some((age / 4).to_string()) };
            second.push((unit, vec![some(reason), days]));
        }
    }
    (first, second)
}

/// A model of the hospital's `people` at a loss of `epsilon`, and 4,000 people drawn from it.
fn modelled(people: u128, epsilon: f64) -> (LinkedModel, LinkedSample, f64) {
    let (first, second) = hospital(people);
    let rho = rho_from_epsilon(Epsilon::new(epsilon).unwrap(), Delta::new(1e-6).unwrap());
    let model = fit_linked(&link(3), &first, &second, Method::Aim, rho).unwrap();
    assert!(model.cost().unwrap().rho <= rho);
    let made = model.sample(4_000, 7).unwrap();
    assert_eq!(made.people.len(), 4_000);
    (model, made, second.len() as f64 / first.len() as f64)
}

/// Which share of visits for a special reason do not fit their person, of how many.
fn misfits(made: &LinkedSample) -> (f64, u32) {
    let (mut wrong, mut special) = (0, 0);
    for (owner, row) in &made.rows {
        // Indexing is the check: every row refers to a person who exists.
        let (sex, age) = (made.people[*owner][0].as_deref(), made.people[*owner][1].as_deref());
        let age: f64 = age.unwrap().parse().unwrap();
        // Ages as the bins have them, which are ten years wide.
        let fits = match row[0].as_deref() {
            Some("pregnancy") => sex == Some("f") && (20.0..50.0).contains(&age),
            Some("prostate") => sex == Some("m") && age >= 50.0,
            _ => continue,
        };
        special += 1;
        wrong += u32::from(!fits);
    }
    (f64::from(wrong) / f64::from(special), special)
}

#[test]
fn every_synthetic_visit_belongs_to_somebody_whom_it_fits() {
    let (model, made, real) = modelled(32_000, 2.0);
    let per_person = made.rows.len() as f64 / 4_000.0;
    println!("n 32,000, ε 2: visits a person {per_person:.3}, real {real:.3}");
    assert!((per_person / real - 1.0).abs() < 0.1);
    // Noise leaves impossible cells a few rows. In 80 runs the share was 0.7 % on the mean with a
    // deviation of 0.3 %; a gamma distribution of these exceeds the bound in 4 of a million runs.
    let (share, special) = misfits(&made);
    println!("{share:.4} of {special} special visits do not fit their person; bound 0.03");
    assert!(special > 500 && share < 0.03);
    let mut seen = std::collections::BTreeMap::new();
    made.rows.iter().for_each(|(owner, _)| *seen.entry(*owner).or_insert(0u32) += 1);
    assert!(seen.values().all(|n| *n <= 3));
    let stored = serde_json::to_string(&model).unwrap();
    let again: LinkedModel = serde_json::from_str(&stored).unwrap();
    assert_eq!(again.sample(50, 3).unwrap(), model.sample(50, 3).unwrap());
}

/// Where noise is next to nothing, what is left is what the fit did not finish.
#[test]
fn with_plenty_to_spend_nobody_has_a_visit_that_nobody_like_them_had() {
    let (_, made, _) = modelled(64_000, 40.0);
    let (share, special) = misfits(&made);
    println!("n 64,000, ε 40: {share:.5} of {special} do not fit; bound 0.005");
    assert!(special > 500 && share < 0.005);
}

#[test]
fn rows_of_nobody_and_people_who_come_twice_are_refused() {
    let (people, mut visits) = hospital(50);
    let rho = MicroRho::new(100_000);
    visits.push((UnitKey::new(999), visits[0].1.clone()));
    let last = visits.len();
    let refused = fit_linked(&link(3), &people, &visits, Method::Mst, rho).unwrap_err();
    assert!(matches!(refused, LinkedError::Dangling { row } if row == last), "{refused}");
    let twice = [people.clone(), vec![people[0].clone()]].concat();
    let refused = fit_linked(&link(3), &twice, &[], Method::Mst, rho).unwrap_err();
    assert!(matches!(refused, LinkedError::Twice { row: 51 }), "{refused}");
    assert!(fit_linked(&link(0), &people, &[], Method::Mst, rho).is_err());
    let unknown = Link { depends_on: vec![name("height")], ..link(3) };
    assert!(fit_linked(&unknown, &people, &[], Method::Mst, rho).is_err());
}

#[test]
fn a_person_with_many_rows_moves_both_models_by_no_more_than_is_charged() {
    const RUNS: usize = 1_500;
    const ALPHA: f64 = 1e-5;
    let person = |unit: u128, sex: &str| (UnitKey::new(unit), vec![some(sex), some("50")]);
    let visit = |unit: u128, reason: &str| (UnitKey::new(unit), vec![some(reason), some("3")]);
    let others: Tables =
        ((0..6).map(|u| person(u, "f")).collect(), (0..6).map(|u| visit(u, "check-up")).collect());
    let mut with = others.clone();
    with.0.push(person(99, "m"));
    with.1.extend((0..40).map(|_| visit(99, "prostate")));
    let told = |tables: &Tables, rho: u64| {
        let rho = MicroRho::new(rho);
        let model = fit_linked(&link(2), &tables.0, &tables.1, Method::Mst, rho).unwrap();
        let made = model.sample(150, 1).unwrap();
        let prostate = made.rows.iter().filter(|(_, r)| r[0].as_deref() == Some("prostate"));
        let men = made.people.iter().filter(|p| p[0].as_deref() == Some("m"));
        prostate.count() as f64 + men.count() as f64
    };
    for (rho, honest) in [(500_000, true), (400_000_000, false)] {
        let found = audit(RUNS, ALPHA, 0.0, || told(&with, rho), || told(&others, rho));
        println!("n {RUNS}, ρ ≥ {:.3}, claimed 0.5, alpha {ALPHA}", found.rho.at_least);
        assert_eq!(found.rho.at_least <= 0.5, honest, "{found:?}");
    }
}
