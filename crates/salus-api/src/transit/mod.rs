//! Vault's transit API over any key store, for clients that know Vault: Spark, pyarrow, `hvac`.
//!
//! Served are encrypt, decrypt, rewrap (each also in batches), data keys, reading, listing,
//! creating, rotating, soft deletion and deletion of keys, the token's look-up of itself and the
//! health check. What Vault has beyond that, such as derived or exportable keys and response
//! wrapping, is refused in words, never silently left out.
//!
//! # Privacy
//! Whoever may decrypt with a master key reads every column under it. A token therefore has a
//! policy, which denies whatever it does not grant; a denied caller does not learn whether the key
//! exists. Encrypting never creates a key. Each request is told to the audit hook before it is
//! carried out, and again before its answer goes out; where the hook fails, so does the request.
//!
//! # Source
//! The transit engine's HTTP API as Vault 1.x and OpenBao 2.x document it.

mod action;
mod answer;
mod audit;
mod execute;
mod policy;
mod tokens;

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, request::Parts};
use axum::response::Response;
use axum::routing::any;
use parking_lot::Mutex;
use salus_keys::KeyStore;
use salus_model::{Clock, KeyName};
use uuid::Uuid;

pub use self::action::{ROUTES, RouteInfo};
pub use self::audit::{AuditFailed, TransitAudit, TransitEvent, TransitPhase};
pub use self::policy::{Grant, KeyGlob, KeyGlobRefused, Operation, Policy};
pub use self::tokens::{Accessor, IssuedToken, TokenRecord, Tokens};

use self::action::Action;
use self::answer::{Answer, Refused};

/// The most bytes that a request may have; a master key wraps keys, not data.
pub const REQUEST_BYTES_MAX: usize = 256 * 1024;

/// What the endpoint works with.
pub struct Transit {
    keys: Arc<dyn KeyStore>,
    tokens: Arc<Tokens>,
    audit: Arc<dyn TransitAudit>,
    clock: Arc<dyn Clock>,
    /// Keys whose deletion was allowed, which Vault wants said before deleting.
    deletable: Mutex<BTreeSet<KeyName>>,
}

impl Transit {
    /// An endpoint over `keys` for the holders of `tokens`.
    #[must_use]
    pub fn new(
        keys: Arc<dyn KeyStore>,
        tokens: Arc<Tokens>,
        audit: Arc<dyn TransitAudit>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { keys, tokens, audit, clock, deletable: Mutex::default() }
    }
}

/// The routes under `/v1/`, ready to be served; put TLS in front.
pub fn router(transit: Transit) -> Router {
    Router::new().route("/v1/{*path}", any(handle)).with_state(Arc::new(transit))
}

async fn handle(State(transit): State<Arc<Transit>>, request: Request) -> Response {
    let id = Uuid::new_v4();
    let (parts, body) = request.into_parts();
    let answer = transit.answer(&parts, body, id).await.unwrap_or_else(Answer::from);
    answer.into_response(id)
}

fn token(headers: &HeaderMap) -> Option<&str> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    text("x-vault-token").or_else(|| text("authorization")?.strip_prefix("Bearer "))
}

impl Transit {
    async fn answer(&self, parts: &Parts, body: Body, id: Uuid) -> Result<Answer, Refused> {
        let action = Action::of(&parts.method, parts.uri.path(), parts.uri.query())?;
        let now = self.clock.now();
        if matches!(action, Action::Health) {
            return Ok(answer::health(now));
        }
        let event = TransitEvent::new(id, now, &action);
        let caller = token(&parts.headers).and_then(|text| self.tokens.authenticate(text, now));
        let Some(caller) = caller else {
            self.tell(event.denied()).await?;
            return Err(Refused::Denied);
        };
        let event = event.by(&caller);
        if !action.is_granted(&caller.policy) {
            self.tell(event.denied()).await?;
            return Err(Refused::Denied);
        }
        self.tell(event.clone()).await?;
        let done = match self.body(parts, body).await {
            Ok(body) => self.execute(&action, &caller, body, now).await,
            Err(refused) => Err(refused),
        };
        let status = done.as_ref().map_or_else(Refused::status, Answer::status);
        self.tell(event.answered(status.as_u16())).await?;
        done
    }

    async fn tell(&self, event: TransitEvent) -> Result<(), Refused> {
        self.audit.record(&event).await.map_err(|_| {
            tracing::error!(request = %event.request, "the audit record failed; request refused");
            Refused::Internal
        })
    }

    async fn body(&self, parts: &Parts, body: Body) -> Result<serde_json::Value, Refused> {
        if parts.headers.contains_key("x-vault-wrap-ttl") {
            // Answering in clear would give away what the caller wanted wrapped.
            return Err(Refused::Request("response wrapping is not offered".into()));
        }
        let bytes = to_bytes(body, REQUEST_BYTES_MAX).await.map_err(|_| Refused::TooLarge)?;
        if bytes.is_empty() {
            return Ok(serde_json::Value::Null);
        }
        let parsed = serde_json::from_slice(&bytes);
        parsed.map_err(|e| Refused::Request(format!("the body is no JSON (line {})", e.line())))
    }
}

impl Refused {
    const fn status(&self) -> StatusCode {
        match self {
            Self::Denied => StatusCode::FORBIDDEN,
            Self::NoRoute | Self::Missing => StatusCode::NOT_FOUND,
            Self::NoMethod => StatusCode::METHOD_NOT_ALLOWED,
            Self::Request(_) => StatusCode::BAD_REQUEST,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

#[cfg(test)]
mod tests;
