//! One request and its answer: who may see the token, how often it is tried, how much is read.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use reqwest::header::{
    ACCEPT, AUTHORIZATION, HeaderMap, HeaderName, HeaderValue, LOCATION, RETRY_AFTER,
};
use reqwest::{Client, Method, Response, StatusCode, Url};
use salus_model::{Clock, Secret};
use serde_json::Value as Json;

use super::error::PullError;
use super::origin::{BaseUrl, Origin};
use super::pace::{Pace, retry_after};
use super::token::{Credentials, Tokens};

const REDIRECTS: usize = 5;
/// The most that is read of an answer that is no export file.
pub(crate) const ANSWER_BYTES: u64 = 64 << 20;
/// The most that is read of an error.
const ERROR_BYTES: u64 = 256 << 10;

/// Whether a request carries the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Token {
    /// To the server's own origin, and to those that are trusted; to others the request fails.
    Show,
    /// Never.
    Withhold,
}

/// A request.
#[derive(Clone)]
pub(crate) struct Ask<'a> {
    pub(crate) what: &'static str,
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) accept: &'static str,
    pub(crate) token: Token,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) body: Option<Vec<u8>>,
    /// How often it may be tried again when the server is busy.
    pub(crate) attempts: u32,
    /// To whom else it may be redirected, without a token.
    pub(crate) named: &'a [Origin],
}

/// A server, as a client sees it.
pub(crate) struct Wire {
    pub(crate) http: Client,
    pub(crate) base: BaseUrl,
    pub(crate) trusted: Vec<Origin>,
    pub(crate) pace: Pace,
    pub(crate) clock: Arc<dyn Clock>,
    tokens: Tokens,
    /// Whether the server has ever answered: one that has not may be a mistyped address, or show
    /// a certificate that is not accepted, and no patience mends that.
    reached: AtomicBool,
}

/// An HTTP client that follows no redirect by itself.
pub(crate) fn client(authorities: &[Vec<u8>]) -> Result<Client, PullError> {
    let mut builder = Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .connect_timeout(Duration::from_secs(15))
        .read_timeout(Duration::from_secs(120))
        .user_agent(concat!("salus/", env!("CARGO_PKG_VERSION")));
    for pem in authorities {
        for certificate in reqwest::Certificate::from_pem_bundle(pem).map_err(PullError::Client)? {
            builder = builder.add_root_certificate(certificate);
        }
    }
    builder.build().map_err(PullError::Client)
}

impl Wire {
    pub(crate) fn new(
        http: Client,
        base: BaseUrl,
        trusted: Vec<Origin>,
        credentials: Credentials,
        pace: Pace,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let tokens = Tokens::new(credentials);
        Self { http, base, trusted, pace, clock, tokens, reached: AtomicBool::new(false) }
    }

    /// Whether a connection that fails is worth another attempt.
    pub(crate) fn was_reached(&self) -> bool {
        self.reached.load(Ordering::Relaxed)
    }

    pub(crate) fn ask<'a>(&self, what: &'static str, url: Url) -> Ask<'a> {
        Ask {
            what,
            method: Method::GET,
            url,
            accept: "application/fhir+json",
            token: Token::Show,
            headers: Vec::new(),
            body: None,
            attempts: self.pace.attempts,
            named: &[],
        }
    }

    /// Whether `origin` may see the token.
    pub(crate) fn is_trusted(&self, origin: &Origin) -> bool {
        *origin == self.base.origin() || self.trusted.contains(origin)
    }

    /// Sends a request until the server gives an answer that is not about being busy.
    pub(crate) async fn send(&self, ask: Ask<'_>) -> Result<Response, PullError> {
        let mut renewed = false;
        let mut attempt = 0;
        loop {
            let answer = self.once(&ask).await;
            let wait = match &answer {
                Ok(response) if response.status() == StatusCode::UNAUTHORIZED && !renewed => {
                    // The token may have been revoked or have run out early; once is enough.
                    renewed = true;
                    if ask.token == Token::Show && self.tokens.forget().await {
                        continue;
                    }
                    return answer;
                }
                Ok(response) if is_busy(response.status()) => self.asked_wait(response),
                Err(PullError::Unreachable { .. }) if self.was_reached() => None,
                _ => return answer,
            };
            if attempt >= ask.attempts {
                return answer;
            }
            tokio::time::sleep(self.pace.wait(attempt, wait)).await;
            attempt += 1;
        }
    }

    /// How long the server asks us to wait.
    pub(crate) fn asked_wait(&self, response: &Response) -> Option<Duration> {
        let header = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        let now = chrono::DateTime::from_timestamp_micros(self.clock.now().as_micros());
        retry_after(header, now.unwrap_or_default())
    }

    /// Sends a request once, following redirects that stay with the same server.
    async fn once(&self, ask: &Ask<'_>) -> Result<Response, PullError> {
        let what = ask.what;
        let mut url = ask.url.clone();
        let mut token = ask.token;
        for _ in 0..=REDIRECTS {
            let origin = Origin::of(&url);
            let mut headers: HeaderMap = ask.headers.iter().cloned().collect();
            headers.insert(ACCEPT, HeaderValue::from_static(ask.accept));
            if token == Token::Show {
                if !self.is_trusted(&origin) {
                    return Err(PullError::ForeignToken { what, origin });
                }
                if let Some(token) = self.tokens.current(self).await? {
                    headers.insert(AUTHORIZATION, bearer(&token, what, &origin)?);
                }
            }
            let mut request = self.http.request(ask.method.clone(), url.clone()).headers(headers);
            if let Some(body) = &ask.body {
                request = request.body(body.clone());
            }
            let response = request.send().await.map_err(|e| unreachable(what, &url, e))?;
            self.reached.store(true, Ordering::Relaxed);
            if !is_redirect(response.status()) {
                return Ok(response);
            }
            let to = response.headers().get(LOCATION).and_then(|l| l.to_str().ok());
            let to = to.ok_or_else(|| PullError::RedirectLoop { what, origin: origin.clone() })?;
            let to = self.base.named(&url, to, &self.trusted)?;
            let next = Origin::of(&to);
            if next != origin {
                if !ask.named.contains(&next) {
                    return Err(PullError::Redirected { what, origin, to: next });
                }
                token = Token::Withhold;
            }
            url = to;
        }
        Err(PullError::RedirectLoop { what, origin: Origin::of(&url) })
    }

    /// The answer as JSON, when it is the one expected.
    pub(crate) async fn json(&self, ask: Ask<'_>) -> Result<Json, PullError> {
        let (what, url) = (ask.what, ask.url.clone());
        let response = self.send(ask).await?;
        if response.status() != StatusCode::OK {
            return Err(refusal(what, &url, response, Words::Codes).await);
        }
        let bytes = body(what, &url, response, ANSWER_BYTES).await?;
        parse(what, &url, &bytes)
    }
}

pub(crate) fn parse(what: &'static str, url: &Url, bytes: &[u8]) -> Result<Json, PullError> {
    salus_fhir::parse_json(bytes, salus_fhir::JsonLimits::BUNDLE).map_err(|_| {
        let how = "the body is not JSON within our limits";
        PullError::Protocol { what, origin: Origin::of(url), how }
    })
}

fn bearer(
    token: &Secret<String>,
    what: &'static str,
    origin: &Origin,
) -> Result<HeaderValue, PullError> {
    let value = HeaderValue::from_str(&format!("Bearer {}", token.expose()));
    let how = "the access token has characters that no header may have";
    let mut value = value.map_err(|_| PullError::Protocol { what, origin: origin.clone(), how })?;
    value.set_sensitive(true);
    Ok(value)
}

const fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

pub(crate) const fn is_busy(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 429 | 502 | 503 | 504)
}

pub(crate) fn unreachable(what: &'static str, url: &Url, error: reqwest::Error) -> PullError {
    PullError::Unreachable { what, origin: Origin::of(url), source: error.without_url() }
}

/// A whole body of at most `most` bytes, after decompression.
pub(crate) async fn body(
    what: &'static str,
    url: &Url,
    mut response: Response,
    most: u64,
) -> Result<Vec<u8>, PullError> {
    let mut bytes = Vec::new();
    while let Some(piece) = response.chunk().await.map_err(|e| unreachable(what, url, e))? {
        if (bytes.len() + piece.len()) as u64 > most {
            return Err(PullError::TooLong { what, most });
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes)
}

/// How much of what a server says about an error may be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Words {
    /// Its sentence too: nothing of a record can be in it yet.
    All,
    /// Codes alone.
    Codes,
}

/// What an answer that is not the expected one says.
pub(crate) async fn refusal(
    what: &'static str,
    url: &Url,
    response: Response,
    words: Words,
) -> PullError {
    let status = response.status().as_u16();
    let said = match body(what, url, response, ERROR_BYTES).await {
        Ok(bytes) => said(&bytes, words),
        Err(_) => String::new(),
    };
    PullError::Status { what, origin: Origin::of(url), status, said }
}

/// Codes and, if allowed, sentences of an OperationOutcome or an OAuth error.
fn said(bytes: &[u8], words: Words) -> String {
    let Ok(json) = serde_json::from_slice::<Json>(bytes) else { return String::new() };
    let text = |value: Option<&Json>| value.and_then(Json::as_str).map(printable);
    let mut parts = Vec::new();
    parts.extend(text(json.get("error")));
    if words == Words::All {
        parts.extend(text(json.get("error_description")));
    }
    for issue in json.get("issue").and_then(Json::as_array).into_iter().flatten().take(3) {
        parts.extend(text(issue.get("code")));
        if words == Words::All {
            let details = issue.get("details").and_then(|d| d.get("text"));
            parts.extend(text(issue.get("diagnostics")).or_else(|| text(details)));
        }
    }
    if parts.is_empty() { String::new() } else { format!(": {}", parts.join(", ")) }
}

/// Whether an error is one that passes, as the server says.
pub(crate) fn is_transient(outcome: &[u8]) -> bool {
    let Ok(json) = serde_json::from_slice::<Json>(outcome) else { return false };
    let issues = json.get("issue").and_then(Json::as_array);
    let transient = ["transient", "lock-error", "no-store", "timeout", "incomplete", "throttled"];
    issues.is_some_and(|issues| {
        issues.iter().all(|i| {
            i.get("code").and_then(Json::as_str).is_some_and(|code| transient.contains(&code))
        }) && !issues.is_empty()
    })
}

/// Text of another's making, for a terminal: short, and without control characters.
pub(crate) fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_servers_words_are_shown_only_where_no_record_can_be_in_them() {
        let outcome = br#"{"resourceType": "OperationOutcome", "issue": [
            {"severity": "error", "code": "processing", "diagnostics": "Patient/123 \u001b[31m"}]}"#;
        assert_eq!(said(outcome, Words::Codes), ": processing");
        assert_eq!(said(outcome, Words::All), ": processing, Patient/123 [31m");
        let oauth = br#"{"error": "invalid_client", "error_description": "unknown key"}"#;
        assert_eq!(said(oauth, Words::All), ": invalid_client, unknown key");
        assert_eq!(said(b"<html>", Words::All), "");
    }

    #[test]
    fn an_outcome_passes_when_all_of_it_does() {
        assert!(is_transient(br#"{"issue": [{"code": "transient"}]}"#));
        assert!(!is_transient(br#"{"issue": [{"code": "transient"}, {"code": "invalid"}]}"#));
        assert!(!is_transient(br#"{"issue": []}"#));
        assert!(!is_transient(b"no"));
    }
}
