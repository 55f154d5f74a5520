//! Files that a test compares with what this program makes. `SALUS_BLESS=1` writes them anew.

use std::path::PathBuf;

pub(crate) fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("testdata").join(name)
}

#[track_caller]
pub(crate) fn same_as_file(name: &str, made: &[u8]) {
    let path = path(name);
    if std::env::var_os("SALUS_BLESS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, made).unwrap();
    }
    let kept = std::fs::read(&path).unwrap_or_default();
    if kept != made {
        let (kept, made) = (String::from_utf8_lossy(&kept), String::from_utf8_lossy(made));
        let new: Vec<_> = made.lines().filter(|line| !kept.contains(line)).take(20).collect();
        let old: Vec<_> = kept.lines().filter(|line| !made.contains(line)).take(20).collect();
        panic!("{name} has changed: new {new:#?}, gone {old:#?}; look at it, then SALUS_BLESS=1");
    }
}
