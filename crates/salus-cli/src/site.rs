//! Opens the site that a command works on.

use std::path::Path;
use std::sync::Arc;

use salus_crypto::passphrase::GuessCost;
use salus_model::{DatasetId, Purpose, RoleName, StaffId};
use salus_node::{Operator, Site};
use salus_query::{Gateway, Limits};
use salus_store::audit::AuditLog;

use crate::output::Failure;
use crate::passphrase::{Asking, passphrase};

pub(crate) async fn open(folder: &Path) -> Result<Site, Failure> {
    // Before the passphrase is asked for: whether there is anything to open.
    salus_node::Config::read(folder)?;
    Ok(Site::open(folder, passphrase(Asking::Known)?, GuessCost::RFC_9106_SECOND).await?)
}

/// The operating system's account, as the access log names it.
pub(crate) fn operator() -> Result<StaffId, Failure> {
    let account = ["USER", "LOGNAME"].iter().find_map(|v| std::env::var(v).ok());
    let account = account.filter(|a| !a.is_empty()).unwrap_or_else(|| "unknown".to_owned());
    StaffId::new(format!("operator:{account}")).map_err(|e| Failure::request(e.to_string()))
}

/// A gateway for the person at the command line, in one role.
pub(crate) async fn operator_gateway(
    site: &Site,
    role: RoleName,
    purpose: Purpose,
    limits: Limits,
) -> Result<(Gateway, Arc<AuditLog>), Failure> {
    let audit = site.open_audit().await?;
    let operator = Arc::new(Operator::new(operator()?, role, purpose));
    Ok((site.gateway(operator, Arc::clone(&audit), limits)?, audit))
}

pub(crate) fn dataset(name: &str) -> Result<DatasetId, Failure> {
    DatasetId::new(name).map_err(|e| Failure::request(e.to_string()))
}
