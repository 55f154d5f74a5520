//! Requests to Vault: one place for tokens, limits and trying again.

use std::num::NonZeroU32;
use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Method, Url};
use salus_crypto::OsEntropy;
use salus_model::{Class, Classified, Entropy as _};
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use super::wire::{Envelope, Errors};
use super::{Refusal, VaultConfig};
use crate::KeyStoreError;

/// An answer about keys is some kilobytes.
const ANSWER_BYTES_MAX: usize = 4 << 20;

/// How often a request is tried, and how long to pause in between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// How often at most, the first time included.
    pub attempts: NonZeroU32,
    /// The first pause; each later one is twice as long. A random part is taken off each.
    pub first_pause: Duration,
    /// The longest pause.
    pub longest_pause: Duration,
}

impl RetryPolicy {
    /// The pause after attempt number `attempt`, counted from 1.
    fn pause(&self, attempt: u32, server_asks: Option<Duration>) -> Duration {
        let doubled = self.first_pause.saturating_mul(1 << (attempt - 1).min(16));
        let pause = doubled.max(server_asks.unwrap_or_default()).min(self.longest_pause);
        let mut random = [0];
        // Clients that failed together must not come back together; without randomness they do.
        let _ = OsEntropy.fill(&mut random);
        pause.mul_f64(1.0 - f64::from(random[0]) / 512.0)
    }
}

/// When a request may be sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Repeat {
    /// Doing it twice is the same as once.
    Always,
    /// Only when the server cannot have begun: rotating twice makes two versions.
    WhenNotBegun,
}

/// Why a Vault cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum VaultOpenError {
    /// The address is no URL.
    #[error("the Vault address '{address}' is no URL such as https://vault.example.org:8200")]
    Address {
        /// The address.
        address: String,
    },
    /// The address would send the token in clear over a network.
    #[error("the Vault address '{address}' is plain HTTP to another machine; use https")]
    Clear {
        /// The address.
        address: String,
    },
    /// The mount has characters that do not belong into a path.
    #[error("the Vault mount '{mount}' may have letters, digits, - _ . and single slashes only")]
    Mount {
        /// The mount.
        mount: String,
    },
    /// The token or namespace cannot stand in a header.
    #[error("the Vault {what} has characters that cannot be sent, perhaps a line break")]
    Header {
        /// Token or namespace.
        what: &'static str,
    },
    /// The certificates are no PEM.
    #[error("the certificate authorities for Vault are no PEM certificates")]
    Certificates(#[source] reqwest::Error),
    /// The HTTP client cannot be set up.
    #[error("the HTTP client cannot be set up")]
    Client(#[source] reqwest::Error),
}

impl Classified for VaultOpenError {
    fn class(&self) -> Class {
        match self {
            Self::Client(_) => Class::Bug,
            _ => Class::BadRequest,
        }
    }
}

/// The method with which Vault lists.
pub(super) fn list() -> Method {
    Method::from_bytes(b"LIST").unwrap_or(Method::GET)
}

/// An HTTP client for one Vault.
pub(super) struct Client {
    http: reqwest::Client,
    address: Url,
    mount: String,
    retry: RetryPolicy,
}

fn is_this_machine(url: &Url) -> bool {
    match url.host_str() {
        Some("localhost") => true,
        Some(host) => host
            .trim_matches(['[', ']'])
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback()),
        None => false,
    }
}

fn headers(config: &VaultConfig) -> Result<HeaderMap, VaultOpenError> {
    let mut headers = HeaderMap::new();
    let mut token = HeaderValue::from_str(config.token.expose())
        .map_err(|_| VaultOpenError::Header { what: "token" })?;
    token.set_sensitive(true);
    headers.insert("x-vault-token", token);
    headers.insert("x-vault-request", HeaderValue::from_static("true"));
    if let Some(namespace) = &config.namespace {
        let namespace = HeaderValue::from_str(namespace)
            .map_err(|_| VaultOpenError::Header { what: "namespace" })?;
        headers.insert("x-vault-namespace", namespace);
    }
    Ok(headers)
}

impl Client {
    pub(super) fn new(config: VaultConfig) -> Result<Self, VaultOpenError> {
        let headers = headers(&config)?;
        let refused = || VaultOpenError::Address { address: config.address.clone() };
        let address = Url::parse(&config.address).map_err(|_| refused())?;
        match address.scheme() {
            "https" => {}
            "http" if is_this_machine(&address) => {}
            "http" => return Err(VaultOpenError::Clear { address: config.address }),
            _ => return Err(refused()),
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let segment = |s: &str| !s.is_empty() && !s.starts_with('.') && s.chars().all(plain);
        if !config.mount.split('/').all(segment) {
            return Err(VaultOpenError::Mount { mount: config.mount });
        }
        let mut builder = reqwest::Client::builder()
            .default_headers(headers)
            .timeout(config.timeout)
            .connect_timeout(config.timeout)
            // A redirect would carry the token to another machine.
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy();
        if let Some(pem) = &config.ca_pem {
            builder = builder.tls_built_in_root_certs(false);
            for certificate in
                reqwest::Certificate::from_pem_bundle(pem).map_err(VaultOpenError::Certificates)?
            {
                builder = builder.add_root_certificate(certificate);
            }
        }
        let http = builder.build().map_err(VaultOpenError::Client)?;
        Ok(Self { http, address, mount: config.mount, retry: config.retry })
    }

    pub(super) fn address(&self) -> String {
        self.address.origin().ascii_serialization()
    }

    /// Asks the transit engine.
    pub(super) async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<&serde_json::Value>,
        repeat: Repeat,
    ) -> Result<Answer, KeyStoreError> {
        self.send(method, &format!("v1/{}/{path}", self.mount), body, repeat).await
    }

    /// Asks outside of the transit engine.
    pub(super) async fn ask_sys(
        &self,
        method: Method,
        path: &str,
    ) -> Result<Answer, KeyStoreError> {
        self.send(method, &format!("v1/{path}"), None, Repeat::Always).await
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&serde_json::Value>,
        repeat: Repeat,
    ) -> Result<Answer, KeyStoreError> {
        let mut url = self.address.clone();
        url.set_path(&format!("{}/{path}", url.path().trim_end_matches('/')));
        let mut attempt = 1;
        loop {
            let tried = self.attempt(method.clone(), url.clone(), body).await;
            let failure = match tried {
                Ok(answer) if !answer.is_passing() => return Ok(answer),
                Ok(answer) => Failure::of_answer(answer),
                Err(failure) => failure,
            };
            let again = match repeat {
                Repeat::Always => failure.passing,
                Repeat::WhenNotBegun => failure.passing && failure.not_begun,
            };
            if !again || attempt >= self.retry.attempts.get() {
                return Err(failure.error);
            }
            tracing::debug!(attempt, "the key server did not answer; trying again");
            tokio::time::sleep(self.retry.pause(attempt, failure.server_asks)).await;
            attempt += 1;
        }
    }

    async fn attempt(
        &self,
        method: Method,
        url: Url,
        body: Option<&serde_json::Value>,
    ) -> Result<Answer, Failure> {
        let mut request = self.http.request(method, url);
        if let Some(body) = body {
            request = request.json(body);
        }
        let mut response = request.send().await.map_err(Failure::of_transport)?;
        let status = response.status().as_u16();
        let retry_after = response
            .headers()
            .get(RETRY_AFTER)
            .and_then(|value| value.to_str().ok())
            .and_then(|text| text.parse().ok())
            .map(Duration::from_secs);
        let mut bytes = Zeroizing::new(Vec::new());
        while let Some(chunk) = response.chunk().await.map_err(Failure::of_transport)? {
            if bytes.len() + chunk.len() > ANSWER_BYTES_MAX {
                return Err(Failure::of_size());
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(Answer { status, retry_after, bytes })
    }
}

/// What one attempt ended with when it was no answer to use.
struct Failure {
    error: KeyStoreError,
    passing: bool,
    not_begun: bool,
    server_asks: Option<Duration>,
}

impl Failure {
    fn of_transport(error: reqwest::Error) -> Self {
        // A certificate that does not fit will not fit the next time either.
        let not_begun = error.is_connect();
        let passing =
            error.is_connect() || error.is_timeout() || error.is_request() || error.is_body();
        // Without the URL, whose path names a key.
        let error = KeyStoreError::unavailable("the key server", error.without_url());
        Self { error, passing, not_begun, server_asks: None }
    }

    fn of_answer(answer: Answer) -> Self {
        let what = match answer.status {
            429 => "the key server asks for patience (429)".to_owned(),
            503 => "the key server is sealed or in maintenance (503)".to_owned(),
            status => format!("the key server fails ({status})"),
        };
        let not_begun = matches!(answer.status, 429 | 503);
        let error = KeyStoreError::Unavailable { what, source: None };
        Self { error, passing: true, not_begun, server_asks: answer.retry_after }
    }

    fn of_size() -> Self {
        let what = format!("an answer of more than {ANSWER_BYTES_MAX} bytes");
        let error = KeyStoreError::Peer { what };
        Self { error, passing: false, not_begun: false, server_asks: None }
    }
}

/// An answer that is not worth trying again for.
pub(super) struct Answer {
    status: u16,
    retry_after: Option<Duration>,
    bytes: Zeroizing<Vec<u8>>,
}

impl Answer {
    pub(super) const fn status(&self) -> u16 {
        self.status
    }

    const fn is_passing(&self) -> bool {
        self.status == 429 || self.status >= 500
    }

    fn refusal(&self) -> Refusal {
        let said = serde_json::from_slice::<Errors>(&self.bytes)
            .map_or_else(|_| String::new(), |errors| errors.errors.join("; "));
        match self.status {
            403 => Refusal::Denied,
            404 => Refusal::Missing,
            405 => Refusal::NoSuchOperation,
            400 if said.contains("unsupported operation") || said.contains("unsupported path") => {
                Refusal::NoSuchOperation
            }
            400 => Refusal::Request(said),
            300..=399 => Refusal::Shape("it redirects; give the address of the active server"),
            _ => Refusal::Shape("a status that its API does not have"),
        }
    }

    /// The content of a positive answer.
    pub(super) fn data<T: DeserializeOwned>(&self) -> Result<T, Refusal> {
        match self.status {
            200..=299 => serde_json::from_slice::<Envelope<T>>(&self.bytes)
                .map(|envelope| envelope.data)
                .map_err(|_| Refusal::Shape("an answer without the fields of its API")),
            _ => Err(self.refusal()),
        }
    }

    /// Whether it was done, whatever the answer says besides.
    pub(super) fn done(&self) -> Result<(), Refusal> {
        match self.status {
            200..=299 => Ok(()),
            _ => Err(self.refusal()),
        }
    }
}
