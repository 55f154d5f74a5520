//! What an R4 Subscription asks a server for.

use salus_model::Timestamp;
use serde_json::Value as Json;

use crate::outcome::{Issue, IssueCode};
use crate::search::SearchQuery;

/// The most headers that a subscription may have sent with its notifications.
const MOST_HEADERS: usize = 16;
/// The most bytes of one of them.
const MOST_HEADER_BYTES: usize = 8 * 1024;

/// What the client wants to become of its subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WantedStatus {
    /// It is to be made active once its endpoint answers.
    Requested,
    /// It is to rest.
    Off,
}

/// What a notification carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotificationPayload {
    /// Nothing: that something changed is all that it tells.
    Empty,
    /// The resource as JSON.
    Resource,
}

/// A header of a notification; its value may be a credential.
#[derive(Clone, PartialEq, Eq)]
pub struct NotificationHeader {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
}

impl std::fmt::Debug for NotificationHeader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "NotificationHeader({}: redacted)", self.name)
    }
}

/// What a Subscription of the channel `rest-hook` asks for.
///
/// # Source
/// HL7 FHIR R4 "Subscription".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubscriptionRequest {
    /// What the client wants to become of it.
    pub status: WantedStatus,
    /// What a resource has to meet.
    pub query: SearchQuery,
    /// Where notifications go, as the client wrote it.
    pub endpoint: String,
    /// What they carry.
    pub payload: NotificationPayload,
    /// What is sent with them.
    pub headers: Vec<NotificationHeader>,
    /// When it ends.
    pub end: Option<Timestamp>,
}

impl SubscriptionRequest {
    /// Reads a Subscription that conforms to R4.
    ///
    /// # Errors
    /// An issue for each element that asks for what is not offered.
    pub fn parse(resource: &Json, now: Timestamp) -> Result<Self, Vec<Issue>> {
        let mut issues = Vec::new();
        let parsed = (
            or_note(status(resource), &mut issues),
            or_note(criteria(resource, now), &mut issues),
            or_note(endpoint(resource), &mut issues),
            or_note(payload(resource), &mut issues),
            or_note(headers(resource), &mut issues),
            or_note(end(resource, now), &mut issues),
        );
        match parsed {
            (
                Some(status),
                Some(query),
                Some(endpoint),
                Some(payload),
                Some(headers),
                Some(end),
            ) if issues.is_empty() => Ok(Self { status, query, endpoint, payload, headers, end }),
            _ => Err(issues),
        }
    }
}

fn or_note<T>(part: Result<T, Issue>, issues: &mut Vec<Issue>) -> Option<T> {
    part.map_err(|issue| issues.push(issue)).ok()
}

fn text<'r>(resource: &'r Json, pointer: &str) -> Option<&'r str> {
    resource.pointer(pointer).and_then(Json::as_str)
}

fn refused(code: IssueCode, element: &str, message: &str) -> Issue {
    Issue::error(code, format!("Subscription.{element}"), message)
}

fn status(resource: &Json) -> Result<WantedStatus, Issue> {
    match text(resource, "/status") {
        Some("requested") => Ok(WantedStatus::Requested),
        Some("off") => Ok(WantedStatus::Off),
        _ => {
            let message = "a client sends 'requested' or 'off'; the server makes it active";
            Err(refused(IssueCode::BusinessRule, "status", message))
        }
    }
}

fn criteria(resource: &Json, now: Timestamp) -> Result<SearchQuery, Issue> {
    let wrong = |message: &str| refused(IssueCode::Value, "criteria", message);
    let criteria = text(resource, "/criteria").unwrap_or_default();
    let (name, query) = criteria.split_once('?').unwrap_or((criteria, ""));
    let query = SearchQuery::parse(name, query, now).map_err(|e| wrong(&e.to_string()))?;
    let extras = query.count.is_some()
        || !query.sort.is_empty()
        || !query.include.is_empty()
        || !query.revinclude.is_empty();
    if extras {
        return Err(wrong("criteria are conditions alone, without _count, _sort and includes"));
    }
    if query.resource_type == "Subscription" {
        return Err(wrong("nobody is notified of subscriptions"));
    }
    Ok(query)
}

fn endpoint(resource: &Json) -> Result<String, Issue> {
    if text(resource, "/channel/type") != Some("rest-hook") {
        let message = "rest-hook is the channel that is offered";
        return Err(refused(IssueCode::NotSupported, "channel.type", message));
    }
    text(resource, "/channel/endpoint").map(str::to_owned).ok_or_else(|| {
        refused(IssueCode::Required, "channel.endpoint", "a rest-hook needs an endpoint")
    })
}

fn payload(resource: &Json) -> Result<NotificationPayload, Issue> {
    match text(resource, "/channel/payload") {
        None => Ok(NotificationPayload::Empty),
        Some("application/fhir+json" | "application/json") => Ok(NotificationPayload::Resource),
        Some(_) => {
            let message = "notifications carry application/fhir+json, or nothing";
            Err(refused(IssueCode::NotSupported, "channel.payload", message))
        }
    }
}

/// Headers by which a sender could make an endpoint misread who asks, or where a message ends.
const NOT_TO_BE_SET: [&str; 9] = [
    "connection",
    "content-length",
    "content-type",
    "expect",
    "host",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

fn headers(resource: &Json) -> Result<Vec<NotificationHeader>, Issue> {
    let lines = resource.pointer("/channel/header").and_then(Json::as_array);
    let lines = lines.map_or(&[][..], Vec::as_slice);
    if lines.len() > MOST_HEADERS {
        let message = format!("at most {MOST_HEADERS} headers are sent");
        return Err(refused(IssueCode::TooLong, "channel.header", &message));
    }
    let one = |(at, line): (usize, &Json)| {
        let element = format!("channel.header[{at}]");
        let wrong = |message: &str| refused(IssueCode::Value, &element, message);
        let line = line.as_str().unwrap_or_default();
        let (name, value) =
            line.split_once(':').ok_or_else(|| wrong("a header is written 'Name: value'"))?;
        let (name, value) = (name.trim(), value.trim());
        let token = |c: u8| c.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&c);
        let visible = |c: u8| (0x20..0x7f).contains(&c);
        if name.is_empty()
            || !name.bytes().all(token)
            || !value.bytes().all(visible)
            || line.len() > MOST_HEADER_BYTES
        {
            return Err(wrong("this is no header of HTTP, or too long for one"));
        }
        if NOT_TO_BE_SET.contains(&name.to_ascii_lowercase().as_str()) {
            return Err(wrong("this header is the sender's own"));
        }
        Ok(NotificationHeader { name: name.to_owned(), value: value.to_owned() })
    };
    lines.iter().enumerate().map(one).collect()
}

fn end(resource: &Json, now: Timestamp) -> Result<Option<Timestamp>, Issue> {
    let Some(end) = text(resource, "/end") else { return Ok(None) };
    let end: Timestamp = end
        .parse()
        .map_err(|_| refused(IssueCode::Value, "end", "an instant such as 2027-01-01T00:00:00Z"))?;
    if end <= now {
        return Err(refused(IssueCode::BusinessRule, "end", "its end has passed"));
    }
    Ok(Some(end))
}

#[cfg(test)]
mod tests;
