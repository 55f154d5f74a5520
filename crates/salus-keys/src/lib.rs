//! Key stores: where master keys live, and the one trait by which the rest of Salus uses them.
//!
//! A master key never leaves its store. Data keys and key-encryption keys come in, are wrapped
//! under a named master key, and leave as text in Vault's own format (`vault:v1:…`), whichever
//! store it was: that is what lets Spark and pyarrow open the same files through the same Vault.
//!
//! **Invariant:** no dataset, column or Parquet type is known here.
//!
//! **Invariant:** an error never tells why a wrapped key failed to unwrap, only that it did.

mod cache;
mod local;
mod pkcs11;
mod store;
mod vault;
mod wrapped;

pub use cache::{CacheLifetime, CacheLifetimeRefused, CachedKeys, Caller, KeyCache};
pub use local::{LocalKeyStore, LocalOpenError};
pub use pkcs11::{Pkcs11Config, Pkcs11KeyStore, Pkcs11OpenError};
pub use store::{
    Health, KeyInfo, KeyState, KeyStore, KeyStoreError, PLAINTEXT_BYTES_MAX, VersionInfo,
};
pub use vault::{RetryPolicy, VaultConfig, VaultKeyStore, VaultOpenError};
pub use wrapped::{KeyVersion, WrapContext, WrappedKey, WrappedKeyText};
