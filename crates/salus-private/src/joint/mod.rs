//! Several holders answer as if their rows were one dataset (joint mode): who says what to whom.
//!
//! ```text
//! asker ──JointQuestion──▶ each holder: charged once, SealedShares for the parties
//! asker ──SumWanted──▶ each party: its sum of the shares, once for an invitation
//! asker: the parties' sums together are the noisy total, and nothing else can be read
//! ```
//!
//! No socket and no clock: each side takes a message and says what is to be sent. What is added up,
//! and how much noise each holder adds, is [`salus_dp::joint`]'s.
//!
//! # Privacy
//! Against whoever asks, the hub, the network, and all parties but one: the total alone, with noise
//! sized for the honest holders. Parties hold keys of their own and are run by different
//! organisations; that one of them follows the protocol is what it rests on. Shares are sealed to
//! their party and signed by their holder over the whole [`Invitation`], so that whoever carries them
//! can neither read nor replace them, nor make parties add up shares of different invitations.
//!
//! **Nothing is charged twice.** A holder gives one set of shares for an invitation, charged and
//! receipted as every release is; asked again it gives the same bytes for nothing. The noise is sized
//! for `holders − dishonest`, so that up to `dishonest` of them may fail or stay away: the others'
//! shares are added up without theirs, and nobody has to be asked again. When more fail, there is no
//! answer, and who asks once more pays those alone that had not answered. A party reveals one sum for
//! an invitation, so that no difference of two totals becomes known.

mod asker;
mod holder;
mod party;

use std::collections::{BTreeMap, BTreeSet};

use salus_crypto::aead::Aad;
use salus_crypto::hpke::{RecipientPublicKey, SealFailed};
use salus_crypto::{Digest, VerifyingKey};
use salus_dp::joint::{JointError, JointRule};
use salus_model::{Class, Classified, HolderId, JobId};
use serde::{Deserialize, Serialize};

pub use asker::Gathering;
pub use holder::{Contribution, HolderPolicy};
pub use party::{Party, RevealLog, Revealed, SumWanted};

const DOMAIN: &str = "salus joint share v2";

/// Who answers jointly, and how; holders and parties look at it before they take part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Invitation {
    /// Tells this answer from others to the same question: over other versions of the datasets, say.
    pub round: JobId,
    /// The question's digest.
    pub question: Digest,
    /// Who is to answer.
    pub holders: BTreeSet<HolderId>,
    /// How many of them may fail, withhold their noise, or tell of it.
    pub dishonest: u32,
    /// How many of them may know the same unit.
    pub unit_holders: u32,
    /// A public bound on the rows of all of them.
    pub most_rows: u64,
    /// The parties' keys, in the parties' order.
    pub parties: Vec<RecipientPublicKey>,
}

/// A question that several holders are to answer jointly; its text is what the person signs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JointQuestion {
    /// Who answers, and how.
    pub joint: Invitation,
    /// The question, as it would be asked of one holder.
    pub question: String,
}

/// Why a message is refused.
#[derive(Debug, thiserror::Error)]
pub enum JointRefused {
    /// This holder takes no part in joint answers.
    #[error("this holder takes no part in joint answers: its operator has named no parties")]
    NoJoint,
    /// The invitation leaves this holder or party out, or names a holder that it does not know.
    #[error(
        "the invitation names a holder that is not known here, or leaves this holder or party out"
    )]
    NotInvited,
    /// The invitation is for another question.
    #[error("the invitation is for another question than the one that came with it")]
    OtherQuestion,
    /// A party that this holder does not trust.
    #[error("the invitation names party {party}, which this holder does not trust")]
    ForeignParty {
        /// The party's key.
        party: String,
    },
    /// The invitation relies on fewer honest holders than this one accepts.
    #[error("the invitation relies on {found} honest holders; {wanted} are the fewest here")]
    TooFewHonest {
        /// How many it relies on.
        found: u32,
        /// How many this holder wants.
        wanted: u32,
    },
    /// One patient may be known to several of the holders.
    #[error(
        "a patient may be known to each of the {holders} holders, so the invitation has to say so"
    )]
    UnitHolders {
        /// How many holders.
        holders: usize,
    },
    /// A share's seal or signature does not hold, or it was made for something else.
    #[error("the share of {holder} is not one that it made for this party and this invitation")]
    Share {
        /// Whose share it is said to be.
        holder: HolderId,
    },
    /// Shares of too few holders, or not one of each.
    #[error("{found} holders' shares can be added up; {wanted} are the fewest for this noise")]
    TooFew {
        /// How many there are.
        found: usize,
        /// How many are needed.
        wanted: u32,
    },
    /// Another sum was revealed for this invitation.
    #[error("a sum was revealed for this invitation, and there is no second one")]
    Revealed,
    /// What was revealed cannot be looked up or written down, so nothing is revealed.
    #[error("what was revealed cannot be looked up or written down, so nothing is revealed")]
    Log(#[source] std::io::Error),
    /// The protocol refuses.
    #[error(transparent)]
    Joint(#[from] JointError),
    /// A share could not be sealed.
    #[error("a share cannot be sealed")]
    Seal(#[from] SealFailed),
    /// A message cannot be written, which is a bug.
    #[error("a message cannot be written")]
    Write(#[from] serde_json::Error),
}

impl Classified for JointRefused {
    fn class(&self) -> Class {
        match self {
            Self::OtherQuestion => Class::BadRequest,
            Self::NoJoint
            | Self::NotInvited
            | Self::ForeignParty { .. }
            | Self::TooFewHonest { .. }
            | Self::UnitHolders { .. }
            | Self::Revealed => Class::Refused,
            Self::Share { .. } => Class::Peer,
            Self::TooFew { .. } | Self::Log(_) => Class::Unavailable,
            Self::Joint(e) => e.class(),
            Self::Seal(_) => Class::Unavailable,
            Self::Write(_) => Class::Bug,
        }
    }
}

/// The holders that a party knows, each with the key that its authority signs with.
pub type Directory = BTreeMap<HolderId, VerifyingKey>;

impl Invitation {
    /// How the noise is shared out.
    ///
    /// # Errors
    /// When there are fewer than two holders, or nobody honest.
    pub fn rule(&self) -> Result<JointRule, JointError> {
        let holders = u32::try_from(self.holders.len()).map_err(|_| JointError::Holders)?;
        JointRule::new(holders, self.dishonest, self.unit_holders, self.most_rows)
    }

    fn parties(&self) -> Result<u8, JointError> {
        let keys: BTreeSet<[u8; 32]> = self.parties.iter().map(|key| key.to_bytes()).collect();
        // One key twice would be one party that sees both shares.
        if keys.len() != self.parties.len() || keys.len() < 2 {
            return Err(JointError::Parties);
        }
        u8::try_from(keys.len()).map_err(|_| JointError::Parties)
    }

    fn digest(&self) -> Result<Digest, JointRefused> {
        Ok(Digest::of_parts("salus joint invitation v2", &[&serde_json::to_vec(self)?]))
    }
}

/// One holder's share for one party, sealed to it and signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SealedShare {
    /// Whose share.
    pub holder: HolderId,
    /// For which party, counted from 0.
    pub party: u8,
    sealed: Vec<u8>,
    signature: Vec<u8>,
}

/// What a share is bound to.
fn bound(invitation: &Digest, holder: &HolderId, party: u8) -> Aad {
    Aad::new(DOMAIN, &[invitation.as_bytes(), holder.as_str().as_bytes(), &[party]])
}
