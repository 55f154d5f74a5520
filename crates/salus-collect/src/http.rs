use std::sync::Arc;

use axum::Json;
use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use salus_model::{Class, Classified as _};
use serde::Deserialize;

use crate::collector::{Collector, Incoming, Source};

/// The longest body.
const MAX_BODY_BYTES: usize = 8 * 1024 * 1024;

/// Reports as they come over HTTP.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Reports {
    /// Each signed and sealed, in base64.
    reports: Vec<String>,
}

/// The collector's HTTP endpoint: `POST /v1/device-reports` with `{"reports": ["…"]}`.
///
/// It answers when the reports are on the disk, with how many were accepted, known already,
/// quarantined and refused; and with 503 when the disk does not take them, whereupon the sender
/// sends them again. Reports need no other credentials than their signatures; TLS is the server's.
pub fn router(collector: Arc<Collector>) -> Router {
    Router::new()
        .route("/v1/device-reports", post(take))
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .with_state(collector)
}

async fn take(State(collector): State<Arc<Collector>>, Json(body): Json<Reports>) -> Response {
    let decoded: Result<Vec<Incoming>, _> =
        body.reports.iter().map(|report| STANDARD.decode(report).map(Incoming::Report)).collect();
    let Ok(reports) = decoded else {
        return (StatusCode::BAD_REQUEST, "reports are in base64\n").into_response();
    };
    match collector.take(Source::Http, reports).await {
        Ok(taken) => Json(taken).into_response(),
        Err(e) => {
            tracing::error!(error = &e as &dyn std::error::Error, "reports are not taken in");
            if e.class() == Class::Unavailable {
                let again = [(header::RETRY_AFTER, HeaderValue::from_static("5"))];
                (StatusCode::SERVICE_UNAVAILABLE, again).into_response()
            } else {
                StatusCode::INTERNAL_SERVER_ERROR.into_response()
            }
        }
    }
}
