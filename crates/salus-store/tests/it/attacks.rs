//! Whoever can write to the lake's storage, and lacks the keys, changes nothing unnoticed.

use std::path::{Path, PathBuf};

use parquet::arrow::ArrowWriter;
use salus_model::*;
use salus_spine::Upkeep;
use salus_store::*;

use crate::site::*;

const FIRST: &[(&str, i64)] = &[("ann", 1), ("bob", 2)];
const SECOND: &[(&str, i64)] = &[("cid", 3), ("dan", 4)];

fn swap(a: &Path, b: &Path) {
    let (x, y) = (std::fs::read(a).unwrap(), std::fs::read(b).unwrap());
    std::fs::write(a, y).unwrap();
    std::fs::write(b, x).unwrap();
}

async fn refusal(site: &Site, name: &str) -> ScanError {
    match site.texts(name).await {
        Ok(rows) => panic!("rows came out: {}", rows.len()),
        Err(e) => e,
    }
}

fn is_corrupt(refused: &ScanError, told: &str) {
    let text = chain(refused);
    assert_eq!(refused.class(), Class::Corrupt, "{text}");
    assert!(text.contains(told), "'{told}' is not in: {text}");
    println!("{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_changed_byte_of_a_file_is_found() {
    for footer in [FooterMode::Encrypted, FooterMode::SignedPlaintext] {
        for material in [MaterialStorage::External, MaterialStorage::Internal] {
            flip_every_byte(EncryptionSettings { footer, material, ..EncryptionSettings::STRICT })
                .await;
        }
    }
}

async fn flip_every_byte(encryption: EncryptionSettings) {
    let site = Site::new();
    site.lake.create(DatasetSpec { encryption, ..spec("meals") }).await.unwrap();
    site.append("meals", FIRST).await;
    let name = site.files("meals").await.remove(0);
    let path = site.data_file("meals", &name);
    let original = std::fs::read(&path).unwrap();
    let footer_bytes = u32::from_le_bytes(original[original.len() - 8..][..4].try_into().unwrap());
    let footer_at = original.len() - 8 - footer_bytes as usize;
    let written = site.texts("meals").await.unwrap();
    let (mut pages, mut footers, mut unread) = (0, 0, 0);
    for at in (0..original.len()).step_by(11) {
        let mut bytes = original.clone();
        bytes[at] ^= 1 << (at % 8);
        std::fs::write(&path, bytes).unwrap();
        let found = site.texts("meals").await;
        let report = site.verify("meals").await;
        assert!(!report.findings.is_empty(), "verify did not see byte {at}");
        assert_eq!(report.findings[0].file.as_deref(), Some(name.as_str()));
        match found {
            Err(e) => {
                // A changed wrapped key is what the key store refuses; all else is damage.
                let inside = encryption.material == MaterialStorage::Internal && at >= footer_at;
                let expected = e.class() == Class::Corrupt || inside;
                assert!(expected, "byte {at}: {:?} {}", e.class(), chain(&e));
                // What the signature should have been is for nobody to know.
                assert!(!chain(&e).contains("omputed"), "{}", chain(&e));
                *(if at < footer_at { &mut pages } else { &mut footers }) += 1;
            }
            // What a scan does not use: the leading magic, page indexes, and the name by which the
            // footer refers to its key material beside the file.
            Ok(rows) => {
                assert_eq!(rows, written, "byte {at}");
                unread += 1;
            }
        }
    }
    println!("{encryption:?}: {pages} in pages, {footers} in the footer refused; {unread} unread");
    assert!(pages > 20 && footers > 20 && unread < pages + footers);
}

/// Parquet's readers take a file without encryption as it is, whatever keys they were given.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_in_plaintext_does_not_pass_for_an_encrypted_one() {
    for settings in every_setting() {
        let site = Site::new();
        site.lake.create(DatasetSpec { encryption: settings, ..spec("meals") }).await.unwrap();
        site.append("meals", FIRST).await;
        let name = site.files("meals").await.remove(0);
        let forged = rows(&[("eve", 1), ("mallory", 2)]);
        let mut writer = ArrowWriter::try_new(Vec::new(), schema(), None).unwrap();
        writer.write(&forged).unwrap();
        let bytes = writer.into_inner().unwrap();
        std::fs::write(site.data_file("meals", &name), &bytes).unwrap();
        // The size is of whoever forges it to choose: padded before the footer, it fits.
        let padding = |wanted: u64| {
            let footer = u32::from_le_bytes(bytes[bytes.len() - 8..][..4].try_into().unwrap());
            let at = bytes.len() - 8 - footer as usize;
            let mut padded = bytes[..at].to_vec();
            padded.resize(wanted as usize - (bytes.len() - at), 0);
            padded.extend_from_slice(&bytes[at..]);
            padded
        };
        let snapshot = site.lake.snapshot(&dataset("meals"), None).await.unwrap();
        let wanted = snapshot.manifest().files[0].bytes;
        assert!(wanted >= bytes.len() as u64, "{wanted} {}", bytes.len());
        std::fs::write(site.data_file("meals", &name), padding(wanted)).unwrap();
        is_corrupt(&refusal(&site, "meals").await, "is not encrypted");
        let order = site.upkeep("meals", Upkeep::Compact);
        let eager = CompactSettings { small_bytes: u64::MAX, superseded_percent: 0 };
        site.append("meals", SECOND).await;
        let refused = site.lake.compact(&order, &dataset("meals"), eager).await.unwrap_err();
        assert_eq!(refused.class(), Class::Corrupt, "{refused}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_in_anothers_place_is_refused() {
    let site = Site::with("meals", &[FIRST, SECOND]).await;
    let names = site.files("meals").await;
    let (one, two) = (site.data_file("meals", &names[0]), site.data_file("meals", &names[1]));
    swap(&one, &two);
    is_corrupt(&refusal(&site, "meals").await, "does not open");
    // With its keys beside it, it opens for Spark; here the place that it is bound to tells.
    let keys = [0, 1].map(|n| site.material_file("meals", &names[n]));
    swap(&keys[0], &keys[1]);
    is_corrupt(&refusal(&site, "meals").await, "put here from another place or version");
    swap(&one, &two);
    is_corrupt(&refusal(&site, "meals").await, &names[0]);
    swap(&keys[0], &keys[1]);
    assert_eq!(site.texts("meals").await.unwrap().len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_another_dataset_is_refused_even_with_its_keys() {
    let site = Site::with("meals", &[FIRST]).await;
    // The same master keys for both, so that only the place tells.
    let mut shared = spec("beds");
    let own = |key: &str| KeyChoice::Key(KeyName::new(key).unwrap());
    shared.policy = KeyPolicy::new([
        ("patient".to_owned(), own("meals.identifiers")),
        ("*".to_owned(), own("meals.clinical")),
        ("note".to_owned(), own("meals.freetext")),
    ]);
    site.lake.create(shared).await.unwrap();
    site.append("beds", SECOND).await;
    let (meal, bed) = (site.files("meals").await.remove(0), site.files("beds").await.remove(0));
    std::fs::copy(site.data_file("beds", &bed), site.data_file("meals", &meal)).unwrap();
    std::fs::copy(site.material_file("beds", &bed), site.material_file("meals", &meal)).unwrap();
    let refused = refusal(&site, "meals").await;
    is_corrupt(&refused, "names another master key than the manifest");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_file_or_key_material_is_named() {
    let site = Site::with("meals", &[FIRST]).await;
    let name = site.files("meals").await.remove(0);
    let remove = |path: PathBuf| {
        let bytes = std::fs::read(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        move || std::fs::write(&path, &bytes).unwrap()
    };
    let put_back = remove(site.material_file("meals", &name));
    is_corrupt(&refusal(&site, "meals").await, &format!("the key material of file {name}"));
    put_back();
    let put_back = remove(site.data_file("meals", &name));
    let refused = refusal(&site, "meals").await;
    assert!(chain(&refused).contains(&name), "{}", chain(&refused));
    assert_eq!(refused.class(), Class::Corrupt);
    put_back();
    let path = site.material_file("meals", &name);
    let material = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, &material[..material.len() / 2]).unwrap();
    is_corrupt(&refusal(&site, "meals").await, "is damaged");
    std::fs::write(&path, material.replace("meals.clinical", "meals.identifiers")).unwrap();
    is_corrupt(&refusal(&site, "meals").await, "names another master key");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_counts_only_in_its_own_place_and_unaltered() {
    let site = Site::with("meals", &[FIRST, SECOND]).await;
    site.lake.create(spec("beds")).await.unwrap();
    let newest = site.manifest_file("meals", 3);
    let original = std::fs::read(&newest).unwrap();
    for at in (0..original.len()).step_by(29) {
        let mut bytes = original.clone();
        bytes[at] ^= 4;
        std::fs::write(&newest, bytes).unwrap();
        let refused = refusal(&site, "meals").await;
        assert!(matches!(refused, ScanError::Lake(_)), "byte {at}: {refused}");
        // A changed wrapped key is what the key store refuses; all else is damage.
        if at > 200 {
            assert_eq!(refused.class(), Class::Corrupt, "byte {at}: {}", chain(&refused));
        }
    }
    // An earlier version in the place of the newest.
    std::fs::copy(site.manifest_file("meals", 2), &newest).unwrap();
    is_corrupt(&refusal(&site, "meals").await, "altered, or belongs elsewhere");
    // One of another dataset, under the same key.
    std::fs::copy(site.manifest_file("beds", 1), &newest).unwrap();
    let refused = refusal(&site, "meals").await;
    assert!(matches!(refused.class(), Class::Corrupt | Class::Refused), "{}", chain(&refused));
    std::fs::write(&newest, original).unwrap();
    assert_eq!(site.texts("meals").await.unwrap().len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_that_another_signed_is_refused() {
    let site = Site::with("meals", &[FIRST]).await;
    // Somebody who has all the keys, and not the holder's signing key: same holder, other key.
    let forger = {
        let storage = Storage::local(site.folder.path()).unwrap();
        let key = authority("st-mary", b"another signing key");
        Lake::new(storage, site.keys.clone(), key, site.clock.clone())
    };
    let refused = forger.snapshot(&dataset("meals"), None).await.err().unwrap();
    assert!(matches!(refused, LakeError::Manifest(ManifestError::Signature { .. })), "{refused}");
    // And a manifest of theirs is refused by the holder.
    forger.create(spec("beds")).await.unwrap();
    let refused = site.lake.snapshot(&dataset("beds"), None).await.err().unwrap();
    assert!(matches!(refused, LakeError::Manifest(ManifestError::Signature { .. })), "{refused}");
    // Another holder's lake over the same storage and keys does not open it either.
    let other = Site::at(site.folder.clone(), site.keys.clone(), "st-john");
    let refused = other.lake.snapshot(&dataset("meals"), None).await.err().unwrap();
    assert_eq!(refused.class(), Class::Corrupt, "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_key_material_or_file_does_not_fit_a_newer_one() {
    let site = Site::with("meals", &[FIRST]).await;
    let name = site.files("meals").await.remove(0);
    // The file as it would be if it had been written again: same name, other keys.
    let other = Site::at(
        std::sync::Arc::new(tempfile::TempDir::new().unwrap()),
        site.keys.clone(),
        "st-mary",
    );
    other.lake.create(spec("meals")).await.unwrap();
    other.append("meals", FIRST).await;
    let twin = other.files("meals").await.remove(0);
    std::fs::copy(other.material_file("meals", &twin), site.material_file("meals", &name)).unwrap();
    is_corrupt(&refusal(&site, "meals").await, "does not open");
}
