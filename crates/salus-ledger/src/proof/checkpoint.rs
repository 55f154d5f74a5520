use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use salus_model::{Class, Classified, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::block::BlockHeader;
use crate::config::quorum;
use crate::sign::{self, Signer};
use crate::words::{LedgerId, PublicKey, SignatureBytes, TreeRoot};

const ORIGIN: &str = "salus-ledger/";
/// Note signatures by Ed25519 over the body.
const ED25519: u8 = 1;
/// Timestamped cosignatures by Ed25519.
const COSIGNATURE: u8 = 4;
/// The most signature lines that a checkpoint may have.
const MAX_SIGNATURES: usize = 128;
/// The most bytes of a checkpoint.
const MAX_BYTES: usize = 64 * 1024;

/// Why a checkpoint does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// Not a signed note, or not a checkpoint.
    #[error("line {line} of the checkpoint is not what it has to be: {wanted}")]
    Form {
        /// Which line, counted from 1.
        line: usize,
        /// What has to stand there.
        wanted: &'static str,
    },
    /// A checkpoint of another ledger.
    #[error("the checkpoint is of ledger {found}, trusted is {wanted}")]
    OtherLedger {
        /// The checkpoint's ledger.
        found: LedgerId,
        /// The trusted one.
        wanted: LedgerId,
    },
    /// A signature by a trusted key that does not fit.
    #[error("the signature of {name} on the checkpoint is forged")]
    Forged {
        /// The line's key name.
        name: String,
    },
    /// Too few validators.
    #[error("{found} validators signed the checkpoint, {wanted} have to")]
    TooFewValidators {
        /// How many did.
        found: usize,
        /// How many have to.
        wanted: usize,
    },
    /// Too few witnesses.
    #[error("{found} trusted witnesses cosigned the checkpoint, {wanted} have to")]
    TooFewWitnesses {
        /// How many did.
        found: usize,
        /// How many have to.
        wanted: usize,
    },
}

impl Classified for CheckpointError {
    fn class(&self) -> Class {
        match self {
            Self::Form { .. } => Class::BadRequest,
            _ => Class::Peer,
        }
    }
}

/// How many transactions a ledger has, and the root over their history.
///
/// # Source
/// C2SP `tlog-checkpoint`; the origin is `salus-ledger/` and the ledger's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checkpoint {
    /// The ledger.
    pub ledger: LedgerId,
    /// How many transactions.
    pub size: u64,
    /// The root.
    pub root: TreeRoot,
}

impl Checkpoint {
    /// The checkpoint that a final block makes.
    #[must_use]
    pub const fn of(header: &BlockHeader) -> Self {
        Self { ledger: header.ledger, size: header.history_size, root: header.history }
    }

    /// The first line, which names the ledger; also the name of its validators' keys.
    #[must_use]
    pub fn origin(&self) -> String {
        format!("{ORIGIN}{}", self.ledger)
    }

    fn body(&self) -> String {
        let root = BASE64.encode(self.root.as_bytes());
        format!("{}\n{}\n{root}\n", self.origin(), self.size)
    }
}

/// A name that is no key name of a signed note.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a witness name has 1 to 255 visible characters without spaces and '+'")]
pub struct WitnessNameError;

/// A witness's key name, such as `witness.example.org/w1`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct WitnessName(String);

impl WitnessName {
    /// The name, when the text is a valid one.
    ///
    /// # Errors
    /// When it is empty, too long, or has spaces, controls or a plus sign.
    pub fn new(text: impl Into<String>) -> Result<Self, WitnessNameError> {
        let text = text.into();
        if is_key_name(&text) { Ok(Self(text)) } else { Err(WitnessNameError) }
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A witness's name and key in one line, as people hand it to each other.
///
/// # Source
/// C2SP `signed-note`, verifier keys: the name, the key id, and the key with its type in base64,
/// joined by plus signs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct WitnessKey {
    /// The name.
    pub name: WitnessName,
    /// The key.
    pub key: PublicKey,
}

/// A text that is no witness's verifier key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{0}' is no witness key; it looks like witness.example.org/w1+1a2b3c4d+ and 44 characters of base64"
)]
pub struct WitnessKeyError(String);

impl fmt::Display for WitnessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name.as_str();
        let id = hex::encode(key_id(name, COSIGNATURE, &self.key));
        let bytes = [[COSIGNATURE].as_slice(), self.key.as_bytes()].concat();
        write!(f, "{name}+{id}+{}", BASE64.encode(bytes))
    }
}

impl std::str::FromStr for WitnessKey {
    type Err = WitnessKeyError;

    fn from_str(text: &str) -> Result<Self, WitnessKeyError> {
        let read = || {
            // Base64 has plus signs of its own.
            let mut parts = text.splitn(3, '+');
            let name = WitnessName::new(parts.next()?).ok()?;
            let bytes = BASE64.decode(parts.nth(1)?).ok()?;
            let (algorithm, key) = bytes.split_first()?;
            let key = PublicKey::try_from(key).ok()?;
            let read = Self { name, key };
            (*algorithm == COSIGNATURE && read.to_string() == text).then_some(read)
        };
        read().ok_or_else(|| WitnessKeyError(text.to_owned()))
    }
}

impl TryFrom<String> for WitnessKey {
    type Error = WitnessKeyError;
    fn try_from(text: String) -> Result<Self, WitnessKeyError> {
        text.parse()
    }
}

impl From<WitnessKey> for String {
    fn from(key: WitnessKey) -> Self {
        key.to_string()
    }
}

fn is_key_name(text: &str) -> bool {
    let fits = |c: char| !c.is_whitespace() && !c.is_control() && c != '+';
    (1..=255).contains(&text.len()) && text.chars().all(fits)
}

impl TryFrom<String> for WitnessName {
    type Error = WitnessNameError;
    fn try_from(text: String) -> Result<Self, WitnessNameError> {
        Self::new(text)
    }
}

impl From<WitnessName> for String {
    fn from(name: WitnessName) -> Self {
        name.0
    }
}

/// One signature line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoteSignature {
    name: String,
    key_id: [u8; 4],
    payload: Vec<u8>,
}

pub(super) fn key_id(name: &str, algorithm: u8, key: &PublicKey) -> [u8; 4] {
    let mut hash = Sha256::new();
    hash.update(name.as_bytes());
    hash.update([b'\n', algorithm]);
    hash.update(key.as_bytes());
    let [a, b, c, d, ..] = <[u8; 32]>::from(hash.finalize());
    [a, b, c, d]
}

/// What a cosignature is over: the moment, then the whole body.
fn cosigned_message(seconds: u64, body: &str) -> Vec<u8> {
    format!("cosignature/v1\ntime {seconds}\n{body}").into_bytes()
}

impl NoteSignature {
    fn by_validator(checkpoint: &Checkpoint, signer: &Signer) -> Self {
        let name = checkpoint.origin();
        let key_id = key_id(&name, ED25519, &signer.public_key());
        let payload = signer.sign(checkpoint.body().as_bytes()).as_bytes().to_vec();
        Self { name, key_id, payload }
    }

    /// A witness's cosignature at a moment.
    ///
    /// # Source
    /// C2SP `tlog-cosignature`, version 1.
    pub(super) fn by_witness(
        checkpoint: &Checkpoint,
        name: &WitnessName,
        signer: &Signer,
        at: Timestamp,
    ) -> Self {
        let seconds = u64::try_from(at.as_micros() / 1_000_000).unwrap_or(0);
        let signature = signer.sign(&cosigned_message(seconds, &checkpoint.body()));
        let mut payload = seconds.to_be_bytes().to_vec();
        payload.extend_from_slice(signature.as_bytes());
        let key_id = key_id(name.as_str(), COSIGNATURE, &signer.public_key());
        Self { name: name.as_str().to_owned(), key_id, payload }
    }

    /// The key name on the line: a ledger's origin, or a witness's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Reads one signature line, without its newline; the signature is not checked yet.
    ///
    /// # Errors
    /// When it is none.
    pub fn from_line(line: &str) -> Result<Self, CheckpointError> {
        let read = read_signature(line).filter(|read| read.to_string() == line);
        read.ok_or(CheckpointError::Form { line: 1, wanted: "a signature line" })
    }

    fn names(&self, name: &str, algorithm: u8, key: &PublicKey) -> bool {
        self.name == name && self.key_id == key_id(name, algorithm, key)
    }

    fn verify(&self, body: &str, algorithm: u8, key: &PublicKey) -> bool {
        let (message, signature) = if algorithm == COSIGNATURE {
            let Some((seconds, signature)) = self.payload.split_first_chunk::<8>() else {
                return false;
            };
            (cosigned_message(u64::from_be_bytes(*seconds), body), signature)
        } else {
            (body.as_bytes().to_vec(), self.payload.as_slice())
        };
        SignatureBytes::try_from(signature).is_ok_and(|s| sign::verify(key, &message, &s).is_ok())
    }
}

impl fmt::Display for NoteSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = [&self.key_id[..], &self.payload].concat();
        write!(f, "— {} {}", self.name, BASE64.encode(bytes))
    }
}

/// A checkpoint with its signature lines.
///
/// # Source
/// C2SP `signed-note`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedCheckpoint {
    checkpoint: Checkpoint,
    signatures: Vec<NoteSignature>,
}

/// Whose signatures make a checkpoint trusted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckpointTrust {
    /// The ledger.
    pub ledger: LedgerId,
    /// Its validators; a quorum of them has to sign.
    pub validators: BTreeSet<PublicKey>,
    /// The witnesses that the auditor trusts.
    pub witnesses: BTreeMap<WitnessName, PublicKey>,
    /// How many of the witnesses have to cosign.
    pub threshold: usize,
}

impl SignedCheckpoint {
    /// A checkpoint without signatures yet.
    #[must_use]
    pub const fn new(checkpoint: Checkpoint) -> Self {
        Self { checkpoint, signatures: Vec::new() }
    }

    /// What is signed.
    #[must_use]
    pub const fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// Adds a validator's signature.
    #[must_use]
    pub fn sign(self, validator: &Signer) -> Self {
        let signature = NoteSignature::by_validator(&self.checkpoint, validator);
        self.with(signature)
    }

    /// Adds a line that came from elsewhere.
    #[must_use]
    pub fn with(mut self, signature: NoteSignature) -> Self {
        self.signatures.push(signature);
        self
    }

    /// Adds a line in the place of earlier ones of the same key.
    #[must_use]
    pub fn renewed_by(mut self, signature: NoteSignature) -> Self {
        let same = |s: &NoteSignature| s.name == signature.name && s.key_id == signature.key_id;
        self.signatures.retain(|known| !same(known));
        self.with(signature)
    }

    /// The same checkpoint with nothing but these validators' lines, each of which is right.
    ///
    /// # Errors
    /// When a line claims one of the keys and is forged.
    pub fn only_validators(&self, keys: &BTreeSet<PublicKey>) -> Result<Self, CheckpointError> {
        let signed = self.signed_by(keys)?;
        let origin = self.checkpoint.origin();
        let by = |s: &&NoteSignature| signed.iter().any(|key| s.names(&origin, ED25519, key));
        let signatures = self.signatures.iter().filter(by).cloned().collect();
        Ok(Self { checkpoint: self.checkpoint, signatures })
    }

    /// The cosignatures that a witness's key made on it and that are right, whatever it calls
    /// itself.
    #[must_use]
    pub fn cosigned_by(&self, key: &PublicKey) -> Vec<NoteSignature> {
        let body = self.checkpoint.body();
        let by = |s: &&NoteSignature| {
            s.names(&s.name, COSIGNATURE, key) && s.verify(&body, COSIGNATURE, key)
        };
        self.signatures.iter().filter(by).cloned().collect()
    }

    /// The signature lines.
    #[must_use]
    pub fn signatures(&self) -> &[NoteSignature] {
        &self.signatures
    }

    /// Reads a checkpoint; its signatures are not checked yet.
    ///
    /// # Errors
    /// Names the line that is wrong.
    pub fn from_text(text: &str) -> Result<Self, CheckpointError> {
        let wrong = |line, wanted| CheckpointError::Form { line, wanted };
        if text.len() > MAX_BYTES {
            return Err(wrong(1, "at most 64 KiB"));
        }
        let text = text.strip_suffix('\n').ok_or(wrong(1, "a newline at the end"))?;
        let lines: Vec<&str> = text.split('\n').collect();
        let (Some([origin, size, root, blank]), Some(rest)) =
            (lines.first_chunk::<4>(), lines.get(4..))
        else {
            return Err(wrong(lines.len(), "origin, size, root, an empty line, signatures"));
        };
        let checkpoint = read_body(origin, size, root)?;
        if !blank.is_empty() {
            return Err(wrong(4, "an empty line"));
        }
        if !(1..=MAX_SIGNATURES).contains(&rest.len()) {
            return Err(wrong(5, "1 to 128 signatures"));
        }
        let mut signatures = Vec::with_capacity(rest.len());
        for (index, line) in rest.iter().enumerate() {
            let signature = read_signature(line);
            signatures.push(signature.ok_or(wrong(index + 5, "a signature line"))?);
        }
        let read = Self { checkpoint, signatures };
        // One text per checkpoint: numbers with leading zeros and loose base64 end here.
        if read.to_string().strip_suffix('\n') == Some(text) {
            Ok(read)
        } else {
            Err(wrong(1, "the one form of its content"))
        }
    }

    /// The validators among `keys` whose signature on it is right.
    ///
    /// # Errors
    /// When a line claims one of the keys and is forged.
    pub fn signed_by(
        &self,
        keys: &BTreeSet<PublicKey>,
    ) -> Result<BTreeSet<PublicKey>, CheckpointError> {
        let origin = self.checkpoint.origin();
        let named = keys.iter().map(|key| (*key, origin.as_str()));
        self.right_lines(named, ED25519)
    }

    fn right_lines<'a>(
        &self,
        named: impl Iterator<Item = (PublicKey, &'a str)>,
        algorithm: u8,
    ) -> Result<BTreeSet<PublicKey>, CheckpointError> {
        let body = self.checkpoint.body();
        let mut found = BTreeSet::new();
        for (key, name) in named {
            for line in self.signatures.iter().filter(|s| s.names(name, algorithm, &key)) {
                if !line.verify(&body, algorithm, &key) {
                    return Err(CheckpointError::Forged { name: name.to_owned() });
                }
                found.insert(key);
            }
        }
        Ok(found)
    }

    /// Accepts when a quorum of validators signed and enough trusted witnesses cosigned; lines of
    /// unknown keys are passed over.
    ///
    /// # Errors
    /// For another ledger, forged lines of known keys, or too few.
    pub fn verify(&self, trust: &CheckpointTrust) -> Result<Checkpoint, CheckpointError> {
        let (found, wanted) = (self.checkpoint.ledger, trust.ledger);
        if found != wanted {
            return Err(CheckpointError::OtherLedger { found, wanted });
        }
        let found = self.signed_by(&trust.validators)?.len();
        let wanted = quorum(trust.validators.len());
        if found < wanted {
            return Err(CheckpointError::TooFewValidators { found, wanted });
        }
        let named = trust.witnesses.iter().map(|(name, key)| (*key, name.as_str()));
        let found = self.right_lines(named, COSIGNATURE)?.len();
        if found < trust.threshold {
            return Err(CheckpointError::TooFewWitnesses { found, wanted: trust.threshold });
        }
        Ok(self.checkpoint)
    }
}

fn read_body(origin: &str, size: &str, root: &str) -> Result<Checkpoint, CheckpointError> {
    let wrong = |line, wanted| CheckpointError::Form { line, wanted };
    let mut ledger = [0; 32];
    let id = origin.strip_prefix(ORIGIN).ok_or(wrong(1, "'salus-ledger/' and a ledger id"))?;
    hex::decode_to_slice(id, &mut ledger).map_err(|_| wrong(1, "64 hexadecimal characters"))?;
    let size = size.parse().map_err(|_| wrong(2, "a number of transactions"))?;
    let root = BASE64.decode(root).ok();
    let root = root.and_then(|bytes| TreeRoot::try_from(bytes.as_slice()).ok());
    let root = root.ok_or(wrong(3, "32 bytes in base64"))?;
    Ok(Checkpoint { ledger: LedgerId::new(ledger), size, root })
}

fn read_signature(line: &str) -> Option<NoteSignature> {
    let (name, encoded) = line.strip_prefix("— ")?.split_once(' ')?;
    let bytes = BASE64.decode(encoded).ok()?;
    let (key_id, payload) = bytes.split_first_chunk::<4>()?;
    is_key_name(name).then(|| NoteSignature {
        name: name.to_owned(),
        key_id: *key_id,
        payload: payload.to_vec(),
    })
}

impl fmt::Display for SignedCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.checkpoint.body())?;
        self.signatures.iter().try_for_each(|signature| writeln!(f, "{signature}"))
    }
}
