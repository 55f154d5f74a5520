//! How a column's numbers are spelt, which no single record decides.

use salus_dp::audit::audit;
use salus_dp::{Delta, Epsilon, UnitKey, rho_from_epsilon};
use salus_model::{Class, Classified as _, MicroRho};
use salus_synth::{DiscoverError, Mark, Spelling, discover_bounds, discover_spelling};

use crate::support::name;

/// Each of another person.
fn of(texts: impl Iterator<Item = String>) -> Vec<(UnitKey, Spelling)> {
    texts
        .zip(0u128..)
        .filter_map(|(text, unit)| Some((UnitKey::new(unit), Spelling::of(&text)?)))
        .collect()
}

#[test]
fn what_is_no_number_spells_none() {
    for text in ["n.a.", "unknown, see notes", "", "-", "1.234,5", "nan", "inf", "12.03.2026"] {
        assert_eq!(Spelling::of(text), None, "{text}");
    }
    for (text, decimals, mark) in [
        ("72", 0, Mark::None),
        ("63.0", 0, Mark::Point),
        ("72.35", 2, Mark::Point),
        (" 0,50 ", 1, Mark::Comma),
        ("1e-3", 3, Mark::None),
        ("0.123456789", 6, Mark::Point),
    ] {
        assert_eq!(Spelling::of(text), Some(Spelling { decimals, mark }), "{text}");
    }
}

#[test]
fn one_persons_spelling_is_not_that_of_the_column() {
    const RUNS: usize = 3_000;
    // What a column of a table with 400 people gets at ε = 1: a twentieth.
    let whole = rho_from_epsilon(Epsilon::new(1.0).unwrap(), Delta::new(1e-6).unwrap());
    let rho = MicroRho::new(whole.get() / 20);
    let without = || (0..400).map(|i| (20 + i % 70).to_string());
    let with = |odd: &str| of(without().chain([odd.to_owned()]));
    for (what, numbers) in [
        ("nobody", of(without())),
        ("72.35", with("72.35")),
        ("72,35", with("72,35")),
        ("n.a.", with("n.a.")),
    ] {
        let found = |_| discover_spelling(&numbers, 1, rho).unwrap() != Spelling::WHOLE;
        let odd = (0..RUNS).map(found).filter(|odd| *odd).count();
        // A level that nobody needs: e^-8, and so about one run in 3,000; ten and more have alpha
        // below 1e-6.
        println!("{what}: another look in {odd} of {RUNS} runs, at most 9 may at alpha 1e-6");
        assert!(odd < 10, "{what}");
    }
}

#[test]
fn what_most_records_have_is_found() {
    let rho = MicroRho::new(2_000);
    for (comma, decimals, mark) in [(true, 1, Mark::Comma), (false, 1, Mark::Point)] {
        let texts = (0..2_000).map(|i| {
            let text = format!("{}.{}", 36 + i % 5, i % 10);
            if comma { text.replace('.', ",") } else { text }
        });
        let numbers = of(texts);
        let found =
            |_: &i32| discover_spelling(&numbers, 1, rho).unwrap() == Spelling { decimals, mark };
        // A finer level that nobody needs: one run in 3,000; alpha below 1e-8.
        let right = (0..100).filter(found).count();
        assert!(right >= 96, "{right} of 100");
    }
}

#[test]
fn a_person_with_many_records_counts_as_often_as_allowed() {
    let many = (0..5_000).map(|_| (UnitKey::new(7_777), Spelling::of("0,123").unwrap()));
    let others = of((0..400).map(|i| i.to_string()));
    let numbers: Vec<_> = many.chain(others).collect();
    let found =
        |_: &i32| discover_spelling(&numbers, 1, MicroRho::new(50_000)).unwrap() == Spelling::WHOLE;
    let whole = (0..100).filter(found).count();
    assert!(whole >= 96, "{whole} of 100, alpha below 1e-8");
}

#[test]
fn a_spelling_tells_no_more_than_it_is_charged() {
    const RUNS: usize = 4_000;
    const ALPHA: f64 = 1e-5;
    let without = of((0..3).map(|i| i.to_string()));
    let mut with = without.clone();
    with.push((UnitKey::new(99), Spelling::of("0,123456").unwrap()));
    let look = |numbers: &[(UnitKey, Spelling)]| {
        let found = discover_spelling(numbers, 1, MicroRho::new(500_000)).unwrap();
        f64::from(found.decimals) + if found.mark == Mark::Comma { 0.5 } else { 0.0 }
    };
    let found = audit(RUNS, ALPHA, 0.0, || look(&with), || look(&without));
    println!("n {RUNS}, ρ ≥ {:.3}, claimed 0.5, alpha {ALPHA}", found.rho.at_least);
    assert!(found.rho.at_least <= 0.5, "{found:?}");
}

#[test]
fn one_persons_own_spelling_covers_nearly_all_of_hers() {
    let own = |texts: &[&str]| -> Vec<Spelling> {
        texts.iter().filter_map(|text| Spelling::of(text)).collect()
    };
    let mut texts = vec!["72,5"; 99];
    texts.push("72,12345");
    assert_eq!(Spelling::usual(&own(&texts)), Spelling { decimals: 1, mark: Mark::Comma });
    assert_eq!(Spelling::finest(&own(&texts)), Spelling { decimals: 5, mark: Mark::Comma });
    assert_eq!(Spelling::usual(&[]), Spelling::WHOLE);
}

#[test]
fn more_records_of_a_person_than_noise_has_a_number_for_are_refused() {
    let rows = 70_000_000;
    let numbers: Vec<(UnitKey, f64)> = (0..400u32).map(|i| (UnitKey::new(i.into()), 3.0)).collect();
    // So much that even the noise of so many records lets the size be seen.
    let rho = MicroRho::new(u64::MAX / 2);
    let refused = discover_bounds(&name("age"), &numbers, rows, rho, 0).unwrap_err();
    assert!(matches!(refused, DiscoverError::TooManyRows { .. }), "{refused:?}");
    let spelt = of((0..50).map(|i| i.to_string()));
    let refused = discover_spelling(&spelt, rows, MicroRho::new(1_000)).unwrap_err();
    assert!(matches!(refused, DiscoverError::TooManyRows { .. }), "{refused:?}");
    assert_eq!(refused.class(), Class::BadRequest);
    assert!(matches!(
        discover_spelling(&spelt, 1, MicroRho::new(3)),
        Err(DiscoverError::TooLittle)
    ));
}
