//! Blocks: what they commit to, how they are executed, and when they are final.

mod execute;
mod vote;

pub use execute::{ExecuteError, Executed, check_proposal, execute, propose};
pub(crate) use execute::{Known, check_knowing, replay, try_one};
pub use vote::{
    Certificate, CertificateError, Equivocation, EquivocationError, Vote, VoteCollector,
    VoteRefused,
};

use salus_crypto::merkle::{self, LeafHash};
use salus_model::Timestamp;
use serde::{Deserialize, Serialize};

use crate::call::Method;
use crate::cbor::{self, CborError};
use crate::words::{
    BlockHash, ConfigHash, Height, LedgerId, Opaque, StateRoot, TreeRoot, TxId, tagged_hash,
};

/// The most bytes of an encoded block, headers included.
pub const MAX_ENCODED_BLOCK_BYTES: usize = crate::config::MAX_BLOCK_BYTES as usize + 1024 * 1024;

/// What validators vote for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BlockHeader {
    /// The ledger.
    pub ledger: LedgerId,
    /// How many blocks come before.
    pub height: Height,
    /// The block before; all zero at the genesis.
    pub parent: BlockHash,
    /// When it was proposed; later than its parent.
    pub time: Timestamp,
    /// The RFC 9162 root over this block's transactions.
    pub transactions: TreeRoot,
    /// How many transactions the history has, this block's included.
    pub history_size: u64,
    /// The RFC 9162 root over the history's entries, this block's included.
    pub history: TreeRoot,
    /// The root of the state after this block.
    pub state: StateRoot,
    /// The RFC 9162 root over what became of this block's transactions.
    pub receipts: TreeRoot,
    /// The configuration after this block. Its own votes come from the one before.
    pub config: ConfigHash,
}

impl BlockHeader {
    /// The block's hash.
    ///
    /// # Errors
    /// None in practice: a header can always be encoded.
    pub fn hash(&self) -> Result<BlockHash, CborError> {
        Ok(BlockHash::new(tagged_hash("salus-ledger/block/v1", &cbor::encode(self)?)))
    }
}

/// A block: its header and its transactions as they came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Block {
    /// The header.
    pub header: BlockHeader,
    /// The transactions.
    pub transactions: Vec<Opaque>,
}

impl Block {
    /// Reads a block in its one form. Nothing in it is checked against a state yet.
    ///
    /// # Errors
    /// When it is too large, or not in its one form.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CborError> {
        cbor::decode(bytes, MAX_ENCODED_BLOCK_BYTES)
    }

    /// Its one form in bytes.
    ///
    /// # Errors
    /// None in practice: a block can always be encoded.
    pub fn to_bytes(&self) -> Result<Vec<u8>, CborError> {
        cbor::encode(self)
    }

    /// Whether these are the transactions that the header commits to. Without it, the hash of the
    /// header says nothing about what came with it.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        transactions_root(&self.transactions) == self.header.transactions
    }
}

/// A block with the votes that make it final.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FinalBlock {
    /// The block.
    pub block: Block,
    /// The votes.
    pub certificate: Certificate,
}

impl FinalBlock {
    /// Reads a final block in its one form; its certificate is not checked yet.
    ///
    /// # Errors
    /// When it is too large, or not in its one form.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CborError> {
        cbor::decode(bytes, MAX_ENCODED_BLOCK_BYTES)
    }

    /// Its one form in bytes.
    ///
    /// # Errors
    /// None in practice: a block can always be encoded.
    pub fn to_bytes(&self) -> Result<Vec<u8>, CborError> {
        cbor::encode(self)
    }
}

/// What became of a transaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It took effect.
    Applied,
    /// It broke this rule, and changed nothing.
    Refused(RuleName),
}

/// A rule's name, such as `accounts.budget`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RuleName(String);

/// A text that is no rule's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a rule's name has 1 to 64 of a-z, '-' and '.'")]
pub struct RuleNameError;

impl RuleName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for RuleName {
    type Error = RuleNameError;
    fn try_from(text: String) -> Result<Self, RuleNameError> {
        let fits = (1..=64).contains(&text.len())
            && text.chars().all(|c| c.is_ascii_lowercase() || matches!(c, '-' | '.'));
        if fits { Ok(Self(text)) } else { Err(RuleNameError) }
    }
}

impl From<RuleName> for String {
    fn from(name: RuleName) -> Self {
        name.0
    }
}

/// One transaction as the history remembers it for ever, pruned or not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HistoryEntry {
    /// The block.
    pub height: Height,
    /// The place in the block.
    pub index: u32,
    /// The block's time.
    pub time: Timestamp,
    /// The transaction.
    pub transaction: TxId,
    /// SHA-256 over the transaction with its signatures.
    pub envelope: TreeRoot,
    /// What it asked for.
    pub method: Method,
    /// What became of it.
    pub outcome: Outcome,
}

impl HistoryEntry {
    /// Its leaf in the history tree.
    ///
    /// # Errors
    /// None in practice: an entry can always be encoded.
    pub fn leaf(&self) -> Result<LeafHash, CborError> {
        Ok(LeafHash::of(&cbor::encode(self)?))
    }

    /// Whether these are the bytes of its transaction.
    #[must_use]
    pub fn is_of(&self, envelope: &[u8]) -> bool {
        self.envelope == envelope_hash(envelope)
    }
}

/// The leaf hash of a transaction's bytes.
pub(crate) fn envelope_hash(envelope: &[u8]) -> TreeRoot {
    TreeRoot::new(*LeafHash::of(envelope).digest().as_bytes())
}

/// The RFC 9162 root over a block's transactions.
pub(crate) fn transactions_root(transactions: &[Opaque]) -> TreeRoot {
    let leaves: Vec<_> = transactions.iter().map(|t| LeafHash::of(t.as_bytes())).collect();
    TreeRoot::new(*merkle::root(&leaves).as_bytes())
}

/// The RFC 9162 root over outcomes.
pub(crate) fn receipts_root(entries: &[HistoryEntry]) -> Result<TreeRoot, CborError> {
    let mut leaves = Vec::with_capacity(entries.len());
    for entry in entries {
        leaves.push(LeafHash::of(&cbor::encode(&(&entry.transaction, &entry.outcome))?));
    }
    Ok(TreeRoot::new(*merkle::root(&leaves).as_bytes()))
}
