use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use salus_query::{
    AccessEvent, AuditFailed, AuditSink, Authenticator, Gateway, GatewayParts, Limits,
    Outcome as QueryOutcome, Roles,
};
use salus_spine::{AccessRecord, SignedStatement};
use salus_store::audit::{AuditEntry, AuditLog, Outcome, RefusalReason};
use salus_store::journal::{JournalName, JournalSettings};

use crate::metrics::{Ended, SiteMetrics};
use crate::site::{Site, SiteError};

/// The roles file of a site.
pub const ROLES_FILE: &str = "roles.toml";
/// The roles file that `salus init` writes.
pub const ROLES_DEFAULT: &str = include_str!("roles.toml");
const AUDIT_FOLDER: &str = "audit";
const SEGMENT_BYTES: u64 = 16 * 1024 * 1024;

/// The site's audit log as the query gateway sees it.
pub struct SiteAudit(Arc<AuditLog>, SiteMetrics);

#[async_trait::async_trait]
impl AuditSink for SiteAudit {
    async fn append(
        &self,
        event: AccessEvent,
    ) -> Result<SignedStatement<AccessRecord>, AuditFailed> {
        let (outcome, ended) = match event.outcome {
            QueryOutcome::Answered { rows } => (Outcome::Answered { rows }, Ended::Answered),
            QueryOutcome::Refused { .. } => {
                (Outcome::Refused { reason: RefusalReason::Policy }, Ended::Refused)
            }
            QueryOutcome::Failed { .. } | QueryOutcome::Cancelled => {
                (Outcome::Failed, Ended::Failed)
            }
        };
        let took = event.ended.as_micros().saturating_sub(event.asked.as_micros());
        self.1.statement(ended, Duration::from_micros(u64::try_from(took).unwrap_or_default()));
        let entry = AuditEntry {
            deal: event.scope.deal().clone(),
            staff: event.staff,
            role: event.role,
            purpose: event.purpose,
            kind: event.kind,
            statement: event.statement,
            datasets: event.columns,
            outcome,
        };
        self.0.append(entry).await.map_err(|e| {
            tracing::error!(error = %e, "the audit log cannot be written");
            AuditFailed
        })
    }
}

impl Site {
    /// Where the site's audit log lies, and under which key.
    ///
    /// # Errors
    /// When a fixed name does not fit, which is a bug.
    pub fn audit_settings(&self) -> Result<JournalSettings, SiteError> {
        Ok(JournalSettings {
            folder: self.folder.join(AUDIT_FOLDER),
            holder: self.config.holder.clone(),
            name: JournalName::new("audit")?,
            master: self.master.clone(),
            segment_bytes: SEGMENT_BYTES,
        })
    }

    /// Opens the site's audit log.
    ///
    /// # Errors
    /// When another process has it open, or its chain is broken.
    pub async fn open_audit(&self) -> Result<Arc<AuditLog>, SiteError> {
        let parts = (Arc::clone(&self.authority), Arc::clone(&self.clock));
        let retention = self.config.audit.keep_days.retention();
        let settings = self.audit_settings()?;
        let (log, opened) =
            AuditLog::open(settings, Arc::clone(&self.keys), parts, retention, 0).await?;
        if let Some(torn) = opened.torn {
            tracing::warn!(bytes = torn.bytes, "cut off what a crash left at the audit log's end");
        }
        Ok(Arc::new(log))
    }

    /// The site's query gateway, with the roles of its roles file.
    ///
    /// # Errors
    /// When the roles file cannot be read or is refused; the message names line and column.
    pub fn gateway(
        &self,
        authenticator: Arc<dyn Authenticator>,
        audit: Arc<AuditLog>,
        limits: Limits,
    ) -> Result<Gateway, SiteError> {
        let path = self.folder.join(ROLES_FILE);
        let roles = read_roles(&path, &limits)?;
        Ok(Gateway::new(GatewayParts {
            lake: Arc::clone(&self.lake),
            authority: Arc::clone(&self.authority),
            clock: Arc::clone(&self.clock),
            authenticator,
            audit: Arc::new(SiteAudit(audit, self.metrics.clone())),
            roles,
            limits,
        }))
    }
}

fn read_roles(path: &Path, limits: &Limits) -> Result<Roles, SiteError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| SiteError::Io { path: path.to_owned(), source })?;
    Ok(Roles::parse(&path.display().to_string(), &text, limits)?)
}
