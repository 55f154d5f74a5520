use salus_crypto::pkmt1::DataKeyLength;
use serde::{Deserialize, Serialize};

/// How a file's footer is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FooterMode {
    /// Encrypted: schema and row counts are hidden.
    Encrypted,
    /// In plaintext and signed: old readers see schema and unencrypted statistics of no column.
    SignedPlaintext,
}

/// How data keys are wrapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WrappingMode {
    /// Each data key by its master key: one request to the key store a column.
    Single,
    /// Data keys by a key-encryption key, and that by the master key: one request a master key.
    Double,
}

/// Where the wrapped data keys of a file are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MaterialStorage {
    /// In an object beside the file: master keys are rotated without touching data.
    External,
    /// In the file itself, one object less: a file keeps the versions of the master keys that it
    /// was written under until its rows are written anew.
    Internal,
}

impl MaterialStorage {
    /// What manifests mean that were written before there was a choice.
    const fn before_there_was_a_choice() -> Self {
        Self::External
    }
}

/// How new files of a dataset are encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EncryptionSettings {
    /// Length of data keys and key-encryption keys, in bits: 128 or 256.
    #[serde(with = "key_bits")]
    pub key_bits: DataKeyLength,
    /// How data keys are wrapped.
    pub wrapping: WrappingMode,
    /// How the footer is protected.
    pub footer: FooterMode,
    /// Where wrapped data keys are kept.
    #[serde(default = "MaterialStorage::before_there_was_a_choice")]
    pub material: MaterialStorage,
}

impl EncryptionSettings {
    /// AES-256, double wrapping, encrypted footer, external material: what is set where nobody
    /// says otherwise.
    pub const STRICT: Self = Self {
        key_bits: DataKeyLength::Bits256,
        wrapping: WrappingMode::Double,
        footer: FooterMode::Encrypted,
        material: MaterialStorage::External,
    };
}

mod key_bits {
    use salus_crypto::pkmt1::DataKeyLength;
    use serde::{Deserialize, Deserializer, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(
        length: &DataKeyLength,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.serialize_u64(length.bits() as u64)
    }

    pub(super) fn deserialize<'d, D: Deserializer<'d>>(from: D) -> Result<DataKeyLength, D::Error> {
        match u64::deserialize(from)? {
            128 => Ok(DataKeyLength::Bits128),
            256 => Ok(DataKeyLength::Bits256),
            other => Err(D::Error::custom(format!("key_bits is 128 or 256, not {other}"))),
        }
    }
}
