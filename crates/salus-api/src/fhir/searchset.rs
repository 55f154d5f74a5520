//! Bundles of what was found.

use salus_fhir::{Issue, IssueCode, Severity, operation_outcome};
use salus_ingest::fhir::repository::{HistoryPage, PastVersion, SearchPage, Stored};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use super::headers::etag;

#[derive(Serialize)]
struct Link<'a> {
    relation: &'static str,
    url: &'a str,
}

#[derive(Serialize)]
struct Search {
    mode: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Response {
    status: &'static str,
    etag: String,
    last_modified: String,
}

#[derive(Serialize)]
struct Request {
    method: &'static str,
    url: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    #[serde(skip_serializing_if = "Option::is_none")]
    full_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    search: Option<Search>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<Request>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response: Option<Response>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Bundle<'a> {
    resource_type: &'static str,
    r#type: &'static str,
    total: usize,
    link: Vec<Link<'a>>,
    // A list without members is not allowed in FHIR.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    entry: Vec<Entry>,
}

/// The links of a page.
pub(super) struct Links {
    pub(super) own: String,
    pub(super) next: Option<String>,
}

impl Links {
    fn shown(&self) -> Vec<Link<'_>> {
        let next = self.next.iter().map(|url| Link { relation: "next", url });
        std::iter::once(Link { relation: "self", url: &self.own }).chain(next).collect()
    }
}

fn raw(text: &str) -> Option<Box<RawValue>> {
    RawValue::from_string(text.to_owned()).ok()
}

fn found(base: &str, stored: &Stored, mode: &'static str) -> Entry {
    Entry {
        full_url: Some(format!("{base}/{}", stored.key)),
        resource: raw(&stored.text),
        search: Some(Search { mode }),
        request: None,
        response: None,
    }
}

/// A `searchset`, with what a client should know about how it was searched.
pub(super) fn searchset(base: &str, links: &Links, page: &SearchPage, notes: &[Issue]) -> String {
    let matches = page.matches.iter().map(|stored| found(base, stored, "match"));
    let included = page.included.iter().map(|stored| found(base, stored, "include"));
    let mut entry: Vec<Entry> = matches.chain(included).collect();
    let mut notes = notes.to_vec();
    if !page.included_all {
        notes.push(note("not all that _include and _revinclude ask for is on this page"));
    }
    if !notes.is_empty() {
        let outcome = to_raw_value(&operation_outcome(&notes)).ok();
        let search = Some(Search { mode: "outcome" });
        entry.push(Entry {
            full_url: None,
            resource: outcome,
            search,
            request: None,
            response: None,
        });
    }
    encoded(&Bundle {
        resource_type: "Bundle",
        r#type: "searchset",
        total: page.total,
        link: links.shown(),
        entry,
    })
}

pub(super) fn note(diagnostics: impl Into<String>) -> Issue {
    Issue {
        severity: Severity::Warning,
        code: IssueCode::NotSupported,
        diagnostics: diagnostics.into(),
        expression: None,
    }
}

fn past(base: &str, version: &PastVersion) -> Entry {
    let key = &version.key;
    let (url, status) = match (version.method.verb(), version.first) {
        ("POST", _) => (key.resource_type().to_owned(), "201 Created"),
        ("DELETE", _) => (key.to_string(), "204 No Content"),
        (_, true) => (key.to_string(), "201 Created"),
        (_, false) => (key.to_string(), "200 OK"),
    };
    Entry {
        full_url: Some(format!("{base}/{key}")),
        resource: version.text.as_deref().and_then(raw),
        search: None,
        request: Some(Request { method: version.method.verb(), url }),
        response: Some(Response {
            status,
            etag: etag(version.version),
            last_modified: version.last_updated.to_string(),
        }),
    }
}

/// A `history`.
pub(super) fn history(base: &str, links: &Links, page: &HistoryPage) -> String {
    encoded(&Bundle {
        resource_type: "Bundle",
        r#type: "history",
        total: page.total,
        link: links.shown(),
        entry: page.versions.iter().map(|version| past(base, version)).collect(),
    })
}

fn encoded(bundle: &Bundle<'_>) -> String {
    // Strings, numbers and JSON that was parsed before: there is nothing in it that can fail.
    serde_json::to_string(bundle).unwrap_or_default()
}
