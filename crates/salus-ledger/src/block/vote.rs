use std::collections::{BTreeMap, BTreeSet};

use salus_model::{Class, Classified};
use serde::{Deserialize, Serialize};

use super::BlockHeader;
use crate::config::quorum;
use crate::sign::{self, ForgedSignature, Signer};
use crate::words::{BlockHash, Height, LedgerId, PublicKey, SignatureBytes};

const VOTE: &[u8] = b"salus-ledger/vote/v1\0";

/// A validator's vote for a block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vote {
    /// The block's height.
    pub height: Height,
    /// The block's hash.
    pub block: BlockHash,
    /// Who votes.
    pub validator: PublicKey,
    /// The signature over ledger, height and hash.
    pub signature: SignatureBytes,
}

fn message(ledger: &LedgerId, height: Height, block: &BlockHash) -> Vec<u8> {
    [VOTE, ledger.as_bytes(), &height.get().to_be_bytes(), block.as_bytes()].concat()
}

impl Vote {
    /// Votes for a block. A validator calls this at most once per height, and remembers the vote
    /// durably before it is sent.
    #[must_use]
    pub fn cast(signer: &Signer, ledger: &LedgerId, height: Height, block: BlockHash) -> Self {
        let signature = signer.sign(&message(ledger, height, &block));
        Self { height, block, validator: signer.public_key(), signature }
    }

    /// Checks the signature.
    ///
    /// # Errors
    /// When it is forged, or made for another ledger, height or block.
    pub fn verify(&self, ledger: &LedgerId) -> Result<(), ForgedSignature> {
        let message = message(ledger, self.height, &self.block);
        sign::verify(&self.validator, &message, &self.signature)
    }
}

/// Votes of enough validators for one block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Certificate {
    /// The height.
    pub height: Height,
    /// The block.
    pub block: BlockHash,
    /// Validator by validator.
    pub votes: BTreeMap<PublicKey, SignatureBytes>,
}

/// Why a certificate makes nothing final.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// It is for another block.
    #[error("the certificate is for another block")]
    OtherBlock,
    /// A signer is no validator.
    #[error("key {key} is no validator of this block")]
    NoValidator {
        /// The key.
        key: PublicKey,
    },
    /// A vote is forged.
    #[error("the vote of {key} is forged")]
    Forged {
        /// The key.
        key: PublicKey,
    },
    /// Too few votes.
    #[error("{votes} votes are too few; {wanted} of {validators} validators have to vote")]
    TooFew {
        /// How many there are.
        votes: usize,
        /// How many are needed.
        wanted: usize,
        /// How many validators there are.
        validators: usize,
    },
}

impl Classified for CertificateError {
    fn class(&self) -> Class {
        Class::Peer
    }
}

impl Certificate {
    /// Accepts when enough of `validators` voted for this very header. Pure: needs no state.
    ///
    /// # Errors
    /// Names the vote that does not count, or how many are missing.
    ///
    /// # Cost
    /// One Ed25519 verification per vote.
    pub fn verify(
        &self,
        header: &BlockHeader,
        validators: &BTreeSet<PublicKey>,
    ) -> Result<(), CertificateError> {
        let hash = header.hash().map_err(|_| CertificateError::OtherBlock)?;
        if self.height != header.height || self.block != hash {
            return Err(CertificateError::OtherBlock);
        }
        let wanted = quorum(validators.len());
        if self.votes.len() < wanted {
            let (votes, validators) = (self.votes.len(), validators.len());
            return Err(CertificateError::TooFew { votes, wanted, validators });
        }
        let message = message(&header.ledger, header.height, &hash);
        for (key, signature) in &self.votes {
            if !validators.contains(key) {
                return Err(CertificateError::NoValidator { key: *key });
            }
            sign::verify(key, &message, signature)
                .map_err(|_| CertificateError::Forged { key: *key })?;
        }
        Ok(())
    }
}

/// Two votes of one validator for different blocks of one height: misbehaviour that anyone can
/// check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Equivocation {
    first: Vote,
    second: Vote,
}

/// Why two votes prove nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EquivocationError {
    /// Different validators, different heights, or the same block.
    #[error("the votes are not of one validator for two blocks of one height")]
    NoConflict,
    /// A vote is forged, or of another ledger.
    #[error("a vote is forged, or of another ledger")]
    Forged,
}

impl Classified for EquivocationError {
    fn class(&self) -> Class {
        Class::BadRequest
    }
}

impl Equivocation {
    /// Puts two votes together.
    #[must_use]
    pub fn new(first: Vote, second: Vote) -> Self {
        if first.block <= second.block {
            Self { first, second }
        } else {
            Self { first: second, second: first }
        }
    }

    /// Whose votes they are.
    #[must_use]
    pub const fn validator(&self) -> &PublicKey {
        &self.first.validator
    }

    /// Accepts when the validator really voted for both.
    ///
    /// # Errors
    /// When there is no conflict, or a vote is forged.
    pub fn verify(&self, ledger: &LedgerId) -> Result<(), EquivocationError> {
        let (a, b) = (&self.first, &self.second);
        let conflict = a.validator == b.validator && a.height == b.height && a.block < b.block;
        if !conflict {
            return Err(EquivocationError::NoConflict);
        }
        a.verify(ledger).and_then(|()| b.verify(ledger)).map_err(|_| EquivocationError::Forged)
    }
}

/// Why a vote is not counted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VoteRefused {
    /// Not a validator.
    #[error("key {key} is no validator")]
    NoValidator {
        /// The key.
        key: PublicKey,
    },
    /// For another height.
    #[error("the vote is for block {found}, votes are collected for block {wanted}")]
    OtherHeight {
        /// The vote's height.
        found: Height,
        /// The height at hand.
        wanted: Height,
    },
    /// The signature is forged.
    #[error("the vote of {key} is forged")]
    Forged {
        /// The key.
        key: PublicKey,
    },
    /// The validator voted for another block before.
    #[error("validator {key} voted for two blocks of height {height}")]
    Equivocation {
        /// The key.
        key: PublicKey,
        /// The height.
        height: Height,
        /// The proof.
        evidence: Box<Equivocation>,
    },
}

impl Classified for VoteRefused {
    fn class(&self) -> Class {
        Class::Peer
    }
}

/// Collects the votes of one height until a block has enough.
#[derive(Debug, Clone)]
pub struct VoteCollector {
    ledger: LedgerId,
    height: Height,
    validators: BTreeSet<PublicKey>,
    votes: BTreeMap<PublicKey, Vote>,
}

impl VoteCollector {
    /// Collects for `height` from these validators.
    #[must_use]
    pub const fn new(ledger: LedgerId, height: Height, validators: BTreeSet<PublicKey>) -> Self {
        Self { ledger, height, validators, votes: BTreeMap::new() }
    }

    /// Counts a vote, and gives the certificate once its block has enough.
    ///
    /// # Errors
    /// When the vote does not count; a second one for another block comes back as evidence.
    pub fn add(&mut self, vote: Vote) -> Result<Option<Certificate>, VoteRefused> {
        let key = vote.validator;
        if !self.validators.contains(&key) {
            return Err(VoteRefused::NoValidator { key });
        }
        if vote.height != self.height {
            return Err(VoteRefused::OtherHeight { found: vote.height, wanted: self.height });
        }
        vote.verify(&self.ledger).map_err(|_| VoteRefused::Forged { key })?;
        if let Some(known) = self.votes.get(&key).filter(|known| known.block != vote.block) {
            let evidence = Box::new(Equivocation::new(known.clone(), vote));
            return Err(VoteRefused::Equivocation { key, height: self.height, evidence });
        }
        let block = vote.block;
        self.votes.insert(key, vote);
        Ok(self.certificate(block))
    }

    fn certificate(&self, block: BlockHash) -> Option<Certificate> {
        let votes: BTreeMap<_, _> = self
            .votes
            .values()
            .filter(|vote| vote.block == block)
            .map(|vote| (vote.validator, vote.signature))
            .collect();
        let enough = votes.len() >= quorum(self.validators.len());
        enough.then_some(Certificate { height: self.height, block, votes })
    }
}
