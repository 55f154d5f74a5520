//! What stands in the state: the records that contracts read and write.

use std::collections::{BTreeMap, BTreeSet};

use salus_model::{
    DatasetVersion, DealId, JobId, MemberId, MicroRho, PermitId, PrivacyCharge, Timestamp,
};
use serde::{Deserialize, Serialize};

use crate::call::{
    ArtefactKind, DeltaExponent, DeviceClass, Order, PermitTerms, ReleaseRule, Reserved,
    RevocationReason,
};
use crate::contract::ContractVersion;
use crate::policy::{Policy, Role};
use crate::review::{ReviewScore, Verdict};
use crate::words::{
    BlockHash, CodeHash, Commitment, DatasetRef, Fingerprint, Height, Money, OptOutRoot, PublicKey,
    ReportDigest, ResultHash, ReviewId, SubjectDigest, TxId,
};

/// The last block that the state has taken in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tip {
    /// Its height.
    pub height: Height,
    /// Its parent's hash; its own hash covers this state and cannot stand in it.
    pub parent: BlockHash,
    /// Its time.
    pub time: Timestamp,
    /// How many transactions the history has.
    pub history_size: u64,
}

/// Whether a member or a key counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// It counts.
    Active,
    /// It was revoked at this height.
    Revoked(Height),
    /// It voted twice, shown at this height.
    Equivocated(Height),
}

/// An organisation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberRecord {
    /// Its standing.
    pub standing: Standing,
    /// What its keys may be allowed.
    pub roles: BTreeSet<Role>,
    /// When it was admitted.
    pub since: Height,
}

/// The certificates behind a key, as far as every signature has to look at them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateRecord {
    /// The organisation's certificate.
    pub fingerprint: Fingerprint,
    /// The latest beginning of the chain's certificates.
    pub not_before: Timestamp,
    /// The earliest end of the chain's certificates.
    pub not_after: Timestamp,
    /// Issuer and serial number of each certificate of the chain.
    pub serials: Vec<Serial>,
}

/// A certificate as its issuer's revocation list names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Serial {
    /// SHA-256 of the issuer's public key.
    pub issuer: Fingerprint,
    /// The serial number.
    pub serial: crate::words::Opaque,
}

/// A ledger key of an organisation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRecord {
    /// Whose it is.
    pub member: MemberId,
    /// Its standing.
    pub standing: Standing,
    /// What it may do, as long as its member may.
    pub roles: BTreeSet<Role>,
    /// What vouches for it.
    pub certificate: CertificateRecord,
}

/// The last revocation list of an authority.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CrlRecord {
    /// Its number, which only grows.
    pub number: u64,
    /// When the authority promised the next one.
    pub next_update: Option<Timestamp>,
}

/// A certificate that its authority revoked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevokedSerial {
    /// From when on.
    pub since: Timestamp,
}

/// Which versions of a contract's rules are effective from when on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContractSchedule {
    /// From each height on, this version.
    pub from: BTreeMap<Height, ContractVersion>,
}

impl ContractSchedule {
    /// The version that decides a block of `height`.
    #[must_use]
    pub fn at(&self, height: Height) -> ContractVersion {
        self.from.range(..=height).next_back().map_or(ContractVersion::FIRST, |(_, v)| *v)
    }
}

/// A dataset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatasetRecord {
    /// Its last version.
    pub version: DatasetVersion,
    /// The salted commitment to it.
    pub commitment: Commitment,
    /// Who else has to sign what concerns it.
    pub policy: Option<Policy>,
}

/// The one privacy account of a dataset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// All that may ever be spent.
    pub budget: MicroRho,
    /// The δ at which ε is shown.
    pub delta: DeltaExponent,
    /// Whether releases without a bound are possible.
    pub releases: ReleaseRule,
    /// What was spent; it never shrinks.
    pub spent: MicroRho,
    /// How many releases had no bound.
    pub not_bounded: u64,
    /// What is set aside, job by job.
    pub reservations: BTreeMap<JobId, Reservation>,
}

/// What is set aside on one account for one job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reservation {
    /// The permit.
    pub permit: PermitId,
    /// The most that the job may cost.
    pub charge: PrivacyCharge,
    /// When it returns.
    pub expires: Timestamp,
}

/// A long job and its reservations.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// The permit.
    pub permit: PermitId,
    /// Dataset by dataset.
    pub amounts: Vec<Reserved>,
    /// When the reservations return.
    pub expires: Timestamp,
    /// The deal that the job belongs to; only its settlement may charge it.
    pub deal: Option<DealId>,
}

/// A standing question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StandingRecord {
    /// The permit.
    pub permit: PermitId,
    /// What the first answer charged, dataset by dataset, for all of them.
    pub charges: Vec<Reserved>,
    /// How many answers there are at the most.
    pub ticks: u32,
    /// How many were released.
    pub done: u32,
}

/// A device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceRecord {
    /// The member that runs it.
    pub holder: MemberId,
    /// What it is.
    pub class: DeviceClass,
    /// When it was taken out of service.
    pub retired: Option<Height>,
}

/// A holder's opt-out list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HolderOptOuts {
    /// The epoch, from 1.
    pub epoch: u64,
    /// The salted root of the list.
    pub root: OptOutRoot,
}

/// Where a permit stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PermitState {
    /// Applied for.
    Applied,
    /// Granted at this height.
    Granted(Height),
    /// Refused at this height.
    Refused(Height),
    /// Revoked at this height.
    Revoked {
        /// When.
        at: Height,
        /// Why.
        reason: RevocationReason,
    },
}

/// A permit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PermitRecord {
    /// The person's key for it.
    pub pseudonym: PublicKey,
    /// What it allows.
    pub terms: PermitTerms,
    /// Where it stands.
    pub state: PermitState,
    /// How often its terms were changed.
    pub revision: u64,
    /// The organisations that vouched for the person; nobody of theirs reviews what goes out under
    /// it. Unknown for a permit that was applied for under the first two versions of the rules.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub vouched: BTreeSet<MemberId>,
}

/// What a permit has used of one dataset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PermitSpending {
    /// What was spent; it never shrinks.
    pub spent: MicroRho,
    /// How many releases had no bound.
    pub not_bounded: u64,
}

/// Where a receipt stands in the history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceiptRecord {
    /// The transaction that recorded it.
    pub transaction: TxId,
    /// The block.
    pub height: Height,
    /// The permit.
    pub permit: PermitId,
    /// What it cost, dataset by dataset.
    pub charges: Vec<Reserved>,
}

/// A release under review, and everything that reviewers said of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReviewRecord {
    /// The permit.
    pub permit: PermitId,
    /// Of exactly which release.
    pub subject: SubjectDigest,
    /// The salted hash of the result.
    pub result: ResultHash,
    /// The datasets that it was made from.
    pub datasets: BTreeSet<DatasetRef>,
    /// The salted digest of the automatic checks' report.
    pub report: ReportDigest,
    /// What the checks gave.
    pub score: Option<ReviewScore>,
    /// When it was submitted.
    pub submitted: Height,
    /// The keys that submitted it.
    pub submitters: BTreeSet<PublicKey>,
    /// The reviews whose place it took.
    pub supersedes: BTreeSet<ReviewId>,
    /// Every decision in its order; of each reviewer the last one counts.
    pub decisions: Vec<Decision>,
    /// Where it stands.
    pub state: ReviewState,
}

/// What one reviewer said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// The reviewer's key.
    pub reviewer: PublicKey,
    /// Its organisation.
    pub member: MemberId,
    /// What was said.
    pub verdict: Verdict,
    /// When.
    pub at: Height,
    /// The transaction, which the key signed.
    pub transaction: TxId,
}

/// Where a review stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReviewState {
    /// Reviewers decide, and what they approve may be released.
    Waiting,
    /// It was released under this receipt.
    Released(salus_model::ReceiptId),
    /// Another review took its place.
    Superseded(ReviewId),
}

/// An order that can be matched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PostedOrder {
    /// The order.
    pub order: Order,
    /// When it was posted.
    pub since: Height,
    /// What became of it.
    pub state: OrderState,
}

/// What became of an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OrderState {
    /// It can be matched.
    Open,
    /// It was withdrawn.
    Cancelled,
    /// A request that became this deal.
    Matched(DealId),
}

/// A matched request, its price in escrow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deal {
    /// Who pays.
    pub payer: MemberId,
    /// Who is paid how much at settlement.
    pub shares: Vec<Share>,
    /// What is locked: the sum of the shares while open, nothing afterwards.
    pub escrow: Money,
    /// The job whose budget is reserved.
    pub job: JobId,
    /// The code that was ordered.
    pub code: CodeHash,
    /// When it runs out.
    pub expires: Timestamp,
    /// Where it stands.
    pub state: DealState,
}

/// One payment of a deal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// Who is paid.
    pub to: MemberId,
    /// How much.
    pub amount: Money,
}

/// Where a deal stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DealState {
    /// Price and budget are locked.
    Open,
    /// Released, charged and paid.
    Settled,
    /// Run out; price and budget returned.
    Refunded,
}

/// A registered model or set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArtefactRecord {
    /// What it is.
    pub kind: ArtefactKind,
    /// The salted commitment to it.
    pub commitment: Commitment,
    /// The receipt of its release.
    pub receipt: salus_model::ReceiptId,
    /// Who offers it.
    pub owner: MemberId,
    /// When it was withdrawn.
    pub withdrawn: Option<Height>,
}
