use salus_spine::{Care, CareDisclosure, Held, release};

fn shortcut(held: Held<Vec<u8>, Care>, clearance: CareDisclosure) {
    let _ = release(held, clearance, ());
}

fn main() {}
