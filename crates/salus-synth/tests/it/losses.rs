//! The loss of a fit, measured from models of neighbouring tables.

use salus_dp::UnitKey;
use salus_dp::audit::audit;
use salus_model::MicroRho;
use salus_synth::{Method, Missing, Table, TableBuilder, fit};

use crate::support::category;

const RUNS: usize = 1_600;
const ALPHA: f64 = 1e-5;
/// A small table is enough: what one unit moves does not depend on the others.
const RHO: MicroRho = MicroRho::new(500_000);

/// Five units, and one more with forty rows where `planted`.
fn rows(planted: bool) -> Table {
    let attributes = vec![
        category("sex", &["f", "m"], Missing::Never),
        category("ward", &["a", "b"], Missing::Never),
    ];
    let mut builder = TableBuilder::new(attributes, 1).unwrap();
    for unit in 0..5 {
        builder.push(UnitKey::new(unit), &[Some("f"), Some("a")]).unwrap();
    }
    for _ in 0..if planted { 40 } else { 0 } {
        builder.push(UnitKey::new(99), &[Some("m"), Some("b")]).unwrap();
    }
    builder.finish()
}

/// Rows that the model expects, and of the planted kind.
fn statistic(table: &Table, method: Method, rho: MicroRho) -> f64 {
    let model = fit(table, method, rho).unwrap();
    let sample = model.sample(200, 1, &[], &[]).unwrap();
    let planted = sample.records().iter().filter(|r| r[1].as_deref() == Some("b")).count();
    model.rows() * (1.0 + planted as f64 / 200.0)
}

#[test]
fn no_method_loses_more_than_its_charge() {
    let (with, without) = (rows(true), rows(false));
    for method in [Method::Mst, Method::Aim, Method::PrivBayes, Method::Copula] {
        let found = audit(
            RUNS,
            ALPHA,
            0.0,
            || statistic(&with, method, RHO),
            || statistic(&without, method, RHO),
        );
        println!("{method:?}: n {RUNS}, ρ ≥ {:.3}, claimed 0.5, alpha {ALPHA}", found.rho.at_least);
        assert!(found.rho.at_least <= 0.5, "{method:?}: {found:?}");
    }
}

#[test]
fn a_fit_that_spends_more_than_it_says_is_found() {
    let (with, without) = (rows(true), rows(false));
    let dear = MicroRho::new(64 * RHO.get());
    let found = audit(
        RUNS,
        ALPHA,
        0.0,
        || statistic(&with, Method::Mst, dear),
        || statistic(&without, Method::Mst, dear),
    );
    println!("planted: n {RUNS}, ρ ≥ {:.3}, claimed 0.5", found.rho.at_least);
    assert!(found.rho.at_least > 0.5, "{found:?}");
}
