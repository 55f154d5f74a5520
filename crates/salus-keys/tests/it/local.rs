//! The key file: who may read it, what survives a crash, what a shred leaves.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::time::Instant;

use salus_crypto::passphrase::{GuessCost, Passphrase};
use salus_keys::{KeyStore, KeyStoreError, LocalKeyStore, LocalOpenError, WrapContext};
use salus_model::{Class, Classified as _, Secret};
use salus_testkit::scratch;

use crate::{clock, contract, key, name};

const FREE: WrapContext<'static> = WrapContext::KeyTools;

fn phrase(text: &str) -> Passphrase {
    Passphrase::new(Secret::new(text.to_owned())).unwrap()
}

fn create(path: &Path) -> Result<LocalKeyStore, LocalOpenError> {
    LocalKeyStore::create(path, phrase("correct horse"), GuessCost::OWASP_MINIMUM, clock())
}

fn open(path: &Path) -> Result<LocalKeyStore, LocalOpenError> {
    LocalKeyStore::open(path, phrase("correct horse"), GuessCost::OWASP_MINIMUM, clock())
}

/// The whole chain of causes, as a person would see it.
fn told(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[tokio::test]
async fn keeps_the_contract() {
    let dir = scratch();
    contract::holds(&create(&dir.path().join("keys")).unwrap()).await;
}

#[tokio::test]
async fn keys_survive_closing_and_tell_when_they_were_made() {
    let dir = scratch();
    let path = dir.path().join("keys");
    let store = create(&path).unwrap();
    store.create(&name("a")).await.unwrap();
    let wrapped = store.wrap(&name("a"), FREE, &key(1)).await.unwrap();
    drop(store);
    let store = open(&path).unwrap();
    assert_eq!(store.unwrap(&name("a"), FREE, &wrapped).await.unwrap(), key(1));
    let created = store.describe(&name("a")).await.unwrap().versions[0].created;
    assert_eq!(created.to_string(), "2026-03-01T08:00:00.000000Z");
}

#[tokio::test]
async fn nobody_else_may_read_the_file() {
    let dir = scratch();
    let path = dir.path().join("keys");
    let store = create(&path).unwrap();
    store.create(&name("a")).await.unwrap();
    for entry in fs::read_dir(dir.path()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().mode() & 0o777;
        assert_eq!(mode, 0o600, "{}", entry.path().display());
    }
    for mode in [0o640, 0o604, 0o660, 0o610] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let refused = open(&path).err().unwrap();
        assert_eq!(refused.class(), Class::Refused);
        assert!(told(&refused).contains(&format!("{mode:o}")), "{}", told(&refused));
        assert!(told(&refused).contains("chmod 600"));
        // One that was opened before refuses too.
        assert!(store.wrap(&name("a"), FREE, &key(1)).await.is_err());
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    assert!(store.wrap(&name("a"), FREE, &key(1)).await.is_ok());
}

#[test]
fn a_wrong_passphrase_is_told_apart_from_a_torn_file() {
    let dir = scratch();
    let path = dir.path().join("keys");
    drop(create(&path).unwrap());
    let wrong =
        LocalKeyStore::open(&path, phrase("correct house"), GuessCost::OWASP_MINIMUM, clock());
    let wrong = wrong.err().unwrap();
    assert_eq!(wrong.class(), Class::Refused);
    assert!(told(&wrong).contains("passphrase"), "{}", told(&wrong));
    assert!(!told(&wrong).contains("house"));

    let whole = fs::read(&path).unwrap();
    let torn = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        let error = open(&path).err().unwrap();
        assert_eq!(error.class(), Class::Corrupt, "{}", told(&error));
        assert!(told(&error).contains("damaged"), "{}", told(&error));
    };
    for length in [0, 5, 10, 41, 42, 60, whole.len() / 2, whole.len() - 1] {
        torn(&whole[..length]);
    }
    for at in [0, 9, 10, 41, 42, 50, 70, whole.len() - 1] {
        let mut changed = whole.clone();
        changed[at] ^= 1;
        torn(&changed);
    }
    fs::write(&path, &whole).unwrap();
    assert!(open(&path).is_ok());
}

#[test]
fn a_file_that_is_there_is_never_replaced_by_a_new_one() {
    let dir = scratch();
    let path = dir.path().join("keys");
    drop(create(&path).unwrap());
    let before = fs::read(&path).unwrap();
    assert!(told(&create(&path).err().unwrap()).contains("already"));
    assert_eq!(fs::read(&path).unwrap(), before);
    let missing = open(&dir.path().join("none")).err().unwrap();
    assert!(told(&missing).contains("does not exist"));
    assert!(told(&open(dir.path()).err().unwrap()).contains("no regular file"));
}

#[tokio::test]
async fn two_processes_see_each_others_changes_and_lose_none() {
    let dir = scratch();
    let path = dir.path().join("keys");
    let (one, two) = (create(&path).unwrap(), open(&path).unwrap());
    let names: Vec<_> = (0..6).map(|i| name(&format!("key-{i}"))).collect();
    let tasks: Vec<_> = names
        .iter()
        .enumerate()
        .map(|(i, name)| {
            let (store, name) = (if i % 2 == 0 { one.clone() } else { two.clone() }, name.clone());
            tokio::spawn(async move { store.create(&name).await.map(|_| ()) })
        })
        .collect();
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    for store in [&one, &two] {
        let listed: Vec<_> = store.list().await.unwrap().into_iter().map(|k| k.name).collect();
        assert_eq!(listed, names);
    }
    // A revocation by one takes effect in the other at its next use.
    let wrapped = one.wrap(&names[0], FREE, &key(1)).await.unwrap();
    two.revoke(&names[0]).await.unwrap();
    assert!(matches!(
        one.unwrap(&names[0], FREE, &wrapped).await,
        Err(KeyStoreError::Revoked { .. })
    ));
}

#[tokio::test]
async fn a_writer_waits_for_another_and_then_says_so() {
    let dir = scratch();
    let path = dir.path().join("keys");
    let store = create(&path).unwrap();
    let lock = fs::File::open(dir.path().join(".keys.lock")).unwrap();
    lock.lock().unwrap();
    let error = store.create(&name("a")).await.unwrap_err();
    assert_eq!(error.class(), Class::Unavailable);
    assert!(told(&error).contains("another process"), "{}", told(&error));
    drop(lock);
    store.create(&name("a")).await.unwrap();
}

/// Every byte of every file in the folder, and of the inode that the shred replaced.
fn contents(dir: &Path) -> Vec<u8> {
    fs::read_dir(dir).unwrap().flat_map(|e| fs::read(e.unwrap().path()).unwrap()).collect()
}

#[tokio::test]
async fn after_a_shred_no_earlier_copy_is_left() {
    let dir = scratch();
    let path = dir.path().join("keys");
    let store = create(&path).unwrap();
    store.create(&name("gone")).await.unwrap();
    store.create(&name("stays")).await.unwrap();
    let wrapped = store.wrap(&name("gone"), FREE, &key(1)).await.unwrap();
    let before = fs::read(&path).unwrap();
    // A draft that a crash left, with the key in it; and a name that still leads to the old blocks.
    fs::write(dir.path().join(".keys.new"), &before).unwrap();
    let elsewhere = scratch();
    let old_blocks = elsewhere.path().join("old");
    fs::hard_link(&path, &old_blocks).unwrap();

    store.shred(&name("gone")).await.unwrap();

    let tail = &before[before.len() - 64..];
    let holds = |bytes: &[u8]| bytes.windows(64).any(|window| window == tail);
    assert!(holds(&before) && !holds(&contents(dir.path())));
    let old = fs::read(&old_blocks).unwrap();
    assert_eq!(old.len(), before.len());
    assert!(old.iter().all(|&byte| byte == 0), "the replaced file was not overwritten");
    let mut files: Vec<_> =
        fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    files.sort();
    assert_eq!(files, [".keys.lock", "keys"]);

    let again = open(&path).unwrap();
    assert!(matches!(
        again.unwrap(&name("gone"), FREE, &wrapped).await,
        Err(KeyStoreError::NoSuchKey { .. })
    ));
    assert!(again.describe(&name("stays")).await.is_ok());
}

#[tokio::test]
async fn a_change_that_cannot_be_written_does_not_happen() {
    let dir = scratch();
    let path = dir.path().join("keys");
    let store = create(&path).unwrap();
    store.create(&name("a")).await.unwrap();
    // A folder in the draft's place cannot be removed as a file.
    fs::create_dir(dir.path().join(".keys.new")).unwrap();
    assert_eq!(store.create(&name("b")).await.unwrap_err().class(), Class::Unavailable);
    assert_eq!(store.shred(&name("a")).await.unwrap_err().class(), Class::Unavailable);
    fs::remove_dir(dir.path().join(".keys.new")).unwrap();
    let listed: Vec<_> = store.list().await.unwrap().into_iter().map(|k| k.name).collect();
    assert_eq!(listed, [name("a")]);
}

#[tokio::test]
async fn doctor_is_told_of_a_folder_that_others_can_change() {
    let dir = scratch();
    let store = create(&dir.path().join("keys")).unwrap();
    assert_eq!(store.health().await.unwrap().warnings, Vec::<String>::new());
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let warnings = store.health().await.unwrap().warnings;
    assert!(warnings.iter().any(|w| w.contains("chmod 700")), "{warnings:?}");
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
    fs::remove_file(dir.path().join("keys")).unwrap();
    assert_eq!(store.health().await.unwrap_err().class(), Class::Unavailable);
}

/// A key file's header: magic, cost and salt; and the nonce after it.
fn header_and_nonce(path: &Path) -> (Vec<u8>, Vec<u8>) {
    let bytes = fs::read(path).unwrap();
    // "SALUSKEYS1" and a digest, then the container: magic, three costs, salt, nonce.
    let container = &bytes[10 + 32..];
    (container[..8 + 12 + 16].to_vec(), container[36..48].to_vec())
}

#[tokio::test]
async fn the_passphrase_is_stretched_once_however_many_changes_follow() {
    let dir = scratch();
    let path = dir.path().join("keys");
    // Dear enough that a second derivation could not go unnoticed.
    let cost = GuessCost::new(256 * 1024, 3, 1).unwrap();
    let began = Instant::now();
    let phrase = || phrase("correct horse");
    let one = LocalKeyStore::create(&path, phrase(), cost, clock()).unwrap();
    let once = began.elapsed();
    let two = LocalKeyStore::open(&path, phrase(), cost, clock()).unwrap();
    let (header, first_nonce) = header_and_nonce(&path);
    let mut nonces = vec![first_nonce];
    let began = Instant::now();
    for i in 0..20 {
        // In turns, so that each sees the other's change before its own.
        let store = if i % 2 == 0 { &one } else { &two };
        store.create(&name(&format!("key-{i}"))).await.unwrap();
        let (now, nonce) = header_and_nonce(&path);
        assert_eq!(now, header, "a change drew another salt");
        nonces.push(nonce);
    }
    let twenty = began.elapsed();
    println!("one derivation {once:?}, twenty changes {twenty:?}");
    assert!(twenty < once * 10, "twenty changes took {twenty:?}, one derivation {once:?}");
    nonces.sort();
    nonces.dedup();
    assert_eq!(nonces.len(), 21, "a nonce was used twice under one key");
    assert_eq!(one.list().await.unwrap().len(), 20);
}

#[tokio::test]
async fn another_cost_draws_another_salt_and_still_opens() {
    let dir = scratch();
    let path = dir.path().join("keys");
    let cheap = create(&path).unwrap();
    cheap.create(&name("a")).await.unwrap();
    let wrapped = cheap.wrap(&name("a"), FREE, &key(1)).await.unwrap();
    let (before, _) = header_and_nonce(&path);
    let cost = GuessCost::new(47_104, 1, 1).unwrap();
    let dear = LocalKeyStore::open(&path, phrase("correct horse"), cost, clock()).unwrap();
    dear.create(&name("b")).await.unwrap();
    let (after, _) = header_and_nonce(&path);
    assert_ne!(before[..20], after[..20], "the cost in the header");
    assert_ne!(before[20..], after[20..], "the salt");
    // One that was opened before follows.
    assert_eq!(cheap.unwrap(&name("a"), FREE, &wrapped).await.unwrap(), key(1));
    assert!(cheap.describe(&name("b")).await.is_ok());
    // A file of another passphrase in its place does not open with what was derived.
    let other = dir.path().join("other");
    let stranger =
        LocalKeyStore::create(&other, phrase("incorrect horse"), GuessCost::OWASP_MINIMUM, clock());
    drop(stranger.unwrap());
    fs::rename(&other, &path).unwrap();
    assert!(cheap.describe(&name("a")).await.is_err());
}
