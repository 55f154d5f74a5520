//! Containers sealed with a passphrase: Argon2id, then AES-256-GCM.
//!
//! Version 1 is `SALUSPW1 | memory KiB (u32) | passes (u32) | lanes (u32) | salt (16 bytes) |
//! nonce (12 bytes) | ciphertext | tag (16 bytes)`, integers big-endian. Everything before the
//! ciphertext is authenticated, and so is the purpose, which is not stored.
//!
//! # Privacy
//! Costs below OWASP's minimum are refused on opening too: a container whose header was lowered
//! would hand an attacker a cheap guess at the passphrase. Costs above a ceiling are refused so
//! that a forged header cannot exhaust the machine.
//!
//! # Source
//! RFC 9106 (Argon2, version 0x13); OWASP Password Storage Cheat Sheet (minimum).

use aes_gcm::aead::{Aead as _, Payload};
use aes_gcm::{Aes256Gcm, KeyInit as _, Nonce};
use argon2::{Algorithm, Argon2, Params, Version};
use salus_model::{Class, Classified, Entropy, EntropyFailed, Secret};
use zeroize::Zeroizing;

const MAGIC: &[u8; 8] = b"SALUSPW1";
const SALT_BYTES: usize = 16;
const NONCE_BYTES: usize = 12;
const HEADER_BYTES: usize = MAGIC.len() + 12 + SALT_BYTES + NONCE_BYTES;
const MEMORY_KIB_MAX: u32 = 1 << 20;
const PASSES_MAX: u32 = 16;
const LANES_MAX: u32 = 16;

/// The pairs of memory and passes that OWASP names as equally strong; one must be reached.
const OWASP_MINIMA: [(u32, u32); 5] =
    [(47_104, 1), (19_456, 2), (12_288, 3), (9_216, 4), (7_168, 5)];

/// The fewest characters that a passphrase may have.
pub const PASSPHRASE_CHARACTERS_MIN: usize = 8;

/// Costs or a passphrase that this format does not accept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unsuitable {
    /// The passphrase is too short.
    #[error(
        "a passphrase has at least {PASSPHRASE_CHARACTERS_MIN} characters, this one has {found}"
    )]
    TooShort {
        /// How many characters there were.
        found: usize,
    },
    /// The costs are below OWASP's minimum.
    #[error(
        "Argon2id with {memory_kib} KiB and {passes} passes is below OWASP's minimum \
         (19456 KiB and 2 passes, or an equal)"
    )]
    TooCheap {
        /// Memory in KiB.
        memory_kib: u32,
        /// Passes over the memory.
        passes: u32,
    },
    /// The costs are above what this format accepts.
    #[error(
        "Argon2id with {memory_kib} KiB, {passes} passes and {lanes} lanes is above the ceiling of \
         {MEMORY_KIB_MAX} KiB, {PASSES_MAX} passes and {LANES_MAX} lanes"
    )]
    TooDear {
        /// Memory in KiB.
        memory_kib: u32,
        /// Passes over the memory.
        passes: u32,
        /// Lanes.
        lanes: u32,
    },
}

impl Classified for Unsuitable {
    fn class(&self) -> Class {
        Class::BadRequest
    }
}

/// A passphrase of at least [`PASSPHRASE_CHARACTERS_MIN`] characters.
#[derive(Debug)]
pub struct Passphrase(Secret<String>);

impl Passphrase {
    /// Takes the passphrase exactly as given; nothing is trimmed or normalised.
    ///
    /// # Errors
    /// When it is too short.
    pub fn new(text: Secret<String>) -> Result<Self, Unsuitable> {
        let found = text.expose().chars().count();
        if found < PASSPHRASE_CHARACTERS_MIN {
            return Err(Unsuitable::TooShort { found });
        }
        Ok(Self(text))
    }
}

/// What one guess at a passphrase costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GuessCost {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
}

impl GuessCost {
    /// RFC 9106's second recommended option: 64 MiB, 3 passes, 4 lanes.
    pub const RFC_9106_SECOND: Self = Self { memory_kib: 64 * 1024, passes: 3, lanes: 4 };

    /// OWASP's minimum: 19 MiB, 2 passes, 1 lane.
    pub const OWASP_MINIMUM: Self = Self { memory_kib: 19_456, passes: 2, lanes: 1 };

    /// Argon2id's three costs.
    ///
    /// # Errors
    /// When they are below OWASP's minimum or above the ceiling.
    pub fn new(memory_kib: u32, passes: u32, lanes: u32) -> Result<Self, Unsuitable> {
        if memory_kib > MEMORY_KIB_MAX || passes > PASSES_MAX || !(1..=LANES_MAX).contains(&lanes) {
            return Err(Unsuitable::TooDear { memory_kib, passes, lanes });
        }
        if !OWASP_MINIMA.iter().any(|&(memory, pass)| memory_kib >= memory && passes >= pass) {
            return Err(Unsuitable::TooCheap { memory_kib, passes });
        }
        Ok(Self { memory_kib, passes, lanes })
    }
}

/// A container could not be sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealFailed {
    /// No salt or nonce could be drawn.
    #[error("no random salt could be drawn")]
    Entropy(#[from] EntropyFailed),
    /// The plaintext is too long, or the derivation failed.
    #[error("the container could not be sealed")]
    Refused,
}

impl Classified for SealFailed {
    fn class(&self) -> Class {
        match self {
            Self::Entropy(_) => Class::Unavailable,
            Self::Refused => Class::BadRequest,
        }
    }
}

/// A container that does not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenRefused {
    /// The bytes are no container of this format, or were cut off.
    #[error("this is no sealed container, or it was cut off")]
    NotAContainer,
    /// The header asks for costs that are never accepted.
    #[error("the container's header asks for unacceptable costs")]
    Cost(#[source] Unsuitable),
    /// The passphrase is another, or a byte was changed; which of the two is not told.
    #[error("the passphrase does not open this container, or the container was changed")]
    Refused,
}

impl Classified for OpenRefused {
    fn class(&self) -> Class {
        match self {
            Self::NotAContainer | Self::Cost(_) => Class::Corrupt,
            Self::Refused => Class::Refused,
        }
    }
}

/// A passphrase stretched with one salt at one cost, for any number of containers.
///
/// # Privacy
/// The salt makes one table of guesses useless for two files; it need not differ between two
/// states of one file, since whoever has either has the salt and the same guess to make. Each
/// container has a fresh random nonce of 96 bits, so the key may seal 2³² of them before the odds
/// of a repeated nonce reach 2⁻³²; at one change of a key file a second that is 136 years. Whoever
/// reads this process's memory gains no more by the stretched key than by the passphrase beside it.
///
/// # Source
/// NIST SP 800-38D, section 8.3: at most 2³² invocations with random 96-bit nonces.
#[derive(Debug)]
pub struct StretchedPassphrase {
    cost: GuessCost,
    salt: [u8; SALT_BYTES],
    key: Secret<[u8; 32]>,
}

impl StretchedPassphrase {
    /// Stretches a passphrase with a new salt.
    ///
    /// # Errors
    /// When no salt can be drawn.
    ///
    /// # Cost
    /// As `cost` says: memory is taken for the length of the call.
    pub fn generate(
        entropy: &mut dyn Entropy,
        passphrase: &Passphrase,
        cost: GuessCost,
    ) -> Result<Self, SealFailed> {
        let mut salt = [0; SALT_BYTES];
        entropy.fill(&mut salt)?;
        Self::derive(passphrase, cost, salt).ok_or(SealFailed::Refused)
    }

    /// Stretches a passphrase with the salt and the cost of a container.
    ///
    /// # Errors
    /// When the bytes are no container, or ask for unacceptable costs.
    ///
    /// # Cost
    /// As the header says, up to 1 GiB of memory.
    pub fn of_container(passphrase: &Passphrase, container: &[u8]) -> Result<Self, OpenRefused> {
        let Parts { cost, salt, .. } = Parts::of(container)?;
        Self::derive(passphrase, cost, salt).ok_or(OpenRefused::Refused)
    }

    fn derive(passphrase: &Passphrase, cost: GuessCost, salt: [u8; SALT_BYTES]) -> Option<Self> {
        let key = stretch(passphrase, cost, &salt)?;
        Some(Self { cost, salt, key: Secret::new(*key) })
    }

    /// What a guess at the passphrase costs whoever has a container.
    #[must_use]
    pub const fn cost(&self) -> GuessCost {
        self.cost
    }

    /// Whether a container was sealed with the same salt at the same cost.
    #[must_use]
    pub fn fits(&self, container: &[u8]) -> bool {
        Parts::of(container).is_ok_and(|p| p.cost == self.cost && p.salt == self.salt)
    }

    /// Seals `plaintext` for one purpose, with a fresh nonce.
    ///
    /// # Errors
    /// When no nonce can be drawn, or the plaintext is longer than the cipher allows.
    pub fn seal(
        &self,
        entropy: &mut dyn Entropy,
        purpose: &'static str,
        plaintext: &[u8],
    ) -> Result<Vec<u8>, SealFailed> {
        let mut nonce = [0; NONCE_BYTES];
        entropy.fill(&mut nonce)?;
        let mut container = Vec::with_capacity(HEADER_BYTES + plaintext.len() + 16);
        container.extend_from_slice(MAGIC);
        for number in [self.cost.memory_kib, self.cost.passes, self.cost.lanes] {
            container.extend_from_slice(&number.to_be_bytes());
        }
        container.extend_from_slice(&self.salt);
        container.extend_from_slice(&nonce);
        let aad = bound(&container, purpose);
        let sealed = Aes256Gcm::new(self.key.expose().into())
            .encrypt(Nonce::from_slice(&nonce), Payload { msg: plaintext, aad: &aad })
            .map_err(|_| SealFailed::Refused)?;
        container.extend_from_slice(&sealed);
        Ok(container)
    }

    /// Opens a container that [`StretchedPassphrase::fits`].
    ///
    /// # Errors
    /// When the bytes are no container, of another salt or cost, or do not open.
    pub fn open(
        &self,
        purpose: &'static str,
        container: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, OpenRefused> {
        let Parts { cost, salt, nonce, header, sealed } = Parts::of(container)?;
        if cost != self.cost || salt != self.salt {
            return Err(OpenRefused::Refused);
        }
        let aad = bound(header, purpose);
        Aes256Gcm::new(self.key.expose().into())
            .decrypt(Nonce::from_slice(nonce), Payload { msg: sealed, aad: &aad })
            .map(Zeroizing::new)
            .map_err(|_| OpenRefused::Refused)
    }
}

/// Seals `plaintext` under a passphrase, for one purpose.
///
/// # Errors
/// When no salt can be drawn, or the plaintext is longer than the cipher allows.
///
/// # Cost
/// As `cost` says: memory is taken for the length of the call.
pub fn seal(
    entropy: &mut dyn Entropy,
    passphrase: &Passphrase,
    cost: GuessCost,
    purpose: &'static str,
    plaintext: &[u8],
) -> Result<Vec<u8>, SealFailed> {
    StretchedPassphrase::generate(entropy, passphrase, cost)?.seal(entropy, purpose, plaintext)
}

/// Opens a container that was sealed under this passphrase for this purpose.
///
/// # Errors
/// When the bytes are no container, ask for unacceptable costs, or do not open.
///
/// # Cost
/// As the header says, up to 1 GiB of memory.
pub fn open(
    passphrase: &Passphrase,
    purpose: &'static str,
    container: &[u8],
) -> Result<Zeroizing<Vec<u8>>, OpenRefused> {
    StretchedPassphrase::of_container(passphrase, container)?.open(purpose, container)
}

/// A container's bytes, told apart.
struct Parts<'a> {
    cost: GuessCost,
    salt: [u8; SALT_BYTES],
    nonce: &'a [u8],
    header: &'a [u8],
    sealed: &'a [u8],
}

impl<'a> Parts<'a> {
    fn of(container: &'a [u8]) -> Result<Self, OpenRefused> {
        let (header, sealed) =
            container.split_at_checked(HEADER_BYTES).ok_or(OpenRefused::NotAContainer)?;
        let rest = header.strip_prefix(MAGIC).ok_or(OpenRefused::NotAContainer)?;
        let (memory_kib, rest) = number(rest)?;
        let (passes, rest) = number(rest)?;
        let (lanes, rest) = number(rest)?;
        let (salt, nonce) = rest.split_first_chunk().ok_or(OpenRefused::NotAContainer)?;
        let cost = GuessCost::new(memory_kib, passes, lanes).map_err(OpenRefused::Cost)?;
        Ok(Self { cost, salt: *salt, nonce, header, sealed })
    }
}

fn number(bytes: &[u8]) -> Result<(u32, &[u8]), OpenRefused> {
    let (number, rest) = bytes.split_first_chunk().ok_or(OpenRefused::NotAContainer)?;
    Ok((u32::from_be_bytes(*number), rest))
}

fn bound(header: &[u8], purpose: &str) -> Vec<u8> {
    [header, purpose.as_bytes()].concat()
}

fn stretch(passphrase: &Passphrase, cost: GuessCost, salt: &[u8]) -> Option<Zeroizing<[u8; 32]>> {
    let params = Params::new(cost.memory_kib, cost.passes, cost.lanes, Some(32)).ok()?;
    let mut key = Zeroizing::new([0; 32]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(passphrase.0.expose().as_bytes(), salt, key.as_mut())
        .ok()?;
    Some(key)
}
