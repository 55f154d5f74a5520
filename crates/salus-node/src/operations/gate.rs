//! What an operator does about what waits for reviewers at this site.

use salus_model::StaffId;
use salus_store::audit::AccessKind;

use super::{OperationError, Operations};
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
            GateCall::List => return Ok(GateReply::Kept(self.site.kept_at_gate().await?)),
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
        // On a task of its own: whoever hangs up does not stop what is being released.
        let operations = self.clone();
        let work = async {
            let work = tokio::spawn(async move { operations.at_gate(call).await });
            work.await.map_err(|_| GateError::Unsettled)?
        };
        self.recorded(operator, kind, statement, work).await
    }

    async fn at_gate(&self, call: GateCall) -> Result<GateReply, OperationError> {
        // One at a time, as releases: two of the same place would both be submitted.
        let _mine = self.releasing.lock().await;
        let on = self.on_ledger_here().await?;
        let gate = Gate { site: &self.site, on: &on };
        Ok(match call {
            GateCall::List => GateReply::Kept(self.site.kept_at_gate().await?),
            GateCall::Part { review, part } => gate.part(&review, part).await?,
            GateCall::Submit(wanted) => GateReply::File(Box::new(gate.submit_file(*wanted).await?)),
            GateCall::Fetch { review } => {
                GateReply::File(Box::new(gate.fetch_file(&review).await?))
            }
        })
    }
}
