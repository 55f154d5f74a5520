use salus_spine::{Care, Unreleased};

fn shortcut(rows: Unreleased<Vec<u8>, Care>) -> Vec<u8> {
    rows.value
}

fn main() {}
