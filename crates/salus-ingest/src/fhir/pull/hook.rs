//! Asking a server to tell us when something changed, so that the next pull begins at once.
//!
//! What comes is a knock and nothing else: it carries no record, and whoever forges one makes us
//! pull a little earlier. Polling goes on beside it, so that a knock which is lost costs time.

use std::collections::BTreeMap;
use std::sync::Arc;

use reqwest::header::{CONTENT_TYPE, HeaderValue, LOCATION};
use reqwest::{Method, StatusCode};
use salus_crypto::OsEntropy;
use salus_model::{Entropy as _, Secret};
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use tokio::sync::Notify;

use super::error::PullError;
use super::origin::BaseUrl;
use super::puller::Puller;
use super::wire::{ANSWER_BYTES, Words, body, parse, refusal};

const WHAT: &str = "subscribing to changes";
const FORMAT: u32 = 1;

/// Makes a puller begin its next pull now.
#[derive(Debug, Clone, Default)]
pub struct Nudge(Arc<Notify>);

impl Nudge {
    /// Now; several before it gets to it are one.
    pub fn now(&self) {
        self.0.notify_one();
    }

    pub(super) async fn come(&self) {
        self.0.notified().await;
    }
}

/// What is kept of our subscriptions at one server.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Hook {
    pub(super) format: u32,
    /// What the server shows us when it knocks.
    secret: String,
    /// Our subscription for each resource type, by its id there.
    subscriptions: BTreeMap<String, String>,
}

impl Drop for Hook {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.secret);
    }
}

impl Hook {
    fn generate() -> Result<Self, PullError> {
        let mut random = zeroize::Zeroizing::new([0; 32]);
        OsEntropy.fill(&mut *random)?;
        let secret: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { format: FORMAT, secret, subscriptions: BTreeMap::new() })
    }
}

/// What is asked of the server.
fn wish(resource_type: &str, endpoint: &BaseUrl, secret: &str) -> Json {
    json!({
        "resourceType": "Subscription",
        "status": "requested",
        "reason": "Salus keeps up with changes",
        "criteria": format!("{resource_type}?"),
        "channel": {
            "type": "rest-hook",
            "endpoint": endpoint.as_str(),
            "header": [format!("Authorization: Bearer {secret}")],
        },
    })
}

/// Whether a subscription that the server shows still tells us.
fn tells(shown: &Json, endpoint: &BaseUrl) -> bool {
    let text = |pointer: &str| shown.pointer(pointer).and_then(Json::as_str);
    matches!(text("/status"), Some("requested" | "active"))
        && text("/channel/endpoint") == Some(endpoint.as_str())
}

impl Puller {
    async fn hook(&self) -> Result<Hook, PullError> {
        let name = &self.source().name;
        if let Some(hook) = self.folder().read_hook(name).await? {
            return if hook.format == FORMAT { Ok(hook) } else { Err(PullError::Damaged) };
        }
        let hook = Hook::generate()?;
        self.folder().write_hook(name, &hook).await?;
        Ok(hook)
    }

    /// What the server has to show us when it knocks; the same after a restart.
    ///
    /// # Errors
    /// When what is kept does not open.
    pub async fn hook_secret(&self) -> Result<Secret<String>, PullError> {
        Ok(Secret::new(self.hook().await?.secret.clone()))
    }

    /// Sees to it that the server tells us at `endpoint` of each type that is pulled: makes the
    /// subscriptions that are not there, or tell no more. How many were made.
    ///
    /// # Errors
    /// When the server refuses or cannot be reached; what was made is kept.
    pub async fn subscribe(&self, endpoint: &BaseUrl) -> Result<usize, PullError> {
        let mut hook = self.hook().await?;
        let mut made = 0;
        for name in &self.source().types {
            let known = hook.subscriptions.get(*name).cloned();
            if let Some(id) = &known {
                if self.still_tells(id, endpoint).await? {
                    continue;
                }
                self.unsubscribe(id).await;
            }
            let id = self.make(name, endpoint, &hook.secret).await?;
            hook.subscriptions.insert((*name).to_owned(), id);
            self.folder().write_hook(&self.source().name, &hook).await?;
            made += 1;
        }
        Ok(made)
    }

    async fn still_tells(&self, id: &str, endpoint: &BaseUrl) -> Result<bool, PullError> {
        let url = self.wire().base.below(&["Subscription", id]);
        let response = self.wire().send(self.wire().ask(WHAT, url.clone())).await?;
        match response.status() {
            StatusCode::OK => {
                let bytes = body(WHAT, &url, response, ANSWER_BYTES).await?;
                Ok(tells(&parse(WHAT, &url, &bytes)?, endpoint))
            }
            StatusCode::NOT_FOUND | StatusCode::GONE => Ok(false),
            _ => Err(refusal(WHAT, &url, response, Words::Codes).await),
        }
    }

    /// One that tells no more; should it stay there, it does no harm.
    async fn unsubscribe(&self, id: &str) {
        let mut ask = self.wire().ask(WHAT, self.wire().base.below(&["Subscription", id]));
        (ask.method, ask.attempts) = (Method::DELETE, 0);
        let _ = self.wire().send(ask).await;
    }

    async fn make(
        &self,
        resource_type: &str,
        endpoint: &BaseUrl,
        secret: &str,
    ) -> Result<String, PullError> {
        let url = self.wire().base.below(&["Subscription"]);
        let mut ask = self.wire().ask(WHAT, url.clone());
        // Once: after an answer that got lost there may be one already.
        (ask.method, ask.attempts) = (Method::POST, 0);
        ask.body = Some(wish(resource_type, endpoint, secret).to_string().into_bytes());
        let json = HeaderValue::from_static("application/fhir+json");
        ask.headers.push((CONTENT_TYPE, json));
        let response = self.wire().send(ask).await?;
        if response.status() != StatusCode::CREATED && response.status() != StatusCode::OK {
            return Err(refusal(WHAT, &url, response, Words::Codes).await);
        }
        let location = response.headers().get(LOCATION).and_then(|l| l.to_str().ok());
        let located = location.and_then(id_in).map(str::to_owned);
        let bytes = body(WHAT, &url, response, ANSWER_BYTES).await?;
        let shown = serde_json::from_slice::<Json>(&bytes).ok();
        let id = shown.as_ref().and_then(|s| s.get("id")).and_then(Json::as_str);
        let how = "it makes a subscription without telling its id";
        id.map(str::to_owned).or(located).ok_or_else(|| PullError::Protocol {
            what: WHAT,
            origin: self.wire().base.origin(),
            how,
        })
    }
}

/// The id in `…/Subscription/id/_history/1`.
fn id_in(location: &str) -> Option<&str> {
    let (_, rest) = location.rsplit_once("Subscription/")?;
    rest.split(['/', '?']).next().filter(|id| !id.is_empty())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_id_is_found_wherever_a_server_puts_it() {
        for location in ["https://h/r4/Subscription/7/_history/1", "Subscription/7"] {
            assert_eq!(id_in(location), Some("7"));
        }
        assert_eq!(id_in("https://h/r4/Observation/7"), None);
        assert_eq!(id_in("https://h/r4/Subscription/"), None);
    }

    #[test]
    fn what_is_asked_conforms_and_one_that_rests_does_not_tell() {
        let endpoint: BaseUrl = "https://salus.example/fhir-hooks/main".parse().unwrap();
        let mut wish = wish("Observation", &endpoint, "s3cret");
        assert!(salus_fhir::validate(&wish).is_empty());
        assert!(tells(&wish, &endpoint));
        wish["status"] = json!("error");
        assert!(!tells(&wish, &endpoint));
        let elsewhere: BaseUrl = "https://salus.example/fhir-hooks/other".parse().unwrap();
        wish["status"] = json!("active");
        assert!(!tells(&wish, &elsewhere));
    }
}
