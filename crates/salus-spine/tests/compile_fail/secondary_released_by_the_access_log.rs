use salus_spine::{
    AccessRecorded, Held, SealedResult, Secondary, SecondaryClearance, release,
};

fn shortcut(held: Held<SealedResult, Secondary>, ok: SecondaryClearance, log: AccessRecorded) {
    let _ = release(held, ok, log);
}

fn main() {}
