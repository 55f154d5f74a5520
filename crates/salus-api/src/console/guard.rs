//! Before any handler: where the request comes from, whose session it is, what its role may do.
//!
//! # Privacy
//! The session's token lies in a cookie that no script reads (`HttpOnly`), that leaves over TLS
//! alone (`Secure`, with the prefix `__Host-`, so that no neighbour's page can set it), and that no
//! other site's page sends along (`SameSite=Strict`). On top of it, whatever changes something has
//! to name this very origin, which browsers do and other pages cannot make them do.

use axum::extract::{Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, COOKIE, HOST, HeaderName, ORIGIN, REFERRER_POLICY,
    RETRY_AFTER, SET_COOKIE, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::{Json, http};
use salus_accounts::{AccountError, SessionToken, SignedIn, Standing, Strength};
use salus_model::{Class, Classified as _};
use salus_node::VouchingError;
use schemars::JsonSchema;
use serde::Serialize;

use super::Shared;
use crate::questions::sentences;
use crate::route::Access;

/// No script, style or request but the page's own, and none inline; nobody frames it.
const CONTENT_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
     img-src 'self' data: blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; \
     frame-ancestors 'none'";
pub(super) const COOKIE_NAME: &str = "__Host-salus-session";

/// What a route asks for.
#[derive(Clone)]
pub(super) struct Guard {
    pub(super) console: Shared,
    pub(super) access: Access,
}

/// What went wrong, and who has to act; the reason is a word for the page to go by.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Problem {
    /// What was wrong and what to do.
    error: String,
    /// Who has to act: `bad-request`, `refused`, `unavailable`, `peer`, `corrupt` or `bug`.
    class: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
}

pub(super) fn problem(
    status: StatusCode,
    class: &'static str,
    reason: Option<&'static str>,
    error: impl ToString,
) -> Response {
    (status, Json(Problem { error: error.to_string(), class, reason })).into_response()
}

pub(super) const fn word(class: Class) -> &'static str {
    match class {
        Class::BadRequest => "bad-request",
        Class::Refused => "refused",
        Class::Unavailable => "unavailable",
        Class::Peer => "peer",
        Class::Corrupt => "corrupt",
        Class::Bug => "bug",
    }
}

/// Any error of a lower crate. What is broken inside stays in the log.
pub(super) fn failed(error: &(impl salus_model::Classified + ?Sized)) -> Response {
    let class = error.class();
    let status = match class {
        Class::BadRequest => StatusCode::BAD_REQUEST,
        Class::Refused => StatusCode::FORBIDDEN,
        Class::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Class::Peer => StatusCode::BAD_GATEWAY,
        Class::Corrupt | Class::Bug => StatusCode::INTERNAL_SERVER_ERROR,
    };
    let said = sentences(error);
    if status == StatusCode::INTERNAL_SERVER_ERROR {
        tracing::error!(error = said, "the console could not answer");
        let text = "the node cannot answer; its operator has the reason in the log";
        return problem(status, word(class), None, text);
    }
    problem(status, word(class), None, said)
}

/// An error of the accounts.
pub(super) fn refused(error: &AccountError) -> Response {
    let (status, reason) = match error {
        AccountError::Refused => (StatusCode::UNAUTHORIZED, "wrong"),
        AccountError::CodeWanted => (StatusCode::UNAUTHORIZED, "code-wanted"),
        AccountError::NoSession => (StatusCode::UNAUTHORIZED, "no-session"),
        AccountError::NoInvitation => (StatusCode::UNAUTHORIZED, "no-invitation"),
        AccountError::EnrolFirst { .. } => (StatusCode::FORBIDDEN, "enrol-first"),
        AccountError::NotAdministrator | AccountError::NotResearcher => {
            (StatusCode::FORBIDDEN, "role")
        }
        AccountError::Wait { .. } => (StatusCode::TOO_MANY_REQUESTS, "wait"),
        AccountError::NoAccount { .. } => (StatusCode::NOT_FOUND, "no-account"),
        AccountError::Taken { .. } => (StatusCode::CONFLICT, "taken"),
        AccountError::LastAdministrator => (StatusCode::CONFLICT, "last-administrator"),
        AccountError::Password(_) => (StatusCode::BAD_REQUEST, "password"),
        other => return failed(other),
    };
    let mut response = problem(status, word(error.class()), Some(reason), error);
    if matches!(error, AccountError::Wait { .. }) {
        // The moment itself stands in the sentence.
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("30"));
    }
    response
}

fn not_vouched(error: &VouchingError) -> Response {
    match error {
        VouchingError::Ledger(_) => failed(error),
        error => {
            let text = sentences(error);
            problem(StatusCode::FORBIDDEN, "refused", Some("not-vouched"), text)
        }
    }
}

/// The name under which the browser asked; over HTTP/2 it stands in the address.
fn authority<'r>(uri: &'r Uri, headers: &'r HeaderMap) -> Option<&'r str> {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    uri.authority().map(http::uri::Authority::as_str).or(host)
}

fn is_own_origin(uri: &Uri, headers: &HeaderMap) -> bool {
    let Some(authority) = authority(uri, headers) else { return false };
    let mut origins = headers.get_all(ORIGIN).iter();
    let (Some(origin), None) = (origins.next(), origins.next()) else { return false };
    origin.as_bytes() == format!("https://{authority}").as_bytes()
}

/// Whether another site's page made the browser ask; following a link is nobody's asking.
fn is_from_elsewhere(headers: &HeaderMap) -> bool {
    let is = |name: &str, words: &[&str]| {
        headers.get(name).is_some_and(|v| words.iter().any(|w| v.as_bytes() == w.as_bytes()))
    };
    is("sec-fetch-site", &["cross-site", "same-site"]) && !is("sec-fetch-mode", &["navigate"])
}

/// The session's token, when exactly one came.
pub(super) fn token(headers: &HeaderMap) -> Option<SessionToken> {
    let cookies = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut found = cookies
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().strip_prefix(COOKIE_NAME)?.strip_prefix('='));
    match (found.next(), found.next()) {
        (Some(text), None) => Some(SessionToken::shown(text)),
        _ => None,
    }
}

/// The answer with a new session's cookie, which goes when the browser is closed.
pub(super) fn with_session(signed_in: &SignedIn, mut response: Response) -> Response {
    let text = format!(
        "{COOKIE_NAME}={}; Path=/; Secure; HttpOnly; SameSite=Strict",
        signed_in.token.expose()
    );
    if let Ok(mut value) = HeaderValue::from_str(&text) {
        value.set_sensitive(true);
        response.headers_mut().insert(SET_COOKIE, value);
    }
    response
}

/// The answer that takes the cookie away.
pub(super) fn without_session(mut response: Response) -> Response {
    let text = "__Host-salus-session=; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=0";
    response.headers_mut().insert(SET_COOKIE, HeaderValue::from_static(text));
    response
}

/// The headers of every answer.
fn dressed(mut response: Response) -> Response {
    let headers = response.headers_mut();
    let fixed: [(HeaderName, &'static str); 7] = [
        (CONTENT_SECURITY_POLICY, CONTENT_POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=()"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// Lets a request through to its handler, with the [`Standing`] of whoever makes it.
pub(super) async fn guarded(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    dressed(admitted(&guard, request, next).await)
}

async fn admitted(guard: &Guard, mut request: Request, next: Next) -> Response {
    let headers = request.headers();
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    if !reads && !is_own_origin(request.uri(), headers) {
        let text = "a page of another origin may change nothing here";
        return problem(StatusCode::FORBIDDEN, "refused", Some("origin"), text);
    }
    if is_from_elsewhere(headers) {
        let text = "a page of another origin may read nothing here";
        return problem(StatusCode::FORBIDDEN, "refused", Some("origin"), text);
    }
    match guard.access {
        Access::Published | Access::SignIn => {}
        Access::AnySession | Access::Session(_) => match standing(guard, headers).await {
            Ok(standing) => {
                request.extensions_mut().insert(standing);
            }
            Err(response) => return response,
        },
        // None of these is a route of the console.
        Access::Public | Access::Token | Access::Permit | Access::Shares | Access::Role => {
            return problem(StatusCode::NOT_FOUND, "bad-request", None, "there is no such page");
        }
    }
    next.run(request).await
}

async fn standing(guard: &Guard, headers: &HeaderMap) -> Result<Standing, Response> {
    let console = &guard.console;
    let token = token(headers).ok_or_else(|| refused(&AccountError::NoSession))?;
    let standing = console.accounts.who(&token).await.map_err(|e| refused(&e))?;
    let Access::Session(roles) = guard.access else { return Ok(standing) };
    let role = standing.account.role;
    if standing.strength != Strength::Full {
        return Err(refused(&AccountError::EnrolFirst { role }));
    }
    if !roles.contains(&role) {
        let words: Vec<&str> = roles.iter().map(|role| role.as_str()).collect();
        let text = format!("this is for the role {}, and yours is {role}", words.join(" or "));
        return Err(problem(StatusCode::FORBIDDEN, "refused", Some("role"), text));
    }
    if let Some(vouching) = &console.vouching {
        vouching.check(&standing.account).await.map_err(|e| not_vouched(&e))?;
    }
    Ok(standing)
}
