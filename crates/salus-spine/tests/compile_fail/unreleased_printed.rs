use salus_spine::{Care, Unreleased};

fn shortcut(rows: Unreleased<Vec<u8>, Care>) {
    println!("{rows:?}");
}

fn main() {}
