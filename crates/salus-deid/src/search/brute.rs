//! The search held against weighing every node by the definitions alone, on texts: every model
//! about a sensitive column, and classes that count people.

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use crate::{
    Aggregate, Column, GroundDistance, Hierarchy, Likeness, Loss, PrivacyModel, Problem,
    ProblemError, QuasiIdentifier, QuasiIdentifiers, SearchError, SuppressionLimit, Table,
};

const COLUMNS: usize = 2;

/// Eight values, joined by twos, fours and all.
fn tree(values: u32) -> Hierarchy {
    let rows: Vec<Vec<String>> = (0..values)
        .map(|v| vec![v.to_string(), format!("p{}", v / 2), format!("q{}", v / 4), "*".into()])
        .collect();
    Hierarchy::from_rows(&rows).unwrap()
}

fn quasi() -> QuasiIdentifiers {
    let item = |c| QuasiIdentifier { column: format!("c{c}"), hierarchy: tree(8) };
    QuasiIdentifiers::new((0..COLUMNS).map(item).collect()).unwrap()
}

/// A record: known values, and whose it is.
type Record = (Vec<u8>, usize);

/// A table; the sensitive value is the person's, the same in all records of one.
fn table(records: &[Record], secret_of: &[u8]) -> Table {
    let text = |c: usize| records.iter().map(move |(q, _)| q[c].to_string());
    let mut built: Vec<Column> =
        (0..COLUMNS).map(|c| Column::from_values(format!("c{c}"), text(c)).unwrap()).collect();
    let secrets = records.iter().map(|(_, p)| secret_of[*p].to_string());
    built.push(Column::from_values("s", secrets).unwrap());
    built.push(Column::from_values("who", records.iter().map(|(_, p)| p.to_string())).unwrap());
    Table::from_columns(built).unwrap()
}

#[derive(Debug, Clone, Copy)]
enum About {
    Nothing,
    Distinct(u32),
    Entropy(f64),
    Recursive(f64, u32),
    Equal(f64),
    Ordered(f64),
    Hierarchical(f64),
    Basic(f64),
    Enhanced(f64),
}

impl About {
    fn model(self) -> Option<PrivacyModel> {
        let close = |t, distance| PrivacyModel::t_closeness("s", t, distance).unwrap();
        let like = |beta, kind| PrivacyModel::beta_likeness("s", beta, kind).unwrap();
        Some(match self {
            Self::Nothing => return None,
            Self::Distinct(l) => PrivacyModel::distinct_diversity("s", l).unwrap(),
            Self::Entropy(l) => PrivacyModel::entropy_diversity("s", l).unwrap(),
            Self::Recursive(c, l) => PrivacyModel::recursive_diversity("s", c, l).unwrap(),
            Self::Equal(t) => close(t, GroundDistance::Equal),
            Self::Ordered(t) => close(t, GroundDistance::Ordered),
            Self::Hierarchical(t) => close(t, GroundDistance::Hierarchical(tree(4))),
            Self::Basic(beta) => like(beta, Likeness::Basic),
            Self::Enhanced(beta) => like(beta, Likeness::Enhanced),
        })
    }

    /// The definition, on the counts of a class and of everybody by value.
    fn holds(self, class: &BTreeMap<u8, u32>, all: &BTreeMap<u8, u32>) -> bool {
        let total = |counts: &BTreeMap<u8, u32>| f64::from(counts.values().sum::<u32>());
        let share = |counts: &BTreeMap<u8, u32>, v: u8| {
            f64::from(counts.get(&v).copied().unwrap_or(0)) / total(counts)
        };
        let values: Vec<u8> = all.keys().copied().collect();
        let gap = |v: u8| share(class, v) - share(all, v);
        let mut sorted: Vec<u32> = class.values().copied().collect();
        sorted.sort_unstable_by(|a, b| b.cmp(a));
        let gains = |most: &dyn Fn(f64) -> f64| {
            class.keys().all(|&v| gap(v) / share(all, v) <= most(share(all, v)) + 1e-9)
        };
        match self {
            Self::Nothing => true,
            Self::Distinct(l) => sorted.len() >= l as usize,
            Self::Entropy(l) => {
                let plogp = |&v: &u8| -share(class, v) * share(class, v).ln();
                class.keys().map(plogp).sum::<f64>() + 1e-9 >= l.ln()
            }
            Self::Recursive(c, l) => {
                let tail: u32 = sorted.iter().skip(l as usize - 1).sum();
                f64::from(sorted[0]) < c * f64::from(tail)
            }
            Self::Equal(t) => values.iter().map(|&v| gap(v).abs()).sum::<f64>() / 2.0 <= t + 1e-9,
            Self::Ordered(t) => transport(&values, gap) <= t + 1e-9,
            // In a tree whose leaves are all 3 edges deep, a path up h and down h costs h/3 when
            // an edge costs 1/6; the cheapest flow through an edge is what is over below it.
            Self::Hierarchical(t) => {
                let below = |level: u32| -> f64 {
                    let mut over: BTreeMap<u8, f64> = BTreeMap::new();
                    for &v in &values {
                        *over.entry(v >> level).or_default() += gap(v);
                    }
                    over.values().map(|x| x.abs()).sum()
                };
                (0..3).map(below).sum::<f64>() / 6.0 <= t + 1e-9
            }
            Self::Basic(beta) => gains(&|_| beta),
            Self::Enhanced(beta) => gains(&|p| beta.min(-p.ln())),
        }
    }
}

/// The earth mover's distance of ordered values, moved by hand: what is over is carried to the
/// nearest place where it is missing, in order, which is the cheapest on a line.
fn transport(values: &[u8], gap: impl Fn(u8) -> f64) -> f64 {
    let mut over: Vec<(usize, f64)> = Vec::new();
    let mut under: Vec<(usize, f64)> = Vec::new();
    for (place, &v) in values.iter().enumerate() {
        match gap(v) {
            x if x > 0.0 => over.push((place, x)),
            x => under.push((place, -x)),
        }
    }
    let (mut i, mut j, mut moved) = (0, 0, 0.0);
    while i < over.len() && j < under.len() {
        let mass = over[i].1.min(under[j].1);
        moved += mass * over[i].0.abs_diff(under[j].0) as f64;
        over[i].1 -= mass;
        under[j].1 -= mass;
        if over[i].1 <= 1e-12 {
            i += 1;
        } else {
            j += 1;
        }
    }
    if values.len() < 2 { 0.0 } else { moved / (values.len() - 1) as f64 }
}

#[derive(Debug, Clone, Copy)]
struct Demand {
    k: usize,
    about: About,
    average: Option<f64>,
    people: bool,
}

/// How many of each value there are: of people, or of records.
fn counts(records: &[Record], rows: &[usize], secret_of: &[u8], people: bool) -> BTreeMap<u8, u32> {
    let mut found = BTreeMap::new();
    let mut met = BTreeSet::new();
    for &row in rows {
        let person = records[row].1;
        if met.insert(person) || !people {
            *found.entry(secret_of[person]).or_insert(0) += 1;
        }
    }
    found
}

/// The loss at a node by the definitions alone; infinite when the models fail.
fn naive(records: &[Record], secret_of: &[u8], levels: &[u8], demand: Demand, limit: usize) -> f64 {
    let n = records.len();
    let mut classes: BTreeMap<Vec<u8>, Vec<usize>> = BTreeMap::new();
    for (row, (values, _)) in records.iter().enumerate() {
        let key = values.iter().zip(levels).map(|(v, level)| v >> level).collect();
        classes.entry(key).or_default().push(row);
    }
    let of = |rows: &[usize]| counts(records, rows, secret_of, demand.people);
    let size = |rows: &[usize]| of(rows).values().sum::<u32>() as usize;
    let all = of(&(0..n).collect::<Vec<_>>());
    let mut kept: Vec<&Vec<usize>> = classes
        .values()
        .filter(|rows| size(rows) >= demand.k && demand.about.holds(&of(rows), &all))
        .collect();
    if let Some(most) = demand.average {
        let risk = |kept: &[&Vec<usize>]| {
            kept.len() as f64 / kept.iter().map(|rows| size(rows)).sum::<usize>() as f64
        };
        while !kept.is_empty() && risk(&kept) > most {
            let smallest = kept.iter().map(|rows| size(rows)).min().unwrap();
            kept.retain(|rows| size(rows) > smallest);
        }
    }
    let kept: usize = kept.iter().map(|rows| rows.len()).sum();
    if n - kept > limit {
        return f64::INFINITY;
    }
    let product: f64 = levels
        .iter()
        .map(|level| {
            let open = f64::from(1u32 << level) / 8.0;
            let sum = kept as f64 * open + (n - kept) as f64;
            let low = n as f64 / 8.0;
            1.0 + ((sum - low) / (n as f64 - low)).max(0.0)
        })
        .product();
    product.powf(1.0 / levels.len() as f64) - 1.0
}

fn about() -> impl Strategy<Value = About> {
    prop_oneof![
        Just(About::Nothing),
        (1u32..4).prop_map(About::Distinct),
        (1.0..3.0f64).prop_map(About::Entropy),
        (0.3..4.0f64, 1u32..4).prop_map(|(c, l)| About::Recursive(c, l)),
        (0.05..0.6f64).prop_map(About::Equal),
        (0.02..0.5f64).prop_map(About::Ordered),
        (0.02..0.5f64).prop_map(About::Hierarchical),
        (0.1..3.0f64).prop_map(About::Basic),
        (0.1..3.0f64).prop_map(About::Enhanced),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn every_model_is_searched_as_its_definition_says(
        records in prop::collection::vec((prop::collection::vec(0u8..8, COLUMNS), 0usize..12), 5..60),
        secret_of in prop::collection::vec(0u8..4, 12),
        k in 1usize..5,
        about in about(),
        average in prop::option::weighted(0.25, 0.1..0.6f64),
        people in any::<bool>(),
        limit in prop::sample::select(vec![0.0, 0.05, 0.2, 0.5, 1.0]),
    ) {
        let demand = Demand { k, about, average, people };
        let (table, quasi) = (table(&records, &secret_of), quasi());
        let most = (limit * records.len() as f64).floor() as usize;
        let nodes = (0..4u8).flat_map(|a| (0..4u8).map(move |b| [a, b]));
        let best = nodes
            .map(|levels| naive(&records, &secret_of, &levels, demand, most))
            .fold(f64::INFINITY, f64::min);
        let mut models = vec![PrivacyModel::k_anonymity(k as u32).unwrap()];
        models.extend(about.model());
        models.extend(average.map(|most| PrivacyModel::average_risk(most).unwrap()));
        let loss = Loss::new(Aggregate::GeometricMean, 0.5).unwrap();
        let share = SuppressionLimit::new(limit).unwrap();
        let mut problem = Problem::new(&table, &quasi, &models, share, loss, None).unwrap();
        if people {
            problem = problem.for_people(table.column("who").unwrap()).unwrap();
        }
        match problem.optimum() {
            Ok(found) => {
                prop_assert!((found.loss - best).abs() < 1e-9, "{} where {best}", found.loss);
                let own = naive(&records, &secret_of, found.levels.as_slice(), demand, most);
                prop_assert!((own - best).abs() < 1e-9);
                prop_assert!(found.suppressed.len() <= most);
            }
            Err(SearchError::Unsatisfiable) => prop_assert!(best.is_infinite(), "missed {best}"),
            Err(other) => prop_assert!(false, "{other}"),
        }
    }

    /// Local recoding and Mondrian, judged on the table that they give.
    #[test]
    fn recoded_classes_hold_enough_people(
        records in prop::collection::vec((prop::collection::vec(0u8..8, COLUMNS), 0usize..12), 5..60),
        secret_of in prop::collection::vec(0u8..4, 12),
        k in 1usize..5,
        l in 1u32..3,
    ) {
        let (table, quasi) = (table(&records, &secret_of), quasi());
        let models = [
            PrivacyModel::k_anonymity(k as u32).unwrap(),
            PrivacyModel::distinct_diversity("s", l).unwrap(),
        ];
        let share = SuppressionLimit::NONE;
        let problem = Problem::new(&table, &quasi, &models, share, Loss::REFERENCE, None)
            .unwrap()
            .for_people(table.column("who").unwrap())
            .unwrap();
        let everybody: BTreeSet<usize> = records.iter().map(|(_, person)| *person).collect();
        let values: BTreeSet<u8> = everybody.iter().map(|p| secret_of[*p]).collect();
        let possible = everybody.len() >= k && values.len() >= l as usize;
        for recoded in [problem.recode_locally(), problem.mondrian()] {
            let recoded = match recoded {
                Ok(recoded) => recoded.table,
                Err(error) => {
                    prop_assert!(!possible && matches!(error, SearchError::Unsatisfiable));
                    continue;
                }
            };
            let mut classes: BTreeMap<Vec<String>, Vec<usize>> = BTreeMap::new();
            for row in 0..recoded.rows() {
                let label = |c| recoded.column(&format!("c{c}")).unwrap().value(row).unwrap();
                let key = (0..COLUMNS).map(|c| label(c).to_owned()).collect();
                classes.entry(key).or_default().push(row);
            }
            for rows in classes.values() {
                let found = counts(&records, rows, &secret_of, true);
                prop_assert!(found.values().sum::<u32>() as usize >= k);
                prop_assert!(found.len() >= l as usize);
            }
        }
    }
}

#[test]
fn people_with_several_sensitive_values_are_refused() {
    let records: Vec<Record> = (0..6).map(|i| (vec![0, 0], i / 2)).collect();
    let secrets = Column::from_values("s", ["a", "b", "a", "a", "b", "b"]).unwrap();
    let table = table(&records, &[0, 0, 0]).with_column(secrets).unwrap();
    let quasi = quasi();
    let diverse = [PrivacyModel::distinct_diversity("s", 2).unwrap()];
    let share = SuppressionLimit::NONE;
    let whose = table.column("who").unwrap();
    let problem = Problem::new(&table, &quasi, &diverse, share, Loss::REFERENCE, None).unwrap();
    let refused = problem.for_people(whose).unwrap_err();
    assert!(matches!(refused, ProblemError::SeveralValues(column) if column == "s"));
    // A column that is published cannot say whose a record is.
    let k = [PrivacyModel::k_anonymity(2).unwrap()];
    let problem = Problem::new(&table, &quasi, &k, share, Loss::REFERENCE, None).unwrap();
    let refused = problem.for_people(table.column("c0").unwrap()).unwrap_err();
    assert!(matches!(refused, ProblemError::PublishedPerson(column) if column == "c0"));
}
