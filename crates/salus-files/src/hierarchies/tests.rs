#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use super::{column_of, file_of};

#[test]
fn file_names_speak_of_columns() {
    for (file, column) in [
        ("adult_hierarchy_age.csv", "age"),
        ("adult_hierarchy_marital-status.csv", "marital-status"),
        ("hierarchy-sex.csv", "sex"),
        ("age_hierarchy.csv", "age"),
        ("native-country.csv", "native-country"),
        ("my.data_Hierarchy_Zip Code.csv", "Zip Code"),
    ] {
        assert_eq!(column_of(Path::new(file)), column, "{file}");
    }
}

#[test]
fn an_exact_name_wins_and_two_alike_are_refused() {
    let files: Vec<PathBuf> = ["h_hierarchy_Age.csv", "h_hierarchy_age.csv", "h_hierarchy_AGE.csv"]
        .map(PathBuf::from)
        .into();
    assert_eq!(file_of(&files, "age").unwrap(), Some(&files[1]));
    assert!(file_of(&files, "aGe").is_err());
    assert_eq!(file_of(&files, "sex").unwrap(), None);
}
