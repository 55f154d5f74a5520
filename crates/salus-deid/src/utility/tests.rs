#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::num::NonZeroU32;

use super::{Curve, Utility, Volume, classification_accuracy};
use crate::test_entropy::Sequence;
use crate::{Column, Hierarchy, QuasiIdentifier, QuasiIdentifiers, Table};

fn quasi() -> QuasiIdentifiers {
    let rows =
        [["a", "x", "*"], ["b", "x", "*"], ["c", "y", "*"], ["d", "y", "*"]].map(|r| r.to_vec());
    let hierarchy = Hierarchy::from_rows(&rows).unwrap();
    QuasiIdentifiers::new(vec![QuasiIdentifier { column: "q".into(), hierarchy }]).unwrap()
}

fn table(values: &[&str]) -> Table {
    Table::from_columns(vec![Column::from_values("q", values).unwrap()]).unwrap()
}

#[test]
fn an_untouched_table_loses_nothing() {
    let input = table(&["a", "a", "b", "c", "d", "d"]);
    let same = Utility::measure(&input, &input, &quasi()).unwrap();
    assert!((same.granularity - 1.0).abs() < 1e-12);
    assert!(same.entropy_loss.abs() < 1e-12 && same.divergence.abs() < 1e-12);
    assert!(same.columns[0].error.abs() < 1e-12);
    assert!((same.average_class_size - 1.5).abs() < 1e-12);
    // (2² + 1 + 1 + 2²) / 6²
    assert!((same.discernibility - 10.0 / 36.0).abs() < 1e-12);
}

#[test]
fn a_suppressed_table_loses_all() {
    let input = table(&["a", "a", "b", "c"]);
    let nothing = Utility::measure(&input, &table(&["*"; 4]), &quasi()).unwrap();
    assert!(nothing.granularity.abs() < 1e-12);
    assert!((nothing.entropy_loss - 1.0).abs() < 1e-12);
    assert!((nothing.discernibility - 1.0).abs() < 1e-12);
    assert_eq!(nothing.suppressed, 4);
    // What is published is one group of four alike records.
    assert!((nothing.average_class_size - 4.0).abs() < 1e-12);
}

#[test]
fn generalised_labels_cost_what_they_leave_open() {
    let input = table(&["a", "a", "a", "b"]);
    let coarse = Utility::measure(&input, &table(&["x"; 4]), &quasi()).unwrap();
    assert!((coarse.granularity - (1.0 - 1.0 / 3.0)).abs() < 1e-12);
    // Spread evenly, a quarter of the mass of a goes to b.
    assert!((coarse.columns[0].error - 0.25).abs() < 1e-12);
    // Three times ln(3/4 · 2) and once ln(1/4 · 2), over four.
    let expected = (3.0 * 1.5f64.ln() + 0.5f64.ln()) / 4.0;
    assert!((coarse.divergence - expected).abs() < 1e-12);
}

#[test]
fn a_classifier_loses_what_the_features_lose() {
    let n = 400;
    let feature: Vec<&str> = (0..n).map(|i| ["a", "b", "c", "d"][i % 4]).collect();
    let label: Vec<&str> = (0..n).map(|i| if i % 4 < 2 { "yes" } else { "no" }).collect();
    let make = |values: &[&str]| {
        table(values).with_column(Column::from_values("t", &label).unwrap()).unwrap()
    };
    let five = NonZeroU32::new(5).unwrap();
    let measure = |output: &[&str]| {
        let (a, b) = (make(&feature), make(output));
        classification_accuracy(&a, &b, &["q"], "t", five, &mut Sequence::new(3)).unwrap()
    };
    let coarse: Vec<&str> = feature.iter().map(|f| if *f < "c" { "x" } else { "y" }).collect();
    let kept = measure(&coarse);
    assert!((kept.input - 1.0).abs() < 1e-12 && (kept.output - 1.0).abs() < 1e-12);
    assert!((kept.baseline - 0.5).abs() < 1e-12 && (kept.relative() - 1.0).abs() < 1e-12);
    let lost = measure(&vec!["*"; n]);
    assert!(lost.output < 0.6, "{lost:?}");
}

/// A class that follows from a number with ten values, wrong one time in ten.
fn taught(rows: usize) -> Table {
    let mut entropy = Sequence::new(4);
    let mut dice = crate::dice::Dice::new(&mut entropy);
    let (mut number, mut class) = (Vec::new(), Vec::new());
    for _ in 0..rows {
        let x = dice.below(10).unwrap();
        let right = dice.below(10).unwrap() > 0;
        number.push(x.to_string());
        class.push(if (x < 3) == right { "rare" } else { "usual" });
    }
    Table::from_columns(vec![
        Column::from_values("x", number).unwrap(),
        Column::from_values("class", class).unwrap(),
    ])
    .unwrap()
}

#[test]
fn a_learning_curve_flattens_where_there_is_enough() {
    let measure = |rows: usize| {
        let table = taught(rows);
        let curve = Curve { points: 5, repeats: 12 };
        Volume::measure(&table, &["x"], "class", curve, &mut Sequence::new(8)).unwrap()
    };
    let (small, large) = (measure(60), measure(20_000));
    for volume in [&small, &large] {
        println!(
            "{} records: curve {:?}, gain {:.4} ± {:.4}",
            volume.records,
            volume.curve.iter().map(|p| p.accuracy).collect::<Vec<_>>(),
            volume.gain,
            2.0 * volume.gain_error
        );
    }
    assert!((large.chance - 0.5).abs() < 1e-12);
    let sizes: Vec<u64> = large.curve.iter().map(|p| p.records).collect();
    assert_eq!(sizes, [1_000, 2_000, 4_000, 8_000, 16_000]);
    // 0.34 of the records are of the rare class; of them 0.27 are told by x.
    let best = f64::midpoint(0.27 / 0.34, 0.63 / 0.66);
    assert!((large.curve[4].accuracy - best).abs() < 0.01, "{}", large.curve[4].accuracy);
    assert!(large.is_settled(0.01) && !small.is_settled(0.01));
    let classes: Vec<&str> = large.classes.iter().map(|c| c.class.as_str()).collect();
    assert_eq!(classes, ["rare", "usual"]);
    assert_eq!(large.classes.iter().map(|c| c.records).sum::<u64>(), 20_000);
    assert_eq!(large.thin_classes(10_000).count(), 1);
}
