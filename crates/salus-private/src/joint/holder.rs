use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use salus_crypto::Digest;
use salus_crypto::hpke::RecipientPublicKey;
use salus_dp::joint::JointPlan;
use salus_dp::{Partial, Plan, PrivacyUnit};
use salus_model::{Entropy, HolderId, Timestamp};
use salus_spine::{Authority, Statement};

use super::{DOMAIN, Invitation, JointRefused, SealedShare, bound};

/// Under which conditions a holder answers jointly with others.
#[derive(Debug, Clone)]
pub struct HolderPolicy {
    /// How many honest holders it wants to rely on at least, itself among them.
    pub fewest_honest: u32,
    /// The parties that it trusts not to collude, each with its key.
    pub parties: BTreeMap<HolderId, RecipientPublicKey>,
}

/// What a holder signs: that a sealed share is its own, for this party and this invitation.
pub(super) struct ShareStatement<'a> {
    pub(super) holder: &'a HolderId,
    pub(super) invitation: &'a Digest,
    pub(super) party: u8,
    pub(super) sealed: &'a [u8],
}

impl Statement for ShareStatement<'_> {
    const DOMAIN: &'static str = DOMAIN;

    fn holder(&self) -> &HolderId {
        self.holder
    }

    fn valid(&self) -> Option<(Timestamp, Timestamp)> {
        None
    }

    fn digest(&self) -> Digest {
        let holder = self.holder.as_str().as_bytes();
        let parts: &[&[u8]] = &[self.invitation.as_bytes(), holder, &[self.party], self.sealed];
        Digest::of_parts("salus joint share statement v2", parts)
    }
}

/// A holder's part of a joint answer, before its rows are read.
pub struct Contribution {
    plan: JointPlan,
    invitation: Invitation,
    authority: Arc<Authority>,
}

impl std::fmt::Debug for Contribution {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Contribution({:?})", self.invitation)
    }
}

impl Contribution {
    /// Looks at an invitation to the question that `plan` is of.
    ///
    /// # Errors
    /// When it leaves `me` out, names a party that the policy does not trust, or relies on too few
    /// honest holders for the privacy unit.
    pub fn accept(
        invitation: Invitation,
        policy: &HolderPolicy,
        me: &HolderId,
        plan: Plan,
        authority: Arc<Authority>,
    ) -> Result<Self, JointRefused> {
        if !invitation.holders.contains(me) {
            return Err(JointRefused::NotInvited);
        }
        let rule = invitation.rule()?;
        invitation.parties()?;
        let trusted: BTreeSet<[u8; 32]> = policy.parties.values().map(|k| k.to_bytes()).collect();
        if let Some(foreign) = invitation.parties.iter().find(|k| !trusted.contains(&k.to_bytes()))
        {
            return Err(JointRefused::ForeignParty { party: foreign.to_string() });
        }
        let (found, wanted) = (rule.honest(), policy.fewest_honest);
        if found < wanted {
            return Err(JointRefused::TooFewHonest { found, wanted });
        }
        let holders = invitation.holders.len();
        let shared = usize::try_from(invitation.unit_holders).unwrap_or(usize::MAX);
        // A device stands in one hospital, and a hospital is one; a patient may go to each.
        if plan.unit() == PrivacyUnit::Patient && shared < holders {
            return Err(JointRefused::UnitHolders { holders });
        }
        let plan = JointPlan::new(plan, rule)?;
        Ok(Self { plan, invitation, authority })
    }

    /// Who is invited.
    #[must_use]
    pub const fn holders(&self) -> &BTreeSet<HolderId> {
        &self.invitation.holders
    }

    /// An empty partial result, to be filled from the holder's rows.
    #[must_use]
    pub fn partial(&self) -> Partial {
        self.plan.partial()
    }

    /// This holder's shares, one for each party. They are to be charged before they leave.
    ///
    /// # Privacy
    /// [`JointPlan::contribute`]; each share is readable by its party alone. Uses the contribution up:
    /// the same invitation is answered with the same bytes, which whoever charges for them keeps.
    ///
    /// # Errors
    /// When the partial is another question's, or randomness fails.
    pub fn shares(
        self,
        partial: Partial,
        entropy: &mut dyn Entropy,
    ) -> Result<Vec<SealedShare>, JointRefused> {
        let Self { plan, invitation, authority } = self;
        let digest = invitation.digest()?;
        let me = authority.verifier().holder().clone();
        let shares = plan.contribute(partial, invitation.parties()?, entropy)?;
        let mut sealed_shares = Vec::with_capacity(shares.len());
        for (share, key) in shares.into_iter().zip(&invitation.parties) {
            let party = share.party();
            let info = bound(&digest, &me, party);
            let sealed = key.seal(entropy, &info, &[], &serde_json::to_vec(&share)?)?;
            let statement =
                ShareStatement { holder: &me, invitation: &digest, party, sealed: &sealed };
            let signature = authority.sign(statement).signature().to_bytes().to_vec();
            sealed_shares.push(SealedShare { holder: me.clone(), party, sealed, signature });
        }
        Ok(sealed_shares)
    }
}
