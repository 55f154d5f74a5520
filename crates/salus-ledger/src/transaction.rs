//! Transactions: one deterministic payload, one COSE signature per endorser.

use std::collections::BTreeMap;

use coset::iana::Algorithm;
use coset::{
    CoseSign, CoseSignBuilder, CoseSignature, CoseSignatureBuilder, Header, HeaderBuilder,
    TaggedCborSerializable as _,
};
use salus_model::{Class, Classified};
use serde::{Deserialize, Serialize};

use crate::call::Call;
use crate::cbor::{self, CborError};
use crate::sign::{self, Signer};
use crate::words::{Height, LedgerId, Nonce, PublicKey, SignatureBytes, TxId, tagged_hash};

/// The most bytes that a transaction may have, whatever a configuration says.
pub const MAX_TRANSACTION_BYTES: usize = 64 * 1024;
/// The most signatures that a transaction may carry.
pub const MAX_SIGNATURES: usize = 32;

const FORMAT: u8 = 1;
const AAD: &[u8] = b"salus-ledger/transaction/v1\0";

/// Why bytes are no transaction of this ledger.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransactionError {
    /// More bytes than a transaction may have.
    #[error("a transaction of {len} bytes is larger than the {limit} that are allowed")]
    TooLarge {
        /// How many there are.
        len: usize,
        /// How many are allowed.
        limit: usize,
    },
    /// The envelope is no COSE_Sign.
    #[error("the envelope is no tagged COSE_Sign structure (RFC 9052, section 4.1)")]
    NotCose,
    /// The envelope can be read, yet is not written in its one form.
    #[error(
        "the envelope is not in its one form: EdDSA and key id protected, nothing unprotected, signatures in the order of their keys"
    )]
    EnvelopeNotCanonical,
    /// No signature, or too many.
    #[error("a transaction has 1 to {MAX_SIGNATURES} signatures, this one has {count}")]
    SignatureCount {
        /// How many there are.
        count: usize,
    },
    /// The signed payload is none.
    #[error("the signed payload cannot be read")]
    Payload(#[source] CborError),
    /// A format that this program does not know.
    #[error("transaction format {0} is not known; this program knows {FORMAT}")]
    Format(u8),
    /// A transaction of another ledger.
    #[error("the transaction is for ledger {found}, this is {wanted}")]
    OtherLedger {
        /// The ledger that it names.
        found: LedgerId,
        /// The ledger at hand.
        wanted: LedgerId,
    },
    /// A signature that does not belong to its key, this payload and this ledger.
    #[error("the signature of key {key} does not belong to this transaction on this ledger")]
    ForgedSignature {
        /// The key that it claims.
        key: PublicKey,
    },
}

impl Classified for TransactionError {
    fn class(&self) -> Class {
        match self {
            Self::ForgedSignature { .. } | Self::OtherLedger { .. } => Class::Refused,
            _ => Class::BadRequest,
        }
    }
}

/// What is signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Transaction {
    format: u8,
    ledger: LedgerId,
    nonce: Nonce,
    last: Height,
    call: Call,
}

impl Transaction {
    /// A transaction that only `ledger` takes, at most once, and not after block `last`.
    #[must_use]
    pub fn new(ledger: LedgerId, nonce: Nonce, last: Height, call: impl Into<Call>) -> Self {
        Self { format: FORMAT, ledger, nonce, last, call: call.into() }
    }

    /// The ledger that takes it.
    #[must_use]
    pub const fn ledger(&self) -> &LedgerId {
        &self.ledger
    }

    /// The last block that may carry it.
    #[must_use]
    pub const fn last(&self) -> Height {
        self.last
    }

    /// What it asks for.
    #[must_use]
    pub const fn call(&self) -> &Call {
        &self.call
    }

    /// Begins to collect signatures.
    ///
    /// # Errors
    /// When the payload alone is larger than a transaction may be.
    pub fn draft(self) -> Result<Draft, TransactionError> {
        let payload = cbor::encode(&self).map_err(TransactionError::Payload)?;
        check_size(payload.len(), MAX_TRANSACTION_BYTES)?;
        let id = id_of(&payload);
        Ok(Draft { transaction: self, payload, id, signatures: BTreeMap::new() })
    }
}

fn id_of(payload: &[u8]) -> TxId {
    TxId::new(tagged_hash("salus-ledger/transaction-id/v1", payload))
}

fn check_size(len: usize, limit: usize) -> Result<(), TransactionError> {
    if len > limit { Err(TransactionError::TooLarge { len, limit }) } else { Ok(()) }
}

/// A transaction that collects its endorsers' signatures.
#[derive(Debug, Clone)]
pub struct Draft {
    transaction: Transaction,
    payload: Vec<u8>,
    id: TxId,
    signatures: BTreeMap<PublicKey, SignatureBytes>,
}

impl Draft {
    /// The id that the transaction will have.
    #[must_use]
    pub const fn id(&self) -> TxId {
        self.id
    }

    /// The bytes that the holder of `key` signs, for keys that live elsewhere.
    ///
    /// # Source
    /// RFC 9052, section 4.4 (`Sig_structure` with context `Signature`).
    #[must_use]
    pub fn to_be_signed(&self, key: &PublicKey) -> Vec<u8> {
        to_be_signed(&self.payload, &self.transaction.ledger, key)
    }

    /// Adds a signature that was made elsewhere; [`Draft::finish`] checks it.
    #[must_use]
    pub fn with_signature(mut self, key: PublicKey, signature: SignatureBytes) -> Self {
        self.signatures.insert(key, signature);
        self
    }

    /// Signs.
    #[must_use]
    pub fn sign(self, signer: &Signer) -> Self {
        let key = signer.public_key();
        let signature = signer.sign(&self.to_be_signed(&key));
        self.with_signature(key, signature)
    }

    /// The transaction with all its signatures, checked.
    ///
    /// # Errors
    /// When there is no signature, a forged one, or the whole is too large.
    pub fn finish(self) -> Result<SignedTransaction, TransactionError> {
        let ledger = self.transaction.ledger;
        let bytes = write_envelope(&self.payload, &self.signatures)?;
        SignedTransaction::from_bytes(&bytes, &ledger)
    }
}

/// A transaction whose form and signatures are right for one ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedTransaction {
    transaction: Transaction,
    id: TxId,
    keys: Vec<PublicKey>,
    bytes: Vec<u8>,
}

impl SignedTransaction {
    /// Reads a transaction of `ledger` and checks every signature on it.
    ///
    /// # Errors
    /// Names the first of size, form, ledger and signatures that is wrong.
    ///
    /// # Cost
    /// One Ed25519 verification per signature.
    pub fn from_bytes(bytes: &[u8], ledger: &LedgerId) -> Result<Self, TransactionError> {
        let envelope = Envelope::from_bytes(bytes)?;
        envelope.verify(ledger)
    }

    /// What was signed.
    #[must_use]
    pub const fn transaction(&self) -> &Transaction {
        &self.transaction
    }

    /// Its id.
    #[must_use]
    pub const fn id(&self) -> TxId {
        self.id
    }

    /// The keys that signed, in ascending order.
    #[must_use]
    pub fn keys(&self) -> &[PublicKey] {
        &self.keys
    }

    /// Its one form in bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// A transaction whose form is right, and whose signatures nobody has checked yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    transaction: Transaction,
    payload: Vec<u8>,
    signatures: BTreeMap<PublicKey, SignatureBytes>,
    bytes: Vec<u8>,
}

impl Envelope {
    /// Reads the envelope and its payload, each in its one form or not at all.
    ///
    /// # Errors
    /// Names the first of size and form that is wrong.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, TransactionError> {
        check_size(bytes.len(), MAX_TRANSACTION_BYTES)?;
        let cose = CoseSign::from_tagged_slice(bytes).map_err(|_| TransactionError::NotCose)?;
        let payload = cose.payload.ok_or(TransactionError::EnvelopeNotCanonical)?;
        let count = cose.signatures.len();
        if !(1..=MAX_SIGNATURES).contains(&count) {
            return Err(TransactionError::SignatureCount { count });
        }
        let mut signatures = BTreeMap::new();
        for part in &cose.signatures {
            let key = PublicKey::try_from(part.protected.header.key_id.as_slice());
            let signature = SignatureBytes::try_from(part.signature.as_slice());
            let (Ok(key), Ok(signature)) = (key, signature) else {
                return Err(TransactionError::EnvelopeNotCanonical);
            };
            signatures.insert(key, signature);
        }
        // Written again from its meaning alone: whatever else the bytes said shows here.
        if write_envelope(&payload, &signatures)? != bytes {
            return Err(TransactionError::EnvelopeNotCanonical);
        }
        let transaction: Transaction =
            cbor::decode(&payload, MAX_TRANSACTION_BYTES).map_err(TransactionError::Payload)?;
        if transaction.format != FORMAT {
            return Err(TransactionError::Format(transaction.format));
        }
        Ok(Self { transaction, payload, signatures, bytes: bytes.to_vec() })
    }

    /// What was signed, if the signatures are right.
    #[must_use]
    pub const fn transaction(&self) -> &Transaction {
        &self.transaction
    }

    /// The id that the transaction has.
    #[must_use]
    pub fn id(&self) -> TxId {
        id_of(&self.payload)
    }

    /// Goes on collecting signatures where somebody else left off; [`Draft::finish`] checks them
    /// all.
    #[must_use]
    pub fn draft(self) -> Draft {
        let id = self.id();
        let Self { transaction, payload, signatures, .. } = self;
        Draft { transaction, payload, id, signatures }
    }

    /// The keys whose signatures it carries, unchecked, in ascending order.
    pub fn claimed_keys(&self) -> impl Iterator<Item = &PublicKey> {
        self.signatures.keys()
    }

    /// Checks the ledger and every signature.
    ///
    /// # Errors
    /// For a transaction of another ledger, and for a signature that is forged.
    pub fn verify(self, ledger: &LedgerId) -> Result<SignedTransaction, TransactionError> {
        if self.transaction.ledger != *ledger {
            let found = self.transaction.ledger;
            return Err(TransactionError::OtherLedger { found, wanted: *ledger });
        }
        for (key, signature) in &self.signatures {
            let message = to_be_signed(&self.payload, ledger, key);
            sign::verify(key, &message, signature)
                .map_err(|_| TransactionError::ForgedSignature { key: *key })?;
        }
        let id = self.id();
        let keys = self.signatures.into_keys().collect();
        Ok(SignedTransaction { transaction: self.transaction, id, keys, bytes: self.bytes })
    }
}

fn endorser_header(key: &PublicKey) -> Header {
    HeaderBuilder::new().algorithm(Algorithm::EdDSA).key_id(key.as_bytes().to_vec()).build()
}

fn unsigned(key: &PublicKey) -> CoseSignature {
    CoseSignatureBuilder::new().protected(endorser_header(key)).build()
}

fn to_be_signed(payload: &[u8], ledger: &LedgerId, key: &PublicKey) -> Vec<u8> {
    let aad = [AAD, ledger.as_bytes()].concat();
    CoseSignBuilder::new().build().tbs_detached_data(payload, &aad, &unsigned(key))
}

fn write_envelope(
    payload: &[u8],
    signatures: &BTreeMap<PublicKey, SignatureBytes>,
) -> Result<Vec<u8>, TransactionError> {
    let mut cose = CoseSignBuilder::new().payload(payload.to_vec());
    for (key, signature) in signatures {
        let mut part = unsigned(key);
        part.signature = signature.as_bytes().to_vec();
        cose = cose.add_signature(part);
    }
    let cose = cose.build();
    cose.to_tagged_vec().map_err(|_| TransactionError::NotCose)
}
