use salus_dp::{Delta, Epsilon, rho_from_epsilon};
use salus_synth::quality::{propensity, similarity, train_test_auc};
use salus_synth::{Method, Table, fit, refit};

use crate::support::{adult, table};

/// Four fifths to train (24,130 rows), every fifth row to test.
fn split() -> (Table, Table) {
    let (attributes, rows) = adult();
    let part = |test: bool| -> Vec<Vec<Option<String>>> {
        rows.iter()
            .enumerate()
            .filter(|(i, _)| (i % 5 == 4) == test)
            .map(|(_, row)| row.clone())
            .collect()
    };
    (table(attributes.clone(), &part(false)), table(attributes, &part(true)))
}

struct Score {
    quality: f64,
    auc: f64,
}

fn score(method: Method) -> Score {
    let (train, test) = split();
    let rho = rho_from_epsilon(Epsilon::new(1.0).unwrap(), Delta::new(1e-6).unwrap());
    let start = std::time::Instant::now();
    let model = fit(&train, method, rho).unwrap();
    let fitted = start.elapsed();
    let rows = 24_130;
    let sample = model.sample(rows, 1, &[], &[]).unwrap();
    let near = similarity(&train, sample.table());
    let target = train.attributes().len() - 1;
    let auc = train_test_auc(sample.table(), &test, target, 0).unwrap();
    let (told, pmse) = propensity(&train, sample.table()).unwrap();
    println!(
        "{method:?}: ε 1, δ 1e-6, {rho}, quality {:.4} (1-way {:.4}, 2-way {:.4}, 3-way {:.4}), AUC {auc:.4}, \
         propensity AUC {told:.3}, pMSE {pmse:.4}, fit {fitted:.2?}, with sampling {:.2?}",
        near.quality(),
        near.one_way,
        near.two_way,
        near.three_way,
        start.elapsed()
    );
    assert_eq!(model.cost().rho, rho);
    Score { quality: near.quality(), auc }
}

#[test]
fn real_data_set_the_bar() {
    let (train, test) = split();
    let auc = train_test_auc(&train, &test, train.attributes().len() - 1, 0).unwrap();
    println!("real: AUC {auc:.4}");
    assert!((0.86..0.89).contains(&auc), "{auc}");
    let near = similarity(&train, &test);
    println!("train against test: {near:?}");
    assert!(similarity(&train, &train).quality() > 0.999_999);
}

#[test]
fn aim_is_near_in_marginals_and_in_what_it_teaches() {
    let score = score(Method::Aim);
    assert!(score.quality >= 0.975, "quality {}", score.quality);
    assert!(score.auc >= 0.85, "AUC {}", score.auc);
}

#[test]
fn mst_is_near_in_marginals() {
    let score = score(Method::Mst);
    assert!(score.quality >= 0.965, "quality {}", score.quality);
    // A tree alone leaves the outcome with one neighbour, which teaches 0.77.
    assert!(score.auc >= 0.82, "AUC {}", score.auc);
}

#[test]
fn privbayes_is_near_in_marginals() {
    let score = score(Method::PrivBayes);
    assert!(score.quality >= 0.965, "quality {}", score.quality);
}

#[test]
fn a_copula_keeps_margins() {
    let score = score(Method::Copula);
    assert!(score.quality >= 0.94, "quality {}", score.quality);
}

/// What shadow models are: a fit to other people at the same loss, without choosing anew.
#[test]
fn a_refit_is_as_near_as_the_fit_that_it_follows() {
    let (train, test) = split();
    let rho = rho_from_epsilon(Epsilon::new(1_000.0).unwrap(), Delta::new(1e-6).unwrap());
    let start = std::time::Instant::now();
    let model = fit(&train, Method::Aim, rho).unwrap();
    let fitted = start.elapsed();
    let start = std::time::Instant::now();
    let again = refit(&train, &model, rho).unwrap();
    let refitted = start.elapsed();
    assert_eq!((again.cost().rho, again.method()), (rho, Method::Aim));
    let [first, second] = [&model, &again].map(|model| {
        let sample = model.sample(24_130, 1, &[], &[]).unwrap();
        let mean = |table| {
            let all = model.log_likelihoods(table).unwrap();
            all.iter().sum::<f64>() / all.len() as f64
        };
        (similarity(&train, sample.table()).quality(), mean(&train), mean(&test))
    });
    println!("fit {fitted:.2?}: {first:.4?}; refit {refitted:.2?}: {second:.4?}");
    assert!(second.0 > first.0 - 0.005, "quality");
    assert!((second.1 - first.1).abs() < 0.1 && (second.2 - first.2).abs() < 0.1, "likelihood");
    assert!(refit(&train, &model, salus_model::MicroRho::new(50)).is_err());
}
