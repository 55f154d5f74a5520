//! The empirical privacy loss of every query kind under every privacy unit and mode, and planted
//! faults that the same audit must find.

use salus_dp::audit::{Audit, audit};
use salus_dp::joint::{JointPlan, JointRule, Share};
use salus_dp::{
    Bounds, Delta, Edges, Mechanism, Noise, Noised, Plan, PrivacyUnit, Query, Rank, Scale, Schema,
    Spend, epsilon_from_rho, plan,
};
use salus_model::MicroRho;

use crate::support::{Counter, Device, EXACT, HALF, ask, column, fleet, observe, schema};

/// Some 200 audits, each with this chance of a false alarm.
pub(crate) const ALPHA: f64 = 1e-5;
pub(crate) const DELTA: f64 = 1e-6;
/// On each of two neighbouring datasets; enough to tell halved noise in every kind.
pub(crate) const RUNS: usize = 1_600;

pub(crate) fn kinds() -> Vec<Query> {
    let x = column("battery");
    let small = Bounds::new(0.0, 15.0, 0).unwrap();
    let edges = Edges::equal(small, 3).unwrap();
    vec![
        Query::Count,
        Query::DistinctUnits,
        Query::DistinctCount { column: column("note") },
        Query::GroupedCount { keys: vec![column("model")], threshold_delta: None },
        Query::GroupedCount {
            keys: vec![column("model"), column("version")],
            threshold_delta: None,
        },
        Query::GroupedCount { keys: vec![column("note")], threshold_delta: Delta::new(DELTA).ok() },
        Query::Sum { column: x.clone() },
        Query::Mean { column: x.clone() },
        Query::Variance { column: x.clone() },
        Query::Minimum { column: x.clone() },
        Query::Maximum { column: x.clone() },
        Query::Quantiles { column: x.clone(), ranks: vec![Rank::new(0.5).unwrap()] },
        Query::Histogram { column: x.clone(), edges: edges.clone() },
        Query::Histogram { column: column("produced"), edges },
        Query::LinearRegression { x, y: column("hours") },
        Query::TopK { keys: vec![column("version")], k: 1, threshold_delta: None },
        Query::TopK { keys: vec![column("note")], k: 1, threshold_delta: Delta::new(DELTA).ok() },
    ]
}

/// The worst neighbour: one unit more, with far more rows than count and extreme values in all.
pub(crate) fn neighbours(unit: PrivacyUnit) -> (Vec<Device>, Vec<Device>) {
    let without = match unit {
        // A hospital's own table is empty without it.
        PrivacyUnit::Hospital => Vec::new(),
        PrivacyUnit::Device | PrivacyUnit::Patient => fleet(12),
    };
    let mut with = without.clone();
    let planted = (0..30).map(|i| Device {
        unit: 999,
        battery: 1e9,
        hours: if i % 2 == 0 { 1e9 } else { -1e9 },
        produced: 4_000_000,
        model: "c",
        version: "3",
        note: format!("planted {}", i % 3),
    });
    with.extend(planted);
    (with, without)
}

pub(crate) fn schema_of(unit: PrivacyUnit) -> Schema {
    match unit {
        PrivacyUnit::Device => schema(unit, 1, 1),
        PrivacyUnit::Patient => schema(unit, 3, 2),
        PrivacyUnit::Hospital => schema(unit, 20, 20),
    }
}

/// The likelihood-ratio statistic of Gaussian noise: the strongest single number to judge by.
pub(crate) fn statistic(noised: &Noised, direction: &[f64]) -> f64 {
    let weighed = |((x, noise), d): ((&i128, &[Noise]), &f64)| {
        *x as f64 * d / noise.iter().map(|n| n.variance()).sum::<f64>()
    };
    noised.numbers().iter().zip(noised.noises()).zip(direction).map(weighed).sum()
}

/// What the planted unit moves, told apart by noise-free answers.
pub(crate) fn direction(
    query: &Query,
    schema: &Schema,
    with: &[Device],
    without: &[Device],
) -> Vec<f64> {
    let exact = |rows| ask(query, schema, EXACT, Mechanism::Gaussian, rows);
    let (a, b) = (exact(with), exact(without));
    a.numbers().iter().zip(b.numbers()).map(|(a, b)| (a - b) as f64).collect()
}

/// Whether the planted group is shown, or how large it is.
pub(crate) fn planted_count(noised: &Noised) -> f64 {
    let shown = noised.answer().rows.into_iter().filter(|r| r.key[0].starts_with("planted"));
    shown.filter_map(|r| r.estimate).map(|e| e.value).fold(f64::NEG_INFINITY, f64::max)
}

pub(crate) fn is_open(query: &Query) -> bool {
    matches!(
        query,
        Query::GroupedCount { threshold_delta: Some(_), .. }
            | Query::TopK { threshold_delta: Some(_), .. }
    )
}

fn run(
    query: &Query,
    schema: &Schema,
    spend: Spend,
    m: Mechanism,
    unit: PrivacyUnit,
    runs: usize,
) -> Audit {
    let (with, without) = neighbours(unit);
    let towards = direction(query, schema, &with, &without);
    let once = |rows: &[Device]| {
        let noised = ask(query, schema, spend, m, rows);
        if is_open(query) { planted_count(&noised) } else { statistic(&noised, &towards) }
    };
    audit(runs, ALPHA, DELTA, || once(&with), || once(&without))
}

pub(crate) fn claims(audit: &Audit, rho: MicroRho) -> bool {
    let epsilon = epsilon_from_rho(rho, Delta::new(DELTA).unwrap()).get();
    audit.rho.at_least <= rho.get() as f64 / 1e6 && audit.epsilon.at_least <= epsilon
}

pub(crate) const UNITS: [PrivacyUnit; 3] =
    [PrivacyUnit::Device, PrivacyUnit::Patient, PrivacyUnit::Hospital];

#[test]
fn no_query_kind_loses_more_than_its_charge_under_any_unit() {
    let runs = RUNS;
    for unit in UNITS {
        for query in kinds() {
            for m in [Mechanism::Gaussian, Mechanism::Laplace] {
                let audit = run(&query, &schema_of(unit), Spend::Rho(HALF), m, unit, runs);
                println!(
                    "{unit:?} {m:?} {query:?}: n {runs}, ρ ≥ {:.3}, claimed 0.5, ε ≥ {:.2}, alpha {ALPHA}, {:?}",
                    audit.rho.at_least, audit.epsilon.at_least, audit.rho.seen
                );
                assert!(claims(&audit, HALF), "{query:?} {unit:?} {m:?}: {audit:?}");
            }
        }
    }
}

fn joint_once(query: &Query, schema: &Schema, holders: [&[Device]; 2]) -> Noised {
    let rule = JointRule::new(2, 0, 1, 10_000).unwrap();
    let joint = || {
        JointPlan::new(plan(query, schema, Spend::Rho(HALF), Mechanism::Gaussian).unwrap(), rule)
            .unwrap()
    };
    let mut shares: Vec<Vec<Share>> = vec![Vec::new(); 2];
    for (rows, seed) in holders.into_iter().zip(1u64..) {
        let mine = joint();
        let mut partial = mine.partial();
        let reader: Plan = plan(query, schema, Spend::Rho(HALF), Mechanism::Gaussian).unwrap();
        crate::support::observe_into(&mut partial, &reader, rows);
        for share in mine.contribute(partial, 2, &mut Counter(seed)).unwrap() {
            shares[usize::from(share.party())].push(share);
        }
    }
    let sums: Vec<Share> = shares.into_iter().map(|s| Share::sum(s).unwrap()).collect();
    joint().open(&sums).unwrap()
}

#[test]
fn joint_answers_lose_no_more_than_their_charge() {
    let runs = RUNS / 4;
    for unit in UNITS {
        for query in
            kinds().into_iter().filter(|q| !is_open(q) && !matches!(q, Query::DistinctCount { .. }))
        {
            let schema = schema_of(unit);
            let (with, without) = neighbours(unit);
            let towards = direction(&query, &schema, &with, &without);
            let others = fleet(4);
            let once = |rows: &[Device]| {
                statistic(&joint_once(&query, &schema, [rows, &others]), &towards)
            };
            let audit = audit(runs, ALPHA, DELTA, || once(&with), || once(&without));
            println!(
                "{unit:?} joint {query:?}: n {runs}, ρ ≥ {:.3}, claimed 0.5, alpha {ALPHA}",
                audit.rho.at_least
            );
            assert!(claims(&audit, HALF), "{query:?} {unit:?}: {audit:?}");
        }
    }
}

/// Three hospitals, of which one has failed: what the other two give has to carry the whole noise.
fn joint_without_one(query: &Query, schema: &Schema, holders: [&[Device]; 2]) -> Noised {
    let rule = JointRule::new(3, 1, 1, 10_000).unwrap();
    let plan_of = || plan(query, schema, Spend::Rho(HALF), Mechanism::Gaussian).unwrap();
    let mut shares: Vec<Vec<Share>> = vec![Vec::new(); 2];
    for (rows, seed) in holders.into_iter().zip(1u64..) {
        let mine = JointPlan::new(plan_of(), rule).unwrap();
        let mut partial = mine.partial();
        crate::support::observe_into(&mut partial, &plan_of(), rows);
        for share in mine.contribute(partial, 2, &mut Counter(seed)).unwrap() {
            shares[usize::from(share.party())].push(share);
        }
    }
    let sums: Vec<Share> = shares.into_iter().map(|s| Share::sum(s).unwrap()).collect();
    JointPlan::new(plan_of(), rule).unwrap().open(&sums).unwrap()
}

#[test]
fn joint_answers_without_a_failed_hospital_lose_no_more_than_their_charge() {
    let runs = RUNS / 4;
    for unit in UNITS {
        for query in
            kinds().into_iter().filter(|q| !is_open(q) && !matches!(q, Query::DistinctCount { .. }))
        {
            let schema = schema_of(unit);
            let (with, without) = neighbours(unit);
            let towards = direction(&query, &schema, &with, &without);
            let others = fleet(4);
            let once = |rows: &[Device]| {
                statistic(&joint_without_one(&query, &schema, [rows, &others]), &towards)
            };
            let audit = audit(runs, ALPHA, DELTA, || once(&with), || once(&without));
            println!(
                "{unit:?} joint without one {query:?}: n {runs}, ρ ≥ {:.3}, claimed 0.5, alpha {ALPHA}",
                audit.rho.at_least
            );
            assert!(claims(&audit, HALF), "{query:?} {unit:?}: {audit:?}");
        }
    }
    // Two shares where the noise was sized for 32: the audit finds that it is too little.
    let each = Scale::at_least(1.0 / f64::from(32u32).sqrt()).unwrap();
    let each = Noise { mechanism: Mechanism::Gaussian, scale: each };
    let sum = |exact: i128| (exact + each.draw().unwrap() + each.draw().unwrap()) as f64;
    let found = audit(RUNS, ALPHA, DELTA, || sum(1), || sum(0));
    assert!(!claims(&found, HALF), "too little noise is not found: {found:?}");
}

/// Independent mode: what three holders release together about one unit of one of them.
#[test]
fn independent_answers_lose_no_more_than_one_holders_charge() {
    let runs = RUNS / 4;
    for unit in UNITS {
        for query in kinds().into_iter().filter(|q| !is_open(q)) {
            let schema = schema_of(unit);
            let (with, without) = neighbours(unit);
            let towards = direction(&query, &schema, &with, &without);
            // Whoever asks sees each holder's numbers, so the one's alone are judged too.
            let once = |rows: &[Device]| {
                let answer = |rows: &[Device]| {
                    ask(&query, &schema, Spend::Rho(HALF), Mechanism::Gaussian, rows)
                };
                let (own, other, third) = (answer(rows), answer(&fleet(6)), answer(&fleet(3)));
                let alone = statistic(&own, &towards);
                let together = Noised::combine([own, other, third]).unwrap();
                assert_eq!(together.sources(), 3);
                (alone, statistic(&together, &towards))
            };
            let alone = audit(runs, ALPHA, DELTA, || once(&with).0, || once(&without).0);
            let together = audit(runs, ALPHA, DELTA, || once(&with).1, || once(&without).1);
            println!(
                "{unit:?} independent {query:?}: n {runs}, ρ ≥ {:.3} alone, {:.3} together, claimed 0.5, alpha {ALPHA}",
                alone.rho.at_least, together.rho.at_least
            );
            assert!(claims(&alone, HALF) && claims(&together, HALF), "{query:?} {unit:?}");
        }
    }
}

#[test]
fn halved_noise_is_found_in_every_kind() {
    // Half of the scale is four times the loss.
    let four = MicroRho::new(4 * HALF.get());
    for query in kinds().into_iter().filter(|q| !is_open(q)) {
        // A unit that moves each part of an answer as far as it may: alone, at the bounds.
        let schema = schema(PrivacyUnit::Device, 1, 1);
        let audit = run(
            &query,
            &schema,
            Spend::Rho(four),
            Mechanism::Gaussian,
            PrivacyUnit::Hospital,
            2 * RUNS,
        );
        println!(
            "halved {query:?}: ρ ≥ {:.3}, claimed 0.5, {:?}",
            audit.rho.at_least, audit.rho.seen
        );
        assert!(!claims(&audit, HALF), "not found: {query:?}: {audit:?}");
    }
}

#[test]
fn a_value_that_is_not_clamped_is_found() {
    let noise = Noise { mechanism: Mechanism::Gaussian, scale: Scale::at_least(15.0).unwrap() };
    let audit = audit(
        2_000,
        ALPHA,
        DELTA,
        || (1_000 + noise.draw().unwrap()) as f64,
        || noise.draw().unwrap() as f64,
    );
    assert!(!claims(&audit, HALF), "{audit:?}");
}

#[test]
fn a_group_key_that_leaks_is_found() {
    // A key shown whenever the group has a row, its count noisy, but without threshold.
    let noise = Noise { mechanism: Mechanism::Gaussian, scale: Scale::at_least(1.0).unwrap() };
    let audit =
        audit(RUNS, ALPHA, DELTA, || (1 + noise.draw().unwrap()) as f64, || f64::NEG_INFINITY);
    assert!(!claims(&audit, HALF), "{audit:?}");
}

#[test]
fn a_forgotten_charge_is_found() {
    // Four answers for the charge of one.
    let schema = schema(PrivacyUnit::Device, 1, 1);
    let (with, without) = neighbours(PrivacyUnit::Device);
    let sum = |rows: &[Device]| -> f64 {
        (0..4)
            .map(|_| {
                ask(&Query::Count, &schema, Spend::Rho(HALF), Mechanism::Gaussian, rows).numbers()
                    [0] as f64
            })
            .sum()
    };
    let audit = audit(RUNS, ALPHA, DELTA, || sum(&with), || sum(&without));
    assert!(!claims(&audit, HALF), "{audit:?}");
    assert!(claims(&audit, MicroRho::new(4 * HALF.get())), "{audit:?}");
}

#[test]
fn a_partial_of_another_plan_is_not_released() {
    let schema = schema(PrivacyUnit::Device, 1, 1);
    let fresh = || plan(&Query::Count, &schema, Spend::Rho(HALF), Mechanism::Gaussian).unwrap();
    let dear = plan(&Query::Count, &schema, EXACT, Mechanism::Gaussian).unwrap();
    let partial = observe(&fresh(), &fleet(3));
    assert!(dear.execute(partial).is_err());
}
