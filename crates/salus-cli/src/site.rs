//! Opens the site that a command works on, or asks the node that runs on it.

use std::path::Path;

use salus_crypto::passphrase::GuessCost;
use salus_model::{DatasetId, StaffId};
use salus_node::operations::{Call, Operations, Reply, call_node};
use salus_node::{Config, Site, SiteError};
use salus_store::audit::AuditError;
use salus_store::journal::JournalError;

use crate::output::Failure;
use crate::passphrase::{Asking, unlock};

/// How often to look again when another command holds the access log for a moment.
const ATTEMPTS: usize = 3;

pub(crate) async fn open(folder: &Path) -> Result<Site, Failure> {
    // Before a secret is asked for: whether there is anything to open.
    let config = Config::read(folder)?;
    let unlock = unlock(&config.keys, folder, Asking::Known)?;
    Ok(Site::open(folder, unlock, GuessCost::RFC_9106_SECOND).await?)
}

/// The operating system's account that this process runs as, as the access log names it. Variables
/// of the environment say what anybody wants.
pub(crate) fn operator() -> Result<StaffId, Failure> {
    use std::os::unix::fs::MetadataExt as _;
    // In a container an account often has a number and no name.
    let number = || std::fs::metadata("/proc/self").map(|process| format!("uid-{}", process.uid()));
    let account = whoami::username().ok().filter(|name| !name.is_empty());
    let account = account.map_or_else(number, Ok).map_err(|e| {
        Failure::unavailable(format!("the system does not tell this process's account: {e}"))
    })?;
    StaffId::new(format!("operator:{account}")).map_err(|e| Failure::request(e.to_string()))
}

/// Does what an operator asks: through the node that runs, or here when none runs.
pub(crate) async fn ask(site: &Site, call: Call) -> Result<Reply, Failure> {
    let operator = operator()?;
    for _ in 0..ATTEMPTS {
        if let Some(reply) = call_node(site, &operator, &call).await? {
            return Ok(reply);
        }
        match site.open_audit().await {
            Ok(audit) => {
                let operations = Operations::new(site.clone(), audit);
                return Ok(operations.perform(&operator, call).await?);
            }
            Err(SiteError::Audit(AuditError::Journal(JournalError::InUse { .. }))) => {}
            Err(e) => return Err(e.into()),
        }
    }
    Err(Failure::unavailable(
        "another command of this site is at work and has the access log open; wait until it is \
         done. To work beside a service, start it with: salus node run",
    ))
}

pub(crate) fn protocol() -> Failure {
    Failure::unavailable("the node that runs answered something else; is it another version?")
}

pub(crate) fn dataset(name: &str) -> Result<DatasetId, Failure> {
    DatasetId::new(name).map_err(|e| Failure::request(e.to_string()))
}
