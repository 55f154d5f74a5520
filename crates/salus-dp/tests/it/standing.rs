use salus_dp::ExpectedError;
use salus_dp::audit::audit;
use salus_dp::standing::{Changes, StandingCount, StandingError};
use salus_model::MicroRho;

use crate::support::HALF;

#[test]
fn a_count_followed_over_time_costs_once_and_stays_near() {
    let (ticks, rho) = (64u64, 0.5f64);
    let mut worst = 0f64;
    let mut squares = 0f64;
    let runs = 400;
    for _ in 0..runs {
        let mut count = StandingCount::start(ticks, Changes::Events(1), HALF).unwrap();
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
        let mut count = StandingCount::start(ticks, Changes::Events(1), HALF).unwrap();
        (0..ticks).map(|t| count.tick(if t == 0 { first } else { 0 }).unwrap().value).sum::<f64>()
    };
    let alpha = 1e-5;
    let found = audit(4_000, alpha, 1e-6, || run(1), || run(0));
    println!("standing: n 4000, ρ ≥ {:.3}, claimed 0.5, alpha {alpha}", found.rho.at_least);
    assert!(found.rho.at_least <= 0.5);
    let bare = |first: i64| {
        let mut count =
            StandingCount::start(1, Changes::Events(1), MicroRho::new(4 * HALF.get())).unwrap();
        count.tick(first).unwrap().value
    };
    let fault = audit(4_000, alpha, 1e-6, || bare(1), || bare(0));
    assert!(fault.rho.at_least > 0.5, "halved noise not found: {fault:?}");
}

#[test]
fn a_restart_goes_on_with_the_same_noise() {
    let mut count = StandingCount::start(8, Changes::Events(1), HALF).unwrap();
    count.tick(5).unwrap();
    count.tick(5).unwrap();
    let stored = serde_json::to_string(&count).unwrap();
    let twin: StandingCount = serde_json::from_str(&stored).unwrap();
    assert_eq!(twin.at(), 2);
    assert_eq!(serde_json::to_string(&twin).unwrap(), stored);
    assert_eq!(format!("{count:?}"), "StandingCount(tick 2 of 8, redacted)");
    assert!(StandingCount::start(0, Changes::Events(1), HALF).is_err());
    assert!(StandingCount::start(8, Changes::Events(1), MicroRho::ZERO).is_err());
}

/// A unit that comes and leaves may do so at the worst moments, and loses no more than the charge;
/// noise made for one turn fewer is found out.
#[test]
fn a_unit_that_turns_loses_no_more_than_the_charge() {
    let (ticks, turns) = (7u32, 4u32);
    // Comes and leaves in turn: no two of its turns fall into one leaf.
    let change = |tick: u32| match tick {
        0 | 4 => 1,
        2 | 6 => -1,
        _ => 0,
    };
    let run = |noise_for: u32, here: bool| {
        let changes = Changes::Turns(noise_for);
        let mut count = StandingCount::start(u64::from(ticks), changes, HALF).unwrap();
        // What tells both worlds apart: each answer, where the unit would show in it.
        let (mut score, mut present) = (0.0, 0);
        for tick in 0..ticks {
            present += change(tick);
            let value = count.tick(if here { change(tick) } else { 0 }).unwrap().value;
            score += value * present as f64;
        }
        score
    };
    let alpha = 1e-5;
    let found = audit(4_000, alpha, 1e-6, || run(turns, true), || run(turns, false));
    println!("turns: n 4000, ρ ≥ {:.3}, claimed 0.5, alpha {alpha}", found.rho.at_least);
    assert!(found.rho.at_least <= 0.5);
    // The same unit, and noise of a quarter of the variance.
    let halved = |here: bool| {
        let mut count = StandingCount::start(1, Changes::Turns(1), MicroRho::new(4 * HALF.get()));
        count.as_mut().unwrap().tick(i64::from(here)).unwrap().value
    };
    let fault = audit(4_000, alpha, 1e-6, || halved(true), || halved(false));
    assert!(fault.rho.at_least > 0.5, "halved noise not found: {fault:?}");
}

/// σ² = m·levels/(2ρ): turning is cheaper than as many events, by the root of their number.
#[test]
fn turns_need_less_noise_than_events() {
    let noise = |changes| StandingCount::start(52, changes, HALF).unwrap().noise().scale.get();
    let (events, turns) = (noise(Changes::Events(4)), noise(Changes::Turns(4)));
    println!("scale for 4 events {events:.4}, for 4 turns {turns:.4}");
    assert!((events / turns - 2.0).abs() < 1e-4);
    assert!((turns - (4.0 * 6.0 / (2.0 * 0.5f64)).sqrt()).abs() < 1e-2);
}

#[test]
fn the_worst_error_is_the_one_of_the_tick_with_most_ones() {
    for ticks in [1u64, 2, 3, 5, 7, 8, 12, 52, 64, 100] {
        let mut count = StandingCount::start(ticks, Changes::Turns(2), HALF).unwrap();
        let ExpectedError::Value { standard_error, half_width } = count.worst_error() else {
            panic!("of another kind")
        };
        let mut worst = (0.0f64, 0.0f64);
        for _ in 0..ticks {
            let e = count.tick(1).unwrap();
            worst = (worst.0.max(e.standard_error), worst.1.max(e.upper - e.value));
        }
        assert_eq!((standard_error, half_width), worst, "{ticks} ticks");
    }
}
