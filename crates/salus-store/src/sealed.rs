//! Whole objects sealed under a master key: manifests, lists of superseded rows, journal heads.

use salus_crypto::aead::{Aad, AeadKey, OpenRefused, SealFailed};
use salus_crypto::{Digest, OsEntropy};
use salus_keys::{KeyStore, KeyStoreError, WrapContext, WrappedKey};
use salus_model::{Class, Classified, EntropyFailed, KeyName, Secret};
use zeroize::Zeroizing;

const MAGIC: &[u8] = b"salus sealed 1\n";

/// Why an object could not be sealed or opened.
#[derive(Debug, thiserror::Error)]
pub enum SealedError {
    /// The key store refused, or is out of reach.
    #[error("the key '{key}' is not available")]
    KeyStore {
        /// The master key.
        key: KeyName,
        /// Why.
        #[source]
        source: KeyStoreError,
    },
    /// The bytes are no sealed object.
    #[error("the object is not one that Salus sealed, or is cut off")]
    Malformed,
    /// The object was sealed elsewhere, for something else, or has been altered.
    #[error("the object does not open: it was altered, or belongs elsewhere")]
    Refused(#[from] OpenRefused),
    /// No random bytes.
    #[error("nothing can be sealed")]
    Entropy(#[from] EntropyFailed),
    /// Too long for one envelope.
    #[error("the object cannot be sealed")]
    Seal(#[from] SealFailed),
}

impl Classified for SealedError {
    fn class(&self) -> Class {
        match self {
            Self::KeyStore { source, .. } => crate::keytools::key_class(source),
            Self::Malformed | Self::Refused(_) => Class::Corrupt,
            Self::Entropy(_) => Class::Unavailable,
            Self::Seal(_) => Class::Bug,
        }
    }
}

/// Makes a data key and wraps it under `master`.
pub(crate) async fn new_key(
    store: &dyn KeyStore,
    master: &KeyName,
) -> Result<(AeadKey, WrappedKey), SealedError> {
    let key = AeadKey::generate(&mut OsEntropy)?;
    let bytes = Secret::new(key.secret().expose().to_vec());
    let wrapped = store
        .wrap(master, WrapContext::KeyTools, &bytes)
        .await
        .map_err(|source| SealedError::KeyStore { key: master.clone(), source })?;
    Ok((key, wrapped))
}

/// Gets a data key back that [`new_key`] wrapped.
pub(crate) async fn known_key(
    store: &dyn KeyStore,
    master: &KeyName,
    wrapped: &WrappedKey,
) -> Result<AeadKey, SealedError> {
    let bytes = store
        .unwrap(master, WrapContext::KeyTools, wrapped)
        .await
        .map_err(|source| SealedError::KeyStore { key: master.clone(), source })?;
    let bytes: [u8; 32] =
        bytes.expose().as_slice().try_into().map_err(|_| SealedError::Malformed)?;
    Ok(AeadKey::from_secret(Secret::new(bytes)))
}

/// The same data key, wrapped under the newest version of `master`.
pub(crate) async fn rewrap_key(
    store: &dyn KeyStore,
    master: &KeyName,
    wrapped: &WrappedKey,
) -> Result<WrappedKey, SealedError> {
    let rewrapped = store.rewrap(master, WrapContext::KeyTools, wrapped).await;
    rewrapped.map_err(|source| SealedError::KeyStore { key: master.clone(), source })
}

/// Seals an object under a new data key that `master` wraps.
///
/// # Errors
/// When the key store refuses, or no random bytes are to be had.
pub async fn seal(
    store: &dyn KeyStore,
    master: &KeyName,
    aad: &Aad,
    plaintext: &[u8],
) -> Result<Vec<u8>, SealedError> {
    let (key, wrapped) = new_key(store, master).await?;
    let sealed = key.seal(&mut OsEntropy, aad, plaintext)?;
    frame(&wrapped, &sealed)
}

/// Opens an object that was sealed for the same `aad`.
///
/// # Errors
/// When the key store refuses, or the object was altered or belongs elsewhere.
pub async fn open(
    store: &dyn KeyStore,
    master: &KeyName,
    aad: &Aad,
    object: &[u8],
) -> Result<Zeroizing<Vec<u8>>, SealedError> {
    let (wrapped, sealed) = split(object).ok_or(SealedError::Malformed)?;
    let key = known_key(store, master, &wrapped).await?;
    Ok(key.open(aad, sealed)?)
}

/// The same object with its data key wrapped under the master key's newest version.
pub(crate) async fn rewrap(
    store: &dyn KeyStore,
    master: &KeyName,
    object: &[u8],
) -> Result<Vec<u8>, SealedError> {
    let (wrapped, sealed) = split(object).ok_or(SealedError::Malformed)?;
    let wrapped = rewrap_key(store, master, &wrapped).await?;
    frame(&wrapped, sealed)
}

fn frame(wrapped: &WrappedKey, sealed: &[u8]) -> Result<Vec<u8>, SealedError> {
    let wrapped = wrapped.as_str().as_bytes();
    let length = u32::try_from(wrapped.len()).map_err(|_| SealedError::Malformed)?;
    Ok([MAGIC, &length.to_be_bytes(), wrapped, sealed].concat())
}

/// Length and digest of what is sealed, which wrapping its key anew does not change.
pub(crate) fn measure(object: &[u8]) -> Result<(u64, Digest), SealedError> {
    let (_, sealed) = split(object).ok_or(SealedError::Malformed)?;
    Ok((sealed.len() as u64, Digest::of(sealed)))
}

fn split(object: &[u8]) -> Option<(WrappedKey, &[u8])> {
    let rest = object.strip_prefix(MAGIC)?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    let (wrapped, sealed) = rest.split_at_checked(length)?;
    Some((std::str::from_utf8(wrapped).ok()?.parse().ok()?, sealed))
}
