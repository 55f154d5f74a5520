//! What studies need of a site: what a role sees of a dataset, and the ledger where there is one.

use std::sync::Arc;
use std::time::Duration;

use salus_model::{DatasetId, Purpose, RoleName, StaffId};
use salus_query::{AccessToken, VisibleDataset};

use super::{OnLedger, OperationError, Operations, SqlCall, limits};
use crate::Operator;

impl Operations {
    /// A dataset as somebody sees it in a role, and none when the site's policies show nothing of
    /// it, or its keys are away. No row is read.
    pub(crate) async fn visible(
        &self,
        staff: &StaffId,
        role: &RoleName,
        purpose: Purpose,
        dataset: &DatasetId,
    ) -> Result<Option<VisibleDataset>, OperationError> {
        let call = SqlCall {
            statement: String::new(),
            role: role.clone(),
            purpose,
            rows: 0,
            memory_bytes: 0,
            seconds: Duration::from_secs(30).as_secs(),
        };
        let operator = Arc::new(Operator::new(staff.clone(), role.clone(), purpose));
        let gateway = self.site.gateway(operator, Arc::clone(&self.audit), limits(&call))?;
        let all = gateway.datasets(&AccessToken::new(String::new()), None).await?;
        Ok(all.into_iter().find(|visible| visible.dataset == *dataset))
    }

    /// The ledger and the desk, where the site is on one and a node runs.
    pub(crate) const fn on(&self) -> Option<&OnLedger> {
        self.on_ledger.as_ref()
    }
}
