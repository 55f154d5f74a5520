//! A research organisation's permits: applied for with a key that is made for each, and used with
//! it.
//!
//! # Privacy
//! The person behind a permit appears on the ledger and to holders as that key alone. Which key is
//! whose stays in this site, sealed under its key store.

use std::path::PathBuf;
use std::str::FromStr as _;

use salus_crypto::aead::{self, Aad};
use salus_crypto::hpke::{RecipientKey, RecipientPublicKey};
use salus_crypto::{Digest, OsEntropy, SigningKey};
use salus_ledger::call::{ApplyForPermit, Ground, PermitTerms};
use salus_ledger::contract::records::{Account, PermitRecord};
use salus_ledger::proof::{EvidenceError, Fact};
use salus_ledger::{CodeHash, DatasetRef, LedgerId, Signer, TxId};
use salus_model::{
    Class, Classified, DealId, Entropy as _, EntropyFailed, HolderId, IdError, MicroRho, PermitId,
    Purpose, Secret, Timestamp,
};
use salus_private::{LedgerRefused, Question, built_in_code};
use salus_spine::{SecondaryRequest, SignedRequest};
use salus_store::{SealedError, open_sealed, seal_object};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::ledger::HolderLedger;
use crate::site::Site;

const FOLDER: &str = "permits";
/// How long a request holds: time enough for the answer, and little for whoever recorded it.
const REQUEST_MICROS: i64 = 2 * 60 * 1_000_000;
const FORMAT: u8 = 1;

/// Why a permit cannot be used from here.
#[derive(Debug, thiserror::Error)]
pub enum PermitError {
    /// Its key is not here.
    #[error(
        "the key of {permit} is not in this site; it lies where the permit was applied for: use --site FOLDER"
    )]
    NoKey {
        /// The permit.
        permit: PermitId,
    },
    /// Its key does not open.
    #[error("the key of {permit} does not open: restore {path} from a backup")]
    Sealed {
        /// The permit.
        permit: PermitId,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Option<SealedError>,
    },
    /// There is no such permit on the ledger.
    #[error("there is no permit {permit} on this ledger")]
    Unknown {
        /// The permit.
        permit: PermitId,
    },
    /// The permit says nothing of the dataset.
    #[error("{permit} does not cover {}/{}", .dataset.holder, .dataset.dataset)]
    NotCovered {
        /// The permit.
        permit: PermitId,
        /// The dataset.
        dataset: DatasetRef,
    },
    /// The file for the browser cannot be sealed.
    #[error("the key cannot be sealed for the file")]
    Seal(#[from] salus_crypto::aead::SealFailed),
    /// A file cannot be read or written.
    #[error("{path} cannot be used")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The ledger refused.
    #[error(transparent)]
    Ledger(#[from] LedgerRefused),
    /// The ledger's proofs do not hold.
    #[error(transparent)]
    Evidence(#[from] EvidenceError),
    /// No key can be drawn.
    #[error("no key can be drawn")]
    Entropy(#[from] EntropyFailed),
    /// A name that does not fit, which is a bug.
    #[error(transparent)]
    Name(#[from] IdError),
}

impl Classified for PermitError {
    fn class(&self) -> Class {
        match self {
            Self::NoKey { .. } | Self::Unknown { .. } | Self::NotCovered { .. } => {
                Class::BadRequest
            }
            Self::Seal(e) => e.class(),
            Self::Sealed { .. } => Class::Corrupt,
            Self::Io { .. } | Self::Entropy(_) => Class::Unavailable,
            Self::Ledger(e) => e.class(),
            Self::Evidence(e) => e.class(),
            Self::Name(_) => Class::Bug,
        }
    }
}

/// The two keys of one permit: one signs what is asked, the other opens what comes back.
pub struct PermitKey {
    person: SigningKey,
    recipient: RecipientKey,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    format: u8,
    person: String,
    recipient: String,
}

impl PermitKey {
    fn generate() -> Result<Self, EntropyFailed> {
        let person = SigningKey::generate(&mut OsEntropy)?;
        Ok(Self { person, recipient: RecipientKey::generate(&mut OsEntropy)? })
    }

    fn stored(bytes: &[u8]) -> Option<Self> {
        let stored: Stored = serde_json::from_slice(bytes).ok()?;
        let secret = |text: &str| {
            let bytes = Zeroizing::new(hex::decode(text).ok()?);
            Some(Secret::new(<[u8; 32]>::try_from(bytes.as_slice()).ok()?))
        };
        (stored.format == FORMAT).then_some(())?;
        Some(Self {
            person: SigningKey::from_secret(&secret(&stored.person)?),
            recipient: RecipientKey::from_secret(&secret(&stored.recipient)?)?,
        })
    }

    fn to_bytes(&self) -> Option<Zeroizing<Vec<u8>>> {
        let stored = Stored {
            format: FORMAT,
            person: hex::encode(self.person.to_secret().expose()),
            recipient: hex::encode(self.recipient.to_secret().expose()),
        };
        serde_json::to_vec(&stored).ok().map(Zeroizing::new)
    }

    /// The file by which a browser takes the keys in, sealed under a code that is drawn for it.
    ///
    /// # Privacy
    /// File and code travel apart; either alone opens nothing. The code has 130 random bits, so
    /// that no passphrase can be guessed: the browser's own cryptography has no memory-hard
    /// function to slow guessing down.
    ///
    /// # Errors
    /// When no code can be drawn.
    pub fn for_browser(
        &self,
        ledger: &LedgerId,
        permit: &PermitId,
    ) -> Result<(BrowserKeyFile, Secret<String>), PermitError> {
        let code = generate_code()?;
        let parent = Digest::of_parts(BROWSER_KEY, &[code.expose().replace('-', "").as_bytes()]);
        let key = aead::derive_key(&Secret::new(*parent.as_bytes()), &Aad::new(BROWSER_KEY, &[]));
        let bound = Aad::new(BROWSER_KEY, &[ledger.as_bytes(), permit.as_str().as_bytes()]);
        let mut secrets = Zeroizing::new([0; 64]);
        let (person, recipient) = secrets.split_at_mut(32);
        person.copy_from_slice(self.person.to_secret().expose());
        recipient.copy_from_slice(self.recipient.to_secret().expose());
        let sealed = key.seal(&mut OsEntropy, &bound, &*secrets)?;
        let file = BrowserKeyFile {
            format: FORMAT,
            kind: BROWSER_KIND.to_owned(),
            ledger: *ledger,
            permit: permit.clone(),
            person: hex::encode(self.person.verifying_key().to_bytes()),
            recipient: self.recipient.public_key(),
            sealed: hex::encode(sealed),
        };
        Ok((file, code))
    }

    /// Signs a request for one question to one holder.
    ///
    /// # Errors
    /// When no deal can be drawn.
    pub fn request(&self, asked: &Asked<'_>) -> Result<SignedRequest, PermitError> {
        let signed_for = SignedFor {
            code: built_in_code(),
            digest: Question::digest(asked.question),
            micros: REQUEST_MICROS,
        };
        self.request_for(asked, signed_for)
    }

    /// Signs a request for other work than a question.
    pub(crate) fn request_for(
        &self,
        asked: &Asked<'_>,
        signed_for: SignedFor,
    ) -> Result<SignedRequest, PermitError> {
        let mut random = [0; 16];
        OsEntropy.fill(&mut random)?;
        let request = SecondaryRequest {
            ledger: asked.ledger,
            permit: asked.permit.clone(),
            holder: asked.holder.clone(),
            deal: DealId::new(format!("q-{}", hex::encode(random)))?,
            purpose: asked.purpose,
            code: signed_for.code,
            question: signed_for.digest,
            recipient: self.recipient.public_key(),
            issued: asked.now,
            expires: asked.now.saturating_add_micros(signed_for.micros),
        };
        Ok(SignedRequest::sign(request, &self.person))
    }

    /// Opens what was sealed to the permit's person under `deal`; none when it is for somebody
    /// else.
    #[must_use]
    pub fn open(
        &self,
        request: &SignedRequest,
        deal: &DealId,
        message: &[u8],
    ) -> Option<Zeroizing<Vec<u8>>> {
        let asked = SecondaryRequest { deal: deal.clone(), ..request.unverified().clone() };
        self.recipient.open(&asked.result_context(), &[], message).ok()
    }
}

const BROWSER_KEY: &str = "salus permit key for a browser v1";
const BROWSER_KIND: &str = "salus permit key";
/// Crockford's digits: none is taken for another by a person who types them.
const DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// Five groups of five digits and one of one: 130 bits.
fn generate_code() -> Result<Secret<String>, EntropyFailed> {
    let mut bytes = Zeroizing::new([0; 26]);
    OsEntropy.fill(&mut *bytes)?;
    let mut code = String::with_capacity(31);
    for (at, byte) in bytes.iter().enumerate() {
        if at > 0 && at % 5 == 0 {
            code.push('-');
        }
        code.push(char::from(DIGITS[usize::from(byte % 32)]));
    }
    Ok(Secret::new(code))
}

/// A permit's keys on their way into a browser; what is secret is sealed under a code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BrowserKeyFile {
    format: u8,
    kind: String,
    ledger: LedgerId,
    permit: PermitId,
    person: String,
    recipient: RecipientPublicKey,
    sealed: String,
}

/// What exactly a request is signed for.
pub(crate) struct SignedFor {
    /// The code that is to run.
    pub(crate) code: CodeHash,
    /// All that decides what comes out.
    pub(crate) digest: Digest,
    /// How long the request holds.
    pub(crate) micros: i64,
}

/// What is asked of whom.
pub struct Asked<'a> {
    /// On which ledger the permit stands.
    pub ledger: LedgerId,
    /// The permit.
    pub permit: &'a PermitId,
    /// Its purpose.
    pub purpose: Purpose,
    /// Who is asked.
    pub holder: &'a HolderId,
    /// The question's exact text.
    pub question: &'a str,
    /// The present moment.
    pub now: Timestamp,
}

fn aad(site: &Site, permit: &PermitId) -> Aad {
    let holder = site.config.holder.as_str().as_bytes();
    Aad::new("salus permit key v1", &[holder, permit.as_str().as_bytes()])
}

impl Site {
    fn permit_path(&self, permit: &PermitId) -> PathBuf {
        self.folder.join(FOLDER).join(permit.as_str())
    }

    /// The permits whose keys are here.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn own_permits(&self) -> Result<Vec<PermitId>, PermitError> {
        let path = self.folder.join(FOLDER);
        let entries = match std::fs::read_dir(&path) {
            Ok(entries) => entries,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => return Err(PermitError::Io { path, source }),
        };
        let named = |entry: std::io::Result<std::fs::DirEntry>| {
            let path = entry.ok()?.path();
            // What a crash left half written never was on the ledger.
            path.extension().is_none().then_some(())?;
            PermitId::from_str(path.file_name()?.to_str()?).ok()
        };
        let mut found: Vec<PermitId> = entries.filter_map(named).collect();
        found.sort();
        Ok(found)
    }

    /// The keys of a permit.
    ///
    /// # Errors
    /// When they are not here, or do not open.
    pub async fn permit_key(&self, permit: &PermitId) -> Result<PermitKey, PermitError> {
        let path = self.permit_path(permit);
        let sealed = match std::fs::read(&path) {
            Ok(sealed) => sealed,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                return Err(PermitError::NoKey { permit: permit.clone() });
            }
            Err(source) => return Err(PermitError::Io { path, source }),
        };
        let failed = |source| {
            let (permit, path) = (permit.clone(), path.clone());
            PermitError::Sealed { permit, path, source }
        };
        let bytes = open_sealed(&*self.keys, &self.master, &aad(self, permit), &sealed)
            .await
            .map_err(|e| failed(Some(e)))?;
        PermitKey::stored(&bytes).ok_or_else(|| failed(None))
    }

    async fn keep_permit_key(&self, permit: &PermitId, key: &PermitKey) -> Result<(), PermitError> {
        let path = self.permit_path(permit);
        let failed = |source| {
            let (permit, path) = (permit.clone(), path.clone());
            PermitError::Sealed { permit, path, source }
        };
        let bytes = key.to_bytes().ok_or_else(|| failed(None))?;
        let sealed = seal_object(&*self.keys, &self.master, &aad(self, permit), &bytes)
            .await
            .map_err(|e| failed(Some(e)))?;
        crate::site::make_private_folder(&self.folder.join(FOLDER))
            .and_then(|()| crate::staff::write_private(&path, &sealed))
            .map_err(|source| PermitError::Io { path: path.clone(), source })
    }

    /// Applies for a permit, in the name of the site's organisation, for a person who appears as a
    /// new key alone.
    ///
    /// # Errors
    /// When a rule of the ledger refuses, or it is out of reach.
    pub async fn apply_for_permit(
        &self,
        ledger: &HolderLedger,
        terms: PermitTerms,
    ) -> Result<(PermitId, TxId), PermitError> {
        let key = PermitKey::generate()?;
        let pseudonym = Signer::new(&key.person);
        let call = ApplyForPermit { pseudonym: pseudonym.public_key(), terms };
        let signed = ledger.signed(call.into(), &[&pseudonym]).await?;
        let permit = signed.id().permit()?;
        // Before the ledger has it: a permit whose key is lost can be used by nobody.
        self.keep_permit_key(&permit, &key).await?;
        match ledger.hand_in(&signed).await {
            Ok(_) => Ok((permit, signed.id())),
            Err(refused @ LedgerRefused::Rule { .. }) => {
                let path = self.permit_path(&permit);
                std::fs::remove_file(&path).map_err(|source| PermitError::Io { path, source })?;
                Err(refused.into())
            }
            Err(unavailable) => Err(unavailable.into()),
        }
    }
}

/// What a permit still may spend on a dataset: of its own budget, and of the dataset's.
#[derive(Debug, Clone)]
pub struct Left {
    /// What it has spent.
    pub spent: MicroRho,
    /// How many releases without a bound it has made besides.
    pub not_bounded: u64,
    /// What one more answer may cost.
    pub left: MicroRho,
    /// The permit.
    pub permit: PermitRecord,
    /// What it allows of the dataset.
    pub ground: Ground,
    /// The dataset's account.
    pub account: Account,
}

/// What a permit still may spend on a dataset, proved.
///
/// # Errors
/// When the permit does not cover the dataset, or no validator proves it.
pub async fn left(
    ledger: &HolderLedger,
    permit: &PermitId,
    dataset: &DatasetRef,
) -> Result<Left, PermitError> {
    let facts = [
        Fact::Permit(permit.clone()),
        Fact::Account(dataset.clone()),
        Fact::Spending(permit.clone(), dataset.clone()),
    ];
    let state = ledger.state(&facts).await?;
    let none = || PermitError::NotCovered { permit: permit.clone(), dataset: dataset.clone() };
    let record =
        state.permit(permit)?.ok_or_else(|| PermitError::Unknown { permit: permit.clone() })?;
    let account = state.account(dataset)?.ok_or_else(none)?;
    let ground = record.terms.grounds.iter().find(|g| g.dataset == *dataset).cloned();
    let ground = ground.ok_or_else(none)?;
    let spending = state.spending(permit, dataset)?;
    let (spent, not_bounded) = spending.map_or((MicroRho::ZERO, 0), |s| (s.spent, s.not_bounded));
    let own = ground.budget.checked_sub(spent).unwrap_or(MicroRho::ZERO);
    let of_all = account.budget.checked_sub(account.spent).unwrap_or(MicroRho::ZERO);
    Ok(Left { spent, not_bounded, left: own.min(of_all), permit: record, ground, account })
}

/// What the ledger says of a permit, proved.
///
/// # Errors
/// When there is none, or no validator proves it.
pub async fn permit_on(
    ledger: &HolderLedger,
    permit: &PermitId,
) -> Result<PermitRecord, PermitError> {
    let state = ledger.state(&[Fact::Permit(permit.clone())]).await?;
    state.permit(permit)?.ok_or_else(|| PermitError::Unknown { permit: permit.clone() })
}
