use std::fmt;

use salus_crypto::Digest;
use salus_model::{Entropy, EntropyFailed, Secret, Timestamp};
use serde::Serialize;

use crate::Account;

const PREFIX: &str = "salus_s_";

/// How long sessions last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionRules {
    /// A session that is not used for so long has ended.
    pub idle_micros: i64,
    /// A session ends after so long in any case.
    pub longest_micros: i64,
    /// An invitation that is not taken up for so long has ended.
    pub invitation_micros: i64,
}

impl SessionRules {
    /// Half an hour idle, twelve hours in all, invitations for three days.
    ///
    /// # Source
    /// NIST SP 800-63B-4, section 2.2.3 (AAL2: 24 hours, 1 hour idle), taken shorter.
    pub const OFFICE: Self = Self {
        idle_micros: 30 * 60 * 1_000_000,
        longest_micros: 12 * 60 * 60 * 1_000_000,
        invitation_micros: 72 * 60 * 60 * 1_000_000,
    };
}

/// What a browser shows to be the one that signed in: 256 random bits.
#[derive(Debug)]
pub struct SessionToken(Secret<String>);

impl SessionToken {
    pub(crate) fn generate(entropy: &mut dyn Entropy) -> Result<Self, EntropyFailed> {
        let mut bytes = zeroize::Zeroizing::new([0; 32]);
        entropy.fill(&mut *bytes)?;
        Ok(Self(Secret::new(format!("{PREFIX}{}", hex::encode(*bytes)))))
    }

    /// Takes what came with a request; whether it is worth anything is seen later.
    #[must_use]
    pub fn shown(text: &str) -> Self {
        Self(Secret::new(text.chars().take(128).collect()))
    }

    /// The token, for the cookie.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose()
    }

    pub(crate) fn digest(&self) -> Digest {
        Digest::of_parts("salus.account.session.v1", &[self.expose().as_bytes()])
    }
}

/// What a session may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strength {
    /// Everything that the role allows.
    Full,
    /// Setting up the second factor that the role demands, and nothing else.
    Enrolment,
}

impl Strength {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Enrolment => "enrolment",
        }
    }

    /// Whatever is not known to be full is not.
    pub(crate) fn stored(text: &str) -> Self {
        if text == "full" { Self::Full } else { Self::Enrolment }
    }
}

/// Who makes a request.
#[derive(Debug, Clone, Serialize)]
pub struct Standing {
    /// The account.
    pub account: Account,
    /// What the session may be used for.
    pub strength: Strength,
    /// When it ends at the latest.
    pub expires: Timestamp,
}

/// A session that has begun.
#[derive(Debug)]
pub struct SignedIn {
    /// What to show with each request.
    pub token: SessionToken,
    /// Who it is.
    pub standing: Standing,
}

impl fmt::Display for Strength {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
