//! Key material that Spark and pyarrow wrote, and AES-GCM's published vectors through it.

use std::collections::BTreeMap;

use salus_crypto::OsEntropy;
use salus_crypto::pkmt1::{
    DataKey, DataKeyLength, ExternalMaterial, Kek, KeyMaterial, KeyMetadata, KeyRole, MasterKeyId,
    MaterialRefused, UnwrapRefused, Wrapping, external_material_file_name, unwrap_locally,
    wrap_locally,
};
use salus_model::{Entropy, EntropyFailed, Secret};
use serde::Deserialize;

struct Zero;

impl Entropy for Zero {
    fn fill(&mut self, buffer: &mut [u8]) -> Result<(), EntropyFailed> {
        buffer.fill(0);
        Ok(())
    }
}

fn key(bytes: impl Into<Vec<u8>>) -> DataKey {
    DataKey::new(Secret::new(bytes.into())).unwrap()
}

/// Unwraps as parquet-java's in-memory key store does: the master key's name is the context.
fn kms(masters: &BTreeMap<String, Vec<u8>>, material: &KeyMaterial) -> Secret<Vec<u8>> {
    let (master, wrapped) = material.request();
    let key = key(masters[master.as_str()].clone());
    let unwrapped = unwrap_locally(&key, master.as_str().as_bytes(), wrapped).unwrap();
    Secret::new(unwrapped.expose().to_vec())
}

/// The Galois/Counter Mode of Operation (McGrew, Viega), appendix B, cases 2, 8 and 14; the same
/// as in NIST's GCM examples: zero key, nonce and block.
#[test]
fn local_wrapping_is_plain_aes_gcm() {
    use base64::Engine as _;
    let cases = [
        (16, "0388dace60b6a392f328c2b971b2fe78", "ab6e47d42cec13bdf53a67b21257bddf"),
        (24, "98e7247c07f0fe411c267e4384b0f600", "2ff58d80033927ab8ef4d4587514f0fb"),
        (32, "cea7403d4d606b6e074ec5d3baf39d18", "d0d1c8a799996bf0265b98b5d48ab919"),
    ];
    for (bytes, ciphertext, tag) in cases {
        let wrapped = wrap_locally(&mut Zero, &key(vec![0; bytes]), b"", &key([0; 16])).unwrap();
        let raw = base64::engine::general_purpose::STANDARD.decode(&wrapped).unwrap();
        assert_eq!(hex::encode(raw), format!("{:024}{ciphertext}{tag}", 0));
        assert_eq!(unwrap_locally(&key(vec![0; bytes]), b"", &wrapped), Ok(key([0; 16])));
        assert_eq!(unwrap_locally(&key(vec![0; bytes]), b"x", &wrapped), Err(UnwrapRefused));
    }
}

#[test]
fn material_that_spark_wrote_unwraps() {
    let text = include_str!(
        "../../testdata/parquet-testing/_KEY_MATERIAL_FOR_external_key_material_java.parquet.encrypted.json"
    );
    let external = ExternalMaterial::from_json(text).unwrap();
    let masters = BTreeMap::from([
        ("kf".to_owned(), b"0123456789012345".to_vec()),
        ("kc1".to_owned(), b"1234567890123450".to_vec()),
        ("kc2".to_owned(), b"1234567890123451".to_vec()),
    ]);
    assert_eq!(external.0.keys().collect::<Vec<_>>(), ["columnKey0", "columnKey1", "footerKey"]);
    for (name, material) in &external.0 {
        let data_key = material.data_key(kms(&masters, material)).unwrap();
        assert_eq!(data_key.length(), DataKeyLength::Bits128);
        let footer = matches!(material.role, KeyRole::Footer { .. });
        assert_eq!(footer, name == ExternalMaterial::FOOTER);
        assert!(matches!(material.wrapping, Wrapping::Double { .. }));
        // Another column's key store answer opens nothing.
        assert_eq!(material.data_key(Secret::new(vec![9; 16])), Err(UnwrapRefused));
    }
    assert_eq!(ExternalMaterial::from_json(&external.to_json()).unwrap(), external);
}

#[derive(Deserialize)]
struct Written {
    metadata: Vec<String>,
    wrapped: Vec<Wrapped>,
    beside: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wrapped {
    master_key: String,
    key: String,
}

#[test]
fn material_that_pyarrow_wrote_unwraps_and_is_written_alike() {
    let text = include_str!("../../testdata/pyarrow/material.json");
    let all: BTreeMap<String, serde_json::Value> = serde_json::from_str(text).unwrap();
    let masters: BTreeMap<String, String> =
        serde_json::from_value(all["master_keys"].clone()).unwrap();
    let masters = masters.into_iter().map(|(k, v)| (k, hex::decode(v).unwrap())).collect();
    let cases = [
        ("single_internal_128", DataKeyLength::Bits128),
        ("double_internal_128", DataKeyLength::Bits128),
        ("single_external_256", DataKeyLength::Bits256),
        ("double_external_256", DataKeyLength::Bits256),
    ];
    for (name, length) in cases {
        let written: Written = serde_json::from_value(all[name].clone()).unwrap();
        let beside = written.beside.get(&external_material_file_name("t.parquet"));
        let beside = beside.map(|text| ExternalMaterial::from_json(text).unwrap());
        assert_eq!(written.metadata.len(), 3, "{name}");
        for text in &written.metadata {
            let metadata = KeyMetadata::from_bytes(text.as_bytes()).unwrap();
            // Arrow writes the fields in the order that we write them.
            assert_eq!(String::from_utf8(metadata.to_bytes()).unwrap(), *text);
            let material = match &metadata {
                KeyMetadata::Internal(material) => material,
                KeyMetadata::External { reference } => &beside.as_ref().unwrap().0[reference],
            };
            let answer = kms(&masters, material);
            let seen =
                written.wrapped.iter().find(|w| w.master_key == material.master_key.as_str());
            if let Some(seen) = seen {
                assert_eq!(hex::encode(answer.expose()), seen.key, "{name}");
            }
            assert_eq!(material.data_key(answer).unwrap().length(), length, "{name}");
        }
    }
}

fn double() -> (KeyMaterial, DataKey, Vec<u8>) {
    let kek = Kek::generate(&mut OsEntropy, DataKeyLength::Bits256).unwrap();
    let data_key = DataKey::generate(&mut OsEntropy, DataKeyLength::Bits256).unwrap();
    let master = MasterKeyId::new("m").unwrap();
    let role = KeyRole::default_footer();
    let material =
        KeyMaterial::double(&mut OsEntropy, role, master, &kek, "vault:v1:x".into(), &data_key);
    (material.unwrap(), data_key, kek.key().expose().to_vec())
}

#[test]
fn rotation_changes_the_key_stores_part_only() {
    let (material, data_key, kek) = double();
    let rotated = material.clone().rewrapped("vault:v2:y".into());
    assert_eq!(rotated.request().1, "vault:v2:y");
    assert_eq!(rotated.data_key(Secret::new(kek)), Ok(data_key));
    assert_eq!(rotated.role, material.role);
    let single =
        KeyMaterial::single(KeyRole::Column, MasterKeyId::new("m").unwrap(), "vault:v1:x".into());
    assert_eq!(single.rewrapped("vault:v2:y".into()).request().1, "vault:v2:y");
}

#[test]
fn a_data_key_moved_to_another_kek_id_is_refused() {
    let (material, _, kek) = double();
    let (other, ..) = double();
    let (Wrapping::Double { wrapped_dek, wrapped_kek, .. }, Wrapping::Double { kek_id, .. }) =
        (material.wrapping.clone(), other.wrapping)
    else {
        panic!("double wrapping was asked for");
    };
    let moved =
        KeyMaterial { wrapping: Wrapping::Double { kek_id, wrapped_dek, wrapped_kek }, ..material };
    assert_eq!(moved.data_key(Secret::new(kek)), Err(UnwrapRefused));
}

#[test]
fn what_is_no_key_material_is_refused_with_the_reason() {
    let refused = |text: &str| KeyMaterial::from_json(text).unwrap_err();
    assert!(matches!(refused("{"), MaterialRefused::Json(_)));
    assert!(matches!(refused(r#"{"keyMaterialType":7}"#), MaterialRefused::Json(_)));
    assert!(matches!(
        refused(r#"{"keyMaterialType":"PKMT2"}"#),
        MaterialRefused::Type { found } if found == "PKMT2"
    ));
    let (material, ..) = double();
    let whole: serde_json::Map<_, _> = serde_json::from_str(&material.to_json()).unwrap();
    for field in whole.keys().filter(|field| *field != "keyMaterialType") {
        let mut less = whole.clone();
        less.remove(field);
        let refused = refused(&serde_json::Value::Object(less).to_string());
        assert!(
            matches!(refused, MaterialRefused::Missing { field: missing } if missing == field),
            "{field}: {refused}"
        );
    }
    let mut bad = whole;
    bad.insert("keyEncryptionKeyID".into(), "AAAA".into());
    assert!(matches!(refused(&serde_json::Value::Object(bad).to_string()), MaterialRefused::KekId));
    let external = ExternalMaterial::from_json(r#"{"columnKey0":"{}"}"#).unwrap_err();
    assert!(external.to_string().contains("columnKey0"));
    assert!(KeyMetadata::from_bytes(b"\xff\xfe").is_err());
}
