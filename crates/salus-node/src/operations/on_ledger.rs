//! What an operator does on the ledger: opt-outs, datasets, permits, reviews.

use std::sync::Arc;

use salus_ledger::DatasetRef;
use salus_ledger::call::{
    AdvanceOptOutEpoch, AmendPermit, Call as LedgerCall, GrantPermit, RefusePermit, RevokePermit,
};
use salus_ledger::proof::Fact;
use salus_model::{DatasetId, StaffId};
use salus_private::Desk;
use salus_spine::OptOutList;
use salus_store::audit::AccessKind;
use tokio::sync::Mutex;

use super::call::{OptOutChange, OptOutsShown, PermitCall, PermitDone, Reply, ReviewCall};
use super::{OperationError, Operations};
use crate::ledger::HolderLedger;
use crate::sharing::AccountTerms;

/// A running node's ledger and desk.
#[derive(Clone)]
pub struct OnLedger {
    ledger: Arc<HolderLedger>,
    desk: Arc<Desk>,
    /// One change of the opt-out list at a time.
    changing: Arc<Mutex<()>>,
}

impl OnLedger {
    /// The ledger and the desk of one node.
    #[must_use]
    pub fn new(ledger: Arc<HolderLedger>, desk: Arc<Desk>) -> Self {
        Self { ledger, desk, changing: Arc::default() }
    }

    /// The desk.
    #[must_use]
    pub const fn desk(&self) -> &Arc<Desk> {
        &self.desk
    }

    /// The ledger.
    #[must_use]
    pub const fn ledger(&self) -> &Arc<HolderLedger> {
        &self.ledger
    }
}

/// Without the type that a FHIR reference puts before an id.
fn bare(person: &str) -> &str {
    person.rsplit_once('/').map_or(person, |(_, id)| id)
}

/// Brings the ledger to the epoch of the list, where an earlier change got no further than the
/// disk.
async fn publish(ledger: &HolderLedger, list: &OptOutList) -> Result<(), OperationError> {
    let holder = ledger.member().clone();
    let state = ledger.state(&[Fact::OptOuts(holder.clone())]).await?;
    let published = state.opt_outs(&holder)?;
    let there = published.as_ref().map_or(0, |known| known.epoch);
    let same = published.is_none_or(|known| known.root == list.root());
    match list.epoch() {
        here if here == there && (same || here == 0) => Ok(()),
        here if here == there.saturating_add(1) => {
            let call = AdvanceOptOutEpoch { holder, epoch: here, root: list.root() };
            ledger.submit(call).await?;
            Ok(())
        }
        here => Err(OperationError::OptOutEpoch { here, there }),
    }
}

impl Operations {
    /// Puts an opt-out list on the ledger that a crash left on the disk alone.
    ///
    /// # Errors
    /// When list and ledger do not fit, or the ledger is out of reach.
    pub async fn publish_opt_outs(&self) -> Result<(), OperationError> {
        let list = self.site.opt_outs().await?;
        publish(&*self.ledger().await?, &list).await
    }

    async fn ledger(&self) -> Result<Arc<HolderLedger>, OperationError> {
        match &self.on_ledger {
            Some(on) => Ok(Arc::clone(&on.ledger)),
            None => Ok(Arc::new(self.site.ledger().await?)),
        }
    }

    pub(super) async fn opt_outs(
        &self,
        operator: &StaffId,
        change: OptOutChange,
    ) -> Result<Reply, OperationError> {
        // How many and never who: the access log is read by more people than the list.
        let statement = match &change {
            OptOutChange::List => "list those who opted out".to_owned(),
            OptOutChange::Add(people) => format!("opt out {} people", people.len()),
            OptOutChange::Withdraw(people) => {
                format!("withdraw the opt-out of {} people", people.len())
            }
        };
        let work = async {
            let changing = self.on_ledger.as_ref().map(|on| Arc::clone(&on.changing));
            let _mine = match &changing {
                Some(changing) => Some(changing.lock().await),
                None => None,
            };
            self.change_opt_outs(change).await
        };
        let shown = self.recorded(operator, AccessKind::Administration, statement, work).await?;
        Ok(Reply::OptOuts(shown))
    }

    async fn change_opt_outs(&self, change: OptOutChange) -> Result<OptOutsShown, OperationError> {
        let people = self.site.opted_out().await?;
        let (add, named) = match change {
            OptOutChange::List => {
                let epoch = self.site.opt_outs().await?.epoch();
                return Ok(OptOutsShown { epoch, people, changed: 0 });
            }
            OptOutChange::Add(named) => (true, named),
            OptOutChange::Withdraw(named) => (false, named),
        };
        let ledger = self.ledger().await?;
        let now = self.site.opt_outs().await?;
        publish(&ledger, &now).await?;
        let named: Vec<String> = named.iter().map(|person| bare(person).to_owned()).collect();
        let listed = |person: &String| people.iter().any(|known| bare(known) == person.as_str());
        let changed = named.iter().filter(|person| listed(person) != add).count();
        if changed == 0 {
            return Ok(OptOutsShown { epoch: now.epoch(), people, changed });
        }
        let list = self
            .site
            .next_opt_outs(|people| {
                people.retain(|known| !named.iter().any(|person| person == bare(known)));
                if add {
                    people.extend(named.iter().cloned());
                }
            })
            .await?;
        publish(&ledger, &list).await?;
        let epoch = list.epoch();
        if let Some(on) = &self.on_ledger {
            on.desk.apply_opt_outs(list);
        }
        Ok(OptOutsShown { epoch, people: self.site.opted_out().await?, changed })
    }

    pub(super) async fn share(
        &self,
        operator: &StaffId,
        dataset: &DatasetId,
        account: Option<AccountTerms>,
    ) -> Result<Reply, OperationError> {
        let statement = format!("share dataset {dataset} on the ledger");
        let work = async {
            let ledger = self.ledger().await?;
            Ok(self.site.share(&ledger, dataset, account).await?)
        };
        let shared = self.recorded(operator, AccessKind::Administration, statement, work).await?;
        Ok(Reply::Shared(shared))
    }

    pub(super) async fn permit(
        &self,
        operator: &StaffId,
        call: PermitCall,
    ) -> Result<Reply, OperationError> {
        let statement = match call.permit() {
            Some(permit) => format!("{} {permit}", call.word()),
            None => call.word().to_owned(),
        };
        let work = async {
            let ledger = self.ledger().await?;
            let (permit, decision): (_, LedgerCall) = match call {
                PermitCall::Apply(terms) => {
                    let (permit, transaction) = self.site.apply_for_permit(&ledger, terms).await?;
                    return Ok(PermitDone { permit, transaction });
                }
                PermitCall::Grant(permit) => (permit.clone(), GrantPermit { permit }.into()),
                PermitCall::Refuse(permit) => (permit.clone(), RefusePermit { permit }.into()),
                PermitCall::Amend { permit, revision, terms } => {
                    (permit.clone(), AmendPermit { permit, revision, terms }.into())
                }
                PermitCall::Revoke { permit, reason } => {
                    (permit.clone(), RevokePermit { permit, reason }.into())
                }
            };
            let recorded = ledger.submit(decision).await?;
            Ok(PermitDone { permit, transaction: recorded.entry.transaction })
        };
        let done = self.recorded(operator, AccessKind::Administration, statement, work).await?;
        Ok(Reply::Permit(done))
    }

    pub(super) async fn review(
        &self,
        operator: &StaffId,
        call: ReviewCall,
    ) -> Result<Reply, OperationError> {
        let statement = call.statement();
        let work = async {
            let ledger = self.ledger().await?;
            Ok(match call {
                ReviewCall::Decide { review, verdict } => {
                    ledger.decide_review(&review, verdict).await?
                }
                ReviewCall::Rule { dataset, rule } => {
                    let dataset = DatasetRef { holder: ledger.member().clone(), dataset };
                    ledger.set_review_rule(dataset, rule).await?
                }
            })
        };
        let done = self.recorded(operator, AccessKind::Administration, statement, work).await?;
        Ok(Reply::Reviewed(done))
    }
}
