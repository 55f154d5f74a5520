//! Nothing about persons is ever written: every kind of transaction is listed, every place that
//! takes text is listed, and personal values that were committed to are nowhere to be found.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ciborium::Value;
use salus_ledger::call::{Call, Method};
use salus_ledger::contract::Refusal;
use salus_ledger::{Column, cbor};
use sha2::{Digest as _, Sha256};

use crate::ca::signer;
use crate::golden::same_as_file;
use crate::samples::{SIGNER, other_orders, reviewed_release, sample};
use crate::world::World;

const PERSONAL: &[&str] = &[
    "Ada Lovelace",
    "ada.lovelace@example.org",
    "1815-12-10",
    "0470123456",
    "Rue de la Loi 16, 1000 Brussels",
    "MRN-4711234",
    "diabetes mellitus, HbA1c 8.1 %",
    "SELECT count(*) FROM observations WHERE birth_year = 1815",
];

#[test]
fn every_kind_of_transaction_is_listed() {
    let lines = Method::ALL
        .iter()
        .map(|method| format!("{} {}\n", method.as_str(), method.contract().as_str()));
    same_as_file("inventory/transactions.txt", lines.collect::<String>().as_bytes());
    let mut words: Vec<_> = Method::ALL.iter().map(|method| method.as_str()).collect();
    words.sort_unstable();
    words.dedup();
    assert_eq!(words.len(), Method::ALL.len(), "every kind has a word of its own");
}

#[test]
fn every_rule_has_a_name_of_its_own_that_the_ledger_can_carry() {
    let mut rules = Refusal::rules();
    let count = rules.len();
    rules.sort_unstable();
    rules.dedup();
    assert_eq!(rules.len(), count);
    for rule in &rules {
        assert!(salus_ledger::block::RuleName::try_from((*rule).to_owned()).is_ok(), "{rule}");
    }
    let lines: String = rules.iter().map(|rule| format!("{rule}\n")).collect();
    same_as_file("inventory/rules.txt", lines.as_bytes());
}

/// Calls `visit` on every text and byte string of the tree, with its path.
fn leaves(tree: &Value, path: &str, visit: &mut impl FnMut(&str, &Value)) {
    match tree {
        Value::Map(entries) => {
            for (key, value) in entries {
                let key = key.as_text().unwrap_or("*");
                leaves(value, &format!("{path}/{key}"), visit);
            }
        }
        Value::Array(items) => {
            for item in items {
                leaves(item, &format!("{path}/*"), visit);
            }
        }
        Value::Text(_) | Value::Bytes(_) => visit(path, tree),
        _ => {}
    }
}

/// The tree with `planted` at the leaf that is the `at`-th to be visited.
fn planted(tree: &Value, at: &mut usize, value: &Value) -> Value {
    match tree {
        Value::Map(entries) => {
            Value::Map(entries.iter().map(|(k, v)| (k.clone(), planted(v, at, value))).collect())
        }
        Value::Array(items) => {
            Value::Array(items.iter().map(|item| planted(item, at, value)).collect())
        }
        Value::Text(_) | Value::Bytes(_) => {
            let here = *at == 0;
            *at = at.wrapping_sub(1);
            if here { value.clone() } else { tree.clone() }
        }
        other => other.clone(),
    }
}

fn all_samples(world: &World) -> Vec<Call> {
    let samples = Method::ALL.iter().map(|method| sample(world, *method, "nobody"));
    samples.chain(other_orders()).chain([reviewed_release()]).collect()
}

#[test]
fn personal_values_fit_only_into_the_listed_places() {
    // Each place of each kind of call is filled with each personal value, as text and as bytes;
    // what still decodes is listed: organisations' own names for themselves and their datasets,
    // references that have to exist, and X.509, which is parsed before it counts.
    let world = World::new();
    let mut found = Vec::new();
    for call in all_samples(&world) {
        let tree: Value = ciborium::from_reader(&cbor::encode(&call).unwrap()[..]).unwrap();
        let mut paths = Vec::new();
        leaves(&tree, "", &mut |path, leaf| paths.push((path.to_owned(), leaf.is_text())));
        for (index, (path, is_text)) in paths.iter().enumerate() {
            for personal in PERSONAL {
                let value = if *is_text {
                    Value::Text((*personal).to_owned())
                } else {
                    Value::Bytes(personal.as_bytes().to_vec())
                };
                let changed = planted(&tree, &mut index.clone(), &value);
                let bytes = cbor::encode(&changed).unwrap();
                if cbor::decode::<Call>(&bytes, 64 * 1024).is_ok() {
                    found.push(format!("{} {path} takes {personal:?}\n", call.method().as_str()));
                }
            }
        }
    }
    found.sort();
    found.dedup();
    same_as_file("inventory/places-for-text.txt", found.concat().as_bytes());
    // Names, addresses, mail, queries and diagnoses have capitals, spaces or signs: nowhere but X.509.
    for line in &found {
        let x509 = ["/chain/*", "/proof/signature", "/crl", "/issuer/*", "/roots/*"];
        let slug = line.contains("\"1815-12-10\"") || line.contains("\"0470123456\"");
        assert!(slug || x509.iter().any(|place| line.contains(place)), "{line}");
    }
}

/// The forms in which a personal value would be found again.
fn forms(personal: &str) -> Vec<Vec<u8>> {
    let hashed = Sha256::digest(personal.as_bytes());
    vec![
        personal.as_bytes().to_vec(),
        personal.to_lowercase().into_bytes(),
        hex::encode(personal).into_bytes(),
        BASE64.encode(personal).into_bytes(),
        hashed.to_vec(),
        hex::encode(hashed).into_bytes(),
    ]
}

fn holds(bytes: &[u8], personal: &str) -> bool {
    forms(personal).iter().any(|form| bytes.windows(form.len()).any(|window| window == form))
}

#[test]
fn no_transaction_holds_a_personal_value_or_its_plain_hash() {
    let mut world = World::new();
    for personal in PERSONAL {
        for method in Method::ALL {
            let call = sample(&world, *method, personal);
            let tx = world.signed(call, &[&signer(SIGNER)]);
            assert!(!holds(tx.as_bytes(), personal), "{} holds {personal:?}", method.as_str());
        }
        // The scan finds what it looks for: in the clear and as an unsalted hash.
        let plain = [b"xx", personal.as_bytes()].concat();
        assert!(holds(&plain, personal));
        assert!(holds(&[&[7_u8][..], &Sha256::digest(personal.as_bytes())[..]].concat(), personal));
    }
}

#[test]
fn columns_take_names_of_schemas_and_nothing_else() {
    for good in ["sex", "birth_year", "code.coding.system", "Patient.birthDate", "hba1c"] {
        assert!(Column::new(good).is_ok(), "{good}");
    }
    for bad in PERSONAL.iter().chain(&["", "1st", "mrn_4711234", "a b", "naïve"]) {
        assert!(Column::new(*bad).is_err(), "{bad}");
    }
}
