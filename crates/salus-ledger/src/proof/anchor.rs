use std::collections::BTreeSet;

use salus_model::{Class, Classified};
use serde::{Deserialize, Serialize};

use crate::block::{BlockHeader, Certificate, CertificateError};
use crate::cbor::CborError;
use crate::config::PlatformConfig;
use crate::genesis::Genesis;
use crate::words::{ConfigHash, Height, LedgerId, PublicKey};

/// What an auditor trusts to begin with: a ledger and its validators.
///
/// The ledger's id is the hash of its genesis, so the genesis file alone makes an anchor; later
/// validators follow from it by [`Handover`]s that the earlier ones signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrustAnchor {
    ledger: LedgerId,
    config: ConfigHash,
    after: Height,
    validators: BTreeSet<PublicKey>,
}

/// Why an anchor does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AnchorError {
    /// It cannot be encoded.
    #[error("the genesis cannot be encoded")]
    Encoding(#[from] CborError),
    /// A handover of other validators, or of another configuration.
    #[error("the handover at block {height} is not signed by the validators before it")]
    NotSigned {
        /// The block.
        height: Height,
        /// What is wrong with the signatures.
        #[source]
        source: FinalityError,
    },
    /// A configuration that is not the one in the header.
    #[error("the handover's configuration is not the one that block {height} made effective")]
    OtherConfig {
        /// The block.
        height: Height,
    },
    /// A handover from before the anchor.
    #[error("the handover at block {height} is older than what is trusted already")]
    Older {
        /// The block.
        height: Height,
    },
}

impl Classified for AnchorError {
    fn class(&self) -> Class {
        Class::Peer
    }
}

impl TrustAnchor {
    /// Trusts the ledger that begins so.
    ///
    /// # Errors
    /// None in practice: a genesis can always be encoded.
    pub fn from_genesis(genesis: &Genesis) -> Result<Self, AnchorError> {
        Ok(Self {
            ledger: genesis.ledger_id()?,
            config: genesis.config.hash()?,
            after: Height::GENESIS,
            validators: genesis.config.validator_keys(),
        })
    }

    /// The ledger.
    #[must_use]
    pub const fn ledger(&self) -> &LedgerId {
        &self.ledger
    }

    /// The validators whose votes count.
    #[must_use]
    pub const fn validators(&self) -> &BTreeSet<PublicKey> {
        &self.validators
    }

    /// Trusts the validators that the present ones handed over to.
    ///
    /// # Errors
    /// When the present ones did not sign it, or it names another configuration.
    pub fn follow(&self, handover: &Handover) -> Result<Self, AnchorError> {
        let header = &handover.finality.header;
        let height = header.height;
        if height <= self.after {
            return Err(AnchorError::Older { height });
        }
        let signed = handover.finality.verify(self);
        signed.map_err(|source| AnchorError::NotSigned { height, source })?;
        let config = handover.config.hash()?;
        if config != header.config {
            return Err(AnchorError::OtherConfig { height });
        }
        Ok(Self {
            ledger: self.ledger,
            config,
            after: height,
            validators: handover.config.validator_keys(),
        })
    }
}

/// A block that made another configuration effective, final under the one before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Handover {
    /// The block.
    pub finality: FinalityProof,
    /// The configuration after it.
    pub config: PlatformConfig,
}

/// A header and the votes that make it final.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FinalityProof {
    /// The header.
    pub header: BlockHeader,
    /// The votes.
    pub certificate: Certificate,
}

/// Why a block is not final.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FinalityError {
    /// A block of another ledger.
    #[error("the block is of ledger {found}, trusted is {wanted}")]
    OtherLedger {
        /// The block's ledger.
        found: LedgerId,
        /// The anchor's ledger.
        wanted: LedgerId,
    },
    /// A block from before the validators that are trusted.
    #[error("block {height} is older than the validators that are trusted")]
    Older {
        /// The block.
        height: Height,
    },
    /// Too few votes, or wrong ones.
    #[error("the votes do not make the block final")]
    Certificate(#[from] CertificateError),
}

impl Classified for FinalityError {
    fn class(&self) -> Class {
        Class::Peer
    }
}

impl FinalityProof {
    /// Accepts when enough of the anchor's validators voted for the header.
    ///
    /// # Errors
    /// For another ledger, an older block, or votes that do not suffice.
    pub fn verify(&self, anchor: &TrustAnchor) -> Result<(), FinalityError> {
        let (found, wanted) = (self.header.ledger, anchor.ledger);
        if found != wanted {
            return Err(FinalityError::OtherLedger { found, wanted });
        }
        if self.header.height <= anchor.after {
            return Err(FinalityError::Older { height: self.header.height });
        }
        Ok(self.certificate.verify(&self.header, &anchor.validators)?)
    }
}
