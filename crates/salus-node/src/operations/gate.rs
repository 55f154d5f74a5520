//! What an operator does about what waits for reviewers at this site.

use salus_ledger::ReviewId;
use salus_model::StaffId;
use salus_store::audit::AccessKind;

use super::{Accessed, OperationError, Operations};
use crate::gate::{Gate, GateCall, GateError, GatePart, GateReply};

impl From<GateError> for OperationError {
    fn from(error: GateError) -> Self {
        Self::Gate(Box::new(error))
    }
}

impl Operations {
    pub(super) async fn gate(
        &self,
        operator: &StaffId,
        call: GateCall,
    ) -> Result<GateReply, OperationError> {
        let (kind, statement) = match &call {
            GateCall::List => return Ok(self.site.kept_at_gate().await?),
            GateCall::Part { review, part: GatePart::Report } => {
                (AccessKind::Administration, format!("give out the report of review {review}"))
            }
            // Whoever sees what is not released yet sees records.
            GateCall::Part { review, part: GatePart::Result } => {
                (AccessKind::Export, format!("look at what is under review {review}"))
            }
            GateCall::Submit(wanted) => {
                let (dataset, permit) = (&wanted.dataset, &wanted.permit);
                let statement = format!("put a file of {dataset} before the reviewers, {permit}");
                (AccessKind::Administration, statement)
            }
            GateCall::Fetch { review } => {
                (AccessKind::Administration, format!("fetch the file of review {review}"))
            }
        };
        let looked_at = match &call {
            GateCall::Part { review, part: GatePart::Result } => Some(*review),
            _ => None,
        };
        // On a task of its own: whoever hangs up does not stop what is being released.
        let operations = self.clone();
        let work = async {
            let work = tokio::spawn(async move { operations.at_gate(call).await });
            work.await.map_err(|_| GateError::Unsettled)?
        };
        let about = self.about(looked_at.as_ref()).await?;
        self.recorded_about(operator, (kind, statement), about, work).await
    }

    /// The dataset, and of a file the columns, that somebody is about to see unreleased.
    async fn about(&self, review: Option<&ReviewId>) -> Result<Accessed, OperationError> {
        match review {
            Some(review) => Ok(self.site.source_at_gate(review).await?),
            None => Ok(Accessed::new()),
        }
    }

    async fn at_gate(&self, call: GateCall) -> Result<GateReply, OperationError> {
        // One at a time, as releases: two of the same place would both be submitted.
        let _mine = self.releasing.lock().await;
        let on = self.on_ledger_here().await?;
        let gate = Gate { site: &self.site, on: &on };
        Ok(match call {
            GateCall::List => self.site.kept_at_gate().await?,
            GateCall::Part { review, part } => gate.part(&review, part).await?,
            GateCall::Submit(wanted) => GateReply::File(Box::new(gate.submit_file(*wanted).await?)),
            GateCall::Fetch { review } => {
                GateReply::File(Box::new(gate.fetch_file(&review).await?))
            }
        })
    }
}
