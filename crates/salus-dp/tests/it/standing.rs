use salus_dp::audit::audit;
use salus_dp::standing::{StandingCount, StandingError};
use salus_model::MicroRho;

use crate::support::HALF;

#[test]
fn a_count_followed_over_time_costs_once_and_stays_near() {
    let (ticks, rho) = (64u64, 0.5f64);
    let mut worst = 0f64;
    let mut squares = 0f64;
    let runs = 400;
    for _ in 0..runs {
        let mut count = StandingCount::start(ticks, 1, HALF).unwrap();
        assert_eq!(count.cost().rho, HALF);
        let mut truth = 0.0;
        let mut inside = 0;
        for tick in 0..ticks {
            let change = i64::try_from(tick % 5).unwrap() - 1;
            truth += change as f64;
            let estimate = count.tick(change).unwrap();
            inside += i32::from(estimate.lower <= truth && truth <= estimate.upper);
            worst = worst.max(estimate.standard_error);
            if tick + 1 == 63 {
                squares += (estimate.value - truth).powi(2);
            }
        }
        assert!(inside > 32, "{inside} of 64 ticks covered");
        assert!(matches!(count.tick(1), Err(StandingError::Over { ticks: 64 })));
    }
    // 7 levels; 63 = 0b111111 is the sum of six nodes, each with σ² = 7/(2ρ).
    let closed = (6.0 * 7.0 / (2.0 * rho)).sqrt();
    let measured = (squares / f64::from(runs)).sqrt();
    let bound = 5.0 * closed / (2.0 * f64::from(runs)).sqrt();
    println!(
        "standing: n {runs}, error {measured:.2}, closed form {closed:.2} ±{bound:.2}, alpha 6e-7"
    );
    assert!((measured - closed).abs() < bound);
    // 64 answers at the same total charge, each charged alone, would err this much.
    let alone = (64.0 / (2.0 * rho)).sqrt();
    assert!(worst < alone, "{worst} for {alone}");
}

#[test]
fn all_ticks_together_lose_no_more_than_the_charge() {
    let ticks = 15;
    // One unit's only change, in the first tick; every output after it is looked at.
    let run = |first: i64| {
        let mut count = StandingCount::start(ticks, 1, HALF).unwrap();
        (0..ticks).map(|t| count.tick(if t == 0 { first } else { 0 }).unwrap().value).sum::<f64>()
    };
    let alpha = 1e-5;
    let found = audit(4_000, alpha, 1e-6, || run(1), || run(0));
    println!("standing: n 4000, ρ ≥ {:.3}, claimed 0.5, alpha {alpha}", found.rho.at_least);
    assert!(found.rho.at_least <= 0.5);
    let bare = |first: i64| {
        let mut count = StandingCount::start(1, 1, MicroRho::new(4 * HALF.get())).unwrap();
        count.tick(first).unwrap().value
    };
    let fault = audit(4_000, alpha, 1e-6, || bare(1), || bare(0));
    assert!(fault.rho.at_least > 0.5, "halved noise not found: {fault:?}");
}

#[test]
fn a_restart_goes_on_with_the_same_noise() {
    let mut count = StandingCount::start(8, 1, HALF).unwrap();
    count.tick(5).unwrap();
    count.tick(5).unwrap();
    let stored = serde_json::to_string(&count).unwrap();
    let twin: StandingCount = serde_json::from_str(&stored).unwrap();
    assert_eq!(twin.at(), 2);
    assert_eq!(serde_json::to_string(&twin).unwrap(), stored);
    assert_eq!(format!("{count:?}"), "StandingCount(tick 2 of 8, redacted)");
    assert!(StandingCount::start(0, 1, HALF).is_err());
    assert!(StandingCount::start(8, 1, MicroRho::ZERO).is_err());
}
