//! Several holders answer as if their rows were one dataset (joint mode): who says what to whom.
//!
//! ```text
//! hub ──Invitation──▶ holders: charge once, then a SealedShare for each party
//! hub ──SealedShares──▶ parties: Readiness, and once all are ready their sums
//! hub: the parties' sums together are the noisy total, and nothing else can be read
//! ```
//!
//! No socket and no clock: each machine takes a message and says what is to be sent. What is added
//! up, and how much noise each holder adds, is [`salus_dp::joint`]'s.
//!
//! # Privacy
//! Against the hub, the network, and all parties but one: the total alone, with noise sized for the
//! honest holders. Parties hold keys of their own and are run by different organisations; that one
//! of them follows the protocol is what it rests on. Shares are sealed to their party and signed by
//! their holder over the whole invitation, so that a hub can neither read nor replace them, nor make
//! parties add up different sets of holders. A party reveals one sum in a round, and so one total of
//! a round becomes known: a rerun without a failed holder is the same release, charged once.

use std::collections::{BTreeMap, BTreeSet};

use salus_crypto::aead::Aad;
use salus_crypto::hpke::{RecipientKey, RecipientPublicKey, SealFailed};
use salus_crypto::{Digest, Signature, SigningKey, VerifyingKey};
use salus_dp::joint::{JointError, JointPlan, JointRule, Share};
use salus_dp::{Cost, Noised, Partial, Plan};
use salus_model::{Class, Classified, Entropy, HolderId, JobId};
use serde::{Deserialize, Serialize};

const DOMAIN: &str = "salus joint share v1";

/// What a hub asks of the holders, and the parties see too.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Invitation {
    /// The round: one question, one release, one charge.
    pub round: JobId,
    /// Which attempt at it, from 1.
    pub attempt: u32,
    /// The question's digest, as the person signed it.
    pub question: Digest,
    /// Who is to answer.
    pub holders: BTreeSet<HolderId>,
    /// How many of them may withhold their noise.
    pub dishonest: u32,
    /// How many of them may know the same unit.
    pub unit_holders: u32,
    /// A public bound on the rows of all of them.
    pub most_rows: u64,
    /// The parties' keys, in the parties' order.
    pub parties: Vec<RecipientPublicKey>,
}

/// Why a message is refused.
#[derive(Debug, thiserror::Error)]
pub enum JointRefused {
    /// The invitation is not for this holder or party, or for somebody who is not known.
    #[error(
        "the invitation names a holder or party that is not known here, or leaves this one out"
    )]
    NotInvited,
    /// The invitation relies on fewer honest holders than this one accepts.
    #[error("the invitation relies on {found} honest holders; {wanted} are the fewest here")]
    TooFewHonest {
        /// How many it relies on.
        found: u32,
        /// How many this holder wants.
        wanted: u32,
    },
    /// The round was another question or price before.
    #[error("this round was another question, or came at another price, before")]
    OtherRound,
    /// The attempt is not newer than one that was answered.
    #[error("this attempt was answered already, or is older than one that was")]
    OldAttempt,
    /// A share's seal or signature does not hold, or it is for another attempt.
    #[error("the share is not one that the holder made for this party and this attempt")]
    Share,
    /// A holder sent two different shares.
    #[error("a holder sent two different shares")]
    TwoShares,
    /// A sum of this round was revealed for another attempt.
    #[error("a sum of this round has been revealed; there is no second one")]
    Revealed,
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
            Self::NotInvited | Self::TooFewHonest { .. } | Self::Revealed => Class::Refused,
            Self::OtherRound | Self::OldAttempt | Self::Share | Self::TwoShares => Class::Peer,
            Self::Joint(e) => e.class(),
            Self::Seal(_) => Class::Unavailable,
            Self::Write(_) => Class::Bug,
        }
    }
}

/// The holders that are known, each with the key that the ledger has of it.
pub type Directory = BTreeMap<HolderId, VerifyingKey>;

impl Invitation {
    fn rule(&self) -> Result<JointRule, JointError> {
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
        Ok(Digest::of_parts("salus joint invitation v1", &[&serde_json::to_vec(self)?]))
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

fn signed(invitation: &Digest, party: u8, sealed: &[u8]) -> Vec<u8> {
    [invitation.as_bytes().as_slice(), &[party], sealed].concat()
}

/// A holder in joint rounds: what it has been charged for, and which attempts it has answered.
pub struct HolderMachine {
    me: HolderId,
    key: SigningKey,
    fewest_honest: u32,
    rounds: BTreeMap<JobId, Given>,
}

struct Given {
    attempt: u32,
    question: Digest,
    cost: Cost,
    charged: bool,
}

/// An invitation that a holder follows, before its rows are read.
pub struct Turn {
    plan: JointPlan,
    invitation: Invitation,
    due: Option<Cost>,
}

/// A turn whose charge is on the ledger.
pub struct ChargedTurn {
    plan: JointPlan,
    invitation: Invitation,
}

impl HolderMachine {
    /// A holder that signs with `key`, and wants to rely on `fewest_honest` holders at least.
    #[must_use]
    pub const fn new(me: HolderId, key: SigningKey, fewest_honest: u32) -> Self {
        Self { me, key, fewest_honest, rounds: BTreeMap::new() }
    }

    /// Looks at an invitation to the question that `plan` is of.
    ///
    /// # Errors
    /// When it leaves this holder out, names unknown ones, relies on too few, or the round was
    /// something else before.
    pub fn accept(
        &mut self,
        invitation: Invitation,
        known: &Directory,
        plan: Plan,
    ) -> Result<Turn, JointRefused> {
        let all_known = invitation.holders.iter().all(|holder| known.contains_key(holder));
        if !all_known || !invitation.holders.contains(&self.me) {
            return Err(JointRefused::NotInvited);
        }
        let rule = invitation.rule()?;
        invitation.parties()?;
        let (found, wanted) = (rule.honest(), self.fewest_honest);
        if found < wanted {
            return Err(JointRefused::TooFewHonest { found, wanted });
        }
        let plan = JointPlan::new(plan, rule)?;
        let (cost, question) = (plan.cost(), invitation.question);
        let charged = match self.rounds.get(&invitation.round) {
            None => false,
            Some(given) if given.question != question || given.cost != cost => {
                return Err(JointRefused::OtherRound);
            }
            Some(given) if given.attempt >= invitation.attempt => {
                return Err(JointRefused::OldAttempt);
            }
            Some(given) => given.charged,
        };
        let attempt = invitation.attempt;
        let given = Given { attempt, question, cost, charged };
        self.rounds.insert(invitation.round.clone(), given);
        Ok(Turn { plan, invitation, due: (!charged).then_some(cost) })
    }

    /// Notes that what a turn has to pay is on the ledger.
    #[must_use]
    pub fn charged(&mut self, turn: Turn) -> ChargedTurn {
        if let Some(given) = self.rounds.get_mut(&turn.invitation.round) {
            given.charged = true;
        }
        ChargedTurn { plan: turn.plan, invitation: turn.invitation }
    }

    /// This holder's shares, one for each party.
    ///
    /// # Privacy
    /// [`JointPlan::contribute`]; each share is readable by its party alone.
    ///
    /// # Errors
    /// When the partial is another question's, or randomness fails.
    pub fn contribute(
        &self,
        turn: ChargedTurn,
        partial: Partial,
        entropy: &mut dyn Entropy,
    ) -> Result<Vec<SealedShare>, JointRefused> {
        let ChargedTurn { plan, invitation } = turn;
        let digest = invitation.digest()?;
        let shares = plan.contribute(partial, invitation.parties()?, entropy)?;
        let mut sealed_shares = Vec::with_capacity(shares.len());
        for (share, key) in shares.into_iter().zip(&invitation.parties) {
            let party = share.party();
            let info = bound(&digest, &self.me, party);
            let sealed = key.seal(entropy, &info, &[], &serde_json::to_vec(&share)?)?;
            let signature = self.key.sign(DOMAIN, &signed(&digest, party, &sealed));
            let signature = signature.to_bytes().to_vec();
            sealed_shares.push(SealedShare { holder: self.me.clone(), party, sealed, signature });
        }
        Ok(sealed_shares)
    }
}

impl Turn {
    /// What the account has to be charged before a share leaves; nothing in a rerun.
    #[must_use]
    pub const fn due(&self) -> Option<Cost> {
        self.due
    }

    /// An empty partial result, to be filled from the holder's rows.
    #[must_use]
    pub fn partial(&self) -> Partial {
        self.plan.partial()
    }
}

/// Whether a party has every holder's share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Readiness {
    /// It has.
    Ready,
    /// It waits for these.
    Waits(BTreeSet<HolderId>),
}

/// A party in joint rounds: which sums it has revealed.
pub struct PartyMachine {
    key: RecipientKey,
    revealed: BTreeMap<JobId, Digest>,
}

/// What a party has of one attempt.
pub struct Collecting {
    invitation: Invitation,
    digest: Digest,
    party: u8,
    shares: BTreeMap<HolderId, Share>,
}

impl PartyMachine {
    /// A party with this key.
    #[must_use]
    pub const fn new(key: RecipientKey) -> Self {
        Self { key, revealed: BTreeMap::new() }
    }

    /// Begins to collect the shares of an attempt.
    ///
    /// # Errors
    /// When the invitation leaves this party out or names unknown holders, or a sum of the round
    /// has been revealed.
    pub fn begin(
        &self,
        invitation: Invitation,
        known: &Directory,
    ) -> Result<Collecting, JointRefused> {
        invitation.parties()?;
        invitation.rule()?;
        let own = self.key.public_key();
        let place = invitation.parties.iter().position(|key| *key == own);
        let party = place.and_then(|place| u8::try_from(place).ok());
        let all_known = invitation.holders.iter().all(|holder| known.contains_key(holder));
        let party = party.filter(|_| all_known).ok_or(JointRefused::NotInvited)?;
        let digest = invitation.digest()?;
        if self.revealed.get(&invitation.round).is_some_and(|d| *d != digest) {
            return Err(JointRefused::Revealed);
        }
        Ok(Collecting { invitation, digest, party, shares: BTreeMap::new() })
    }

    /// Takes a share in.
    ///
    /// # Errors
    /// When it was not made for this party and attempt by an invited holder, or is a second one.
    pub fn receive(
        &self,
        collecting: &mut Collecting,
        known: &Directory,
        share: &SealedShare,
    ) -> Result<Readiness, JointRefused> {
        let Collecting { invitation, digest, party, shares } = collecting;
        let invited = invitation.holders.contains(&share.holder) && share.party == *party;
        let verifier = known.get(&share.holder).filter(|_| invited).ok_or(JointRefused::Share)?;
        let signature: &[u8; 64] =
            share.signature.as_slice().try_into().map_err(|_| JointRefused::Share)?;
        let message = signed(digest, *party, &share.sealed);
        verifier
            .verify(DOMAIN, &message, &Signature::from_bytes(signature))
            .map_err(|_| JointRefused::Share)?;
        let info = bound(digest, &share.holder, *party);
        let plain = self.key.open(&info, &[], &share.sealed).map_err(|_| JointRefused::Share)?;
        let opened: Share = serde_json::from_slice(&plain).map_err(|_| JointRefused::Share)?;
        if opened.party() != *party || opened.holders() != 1 {
            return Err(JointRefused::Share);
        }
        match shares.get(&share.holder) {
            Some(before) if *before != opened => return Err(JointRefused::TwoShares),
            _ => {
                shares.insert(share.holder.clone(), opened);
            }
        }
        Ok(collecting.readiness())
    }

    /// The sum of the holders' shares, revealed for one attempt of a round.
    ///
    /// # Errors
    /// When shares are missing, do not belong together, or another attempt's sum was revealed.
    pub fn reveal(&mut self, collecting: &Collecting) -> Result<Share, JointRefused> {
        let round = &collecting.invitation.round;
        if self.revealed.get(round).is_some_and(|digest| *digest != collecting.digest) {
            return Err(JointRefused::Revealed);
        }
        if collecting.readiness() != Readiness::Ready {
            return Err(JointRefused::Share);
        }
        let sum = Share::sum(collecting.shares.values().cloned())?;
        self.revealed.insert(round.clone(), collecting.digest);
        Ok(sum)
    }
}

impl Collecting {
    /// Whether every invited holder's share is there.
    #[must_use]
    pub fn readiness(&self) -> Readiness {
        let missing = self.invitation.holders.iter().filter(|h| !self.shares.contains_key(h));
        let missing: BTreeSet<HolderId> = missing.cloned().collect();
        if missing.is_empty() { Readiness::Ready } else { Readiness::Waits(missing) }
    }
}

/// What a hub does when a holder fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnFailure {
    /// It asks the others again, as long as so many are left.
    RerunWithout {
        /// The fewest.
        fewest: u32,
    },
    /// The question fails.
    Fail,
}

/// What a hub is to do next.
#[derive(Debug, Clone, PartialEq)]
pub enum HubStep {
    /// Wait for more.
    Wait,
    /// Send this invitation to its holders and to all parties; shares of earlier ones are void.
    Invite(Box<Invitation>),
    /// Ask all parties to reveal their sums.
    Reveal,
    /// The answer is there, over the holders of the last invitation.
    Done(Box<Noised>),
    /// There is no answer: these failed, or the total is out of range.
    Failed {
        /// Who failed, in all attempts.
        failed: BTreeSet<HolderId>,
    },
}

/// The hub of one round. It sees sealed shares and the parties' sums.
pub struct HubMachine {
    invitation: Invitation,
    on_failure: OnFailure,
    failed: BTreeSet<HolderId>,
    ready: BTreeSet<u8>,
    revealing: bool,
    sums: BTreeMap<u8, Share>,
}

impl HubMachine {
    /// A round that begins with this invitation.
    #[must_use]
    pub const fn new(invitation: Invitation, on_failure: OnFailure) -> Self {
        Self {
            invitation,
            on_failure,
            failed: BTreeSet::new(),
            ready: BTreeSet::new(),
            revealing: false,
            sums: BTreeMap::new(),
        }
    }

    /// The invitation in force.
    #[must_use]
    pub const fn invitation(&self) -> &Invitation {
        &self.invitation
    }

    /// Who has failed so far; the answer names them.
    #[must_use]
    pub const fn failed(&self) -> &BTreeSet<HolderId> {
        &self.failed
    }

    /// Holders refused, or did not send their shares in time.
    ///
    /// Once sums are being revealed it is too late to ask again: no second total may become known.
    pub fn holders_failed(&mut self, holders: &BTreeSet<HolderId>) -> HubStep {
        let news: BTreeSet<HolderId> =
            holders.intersection(&self.invitation.holders).cloned().collect();
        if news.is_empty() || self.revealing {
            return HubStep::Wait;
        }
        self.failed.extend(news.iter().cloned());
        self.invitation.holders.retain(|holder| !news.contains(holder));
        let left = u32::try_from(self.invitation.holders.len()).unwrap_or(u32::MAX);
        let enough = match self.on_failure {
            OnFailure::Fail => false,
            OnFailure::RerunWithout { fewest } => left >= fewest,
        };
        self.invitation.unit_holders = self.invitation.unit_holders.min(left);
        if !enough || self.invitation.rule().is_err() {
            return HubStep::Failed { failed: self.failed.clone() };
        }
        self.invitation.attempt = self.invitation.attempt.saturating_add(1);
        self.ready.clear();
        self.sums.clear();
        HubStep::Invite(Box::new(self.invitation.clone()))
    }

    /// A party says whether it has every share of an attempt.
    pub fn readiness(&mut self, attempt: u32, party: u8, readiness: &Readiness) -> HubStep {
        if attempt != self.invitation.attempt || usize::from(party) >= self.invitation.parties.len()
        {
            return HubStep::Wait;
        }
        if *readiness == Readiness::Ready {
            self.ready.insert(party);
        }
        if self.ready.len() == self.invitation.parties.len() && !self.revealing {
            self.revealing = true;
            return HubStep::Reveal;
        }
        HubStep::Wait
    }

    /// A party reveals its sum; `plan` is the question's, made from the public profile.
    ///
    /// # Errors
    /// When the sums do not belong to the question.
    pub fn sum(
        &mut self,
        share: Share,
        plan: impl FnOnce() -> Plan,
    ) -> Result<HubStep, JointRefused> {
        if !self.revealing {
            return Ok(HubStep::Wait);
        }
        self.sums.insert(share.party(), share);
        if self.sums.len() < self.invitation.parties.len() {
            return Ok(HubStep::Wait);
        }
        let plan = JointPlan::new(plan(), self.invitation.rule()?)?;
        let sums: Vec<Share> = self.sums.values().cloned().collect();
        match plan.open(&sums) {
            Ok(noised) => Ok(HubStep::Done(Box::new(noised))),
            Err(JointError::OutOfRange) => Ok(HubStep::Failed { failed: self.failed.clone() }),
            Err(e) => Err(e.into()),
        }
    }
}
