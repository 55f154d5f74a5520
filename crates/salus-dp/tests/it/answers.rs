use std::collections::{BTreeMap, HashSet};

use salus_dp::{
    Answer, Bounds, Column, ContributionBound, Delta, Edges, Epsilon, Estimate, ExpectedError,
    Field, Mechanism, Noised, PlanError, PrivacyUnit, Query, Rank, RowsPerUnit, Schema, Spend,
    UnitKey, plan,
};
use salus_model::MicroRho;

use crate::support::{Device, EXACT, HALF, ask, column, fleet, observe, schema};

fn all(rows: &[Device]) -> Schema {
    schema(
        PrivacyUnit::Device,
        u32::try_from(rows.len()).unwrap(),
        u32::try_from(rows.len()).unwrap(),
    )
}

fn exact(query: &Query, rows: &[Device]) -> Answer {
    ask(query, &all(rows), EXACT, Mechanism::Gaussian, rows).answer()
}

fn value(answer: &Answer, name: &str) -> f64 {
    answer.rows.iter().find(|r| r.name == name).and_then(|r| r.estimate).unwrap().value
}

fn close(a: f64, b: f64) {
    assert!((a - b).abs() <= 1e-9 * b.abs().max(1.0), "{a} for {b}");
}

#[test]
fn counts_sums_and_groups_are_those_of_brute_force() {
    let rows = fleet(100);
    close(value(&exact(&Query::Count, &rows), "count"), 100.0);
    // Two rows of each unit; whatever the bound on rows, a unit is counted once.
    close(value(&exact(&Query::DistinctUnits, &rows), "distinct_count"), 50.0);
    let distinct = Query::DistinctCount { column: column("hours") };
    let brute: HashSet<u64> = rows.iter().map(|r| r.hours.to_bits()).collect();
    close(value(&exact(&distinct, &rows), "distinct_count"), brute.len() as f64);
    let sum = exact(&Query::Sum { column: column("battery") }, &rows);
    close(value(&sum, "sum"), rows.iter().map(|r| r.battery).sum());
    let keys = vec![column("model"), column("version")];
    let groups = exact(&Query::GroupedCount { keys, threshold_delta: None }, &rows);
    assert_eq!(groups.rows.len(), 12);
    for row in &groups.rows {
        let brute = rows.iter().filter(|r| row.key == [r.model, r.version]).count();
        close(row.estimate.unwrap().value, brute as f64);
    }
    let open =
        Query::GroupedCount { keys: vec![column("note")], threshold_delta: Delta::new(1e-6).ok() };
    let rows = fleet(400);
    let narrow = schema(PrivacyUnit::Device, 2, 2);
    let open = ask(&open, &narrow, EXACT, Mechanism::Gaussian, &rows).answer();
    let counts: BTreeMap<_, _> =
        open.rows.iter().map(|r| (r.key[0].clone(), r.estimate.unwrap().value)).collect();
    assert_eq!(
        counts,
        BTreeMap::from([("note 0".to_owned(), 200.0), ("note 1".to_owned(), 200.0)])
    );
}

#[test]
fn moments_and_lines_are_those_of_brute_force() {
    let rows = fleet(200);
    let n = rows.len() as f64;
    let mean = |f: &dyn Fn(&Device) -> f64| rows.iter().map(f).sum::<f64>() / n;
    let (mx, my) = (mean(&|r| r.battery), mean(&|r| r.hours.round()));
    let vx = mean(&|r| (r.battery - mx).powi(2));
    let vy = mean(&|r| (r.hours.round() - my).powi(2));
    let cxy = mean(&|r| (r.battery - mx) * (r.hours.round() - my));
    let x = column("battery");
    close(value(&exact(&Query::Mean { column: x.clone() }, &rows), "mean"), mx);
    let spread = exact(&Query::Variance { column: x.clone() }, &rows);
    close(value(&spread, "variance"), vx);
    close(value(&spread, "standard_deviation"), vx.sqrt());
    let line = exact(&Query::LinearRegression { x, y: column("hours") }, &rows);
    close(value(&line, "slope"), cxy / vx);
    close(value(&line, "intercept"), my - cxy / vx * mx);
    close(value(&line, "rmse"), (vy - cxy * cxy / vx).sqrt());
}

#[test]
fn bins_quantiles_and_top_groups_are_those_of_brute_force() {
    let rows = fleet(160);
    let small = Bounds::new(0.0, 15.0, 0).unwrap();
    for (name, field) in [("battery", 0), ("produced", 1)] {
        let edges = Edges::inner(small, &[4.0, 10.0]).unwrap();
        let bins = exact(&Query::Histogram { column: column(name), edges }, &rows);
        let of = |r: &Device| if field == 0 { r.battery } else { r.produced as f64 };
        for (row, (low, high)) in bins.rows.iter().zip([(0.0, 4.0), (4.0, 10.0), (10.0, 16.0)]) {
            let brute = rows.iter().filter(|r| (low..high).contains(&of(r))).count();
            close(row.estimate.unwrap().value, brute as f64);
        }
        let first = if field == 0 { "4" } else { "1970-01-01T00:00:04.000000Z" };
        assert_eq!(bins.rows[1].key[0], first);
    }
    let mut sorted: Vec<f64> = rows.iter().map(|r| r.battery).collect();
    sorted.sort_by(f64::total_cmp);
    let ranks = [0.1, 0.25, 0.5, 0.9].map(|q| Rank::new(q).unwrap()).to_vec();
    let found = exact(&Query::Quantiles { column: column("battery"), ranks: ranks.clone() }, &rows);
    for (row, rank) in found.rows.iter().zip(ranks) {
        let brute = sorted[(rank.get() * sorted.len() as f64).ceil() as usize - 1];
        close(row.estimate.unwrap().value, brute);
    }
    let low = exact(&Query::Minimum { column: column("hours") }, &rows);
    close(value(&low, "minimum"), rows.iter().map(|r| r.hours.round()).fold(99.0, f64::min));
    let high = exact(&Query::Maximum { column: column("hours") }, &rows);
    close(value(&high, "maximum"), rows.iter().map(|r| r.hours.round()).fold(0.0, f64::max));
    let top = Query::TopK { keys: vec![column("version")], k: 2, threshold_delta: None };
    let top = exact(&top, &rows);
    assert_eq!(top.rows.iter().map(|r| r.key[0].as_str()).collect::<Vec<_>>(), ["1", "2"]);
}

#[test]
fn parts_of_a_scan_merge_to_the_whole_and_units_must_not_be_split() {
    let rows = fleet(60);
    let query = Query::Variance { column: column("battery") };
    let plan = plan(&query, &all(&rows), EXACT, Mechanism::Gaussian).unwrap();
    let mut left = observe(&plan, &rows[..30]);
    left.merge(observe(&plan, &rows[30..])).unwrap();
    assert!(left.merge(observe(&plan, &rows[10..11])).is_err());
    let mut again = observe(&plan, &rows[..30]);
    again.merge(observe(&plan, &rows[30..])).unwrap();
    let whole = ask(&query, &all(&rows), EXACT, Mechanism::Gaussian, &rows);
    assert_eq!(plan.execute(again).unwrap().numbers(), whole.numbers());
}

#[test]
fn values_and_rows_beyond_the_bounds_do_not_count_for_more() {
    let schema = schema(PrivacyUnit::Device, 3, 2);
    let wild = |battery: f64| Device { battery, ..fleet(1)[0].clone() };
    let rows: Vec<Device> =
        [f64::INFINITY, 1e300, f64::NAN, -7.0, 3.0, 4.0].into_iter().map(wild).collect();
    let sum =
        ask(&Query::Sum { column: column("battery") }, &schema, EXACT, Mechanism::Gaussian, &rows);
    // Two rows at the upper bound; the missing one does not count; -7 is moved to 0; the rest is
    // beyond the three rows of this unit.
    assert_eq!(sum.numbers(), [30]);
    let keys = vec![column("model")];
    let groups = ask(
        &Query::GroupedCount { keys, threshold_delta: None },
        &schema,
        EXACT,
        Mechanism::Gaussian,
        &rows,
    );
    assert_eq!(groups.numbers(), [2, 0, 0, 0]);
    let count = ask(&Query::Count, &schema, EXACT, Mechanism::Gaussian, &rows);
    assert_eq!(count.numbers(), [3]);
}

/// How often the interval holds the exact value, for every kind of answer.
#[test]
fn intervals_cover_at_least_their_95_percent() {
    let (rows, runs) = (fleet(400), 300);
    let keys = vec![column("model")];
    let x = column("battery");
    let small = Bounds::new(0.0, 15.0, 0).unwrap();
    let kinds = [
        Query::Count,
        Query::DistinctCount { column: x.clone() },
        Query::GroupedCount { keys: keys.clone(), threshold_delta: None },
        Query::Sum { column: x.clone() },
        Query::Mean { column: x.clone() },
        Query::Variance { column: x.clone() },
        Query::Quantiles {
            column: x.clone(),
            ranks: vec![Rank::new(0.5).unwrap(), Rank::new(0.9).unwrap()],
        },
        Query::Minimum { column: x.clone() },
        Query::Maximum { column: x.clone() },
        Query::Histogram { column: x.clone(), edges: Edges::equal(small, 4).unwrap() },
        Query::LinearRegression { x: x.clone(), y: column("hours") },
        Query::TopK { keys, k: 2, threshold_delta: None },
    ];
    let schema = schema(PrivacyUnit::Device, 2, 2);
    for mechanism in [Mechanism::Gaussian, Mechanism::Laplace] {
        for query in &kinds {
            let truth = ask(query, &schema, EXACT, Mechanism::Gaussian, &rows).answer();
            let target = |row: &salus_dp::AnswerRow| {
                let same = |t: &&salus_dp::AnswerRow| t.key == row.key && t.name == row.name;
                truth.rows.iter().find(same).and_then(|t| t.estimate).map(|e| e.value)
            };
            let (mut inside, mut all) = (0usize, 0usize);
            for _ in 0..runs {
                for row in ask(query, &schema, Spend::Rho(HALF), mechanism, &rows).answer().rows {
                    let (Some(e), Some(t)) = (row.estimate, target(&row)) else { continue };
                    all += 1;
                    inside += usize::from(e.lower <= t && t <= e.upper);
                }
            }
            let (_, upper) = salus_dp::audit::clopper_pearson(inside, all, 1e-4);
            println!(
                "{mechanism:?} {query:?}: n {all}, inside {inside}, upper bound {upper:.4}, alpha 1e-4"
            );
            assert!(all > 0 && upper >= 0.95, "{query:?} covers {inside} of {all}");
        }
    }
}

/// The error announced before asking against the error measured.
#[test]
fn expected_errors_are_those_measured_over_10_000_runs() {
    let rows = fleet(40);
    let schema = schema(PrivacyUnit::Patient, 2, 2);
    for mechanism in [Mechanism::Gaussian, Mechanism::Laplace] {
        for query in [Query::Count, Query::Sum { column: column("battery") }] {
            let exact = ask(&query, &schema, EXACT, Mechanism::Gaussian, &rows).numbers()[0];
            let fresh = || plan(&query, &schema, Spend::Rho(HALF), mechanism).unwrap();
            let ExpectedError::Value { standard_error, .. } = fresh().expected_error(0) else {
                panic!("{query:?} has an error of its own");
            };
            let runs = 10_000;
            let errors: Vec<f64> = (0..runs)
                .map(|_| {
                    let plan = fresh();
                    let partial = observe(&plan, &rows);
                    (plan.execute(partial).unwrap().numbers()[0] - exact) as f64
                })
                .collect();
            let n = f64::from(runs);
            let mean = errors.iter().sum::<f64>() / n;
            let deviation = (errors.iter().map(|e| e * e).sum::<f64>() / n).sqrt();
            let bound = standard_error * 3.0 * (5.0 / n).sqrt();
            println!(
                "{mechanism:?} {query:?}: n {n}, mean {mean:.3}, deviation {deviation:.3}, announced {standard_error:.3} ±{bound:.3}, alpha 2e-9"
            );
            assert!((deviation - standard_error).abs() < bound);
            assert!(mean.abs() < 6.0 * standard_error / n.sqrt(), "biased by {mean}");
        }
    }
}

#[test]
fn a_plan_costs_what_was_allowed_and_tells_it_without_data() {
    let schema = schema(PrivacyUnit::Device, 1, 1);
    let delta = Delta::new(1e-6).unwrap();
    let spend = Spend::Epsilon { epsilon: Epsilon::new(0.5).unwrap(), delta };
    let plan_of = |m| plan(&Query::Count, &schema, spend, m).unwrap();
    let gaussian = plan_of(Mechanism::Gaussian);
    assert!(salus_dp::epsilon_from_rho(gaussian.cost().rho, delta).get() <= 0.5);
    let error = |p: &salus_dp::Plan| match p.expected_error(0) {
        ExpectedError::Value { standard_error, .. } => standard_error,
        other => panic!("{other:?}"),
    };
    assert!(error(&gaussian) < error(&plan_of(Mechanism::Laplace)));
    let pure = Spend::PureEpsilon(Epsilon::new(0.5).unwrap());
    let laplace = plan(&Query::Count, &schema, pure, Mechanism::Laplace).unwrap();
    assert_eq!(
        Some(laplace.cost().rho),
        salus_dp::rho_from_pure_epsilon(Epsilon::new(0.5).unwrap())
    );
    assert!(matches!(
        plan(&Query::Count, &schema, pure, Mechanism::Gaussian),
        Err(PlanError::PureNeedsLaplace)
    ));
    assert!(matches!(
        plan(&Query::Count, &schema, Spend::Rho(MicroRho::ZERO), Mechanism::Gaussian),
        Err(PlanError::NothingToSpend)
    ));
}

#[test]
fn units_are_counted_with_the_noise_of_one_row_each() {
    let wide = schema(PrivacyUnit::Patient, 8, 8);
    let scale = |query: &Query| {
        let noised = ask(query, &wide, Spend::Rho(HALF), Mechanism::Gaussian, &fleet(100));
        noised.noises().next().unwrap()[0].scale.get()
    };
    let (units, rows) = (scale(&Query::DistinctUnits), scale(&Query::Count));
    // At ρ = 1/2 the deviation is the sensitivity, rounded up to the scale's own steps.
    assert!((1.0..1.001).contains(&units) && (8.0..8.01).contains(&rows), "{units} {rows}");
    let noised = ask(&Query::DistinctUnits, &wide, EXACT, Mechanism::Gaussian, &fleet(100));
    assert_eq!(noised.numbers(), [50]);
}

#[test]
fn questions_that_do_not_fit_the_schema_are_refused() {
    let schema = schema(PrivacyUnit::Device, 1, 1);
    let refused = |query: &Query| plan(query, &schema, EXACT, Mechanism::Gaussian).unwrap_err();
    assert!(matches!(
        refused(&Query::Sum { column: column("absent") }),
        PlanError::UnknownColumn { .. }
    ));
    assert!(matches!(
        refused(&Query::Mean { column: column("model") }),
        PlanError::WrongColumn { .. }
    ));
    assert!(matches!(
        refused(&Query::Sum { column: column("produced") }),
        PlanError::WrongColumn { .. }
    ));
    let open = Query::GroupedCount { keys: vec![column("note")], threshold_delta: None };
    assert!(matches!(refused(&open), PlanError::NeedsThreshold { .. }));
    let none = Query::Quantiles { column: column("battery"), ranks: Vec::new() };
    assert!(matches!(refused(&none), PlanError::NothingAsked));
    let other = Edges::equal(Bounds::new(0.0, 9.0, 0).unwrap(), 3).unwrap();
    let bins = Query::Histogram { column: column("battery"), edges: other };
    assert!(matches!(refused(&bins), PlanError::EdgesOutside { .. }));
}

#[test]
fn schemas_are_checked_on_the_way_in() {
    for wrong in ["[5,5,0]", "[0,2199023255552,0]", "[0,1,10]", "[9,-9,2]"] {
        assert!(serde_json::from_str::<Bounds>(wrong).is_err(), "{wrong}");
    }
    assert!(serde_json::from_str::<Edges>("[0,3,3]").is_err());
    assert!(serde_json::from_str::<Edges>("[0]").is_err());
    assert!(serde_json::from_str::<Column>("{\"category\":[\"a\",\"a\"]}").is_err());
    assert!(serde_json::from_str::<ContributionBound>("[1,2]").is_err());
    assert!(serde_json::from_str::<ContributionBound>("[0,0]").is_err());
    assert!(serde_json::from_str::<Rank>("1.0").is_err());
    assert!(Bounds::new(f64::NAN, 1.0, 0).is_err());
    let text = serde_json::to_string(&schema(PrivacyUnit::Hospital, 9, 3)).unwrap();
    assert_eq!(serde_json::from_str::<Schema>(&text).unwrap(), schema(PrivacyUnit::Hospital, 9, 3));
}

/// Independent mode: holders' answers add up, with the noise of each.
#[test]
fn holders_answers_combine_and_keep_their_coverage() {
    let schema = schema(PrivacyUnit::Device, 2, 2);
    let rows = [fleet(100), fleet(60), fleet(240)];
    let mean = Query::Mean { column: column("battery") };
    let everything: Vec<Device> = rows
        .iter()
        .zip(0u128..)
        .flat_map(|(rows, h)| {
            rows.iter().map(move |r| Device { unit: r.unit + h * 1_000, ..r.clone() })
        })
        .collect();
    for (query, name) in [(Query::Count, "count"), (mean, "mean")] {
        let truth =
            value(&ask(&query, &schema, EXACT, Mechanism::Gaussian, &everything).answer(), name);
        let runs = 300;
        let inside = (0..runs)
            .filter(|_| {
                let each = rows
                    .iter()
                    .map(|r| ask(&query, &schema, Spend::Rho(HALF), Mechanism::Gaussian, r));
                let hub = plan(&query, &schema, Spend::Rho(HALF), Mechanism::Gaussian).unwrap();
                let sent = each.map(|n| serde_json::to_string(&n.into_parts()).unwrap());
                let got = sent.map(|text| hub.adopt(serde_json::from_str(&text).unwrap()).unwrap());
                let all = Noised::combine(got).unwrap();
                assert_eq!(all.sources(), 3);
                let e =
                    all.answer().rows.iter().find(|r| r.name == name).unwrap().estimate.unwrap();
                (e.lower..=e.upper).contains(&truth)
            })
            .count();
        let (_, upper) = salus_dp::audit::clopper_pearson(inside, runs, 1e-4);
        println!("{name}: n {runs}, inside {inside}, upper bound {upper:.4}, alpha 1e-4");
        assert!(upper >= 0.95);
    }
}

#[test]
fn answers_to_other_questions_do_not_combine() {
    let schema = schema(PrivacyUnit::Device, 1, 1);
    let rows = fleet(10);
    let sum =
        ask(&Query::Sum { column: column("battery") }, &schema, EXACT, Mechanism::Gaussian, &rows);
    let count = ask(&Query::Count, &schema, EXACT, Mechanism::Gaussian, &rows);
    assert!(Noised::combine([sum, count.clone()]).is_err());
    assert!(Noised::combine([]).is_err());
    let keys = vec![column("model")];
    let hub = plan(
        &Query::GroupedCount { keys, threshold_delta: None },
        &schema,
        EXACT,
        Mechanism::Gaussian,
    );
    assert!(hub.unwrap().adopt(count.into_parts()).is_err());
}

#[test]
fn one_row_per_unit_needs_no_keys_and_counts_alike() {
    let mut schema = schema(PrivacyUnit::Device, 5, 5);
    schema.rows_per_unit = RowsPerUnit::One;
    let plan_of = || plan(&Query::Count, &schema, Spend::Rho(HALF), Mechanism::Gaussian).unwrap();
    let mut bulk = plan_of().partial();
    bulk.observe_rows(1_000_000).unwrap();
    // The bound is one row, whatever the schema would allow a table with several.
    let ExpectedError::Value { standard_error, .. } = plan_of().expected_error(0) else {
        panic!("a count's error is its own");
    };
    assert!((standard_error - 1.0).abs() < 2e-3, "{standard_error}");
    let mut wrong =
        plan(&Query::Sum { column: column("battery") }, &schema, EXACT, Mechanism::Gaussian)
            .unwrap()
            .partial();
    assert!(wrong.observe_rows(3).is_err());
    assert!(wrong.observe(UnitKey::new(1), &[]).is_err());
    assert!(wrong.observe(UnitKey::new(1), &[Field::Text("high")]).is_err());
    assert_eq!(format!("{bulk:?} {:?}", UnitKey::new(7)), "Partial(redacted) UnitKey(redacted)");
}

#[test]
fn empty_data_answer_like_any_other() {
    let schema = schema(PrivacyUnit::Device, 1, 1);
    let keys = vec![column("model")];
    let groups = Query::GroupedCount { keys, threshold_delta: None };
    let answer = ask(&groups, &schema, Spend::Rho(HALF), Mechanism::Gaussian, &[]).answer();
    assert_eq!(answer.rows.len(), 4);
    let line = Query::LinearRegression { x: column("battery"), y: column("hours") };
    let answer = ask(&line, &schema, EXACT, Mechanism::Gaussian, &[]).answer();
    assert!(answer.rows.iter().all(|r| r.estimate.is_none()), "no line through nothing");
    let mean =
        ask(&Query::Mean { column: column("battery") }, &schema, EXACT, Mechanism::Gaussian, &[]);
    assert!(mean.answer().rows.iter().all(|r| r.estimate.is_none()));
}

#[test]
fn consistent_counts_are_whole_not_negative_and_add_up() {
    let counts = salus_dp::consistency::nonnegative_counts(&[10.4, -3.0, 5.2, 0.4], 12);
    assert_eq!(counts.iter().sum::<u64>(), 12);
    assert_eq!(counts, [9, 0, 3, 0]);
    let table =
        salus_dp::consistency::nonnegative_table(&[vec![1.0, -1.0], vec![-5.0, -6.0]], &[3, 0]);
    assert_eq!(table.iter().map(|r| r.iter().sum::<u64>()).collect::<Vec<_>>(), [3, 0]);
    let estimate = Estimate { value: 0.0, lower: 0.0, upper: 0.0, standard_error: 0.0 };
    assert!(estimate.lower <= estimate.upper);
}
