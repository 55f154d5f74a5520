use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use salus_crypto::hpke::{RecipientKey, RecipientPublicKey};
use salus_crypto::{Digest, Signature};
use salus_dp::joint::Share;
use salus_model::HolderId;
use salus_spine::Statement as _;
use serde::{Deserialize, Serialize};

use super::holder::ShareStatement;
use super::{DOMAIN, Directory, Invitation, JointRefused, SealedShare, bound};

/// What a party is asked to add up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SumWanted {
    /// What the shares were made for.
    pub invitation: Invitation,
    /// Whose shares are to be added up; all parties are asked for the same.
    pub holders: BTreeSet<HolderId>,
    /// Their shares for this party.
    pub shares: Vec<SealedShare>,
}

/// What a party has revealed for an invitation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revealed {
    /// Whose shares are in the sum.
    pub holders: BTreeSet<HolderId>,
    /// Which shares, byte for byte.
    pub shares: Digest,
}

/// A party's memory of what it has revealed. It outlives the process, and nothing is ever removed.
pub trait RevealLog: Send + Sync {
    /// Writes down what is about to be revealed for an invitation, on the disk before it returns,
    /// unless something stands there; returned is what stands there.
    ///
    /// # Errors
    /// When it cannot be written or read.
    fn first(&self, invitation: &Digest, revealed: &Revealed) -> std::io::Result<Revealed>;

    /// What was revealed for an invitation.
    ///
    /// # Errors
    /// When it cannot be read.
    fn look(&self, invitation: &Digest) -> std::io::Result<Option<Revealed>>;
}

/// A party that adds up shares, and reveals one sum for an invitation.
pub struct Party {
    key: RecipientKey,
    known: Directory,
    log: Arc<dyn RevealLog>,
}

impl Party {
    /// A party with its key, the holders that it knows, and its memory.
    #[must_use]
    pub fn new(key: RecipientKey, known: Directory, log: Arc<dyn RevealLog>) -> Self {
        Self { key, known, log }
    }

    /// The key that shares are sealed to.
    #[must_use]
    pub fn public_key(&self) -> RecipientPublicKey {
        self.key.public_key()
    }

    /// Whose shares are in the sum that was revealed for an invitation, if any was.
    ///
    /// # Errors
    /// When the memory cannot be read.
    pub fn revealed(
        &self,
        invitation: &Invitation,
    ) -> Result<Option<BTreeSet<HolderId>>, JointRefused> {
        let before = self.log.look(&invitation.digest()?).map_err(JointRefused::Log)?;
        Ok(before.map(|revealed| revealed.holders))
    }

    /// Whether the shares are all that they have to be; reveals nothing.
    ///
    /// # Errors
    /// Names the holder whose share is not its own, or says what else is missing.
    pub fn check(&self, wanted: &SumWanted) -> Result<(), JointRefused> {
        self.added_up(wanted).map(|_| ())
    }

    /// The sum of the holders' shares.
    ///
    /// # Privacy
    /// One sum for an invitation, for ever: the difference of two would be one hospital's number.
    ///
    /// # Errors
    /// As [`Party::check`], and when another sum was revealed.
    pub fn reveal(&self, wanted: &SumWanted) -> Result<Share, JointRefused> {
        let (sum, digest) = self.added_up(wanted)?;
        let shares: BTreeMap<&HolderId, &SealedShare> =
            wanted.shares.iter().map(|share| (&share.holder, share)).collect();
        let shares = serde_json::to_vec(&shares)?;
        let revealed = Revealed {
            holders: wanted.holders.clone(),
            shares: Digest::of_parts("salus joint revealed v2", &[&shares]),
        };
        let stands = self.log.first(&digest, &revealed).map_err(JointRefused::Log)?;
        if stands == revealed { Ok(sum) } else { Err(JointRefused::Revealed) }
    }

    fn added_up(&self, wanted: &SumWanted) -> Result<(Share, Digest), JointRefused> {
        let SumWanted { invitation, holders, shares } = wanted;
        invitation.parties()?;
        let rule = invitation.rule()?;
        let own = self.key.public_key();
        let place = invitation.parties.iter().position(|key| *key == own);
        let party = place.and_then(|place| u8::try_from(place).ok());
        let all_known = invitation.holders.iter().all(|holder| self.known.contains_key(holder));
        let party = party.filter(|_| all_known).ok_or(JointRefused::NotInvited)?;
        let given: BTreeSet<&HolderId> = shares.iter().map(|share| &share.holder).collect();
        let named: BTreeSet<&HolderId> = holders.intersection(&invitation.holders).collect();
        let enough = u32::try_from(named.len()).is_ok_and(|found| found >= rule.fewest());
        // One share of each, of invited holders alone.
        if !enough || given != named || given.len() != shares.len() || named.len() != holders.len()
        {
            return Err(JointRefused::TooFew { found: named.len(), wanted: rule.fewest() });
        }
        let digest = invitation.digest()?;
        let opened = shares.iter().map(|share| self.open(&digest, party, share));
        Ok((Share::sum(opened.collect::<Result<Vec<_>, _>>()?)?, digest))
    }

    /// A holder's share, once its signature and seal hold.
    fn open(
        &self,
        invitation: &Digest,
        party: u8,
        share: &SealedShare,
    ) -> Result<Share, JointRefused> {
        let SealedShare { holder, sealed, signature, .. } = share;
        let refused = || JointRefused::Share { holder: holder.clone() };
        let verifier = self.known.get(holder).ok_or_else(refused)?;
        let signature = <&[u8; 64]>::try_from(signature.as_slice()).map_err(|_| refused())?;
        let statement = ShareStatement { holder, invitation, party, sealed };
        verifier
            .verify(DOMAIN, statement.digest().as_bytes(), &Signature::from_bytes(signature))
            .map_err(|_| refused())?;
        let info = bound(invitation, holder, party);
        let plain = self.key.open(&info, &[], sealed).map_err(|_| refused())?;
        let opened: Share = serde_json::from_slice(&plain).map_err(|_| refused())?;
        if share.party == party && opened.party() == party && opened.holders() == 1 {
            Ok(opened)
        } else {
            Err(refused())
        }
    }
}
