use salus_spine::{Care, Unreleased};

fn shortcut(rows: Unreleased<Vec<u8>, Care>) -> usize {
    rows.len()
}

fn main() {}
