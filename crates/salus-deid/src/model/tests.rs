#![allow(clippy::unwrap_used)]

use super::class::{Histogram, SensitiveReference};
use super::{GroundDistance, Likeness, PrivacyModel, Sensitive};
use crate::hierarchy::Hierarchy;
use crate::table::Column;

/// Whether a class with these values satisfies `rule` against the whole column.
fn holds(all: &[&str], class: &[&str], rule: &Sensitive) -> bool {
    let column = Column::from_values("s", all).unwrap();
    let reference = SensitiveReference::of(&column, rule).unwrap();
    let mut histogram = Histogram::with_values(column.dictionary().len());
    for value in class {
        let code = column.dictionary().iter().position(|v| v == value).unwrap();
        histogram.add(code as u32, 1);
    }
    rule.holds(&histogram, &reference)
}

fn between(all: &[&str], class: &[&str], distance: GroundDistance, expected: f64) {
    let rule = |t| Sensitive::Close { t, distance: distance.clone() };
    assert!(holds(all, class, &rule(expected + 1e-6)), "above {expected}");
    assert!(!holds(all, class, &rule(expected - 1e-6)), "not above {}", expected - 1e-6);
}

/// Table 3 of Li, Li and Venkatasubramanian 2007: nine salaries from 3k to 11k.
const SALARIES: [&str; 9] = ["3", "4", "5", "6", "7", "8", "9", "10", "11"];

#[test]
fn ordered_distances_are_those_of_the_paper() {
    // Section 5.1: D[{3k,4k,5k}, Q] = 0.375 and D[{6k,8k,11k}, Q] = 0.167.
    between(&SALARIES, &["3", "4", "5"], GroundDistance::Ordered, 0.375);
    between(&SALARIES, &["6", "8", "11"], GroundDistance::Ordered, 1.0 / 6.0);
}

#[test]
fn hierarchical_distances_follow_the_tree() {
    let rows =
        [["a", "x", "*"], ["b", "x", "*"], ["c", "y", "*"], ["d", "y", "*"]].map(|r| r.to_vec());
    let tree = GroundDistance::Hierarchical(Hierarchy::from_rows(&rows).unwrap());
    let all = ["a", "b", "c", "d"];
    // Half the mass leaves its subtree at cost 1, a quarter moves within it at cost 1/2.
    between(&all, &["a"], tree.clone(), 0.5 + 0.25 * 0.5);
    // Half stays in place; a quarter moves within each subtree.
    between(&all, &["a", "c"], tree, 0.5 * 0.5);
}

#[test]
fn a_forest_without_a_root_does_not_move_mass_for_nothing() {
    let rows = [["a", "x"], ["b", "y"]].map(|r| r.to_vec());
    let forest = GroundDistance::Hierarchical(Hierarchy::from_rows(&rows).unwrap());
    between(&["a", "b"], &["a"], forest, 0.5);
}

#[test]
fn equal_distance_is_total_variation() {
    between(&["a", "b", "c", "d"], &["a", "b"], GroundDistance::Equal, 0.5);
}

#[test]
fn recursive_diversity_compares_with_the_tail() {
    let all = ["a", "b", "c"];
    let class = ["a", "a", "a", "b", "b", "c"];
    // 3 < c · (2 + 1) needs c > 1; 3 < c · 1 needs c > 3.
    assert!(!holds(&all, &class, &Sensitive::Recursive { c: 1.0, l: 2 }));
    assert!(holds(&all, &class, &Sensitive::Recursive { c: 1.01, l: 2 }));
    assert!(!holds(&all, &class, &Sensitive::Recursive { c: 3.0, l: 3 }));
    assert!(holds(&all, &class, &Sensitive::Recursive { c: 3.01, l: 3 }));
    assert!(!holds(&all, &["a", "b"], &Sensitive::Recursive { c: 100.0, l: 3 }));
}

#[test]
fn entropy_diversity_accepts_exactly_l_equal_values() {
    let all = ["a", "b", "c"];
    assert!(holds(&all, &["a", "b", "c"], &Sensitive::Entropy { l: 3.0 }));
    assert!(!holds(&all, &["a", "a", "b", "c"], &Sensitive::Entropy { l: 3.0 }));
}

#[test]
fn enhanced_likeness_is_stricter_where_a_value_is_frequent() {
    // p = 3/4; certainty is a relative gain of 1/3, above −ln(3/4) = 0.288.
    let all = ["a", "a", "a", "b"];
    assert!(holds(&all, &["a"], &Sensitive::Like { beta: 0.34, kind: Likeness::Basic }));
    assert!(!holds(&all, &["a"], &Sensitive::Like { beta: 0.34, kind: Likeness::Enhanced }));
    // b: p = 1/4, gain of 1 when it is half of a class.
    assert!(!holds(&all, &["a", "b"], &Sensitive::Like { beta: 0.99, kind: Likeness::Basic }));
    assert!(holds(&all, &["a", "b"], &Sensitive::Like { beta: 1.0, kind: Likeness::Basic }));
}

#[test]
fn parameters_that_guarantee_nothing_are_refused() {
    assert!(PrivacyModel::k_anonymity(0).is_err());
    assert!(PrivacyModel::entropy_diversity("s", f64::NAN).is_err());
    assert!(PrivacyModel::recursive_diversity("s", 0.0, 2).is_err());
    assert!(PrivacyModel::t_closeness("s", 1.1, GroundDistance::Equal).is_err());
    assert!(PrivacyModel::delta_presence(0.5, 0.4).is_err());
    assert!(PrivacyModel::beta_likeness("s", -1.0, Likeness::Basic).is_err());
    assert!(PrivacyModel::average_risk(0.0).is_err());
}
