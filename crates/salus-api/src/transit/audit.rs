use async_trait::async_trait;
use salus_model::{KeyName, Timestamp};
use serde::Serialize;
use uuid::Uuid;

use super::action::Action;
use super::tokens::{Accessor, TokenRecord};

/// How far a request has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "phase")]
pub enum TransitPhase {
    /// The token or its policy does not allow it.
    Denied,
    /// It is about to be carried out.
    Accepted,
    /// It was carried out, or failed; the answer is about to go out.
    Answered {
        /// The HTTP status of the answer.
        status: u16,
    },
}

/// What happened at the endpoint; never a key, a plaintext or a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TransitEvent {
    /// The request, the same in all of its phases and in its answer.
    pub request: Uuid,
    /// When it came in.
    pub at: Timestamp,
    /// What it asks for.
    pub operation: &'static str,
    /// The key, where the request names one.
    pub key: Option<KeyName>,
    /// The token; none when it is not valid.
    pub token: Option<Accessor>,
    /// Whom the token was made for.
    pub display_name: Option<String>,
    /// How far it has come.
    #[serde(flatten)]
    pub phase: TransitPhase,
}

impl TransitEvent {
    pub(super) fn new(request: Uuid, at: Timestamp, action: &Action) -> Self {
        Self {
            request,
            at,
            operation: action.word(),
            key: action.key().cloned(),
            token: None,
            display_name: None,
            phase: TransitPhase::Accepted,
        }
    }

    pub(super) fn by(self, caller: &TokenRecord) -> Self {
        let display_name = Some(caller.display_name.clone());
        Self { token: Some(caller.accessor), display_name, ..self }
    }

    pub(super) fn denied(self) -> Self {
        Self { phase: TransitPhase::Denied, ..self }
    }

    pub(super) fn answered(self, status: u16) -> Self {
        Self { phase: TransitPhase::Answered { status }, ..self }
    }
}

/// The audit record could not be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the audit record could not be written")]
pub struct AuditFailed;

/// Where the endpoint's events go.
#[async_trait]
pub trait TransitAudit: Send + Sync {
    /// Keeps an event; the request goes on only when this has succeeded.
    async fn record(&self, event: &TransitEvent) -> Result<(), AuditFailed>;
}
