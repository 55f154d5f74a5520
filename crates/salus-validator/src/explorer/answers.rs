//! What the explorer answers, as JSON.
//!
//! Ids and hashes are text, numbers are whole; every field is something that the ledger holds, or
//! follows from it. What this one validator has seen itself stands in [`Observed`] alone.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How the ledger is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Overview {
    /// The ledger: the hash of its genesis, in hexadecimal.
    pub ledger: String,
    /// `production`, or `demonstration` for ever.
    pub kind: String,
    /// The last block.
    pub height: u64,
    /// Its hash.
    pub block: String,
    /// Its time.
    pub time: String,
    /// How many transactions the history has.
    pub transactions: u64,
    /// How many blocks the explorer's index has taken in, counted by height.
    pub indexed: u64,
    /// The first block whose content was still there when the index was made.
    pub content_from: u64,
    /// The version of the configuration in force.
    pub configuration: u64,
    /// How many validators have to vote for a block.
    pub quorum: u64,
    /// Those who decide on the next block.
    pub validators: Vec<ValidatorLine>,
    /// What somebody has to see to.
    pub warnings: Vec<String>,
    /// What this validator has seen itself since it was started; no part of the ledger.
    pub observed: Observed,
}

/// What one validator has seen itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Observed {
    /// How many transactions wait here.
    pub waiting: u64,
    /// Whether a write failed, so that nothing is committed here any more.
    pub frozen: bool,
    /// Over how many of the last blocks the figures below were taken.
    pub blocks: u64,
    /// From a block's time to its commit here, in milliseconds: half of the blocks were faster.
    /// The clocks of two machines take part.
    pub finality_p50_ms: Option<u64>,
    /// The same for 95 of 100 blocks.
    pub finality_p95_ms: Option<u64>,
}

/// A validator.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ValidatorLine {
    /// The organisation.
    pub member: String,
    /// Its key.
    pub key: String,
    /// Whether its vote is in the certificate of the last block. A certificate is complete with a
    /// quorum; a missing vote alone says nothing against a validator.
    pub voted_last: bool,
}

/// What became of a transaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Outcome {
    /// `applied` or `refused`.
    pub word: String,
    /// The rule that refused it.
    pub rule: Option<String>,
}

/// What a transaction is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum About {
    /// An organisation that signed it, or that it names.
    Member {
        /// Its name.
        id: String,
    },
    /// A dataset.
    Dataset {
        /// `holder/dataset`.
        id: String,
    },
    /// A permit.
    Permit {
        /// Its id.
        id: String,
    },
}

/// A transaction in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TransactionLine {
    /// Its id.
    pub id: String,
    /// Its place in the whole history.
    pub history_index: u64,
    /// Its block.
    pub height: u64,
    /// The block's time.
    pub time: String,
    /// What it asked for, such as `permits.grant`.
    pub method: String,
    /// What became of it.
    pub outcome: Outcome,
    /// What it is about.
    pub about: Vec<About>,
}

/// Transactions, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TransactionPage {
    /// The transactions.
    pub items: Vec<TransactionLine>,
    /// The `before` of the next page, unless this was the last.
    pub next: Option<u64>,
}

/// A block in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BlockLine {
    /// Its height.
    pub height: u64,
    /// Its hash.
    pub block: String,
    /// Its time.
    pub time: String,
    /// How many transactions it has.
    pub transactions: u64,
    /// How many of them were refused by a rule.
    pub refused: u64,
    /// How many validators' votes its certificate has; none for the genesis.
    pub votes: u64,
    /// The kinds of its transactions, each once, in the order of their names.
    pub methods: Vec<String>,
}

/// Blocks, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BlockPage {
    /// The blocks.
    pub items: Vec<BlockLine>,
    /// The `before` of the next page, unless this was the last.
    pub next: Option<u64>,
}

/// A block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BlockDetail {
    /// Its height.
    pub height: u64,
    /// Its hash.
    pub block: String,
    /// The block before.
    pub parent: String,
    /// When it was proposed.
    pub time: String,
    /// The RFC 9162 root over its transactions.
    pub transactions_root: String,
    /// How many transactions the history has, this block's included.
    pub history_size: u64,
    /// The RFC 9162 root over the history.
    pub history_root: String,
    /// The root of the state after it.
    pub state_root: String,
    /// The RFC 9162 root over what became of its transactions.
    pub receipts_root: String,
    /// The hash of the configuration after it.
    pub configuration: String,
    /// Who voted for it.
    pub votes: Vec<VoteLine>,
    /// How many had to.
    pub quorum: u64,
    /// Whether its transactions themselves were pruned here; what became of them stays provable.
    pub pruned: bool,
    /// Its transactions.
    pub transactions: Vec<TransactionLine>,
}

/// A vote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct VoteLine {
    /// The validator's key.
    pub key: String,
    /// Its organisation.
    pub member: Option<String>,
}

/// Who signed a transaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SignerLine {
    /// The key.
    pub key: String,
    /// The organisation; none for a person's pseudonymous key.
    pub member: Option<String>,
}

/// A transaction with what it says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TransactionDetail {
    /// The line of lists.
    pub line: TransactionLine,
    /// Its place in the block.
    pub index: u64,
    /// The block's hash.
    pub block: String,
    /// The RFC 9162 leaf hash of its bytes.
    pub envelope: String,
    /// The last block that could have carried it; none when it was pruned here.
    pub last: Option<u64>,
    /// Who signed; empty when it was pruned here.
    pub signers: Vec<SignerLine>,
    /// What it says, field by field; none when it was pruned here.
    pub content: Option<serde_json::Value>,
    /// The id of what it created: a permit, a receipt, a job, a deal, an order, an artefact.
    pub created: Option<String>,
}

/// A member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MemberLine {
    /// Its name.
    pub id: String,
    /// `active`, `revoked` or `equivocated`.
    pub standing: String,
    /// The block of its revocation.
    pub standing_since: Option<u64>,
    /// What its keys may be allowed.
    pub roles: Vec<String>,
    /// When it was admitted.
    pub since: u64,
}

/// Members by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MemberPage {
    /// The members.
    pub items: Vec<MemberLine>,
    /// The `after` of the next page, unless this was the last.
    pub next: Option<String>,
}

/// A member with its keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MemberDetail {
    /// The line of lists.
    pub line: MemberLine,
    /// Its keys.
    pub keys: Vec<KeyLine>,
    /// Its opt-out list.
    pub opt_outs: Option<OptOutLine>,
    /// Its wallet, in the smallest unit of the network's currency.
    pub wallet: u64,
}

/// A key of a member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct KeyLine {
    /// The key.
    pub key: String,
    /// `active`, `revoked` or `equivocated`.
    pub standing: String,
    /// What it may do.
    pub roles: Vec<String>,
    /// SHA-256 over its certificate.
    pub certificate: String,
    /// From when on the certificate counts.
    pub not_before: String,
    /// Until when.
    pub not_after: String,
}

/// A loss of privacy: exact as micro-ρ, and shown as ε at the dataset's δ.
///
/// ε does not add up, micro-ρ does: each ε here is what the amount amounts to by itself.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Loss {
    /// Millionths of ρ (zCDP).
    pub micro_rho: u64,
    /// ε at the dataset's δ, rounded up.
    pub epsilon: f64,
}

/// The one privacy account of a dataset.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AccountLine {
    /// k, where δ = 10^-k.
    pub delta_exponent: u8,
    /// All that may ever be spent.
    pub budget: Loss,
    /// What was spent.
    pub spent: Loss,
    /// What is set aside for jobs that run.
    pub reserved: Loss,
    /// What is left.
    pub left: Loss,
    /// How many releases had no bound.
    pub not_bounded: u64,
    /// `dp-only`, or `gate-allowed`.
    pub releases: String,
}

/// A dataset.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DatasetLine {
    /// `holder/dataset`.
    pub id: String,
    /// Who holds it.
    pub holder: String,
    /// Its name there.
    pub dataset: String,
    /// Its last version.
    pub version: u64,
    /// The salted commitment to it.
    pub commitment: String,
    /// Who else has to sign what concerns it.
    pub policy: Option<String>,
    /// Its account.
    pub account: Option<AccountLine>,
}

/// Datasets by holder and name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DatasetPage {
    /// The datasets.
    pub items: Vec<DatasetLine>,
    /// The `after` of the next page, unless this was the last.
    pub next: Option<String>,
}

/// What a permit allows on one dataset, and what it has used.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GroundLine {
    /// `holder/dataset`.
    pub dataset: String,
    /// The columns.
    pub columns: Vec<String>,
    /// All that the permit may spend on it.
    pub budget: Loss,
    /// What it has spent.
    pub spent: Loss,
    /// What is set aside for its jobs that run.
    pub reserved: Loss,
    /// What it may still spend.
    pub left: Loss,
    /// How many of its releases had no bound.
    pub not_bounded: u64,
}

/// A permit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PermitLine {
    /// Its id.
    pub id: String,
    /// The person's key for it.
    pub pseudonym: String,
    /// `applied`, `granted`, `refused` or `revoked`.
    pub state: String,
    /// The block of that.
    pub state_since: Option<u64>,
    /// Why it was revoked.
    pub reason: Option<String>,
    /// Whether it ran out before the last block's time.
    pub expired: bool,
    /// What for.
    pub purpose: String,
    /// The only code that may run.
    pub code: Option<String>,
    /// `dp-only`, or `gate-allowed`.
    pub releases: String,
    /// The first moment at which it is over.
    pub expires: String,
    /// How often its terms were changed.
    pub revision: u64,
    /// Dataset by dataset.
    pub grounds: Vec<GroundLine>,
}

/// Permits, the newest application first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PermitPage {
    /// The permits.
    pub items: Vec<PermitLine>,
    /// The `before` of the next page, unless this was the last.
    pub next: Option<u64>,
}

/// What a release cost on one dataset.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ChargeLine {
    /// `holder/dataset`.
    pub dataset: String,
    /// The loss; none when no bound can be stated.
    pub loss: Option<Loss>,
}

/// A receipt in a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ReceiptLine {
    /// Its id.
    pub id: String,
    /// The transaction that recorded it.
    pub transaction: String,
    /// Its block.
    pub height: u64,
    /// The block's time.
    pub time: String,
    /// The permit.
    pub permit: String,
    /// Dataset by dataset.
    pub charges: Vec<ChargeLine>,
}

/// Receipts, newest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ReceiptPage {
    /// The receipts.
    pub items: Vec<ReceiptLine>,
    /// The `before` of the next page, unless this was the last.
    pub next: Option<u64>,
}

/// What a job used of one dataset.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct UseLine {
    /// `holder/dataset`.
    pub dataset: String,
    /// The version that was read.
    pub version: u64,
    /// The columns that were read.
    pub columns: Vec<String>,
    /// The epoch of the holder's opt-out list that was applied; 0 when it has none.
    pub opt_out_epoch: u64,
}

/// A receipt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ReceiptDetail {
    /// The line of lists.
    pub line: ReceiptLine,
    /// The person's key for the permit; with all below none when the content was pruned here.
    pub actor: Option<String>,
    /// Dataset by dataset.
    pub uses: Vec<UseLine>,
    /// The code that ran.
    pub code: Option<String>,
    /// A salted commitment to what was read.
    pub input: Option<String>,
    /// The salted hash of the sealed result.
    pub result: Option<String>,
    /// `premises`, or the digest of the evidence under which it ran elsewhere.
    pub attestation: Option<String>,
    /// Under the first rules of the accounts: the digest of the release gate's decision.
    pub gate: Option<String>,
    /// The review that it went out on.
    pub review: Option<String>,
    /// The keys of the reviewers whose approvals were counted, with their organisations.
    pub approvals: Vec<SignerLine>,
}

/// A holder's opt-out list: no more than its epoch and its salted root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OptOutLine {
    /// The holder.
    pub holder: String,
    /// The epoch, from 1.
    pub epoch: u64,
    /// The salted root of the list.
    pub root: String,
}

/// Opt-out lists by holder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OptOutPage {
    /// The lists.
    pub items: Vec<OptOutLine>,
    /// The `after` of the next page, unless this was the last.
    pub next: Option<String>,
}

/// A platform configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ConfigurationLine {
    /// How many came before.
    pub version: u64,
    /// Its hash.
    pub hash: String,
    /// The block that made it effective; 0 for the first.
    pub height: u64,
    /// That block's time.
    pub time: String,
    /// The validators, `member` and key.
    pub validators: Vec<SignerLine>,
    /// How many of them have to vote for a block.
    pub quorum: u64,
    /// Who decides on members, configuration and contracts.
    pub governance: String,
    /// What else has to be signed, method by method.
    pub policies: Vec<PolicyLine>,
    /// SHA-256 over each trusted authority's certificate.
    pub authorities: Vec<String>,
    /// The most bytes of one block's transactions.
    pub block_bytes: u64,
    /// The most transactions of one block.
    pub block_transactions: u64,
    /// How many blocks ahead a transaction's last block may lie.
    pub lifetime_blocks: u64,
    /// How far a block's time may lie ahead of a validator's clock, in microseconds.
    pub clock_skew_micros: u64,
}

/// Who has to sign one kind of transaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PolicyLine {
    /// The kind.
    pub method: String,
    /// The policy in words.
    pub policy: String,
}

/// Which version of a contract's rules decides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ContractLine {
    /// The contract.
    pub contract: String,
    /// The version that decides the next block.
    pub version: u64,
    /// From which heights on which versions were made effective.
    pub schedule: Vec<ContractChange>,
}

/// One change of a contract's rules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ContractChange {
    /// The first block that it decides.
    pub from: u64,
    /// The version.
    pub version: u64,
}

/// The platform configuration with its history, newest first, and the contracts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Configuration {
    /// At most a hundred configurations, the one in force first.
    pub history: Vec<ConfigurationLine>,
    /// The contracts.
    pub contracts: Vec<ContractLine>,
}

/// How many transactions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Count {
    /// Of what: a kind, or a rule.
    pub name: String,
    /// How many took effect; for rules none.
    pub applied: u64,
    /// How many were refused.
    pub refused: u64,
}

/// One day's transactions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Day {
    /// The day in UTC, such as `2026-11-20`.
    pub day: String,
    /// How many took effect.
    pub applied: u64,
    /// How many were refused.
    pub refused: u64,
    /// Kind by kind.
    pub kinds: Vec<Count>,
}

/// The ledger in numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Statistics {
    /// Kind by kind, the most frequent first.
    pub kinds: Vec<Count>,
    /// Rule by rule, the most frequent first.
    pub rules: Vec<Count>,
    /// Day by day up to the last block's, the newest first.
    pub days: Vec<Day>,
}

/// What a search found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Found {
    /// `block`, `transaction`, `permit`, `receipt`, `member` or `dataset`.
    pub kind: String,
    /// Its id; a block's height.
    pub id: String,
    /// What else tells it apart: a block's hash, a transaction's kind.
    pub hint: Option<String>,
}

/// All that a search found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SearchAnswer {
    /// At most twenty of each kind.
    pub items: Vec<Found>,
}
