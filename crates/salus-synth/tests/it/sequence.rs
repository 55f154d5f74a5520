//! Series of vital signs and ECG intervals.

use salus_dp::audit::audit;
use salus_dp::{Bounds, Delta, Epsilon, rho_from_epsilon};
use salus_model::MicroRho;
use salus_synth::{SequenceModel, Shape};

/// A small generator, so that the tests' data are the same each time.
struct Draws(u64);

impl Draws {
    fn unit(&mut self) -> f64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }

    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.unit()).sum::<f64>() - 6.0
    }
}

/// Heart rates every minute: each person around an own mean, returning to it slowly.
fn heart_rates(people: usize) -> Vec<Vec<f64>> {
    let mut draws = Draws(3);
    (0..people)
        .map(|_| {
            let mean = 72.0 + 10.0 * draws.normal();
            let mut now = mean;
            (0..30 + (draws.unit() * 30.0) as usize)
                .map(|_| {
                    now += 0.2 * (mean - now) + 2.5 * draws.normal();
                    now.round()
                })
                .collect()
        })
        .collect()
}

fn mean(values: impl Iterator<Item = f64> + Clone) -> f64 {
    let n = values.clone().count() as f64;
    values.sum::<f64>() / n
}

/// Mean, spread, mean step and correlation with the value before.
fn signature(series: &[Vec<f64>]) -> [f64; 4] {
    let all = || series.iter().flatten().copied();
    let pairs = || series.iter().flat_map(|s| s.windows(2).map(|w| (w[0], w[1])));
    let middle = mean(all());
    let variance = mean(all().map(|v| (v - middle).powi(2)));
    let step = mean(pairs().map(|(a, b)| (a - b).abs()));
    let together = mean(pairs().map(|(a, b)| (a - middle) * (b - middle)));
    [middle, variance.sqrt(), step, together / variance]
}

#[test]
fn synthetic_heart_rates_move_as_the_real_ones_do() {
    // So many that the noise at ε = 2 moves none of the figures by a third of what is allowed.
    const PEOPLE: usize = 100_000;
    let real = heart_rates(PEOPLE);
    let shape = Shape::new(Bounds::new(30.0, 130.0, 0).unwrap(), 25, 60).unwrap();
    let rho = rho_from_epsilon(Epsilon::new(2.0).unwrap(), Delta::new(1e-6).unwrap());
    let model = SequenceModel::fit(shape, &real, rho).unwrap();
    assert!(model.cost().rho <= rho && model.cost().rho.get() + 3 >= rho.get());
    let made = model.sample(PEOPLE, 9);
    let (ours, theirs) = (signature(&made), signature(&real));
    println!("n {PEOPLE}, ε 2: mean, spread, step, correlation: {ours:.3?}, real {theirs:.3?}");
    assert!((ours[0] - theirs[0]).abs() < 2.0);
    assert!((ours[1] / theirs[1] - 1.0).abs() < 0.15);
    // Values are drawn evenly within bins of 4, which adds up to 2 · 4²/6 to a step's variance, here 7:
    // steps are up to a third longer.
    let binned = (1.0f64 + 2.0 * 16.0 / 6.0 / 7.0).sqrt();
    assert!((ours[2] / theirs[2] / binned - 1.0).abs() < 0.1);
    assert!((ours[3] - theirs[3]).abs() < 0.06);
    let lengths = |s: &[Vec<f64>]| mean(s.iter().map(|x| x.len() as f64));
    assert!((lengths(&made) - lengths(&real)).abs() < 3.0);
    let within = |v: &f64| (30.0..=130.0).contains(v);
    assert!(made.iter().flatten().all(within) && made.iter().all(|s| (1..=60).contains(&s.len())));
    // Values drawn one by one would not move slowly.
    assert!(ours[3] > 0.8);
    // The model and its samples survive being stored.
    let stored = serde_json::to_string(&model).unwrap();
    let again: SequenceModel = serde_json::from_str(&stored).unwrap();
    assert_eq!(again.sample(5, 1), model.sample(5, 1));
    assert!(
        serde_json::from_str::<SequenceModel>(&stored.replace("\"version\":1", "\"version\":2"))
            .is_err()
    );
}

#[test]
fn series_of_one_person_move_the_model_by_no_more_than_is_charged() {
    const RUNS: usize = 4_000;
    const ALPHA: f64 = 1e-5;
    let shape = Shape::new(Bounds::new(0.0, 9.0, 0).unwrap(), 2, 6).unwrap();
    // Everybody stays low; one person would stay high, with as many values as count and more.
    let others = vec![vec![1.0; 6]; 5];
    let with = [others.clone(), vec![vec![9.0; 50]]].concat();
    let high = |series: &[Vec<f64>], rho: u64| {
        let model = SequenceModel::fit(shape, series, MicroRho::new(rho)).unwrap();
        let value = serde_json::to_value(&model).unwrap();
        // How sure the model is that high values follow high ones, and that series begin there.
        value["follows"][1][1].as_f64().unwrap() + value["starts"][1].as_f64().unwrap()
    };
    for (rho, honest) in [(500_000, true), (200_000_000, false)] {
        let found = audit(RUNS, ALPHA, 0.0, || high(&with, rho), || high(&others, rho));
        println!("n {RUNS}, ρ ≥ {:.3}, claimed 0.5, alpha {ALPHA}", found.rho.at_least);
        assert_eq!(found.rho.at_least <= 0.5, honest, "{found:?}");
    }
}

#[test]
fn shapes_that_make_no_model_are_refused() {
    let bounds = Bounds::new(0.0, 1.0, 2).unwrap();
    for (bins, longest) in [(1, 10), (257, 10), (8, 1), (8, 10_001)] {
        assert!(Shape::new(bounds, bins, longest).is_err());
    }
    let shape = Shape::new(bounds, 8, 10).unwrap();
    assert!(SequenceModel::fit(shape, &[], MicroRho::new(99)).is_err());
    // Without people there is a model all the same, of noise alone.
    let empty = SequenceModel::fit(shape, &[], MicroRho::new(1_000_000)).unwrap();
    assert_eq!(empty.sample(3, 1).len(), 3);
}
