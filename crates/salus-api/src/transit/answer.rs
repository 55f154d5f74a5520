//! Answers in Vault's shape.

use axum::body::Body;
use axum::http::{StatusCode, header};
use axum::response::Response;
use salus_keys::{KeyInfo, KeyState, KeyStoreError};
use salus_model::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use super::tokens::TokenRecord;

/// An answer on its way out.
pub(super) enum Answer {
    /// 200 with this under `data`.
    Data(Value),
    /// 200 with this as it is.
    Plain(Value),
    /// 204.
    Done,
    /// Another status with these texts under `errors`.
    Errors(StatusCode, Vec<String>),
}

/// Why a request is not carried out.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// No valid token, or its policy does not grant it.
    Denied,
    /// There is no such path.
    NoRoute,
    /// The path has no such method.
    NoMethod,
    /// There is no such thing.
    Missing,
    /// The request is wrong, in words.
    Request(String),
    /// The request is too large.
    TooLarge,
    /// The key store is out of reach for now.
    Unavailable,
    /// Something failed that the caller cannot mend.
    Internal,
}

impl From<Refused> for Answer {
    fn from(refused: Refused) -> Self {
        let status = refused.status();
        let text = match refused {
            Refused::Denied => "permission denied".to_owned(),
            Refused::NoRoute => "no handler for route; route entry not found".to_owned(),
            Refused::NoMethod => "unsupported operation".to_owned(),
            // Vault says nothing more where there is nothing.
            Refused::Missing => return Self::Errors(status, Vec::new()),
            Refused::Request(text) => text,
            Refused::TooLarge => "the request is too large".to_owned(),
            Refused::Unavailable => "the key store is out of reach".to_owned(),
            Refused::Internal => "internal error".to_owned(),
        };
        Self::Errors(status, vec![text])
    }
}

impl From<KeyStoreError> for Refused {
    fn from(error: KeyStoreError) -> Self {
        let request = |text: &str| Self::Request(text.to_owned());
        match error {
            KeyStoreError::NoSuchKey { .. } => request("encryption key not found"),
            KeyStoreError::Revoked { .. } => request("the key is soft-deleted"),
            KeyStoreError::Unwrap { .. } => request("cipher: message authentication failed"),
            KeyStoreError::NoSuchVersion { .. } => {
                request("invalid ciphertext: the key has no such version")
            }
            KeyStoreError::TooLong { .. }
            | KeyStoreError::Exists { .. }
            | KeyStoreError::Unsupported { .. } => Self::Request(error.to_string()),
            KeyStoreError::Unavailable { .. } => {
                tracing::warn!(%error, "the key store behind the transit endpoint");
                Self::Unavailable
            }
            error => {
                tracing::error!(%error, "the key store behind the transit endpoint");
                Self::Internal
            }
        }
    }
}

impl Answer {
    pub(super) const fn status(&self) -> StatusCode {
        match self {
            Self::Data(_) | Self::Plain(_) => StatusCode::OK,
            Self::Done => StatusCode::NO_CONTENT,
            Self::Errors(status, _) => *status,
        }
    }

    pub(super) fn into_response(self, request: Uuid) -> Response {
        let status = self.status();
        let body = match self {
            Self::Data(data) => Some(json!({
                "request_id": request, "lease_id": "", "renewable": false, "lease_duration": 0,
                "data": data, "wrap_info": null, "warnings": null, "auth": null,
            })),
            Self::Plain(body) => Some(body),
            Self::Done => None,
            Self::Errors(_, errors) => Some(json!({ "errors": errors })),
        };
        let builder = Response::builder().status(status).header(header::CACHE_CONTROL, "no-store");
        let built = match body {
            Some(body) => builder
                .header(header::CONTENT_TYPE, "application/json")
                .body(Body::from(body.to_string())),
            None => builder.body(Body::empty()),
        };
        // Fixed headers and a known status always build.
        built.unwrap_or_default()
    }
}

const fn seconds(at: Timestamp) -> i64 {
    at.as_micros().div_euclid(1_000_000)
}

pub(super) fn health(now: Timestamp) -> Answer {
    Answer::Plain(json!({
        "initialized": true, "sealed": false, "standby": false, "performance_standby": false,
        "replication_performance_mode": "disabled", "replication_dr_mode": "disabled",
        "server_time_utc": seconds(now), "version": env!("CARGO_PKG_VERSION"),
        "cluster_name": "salus",
    }))
}

pub(super) fn token(record: &TokenRecord, now: Timestamp) -> Answer {
    Answer::Data(json!({
        "accessor": record.accessor,
        "creation_time": seconds(record.created),
        "creation_ttl": seconds(record.expires) - seconds(record.created),
        "display_name": record.display_name,
        "entity_id": "",
        "expire_time": record.expires,
        "explicit_max_ttl": 0,
        "issue_time": record.created,
        "meta": null,
        "num_uses": 0,
        "orphan": true,
        "path": "auth/token/create",
        "policies": [record.policy.name],
        "renewable": false,
        "ttl": seconds(record.expires) - seconds(now),
        "type": "service",
    }))
}

pub(super) fn key(info: &KeyInfo, deletion_allowed: bool) -> Answer {
    let versions: serde_json::Map<String, Value> =
        info.versions.iter().map(|v| (v.version.to_string(), seconds(v.created).into())).collect();
    Answer::Data(json!({
        "name": info.name,
        "type": "aes256-gcm96",
        "keys": versions,
        "latest_version": info.latest(),
        "min_available_version": 0,
        "min_decryption_version": 1,
        "min_encryption_version": 0,
        "deletion_allowed": deletion_allowed,
        "soft_deleted": info.state == KeyState::Revoked,
        "derived": false,
        "exportable": false,
        "allow_plaintext_backup": false,
        "imported_key": false,
        "supports_encryption": true,
        "supports_decryption": true,
        "supports_derivation": false,
        "supports_signing": false,
    }))
}
