use salus_spine::{Care, KeyRelease, Scope};

fn shortcut(scope: Scope) -> KeyRelease<Care> {
    KeyRelease { scope }
}

fn main() {}
