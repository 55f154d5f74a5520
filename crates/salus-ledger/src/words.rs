//! The ledger's own words: hashes by what they are of, heights, money, names.

use std::fmt;

use salus_model::{DatasetId, DealId, IdError, JobId, MemberId, PermitId, ReceiptId};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest as _, Sha256};

/// Bytes that are not of the length of their kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a {kind} has {wanted} bytes, this has {found}")]
pub struct LengthError {
    kind: &'static str,
    wanted: usize,
    found: usize,
}

struct ExactBytes<const N: usize>(&'static str);

impl<const N: usize> de::Visitor<'_> for ExactBytes<N> {
    type Value = [u8; N];

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a {} of {N} bytes", self.0)
    }

    fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Self::Value, E> {
        bytes.try_into().map_err(|_| E::invalid_length(bytes.len(), &self))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
        let mut bytes = [0; N];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| E::custom("not hexadecimal"))?;
        Ok(bytes)
    }
}

macro_rules! fixed_bytes {
    ($($(#[$doc:meta])* $name:ident, $len:literal, $kind:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; $len]);

        impl $name {
            /// Takes the bytes as they are.
            #[must_use]
            pub const fn new(bytes: [u8; $len]) -> Self {
                Self(bytes)
            }

            /// The bytes.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; $len] {
                &self.0
            }
        }

        impl TryFrom<&[u8]> for $name {
            type Error = LengthError;
            fn try_from(bytes: &[u8]) -> Result<Self, LengthError> {
                bytes.try_into().map(Self).map_err(|_| LengthError {
                    kind: $kind, wanted: $len, found: bytes.len(),
                })
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex::encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), hex::encode(self.0))
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                if to.is_human_readable() {
                    to.serialize_str(&hex::encode(self.0))
                } else {
                    to.serialize_bytes(&self.0)
                }
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                if from.is_human_readable() {
                    from.deserialize_str(ExactBytes::<$len>($kind)).map(Self)
                } else {
                    from.deserialize_bytes(ExactBytes::<$len>($kind)).map(Self)
                }
            }
        }
    )*};
}

fixed_bytes! {
    /// Which ledger: the hash of its genesis. Bound into every signature.
    LedgerId, 32, "ledger id";
    /// Which transaction: the hash of its signed payload, so that signatures cannot change it.
    TxId, 32, "transaction id";
    /// The hash of a block's header.
    BlockHash, 32, "block hash";
    /// The root of an RFC 9162 Merkle tree.
    TreeRoot, 32, "tree root";
    /// The root of the authenticated state.
    StateRoot, 32, "state root";
    /// The hash of a platform configuration.
    ConfigHash, 32, "configuration hash";
    /// A salted commitment; the salt is off the ledger and erased on erasure.
    Commitment, 32, "commitment";
    /// The hash of the code that may run, or did.
    CodeHash, 32, "code hash";
    /// The salted hash of a result.
    ResultHash, 32, "result hash";
    /// The digest of attestation evidence.
    AttestationDigest, 32, "attestation digest";
    /// The digest of a release gate's signed decision.
    GateDecision, 32, "gate decision";
    /// The salted root of a holder's opt-out list.
    OptOutRoot, 32, "opt-out root";
    /// SHA-256 over a certificate's DER.
    Fingerprint, 32, "certificate fingerprint";
    /// A raw Ed25519 public key.
    PublicKey, 32, "public key";
    /// A raw Ed25519 signature.
    SignatureBytes, 64, "signature";
    /// Bytes that make two otherwise equal transactions differ.
    Nonce, 16, "nonce";
}

/// SHA-256 over a domain tag, its length and the bytes, so that no two kinds of hash collide.
pub(crate) fn tagged_hash(domain: &'static str, bytes: &[u8]) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update([u8::try_from(domain.len()).unwrap_or(u8::MAX)]);
    hash.update(domain.as_bytes());
    hash.update(bytes);
    hash.finalize().into()
}

/// How many blocks come before this one; the genesis has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Height(u64);

impl Height {
    /// The genesis.
    pub const GENESIS: Self = Self(0);

    /// The height with this number.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The height after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The height `blocks` later.
    #[must_use]
    pub const fn after(self, blocks: u64) -> Self {
        Self(self.0.saturating_add(blocks))
    }
}

impl fmt::Display for Height {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// An amount in the smallest unit of the network's currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Money(u64);

impl Money {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// An amount of `units` smallest units.
    #[must_use]
    pub const fn new(units: u64) -> Self {
        Self(units)
    }

    /// The number of smallest units.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The sum; none when it does not fit.
    #[must_use]
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }

    /// What is left; none when `other` is more.
    #[must_use]
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        self.0.checked_sub(other.0).map(Self)
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A dataset of one member.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatasetRef {
    /// The member that holds it.
    pub holder: MemberId,
    /// Its name at that member.
    pub dataset: DatasetId,
}

impl std::str::FromStr for ReviewId {
    type Err = ReviewIdError;
    fn from_str(text: &str) -> Result<Self, ReviewIdError> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| ReviewIdError)?;
        Ok(Self(bytes))
    }
}

/// A text that names no review.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a review is named by 64 hexadecimal digits, as `salus gate list` shows them")]
pub struct ReviewIdError;

impl fmt::Display for DatasetRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.holder, self.dataset)
    }
}

/// A text that is no column name of the ledger.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "a column on the ledger has 1 to 128 of A-Z, a-z, 0-9, '_' and '.', begins with a letter and has no run of five digits; this one does not"
)]
pub struct ColumnError;

/// A column's path in its schema, such as `code.coding.system`.
///
/// # Privacy
/// Narrower than a column path elsewhere: letters, digits, `_` and `.`, no run of five digits,
/// so that a record number, a date of birth or an address cannot ride on it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Column(String);

impl Column {
    /// The column, when the text is a valid one.
    ///
    /// # Errors
    /// When it has other characters, is too long, or has a run of five digits.
    pub fn new(text: impl Into<String>) -> Result<Self, ColumnError> {
        let text = text.into();
        let fits = (1..=128).contains(&text.len())
            && text.starts_with(|c: char| c.is_ascii_alphabetic())
            && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.'))
            && !has_digit_run(&text, 5);
        if fits { Ok(Self(text)) } else { Err(ColumnError) }
    }

    /// The path.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn has_digit_run(text: &str, length: usize) -> bool {
    text.as_bytes().windows(length).any(|run| run.iter().all(u8::is_ascii_digit))
}

impl TryFrom<String> for Column {
    type Error = ColumnError;
    fn try_from(text: String) -> Result<Self, ColumnError> {
        Self::new(text)
    }
}

impl From<Column> for String {
    fn from(column: Column) -> Self {
        column.0
    }
}

impl fmt::Display for Column {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TxId {
    /// The id of whatever the transaction creates: a prefix and 128 bits of the hash.
    ///
    /// # Privacy
    /// Nobody chooses such an id, so it cannot carry a name.
    fn created(&self, prefix: &str) -> String {
        let half: String = hex::encode(self.0).chars().take(32).collect();
        format!("{prefix}-{half}")
    }

    /// The permit that this transaction applies for.
    ///
    /// # Errors
    /// None in practice: the text is always a valid id.
    pub fn permit(&self) -> Result<PermitId, IdError> {
        PermitId::new(self.created("permit"))
    }

    /// The receipt that this transaction records.
    ///
    /// # Errors
    /// None in practice: the text is always a valid id.
    pub fn receipt(&self) -> Result<ReceiptId, IdError> {
        ReceiptId::new(self.created("receipt"))
    }

    /// The job that this transaction reserves budget for.
    ///
    /// # Errors
    /// None in practice: the text is always a valid id.
    pub fn job(&self) -> Result<JobId, IdError> {
        JobId::new(self.created("job"))
    }

    /// The deal that this transaction opens.
    ///
    /// # Errors
    /// None in practice: the text is always a valid id.
    pub fn deal(&self) -> Result<DealId, IdError> {
        DealId::new(self.created("deal"))
    }

    /// The order that this transaction posts.
    #[must_use]
    pub const fn order(&self) -> OrderId {
        OrderId(self.0)
    }

    /// The artefact that this transaction registers.
    #[must_use]
    pub const fn artefact(&self) -> ArtefactId {
        ArtefactId(self.0)
    }

    /// The review that this transaction asks for.
    #[must_use]
    pub const fn review(&self) -> ReviewId {
        ReviewId(self.0)
    }
}

fixed_bytes! {
    /// An order: the id of the transaction that posted it.
    OrderId, 32, "order id";
    /// An artefact: the id of the transaction that registered it.
    ArtefactId, 32, "artefact id";
    /// A review of what wants out: the id of the transaction that asked for it.
    ReviewId, 32, "review id";
    /// The hash of all that a release under review says.
    SubjectDigest, 32, "subject digest";
    /// The digest of the automatic checks' report, which holds a salt of its own.
    ReportDigest, 32, "report digest";
}

/// Bytes that somebody else reads: a certificate, a revocation list, a transaction in a block.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Opaque(Vec<u8>);

impl Opaque {
    /// Takes the bytes as they are; whoever uses them parses them.
    #[must_use]
    pub const fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Opaque {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Opaque({} bytes)", self.0.len())
    }
}

impl Serialize for Opaque {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        // Hexadecimal where people read it, as every other word of the ledger.
        if to.is_human_readable() {
            to.serialize_str(&hex::encode(&self.0))
        } else {
            to.serialize_bytes(&self.0)
        }
    }
}

impl<'de> Deserialize<'de> for Opaque {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        if from.is_human_readable() {
            let text = String::deserialize(from)?;
            return hex::decode(text).map(Self).map_err(|_| de::Error::custom("not hexadecimal"));
        }
        struct Bytes;
        impl de::Visitor<'_> for Bytes {
            type Value = Opaque;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a byte string")
            }
            fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Opaque, E> {
                Ok(Opaque(bytes.to_vec()))
            }
            fn visit_byte_buf<E: de::Error>(self, bytes: Vec<u8>) -> Result<Opaque, E> {
                Ok(Opaque(bytes))
            }
        }
        from.deserialize_byte_buf(Bytes)
    }
}
