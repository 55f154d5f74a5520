use salus_spine::{AccessRecorded, Care, Held, release};

fn shortcut(held: Held<Vec<u8>, Care>, receipt: AccessRecorded) {
    let _ = release(held, (), receipt);
}

fn main() {}
