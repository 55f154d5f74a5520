//! What every key store does, tried on each of them.

use salus_keys::{KeyState, KeyStore, KeyStoreError, KeyVersion, WrapContext, WrappedKey};
use salus_model::Secret;

use crate::{key, name};

const FREE: WrapContext<'static> = WrapContext::KeyTools;
const BOUND: WrapContext<'static> = WrapContext::Bound(b"dataset observations");

fn version(number: u32) -> KeyVersion {
    KeyVersion::new(number).unwrap()
}

pub(crate) async fn holds(store: &dyn KeyStore) {
    wraps_and_unwraps(store).await;
    refuses_what_it_did_not_wrap(store).await;
    rotates(store).await;
    revokes_and_reinstates(store).await;
    shreds(store).await;
    refuses_wrong_names_and_sizes(store).await;
    store.health().await.unwrap();
}

async fn wraps_and_unwraps(store: &dyn KeyStore) {
    let clinical = name("observations.clinical");
    let made = store.create(&clinical).await.unwrap();
    assert_eq!(made.name, clinical);
    assert_eq!(made.state, KeyState::Active);
    assert_eq!(made.latest(), Some(KeyVersion::FIRST));
    for context in [FREE, BOUND] {
        for bytes in [16, 24, 32, 4096] {
            let secret = Secret::new(vec![7; bytes]);
            let wrapped = store.wrap(&clinical, context, &secret).await.unwrap();
            assert_eq!(wrapped.version(), KeyVersion::FIRST);
            assert_eq!(wrapped.as_str().parse(), Ok(wrapped.clone()));
            assert_eq!(store.unwrap(&clinical, context, &wrapped).await.unwrap(), secret);
            // Twice the same key is twice another text.
            assert_ne!(store.wrap(&clinical, context, &secret).await.unwrap(), wrapped);
        }
    }
}

async fn refuses_what_it_did_not_wrap(store: &dyn KeyStore) {
    let (clinical, other) = (name("observations.clinical"), name("observations.identifiers"));
    store.create(&other).await.unwrap();
    let wrapped = store.wrap(&clinical, BOUND, &key(1)).await.unwrap();
    let refused = |result: Result<Secret<Vec<u8>>, KeyStoreError>, why: &str| match result {
        Err(KeyStoreError::Unwrap { .. }) => {}
        other => panic!("{why}: {other:?}"),
    };
    refused(store.unwrap(&other, BOUND, &wrapped).await, "another key");
    refused(store.unwrap(&clinical, FREE, &wrapped).await, "no context");
    let elsewhere = WrapContext::Bound(b"dataset conditions");
    refused(store.unwrap(&clinical, elsewhere, &wrapped).await, "another context");
    let sealed = wrapped.sealed();
    for at in [0, 12, sealed.len() / 2, sealed.len() - 1] {
        let mut changed = sealed.clone();
        changed[at] ^= 1;
        let changed = WrappedKey::new(KeyVersion::FIRST, &changed);
        refused(store.unwrap(&clinical, BOUND, &changed).await, "a changed byte");
    }
    for length in [0, 11, 12, 27, sealed.len() - 1] {
        let cut = WrappedKey::new(KeyVersion::FIRST, &sealed[..length]);
        refused(store.unwrap(&clinical, BOUND, &cut).await, "a cut text");
    }
    assert!(store.unwrap(&clinical, BOUND, &WrappedKey::new(version(9), &sealed)).await.is_err());
}

async fn rotates(store: &dyn KeyStore) {
    let clinical = name("observations.clinical");
    let old = store.wrap(&clinical, FREE, &key(2)).await.unwrap();
    let rotated = store.rotate(&clinical).await.unwrap();
    assert_eq!(rotated.latest(), Some(version(2)));
    assert_eq!(rotated.versions.len(), 2);
    assert_eq!(store.unwrap(&clinical, FREE, &old).await.unwrap(), key(2));
    for context in [FREE, BOUND] {
        let old = WrappedKey::new(KeyVersion::FIRST, &old.sealed());
        let old = match context {
            WrapContext::KeyTools => old,
            WrapContext::Bound(_) => store.wrap(&clinical, context, &key(2)).await.unwrap(),
        };
        let new = store.rewrap(&clinical, context, &old).await.unwrap();
        assert_eq!(new.version(), version(2));
        assert_eq!(store.unwrap(&clinical, context, &new).await.unwrap(), key(2));
    }
    // The text of one version does not pass for another.
    let moved = WrappedKey::new(version(2), &old.sealed());
    assert!(matches!(
        store.unwrap(&clinical, FREE, &moved).await,
        Err(KeyStoreError::Unwrap { .. })
    ));
}

async fn revokes_and_reinstates(store: &dyn KeyStore) {
    let clinical = name("observations.clinical");
    let wrapped = store.wrap(&clinical, FREE, &key(3)).await.unwrap();
    for _ in 0..2 {
        store.revoke(&clinical).await.unwrap();
    }
    let revoked = |error| matches!(error, Some(KeyStoreError::Revoked { .. }));
    assert!(revoked(store.unwrap(&clinical, FREE, &wrapped).await.err()));
    assert!(revoked(store.wrap(&clinical, FREE, &key(3)).await.err()));
    assert!(revoked(store.rewrap(&clinical, FREE, &wrapped).await.err()));
    assert!(revoked(store.rotate(&clinical).await.err()));
    assert_eq!(store.describe(&clinical).await.unwrap().state, KeyState::Revoked);
    let list = store.list().await.unwrap();
    let states: Vec<_> = list.iter().map(|key| (key.name.as_str(), key.state)).collect();
    assert_eq!(
        states,
        [
            ("observations.clinical", KeyState::Revoked),
            ("observations.identifiers", KeyState::Active)
        ]
    );
    for _ in 0..2 {
        store.reinstate(&clinical).await.unwrap();
    }
    assert_eq!(store.unwrap(&clinical, FREE, &wrapped).await.unwrap(), key(3));
}

async fn shreds(store: &dyn KeyStore) {
    let clinical = name("observations.clinical");
    let wrapped = store.wrap(&clinical, FREE, &key(4)).await.unwrap();
    store.shred(&clinical).await.unwrap();
    let missing = |error| matches!(error, Some(KeyStoreError::NoSuchKey { .. }));
    assert!(missing(store.unwrap(&clinical, FREE, &wrapped).await.err()));
    assert!(missing(store.wrap(&clinical, FREE, &key(4)).await.err()));
    assert!(missing(store.describe(&clinical).await.err()));
    assert!(missing(store.shred(&clinical).await.err()));
    assert!(missing(store.reinstate(&clinical).await.err()));
    assert_eq!(store.list().await.unwrap().len(), 1);
    // A new key of the same name is another key.
    store.create(&clinical).await.unwrap();
    assert!(matches!(
        store.unwrap(&clinical, FREE, &wrapped).await,
        Err(KeyStoreError::Unwrap { .. } | KeyStoreError::NoSuchVersion { .. })
    ));
}

async fn refuses_wrong_names_and_sizes(store: &dyn KeyStore) {
    let clinical = name("observations.clinical");
    assert!(matches!(store.create(&clinical).await, Err(KeyStoreError::Exists { .. })));
    let missing = |error| matches!(error, Some(KeyStoreError::NoSuchKey { .. }));
    let nowhere = name("nowhere");
    assert!(missing(store.rotate(&nowhere).await.err()));
    assert!(missing(store.wrap(&nowhere, FREE, &key(5)).await.err()));
    assert!(missing(store.revoke(&nowhere).await.err()));
    assert!(missing(store.describe(&nowhere).await.err()), "wrapping must not create a key");
    let long = Secret::new(vec![0; 4097]);
    assert!(matches!(
        store.wrap(&clinical, FREE, &long).await,
        Err(KeyStoreError::TooLong { found: 4097 })
    ));
}
