use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use salus_model::{Class, Classified};
use serde::{Deserialize, Serialize};

use super::local::KekId;
use super::material::{ExternalMaterial, KeyMaterial, KeyMetadata, KeyRole, MasterKeyId, Wrapping};

const TYPE: &str = "PKMT1";

/// Text that is no PKMT1 key material.
#[derive(Debug, thiserror::Error)]
pub enum MaterialRefused {
    /// It is no JSON object, or a field has the wrong type.
    #[error("the key material is no JSON object of the expected fields")]
    Json(#[source] serde_json::Error),
    /// The version is another.
    #[error("the key material's keyMaterialType is '{found}'; this reader knows PKMT1")]
    Type {
        /// What was found.
        found: String,
    },
    /// A field is missing.
    #[error("the key material lacks the field '{field}'")]
    Missing {
        /// The field.
        field: &'static str,
    },
    /// The key-encryption key's id is not 16 bytes in base64.
    #[error("the key material's keyEncryptionKeyID is not base64 of 16 bytes")]
    KekId,
    /// One entry of an external file is refused.
    #[error("the entry '{name}' of the external key material is refused")]
    Entry {
        /// The entry's name.
        name: String,
        /// Why.
        #[source]
        source: Box<MaterialRefused>,
    },
}

impl Classified for MaterialRefused {
    fn class(&self) -> Class {
        Class::Corrupt
    }
}

/// The JSON object, both as metadata in a file and as an entry of an external file.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire {
    key_material_type: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    internal_storage: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_reference: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    is_footer_key: Option<bool>,
    #[serde(rename = "kmsInstanceID", skip_serializing_if = "Option::is_none")]
    kms_instance_id: Option<String>,
    #[serde(rename = "kmsInstanceURL", skip_serializing_if = "Option::is_none")]
    kms_instance_url: Option<String>,
    #[serde(rename = "masterKeyID", skip_serializing_if = "Option::is_none")]
    master_key_id: Option<String>,
    #[serde(rename = "wrappedDEK", skip_serializing_if = "Option::is_none")]
    wrapped_dek: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    double_wrapping: Option<bool>,
    #[serde(rename = "keyEncryptionKeyID", skip_serializing_if = "Option::is_none")]
    key_encryption_key_id: Option<String>,
    #[serde(rename = "wrappedKEK", skip_serializing_if = "Option::is_none")]
    wrapped_kek: Option<String>,
}

fn required<T>(value: Option<T>, field: &'static str) -> Result<T, MaterialRefused> {
    value.ok_or(MaterialRefused::Missing { field })
}

impl Wire {
    fn of(material: &KeyMaterial) -> Self {
        let mut wire = Self {
            key_material_type: TYPE.to_owned(),
            is_footer_key: Some(matches!(material.role, KeyRole::Footer { .. })),
            master_key_id: Some(material.master_key.as_str().to_owned()),
            ..Self::default()
        };
        if let KeyRole::Footer { kms_instance_id, kms_instance_url } = &material.role {
            wire.kms_instance_id = Some(kms_instance_id.clone());
            wire.kms_instance_url = Some(kms_instance_url.clone());
        }
        match &material.wrapping {
            Wrapping::Single { wrapped_dek } => {
                wire.wrapped_dek = Some(wrapped_dek.clone());
                wire.double_wrapping = Some(false);
            }
            Wrapping::Double { kek_id, wrapped_dek, wrapped_kek } => {
                wire.wrapped_dek = Some(wrapped_dek.clone());
                wire.double_wrapping = Some(true);
                wire.key_encryption_key_id = Some(BASE64.encode(kek_id.as_bytes()));
                wire.wrapped_kek = Some(wrapped_kek.clone());
            }
        }
        wire
    }

    fn parse(text: &[u8]) -> Result<Self, MaterialRefused> {
        let wire: Self = serde_json::from_slice(text).map_err(MaterialRefused::Json)?;
        if wire.key_material_type == TYPE {
            Ok(wire)
        } else {
            Err(MaterialRefused::Type { found: wire.key_material_type })
        }
    }

    fn material(self) -> Result<KeyMaterial, MaterialRefused> {
        let role = if required(self.is_footer_key, "isFooterKey")? {
            KeyRole::Footer {
                kms_instance_id: required(self.kms_instance_id, "kmsInstanceID")?,
                kms_instance_url: required(self.kms_instance_url, "kmsInstanceURL")?,
            }
        } else {
            KeyRole::Column
        };
        let master_key = self.master_key_id.and_then(MasterKeyId::new);
        let master_key = required(master_key, "masterKeyID")?;
        let wrapped_dek = required(self.wrapped_dek, "wrappedDEK")?;
        let wrapping = if required(self.double_wrapping, "doubleWrapping")? {
            let id = required(self.key_encryption_key_id, "keyEncryptionKeyID")?;
            let id = BASE64.decode(id).map_err(|_| MaterialRefused::KekId)?;
            let id = id.as_slice().try_into().map_err(|_| MaterialRefused::KekId)?;
            Wrapping::Double {
                kek_id: KekId::from_bytes(id),
                wrapped_dek,
                wrapped_kek: required(self.wrapped_kek, "wrappedKEK")?,
            }
        } else {
            Wrapping::Single { wrapped_dek }
        };
        Ok(KeyMaterial { role, master_key, wrapping })
    }

    fn text(&self) -> String {
        // A struct of texts and flags always serialises.
        serde_json::to_string(self).unwrap_or_default()
    }
}

pub(super) fn write_material(material: &KeyMaterial) -> String {
    Wire::of(material).text()
}

pub(super) fn read_material(text: &str) -> Result<KeyMaterial, MaterialRefused> {
    Wire::parse(text.as_bytes())?.material()
}

pub(super) fn write_metadata(metadata: &KeyMetadata) -> String {
    let wire = match metadata {
        KeyMetadata::Internal(material) => {
            Wire { internal_storage: Some(true), ..Wire::of(material) }
        }
        KeyMetadata::External { reference } => Wire {
            key_material_type: TYPE.to_owned(),
            internal_storage: Some(false),
            key_reference: Some(reference.clone()),
            ..Wire::default()
        },
    };
    wire.text()
}

pub(super) fn read_metadata(bytes: &[u8]) -> Result<KeyMetadata, MaterialRefused> {
    let wire = Wire::parse(bytes)?;
    if required(wire.internal_storage, "internalStorage")? {
        Ok(KeyMetadata::Internal(wire.material()?))
    } else {
        Ok(KeyMetadata::External { reference: required(wire.key_reference, "keyReference")? })
    }
}

/// An external file is an object whose values are texts that are JSON themselves.
pub(super) fn write_external(external: &ExternalMaterial) -> String {
    let entries: serde_json::Map<_, _> =
        external.0.iter().map(|(name, m)| (name.clone(), write_material(m).into())).collect();
    serde_json::Value::Object(entries).to_string()
}

pub(super) fn read_external(text: &str) -> Result<ExternalMaterial, MaterialRefused> {
    let entries: std::collections::BTreeMap<String, String> =
        serde_json::from_str(text).map_err(MaterialRefused::Json)?;
    let read = |(name, text): (String, String)| match read_material(&text) {
        Ok(material) => Ok((name, material)),
        Err(source) => Err(MaterialRefused::Entry { name, source: Box::new(source) }),
    };
    entries.into_iter().map(read).collect::<Result<_, _>>().map(ExternalMaterial)
}
