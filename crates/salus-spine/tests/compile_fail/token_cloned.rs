use salus_spine::{Care, KeyRelease};

fn shortcut(release: &KeyRelease<Care>) -> KeyRelease<Care> {
    release.clone()
}

fn main() {}
