//! Second factors: codes from an authenticator app, and recovery codes for the day it is lost.
//!
//! # Privacy
//! The shared secret is sealed under the site's key and bound to its account. A code is good once:
//! the step of the last one used is kept, and only later ones count.
//!
//! # Source
//! RFC 6238 with SHA-1, 6 digits and 30 seconds, which every authenticator app speaks; RFC 4226.

use salus_crypto::Digest;
use salus_crypto::aead::{Aad, AeadKey, OpenRefused, SealFailed};
use salus_model::{Entropy, EntropyFailed, Secret, Timestamp};
use subtle::ConstantTimeEq as _;
use totp_rs::{Algorithm, TOTP};

use crate::AccountId;

const STEP_SECONDS: u64 = 30;
const SECRET_BYTES: usize = 20;
/// How many recovery codes an account has.
pub const RECOVERY_CODES: usize = 10;
const RECOVERY_BYTES: usize = 10;

/// What a person types beside the password.
#[derive(Debug)]
pub enum Second {
    /// Six digits from the app.
    Code(Secret<String>),
    /// One of the recovery codes, which is used up by it.
    Recovery(Secret<String>),
}

/// A second factor that is being set up; shown once.
#[derive(Debug)]
pub struct Enrolment {
    /// An `otpauth://` URI, for a QR code.
    pub uri: Secret<String>,
    /// The same secret in Base32, for typing.
    pub secret: Secret<String>,
    /// Codes that each work once instead of the app.
    pub recovery: Vec<Secret<String>>,
    pub(crate) sealed: String,
    pub(crate) recovery_digests: Vec<Digest>,
}

/// A second factor could not be set up or checked.
#[derive(Debug, thiserror::Error)]
pub enum SecondError {
    /// No randomness.
    #[error("no random bytes could be drawn")]
    Entropy(#[from] EntropyFailed),
    /// The secret could not be sealed.
    #[error("the second factor could not be sealed")]
    Seal(#[from] SealFailed),
    /// What is stored does not open under this site's key.
    #[error("the stored second factor does not open under this site's key")]
    Open(#[source] OpenRefused),
    /// The library refused its input, which is a bug.
    #[error("the second factor could not be computed")]
    Refused,
}

fn bound(account: &AccountId) -> Aad {
    Aad::new("salus.account.totp.v1", &[account.as_str().as_bytes()])
}

fn totp(secret: Vec<u8>, login: &str) -> Result<TOTP, SecondError> {
    // A colon would divide issuer from account in the URI.
    let login = login.replace(':', "-");
    TOTP::new(Algorithm::SHA1, 6, 1, STEP_SECONDS, secret, Some("Salus".into()), login)
        .map_err(|_| SecondError::Refused)
}

impl Enrolment {
    /// A new secret and new recovery codes for an account.
    ///
    /// # Errors
    /// When no randomness can be drawn.
    pub fn generate(
        entropy: &mut dyn Entropy,
        key: &AeadKey,
        account: &AccountId,
        login: &str,
    ) -> Result<Self, SecondError> {
        let mut secret = zeroize::Zeroizing::new([0; SECRET_BYTES]);
        entropy.fill(&mut *secret)?;
        let sealed = key.seal(entropy, &bound(account), &*secret)?;
        let totp = totp(secret.to_vec(), login)?;
        let mut recovery = Vec::with_capacity(RECOVERY_CODES);
        let mut recovery_digests = Vec::with_capacity(RECOVERY_CODES);
        for _ in 0..RECOVERY_CODES {
            let mut bytes = zeroize::Zeroizing::new([0; RECOVERY_BYTES]);
            entropy.fill(&mut *bytes)?;
            let text = hex::encode(*bytes);
            recovery_digests.push(recovery_digest(account, &text));
            let groups = [text.get(..5), text.get(5..10), text.get(10..15), text.get(15..)];
            recovery.push(Secret::new(groups.into_iter().flatten().collect::<Vec<_>>().join("-")));
        }
        Ok(Self {
            uri: Secret::new(totp.get_url()),
            secret: Secret::new(totp.get_secret_base32()),
            recovery,
            sealed: hex::encode(sealed),
            recovery_digests,
        })
    }
}

/// The digest by which a recovery code is found; hyphens, spaces and case do not count.
pub(crate) fn recovery_digest(account: &AccountId, typed: &str) -> Digest {
    let plain: String = typed
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|c| c.to_ascii_lowercase())
        .take(RECOVERY_BYTES * 4)
        .collect();
    Digest::of_parts("salus.account.recovery.v1", &[account.as_str().as_bytes(), plain.as_bytes()])
}

/// The step for which a code is right, when it is later than the last one used.
///
/// One step before and one after the present are accepted, for clocks that differ.
///
/// # Errors
/// When the stored secret does not open.
pub(crate) fn step_of_code(
    key: &AeadKey,
    account: &AccountId,
    sealed: &str,
    typed: &Secret<String>,
    last: i64,
    now: Timestamp,
) -> Result<Option<i64>, SecondError> {
    let sealed = hex::decode(sealed).map_err(|_| SecondError::Refused)?;
    let secret = key.open(&bound(account), &sealed).map_err(SecondError::Open)?;
    let totp = totp(secret.to_vec(), "account")?;
    let seconds = u64::try_from(now.as_micros() / 1_000_000).map_err(|_| SecondError::Refused)?;
    let present = seconds / STEP_SECONDS;
    let typed: String = typed.expose().chars().filter(char::is_ascii_digit).take(8).collect();
    let mut right = None;
    for step in [present.saturating_sub(1), present, present.saturating_add(1)] {
        let code = totp.generate(step.saturating_mul(STEP_SECONDS));
        let fits: bool = code.as_bytes().ct_eq(typed.as_bytes()).into();
        let step = i64::try_from(step).map_err(|_| SecondError::Refused)?;
        if fits && step > last && right.is_none() {
            right = Some(step);
        }
    }
    Ok(right)
}
