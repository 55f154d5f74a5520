use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use salus_validator::explorer::client::Relayed;

use super::Shared;
use super::guard::{failed, problem};

/// What may stand in a path of the explorer; nothing in it leads elsewhere.
fn path(uri: &Uri) -> Option<&str> {
    let asked = uri.path_and_query()?.as_str().strip_prefix("/v1/explorer/")?;
    let (path, _) = asked.split_once('?').unwrap_or((asked, ""));
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'-' | b'_' | b'.');
    let fits = path.bytes().all(plain)
        && path.split('/').all(|part| !part.is_empty() && part != ".." && part != ".");
    fits.then_some(asked)
}

/// An answer of the ledger's explorer, handed on from the first validator that is there. What
/// counts of it the browser proves for itself.
pub(super) async fn explorer(State(console): State<Shared>, request: Request) -> Response {
    let Some(on) = &console.ledger else {
        let text = "this site is on no ledger; its operator joins one with: salus ledger join";
        return problem(StatusCode::NOT_FOUND, "bad-request", Some("no-ledger"), text);
    };
    let Some(path) = path(request.uri()) else {
        let text = "there is no such page of the explorer";
        return problem(StatusCode::NOT_FOUND, "bad-request", None, text);
    };
    let mut last = None;
    for reader in &on.explorers {
        match reader.relay(path).await {
            Ok(relayed) => return handed_on(relayed),
            Err(error) => last = Some(error),
        }
    }
    match last {
        Some(error) => failed(&error),
        None => {
            let text = "no validator is noted in salus.toml";
            problem(StatusCode::SERVICE_UNAVAILABLE, "unavailable", None, text)
        }
    }
}

fn handed_on(relayed: Relayed) -> Response {
    let status = StatusCode::from_u16(relayed.status).unwrap_or(StatusCode::BAD_GATEWAY);
    // What a validator says of this node's certificate says nothing of the person's session.
    let status = match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => StatusCode::BAD_GATEWAY,
        status => status,
    };
    let kind = relayed.content_type.clone();
    let mut response = (status, Body::from_stream(relayed.into_body())).into_response();
    let headers = response.headers_mut();
    if let Some(kind) = kind.and_then(|kind| HeaderValue::from_str(&kind).ok()) {
        headers.insert(CONTENT_TYPE, kind);
    }
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
