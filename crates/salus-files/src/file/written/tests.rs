#![allow(clippy::unwrap_used)]

use super::*;

#[test]
fn what_is_staged_and_not_moved_is_gone_with_its_folders() {
    let folder = tempfile::tempdir().unwrap();
    let deep = folder.path().join("a/b");
    let mut staged = Staged::default();
    staged.folder(&deep).unwrap();
    staged.add(&deep.join("x"), b"1").unwrap();
    assert!(!deep.join("x").exists());
    drop(staged);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);

    let mut staged = Staged::default();
    staged.folder(&deep).unwrap();
    staged.add(&deep.join("x"), b"1").unwrap();
    staged.add(&folder.path().join("y"), b"2").unwrap();
    staged.persist().unwrap();
    assert_eq!(std::fs::read(deep.join("x")).unwrap(), b"1");
    assert_eq!(std::fs::read(folder.path().join("y")).unwrap(), b"2");
}

#[cfg(unix)]
#[test]
fn a_link_stays_a_link_and_what_it_leads_to_stays_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let (real, link) = (folder.path().join("real"), folder.path().join("link"));
    std::fs::write(&real, "old").unwrap();
    std::os::unix::fs::symlink(&real, &link).unwrap();
    let said = write_bytes(&link, b"new").unwrap_err().to_string();
    assert!(said.contains("link is a symbolic link"), "{said}");
    assert!(link.symlink_metadata().unwrap().is_symlink());
    assert_eq!(std::fs::read(&real).unwrap(), b"old");
}

#[test]
fn an_error_names_the_file_and_not_the_one_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("absent/x.csv");
    let error = write_bytes(&path, b"1").unwrap_err();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(error.to_string().starts_with(path.to_str().unwrap()), "{error}");
    assert!(!cause.contains(".tmp"), "{cause}");
}
