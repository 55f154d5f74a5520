use ciborium::Value;
use coset::iana::Algorithm;
use coset::{CoseSign1, CoseSign1Builder, HeaderBuilder, Label, TaggedCborSerializable as _};
use salus_crypto::Digest;
use salus_crypto::merkle::InclusionProof;
use salus_model::{Class, Classified, PermitId, ReceiptId, Timestamp};
use serde::{Deserialize, Serialize};

use super::anchor::{AnchorError, FinalityError, FinalityProof, Handover, TrustAnchor};
use crate::block::{HistoryEntry, Outcome, RuleName};
use crate::call::{AttestationRef, DatasetUse, Method, Release};
use crate::cbor::{self, CborError};
use crate::review::Reviewed;
use crate::sign::{self, Signer};
use crate::transaction::{SignedTransaction, TransactionError};
use crate::words::{
    CodeHash, Commitment, GateDecision, Height, LedgerId, Opaque, PublicKey, ResultHash,
    SignatureBytes, TreeRoot, TxId,
};

/// The most bytes of a receipt's file.
pub const MAX_RECEIPT_BYTES: usize = 2 * 1024 * 1024;

const FORMAT: u8 = 1;
/// COSE header parameter `vds`: which verifiable data structure.
const VDS: i64 = 395;
/// COSE header parameter `vdp`: its proofs.
const VDP: i64 = 396;
/// `RFC9162_SHA256` in the registry of verifiable data structures.
const RFC9162_SHA256: i64 = 1;
/// Inclusion proofs of `RFC9162_SHA256` within `vdp`.
const INCLUSION: i64 = -1;

/// Why a receipt proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptError {
    /// The file cannot be read.
    #[error("the receipt's file cannot be read")]
    File(#[source] CborError),
    /// A format that this program does not know.
    #[error("receipt format {0} is not known; this program knows {FORMAT}")]
    Format(u8),
    /// The validators changed, and the change is not proved.
    #[error("the change of validators is not proved")]
    Handover(#[from] AnchorError),
    /// The block is not final, or is of another ledger.
    #[error("the receipt's block is not final under the trusted validators")]
    NotFinal(#[from] FinalityError),
    /// The COSE receipt is not in the RFC 9942 form.
    #[error("the COSE receipt is not of the RFC9162_SHA256 profile with one inclusion proof")]
    CoseForm,
    /// Nobody who may signed the COSE receipt.
    #[error("the COSE receipt is not signed by a trusted validator")]
    CoseSignature,
    /// The Merkle proof leads elsewhere.
    #[error("the transaction is not in the history that the validators signed")]
    NotIncluded,
    /// The entry is of another transaction.
    #[error("the transaction is not the one that the history names")]
    OtherTransaction,
    /// The transaction itself is wrong.
    #[error("the transaction cannot be read, or its signatures are wrong")]
    Transaction(#[from] TransactionError),
    /// The transaction took no effect.
    #[error("the ledger refused the transaction by rule '{}'", rule.as_str())]
    Refused {
        /// The rule.
        rule: RuleName,
    },
    /// The transaction records no release.
    #[error("the transaction is a '{}', which records no release", method.as_str())]
    NoRelease {
        /// What it is.
        method: Method,
    },
    /// A proof cannot be built.
    #[error("the receipt cannot be encoded")]
    Unencodable,
}

impl Classified for ReceiptError {
    fn class(&self) -> Class {
        match self {
            Self::File(_) | Self::Format(_) | Self::NoRelease { .. } => Class::BadRequest,
            Self::Unencodable => Class::Bug,
            _ => Class::Peer,
        }
    }
}

/// What a node puts together for a receipt.
#[derive(Debug, Clone)]
pub struct ReceiptParts<'a> {
    /// The transaction, as it stands in its block.
    pub transaction: &'a SignedTransaction,
    /// What the history says of it.
    pub entry: &'a HistoryEntry,
    /// That the entry is in the history of the block's size.
    pub inclusion: &'a InclusionProof,
    /// The block, or a later one.
    pub finality: &'a FinalityProof,
    /// Every change of validators since the genesis, in order.
    pub handovers: &'a [Handover],
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ReceiptFile {
    format: u8,
    transaction: Opaque,
    entry: HistoryEntry,
    receipt: Opaque,
    finality: FinalityProof,
    handovers: Vec<Handover>,
}

/// What a receipt proves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedReceipt {
    /// On which ledger.
    pub ledger: LedgerId,
    /// Which receipt.
    pub receipt: ReceiptId,
    /// Which transaction.
    pub transaction: TxId,
    /// Which block.
    pub height: Height,
    /// When.
    pub time: Timestamp,
    /// Under which permit.
    pub permit: PermitId,
    /// By whom: the person's key for that permit.
    pub pseudonym: PublicKey,
    /// What was used at what charge, dataset by dataset and column by column.
    pub uses: Vec<DatasetUse>,
    /// The code that ran.
    pub code: CodeHash,
    /// A salted commitment to what was read.
    pub input: Commitment,
    /// The salted hash of the result.
    pub result: ResultHash,
    /// Where it ran.
    pub attestation: AttestationRef,
    /// How it passed the release gate, where it had to or did.
    pub gate: Option<GatePassed>,
}

/// How a release passed the gate.
///
/// Whoever reads it trusts no reviewer's and no holder's word: every validator decided the release
/// by the rules of its block and signed the outcome, so a release that is in the history as applied
/// kept them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GatePassed {
    /// Under the first version of the rules: one officer signed the transaction. Nobody counted
    /// reviewers.
    SignedOff(GateDecision),
    /// The review of exactly this release was approved by these keys: as many as the rule of
    /// review asked for, of reviewers in good standing at that block who neither asked for the
    /// release nor submitted it, and no refusal stood. The first version of the rules refuses a
    /// release that names a review, so that none with one was decided by it.
    Reviewed(Reviewed),
}

/// Writes a receipt's file: the transaction, a COSE receipt by this validator, and finality.
///
/// # Errors
/// When a part cannot be encoded, or the inclusion proof is not of the block's history.
///
/// # Source
/// RFC 9942 (COSE Receipts), profile `RFC9162_SHA256`: a `COSE_Sign1` with the tree's root as its
/// detached payload, `vds` protected and the inclusion proof in `vdp`. Any tool that knows the
/// standard and the validator's key verifies that part by itself.
pub fn issue_receipt(
    parts: &ReceiptParts<'_>,
    validator: &Signer,
) -> Result<Vec<u8>, ReceiptError> {
    let header = &parts.finality.header;
    let leaf = parts.entry.leaf().map_err(|_| ReceiptError::Unencodable)?;
    let root = Digest::from_bytes(*header.history.as_bytes());
    let of_block = parts.inclusion.size == header.history_size;
    if !of_block || parts.inclusion.verify(leaf, root).is_err() {
        return Err(ReceiptError::NotIncluded);
    }
    let key = validator.public_key();
    let unsigned = cose_receipt(&key, parts.inclusion, SignatureBytes::new([0; 64]))?;
    let signature = validator.sign(&unsigned.tbs_detached_data(header.history.as_bytes(), &[]));
    let cose = cose_receipt(&key, parts.inclusion, signature)?;
    let file = ReceiptFile {
        format: FORMAT,
        transaction: Opaque::new(parts.transaction.as_bytes().to_vec()),
        entry: parts.entry.clone(),
        receipt: Opaque::new(cose.to_tagged_vec().map_err(|_| ReceiptError::Unencodable)?),
        finality: parts.finality.clone(),
        handovers: parts.handovers.to_vec(),
    };
    cbor::encode(&file).map_err(|_| ReceiptError::Unencodable)
}

fn cose_receipt(
    validator: &PublicKey,
    inclusion: &InclusionProof,
    signature: SignatureBytes,
) -> Result<CoseSign1, ReceiptError> {
    let path = inclusion.path.iter().map(|node| Value::Bytes(node.as_bytes().to_vec())).collect();
    let proof =
        Value::Array(vec![inclusion.size.into(), inclusion.index.into(), Value::Array(path)]);
    let mut bytes = Vec::new();
    ciborium::into_writer(&proof, &mut bytes).map_err(|_| ReceiptError::Unencodable)?;
    let proofs = Value::Array(vec![Value::Bytes(bytes)]);
    let protected = HeaderBuilder::new()
        .algorithm(Algorithm::EdDSA)
        .key_id(validator.as_bytes().to_vec())
        .value(VDS, Value::from(RFC9162_SHA256))
        .build();
    let unprotected =
        HeaderBuilder::new().value(VDP, Value::Map(vec![(Value::from(INCLUSION), proofs)])).build();
    Ok(CoseSign1Builder::new()
        .protected(protected)
        .unprotected(unprotected)
        .signature(signature.as_bytes().to_vec())
        .build())
}

/// The parts of a COSE receipt, when it is written in the one form that this profile has.
fn read_cose(bytes: &[u8]) -> Result<(PublicKey, InclusionProof, CoseSign1), ReceiptError> {
    let form = |_| ReceiptError::CoseForm;
    let cose = CoseSign1::from_tagged_slice(bytes).map_err(form)?;
    let key = PublicKey::try_from(cose.protected.header.key_id.as_slice());
    let key = key.map_err(|_| ReceiptError::CoseForm)?;
    let signature = SignatureBytes::try_from(cose.signature.as_slice());
    let signature = signature.map_err(|_| ReceiptError::CoseForm)?;
    let proof = cose
        .unprotected
        .rest
        .iter()
        .find(|(label, _)| *label == Label::Int(VDP))
        .and_then(|(_, proofs)| read_inclusion(proofs))
        .ok_or(ReceiptError::CoseForm)?;
    let again = cose_receipt(&key, &proof, signature)?;
    if again.clone().to_tagged_vec().map_err(form)? != bytes {
        return Err(ReceiptError::CoseForm);
    }
    Ok((key, proof, again))
}

fn read_inclusion(proofs: &Value) -> Option<InclusionProof> {
    let [(label, Value::Array(list))] = proofs.as_map()?.as_slice() else { return None };
    if label.as_integer()? != INCLUSION.into() {
        return None;
    }
    let [Value::Bytes(bytes)] = list.as_slice() else { return None };
    let proof: Value = ciborium::from_reader(bytes.as_slice()).ok()?;
    let [size, index, Value::Array(nodes)] = proof.as_array()?.as_slice() else { return None };
    let path = nodes
        .iter()
        .map(|node| Some(Digest::from_bytes(node.as_bytes()?.as_slice().try_into().ok()?)))
        .collect::<Option<_>>()?;
    Some(InclusionProof {
        index: index.as_integer()?.try_into().ok()?,
        size: size.as_integer()?.try_into().ok()?,
        path,
    })
}

/// Says what a receipt proves, offline: trust in the anchor is all that it needs.
///
/// # Errors
/// Names the first link of the chain that does not hold: handovers, finality, COSE signature,
/// inclusion, transaction, outcome.
///
/// # Cost
/// One Ed25519 verification per vote and per signature of the transaction.
pub fn verify_receipt(bytes: &[u8], anchor: &TrustAnchor) -> Result<VerifiedReceipt, ReceiptError> {
    let file: ReceiptFile = cbor::decode(bytes, MAX_RECEIPT_BYTES).map_err(ReceiptError::File)?;
    if file.format != FORMAT {
        return Err(ReceiptError::Format(file.format));
    }
    let mut anchor = anchor.clone();
    for handover in &file.handovers {
        anchor = anchor.follow(handover)?;
    }
    file.finality.verify(&anchor)?;
    check_inclusion(&file, &anchor)?;
    let transaction = SignedTransaction::from_bytes(file.transaction.as_bytes(), anchor.ledger())?;
    if !file.entry.is_of(transaction.as_bytes()) || file.entry.transaction != transaction.id() {
        return Err(ReceiptError::OtherTransaction);
    }
    if let Outcome::Refused(rule) = &file.entry.outcome {
        return Err(ReceiptError::Refused { rule: rule.clone() });
    }
    let call = transaction.transaction().call();
    let release = call.release().ok_or(ReceiptError::NoRelease { method: call.method() })?;
    let receipt = transaction.id().receipt().map_err(|_| ReceiptError::OtherTransaction)?;
    Ok(VerifiedReceipt {
        ledger: *anchor.ledger(),
        receipt,
        transaction: transaction.id(),
        height: file.entry.height,
        time: file.entry.time,
        permit: release.permit.clone(),
        pseudonym: release.actor,
        uses: release.uses.clone(),
        code: release.code,
        input: release.input,
        result: release.result,
        attestation: release.attestation,
        gate: gate_of(release),
    })
}

fn check_inclusion(file: &ReceiptFile, anchor: &TrustAnchor) -> Result<(), ReceiptError> {
    let header = &file.finality.header;
    let (key, inclusion, cose) = read_cose(file.receipt.as_bytes())?;
    if !anchor.validators().contains(&key) {
        return Err(ReceiptError::CoseSignature);
    }
    let root: &TreeRoot = &header.history;
    let message = cose.tbs_detached_data(root.as_bytes(), &[]);
    let signature = SignatureBytes::try_from(cose.signature.as_slice());
    let signature = signature.map_err(|_| ReceiptError::CoseForm)?;
    sign::verify(&key, &message, &signature).map_err(|_| ReceiptError::CoseSignature)?;
    let leaf = file.entry.leaf().map_err(|_| ReceiptError::NotIncluded)?;
    let included = inclusion.verify(leaf, Digest::from_bytes(*root.as_bytes()));
    if inclusion.size != header.history_size || included.is_err() {
        return Err(ReceiptError::NotIncluded);
    }
    Ok(())
}

fn gate_of(release: &Release) -> Option<GatePassed> {
    let reviewed = release.review.clone().map(GatePassed::Reviewed);
    reviewed.or(release.gate.map(GatePassed::SignedOff))
}
