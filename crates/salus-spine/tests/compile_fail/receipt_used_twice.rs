use salus_spine::{AccessRecorded, Care, CareDisclosure, Held, release};

fn shortcut(
    one: Held<u8, Care>,
    two: Held<u8, Care>,
    first: CareDisclosure,
    second: CareDisclosure,
    receipt: AccessRecorded,
) {
    let _ = release(one, first, receipt);
    let _ = release(two, second, receipt);
}

fn main() {}
