use salus_dp::{Mechanism, Noise, Scale};

use crate::accounting::reference;

const RUNS: usize = 10_000;

fn mechanism(name: &str) -> Mechanism {
    if name == "gaussian" { Mechanism::Gaussian } else { Mechanism::Laplace }
}

#[test]
fn variances_and_tails_agree_with_forty_digits() {
    for row in reference()["noise"].as_array().unwrap() {
        let scale = Scale::at_least(row["scale"].as_f64().unwrap()).unwrap();
        let noise = Noise { mechanism: mechanism(row["mechanism"].as_str().unwrap()), scale };
        let exact = row["variance"].as_f64().unwrap();
        let ours = noise.variance();
        assert!(
            ours >= exact * (1.0 - 1e-9) && ours <= exact * (1.0 + 1e-3) + 1e-12,
            "{ours} for {exact} at {row}"
        );
    }
}

/// Draws against the exact probabilities: Pearson's χ² over the cells -6 < x < 6 and the rest.
#[test]
fn draws_follow_the_exact_distribution() {
    // 0.99999 quantile of χ² with 11 degrees of freedom (cells -5..=5 and the rest).
    let (bound, alpha) = (43.2, 1e-5);
    for row in reference()["noise"].as_array().unwrap() {
        let scale = Scale::at_least(row["scale"].as_f64().unwrap()).unwrap();
        let noise = Noise { mechanism: mechanism(row["mechanism"].as_str().unwrap()), scale };
        let pmf: Vec<f64> =
            row["pmf"].as_array().unwrap().iter().map(|p| p.as_f64().unwrap()).collect();
        let mut seen = [0f64; 12];
        for _ in 0..RUNS {
            let x = noise.draw().unwrap();
            let cell = if (-5..=5).contains(&x) { usize::try_from(x + 5).unwrap() } else { 11 };
            seen[cell] += 1.0;
        }
        let mut expected: Vec<f64> = (-5i32..=5).map(|x| pmf[x.unsigned_abs() as usize]).collect();
        expected.push((1.0 - expected.iter().sum::<f64>()).max(0.0));
        let n = RUNS as f64;
        // Cells that are expected fewer than five times are taken together.
        let (mut chi, mut rest) = (0.0, (0.0, 0.0));
        for (seen, p) in seen.iter().zip(&expected) {
            if p * n < 5.0 {
                rest = (rest.0 + seen, rest.1 + p * n);
            } else {
                chi += (seen - p * n).powi(2) / (p * n);
            }
        }
        chi += if rest.1 > 1.0 { (rest.0 - rest.1).powi(2) / rest.1 } else { rest.0 };
        println!("{noise:?}: n {n}, χ² {chi:.1}, bound {bound}, alpha {alpha}");
        assert!(chi < bound, "{noise:?} gives χ² {chi}");
    }
}

#[test]
fn half_widths_hold_what_they_say() {
    for name in ["gaussian", "laplace"] {
        for scale in [0.3, 1.0, 5.5, 400.0] {
            let noise =
                Noise { mechanism: mechanism(name), scale: Scale::at_least(scale).unwrap() };
            let half = noise.half_width(0.05);
            let outside = (0..RUNS).filter(|_| (noise.draw().unwrap() as f64).abs() > half).count();
            let (lower, _) = salus_dp::audit::clopper_pearson(outside, RUNS, 1e-6);
            println!(
                "{name} {scale}: n {RUNS}, outside {outside}, lower bound {lower:.4}, alpha 1e-6"
            );
            assert!(lower <= 0.05);
        }
    }
}

#[test]
fn a_scale_is_never_rounded_down_and_hardly_up() {
    for wanted in [1e-9, 0.004, 0.5, 1.0, 1.0 + 1e-12, 3.3, 123_456.789, 1e9 + 0.1, 1e30] {
        let got = Scale::at_least(wanted).unwrap().get();
        assert!(got >= wanted, "{got} below {wanted}");
        assert!(got <= wanted.max(1.0 / 256.0) * (1.0 + 1.0 / 2048.0), "{got} far above {wanted}");
    }
    for wrong in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e40] {
        assert!(Scale::at_least(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn large_scales_have_the_closed_form_deviation() {
    for (name, kurtosis) in [("gaussian", 3.0), ("laplace", 6.0)] {
        for scale in [1e3, 1.5e6, 3e12] {
            let noise =
                Noise { mechanism: mechanism(name), scale: Scale::at_least(scale).unwrap() };
            let n = RUNS as f64;
            let square = |x: i128| (x as f64 / scale).powi(2);
            let measured = (0..RUNS).map(|_| square(noise.draw().unwrap())).sum::<f64>() / n;
            let closed = noise.variance() / scale / scale;
            // Six standard errors of a sample variance: alpha 2e-9.
            let bound = closed * 6.0 * ((kurtosis - 1.0) / n).sqrt();
            println!(
                "{name} {scale}: n {n}, variance {measured:.4}, closed form {closed:.4}, bound ±{bound:.4}, alpha 2e-9"
            );
            assert!((measured - closed).abs() < bound);
        }
    }
}

#[test]
fn selection_follows_the_exponential_mechanism() {
    use salus_model::MicroRho;
    // ε = √(8ρ) = 2 with ρ = 1/2 and sensitivity 1: weights e^(score·ε/2).
    let scores = [0, 1, 2, 0];
    let weights: Vec<f64> = scores.iter().map(|s| f64::from(*s).exp()).collect();
    let total: f64 = weights.iter().sum();
    let mut seen = [0usize; 4];
    for _ in 0..RUNS {
        seen[salus_dp::select(&scores.map(i64::from), 1, MicroRho::new(500_000)).unwrap()] += 1;
    }
    for (seen, weight) in seen.iter().zip(weights) {
        let (low, high) = salus_dp::audit::clopper_pearson(*seen, RUNS, 1e-6);
        println!(
            "n {RUNS}, seen {seen}, expected {:.4} in [{low:.4}, {high:.4}], alpha 1e-6",
            weight / total
        );
        assert!((low..=high).contains(&(weight / total)));
    }
}

/// Shown, not judged: timing on a shared machine proves nothing.
#[test]
fn the_cost_of_a_draw_is_printed() {
    for name in ["gaussian", "laplace"] {
        for scale in [0.75, 10.24, 100.3, 54_321.0, 3.3e9] {
            let noise =
                Noise { mechanism: mechanism(name), scale: Scale::at_least(scale).unwrap() };
            let start = std::time::Instant::now();
            let drawn = (0..2_000).filter(|_| noise.draw().is_ok()).count();
            println!("{name} {scale}: {:?} a draw", start.elapsed() / 2_000);
            assert_eq!(drawn, 2_000);
        }
    }
}
