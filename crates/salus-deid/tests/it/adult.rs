//! The Adult table and its hierarchies.

use std::path::PathBuf;
use std::sync::OnceLock;

use salus_deid::{CsvFormat, Hierarchy, QuasiIdentifier, QuasiIdentifiers, Table};

const FORMAT: CsvFormat = CsvFormat::with_delimiter(b';');

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../testdata/adult")
}

pub(crate) fn table() -> &'static Table {
    static TABLE: OnceLock<Table> = OnceLock::new();
    TABLE.get_or_init(|| {
        let bytes = std::fs::read(folder().join("adult_arx_30162x9.csv")).unwrap();
        Table::read_csv(bytes.as_slice(), FORMAT).unwrap()
    })
}

pub(crate) fn hierarchy(column: &str) -> Hierarchy {
    let bytes = std::fs::read(folder().join(format!("adult_hierarchy_{column}.csv"))).unwrap();
    Hierarchy::read_csv(bytes.as_slice(), FORMAT.without_header()).unwrap()
}

pub(crate) fn quasi_without(left_out: &[&str]) -> QuasiIdentifiers {
    let items = table()
        .columns()
        .iter()
        .filter(|c| !left_out.contains(&c.name()))
        .map(|c| QuasiIdentifier { column: c.name().to_owned(), hierarchy: hierarchy(c.name()) })
        .collect();
    QuasiIdentifiers::new(items).unwrap()
}
