//! What an asker may try, and that it fails.

use salus_dp::audit::clopper_pearson;
use salus_dp::{
    Account, AccountPolicy, Charge, Delta, Mechanism, NotBoundedPolicy, PrivacyUnit, Query, Spend,
    plan,
};
use salus_model::MicroRho;

use crate::support::{Device, HALF, ask, column, fleet, schema};

/// How often an attacker who sees one number guesses right, between the two by their middle.
fn advantage(
    runs: usize,
    with: impl Fn() -> f64,
    without: impl Fn() -> f64,
    cut: f64,
) -> (usize, usize) {
    let right =
        (0..runs).filter(|_| with() > cut).count() + (0..runs).filter(|_| without() <= cut).count();
    (right, 2 * runs)
}

/// The most that any guess can win at ρ-zCDP: (1 + total variation)/2 with Pinsker's √(ρ/2).
fn most(rho: f64) -> f64 {
    f64::midpoint(1.0, (rho / 2.0).sqrt())
}

#[test]
fn differencing_two_answers_wins_no_more_than_their_charges() {
    // "Everybody" minus "everybody but her": two answers, two charges.
    let small = MicroRho::new(20_000);
    let schema = schema(PrivacyUnit::Patient, 1, 1);
    let others = fleet(40);
    let her = Device { unit: 777, ..fleet(1)[0].clone() };
    let with: Vec<Device> = others.iter().cloned().chain([her]).collect();
    let count = |rows: &[Device]| {
        ask(&Query::Count, &schema, Spend::Rho(small), Mechanism::Gaussian, rows).numbers()[0]
            as f64
    };
    let runs = 4_000;
    let (right, of) =
        advantage(runs, || count(&with) - count(&others), || count(&others) - count(&others), 0.5);
    let (lower, _) = clopper_pearson(right, of, 1e-6);
    let bound = most(2.0 * 0.02);
    println!(
        "differencing: n {of}, right {right}, lower bound {lower:.4}, most {bound:.4}, alpha 1e-6"
    );
    assert!(lower <= bound);
}

#[test]
fn averaging_repeats_is_ended_by_the_account() {
    let schema = schema(PrivacyUnit::Device, 1, 1);
    let rows = fleet(40);
    let each = MicroRho::new(1_000);
    let policy = AccountPolicy {
        budget: MicroRho::new(50_000),
        delta: Delta::new(1e-6).unwrap(),
        threshold_delta: None,
        not_bounded: NotBoundedPolicy::Refused,
    };
    let mut errors = Vec::new();
    for _ in 0..60 {
        let mut account = Account::open(policy);
        let mut answers = Vec::new();
        loop {
            let plan = plan(&Query::Count, &schema, Spend::Rho(each), Mechanism::Gaussian).unwrap();
            if account.charge(Charge::from(plan.cost())).is_err() {
                break;
            }
            answers.push(
                ask(&Query::Count, &schema, Spend::Rho(each), Mechanism::Gaussian, &rows).numbers()
                    [0] as f64,
            );
        }
        assert_eq!(answers.len(), 50);
        errors.push((answers.iter().sum::<f64>() / 50.0 - 20.0).powi(2));
    }
    // All the averages together know no more than one answer for the whole budget.
    let measured = (errors.iter().sum::<f64>() / 60.0).sqrt();
    let one = (1.0f64 / (2.0 * 0.05)).sqrt();
    println!(
        "averaging: n 60, error {measured:.3}, error of one answer for all {one:.3}, alpha 1e-6"
    );
    assert!(measured > one * 0.6);
}

#[test]
fn a_group_of_one_is_hardly_ever_shown() {
    let delta = 1e-2;
    let schema = schema(PrivacyUnit::Patient, 4, 1);
    let rows: Vec<Device> = (0..4)
        .map(|i| Device { unit: 1, note: format!("rare {i}"), ..fleet(1)[0].clone() })
        .collect();
    let query =
        Query::GroupedCount { keys: vec![column("note")], threshold_delta: Delta::new(delta).ok() };
    for mechanism in [Mechanism::Gaussian, Mechanism::Laplace] {
        let runs = 10_000;
        let shown = (0..runs)
            .filter(|_| {
                !ask(&query, &schema, Spend::Rho(HALF), mechanism, &rows).answer().rows.is_empty()
            })
            .count();
        let (lower, _) = clopper_pearson(shown, runs, 1e-6);
        println!(
            "{mechanism:?} group of one: n {runs}, shown {shown}, lower bound {lower:.5}, δ {delta}, alpha 1e-6"
        );
        assert!(lower <= delta);
    }
}

#[test]
fn an_extreme_value_moves_an_answer_no_further_than_the_bounds() {
    let schema = schema(PrivacyUnit::Device, 1, 1);
    let query = Query::Sum { column: column("battery") };
    let extreme = |battery| vec![Device { battery, ..fleet(1)[0].clone() }];
    let sum = |rows: &[Device]| {
        ask(&query, &schema, crate::support::EXACT, Mechanism::Gaussian, rows).numbers()[0]
    };
    for value in [15.0, 16.0, 1e30, f64::MAX, f64::INFINITY] {
        assert_eq!(sum(&extreme(value)), 15);
        assert_eq!(sum(&extreme(-value)), 0);
    }
    assert_eq!(sum(&extreme(f64::NAN)), 0);
}

/// Mironov's attack reads the noise-free value from the low bits of a floating-point sum. Here
/// every answer is a whole number of steps, and whether it is odd says nothing.
#[test]
fn low_bits_say_nothing() {
    let schema = schema(PrivacyUnit::Device, 1, 1);
    let query = Query::Sum { column: column("battery") };
    let rows = |battery| vec![Device { battery, ..fleet(1)[0].clone() }];
    let runs = 10_000;
    let odd = |battery: f64| {
        (0..runs)
            .filter(|_| {
                ask(&query, &schema, Spend::Rho(HALF), Mechanism::Gaussian, &rows(battery))
                    .numbers()[0]
                    % 2
                    != 0
            })
            .count()
    };
    // 7.000000000000001 and 8 differ in every low bit, and in parity once rounded.
    for battery in [7.000000000000001, 8.0] {
        let seen = odd(battery);
        let (low, high) = clopper_pearson(seen, runs, 1e-6);
        println!("parity at {battery}: n {runs}, odd {seen}, [{low:.4}, {high:.4}], alpha 1e-6");
        assert!((low..=high).contains(&0.5));
    }
}

#[test]
fn the_same_question_never_gets_the_same_noise() {
    let schema = schema(PrivacyUnit::Device, 1, 1);
    let ask = || {
        ask(
            &Query::Sum { column: column("battery") },
            &schema,
            Spend::Rho(MicroRho::new(1)),
            Mechanism::Gaussian,
            &[],
        )
        .numbers()[0]
    };
    let answers: std::collections::HashSet<i128> = (0..200).map(|_| ask()).collect();
    assert!(answers.len() > 150, "{} different answers of 200", answers.len());
}

/// Who watches the clock: the time of an answer with one unit more, or with an extreme value in
/// place of a plain one, tells them apart no better than the answer itself may.
#[test]
fn the_time_of_an_answer_says_nothing_of_one_unit() {
    let schema = schema(PrivacyUnit::Device, 1, 1);
    let query = Query::Sum { column: column("battery") };
    let without = fleet(400);
    let with: Vec<Device> =
        without.iter().cloned().chain([Device { unit: 9_999, ..fleet(1)[0].clone() }]).collect();
    let extreme: Vec<Device> = with
        .iter()
        .map(|d| Device {
            battery: if d.unit == 9_999 { f64::MAX } else { d.battery },
            ..d.clone()
        })
        .collect();
    let time = |rows: &[Device]| {
        let begun = std::time::Instant::now();
        ask(&query, &schema, Spend::Rho(HALF), Mechanism::Gaussian, rows);
        begun.elapsed().as_nanos() as u64
    };
    let runs = 4_000;
    for other in [&without, &extreme] {
        // In turns, so that what else the machine does falls on both alike.
        let pairs: Vec<(u64, u64)> = (0..runs).map(|_| (time(&with), time(other))).collect();
        let (train, test) = pairs.split_at(runs / 2);
        let right = |pairs: &[(u64, u64)], cut: u64| {
            pairs.iter().filter(|(a, _)| *a > cut).count()
                + pairs.iter().filter(|(_, b)| *b <= cut).count()
        };
        let cuts = train.iter().map(|(a, _)| *a);
        let cut = cuts.max_by_key(|cut| right(train, *cut)).unwrap();
        let (hits, of) = (right(test, cut), test.len() * 2);
        let (lower, _) = clopper_pearson(hits, of, 1e-6);
        let bound = most(0.5);
        println!(
            "timing: n {of}, right {hits}, lower bound {lower:.4}, most {bound:.4}, alpha 1e-6"
        );
        assert!(lower <= bound);
    }
}
