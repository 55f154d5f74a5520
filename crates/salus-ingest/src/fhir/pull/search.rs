//! Servers without `$export`: what they can do, and pages of searches and histories.

use std::collections::BTreeSet;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use reqwest::header::DATE;
use reqwest::{StatusCode, Url};
use salus_fhir::definitions;
use serde_json::Value as Json;

use super::error::PullError;
use super::origin::Origin;
use super::wire::{ANSWER_BYTES, Wire, Words, body, parse, refusal};
use crate::fhir::source::deletion;

const READING: &str = "reading a page";
const ASKING: &str = "asking what the server offers";
/// Resources a page.
const PAGE: &str = "500";
/// How far a pull reaches back behind the last one: writes that were under way then, and clocks
/// of a server's machines that differ.
const OVERLAP: TimeDelta = TimeDelta::seconds(60);

/// What a server offers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Offer {
    pub(crate) bulk: bool,
    pub(crate) history: bool,
    /// The resource types of R4 that it searches.
    pub(crate) types: Vec<&'static str>,
    /// When it said so, in its own time, less an overlap.
    pub(crate) at: String,
}

fn array<'j>(json: &'j Json, name: &str) -> impl Iterator<Item = &'j Json> {
    json.get(name).and_then(Json::as_array).into_iter().flatten()
}

fn text<'j>(json: &'j Json, name: &str) -> &'j str {
    json.get(name).and_then(Json::as_str).unwrap_or_default()
}

fn is_export(operation: &Json) -> bool {
    let name = text(operation, "name").trim_start_matches('$');
    let definition = text(operation, "definition");
    matches!(name, "export" | "patient-export" | "group-export")
        || definition.contains("/uv/bulkdata/OperationDefinition/")
        || definition.ends_with("-export")
}

fn offer(statement: &Json) -> Offer {
    let mut offer = Offer::default();
    let instantiates = statement.get("instantiates").and_then(Json::as_array);
    offer.bulk = instantiates.into_iter().flatten().filter_map(Json::as_str).any(|canonical| {
        canonical.starts_with("http://hl7.org/fhir/uv/bulkdata/CapabilityStatement/")
    });
    let servers = array(statement, "rest").filter(|rest| text(rest, "mode") == "server");
    for rest in servers {
        offer.bulk |= array(rest, "operation").any(is_export);
        offer.history |= array(rest, "interaction").any(|i| text(i, "code") == "history-system");
        for resource in array(rest, "resource") {
            offer.bulk |= array(resource, "operation").any(is_export);
            let searches = array(resource, "interaction").any(|i| text(i, "code") == "search-type");
            let known = definitions().resource_named(text(resource, "type"));
            if let (true, Some(id)) = (searches, known) {
                offer.types.push(definitions().definition(id).name);
            }
        }
    }
    offer
}

/// A page: lines of resources and lines of deletions, and where the next one is.
#[derive(Default)]
pub(crate) struct Page {
    pub(crate) resources: Vec<u8>,
    pub(crate) deletions: Vec<u8>,
    pub(crate) next: Option<Url>,
}

impl Wire {
    /// What the server's CapabilityStatement says.
    pub(crate) async fn offer(&self) -> Result<Offer, PullError> {
        let url = self.base.below(&["metadata"]);
        let response = self.send(self.ask(ASKING, url.clone())).await?;
        if response.status() != StatusCode::OK {
            return Err(refusal(ASKING, &url, response, Words::All).await);
        }
        let date = response.headers().get(DATE).and_then(|date| date.to_str().ok());
        let date = date.and_then(|date| DateTime::parse_from_rfc2822(date).ok());
        let ours = DateTime::from_timestamp_micros(self.clock.now().as_micros());
        let now = date.map(|date| date.with_timezone(&Utc)).or(ours).unwrap_or_default();
        let bytes = body(ASKING, &url, response, ANSWER_BYTES).await?;
        let statement = parse(ASKING, &url, &bytes)?;
        if text(&statement, "resourceType") != "CapabilityStatement" {
            let how = "there is no CapabilityStatement at its /metadata";
            return Err(PullError::Protocol { what: ASKING, origin: Origin::of(&url), how });
        }
        let at = (now - OVERLAP).to_rfc3339_opts(SecondsFormat::Secs, true);
        Ok(Offer { at, ..offer(&statement) })
    }

    /// Where a search for one type begins.
    pub(crate) fn search_url(&self, kind: &str, since: Option<&str>) -> Url {
        let mut url = self.base.below(&[kind]);
        {
            let mut query = url.query_pairs_mut();
            query.append_pair("_count", PAGE).append_pair("_sort", "_lastUpdated");
            if let Some(since) = since {
                query.append_pair("_lastUpdated", &format!("ge{since}"));
            }
        }
        url
    }

    /// Where the system's history begins.
    pub(crate) fn history_url(&self, since: &str) -> Url {
        let mut url = self.base.below(&["_history"]);
        url.query_pairs_mut().append_pair("_count", PAGE).append_pair("_since", since);
        url
    }

    /// Reads a page; of `only` some types, unless there are none.
    pub(crate) async fn page(
        &self,
        url: &Url,
        only: &BTreeSet<&'static str>,
    ) -> Result<Page, PullError> {
        let response = self.send(self.ask(READING, url.clone())).await?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND | StatusCode::GONE => {
                return Err(PullError::Expired { what: READING });
            }
            _ => return Err(refusal(READING, url, response, Words::Codes).await),
        }
        let bytes = body(READING, url, response, ANSWER_BYTES).await?;
        let bundle = parse(READING, url, &bytes)?;
        let protocol = |how| PullError::Protocol { what: READING, origin: Origin::of(url), how };
        if text(&bundle, "resourceType") != "Bundle" {
            return Err(protocol("the page is no Bundle"));
        }
        let next = array(&bundle, "link").find(|link| text(link, "relation") == "next");
        let next = next.map(|link| self.base.named(url, text(link, "url"), &self.trusted));
        let mut page = Page { next: next.transpose()?, ..Page::default() };
        if page.next.as_ref() == Some(url) {
            return Err(protocol("the page names itself as the next one"));
        }
        for entry in array(&bundle, "entry") {
            let mode = entry.get("search").map_or("", |search| text(search, "mode"));
            if mode == "outcome" {
                continue;
            }
            let wanted = |kind: &str| only.is_empty() || only.contains(kind);
            if let Some(resource) = entry.get("resource") {
                if !wanted(text(resource, "resourceType")) {
                    continue;
                }
                page.resources.extend(resource.to_string().as_bytes());
                page.resources.push(b'\n');
            } else if deletion(entry).is_some_and(|d| wanted(d.key.resource_type())) {
                let bundle = serde_json::json!({"resourceType": "Bundle", "entry": [entry]});
                page.deletions.extend(bundle.to_string().as_bytes());
                page.deletions.push(b'\n');
            }
        }
        Ok(page)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn statement(operation: &Json, interaction: &str) -> Json {
        json!({"resourceType": "CapabilityStatement", "rest": [{
            "mode": "server",
            "operation": [operation],
            "interaction": [{"code": interaction}],
            "resource": [
                {"type": "Patient", "interaction": [{"code": "search-type"}, {"code": "read"}]},
                {"type": "Observation", "interaction": [{"code": "read"}]},
                {"type": "Spaceship", "interaction": [{"code": "search-type"}]},
            ],
        }]})
    }

    #[test]
    fn the_statement_tells_what_is_offered() {
        let found = offer(&statement(&json!({"name": "export"}), "history-system"));
        assert_eq!((found.bulk, found.history, found.types), (true, true, vec!["Patient"]));
        let found = offer(&statement(&json!({"name": "validate"}), "transaction"));
        assert_eq!((found.bulk, found.history), (false, false));
        let definition = "http://hl7.org/fhir/uv/bulkdata/OperationDefinition/export|2.0.0";
        let named = json!({"name": "x", "definition": definition});
        assert!(offer(&statement(&named, "")).bulk);
        let canonical = "http://hl7.org/fhir/uv/bulkdata/CapabilityStatement/bulk-data";
        assert!(offer(&json!({"instantiates": [canonical]})).bulk);
    }
}
