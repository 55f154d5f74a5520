//! Parquet key tools' key material, version PKMT1, as Spark, parquet-mr and Arrow write and read it.
//!
//! A column's data key (DEK) is wrapped in one of two ways. *Single wrapping*: the key store wraps
//! the DEK under a master key. *Double wrapping*: a key-encryption key (KEK) wraps the DEK here,
//! and the key store wraps the KEK, so that one request serves many columns. The result, as JSON,
//! stands in the Parquet file (internal storage) or in a file beside it (external storage), which
//! rotation can replace without touching data.
//!
//! This module never talks to a key store. Reading is two steps: [`KeyMaterial::request`] says
//! what the key store has to unwrap, [`KeyMaterial::data_key`] takes its answer.
//!
//! # Source
//! parquet-java, package `org.apache.parquet.crypto.keytools` (`KeyMaterial`, `KeyMetadata`,
//! `KeyToolkit`, `HadoopFSKeyMaterialStore`); Arrow C++, `parquet/encryption/key_material.h`.

mod json;
mod local;
mod material;

pub use json::MaterialRefused;
pub use local::{
    DataKey, DataKeyLength, Kek, KekId, UnsuitableKeyLength, UnwrapRefused, unwrap_locally,
    wrap_locally,
};
pub use material::{
    ExternalMaterial, KeyMaterial, KeyMetadata, KeyRole, MasterKeyId, Wrapping,
    external_material_file_name,
};
