#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::{KmAnonymity, SetError};
use crate::{Column, Hierarchy};

/// The taxonomy of Terrovitis et al. 2008, figure 2: {a1, a2} under A, {b1, b2} under B.
fn taxonomy() -> Hierarchy {
    let rows = [["a1", "A", "*"], ["a2", "A", "*"], ["b1", "B", "*"], ["b2", "B", "*"]]
        .map(|r| r.to_vec());
    Hierarchy::from_rows(&rows).unwrap()
}

#[test]
fn the_example_of_the_paper_is_solved_as_there() {
    // Figure 1 of the paper, k = m = 2: generalising a1 and a2 to A suffices.
    let lists = ["a1,b1,b2", "a2,b1", "a2,b1,b2", "a1,a2,b2"];
    let column = Column::from_values("basket", lists).unwrap();
    let model = KmAnonymity::new(2, 2).unwrap();
    assert!(!model.holds(&column, ',').unwrap());
    let done = model.anonymise(&column, ',', &taxonomy()).unwrap();
    assert_eq!(done.column.value(0), Some("A,b1,b2"));
    assert_eq!(done.column.value(3), Some("A,b2"));
    assert!(model.holds(&done.column, ',').unwrap());
    // Five of the eleven items are published as one of two out of four.
    assert!((done.loss - 5.0 * 0.5 / 11.0).abs() < 1e-12);
    assert_eq!(done.suppressed_items, 0);
}

#[test]
fn what_is_rare_even_at_the_top_is_suppressed() {
    let column = Column::from_values("c", ["a1", "", ""]).unwrap();
    let done = KmAnonymity::new(2, 1).unwrap().anonymise(&column, ',', &taxonomy()).unwrap();
    assert_eq!(done.column.value(0), Some(""));
    assert!((done.loss - 1.0).abs() < 1e-12);
    assert_eq!(done.suppressed_items, 4);
}

#[test]
fn unknown_items_and_empty_promises_are_refused() {
    let column = Column::from_values("c", ["a1", "a1,z9"]).unwrap();
    let refused = KmAnonymity::new(2, 1).unwrap().anonymise(&column, ',', &taxonomy());
    assert!(refused.unwrap_err().to_string().contains("record 2"));
    assert!(matches!(KmAnonymity::new(0, 1), Err(SetError::Parameter)));
    assert!(matches!(KmAnonymity::new(2, 0), Err(SetError::Parameter)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_result_always_satisfies_the_model(
        lists in prop::collection::vec(prop::collection::vec(0usize..4, 0..4), 1..30),
        k in 1u32..6,
        m in 1usize..4,
    ) {
        let names = ["a1", "a2", "b1", "b2"];
        let texts = lists.iter().map(|l| l.iter().map(|&i| names[i]).collect::<Vec<_>>().join("|"));
        let column = Column::from_values("c", texts).unwrap();
        let model = KmAnonymity::new(k, m).unwrap();
        let done = model.anonymise(&column, '|', &taxonomy()).unwrap();
        prop_assert!(model.holds(&done.column, '|').unwrap());
    }
}
