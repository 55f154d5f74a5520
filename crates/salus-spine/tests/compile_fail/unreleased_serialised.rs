use salus_spine::{Care, Unreleased};

fn shortcut(rows: Unreleased<Vec<u8>, Care>) {
    let _ = serde_json::to_string(&rows);
}

fn main() {}
