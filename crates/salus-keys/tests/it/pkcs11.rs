//! A PKCS#11 token: SoftHSM2, from Debian.
//!
//! The module reads its configuration from the environment when it is loaded, so each test runs
//! itself again as a process of its own that has it.

use std::path::{Path, PathBuf};
use std::process::Command;

use salus_keys::{
    KeyStore, KeyStoreError, Pkcs11Config, Pkcs11KeyStore, Pkcs11OpenError, WrapContext,
};
use salus_model::{Class, Classified as _, Secret};
use salus_testkit::{program, scratch};

use crate::{clock, contract, key, name};

const FREE: WrapContext<'static> = WrapContext::KeyTools;
const PIN: &str = "4711-user";

fn module() -> PathBuf {
    let places = [
        "/usr/lib/softhsm/libsofthsm2.so",
        "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
        "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
    ];
    let found = places.iter().map(PathBuf::from).find(|path| path.is_file());
    found.expect("SoftHSM2 is not installed: apt-get install softhsm2")
}

fn config(label: &str, pin: &str) -> Pkcs11Config {
    Pkcs11Config {
        module: module(),
        token_label: label.to_owned(),
        pin: Secret::new(pin.to_owned()),
    }
}

/// Whether this process has the module's configuration; else runs `test` in one that has.
fn has_token(test: &str) -> bool {
    if std::env::var_os("SALUS_TOKEN_READY").is_some() {
        return true;
    }
    let dir = scratch();
    let conf = dir.path().join("softhsm2.conf");
    std::fs::create_dir(dir.path().join("tokens")).unwrap();
    let text =
        format!("directories.tokendir = {}/tokens\nlog.level = ERROR\n", dir.path().display());
    std::fs::write(&conf, text).unwrap();
    for label in ["salus", "other"] {
        initialise(&conf, label);
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &format!("pkcs11::{test}"), "--nocapture"])
        .env("SALUS_TOKEN_READY", dir.path())
        .env("SOFTHSM2_CONF", &conf)
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let printed = text(&output.stdout) + &text(&output.stderr);
    assert!(output.status.success() && printed.contains("1 passed"), "{printed}");
    false
}

fn initialise(conf: &Path, label: &str) {
    let output = Command::new(program("softhsm2-util", "softhsm2"))
        .args(["--init-token", "--free", "--label", label, "--pin", PIN, "--so-pin", "0815-so"])
        .env("SOFTHSM2_CONF", conf)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
async fn keeps_the_contract() {
    if has_token("keeps_the_contract") {
        contract::holds(&Pkcs11KeyStore::open(config("salus", PIN), clock()).unwrap()).await;
    }
}

#[tokio::test]
async fn keys_survive_closing_and_cannot_be_read() {
    if !has_token("keys_survive_closing_and_cannot_be_read") {
        return;
    }
    let store = Pkcs11KeyStore::open(config("salus", PIN), clock()).unwrap();
    let made = store.create(&name("a")).await.unwrap();
    assert_eq!(made.versions[0].created.to_string(), "2026-03-01T08:00:00.000000Z");
    let wrapped = store.wrap(&name("a"), FREE, &key(1)).await.unwrap();
    drop(store);
    let store = Pkcs11KeyStore::open(config("salus", PIN), clock()).unwrap();
    assert_eq!(store.unwrap(&name("a"), FREE, &wrapped).await.unwrap(), key(1));
    assert_eq!(store.list().await.unwrap(), [made]);
    // Another token's key of the same name is another key.
    let other = Pkcs11KeyStore::open(config("other", PIN), clock()).unwrap();
    other.create(&name("a")).await.unwrap();
    assert!(matches!(
        other.unwrap(&name("a"), FREE, &wrapped).await,
        Err(KeyStoreError::Unwrap { .. })
    ));
    attributes_are_strict();
}

/// Asks the token itself, not the store, what it says about the key object.
fn attributes_are_strict() {
    use cryptoki::context::Pkcs11;
    use cryptoki::error::{Error, RvError};
    use cryptoki::object::{Attribute, AttributeInfo, AttributeType};
    let context = Pkcs11::new(module()).unwrap();
    let slots = context.get_slots_with_initialized_token().unwrap();
    let is_ours =
        |slot: &&cryptoki::slot::Slot| context.get_token_info(**slot).unwrap().label() == "salus";
    let slot = *slots.iter().find(is_ours).unwrap();
    let session = context.open_rw_session(slot).unwrap();
    let label = Attribute::Label(b"salus:a:v1".to_vec());
    let handle = session.find_objects(&[label]).unwrap()[0];
    let wanted = [
        AttributeType::Sensitive,
        AttributeType::AlwaysSensitive,
        AttributeType::Extractable,
        AttributeType::NeverExtractable,
        AttributeType::Local,
        AttributeType::ValueLen,
        AttributeType::Wrap,
    ];
    let mut found = session.get_attributes(handle, &wanted).unwrap();
    let mut expected = vec![
        Attribute::Sensitive(true),
        Attribute::AlwaysSensitive(true),
        Attribute::Extractable(false),
        Attribute::NeverExtractable(true),
        Attribute::Local(true),
        Attribute::ValueLen(32.into()),
        Attribute::Wrap(false),
    ];
    for list in [&mut found, &mut expected] {
        list.sort_by_key(|attribute| format!("{attribute:?}"));
    }
    assert_eq!(found, expected);
    let value = session.get_attribute_info(handle, &[AttributeType::Value]).unwrap();
    assert!(matches!(value.as_slice(), [AttributeInfo::Sensitive]), "{value:?}");
    // It cannot be made readable either.
    let change = session.update_attributes(handle, &[Attribute::Extractable(true)]);
    assert!(matches!(change, Err(Error::Pkcs11(RvError::AttributeReadOnly, _))), "{change:?}");
}

#[tokio::test]
async fn a_missing_token_a_wrong_pin_and_a_dead_module_are_told_apart() {
    if !has_token("a_missing_token_a_wrong_pin_and_a_dead_module_are_told_apart") {
        return;
    }
    let open = |config| Pkcs11KeyStore::open(config, clock()).err().unwrap();
    let missing = open(config("nowhere", PIN));
    assert!(matches!(missing, Pkcs11OpenError::NoToken { .. }), "{missing}");
    assert!(missing.to_string().contains("'other'"), "{missing}");
    let wrong = open(config("salus", "1234-wrong"));
    assert!(matches!(wrong, Pkcs11OpenError::WrongPin { .. }), "{wrong:?}");
    assert_eq!(wrong.class(), Class::Refused);
    assert!(!format!("{wrong:?}").contains("1234"));
    for path in ["/nonexistent/module.so", "/proc/self/exe", "/etc/hostname"] {
        let dead = open(Pkcs11Config { module: path.into(), ..config("salus", PIN) });
        assert!(matches!(dead, Pkcs11OpenError::Module { .. }), "{path}: {dead:?}");
        assert!(dead.to_string().contains(path), "{dead}");
    }
}

#[tokio::test]
async fn a_session_that_the_token_dropped_is_opened_anew() {
    if !has_token("a_session_that_the_token_dropped_is_opened_anew") {
        return;
    }
    let store = Pkcs11KeyStore::open(config("salus", PIN), clock()).unwrap();
    store.create(&name("a")).await.unwrap();
    let wrapped = store.wrap(&name("a"), FREE, &key(1)).await.unwrap();
    // Another part of the process, which has the same login, logs out.
    let context = cryptoki::context::Pkcs11::new(module()).unwrap();
    for slot in context.get_slots_with_initialized_token().unwrap() {
        let session = context.open_rw_session(slot).unwrap();
        if context.get_token_info(slot).unwrap().label() == "salus" {
            session.logout().unwrap();
        }
    }
    assert_eq!(store.unwrap(&name("a"), FREE, &wrapped).await.unwrap(), key(1));
    store.health().await.unwrap();
    // And then puts the module away.
    context.finalize().unwrap();
    let gone = store.unwrap(&name("a"), FREE, &wrapped).await.unwrap_err();
    assert_eq!(gone.class(), Class::Unavailable, "{gone:?}");
    assert_eq!(store.health().await.unwrap_err().class(), Class::Unavailable);
}
