use std::fmt;

use hmac::{Hmac, Mac as _};
use salus_model::{Entropy, EntropyFailed, Secret};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::Digest;

/// Turns names into pseudonyms that nobody without the key can make or test.
///
/// # Privacy
/// The same parts have the same pseudonym under one key, so equality shows; a plain hash of an
/// identifier would fall to guessing, this does not while the key stays secret.
///
/// # Source
/// HMAC-SHA-256, RFC 2104.
pub struct PseudonymKey(Secret<[u8; 32]>);

impl PseudonymKey {
    /// A new key.
    ///
    /// # Errors
    /// When the source of randomness does not answer.
    pub fn generate(entropy: &mut dyn Entropy) -> Result<Self, EntropyFailed> {
        let mut bytes = [0; 32];
        entropy.fill(&mut bytes)?;
        Ok(Self(Secret::new(bytes)))
    }

    /// A key that was made before.
    #[must_use]
    pub const fn from_secret(bytes: Secret<[u8; 32]>) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    #[must_use]
    pub const fn secret(&self) -> &Secret<[u8; 32]> {
        &self.0
    }

    /// The pseudonym of a sequence of parts under a domain, each preceded by its length.
    #[must_use]
    pub fn of_parts(&self, domain: &'static str, parts: &[&[u8]]) -> Digest {
        // Hashing takes keys of every length; a short one is filled up with zeros to the block.
        let mut block = Zeroizing::new([0; 64]);
        block[..32].copy_from_slice(self.0.expose());
        let mut mac = Hmac::<Sha256>::new((&*block).into());
        for part in std::iter::once(&domain.as_bytes()).chain(parts) {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        Digest::from_bytes(mac.finalize().into_bytes().into())
    }
}

impl fmt::Debug for PseudonymKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PseudonymKey(redacted)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The expected value is from Python's hmac module:
    /// `hmac.new(bytes(range(32)), msg, 'sha256')` where `msg` is each part behind its length as
    /// eight bytes, big-endian.
    #[test]
    fn it_is_hmac_over_parts_behind_their_lengths() {
        let key = PseudonymKey::from_secret(Secret::new(std::array::from_fn(|i| i as u8)));
        let made = key.of_parts("salus test v1", &[b"Patient", b"1"]);
        assert_eq!(
            made.to_string(),
            "5410000b7e3f3a17282ffe0a879c0e63a86f9088598d8898b932320b93523001"
        );
        assert_ne!(made, key.of_parts("salus test v1", &[b"Patien", b"t1"]));
        assert_ne!(made, key.of_parts("salus test v2", &[b"Patient", b"1"]));
        let other = PseudonymKey::from_secret(Secret::new([7; 32]));
        assert_ne!(made, other.of_parts("salus test v1", &[b"Patient", b"1"]));
    }
}
