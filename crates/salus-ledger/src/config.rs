//! The platform configuration: who validates, who governs, what is limited.

use std::collections::{BTreeMap, BTreeSet};

use salus_model::MemberId;
use serde::{Deserialize, Serialize};

use crate::call::Method;
use crate::cbor::{self, CborError};
use crate::policy::Policy;
use crate::review::ReviewRule;
use crate::transaction::MAX_TRANSACTION_BYTES;
use crate::words::{ConfigHash, Opaque, PublicKey, tagged_hash};

/// The most bytes that a block may have, whatever a configuration says.
pub const MAX_BLOCK_BYTES: u32 = 8 * 1024 * 1024;
/// The most validators that a ledger may have.
pub const MAX_VALIDATORS: usize = 64;

/// A member's key that orders and votes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Validator {
    /// The member.
    pub member: MemberId,
    /// Its key, bound to a certificate like every member's key.
    pub key: PublicKey,
}

/// What a block and a transaction may weigh.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// The most bytes of one block's transactions.
    pub block_bytes: u32,
    /// The most transactions of one block.
    pub block_transactions: u32,
    /// How many blocks ahead a transaction's last block may lie; the ledger remembers it so long.
    pub lifetime_blocks: u64,
    /// How far a block's time may lie ahead of the clock of a validator that votes for it.
    pub clock_skew_micros: i64,
}

/// The content of a [`PlatformConfig`], before its check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConfigForm {
    /// How many configurations came before this one.
    pub version: u64,
    /// The certificate authorities whose members' certificates count.
    pub roots: Vec<Opaque>,
    /// The validators; the order carries no meaning and is ascending.
    pub validators: BTreeSet<Validator>,
    /// Who decides on members, configuration and contracts.
    pub governance: Policy,
    /// What else has to be signed, method by method.
    pub policies: BTreeMap<Method, Policy>,
    /// What a block and a transaction may weigh.
    pub limits: Limits,
    /// How many have to approve what goes out without a bound, of any dataset;
    /// [`ReviewRule::STANDARD`] where it says nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub review: Option<ReviewRule>,
}

/// Why a configuration is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// No validator, or too many.
    #[error("a ledger has 1 to {MAX_VALIDATORS} validators, this one would have {0}")]
    ValidatorCount(usize),
    /// One key for two validators, which would count its vote twice.
    #[error("validator key {0} is listed twice")]
    DuplicateKey(PublicKey),
    /// No certificate authority, so that nobody could ever join.
    #[error("at least one certificate authority is needed in 'roots'")]
    NoRoots,
    /// A limit that stops the ledger or that no block could keep.
    #[error("limit '{field}' is out of its range")]
    Limit {
        /// The field.
        field: &'static str,
    },
}

/// A platform configuration that a ledger can run under.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "ConfigForm", into = "ConfigForm")]
pub struct PlatformConfig(ConfigForm);

impl PlatformConfig {
    /// The configuration, when its form is a sound one.
    ///
    /// # Errors
    /// Names the first field that is not.
    pub fn new(form: ConfigForm) -> Result<Self, ConfigError> {
        let count = form.validators.len();
        if !(1..=MAX_VALIDATORS).contains(&count) {
            return Err(ConfigError::ValidatorCount(count));
        }
        let mut keys = BTreeSet::new();
        for validator in &form.validators {
            if !keys.insert(validator.key) {
                return Err(ConfigError::DuplicateKey(validator.key));
            }
        }
        if form.roots.is_empty() {
            return Err(ConfigError::NoRoots);
        }
        check_limits(&form.limits)?;
        Ok(Self(form))
    }

    /// Its content.
    #[must_use]
    pub const fn form(&self) -> &ConfigForm {
        &self.0
    }

    /// Its hash, which every block carries.
    ///
    /// # Errors
    /// None in practice: a configuration can always be encoded.
    pub fn hash(&self) -> Result<ConfigHash, CborError> {
        Ok(ConfigHash::new(tagged_hash("salus-ledger/config/v1", &cbor::encode(self)?)))
    }

    /// The validators' keys, in ascending order.
    #[must_use]
    pub fn validator_keys(&self) -> BTreeSet<PublicKey> {
        self.0.validators.iter().map(|v| v.key).collect()
    }
}

fn check_limits(limits: &Limits) -> Result<(), ConfigError> {
    let min_bytes = u32::try_from(MAX_TRANSACTION_BYTES).unwrap_or(u32::MAX);
    let wrong = |field| Err(ConfigError::Limit { field });
    if !(min_bytes..=MAX_BLOCK_BYTES).contains(&limits.block_bytes) {
        return wrong("block_bytes");
    }
    if !(1..=100_000).contains(&limits.block_transactions) {
        return wrong("block_transactions");
    }
    if !(1..=1_000_000).contains(&limits.lifetime_blocks) {
        return wrong("lifetime_blocks");
    }
    if !(0..=600_000_000).contains(&limits.clock_skew_micros) {
        return wrong("clock_skew_micros");
    }
    Ok(())
}

impl TryFrom<ConfigForm> for PlatformConfig {
    type Error = ConfigError;
    fn try_from(form: ConfigForm) -> Result<Self, ConfigError> {
        Self::new(form)
    }
}

impl From<PlatformConfig> for ConfigForm {
    fn from(config: PlatformConfig) -> Self {
        config.0
    }
}

/// How many of `validators` have to vote for a block: all but f = ⌊(n - 1) / 3⌋.
///
/// With n = 3f + 1 this is 2f + 1. Below four validators it is all of them: nobody can then fork
/// the ledger, and a crash of one stops it until it returns.
#[must_use]
pub const fn quorum(validators: usize) -> usize {
    if validators == 0 {
        return usize::MAX;
    }
    validators - (validators - 1) / 3
}
