//! What an operator releases of the site's datasets.

use std::sync::Arc;

use salus_model::StaffId;
use salus_store::audit::AccessKind;

use super::call::Reply;
use super::{OnLedger, OperationError, Operations};
use crate::published::PublishedDataset;
use crate::releasing::{ReleaseDone, ReleaseError, ReleaseWanted, Releasing};

impl From<ReleaseError> for OperationError {
    fn from(error: ReleaseError) -> Self {
        Self::Release(Box::new(error))
    }
}

impl Operations {
    pub(super) async fn release(
        &self,
        operator: &StaffId,
        wanted: ReleaseWanted,
    ) -> Result<Reply, OperationError> {
        let statement = format!("release dataset {} under {}", wanted.dataset, wanted.permit);
        // On a task of its own: whoever hangs up does not stop what is being charged.
        let operations = self.clone();
        let work = async {
            let work = tokio::spawn(async move { operations.released(&wanted).await });
            work.await.map_err(|_| ReleaseError::Ended)?
        };
        let done = self.recorded(operator, AccessKind::Administration, statement, work).await?;
        Ok(Reply::Released(Box::new(done)))
    }

    async fn released(&self, wanted: &ReleaseWanted) -> Result<ReleaseDone, OperationError> {
        // One at a time: two of the same name would both be charged, and one thrown away.
        let _mine = self.releasing.lock().await;
        let on = self.on_ledger_here().await?;
        Ok(Releasing { site: &self.site, on: &on }.run(wanted).await?)
    }

    pub(super) async fn published(&self) -> Result<Vec<PublishedDataset>, OperationError> {
        Ok(self.site.published().await.map_err(ReleaseError::from)?)
    }

    /// The node's ledger and desk, or ones for this command where no node runs.
    pub(super) async fn on_ledger_here(&self) -> Result<OnLedger, OperationError> {
        if let Some(on) = &self.on_ledger {
            return Ok(on.clone());
        }
        let ledger = Arc::new(self.site.ledger().await?);
        let seen: Arc<dyn salus_private::Ledger> = Arc::clone(&ledger) as _;
        let desk = self.site.desk(seen, ledger.anchor().clone(), Arc::clone(&self.audit)).await?;
        Ok(OnLedger::new(ledger, Arc::new(desk)))
    }
}
