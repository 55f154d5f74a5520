//! The corners of the audit's matrix: open groups of several holders, patients whom several of them
//! know, and rows that come in batches.

use salus_dp::audit::audit;
use salus_dp::joint::{JointPlan, JointRule, Share};
use salus_dp::{
    ContributionBound, Mechanism, Noised, OUTSIDE, Plan, PrivacyUnit, Query, RowsPerUnit, Schema,
    Spend, UnitKey, Units, plan,
};
use salus_model::MicroRho;

use crate::audits::{
    ALPHA, DELTA, RUNS, UNITS, claims, direction, is_open, kinds, neighbours, planted_count,
    schema_of, statistic,
};
use crate::support::{Counter, Device, HALF, ask, column, fleet, observe_into};

/// Open groups of three holders: each shows those above its own threshold, and the one's alone are
/// judged as well as what is put together of them.
#[test]
fn open_groups_of_independent_holders_lose_no_more_than_one_holders_charge() {
    for unit in UNITS {
        for query in kinds().into_iter().filter(is_open) {
            let schema = schema_of(unit);
            let (with, without) = neighbours(unit);
            let once = |rows: &[Device]| {
                let answer = |rows: &[Device]| {
                    ask(&query, &schema, Spend::Rho(HALF), Mechanism::Gaussian, rows)
                };
                let own = answer(rows);
                let alone = planted_count(&own);
                let all = Noised::combine([own, answer(&fleet(6)), answer(&fleet(3))]).unwrap();
                (alone, planted_count(&all))
            };
            let alone = audit(RUNS, ALPHA, DELTA, || once(&with).0, || once(&without).0);
            let together = audit(RUNS, ALPHA, DELTA, || once(&with).1, || once(&without).1);
            println!(
                "{unit:?} independent {query:?}: n {RUNS}, ρ ≥ {:.3} alone, {:.3} together, claimed 0.5, alpha {ALPHA}",
                alone.rho.at_least, together.rho.at_least
            );
            assert!(claims(&alone, HALF) && claims(&together, HALF), "{query:?} {unit:?}");
        }
    }
}

/// Two holders who may know the same patients, as far as the rule says so; each has these rows.
fn both_know(query: &Query, schema: &Schema, unit_holders: u32, rows: &[Device]) -> Noised {
    let rule = JointRule::new(2, 0, unit_holders, 10_000).unwrap();
    let plan_of = || plan(query, schema, Spend::Rho(HALF), Mechanism::Gaussian).unwrap();
    let mut shares: Vec<Vec<Share>> = vec![Vec::new(); 2];
    for seed in [1, 2] {
        let mine = JointPlan::new(plan_of(), rule).unwrap();
        let mut partial = mine.partial();
        observe_into(&mut partial, &plan_of(), rows);
        for share in mine.contribute(partial, 2, &mut Counter(seed)).unwrap() {
            shares[usize::from(share.party())].push(share);
        }
    }
    let sums: Vec<Share> = shares.into_iter().map(|s| Share::sum(s).unwrap()).collect();
    JointPlan::new(plan_of(), rule).unwrap().open(&sums).unwrap()
}

#[test]
fn a_patient_whom_both_holders_know_loses_no_more_than_the_charge() {
    let unit = PrivacyUnit::Patient;
    let schema = schema_of(unit);
    let (with, without) = neighbours(unit);
    let joint = |q: &Query| !is_open(q) && !matches!(q, Query::DistinctCount { .. });
    let runs = RUNS / 4;
    for query in kinds().into_iter().filter(joint) {
        let towards = direction(&query, &schema, &with, &without);
        let once = |rows: &[Device]| statistic(&both_know(&query, &schema, 2, rows), &towards);
        let found = audit(runs, ALPHA, DELTA, || once(&with), || once(&without));
        println!(
            "{unit:?} joint, known to both, {query:?}: n {runs}, ρ ≥ {:.3}, claimed 0.5, alpha {ALPHA}",
            found.rho.at_least
        );
        assert!(claims(&found, HALF), "{query:?}: {found:?}");
    }
    // The fault: noise for patients whom one of the holders knows.
    let count = Query::Count;
    let towards = direction(&count, &schema, &with, &without);
    let once = |rows: &[Device]| statistic(&both_know(&count, &schema, 1, rows), &towards);
    let found = audit(2 * RUNS, ALPHA, DELTA, || once(&with), || once(&without));
    println!("known to both, noise for one: n {}, ρ ≥ {:.3}", 2 * RUNS, found.rho.at_least);
    assert!(!claims(&found, HALF), "not found: {found:?}");
}

/// The rows' codes for the plan's columns, and their units.
fn coded(plan: &Plan, schema: &Schema, rows: &[Device]) -> (Vec<UnitKey>, Vec<Vec<u32>>) {
    let code = |row: &Device, name: &str| {
        let salus_dp::Column::Category(domain) = &schema.columns[&column(name)] else {
            return OUTSIDE;
        };
        let value = if name == "model" { row.model } else { row.version };
        domain.code(value).unwrap_or(OUTSIDE)
    };
    let columns = plan.columns().iter();
    let codes = columns.map(|c| rows.iter().map(|r| code(r, c.as_str())).collect()).collect();
    (rows.iter().map(|r| UnitKey::new(r.unit)).collect(), codes)
}

fn ask_in_batches(query: &Query, schema: &Schema, spend: MicroRho, rows: &[Device]) -> Noised {
    let plan = plan(query, schema, Spend::Rho(spend), Mechanism::Gaussian).unwrap();
    let mut partial = plan.partial();
    // The planted unit's rows are spread over several batches.
    for batch in rows.chunks(7) {
        let (units, codes) = coded(&plan, schema, batch);
        let codes: Vec<&[u32]> = codes.iter().map(Vec::as_slice).collect();
        partial.observe_codes(Units::Keys(&units), &codes).unwrap();
    }
    plan.execute(partial).unwrap()
}

#[test]
fn groups_counted_in_batches_lose_no_more_than_their_charge() {
    let kinds = || {
        kinds().into_iter().filter(|query| match query {
            Query::GroupedCount { .. } | Query::TopK { .. } => !is_open(query),
            _ => false,
        })
    };
    assert_eq!(kinds().count(), 3);
    for unit in UNITS {
        for query in kinds() {
            let schema = schema_of(unit);
            let (with, without) = neighbours(unit);
            let towards = direction(&query, &schema, &with, &without);
            let once =
                |rows: &[Device]| statistic(&ask_in_batches(&query, &schema, HALF, rows), &towards);
            let found = audit(RUNS, ALPHA, DELTA, || once(&with), || once(&without));
            println!(
                "{unit:?} in batches {query:?}: n {RUNS}, ρ ≥ {:.3}, claimed 0.5, alpha {ALPHA}",
                found.rho.at_least
            );
            assert!(claims(&found, HALF), "{query:?} {unit:?}: {found:?}");
        }
    }
    // The fault: a table that is said to have one row for each unit, and has five.
    let mut schema = schema_of(PrivacyUnit::Device);
    schema.contribution = ContributionBound::ONE_ROW;
    schema.rows_per_unit = RowsPerUnit::One;
    let (with, without) = neighbours(PrivacyUnit::Device);
    let with = &with[..without.len() + 5];
    for query in kinds() {
        let towards = direction(&query, &schema, with, &without);
        let once =
            |rows: &[Device]| statistic(&ask_in_batches(&query, &schema, HALF, rows), &towards);
        let found = audit(RUNS, ALPHA, DELTA, || once(with), || once(&without));
        println!("five rows for one in batches: n {RUNS}, ρ ≥ {:.3}", found.rho.at_least);
        assert!(!claims(&found, HALF), "not found: {query:?}: {found:?}");
    }
}
