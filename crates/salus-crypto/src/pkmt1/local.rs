use aes_gcm::aead::consts::U12;
use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::aes::Aes192;
use aes_gcm::{Aes128Gcm, Aes256Gcm, AesGcm, Nonce};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use salus_model::{Class, Classified, Entropy, EntropyFailed, Secret};
use zeroize::Zeroizing;

type Aes192Gcm = AesGcm<Aes192, U12>;

const NONCE_BYTES: usize = 12;
const TAG_BYTES: usize = 16;

/// The lengths of AES key that Parquet encryption knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DataKeyLength {
    /// AES-128.
    Bits128,
    /// AES-192.
    Bits192,
    /// AES-256.
    Bits256,
}

impl DataKeyLength {
    /// The length in bytes.
    #[must_use]
    pub const fn bytes(self) -> usize {
        match self {
            Self::Bits128 => 16,
            Self::Bits192 => 24,
            Self::Bits256 => 32,
        }
    }

    /// The length in bits, as Parquet's settings name it.
    #[must_use]
    pub const fn bits(self) -> usize {
        self.bytes() * 8
    }

    const fn of_bytes(bytes: usize) -> Option<Self> {
        match bytes {
            16 => Some(Self::Bits128),
            24 => Some(Self::Bits192),
            32 => Some(Self::Bits256),
            _ => None,
        }
    }
}

/// Bytes whose number is that of no AES key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an AES key has 16, 24 or 32 bytes, this one has {found}")]
pub struct UnsuitableKeyLength {
    /// How many bytes there were.
    pub found: usize,
}

impl Classified for UnsuitableKeyLength {
    fn class(&self) -> Class {
        Class::Corrupt
    }
}

/// A wrapped key that does not unwrap under this key and context.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the wrapped key does not unwrap with this key")]
pub struct UnwrapRefused;

impl Classified for UnwrapRefused {
    fn class(&self) -> Class {
        Class::Corrupt
    }
}

/// An AES key for Parquet modules, columns or footer.
#[derive(Debug, PartialEq, Eq)]
pub struct DataKey {
    bytes: Secret<Vec<u8>>,
    length: DataKeyLength,
}

impl DataKey {
    /// Makes a new key.
    ///
    /// # Errors
    /// When the source of randomness fails.
    pub fn generate(
        entropy: &mut dyn Entropy,
        length: DataKeyLength,
    ) -> Result<Self, EntropyFailed> {
        let mut bytes = Zeroizing::new(vec![0; length.bytes()]);
        entropy.fill(&mut bytes)?;
        Ok(Self { bytes: Secret::new(std::mem::take(&mut *bytes)), length })
    }

    /// The key with these bytes.
    ///
    /// # Errors
    /// When there are not 16, 24 or 32 of them.
    pub fn new(bytes: Secret<Vec<u8>>) -> Result<Self, UnsuitableKeyLength> {
        let found = bytes.expose().len();
        let length = DataKeyLength::of_bytes(found).ok_or(UnsuitableKeyLength { found })?;
        Ok(Self { bytes, length })
    }

    /// Lends the key's bytes out.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        self.bytes.expose()
    }

    /// How long the key is.
    #[must_use]
    pub const fn length(&self) -> DataKeyLength {
        self.length
    }
}

/// The 16 random bytes that name a key-encryption key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KekId([u8; 16]);

impl KekId {
    /// The id with these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The id's bytes, which are the context of every key it wraps.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

/// A key-encryption key: wraps data keys here, and is wrapped by a master key in its key store.
#[derive(Debug)]
pub struct Kek {
    id: KekId,
    key: DataKey,
}

impl Kek {
    /// Makes a new key with a new id.
    ///
    /// # Errors
    /// When the source of randomness fails.
    pub fn generate(
        entropy: &mut dyn Entropy,
        length: DataKeyLength,
    ) -> Result<Self, EntropyFailed> {
        let mut id = [0; 16];
        entropy.fill(&mut id)?;
        Ok(Self { id: KekId(id), key: DataKey::generate(entropy, length)? })
    }

    /// A key that its key store unwrapped.
    #[must_use]
    pub const fn new(id: KekId, key: DataKey) -> Self {
        Self { id, key }
    }

    /// The key's name.
    #[must_use]
    pub const fn id(&self) -> KekId {
        self.id
    }

    /// The key itself, for its key store to wrap.
    #[must_use]
    pub const fn key(&self) -> &DataKey {
        &self.key
    }
}

/// Wraps a key under another: base64 of nonce, ciphertext and tag of AES-GCM.
///
/// # Errors
/// When no nonce can be drawn.
///
/// # Source
/// parquet-java, `KeyToolkit.encryptKeyLocally`.
pub fn wrap_locally(
    entropy: &mut dyn Entropy,
    wrapping: &DataKey,
    aad: &[u8],
    key: &DataKey,
) -> Result<String, EntropyFailed> {
    let mut nonce = [0; NONCE_BYTES];
    entropy.fill(&mut nonce)?;
    let payload = Payload { msg: key.expose(), aad };
    let at = Nonce::from_slice(&nonce);
    let wrapped = match wrapping.length {
        DataKeyLength::Bits128 => cipher::<Aes128Gcm>(wrapping).encrypt(at, payload),
        DataKeyLength::Bits192 => cipher::<Aes192Gcm>(wrapping).encrypt(at, payload),
        DataKeyLength::Bits256 => cipher::<Aes256Gcm>(wrapping).encrypt(at, payload),
    };
    // GCM refuses only what is 64 GiB or longer; a key has 32 bytes at most.
    let wrapped = wrapped.map_err(|_| EntropyFailed)?;
    Ok(BASE64.encode([nonce.as_slice(), &wrapped].concat()))
}

/// Unwraps what [`wrap_locally`] made with the same key and context.
///
/// # Errors
/// When key, context or any byte differ, or what is inside is no AES key; which is not told.
pub fn unwrap_locally(
    wrapping: &DataKey,
    aad: &[u8],
    wrapped: &str,
) -> Result<DataKey, UnwrapRefused> {
    let bytes = BASE64.decode(wrapped).map_err(|_| UnwrapRefused)?;
    let (nonce, sealed) = bytes.split_at_checked(NONCE_BYTES).ok_or(UnwrapRefused)?;
    if sealed.len() > DataKeyLength::Bits256.bytes() + TAG_BYTES {
        return Err(UnwrapRefused);
    }
    let (at, payload) = (Nonce::from_slice(nonce), Payload { msg: sealed, aad });
    let key = match wrapping.length {
        DataKeyLength::Bits128 => cipher::<Aes128Gcm>(wrapping).decrypt(at, payload),
        DataKeyLength::Bits192 => cipher::<Aes192Gcm>(wrapping).decrypt(at, payload),
        DataKeyLength::Bits256 => cipher::<Aes256Gcm>(wrapping).decrypt(at, payload),
    };
    DataKey::new(Secret::new(key.map_err(|_| UnwrapRefused)?)).map_err(|_| UnwrapRefused)
}

fn cipher<C: KeyInit>(key: &DataKey) -> C {
    C::new(aes_gcm::Key::<C>::from_slice(key.expose()))
}
