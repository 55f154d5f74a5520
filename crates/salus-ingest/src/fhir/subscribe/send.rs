//! One notification.

use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, StatusCode, Url};
use salus_fhir::subscription::NotificationHeader;

use crate::fhir::repository::Stored;

/// Why an endpoint was not told; the sentence is shown to its subscriber.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum SendError {
    /// A header cannot be sent.
    #[error("a header of the subscription cannot be sent")]
    Header,
    /// No answer.
    #[error("the endpoint cannot be reached, or does not answer in time")]
    Unreachable,
    /// It sends us elsewhere.
    #[error("the endpoint answers with a redirect, which is not followed")]
    Redirect,
    /// It answers otherwise than with success.
    #[error("the endpoint answers {0}")]
    Status(u16),
}

/// What an endpoint made of a notification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Heard {
    /// It took it.
    Yes,
    /// It is gone for good, and wants no more.
    Gone,
}

/// Where notifications of a subscription go.
pub(super) struct Target {
    url: Url,
    headers: HeaderMap,
    answer: Duration,
}

impl Target {
    pub(super) fn new(
        url: Url,
        headers: &[NotificationHeader],
        answer: Duration,
    ) -> Result<Self, SendError> {
        let mut map = HeaderMap::new();
        for header in headers {
            let name = HeaderName::from_bytes(header.name.as_bytes());
            let value = HeaderValue::from_str(&header.value);
            let (Ok(name), Ok(mut value)) = (name, value) else { return Err(SendError::Header) };
            value.set_sensitive(true);
            map.append(name, value);
        }
        Ok(Self { url, headers: map, answer })
    }

    /// Tells that something changed, and not what.
    pub(super) async fn ping(&self, http: &Client) -> Result<Heard, SendError> {
        self.send(http.post(self.url.clone())).await
    }

    /// Hands over a resource, as an update of the endpoint's own copy.
    pub(super) async fn put(&self, http: &Client, stored: &Stored) -> Result<Heard, SendError> {
        let mut url = self.url.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            let (name, id) = (stored.key.resource_type(), stored.key.id().as_str());
            path.pop_if_empty().extend([name, id]);
        }
        let request = http.put(url).header(CONTENT_TYPE, "application/fhir+json; charset=utf-8");
        self.send(request.body(stored.text.to_string())).await
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Result<Heard, SendError> {
        let request = request.headers(self.headers.clone()).timeout(self.answer);
        // What it says beside its status is nobody's business here, and is not read.
        let answer = request.send().await.map_err(|_| SendError::Unreachable)?;
        match answer.status() {
            StatusCode::GONE => Ok(Heard::Gone),
            status if status.is_success() => Ok(Heard::Yes),
            status if status.is_redirection() => Err(SendError::Redirect),
            status => Err(SendError::Status(status.as_u16())),
        }
    }
}
