//! What is accepted as a password, and how it is kept.
//!
//! Length and guesses decide, not kinds of characters: at least 12 characters, and an estimate of
//! 10⁸ guesses or more with the account's own names counted as guessed.
//!
//! # Source
//! NIST SP 800-63B-4, section 3.1.1.2 (length, no rules of composition, blocklist, NFKC);
//! Wheeler, "zxcvbn: Low-Budget Password Strength Estimation", USENIX Security 2016.

use argon2::password_hash::{PasswordHash, PasswordHasher as _, PasswordVerifier as _, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use salus_model::{Entropy, EntropyFailed, Secret};
use unicode_normalization::UnicodeNormalization as _;
use zeroize::Zeroizing;
use zxcvbn::{Score, zxcvbn};

/// The fewest characters of a password.
pub const CHARACTERS_MIN: usize = 12;
/// The most; longer ones would make signing in costly for the server.
pub const CHARACTERS_MAX: usize = 256;

/// A password that is not accepted, with what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PasswordRefused {
    /// Too few or too many characters.
    #[error("a password has {CHARACTERS_MIN} to {CHARACTERS_MAX} characters, this one has {found}")]
    Length {
        /// How many there were.
        found: usize,
    },
    /// Easily guessed.
    #[error("this password is easily guessed; {advice}")]
    Guessable {
        /// What would make it better.
        advice: String,
    },
}

/// Texts as an attacker would spell them: whole, in their words, and with the words run together.
fn spellings(about: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for text in about {
        let words: Vec<&str> =
            text.split(|c: char| !c.is_alphanumeric()).filter(|word| word.len() > 2).collect();
        found.extend(words.iter().map(|word| (*word).to_owned()));
        found.push(words.concat());
        found.push((*text).to_owned());
    }
    found
}

/// A password as typed, in its one Unicode form.
#[derive(Debug)]
pub struct Password(Secret<String>);

impl Password {
    /// Takes what was typed to sign in; anything may be tried.
    #[must_use]
    pub fn typed(text: &Secret<String>) -> Self {
        // Cut, so that a megabyte of text costs no more than a password; nothing accepted is cut.
        Self(Secret::new(text.expose().nfkc().take(CHARACTERS_MAX + 1).collect()))
    }

    /// Takes a new password, which has to be hard to guess.
    ///
    /// `about` are texts that an attacker would try first: login, name, organisation.
    ///
    /// # Errors
    /// When it is too short, too long or easily guessed.
    pub fn chosen(text: &Secret<String>, about: &[&str]) -> Result<Self, PasswordRefused> {
        let password = Self::typed(text);
        let found = password.0.expose().chars().count();
        if !(CHARACTERS_MIN..=CHARACTERS_MAX).contains(&found) {
            return Err(PasswordRefused::Length { found });
        }
        let known = spellings(about);
        let known: Vec<&str> = known.iter().map(String::as_str).chain(["salus"]).collect();
        let estimate = zxcvbn(password.0.expose(), &known);
        if estimate.score() < Score::Three {
            let advice = estimate.feedback().and_then(|feedback| {
                let told = feedback.warning().map(|warning| warning.to_string());
                told.or_else(|| feedback.suggestions().first().map(ToString::to_string))
            });
            let advice =
                advice.unwrap_or_else(|| "use several words that do not belong together".into());
            return Err(PasswordRefused::Guessable { advice });
        }
        Ok(password)
    }

    fn bytes(&self) -> &[u8] {
        self.0.expose().as_bytes()
    }
}

/// The costs of Argon2id for accounts: OWASP's minimum, since a server bears many at a time.
const MEMORY_KIB: u32 = 19_456;
const PASSES: u32 = 2;

fn argon2() -> Option<Argon2<'static>> {
    let params = Params::new(MEMORY_KIB, PASSES, 1, Some(32)).ok()?;
    Some(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

/// A password could not be hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HashFailed {
    /// No salt.
    #[error("no random salt could be drawn")]
    Entropy(#[from] EntropyFailed),
    /// The library refused its input, which is a bug.
    #[error("the password could not be hashed")]
    Refused,
}

/// A password as it is kept: Argon2id in PHC form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept(String);

impl Kept {
    /// Hashes a password with a new salt.
    ///
    /// # Errors
    /// When no salt can be drawn.
    ///
    /// # Cost
    /// 19 MiB and some tens of milliseconds of one core.
    pub fn new(entropy: &mut dyn Entropy, password: &Password) -> Result<Self, HashFailed> {
        let mut salt = [0; 16];
        entropy.fill(&mut salt)?;
        let salt = SaltString::encode_b64(&salt).map_err(|_| HashFailed::Refused)?;
        let hasher = argon2().ok_or(HashFailed::Refused)?;
        let hash =
            hasher.hash_password(password.bytes(), &salt).map_err(|_| HashFailed::Refused)?;
        Ok(Self(hash.to_string()))
    }

    /// What is compared with when a name is unknown, at the same cost; no password fits it.
    ///
    /// # Errors
    /// As [`Kept::new`].
    pub fn of_nobody(entropy: &mut dyn Entropy) -> Result<Self, HashFailed> {
        let mut bytes = Zeroizing::new([0; 32]);
        entropy.fill(&mut *bytes)?;
        Self::new(entropy, &Password(Secret::new(hex::encode(*bytes))))
    }

    pub(crate) const fn stored(text: String) -> Self {
        Self(text)
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is the password; in constant time for one cost.
    ///
    /// # Cost
    /// As [`Kept::new`].
    #[must_use]
    pub fn fits(&self, password: &Password) -> bool {
        let Ok(kept) = PasswordHash::new(&self.0) else { return false };
        argon2().is_some_and(|hasher| hasher.verify_password(password.bytes(), &kept).is_ok())
    }
}
