use salus_spine::{CareSession, Secondary, Unreleased, seal};

fn shortcut(result: Unreleased<Vec<u8>, Secondary>, session: CareSession) {
    let _ = seal(result, session);
}

fn main() {}
