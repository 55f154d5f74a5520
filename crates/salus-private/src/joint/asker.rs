use std::collections::{BTreeMap, BTreeSet};

use salus_dp::joint::{JointPlan, Share};
use salus_dp::{Noised, Plan};
use salus_model::HolderId;

use super::{Invitation, JointRefused, SealedShare, SumWanted};

/// What whoever asks gathers for one joint answer: sealed shares, and who failed.
///
/// It sees ciphertext and the parties' sums.
#[derive(Debug, Clone)]
pub struct Gathering {
    invitation: Invitation,
    given: BTreeMap<HolderId, Vec<SealedShare>>,
    failed: BTreeSet<HolderId>,
}

impl Gathering {
    /// A gathering that begins with this invitation.
    #[must_use]
    pub const fn new(invitation: Invitation) -> Self {
        Self { invitation, given: BTreeMap::new(), failed: BTreeSet::new() }
    }

    /// What holders were invited to.
    #[must_use]
    pub const fn invitation(&self) -> &Invitation {
        &self.invitation
    }

    /// A holder's shares arrived.
    ///
    /// # Errors
    /// When they are not one for each party, or not that holder's; it has failed then.
    pub fn give(
        &mut self,
        holder: &HolderId,
        shares: Vec<SealedShare>,
    ) -> Result<(), JointRefused> {
        let parties = self.invitation.parties()?;
        let of_each = shares.iter().map(|share| share.party).eq(0..parties);
        if !of_each || shares.iter().any(|share| share.holder != *holder) {
            self.fail(holder);
            return Err(JointRefused::Share { holder: holder.clone() });
        }
        self.given.insert(holder.clone(), shares);
        Ok(())
    }

    /// A holder refused, did not answer in time, or sent a share that a party does not believe.
    pub fn fail(&mut self, holder: &HolderId) {
        self.given.remove(holder);
        if self.invitation.holders.contains(holder) {
            self.failed.insert(holder.clone());
        }
    }

    /// Who has failed; the answer names them.
    #[must_use]
    pub const fn failed(&self) -> &BTreeSet<HolderId> {
        &self.failed
    }

    /// Whose shares are there.
    pub fn given(&self) -> impl Iterator<Item = &HolderId> {
        self.given.keys()
    }

    /// What a party is to add up, of all that is there.
    ///
    /// # Errors
    /// When more holders failed than the noise was sized for: the question fails, and asking again
    /// costs nothing where it was charged already.
    pub fn wanted(&self, party: u8) -> Result<SumWanted, JointRefused> {
        let (found, wanted) = (self.given.len(), self.invitation.rule()?.fewest());
        if u32::try_from(found).is_ok_and(|found| found < wanted) {
            return Err(JointRefused::TooFew { found, wanted });
        }
        let of_party = |shares: &Vec<SealedShare>| shares.get(usize::from(party)).cloned();
        Ok(SumWanted {
            invitation: self.invitation.clone(),
            holders: self.given.keys().cloned().collect(),
            shares: self.given.values().filter_map(of_party).collect(),
        })
    }

    /// The noisy total; `plan` is the question's, made from the public profile, and `sums` are in
    /// the parties' order.
    ///
    /// # Errors
    /// When a sum is missing, the sums do not belong together, or the total is out of range.
    pub fn total(&self, plan: Plan, sums: &[Share]) -> Result<Noised, JointRefused> {
        Ok(JointPlan::new(plan, self.invitation.rule()?)?.open(sums)?)
    }
}
