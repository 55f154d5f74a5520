//! An organisation's place on a ledger: its keys and certificate, the genesis, the validators.
//!
//! It travels once, from whoever enrolled the organisation to its site, in a file sealed with a
//! passphrase; in the site it lies sealed under the site's own key store.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{KeyPair, SigningKey as _};
use salus_crypto::aead::Aad;
use salus_crypto::passphrase::{self, GuessCost, Passphrase};
use salus_crypto::{OsEntropy, SigningKey};
use salus_ledger::call::{AdmitMember, KeyProof, MemberKey, ProofAlgorithm};
use salus_ledger::cbor::{self, CborError};
use salus_ledger::genesis::Genesis;
use salus_ledger::policy::Role;
use salus_ledger::{Opaque, key_binding_message};
use salus_model::{Class, Classified, EntropyFailed, HolderId, IdError, MemberId, Secret};
use salus_store::{SealedError, open_sealed, seal_object};
use salus_validator::Identity;
use salus_validator::client::{ClientError, LedgerClient};
use salus_validator::explorer::client::{ExplorerClient, ExplorerError};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::config::{Config, ConfigError, LedgerConfig};
use crate::ledger::HolderLedger;
use crate::site::Site;

const PURPOSE: &str = "salus-node/membership/v1";
const ENROLMENT: &str = "salus-node/enrolment/v1";
const FORMAT: u8 = 1;
const MAX_BYTES: usize = 4 * 1024 * 1024;
const MEMBERSHIP_FILE: &str = "membership";
/// What a ledger began with, in a site's ledger folder: public, and all that verification needs.
pub const GENESIS_FILE: &str = "genesis.cbor";

/// Why a membership cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum MembershipError {
    /// The site is on no ledger.
    #[error(
        "this site is on no ledger ([ledger] is missing in its salus.toml); join one with: salus ledger join FILE.member"
    )]
    None,
    /// The site is on a ledger already.
    #[error("this site is on a ledger already, see [ledger] in its salus.toml")]
    Joined,
    /// The membership is another organisation's.
    #[error("the membership is of {member}, and this site is of {holder}")]
    OtherMember {
        /// Whose it is.
        member: MemberId,
        /// Whose site it is.
        holder: HolderId,
    },
    /// Keys for another ledger.
    #[error("the keys are for another ledger than this site's")]
    OtherLedger,
    /// The file does not open with this passphrase.
    #[error("the membership file does not open")]
    Passphrase(#[from] passphrase::OpenRefused),
    /// The file cannot be sealed.
    #[error("the membership file cannot be sealed")]
    Seal(#[from] passphrase::SealFailed),
    /// What the site keeps of it does not open.
    #[error("the site's membership does not open: restore {path} from a backup")]
    Sealed {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: SealedError,
    },
    /// It is not in its one form.
    #[error("the membership cannot be read")]
    Form(#[from] CborError),
    /// The certificate's key cannot be used.
    #[error(
        "the certificate's key cannot be used: it has to be PKCS#8 in PEM, Ed25519, ECDSA P-256 or P-384, or RSA"
    )]
    CertificateKey(#[source] Option<rcgen::Error>),
    /// No key can be drawn.
    #[error("no key can be drawn")]
    Entropy(#[from] EntropyFailed),
    /// It comes from a newer Salus.
    #[error("the membership has format {found}; this Salus reads {FORMAT}")]
    Format {
        /// The format found.
        found: u8,
    },
    /// A file cannot be read or written.
    #[error("{path} cannot be used")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The configuration cannot be changed.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The certificate, the genesis or the validators' addresses cannot be used.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The explorer cannot be read with the certificate.
    #[error(transparent)]
    Explorer(#[from] ExplorerError),
    /// A holder whose id is no member's, which is a bug.
    #[error("the holder's id is no member's")]
    Name(#[from] IdError),
}

impl Classified for MembershipError {
    fn class(&self) -> Class {
        match self {
            Self::None
            | Self::Joined
            | Self::OtherMember { .. }
            | Self::OtherLedger
            | Self::CertificateKey(_)
            | Self::Format { .. } => Class::BadRequest,
            Self::Entropy(_) => Class::Unavailable,
            Self::Passphrase(e) => e.class(),
            Self::Seal(e) => e.class(),
            Self::Sealed { source, .. } => source.class(),
            Self::Form(_) => Class::Corrupt,
            Self::Io { .. } => Class::Unavailable,
            Self::Config(e) => e.class(),
            Self::Client(e) => e.class(),
            Self::Explorer(e) => e.class(),
            Self::Name(_) => Class::Bug,
        }
    }
}

/// An organisation's place on a ledger.
#[derive(Debug)]
pub struct Membership {
    /// The organisation.
    pub member: MemberId,
    /// What the ledger began with: all that the organisation trusts.
    pub genesis: Genesis,
    /// Its keys and certificate.
    pub identity: Identity,
    /// Where validators serve members, such as `https://10.0.0.1:7443`.
    pub validators: Vec<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    format: u8,
    member: MemberId,
    genesis: Genesis,
    ledger: Opaque,
    tls: Opaque,
    chain: Vec<Opaque>,
    validators: Vec<String>,
}

impl Membership {
    fn encode(&self) -> Result<Zeroizing<Vec<u8>>, MembershipError> {
        let form = Form {
            format: FORMAT,
            member: self.member.clone(),
            genesis: self.genesis.clone(),
            ledger: Opaque::new(self.identity.ledger.expose().to_vec()),
            tls: Opaque::new(self.identity.tls.expose().clone()),
            chain: self.identity.chain.clone(),
            validators: self.validators.clone(),
        };
        Ok(Zeroizing::new(cbor::encode(&form)?))
    }

    fn decode(bytes: &[u8]) -> Result<Self, MembershipError> {
        let form: Form = cbor::decode(bytes, MAX_BYTES)?;
        if form.format != FORMAT {
            return Err(MembershipError::Format { found: form.format });
        }
        let ledger: [u8; 32] = form
            .ledger
            .as_bytes()
            .try_into()
            .map_err(|_| MembershipError::Format { found: form.format })?;
        let tls = Secret::new(form.tls.as_bytes().to_vec());
        let identity = Identity { ledger: Secret::new(ledger), tls, chain: form.chain };
        let Form { member, genesis, validators, .. } = form;
        Ok(Self { member, genesis, identity, validators })
    }

    /// The file that takes it to its site.
    ///
    /// # Errors
    /// When it cannot be sealed.
    pub fn seal(
        &self,
        passphrase: &Passphrase,
        cost: GuessCost,
    ) -> Result<Vec<u8>, MembershipError> {
        let bytes = self.encode()?;
        Ok(passphrase::seal(&mut OsEntropy, passphrase, cost, PURPOSE, &bytes)?)
    }

    /// Opens such a file.
    ///
    /// # Errors
    /// When the passphrase is another, or the file was altered.
    pub fn open(passphrase: &Passphrase, file: &[u8]) -> Result<Self, MembershipError> {
        Self::decode(&passphrase::open(passphrase, PURPOSE, file)?)
    }
}

/// An organisation's keys before there is a ledger: what it sends to the founders follows from
/// them, and what it joins with later.
#[derive(Debug)]
pub struct Enrolment {
    /// The organisation.
    pub member: MemberId,
    /// Its keys and certificate.
    pub identity: Identity,
}

impl Enrolment {
    /// Draws a ledger key for an organisation that has a certificate, given as DER with its
    /// intermediates, and the certificate's key as PKCS#8 in PEM.
    ///
    /// # Errors
    /// When no key can be drawn, or the certificate's key is of a kind that no ledger takes.
    pub fn new(
        member: MemberId,
        chain: Vec<Opaque>,
        certificate_key: &Secret<String>,
    ) -> Result<Self, MembershipError> {
        let tls = key_pair(certificate_key.expose())?;
        let ledger = SigningKey::generate(&mut OsEntropy)?.to_secret();
        let identity = Identity { ledger, tls: Secret::new(tls.serialize_der()), chain };
        Ok(Self { member, identity })
    }

    /// What the organisation asks the founders, or the members later, to admit it with. Public.
    ///
    /// # Errors
    /// When the certificate's key does not sign.
    pub fn request(&self, roles: &BTreeSet<Role>) -> Result<AdmitMember, MembershipError> {
        let unusable = |e| MembershipError::CertificateKey(Some(e));
        let tls = KeyPair::try_from(self.identity.tls.expose().as_slice()).map_err(unusable)?;
        let key = self.identity.signer().public_key();
        let signature = tls.sign(&key_binding_message(&self.member, &key)).map_err(unusable)?;
        let proof = KeyProof { algorithm: proof_of(&tls)?, signature: Opaque::new(signature) };
        let chain = self.identity.chain.clone();
        let key = MemberKey { key, roles: roles.clone(), chain, proof };
        Ok(AdmitMember { member: self.member.clone(), roles: roles.clone(), keys: vec![key] })
    }

    /// The keys in a file sealed with a passphrase.
    ///
    /// # Errors
    /// When it cannot be sealed.
    pub fn seal(
        &self,
        passphrase: &Passphrase,
        cost: GuessCost,
    ) -> Result<Vec<u8>, MembershipError> {
        let form = Enrolled {
            format: FORMAT,
            member: self.member.clone(),
            ledger: Opaque::new(self.identity.ledger.expose().to_vec()),
            tls: Opaque::new(self.identity.tls.expose().clone()),
            chain: self.identity.chain.clone(),
        };
        let bytes = Zeroizing::new(cbor::encode(&form)?);
        Ok(passphrase::seal(&mut OsEntropy, passphrase, cost, ENROLMENT, &bytes)?)
    }

    /// Opens such a file.
    ///
    /// # Errors
    /// When the passphrase is another, or the file was altered.
    pub fn open(passphrase: &Passphrase, file: &[u8]) -> Result<Self, MembershipError> {
        let bytes = passphrase::open(passphrase, ENROLMENT, file)?;
        let form: Enrolled = cbor::decode(&bytes, MAX_BYTES)?;
        let wrong = MembershipError::Format { found: form.format };
        if form.format != FORMAT {
            return Err(wrong);
        }
        let ledger: [u8; 32] = form.ledger.as_bytes().try_into().map_err(|_| wrong)?;
        let tls = Secret::new(form.tls.as_bytes().to_vec());
        let identity = Identity { ledger: Secret::new(ledger), tls, chain: form.chain };
        Ok(Self { member: form.member, identity })
    }

    /// The organisation's place on a ledger that was founded with it.
    #[must_use]
    pub fn on(self, genesis: Genesis, validators: Vec<String>) -> Membership {
        Membership { member: self.member, genesis, identity: self.identity, validators }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Enrolled {
    format: u8,
    member: MemberId,
    ledger: Opaque,
    tls: Opaque,
    chain: Vec<Opaque>,
}

fn key_pair(pem: &str) -> Result<KeyPair, MembershipError> {
    KeyPair::from_pem(pem).map_err(|e| MembershipError::CertificateKey(Some(e)))
}

fn proof_of(key: &KeyPair) -> Result<ProofAlgorithm, MembershipError> {
    let algorithm = key.algorithm();
    [
        (&rcgen::PKCS_ED25519, ProofAlgorithm::Ed25519),
        (&rcgen::PKCS_ECDSA_P256_SHA256, ProofAlgorithm::EcdsaP256Sha256),
        (&rcgen::PKCS_ECDSA_P384_SHA384, ProofAlgorithm::EcdsaP384Sha384),
        (&rcgen::PKCS_RSA_SHA256, ProofAlgorithm::RsaPkcs1Sha256),
    ]
    .into_iter()
    .find(|(known, _)| *known == algorithm)
    .map(|(_, proof)| proof)
    .ok_or(MembershipError::CertificateKey(None))
}

fn io(path: PathBuf) -> impl FnOnce(std::io::Error) -> MembershipError {
    move |source| MembershipError::Io { path, source }
}

fn aad(site: &Site) -> Aad {
    Aad::new("salus membership v1", &[site.config.holder.as_str().as_bytes()])
}

impl Site {
    fn ledger_folder(&self, config: &LedgerConfig) -> PathBuf {
        self.folder.join(&config.folder)
    }

    /// Puts a membership into the site: sealed under its key store, with `[ledger]` added to its
    /// configuration.
    ///
    /// # Errors
    /// When the site is on a ledger already, the membership is another's, or nothing can be
    /// written.
    pub async fn join_ledger(&self, membership: &Membership) -> Result<(), MembershipError> {
        if self.config.ledger.is_some() {
            return Err(MembershipError::Joined);
        }
        let (holder, member) = (self.config.holder.clone(), membership.member.clone());
        if member.as_str() != holder.as_str() {
            return Err(MembershipError::OtherMember { member, holder });
        }
        let config = LedgerConfig::of(membership.validators.clone())?;
        let folder = self.ledger_folder(&config);
        crate::site::make_private_folder(&folder).map_err(io(folder.clone()))?;
        self.keep_membership(&folder, membership).await?;
        let path = folder.join(GENESIS_FILE);
        let genesis = cbor::encode(&membership.genesis)?;
        crate::staff::write_private(&path, &genesis).map_err(io(path.clone()))?;
        Ok(Config::add_ledger(&self.folder, &config)?)
    }

    async fn keep_membership(
        &self,
        folder: &Path,
        membership: &Membership,
    ) -> Result<(), MembershipError> {
        let bytes = membership.encode()?;
        let path = folder.join(MEMBERSHIP_FILE);
        let sealed = seal_object(&*self.keys, &self.master, &aad(self), &bytes)
            .await
            .map_err(|source| MembershipError::Sealed { path: path.clone(), source })?;
        crate::staff::write_private(&path, &sealed).map_err(io(path))
    }

    /// Takes other keys of the same organisation on the same ledger, as after a renewal of its
    /// certificate; the ones before are gone from the site. The validators stay those of its
    /// configuration.
    ///
    /// # Errors
    /// When the site is on no ledger, the keys are for another ledger or organisation, or nothing
    /// can be written.
    pub async fn renew_membership(&self, renewed: &Membership) -> Result<(), MembershipError> {
        let known = self.membership().await?;
        if known.member != renewed.member {
            let (holder, member) = (self.config.holder.clone(), renewed.member.clone());
            return Err(MembershipError::OtherMember { member, holder });
        }
        if known.genesis.ledger_id()? != renewed.genesis.ledger_id()? {
            return Err(MembershipError::OtherLedger);
        }
        let config = self.config.ledger.as_ref().ok_or(MembershipError::None)?;
        self.keep_membership(&self.ledger_folder(config), renewed).await
    }

    /// Readers of the ledger's explorer, one for each validator.
    ///
    /// # Errors
    /// As [`Site::ledger`].
    pub async fn explorers(&self) -> Result<Vec<ExplorerClient>, MembershipError> {
        let Membership { genesis, identity, validators, .. } = self.membership().await?;
        let reader = |url: &String| ExplorerClient::new(url, &genesis, &identity);
        validators.iter().map(|url| reader(url).map_err(MembershipError::from)).collect()
    }

    /// The site's place on its ledger, with the keys that were sealed under its key store, and the
    /// validators that its configuration names now.
    ///
    /// # Errors
    /// [`MembershipError::None`] when the site is on none; else when its keys do not open.
    pub async fn membership(&self) -> Result<Membership, MembershipError> {
        let config = self.config.ledger.as_ref().ok_or(MembershipError::None)?;
        let path = self.ledger_folder(config).join(MEMBERSHIP_FILE);
        let sealed = std::fs::read(&path)
            .map_err(|source| MembershipError::Io { path: path.clone(), source })?;
        let bytes = open_sealed(&*self.keys, &self.master, &aad(self), &sealed)
            .await
            .map_err(|source| MembershipError::Sealed { path, source })?;
        let validators = config.validators.clone();
        Ok(Membership { validators, ..Membership::decode(&bytes)? })
    }

    /// The site's hand on its ledger. Nothing is asked over the network yet.
    ///
    /// # Errors
    /// [`MembershipError::None`] when the site is on none; else when its keys do not open.
    pub async fn ledger(&self) -> Result<HolderLedger, MembershipError> {
        let Membership { member, genesis, identity, validators } = self.membership().await?;
        let client = LedgerClient::new(&validators, &genesis, &identity)?;
        Ok(HolderLedger::new((member, genesis), client, identity, Arc::clone(&self.clock)))
    }
}
