use std::fmt;
use std::sync::Arc;

use parking_lot::RwLock;
use salus_crypto::Digest;
use salus_model::{Entropy, EntropyFailed, Secret, Timestamp};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::policy::Policy;

const PREFIX: &str = "salus.";
const SECRET_BYTES: usize = 32;

/// Names a token in audit records and for revoking it; it opens nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Accessor(uuid::Uuid);

impl fmt::Display for Accessor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl std::str::FromStr for Accessor {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, uuid::Error> {
        text.parse().map(Self)
    }
}

/// What is kept of a token: everything but the token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenRecord {
    /// Its public name.
    pub accessor: Accessor,
    /// The digest of its text. A token has 256 random bits, so a slow hash would add nothing.
    pub digest: Digest,
    /// Whom or what it was made for, such as `spark-etl`.
    pub display_name: String,
    /// What it may do.
    pub policy: Policy,
    /// When it was made.
    pub created: Timestamp,
    /// From when on it is refused.
    pub expires: Timestamp,
    /// When it was revoked, if it was.
    pub revoked: Option<Timestamp>,
}

impl TokenRecord {
    fn is_valid(&self, now: Timestamp) -> bool {
        self.revoked.is_none() && self.created <= now && now < self.expires
    }
}

/// A new token, told once.
#[derive(Debug)]
pub struct IssuedToken {
    /// The token, for its holder.
    pub token: Secret<String>,
    /// What is kept of it.
    pub record: TokenRecord,
}

/// The tokens of an endpoint.
#[derive(Debug, Default)]
pub struct Tokens(RwLock<Vec<Arc<TokenRecord>>>);

impl Tokens {
    /// Those whose records were kept.
    #[must_use]
    pub fn new(records: Vec<TokenRecord>) -> Self {
        let tokens = Self::default();
        tokens.replace(records);
        tokens
    }

    /// Puts other records in the place of all, as when their file has changed.
    pub fn replace(&self, records: Vec<TokenRecord>) {
        *self.0.write() = records.into_iter().map(Arc::new).collect();
    }

    /// The records, to be kept.
    #[must_use]
    pub fn records(&self) -> Vec<TokenRecord> {
        self.0.read().iter().map(|record| TokenRecord::clone(record)).collect()
    }

    /// Makes a token that is valid from `now` until `expires`.
    ///
    /// # Errors
    /// When the source of randomness fails.
    pub fn issue(
        &self,
        entropy: &mut dyn Entropy,
        display_name: &str,
        policy: Policy,
        now: Timestamp,
        expires: Timestamp,
    ) -> Result<IssuedToken, EntropyFailed> {
        let mut random = Zeroizing::new([0; SECRET_BYTES]);
        entropy.fill(random.as_mut())?;
        let mut name = [0; 16];
        entropy.fill(&mut name)?;
        let token = Secret::new(format!("{PREFIX}{}", hex::encode(*random)));
        let record = TokenRecord {
            accessor: Accessor(uuid::Builder::from_random_bytes(name).into_uuid()),
            digest: digest(token.expose()),
            display_name: display_name.to_owned(),
            policy,
            created: now,
            expires,
            revoked: None,
        };
        self.0.write().push(Arc::new(record.clone()));
        Ok(IssuedToken { token, record })
    }

    /// Makes a token refused from now on; whether there is one of that name.
    pub fn revoke(&self, accessor: Accessor, now: Timestamp) -> bool {
        let mut records = self.0.write();
        let found = records.iter_mut().find(|record| record.accessor == accessor);
        let Some(record) = found else { return false };
        let mut revoked = TokenRecord::clone(record);
        revoked.revoked.get_or_insert(now);
        *record = Arc::new(revoked);
        true
    }

    /// The record of a token that is valid at this moment.
    ///
    /// Every record is compared, in constant time, so that the answer's time tells nothing.
    #[must_use]
    pub fn authenticate(&self, token: &str, now: Timestamp) -> Option<Arc<TokenRecord>> {
        let given = digest(token);
        let records = self.0.read();
        let mut found = None;
        for record in records.iter() {
            if bool::from(record.digest.as_bytes().ct_eq(given.as_bytes())) {
                found = Some(record);
            }
        }
        found.filter(|record| record.is_valid(now)).cloned()
    }
}

fn digest(token: &str) -> Digest {
    Digest::of_parts("salus/transit-token/v1", &[token.as_bytes()])
}
