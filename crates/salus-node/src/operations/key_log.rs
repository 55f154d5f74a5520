//! The access log of a process that serves keys, alone on the site or beside its node.

use std::sync::Arc;
use std::time::{Duration, Instant};

use salus_model::{Class, Classified, StaffId};
use salus_store::audit::{AuditEntry, AuditError, AuditLog};
use salus_store::journal::JournalError;
use tokio::sync::{RwLock, mpsc};

use super::socket::{CallError, Listening, call_node, listen};
use super::{Call, Operations, Reply};
use crate::site::{Site, SiteError};

/// Between two attempts to reach whoever has the log.
const PAUSE: Duration = Duration::from_millis(100);
/// How long a record may wait for somebody who takes it.
const PATIENCE: Duration = Duration::from_secs(10);
/// Until the answer that the log is handed over has gone out.
const ANSWERED: Duration = Duration::from_millis(200);

/// Why the use of a key could not be put on record; it is then not done.
#[derive(Debug, thiserror::Error)]
pub enum KeyLogError {
    /// The log refuses.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// The node that has the log refuses.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The log cannot be opened.
    #[error(transparent)]
    Site(#[from] SiteError),
    /// Nobody takes records.
    #[error("the process that has the access log takes no records; is a node starting or stuck?")]
    Nobody,
}

impl Classified for KeyLogError {
    fn class(&self) -> Class {
        match self {
            Self::Audit(e) => e.class(),
            Self::Call(e) => e.class(),
            Self::Site(e) => e.class(),
            Self::Nobody => Class::Unavailable,
        }
    }
}

enum State {
    /// The log is open here, and operators' calls are answered here; the socket is first, so that
    /// it is gone before the log is free for another process.
    Own { _listening: Listening, log: Arc<AuditLog> },
    /// Somebody else has it: records go there.
    Elsewhere { since: Instant },
}

/// Records uses of keys: in the log itself while no node runs, else through the node.
///
/// A node that starts takes the log over, and when it ends the log comes back here.
pub struct KeyLog {
    site: Site,
    operator: StaffId,
    state: RwLock<State>,
    hand_over: mpsc::Sender<()>,
}

/// Whether another process has the log.
fn in_use(error: &SiteError) -> bool {
    matches!(error, SiteError::Audit(AuditError::Journal(JournalError::InUse { .. })))
}

impl KeyLog {
    /// Opens the log, or finds who has it; `operator` runs this process.
    ///
    /// # Errors
    /// When the log does not open for another reason than that a node has it.
    pub async fn open(site: Site, operator: StaffId) -> Result<Arc<Self>, SiteError> {
        let (hand_over, mut asked) = mpsc::channel(1);
        let long_ago = Instant::now().checked_sub(PATIENCE).unwrap_or_else(Instant::now);
        let state = RwLock::new(State::Elsewhere { since: long_ago });
        let log = Arc::new(Self { site, operator, state, hand_over });
        log.own().await?;
        let weak = Arc::downgrade(&log);
        tokio::spawn(async move {
            while asked.recv().await.is_some() {
                let Some(log) = weak.upgrade() else { return };
                tokio::time::sleep(ANSWERED).await;
                // The socket goes before the log is free for the node.
                *log.state.write().await = State::Elsewhere { since: Instant::now() };
                tracing::info!("a node starts on this site and has the access log now");
            }
        });
        Ok(log)
    }

    /// Opens the log here unless somebody else has it.
    async fn own(&self) -> Result<(), SiteError> {
        let mut state = self.state.write().await;
        if let State::Own { .. } = *state {
            return Ok(());
        }
        match self.site.open_audit().await {
            Ok(log) => {
                let operations = Operations::new(self.site.clone(), Arc::clone(&log));
                let _listening = listen(operations.handing_over(self.hand_over.clone()))?;
                *state = State::Own { _listening, log };
                Ok(())
            }
            Err(error) if in_use(&error) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Puts the use of a key on record.
    ///
    /// # Errors
    /// When nobody could write it down.
    pub async fn record(&self, entry: AuditEntry) -> Result<(), KeyLogError> {
        let until = Instant::now() + PATIENCE;
        let call = Call::RecordKeyUse { entry: Box::new(entry.clone()) };
        while Instant::now() < until {
            let (own, since) = match &*self.state.read().await {
                State::Own { log, .. } => (Some(Arc::clone(log)), None),
                State::Elsewhere { since } => (None, Some(*since)),
            };
            if let Some(log) = own {
                log.append(entry).await?;
                return Ok(());
            }
            match call_node(&self.site, &self.operator, &call).await {
                Ok(Some(Reply::Recorded)) => return Ok(()),
                Ok(Some(_)) => return Err(CallError::Protocol.into()),
                // It has ended, or has not begun to listen.
                Ok(None) | Err(CallError::Io(_)) => {}
                Err(error) => return Err(error.into()),
            }
            // Whoever asked for the log is given the time to open it.
            if since.is_none_or(|since| since.elapsed() >= PATIENCE / 2) {
                self.own().await?;
            }
            tokio::time::sleep(PAUSE).await;
        }
        Err(KeyLogError::Nobody)
    }
}

impl Site {
    /// The access log, for a node: a process that only serves keys hands it over.
    ///
    /// # Errors
    /// When another node has it, or it does not open.
    pub async fn take_audit(&self, operator: &StaffId) -> Result<Arc<AuditLog>, SiteError> {
        let until = Instant::now() + PATIENCE;
        let mut asked = false;
        loop {
            match self.open_audit().await {
                Err(error) if in_use(&error) && Instant::now() < until => {
                    if !asked {
                        match call_node(self, operator, &Call::HandOver).await {
                            // Another node, which keeps it.
                            Err(CallError::Told { .. }) => return Err(error),
                            reply => asked = matches!(reply, Ok(Some(_))),
                        }
                    }
                }
                opened => return opened,
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}
