//! The asynchronous request: kick-off, waiting, cancelling.

use std::time::Duration;

use reqwest::header::{CONTENT_LOCATION, HeaderName, HeaderValue};
use reqwest::{Method, StatusCode, Url};
use salus_fhir::ResourceId;
use tokio::time::Instant;

use super::error::PullError;
use super::manifest::Manifest;
use super::origin::Origin;
use super::wire::{
    ANSWER_BYTES, Token, Wire, Words, body, is_busy, is_transient, parse, printable, refusal,
};

const STARTING: &str = "starting the export";
const WAITING: &str = "waiting for the export";

/// Whose records are exported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExportLevel {
    /// Everything that the server has.
    System,
    /// Everything about its patients.
    Patients,
    /// Everything about the patients of a Group.
    Group(ResourceId),
}

/// What is asked for.
pub(crate) struct ExportRequest<'a> {
    pub(crate) level: &'a ExportLevel,
    pub(crate) types: Vec<&'static str>,
    pub(crate) since: Option<&'a str>,
}

/// What a job said when it was last asked.
pub(crate) enum Waited {
    Done(Manifest),
    /// The server knows the job no more.
    Gone,
}

impl Wire {
    fn export_url(&self, request: &ExportRequest<'_>) -> Url {
        let mut url = match request.level {
            ExportLevel::System => self.base.below(&["$export"]),
            ExportLevel::Patients => self.base.below(&["Patient", "$export"]),
            ExportLevel::Group(id) => self.base.below(&["Group", id.as_str(), "$export"]),
        };
        {
            let mut query = url.query_pairs_mut();
            query.append_pair("_outputFormat", "application/fhir+ndjson");
            if !request.types.is_empty() {
                query.append_pair("_type", &request.types.join(","));
            }
            if let Some(since) = request.since {
                query.append_pair("_since", since);
            }
        }
        url
    }

    /// Starts an export; where to ask how it goes.
    pub(crate) async fn kick_off(&self, request: &ExportRequest<'_>) -> Result<Url, PullError> {
        let url = self.export_url(request);
        let mut ask = self.ask(STARTING, url.clone());
        ask.headers =
            vec![(HeaderName::from_static("prefer"), HeaderValue::from_static("respond-async"))];
        let response = self.send(ask).await?;
        if response.status() != StatusCode::ACCEPTED {
            return Err(refusal(STARTING, &url, response, Words::All).await);
        }
        let location = response.headers().get(CONTENT_LOCATION).and_then(|l| l.to_str().ok());
        let how = "it accepts without Content-Location";
        let origin = Origin::of(&url);
        let location = location.ok_or(PullError::Protocol { what: STARTING, origin, how })?;
        let status = self.base.named(&url, location, &self.trusted)?;
        let origin = Origin::of(&status);
        match self.is_trusted(&origin) {
            true => Ok(status),
            false => Err(PullError::ForeignToken { what: STARTING, origin }),
        }
    }

    /// Waits until an export is done; `progress` hears what the server says of it.
    pub(crate) async fn wait_for(
        &self,
        status: &Url,
        until: Instant,
        mut progress: impl FnMut(&str),
    ) -> Result<Waited, PullError> {
        let mut attempt = 0;
        let mut failures = 0;
        loop {
            let mut ask = self.ask(WAITING, status.clone());
            ask.accept = "application/json";
            // Waiting has its own patience.
            ask.attempts = 0;
            let asked = match self.send(ask).await {
                Ok(response) if response.status() == StatusCode::OK => {
                    let bytes = body(WAITING, status, response, ANSWER_BYTES).await?;
                    let json = parse(WAITING, status, &bytes)?;
                    let manifest = Manifest::parse(&json, &self.base, status, &self.trusted)?;
                    return Ok(Waited::Done(manifest));
                }
                Ok(response) if response.status() == StatusCode::ACCEPTED => {
                    failures = 0;
                    let said = response.headers().get("x-progress").and_then(|v| v.to_str().ok());
                    progress(&printable(said.unwrap_or_default()));
                    self.asked_wait(&response)
                }
                Ok(response) if matches!(response.status().as_u16(), 404 | 410) => {
                    return Ok(Waited::Gone);
                }
                Ok(response) if is_busy(response.status()) => {
                    // One that asks us to slow down is well.
                    if response.status() != StatusCode::TOO_MANY_REQUESTS {
                        failures += 1;
                    }
                    if failures > self.pace.attempts {
                        return Err(refusal(WAITING, status, response, Words::Codes).await);
                    }
                    self.asked_wait(&response)
                }
                Ok(response) => {
                    failures += 1;
                    let wait = self.asked_wait(&response);
                    let code = response.status().as_u16();
                    let bytes = body(WAITING, status, response, ANSWER_BYTES).await?;
                    let passing = code >= 500 && is_transient(&bytes);
                    if !passing || failures > self.pace.attempts {
                        let origin = Origin::of(status);
                        let said = String::new();
                        return Err(PullError::Status {
                            what: WAITING,
                            origin,
                            status: code,
                            said,
                        });
                    }
                    wait
                }
                Err(e @ PullError::Unreachable { .. }) => {
                    failures += 1;
                    if failures > self.pace.attempts {
                        return Err(e);
                    }
                    None
                }
                Err(e) => return Err(e),
            };
            let wait = self.pace.wait(attempt, asked);
            if Instant::now() + wait > until {
                self.cancel(status).await;
                let hours = self.pace.patience.as_secs() / 3600;
                return Err(PullError::OutOfPatience { hours });
            }
            tokio::time::sleep(wait).await;
            attempt += 1;
        }
    }

    /// Tells the server that the export is no longer needed.
    ///
    /// Whether it heard is of no consequence: exports expire by themselves.
    pub(crate) async fn cancel(&self, status: &Url) {
        let mut ask = self.ask("removing the export", status.clone());
        ask.method = Method::DELETE;
        ask.attempts = 1;
        ask.token = Token::Show;
        let told = tokio::time::timeout(Duration::from_secs(30), self.send(ask)).await;
        match told {
            Ok(Ok(response)) if response.status().is_success() => {}
            Ok(Ok(response)) => {
                let status = response.status().as_u16();
                tracing::info!(status, "the server did not remove an export that is done with");
            }
            Ok(Err(_)) | Err(_) => tracing::info!("an export that is done with was not removed"),
        }
    }
}
