//! Signing in with a registered client's key: SMART Backend Services.
//!
//! # Source
//! SMART App Launch 2.2, "Backend Services"; RFC 6749, section 5; RFC 7523.

use std::sync::Arc;

use axum::Json;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, PRAGMA};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use salus_node::clients::{Clients, SignInRefused};
use serde_json::{Value, json};

/// An assertion with an RSA signature has some 1,000 bytes.
const REQUEST_BYTES: usize = 64 * 1024;
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// The address under which clients know this site, such as `https://salus.hospital.example`.
///
/// Assertions name it as their audience, so it is configured, and never taken from what a request
/// says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicUrl(String);

impl PublicUrl {
    /// The address, without a slash at its end.
    #[must_use]
    pub fn new(address: &str) -> Self {
        Self(address.trim_end_matches('/').to_owned())
    }

    fn token_endpoint(&self) -> String {
        format!("{}/oauth/token", self.0)
    }

    /// An address below it; `path` begins with a slash.
    #[must_use]
    pub fn below(&self, path: &str) -> String {
        format!("{}{path}", self.0)
    }
}

#[derive(Clone)]
struct Tokens {
    clients: Arc<Clients>,
    url: PublicUrl,
}

/// The token endpoint, and the page that says where it is.
pub fn router(clients: Arc<Clients>, url: PublicUrl) -> Router {
    Router::new()
        .route("/oauth/token", post(token))
        .route("/fhir/.well-known/smart-configuration", get(configuration))
        .layer(DefaultBodyLimit::max(REQUEST_BYTES))
        .with_state(Tokens { clients, url })
}

async fn configuration(State(tokens): State<Tokens>) -> Json<Value> {
    Json(json!({
        "token_endpoint": tokens.url.token_endpoint(),
        "grant_types_supported": ["client_credentials"],
        "token_endpoint_auth_methods_supported": ["private_key_jwt"],
        "token_endpoint_auth_signing_alg_values_supported": ["RS384", "ES384"],
        "scopes_supported": ["system/*.rs", "system/*.cruds"],
        "capabilities": ["client-confidential-asymmetric", "permission-v1", "permission-v2"],
    }))
}

fn answer(status: StatusCode, body: Value) -> Response {
    // RFC 6749, section 5.1: no cache keeps a token.
    (status, [(CACHE_CONTROL, "no-store"), (PRAGMA, "no-cache")], Json(body)).into_response()
}

fn refuse(status: StatusCode, error: &str, description: impl ToString) -> Response {
    answer(status, json!({"error": error, "error_description": description.to_string()}))
}

/// The parameters of a request, each at most once.
struct Parameters(Vec<(String, String)>);

impl Parameters {
    fn parse(headers: &HeaderMap, body: &Bytes) -> Option<Self> {
        let kind = headers.get(CONTENT_TYPE)?.to_str().ok()?;
        let kind = kind.split(';').next()?.trim();
        if !kind.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            return None;
        }
        let pairs: Vec<(String, String)> = form_urlencoded::parse(body).into_owned().collect();
        let mut names: Vec<&str> = pairs.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        let repeated = names.windows(2).any(|pair| pair.first() == pair.last());
        (!repeated).then_some(Self(pairs))
    }

    fn value(&self, name: &str) -> &str {
        self.0.iter().find(|(n, _)| n == name).map_or("", |(_, value)| value)
    }
}

async fn token(State(tokens): State<Tokens>, headers: HeaderMap, body: Bytes) -> Response {
    let bad = StatusCode::BAD_REQUEST;
    let Some(parameters) = Parameters::parse(&headers, &body) else {
        let form = "the body is a form, each parameter given once";
        return refuse(bad, "invalid_request", form);
    };
    if parameters.value("grant_type") != "client_credentials" {
        return refuse(bad, "unsupported_grant_type", "grant_type is client_credentials");
    }
    if parameters.value("client_assertion_type") != ASSERTION_TYPE {
        let which = format!("client_assertion_type is {ASSERTION_TYPE}");
        return refuse(bad, "invalid_request", which);
    }
    let assertion = parameters.value("client_assertion").to_owned();
    let scope = parameters.value("scope").to_owned();
    let endpoint = tokens.url.token_endpoint();
    // Verifying RSA and syncing the list of used assertions would hold up others.
    let signing_in = move || tokens.clients.sign_in(&assertion, &scope, &endpoint);
    match tokio::task::spawn_blocking(signing_in).await {
        Ok(Ok(issued)) => answer(
            StatusCode::OK,
            json!({
                "access_token": issued.token.expose(),
                "token_type": "bearer",
                "expires_in": issued.seconds,
                "scope": issued.scope,
            }),
        ),
        Ok(Err(refused @ SignInRefused::Client(_))) => {
            refuse(StatusCode::UNAUTHORIZED, "invalid_client", refused)
        }
        Ok(Err(refused @ SignInRefused::Scope { .. })) => refuse(bad, "invalid_scope", refused),
        Ok(Err(SignInRefused::Unavailable)) | Err(_) => {
            let later = "signing in is not possible at this moment; try again";
            refuse(StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable", later)
        }
    }
}
