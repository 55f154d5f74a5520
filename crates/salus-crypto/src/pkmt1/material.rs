use std::collections::BTreeMap;
use std::fmt;

use salus_model::{Entropy, EntropyFailed, Secret};

use super::json::{self, MaterialRefused};
use super::local::{DataKey, Kek, KekId, UnwrapRefused, unwrap_locally, wrap_locally};

/// A master key as key material names it; files that others wrote may use any text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MasterKeyId(String);

impl MasterKeyId {
    /// The id; none when the text is empty.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Option<Self> {
        Some(text.into()).filter(|text| !text.is_empty()).map(Self)
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for MasterKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&salus_model::KeyName> for MasterKeyId {
    fn from(name: &salus_model::KeyName) -> Self {
        Self(name.as_str().to_owned())
    }
}

/// What a key encrypts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyRole {
    /// The file's footer; its material also says where the key store is.
    Footer {
        /// Which instance, in the key store's own terms; `DEFAULT` when it has one only.
        kms_instance_id: String,
        /// The instance's address; `DEFAULT` when the reader's configuration knows it.
        kms_instance_url: String,
    },
    /// One column.
    Column,
}

impl KeyRole {
    /// The footer of a file whose key store the reader's configuration knows.
    #[must_use]
    pub fn default_footer() -> Self {
        Self::Footer { kms_instance_id: "DEFAULT".into(), kms_instance_url: "DEFAULT".into() }
    }
}

/// How a data key is wrapped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wrapping {
    /// By the master key.
    Single {
        /// The data key in the key store's own format.
        wrapped_dek: String,
    },
    /// By a key-encryption key, which is wrapped by the master key.
    Double {
        /// The key-encryption key's name.
        kek_id: KekId,
        /// The data key, wrapped by [`wrap_locally`] with the name as context.
        wrapped_dek: String,
        /// The key-encryption key in the key store's own format.
        wrapped_kek: String,
    },
}

/// Everything but the master key that is needed to get one data key back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyMaterial {
    /// What the key encrypts.
    pub role: KeyRole,
    /// The master key.
    pub master_key: MasterKeyId,
    /// How the data key is wrapped.
    pub wrapping: Wrapping,
}

impl KeyMaterial {
    /// Material for a data key that the key store wrapped as `wrapped_dek`.
    #[must_use]
    pub const fn single(role: KeyRole, master_key: MasterKeyId, wrapped_dek: String) -> Self {
        Self { role, master_key, wrapping: Wrapping::Single { wrapped_dek } }
    }

    /// Material for a data key under `kek`, which the key store wrapped as `wrapped_kek`.
    ///
    /// # Errors
    /// When the source of randomness fails.
    pub fn double(
        entropy: &mut dyn Entropy,
        role: KeyRole,
        master_key: MasterKeyId,
        kek: &Kek,
        wrapped_kek: String,
        key: &DataKey,
    ) -> Result<Self, EntropyFailed> {
        let kek_id = kek.id();
        let wrapped_dek = wrap_locally(entropy, kek.key(), kek_id.as_bytes(), key)?;
        let wrapping = Wrapping::Double { kek_id, wrapped_dek, wrapped_kek };
        Ok(Self { role, master_key, wrapping })
    }

    /// What the key store has to unwrap: a master key, and text in the key store's own format.
    #[must_use]
    pub fn request(&self) -> (&MasterKeyId, &str) {
        let wrapped = match &self.wrapping {
            Wrapping::Single { wrapped_dek } => wrapped_dek,
            Wrapping::Double { wrapped_kek, .. } => wrapped_kek,
        };
        (&self.master_key, wrapped)
    }

    /// The data key, from the key store's answer to [`KeyMaterial::request`].
    ///
    /// # Errors
    /// When the answer is no AES key, or not the one that wrapped the data key.
    pub fn data_key(&self, answer: Secret<Vec<u8>>) -> Result<DataKey, UnwrapRefused> {
        let key = DataKey::new(answer).map_err(|_| UnwrapRefused)?;
        match &self.wrapping {
            Wrapping::Single { .. } => Ok(key),
            Wrapping::Double { kek_id, wrapped_dek, .. } => {
                unwrap_locally(&key, kek_id.as_bytes(), wrapped_dek)
            }
        }
    }

    /// The same material after the key store wrapped the answer to [`KeyMaterial::request`] anew,
    /// which is how a master key is rotated without touching data.
    #[must_use]
    pub fn rewrapped(self, wrapped: String) -> Self {
        let wrapping = match self.wrapping {
            Wrapping::Single { .. } => Wrapping::Single { wrapped_dek: wrapped },
            Wrapping::Double { kek_id, wrapped_dek, .. } => {
                Wrapping::Double { kek_id, wrapped_dek, wrapped_kek: wrapped }
            }
        };
        Self { wrapping, ..self }
    }

    /// The material as the JSON of an external file's entry.
    #[must_use]
    pub fn to_json(&self) -> String {
        json::write_material(self)
    }

    /// Material from the JSON of an external file's entry.
    ///
    /// # Errors
    /// When it is no JSON, another version, or lacks a field.
    pub fn from_json(text: &str) -> Result<Self, MaterialRefused> {
        json::read_material(text)
    }
}

/// The key metadata that stands in a Parquet file for one encrypted column or footer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyMetadata {
    /// The material itself.
    Internal(KeyMaterial),
    /// The name of the material in the file beside.
    External {
        /// The entry's name, such as `footerKey` or `columnKey0`.
        reference: String,
    },
}

impl KeyMetadata {
    /// The metadata as Parquet stores it.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        json::write_metadata(self).into_bytes()
    }

    /// Metadata from a Parquet file.
    ///
    /// # Errors
    /// When it is no JSON, another version, or lacks a field.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, MaterialRefused> {
        json::read_metadata(bytes)
    }
}

/// The external key material of one Parquet file: material by the name that the file refers to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ExternalMaterial(pub BTreeMap<String, KeyMaterial>);

impl ExternalMaterial {
    /// The name under which parquet-java and Arrow look for the footer's material.
    pub const FOOTER: &'static str = "footerKey";

    /// The name of the material of column number `index`, in the order of first use.
    #[must_use]
    pub fn column(index: usize) -> String {
        format!("columnKey{index}")
    }

    /// The file's content.
    #[must_use]
    pub fn to_json(&self) -> String {
        json::write_external(self)
    }

    /// Key material from a file's content.
    ///
    /// # Errors
    /// When the content is no JSON object of material; the message names the entry.
    pub fn from_json(text: &str) -> Result<Self, MaterialRefused> {
        json::read_external(text)
    }
}

/// The name of the file beside `parquet_file` that holds its external key material.
#[must_use]
pub fn external_material_file_name(parquet_file: &str) -> String {
    format!("_KEY_MATERIAL_FOR_{parquet_file}.json")
}
