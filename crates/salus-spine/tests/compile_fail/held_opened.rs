use salus_spine::{Care, Held};

fn shortcut(held: Held<Vec<u8>, Care>) -> Vec<u8> {
    held.into_inner()
}

fn main() {}
