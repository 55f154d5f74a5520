//! SMART Backend Services: a signed assertion against a short-lived token.

use std::collections::BTreeSet;
use std::sync::Arc;

use reqwest::header::{ACCEPT, HeaderValue};
use reqwest::{StatusCode, Url};
use salus_crypto::OsEntropy;
use salus_model::{Entropy as _, Secret, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use super::config::Told;
use super::error::PullError;
use super::key::ClientKey;
use super::origin::{BaseUrl, Origin};
use super::wire::{Token, Wire, Words, body, is_busy, refusal, unreachable};

/// How long an assertion holds; the specification allows five minutes.
const ASSERTION_SECONDS: i64 = 240;
/// A token is renewed when this is left of it, or half of its life if that is less.
const RENEW_SECONDS: i64 = 60;
/// What is assumed of a token whose server does not say how long it holds.
const UNSAID_SECONDS: i64 = 300;
const TOKEN_BYTES: u64 = 64 << 10;
const SIGNING_IN: &str = "signing in";

/// What we show to a server.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one for a whole pull")]
pub enum Credentials {
    /// Nothing; for servers on this machine alone.
    None,
    /// A token that a person obtained.
    Bearer(Arc<Secret<String>>),
    /// SMART Backend Services.
    Backend(BackendServices),
}

/// A client registered with a server.
///
/// # Source
/// SMART App Launch 2.2, "Backend Services" and "Client Authentication: Asymmetric".
#[derive(Debug)]
pub struct BackendServices {
    /// The client's id, as registered.
    pub client_id: String,
    /// Its key.
    pub key: ClientKey,
    /// The scopes to ask for; by default reading of the types that are pulled.
    pub scope: Option<String>,
    /// Where tokens are issued; by default as the server's `.well-known/smart-configuration` says.
    pub token_url: Option<BaseUrl>,
    /// The resource types that are pulled; none for all.
    pub types: BTreeSet<&'static str>,
    /// Whether Subscriptions are to be made there.
    pub told: Told,
}

#[derive(Deserialize)]
struct SmartConfiguration {
    token_endpoint: String,
    #[serde(default)]
    token_endpoint_auth_signing_alg_values_supported: Vec<String>,
    #[serde(default)]
    capabilities: Vec<String>,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    sub: &'a str,
    aud: &'a str,
    iat: i64,
    exp: i64,
    jti: String,
}

#[derive(Deserialize)]
struct Answer {
    access_token: String,
    token_type: String,
    expires_in: Option<i64>,
}

struct Issued {
    token: Arc<Secret<String>>,
    renew: Timestamp,
}

struct Endpoint {
    url: Url,
    scope: String,
}

/// The token of the moment.
pub(crate) struct Tokens {
    credentials: Credentials,
    issued: Mutex<Option<Issued>>,
}

impl Tokens {
    pub(crate) fn new(credentials: Credentials) -> Self {
        Self { credentials, issued: Mutex::new(None) }
    }

    /// Forgets the token, so that the next request gets a new one; false when there is no other.
    pub(crate) async fn forget(&self) -> bool {
        self.issued.lock().await.take().is_some()
    }

    /// A token that holds for a while yet.
    pub(crate) async fn current(
        &self,
        wire: &Wire,
    ) -> Result<Option<Arc<Secret<String>>>, PullError> {
        let client = match &self.credentials {
            Credentials::None => return Ok(None),
            Credentials::Bearer(token) => return Ok(Some(Arc::clone(token))),
            Credentials::Backend(client) => client,
        };
        let mut issued = self.issued.lock().await;
        if let Some(known) = issued.as_ref().filter(|known| wire.clock.now() < known.renew) {
            return Ok(Some(Arc::clone(&known.token)));
        }
        let endpoint = client.discover(wire).await?;
        let new = client.sign_in(wire, &endpoint).await?;
        let token = Arc::clone(&new.token);
        *issued = Some(new);
        Ok(Some(token))
    }
}

impl BackendServices {
    async fn discover(&self, wire: &Wire) -> Result<Endpoint, PullError> {
        const WHAT: &str = "asking how to sign in";
        let origin = wire.base.origin();
        let protocol = |how| PullError::Protocol { what: WHAT, origin: origin.clone(), how };
        let v1 = || self.scope.clone().unwrap_or_else(|| scope(&self.types, "read", self.told));
        if let Some(url) = &self.token_url {
            return Ok(Endpoint { url: url.below(&[]), scope: v1() });
        }
        let url = wire.base.below(&[".well-known", "smart-configuration"]);
        let mut ask = wire.ask(WHAT, url.clone());
        ask.accept = "application/json";
        ask.token = Token::Withhold;
        // Boxed because asking with a token asks for a token, which asks this without one.
        let json = Box::pin(wire.json(ask)).await?;
        let found: SmartConfiguration = serde_json::from_value(json)
            .map_err(|_| protocol("its smart-configuration names no token_endpoint"))?;
        let algorithms = &found.token_endpoint_auth_signing_alg_values_supported;
        let ours = self.key.algorithm().as_str();
        if !algorithms.is_empty() && !algorithms.iter().any(|a| a == ours) {
            return Err(protocol(
                "it does not accept keys of this kind; RS384 is RSA, ES384 P-384",
            ));
        }
        let v2 = found.capabilities.iter().any(|c| c == "permission-v2");
        let v1_only = found.capabilities.iter().any(|c| c == "permission-v1") && !v2;
        let scope = match &self.scope {
            Some(scope) => scope.clone(),
            None if v1_only || !v2 => v1(),
            None => scope(&self.types, "rs", self.told),
        };
        // A token endpoint of another host is usual; what goes there is an assertion that names
        // it as its audience, of no use to anybody else.
        let url = wire.base.named(&url, &found.token_endpoint, &wire.trusted)?;
        Ok(Endpoint { url, scope })
    }

    fn assertion(&self, audience: &str, now: Timestamp) -> Result<String, PullError> {
        let mut random = [0; 16];
        OsEntropy.fill(&mut random)?;
        let iat = now.as_micros() / 1_000_000;
        let claims = Claims {
            iss: &self.client_id,
            sub: &self.client_id,
            aud: audience,
            iat,
            exp: iat + ASSERTION_SECONDS,
            jti: format!("{:032x}", u128::from_be_bytes(random)),
        };
        self.key.sign(&claims).ok_or(PullError::Sign)
    }

    async fn sign_in(&self, wire: &Wire, endpoint: &Endpoint) -> Result<Issued, PullError> {
        let url = &endpoint.url;
        let mut attempt = 0;
        let (response, now) = loop {
            let now = wire.clock.now();
            // Each attempt has its own assertion: a server accepts none twice.
            let assertion = Secret::new(self.assertion(url.as_str(), now)?);
            let form = [
                ("grant_type", "client_credentials"),
                ("scope", endpoint.scope.as_str()),
                ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
                ("client_assertion", assertion.expose()),
            ];
            let request = wire.http.post(url.clone()).form(&form);
            let sent = request.header(ACCEPT, HeaderValue::from_static("application/json"));
            let answer = sent.send().await.map_err(|e| unreachable(SIGNING_IN, url, e));
            let wait = match &answer {
                Ok(response) if is_busy(response.status()) => wire.asked_wait(response),
                Err(_) if wire.was_reached() => None,
                _ => break (answer?, now),
            };
            if attempt >= wire.pace.attempts {
                break (answer?, now);
            }
            tokio::time::sleep(wire.pace.wait(attempt, wait)).await;
            attempt += 1;
        };
        if response.status() != StatusCode::OK {
            return Err(refusal(SIGNING_IN, url, response, Words::All).await);
        }
        let bytes = zeroize::Zeroizing::new(body(SIGNING_IN, url, response, TOKEN_BYTES).await?);
        let protocol = |how| PullError::Protocol { what: SIGNING_IN, origin: Origin::of(url), how };
        let answer: Answer = serde_json::from_slice(&bytes)
            .map_err(|_| protocol("there is no access_token with a token_type"))?;
        let token = Arc::new(Secret::new(answer.access_token));
        if !answer.token_type.eq_ignore_ascii_case("bearer") {
            return Err(protocol("the token is no bearer token"));
        }
        let life = answer.expires_in.unwrap_or(UNSAID_SECONDS).max(0);
        let renew = life - RENEW_SECONDS.min(life / 2);
        Ok(Issued { token, renew: now.saturating_add_micros(renew.saturating_mul(1_000_000)) })
    }
}

/// Reading of some types or of all, as version 1 (`read`) or 2 (`rs`) of the scopes writes it,
/// and Subscriptions where they are to be made.
fn scope(types: &BTreeSet<&'static str>, right: &str, told: Told) -> String {
    let mut scopes: Vec<String> = types.iter().map(|n| format!("system/{n}.{right}")).collect();
    if scopes.is_empty() {
        scopes.push(format!("system/*.{right}"));
    }
    match (told, right) {
        (Told::ByPolling, _) => {}
        (Told::BySubscription, "rs") => scopes.push("system/Subscription.crud".to_owned()),
        (Told::BySubscription, _) => scopes.push("system/Subscription.*".to_owned()),
    }
    scopes.join(" ")
}
