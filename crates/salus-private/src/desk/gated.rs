//! Results without a bound: computed and held until reviewers have decided, and handed out when a
//! receipt names their approvals.
//!
//! What waits lies with whoever asked the desk ([`HeldResult`]), and comes back to it: days may pass,
//! and the process with them.

use salus_crypto::{Digest, OsEntropy};
use salus_ledger::Opaque;
use salus_ledger::call::Release;
use salus_ledger::review::Reviewed;
use salus_spine::{
    Held, InputRead, OnPremises, PermitChecked, PremisesStatement, ReleaseApproved, ReviewCopy,
    Scope, SealedResult, Secondary, SecondaryClearance, SignedRequest, release, seal_for_review,
};
use salus_store::audit::Outcome;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{Admitted, Desk, DeskError, PREMISES_MICROS, Reply, Work, input};
use crate::job::Job;

/// A result that waits for the release gate, in the form in which it is kept.
///
/// # Privacy
/// The result is sealed to the permit's person and once more to the holder; the copy is sealed to
/// the holder. Both open in a desk of the holder alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeldResult {
    memory: Digest,
    held: Opaque,
    read: InputRead,
    copy: Opaque,
}

impl HeldResult {
    /// What it is the result of: the job, the person, the versions of the datasets, the epoch of
    /// the opt-outs. When any of them is another, so is this, and the result is out of date.
    #[must_use]
    pub const fn memory(&self) -> &Digest {
        &self.memory
    }
}

/// What came of a job that goes before reviewers.
pub enum Gated {
    /// It is what is held already; nothing was read.
    Known,
    /// It was computed, with the checks' report, and waits.
    Held {
        /// The result.
        result: Box<HeldResult>,
        /// The checks' report, for the reviewers.
        checks: Vec<u8>,
    },
}

impl Desk {
    /// Computes a job whose result goes before reviewers, unless it is the one that `known` names;
    /// either is in the access log. Nothing is charged, and nothing goes out.
    ///
    /// # Errors
    /// As [`Desk::answer`]: the permit, the opt-outs and the ledger's present state are verified
    /// whether or not the result is held already.
    pub async fn for_review(
        &self,
        request: &SignedRequest,
        job: Box<dyn Job>,
        known: Option<&Digest>,
    ) -> Result<Gated, DeskError> {
        let (statement, columns) = (job.statement(), job.wanted());
        let gated = self.hold(request, Work::Job(job), known).await;
        let outcome = match &gated {
            Ok(Gated::Known) => Ok(Outcome::Answered { rows: 0 }),
            Ok(Gated::Held { .. }) => Ok(Outcome::Answered { rows: 1 }),
            Err(error) => Err(error),
        };
        self.log(request, statement, columns, outcome).await?;
        gated
    }

    async fn hold(
        &self,
        request: &SignedRequest,
        work: Work,
        known: Option<&Digest>,
    ) -> Result<Gated, DeskError> {
        let (permit, admitted) = self.admitted(request, &work).await?;
        if known == Some(&admitted.memory) {
            return Ok(Gated::Known);
        }
        self.compute_and_hold(permit, work, admitted).await
    }

    async fn compute_and_hold(
        &self,
        permit: PermitChecked<Secondary>,
        work: Work,
        admitted: Admitted,
    ) -> Result<Gated, DeskError> {
        let key_release = self.key_release(permit, &admitted)?;
        let Admitted { versions, memory, .. } = admitted;
        let session = self.parts.lake.open_at(key_release, &versions).await?;
        let read = input(&session.versions())?;
        let checked = work.compute(session, self.parts.partitions).await?;
        let key = &self.parts.keeping;
        let waits = seal_for_review(checked, key, &mut OsEntropy)?;
        let result = HeldResult {
            memory,
            held: Opaque::new(waits.held.keep(key, &mut OsEntropy)?),
            read,
            copy: Opaque::new(waits.copy.into_bytes()),
        };
        Ok(Gated::Held { result: Box::new(result), checks: waits.checks })
    }

    fn taken_up(&self, result: &HeldResult) -> Result<Held<SealedResult, Secondary>, DeskError> {
        let (holder, key) = (self.parts.lake.holder(), &self.parts.keeping);
        Ok(Held::resume(result.held.as_bytes(), holder, key)?)
    }

    /// What the ledger has to record about a held result, word for word: without a review what is
    /// submitted for one, with it what is released.
    ///
    /// # Errors
    /// When the result does not open.
    pub fn wanted(
        &self,
        result: &HeldResult,
        review: Option<Reviewed>,
    ) -> Result<Release, DeskError> {
        Ok(self.taken_up(result)?.receipt_wanted(&result.read, review)?)
    }

    /// Hands a held result out, once a receipt proves that reviewers approved exactly it.
    ///
    /// # Errors
    /// When the receipt does not verify, is of another result, or names no review.
    pub fn hand_out_reviewed(
        &self,
        result: &HeldResult,
        receipt: Vec<u8>,
    ) -> Result<(Reply, Reviewed), DeskError> {
        let held = self.taken_up(result)?;
        let (approved, on_record) = ReleaseApproved::verify(&receipt, &self.parts.anchor, &held)?;
        let reviewed = approved.reviewed().clone();
        let (charges, deal) = (held.charges().clone(), held.deal().clone());
        let sealed = release(held, SecondaryClearance::Approved(approved), on_record)?.into_inner();
        let salt = *sealed.salt();
        let message = sealed.into_message();
        Ok((Reply { deal, message, salt, receipt, charges, memory: result.memory }, reviewed))
    }

    /// Opens the copy of what waits, on the holder's own premises, for the holder's own people. The
    /// caller puts on record who looks, before they do.
    ///
    /// # Errors
    /// When the copy is of another result, or was altered.
    pub fn look(&self, result: &HeldResult) -> Result<Zeroizing<Vec<u8>>, DeskError> {
        let held = self.taken_up(result)?;
        let scope = Scope::new(self.parts.lake.holder().clone(), held.deal().clone());
        let issued = self.parts.clock.now();
        let expires = issued.saturating_add_micros(PREMISES_MICROS);
        let statement = self.parts.authority.sign(PremisesStatement { scope, issued, expires });
        let premises = OnPremises::verify(&statement, &self.parts.authority.verifier(), issued)?;
        let copy = ReviewCopy::from_bytes(result.copy.as_bytes().to_vec());
        Ok(copy.open(&held, &premises, &self.parts.keeping)?)
    }
}
