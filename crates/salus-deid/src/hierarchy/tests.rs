#![allow(clippy::unwrap_used)]

use super::{CodeSystem, DateLevel, Hierarchy, HierarchyError, Intervals, Stated};
use crate::table::{Column, CsvFormat};

fn texts(values: &[&str]) -> Vec<String> {
    values.iter().map(|v| (*v).to_owned()).collect()
}

#[test]
fn a_file_gives_the_levels_it_lists() {
    let format = CsvFormat::with_delimiter(b';').without_header();
    let h =
        Hierarchy::read_csv("a;vowel;*\nb;consonant;*\ne;vowel;*\n".as_bytes(), format).unwrap();
    assert_eq!((h.domain(), h.top()), (3, 2));
    assert_eq!(h.generalise("e", 1), Some("vowel"));
    assert_eq!(h.generalise("e", 3), None);
    assert_eq!(h.generalise("x", 1), None);
    assert_eq!((h.leaves(h.node(0, 1), 1), h.leaves(h.node(1, 1), 1)), (2, 1));
}

#[test]
fn a_level_that_cuts_across_the_one_below_is_refused_by_line() {
    let rows = [["1", "low", "x"], ["2", "low", "y"], ["3", "high", "y"]].map(|r| r.to_vec());
    match Hierarchy::from_rows(&rows) {
        Err(HierarchyError::NotNested { entry: 2, level: 1, label }) => assert_eq!(label, "low"),
        other => panic!("{other:?}"),
    }
    let twice = [["1", "*"], ["1", "*"]].map(|r| r.to_vec());
    assert!(matches!(Hierarchy::from_rows(&twice), Err(HierarchyError::Duplicate { entry: 2 })));
    let ragged = vec![vec!["1", "*"], vec!["2"]];
    let message = Hierarchy::from_rows(&ragged).unwrap_err();
    assert!(matches!(message, HierarchyError::Table(_)));
}

#[test]
fn intervals_nest_and_code_the_ends() {
    let plan =
        Intervals { origin: 0.0, width: 5.0, fanout: 2, levels: 3, lowest: 20.0, highest: 80.0 };
    let h = Hierarchy::intervals(&texts(&["3", "21", "24.5", "67", "79", "95"]), plan).unwrap();
    assert_eq!(h.generalise("24.5", 1), Some("[20, 25)"));
    assert_eq!(h.generalise("67", 3), Some("[60, 80)"));
    assert_eq!(h.generalise("3", 1), Some("<20"));
    assert_eq!(h.generalise("95", 2), Some(">=80"));
    assert_eq!(h.generalise("95", 4), Some("*"));
    assert!(matches!(
        Hierarchy::intervals(&texts(&["3", "old"]), plan),
        Err(HierarchyError::Unreadable { entry: 2, expected: "number" })
    ));
}

#[test]
fn dates_coarsen_by_the_calendar_and_weeks_do_not_nest_in_months() {
    let days = texts(&["2024-01-31", "2024-02-01T08:00:00Z", "1999-12-31"]);
    let h =
        Hierarchy::dates(&days, &[DateLevel::Month, DateLevel::Year, DateLevel::Decade]).unwrap();
    assert_eq!(h.generalise("2024-02-01T08:00:00Z", 1), Some("2024-02"));
    assert_eq!(h.generalise("1999-12-31", 3), Some("1990s"));
    let crossing = Hierarchy::dates(&days, &[DateLevel::Week, DateLevel::Month]);
    assert!(matches!(crossing, Err(HierarchyError::NotNested { .. })));
}

#[test]
fn codes_coarsen_by_their_own_structure() {
    let icd = texts(&["E11.9", "E10.1", "I21.0", "D48.1", "D50.0", "H59.0", "H60.1"]);
    let h = Hierarchy::codes(&icd, CodeSystem::Icd10).unwrap();
    assert_eq!(h.generalise("E11.9", 1), Some("E11"));
    assert_eq!(h.generalise("E11.9", 3), Some("chapter IV"));
    assert_eq!(h.generalise("D48.1", 3), Some("chapter II"));
    assert_eq!(h.generalise("D50.0", 3), Some("chapter III"));
    assert_eq!(h.generalise("H60.1", 3), Some("chapter VIII"));
    let h = Hierarchy::codes(&texts(&["A10BA02", "A10BB01"]), CodeSystem::Atc).unwrap();
    assert_eq!(h.generalise("A10BA02", 1), Some("A10BA"));
    assert_eq!(h.generalise("A10BA02", 2), Some("A10B"));
    assert_eq!(h.generalise("A10BA02", 4), Some("A"));
    let h = Hierarchy::codes(&texts(&["10115", "10117", "20095"]), CodeSystem::Postcode).unwrap();
    assert_eq!(h.generalise("10117", 1), Some("1011*"));
    assert_eq!(h.generalise("10117", 4), Some("1****"));
    assert_eq!(h.top(), 5);
}

#[test]
fn blocks_that_straddle_two_chapters_are_kept_apart() {
    // D5 holds no neoplasm, but D4 would hold D48 (chapter II) and, were it used, D49.
    let h = Hierarchy::codes(&texts(&["H59", "H53", "H60", "H55"]), CodeSystem::Icd10).unwrap();
    assert_ne!(h.generalise("H59", 3), h.generalise("H60", 3));
}

#[test]
fn automatic_hierarchies_fit_the_look_of_the_values() {
    let build = |values: &[String]| {
        Hierarchy::automatic(&Column::from_values("c", values).unwrap()).unwrap()
    };
    let ages: Vec<String> = (18..90).map(|n| n.to_string()).collect();
    let h = build(&ages);
    assert_eq!(h.generalise("18", 1), Some("[18, 19]"));
    assert!(h.top() > 3);
    assert_eq!(build(&texts(&["2024-01-31", "2024-02-01", "2020-01-01"])).top(), 5);
    assert_eq!(build(&texts(&["10115", "10117", "a0095"])).top(), 5);
    assert_eq!(build(&texts(&["red", "green", "blue"])).top(), 1);
}

fn named(name: &str, values: &[&str]) -> Column {
    Column::from_values(name, values).unwrap()
}

#[test]
fn icd_10_and_atc_codes_are_recognised_whatever_their_lengths() {
    let mixed = ["E11", "E11.9", "I21.0", "I10", "C34.12", "", "J18.9"];
    let h = Hierarchy::automatic(&named("code", &mixed)).unwrap();
    assert_eq!(h.generalise("E11.9", 1), Some("E11"));
    assert_eq!(h.generalise("E11", 3), Some("chapter IV"));
    assert_eq!(h.generalise("C34.12", 3), Some("chapter II"));
    // What is missing stays apart until the end.
    assert_eq!((h.generalise("", 3), h.generalise("", 4)), (Some(""), Some("*")));
    let drugs = ["A10BA02", "A10BB01", "C09AA05", "N02BE01", "C09"];
    let h = Hierarchy::automatic(&named("drug", &drugs)).unwrap();
    assert_eq!(h.generalise("A10BB01", 1), Some("A10BB"));
    assert_eq!(h.generalise("C09AA05", 3), Some("C09"));
    assert_eq!(h.generalise("C09AA05", 4), Some("C"));
    // Three characters may be London's postcodes, unless the column's name says more.
    let three = ["E11", "N16", "E14", "W12"];
    assert_eq!(
        Hierarchy::automatic(&named("area", &three)).unwrap().generalise("E11", 1),
        Some("E1*")
    );
    let h = Hierarchy::automatic(&named("main_diagnosis", &three)).unwrap();
    assert_eq!(h.generalise("E11", 3), Some("chapter IV"));
    // Canadian postcodes have a letter in the third place.
    let h = Hierarchy::automatic(&named("postcode", &["K1A0B1", "K1A0C2", "M5V3L9"])).unwrap();
    assert_eq!(h.generalise("K1A0B1", 1), Some("K1A0B*"));
}

#[test]
fn stated_kinds_read_what_they_can_and_suppress_the_rest() {
    let ages = named("age", &["3", "21", "24.5", "unknown age", "NA", "95"]);
    let (h, odd) = Hierarchy::stated(&ages, Stated::Intervals(5.0)).unwrap();
    assert_eq!(odd, 1);
    assert_eq!(h.generalise("24.5", 1), Some("[20, 25)"));
    assert_eq!(h.generalise("21", 2), Some("[20, 30)"));
    assert_eq!(h.generalise("unknown age", 1), Some("*"));
    assert_eq!(h.generalise("NA", 1), Some("NA"));
    // 5 · 2⁵ = 160 holds everybody.
    assert_eq!((h.generalise("95", 6), h.top()), (Some("[0, 160)"), 7));
    let days = named("day", &["2024-01-31", "2024-02-01"]);
    let (h, _) = Hierarchy::stated(&days, Stated::Dates).unwrap();
    assert_eq!(h.generalise("2024-01-31", 3), Some("2024"));
    let wrong = Hierarchy::stated(&named("c", &["red", "blue"]), Stated::Codes(CodeSystem::Icd10));
    assert!(matches!(wrong, Err(HierarchyError::Unreadable { entry: 1, expected: "ICD-10 code" })));
    assert!(Hierarchy::stated(&ages, Stated::Intervals(0.0)).is_err());
    assert!(Hierarchy::stated(&ages, Stated::Intervals(f64::NAN)).is_err());
}
