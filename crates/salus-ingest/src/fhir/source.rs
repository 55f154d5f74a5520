use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read};

use salus_fhir::{JsonLimits, ResourceId, ResourceKey, parse_json, validate};
use salus_model::Timestamp;
use serde_json::Value as Json;

/// One byte more than may be read of a document, so that a longer one is told from one that fits.
const DOCUMENT_BYTES: u64 = (JsonLimits::BUNDLE.bytes as u64) + 1;
/// The same for a line of NDJSON.
const LINE_BYTES: u64 = (JsonLimits::RESOURCE.bytes as u64) + 1;

/// How resources stand in a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FhirFormat {
    /// One JSON document: a Bundle or a single resource.
    Document,
    /// One resource a line, as Bulk Data exports them.
    Ndjson,
    /// One Bundle of `DELETE` requests a line, as Bulk Data tells what was deleted.
    Deletions,
    /// One OperationOutcome a line, in which Bulk Data tells what could not be exported.
    Outcomes,
}

/// What came, or why it is refused.
pub(crate) struct Found {
    /// Its line, or its place in the Bundle, counted from 1.
    pub(crate) place: u64,
    pub(crate) item: Result<Item, Fault>,
}

pub(crate) enum Item {
    Resource(Json),
    Deletion(Deletion),
}

/// A resource that its server deleted.
#[derive(Debug, Clone)]
pub struct Deletion {
    /// Which.
    pub key: ResourceKey,
    /// When, if the server says so.
    pub at: Option<Timestamp>,
}

/// Why a resource is quarantined.
pub(crate) struct Fault {
    /// The element, as a FHIRPath expression; empty for the whole.
    pub(crate) element: String,
    pub(crate) reason: String,
    /// What came.
    pub(crate) raw: String,
}

/// Hands every resource of a source to `take`.
pub(crate) fn resources<E>(
    source: impl Read,
    format: FhirFormat,
    take: impl FnMut(Found) -> Result<(), E>,
) -> Result<(), E>
where
    E: From<std::io::Error>,
{
    match format {
        FhirFormat::Document => document(source, take),
        FhirFormat::Ndjson => lines(source, take, |json| vec![checked(json)]),
        FhirFormat::Deletions => lines(source, take, deletions),
        FhirFormat::Outcomes => lines(source, take, |json| vec![outcome(&json)]),
    }
}

fn fault(raw: &[u8], element: impl Into<String>, reason: impl Into<String>) -> Fault {
    let raw = String::from_utf8_lossy(raw).into_owned();
    Fault { element: element.into(), reason: reason.into(), raw }
}

fn document<E: From<std::io::Error>>(
    source: impl Read,
    mut take: impl FnMut(Found) -> Result<(), E>,
) -> Result<(), E> {
    let mut bytes = Vec::new();
    source.take(DOCUMENT_BYTES).read_to_end(&mut bytes)?;
    let mut document = match parse_json(&bytes, JsonLimits::BUNDLE) {
        Ok(document) => document,
        Err(e) => {
            return take(Found { place: 1, item: Err(fault(&bytes, "", e.to_string())) });
        }
    };
    if document.get("resourceType").and_then(Json::as_str) != Some("Bundle") {
        return take(Found { place: 1, item: checked(document) });
    }
    let entries = match document.get_mut("entry").map(Json::take) {
        Some(Json::Array(entries)) => entries,
        _ => Vec::new(),
    };
    let known = full_urls(&entries);
    for (at, mut entry) in entries.into_iter().enumerate() {
        let place = at as u64 + 1;
        let item = match entry.get_mut("resource").map(Json::take) {
            Some(mut resource) => {
                rewrite(&mut resource, &known);
                checked(resource)
            }
            None => {
                let raw = entry.to_string();
                Err(fault(raw.as_bytes(), "Bundle.entry.resource", "the entry has no resource"))
            }
        };
        take(Found { place, item })?;
    }
    Ok(())
}

fn lines<E: From<std::io::Error>>(
    source: impl Read,
    mut take: impl FnMut(Found) -> Result<(), E>,
    items: impl Fn(Json) -> Vec<Result<Item, Fault>>,
) -> Result<(), E> {
    let mut reader = BufReader::with_capacity(1024 * 1024, source);
    let mut line = Vec::new();
    for place in 1.. {
        line.clear();
        if reader.by_ref().take(LINE_BYTES).read_until(b'\n', &mut line)? == 0 {
            break;
        }
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let found = if line.len() as u64 == LINE_BYTES && line.last() != Some(&b'\n') {
            reader.skip_until(b'\n')?;
            let reason = "the line is longer than 16 MiB; only its beginning is kept";
            vec![Err(fault(&line, "", reason))]
        } else {
            match parse_json(&line, JsonLimits::RESOURCE) {
                Ok(json) => items(json),
                Err(e) => vec![Err(fault(&line, "", e.to_string()))],
            }
        };
        for item in found {
            take(Found { place, item })?;
        }
    }
    Ok(())
}

/// The resource when it conforms to R4 and has an id.
fn checked(resource: Json) -> Result<Item, Fault> {
    let refused =
        |element: String, reason: String| Err(Fault { element, reason, raw: resource.to_string() });
    if let Some(issue) = validate(&resource).into_iter().next() {
        return refused(issue.expression.unwrap_or_default(), issue.diagnostics);
    }
    if resource.get("id").and_then(Json::as_str).is_none() {
        let kind = resource.get("resourceType").and_then(Json::as_str).unwrap_or("Resource");
        return refused(format!("{kind}.id"), "a stored resource needs an id".to_owned());
    }
    Ok(Item::Resource(resource))
}

/// The resource on a line of NDJSON, or which element is wrong and why; no value of it is told.
///
/// # Errors
/// When the line is no JSON, does not conform to R4, has no id, or is longer than 16 MiB.
pub fn resource_of_line(line: &[u8]) -> Result<Json, (String, String)> {
    let json =
        parse_json(line, JsonLimits::RESOURCE).map_err(|e| (String::new(), e.to_string()))?;
    match checked(json) {
        Ok(Item::Resource(resource)) => Ok(resource),
        Ok(Item::Deletion(_)) => Err((String::new(), "it is no resource".to_owned())),
        Err(fault) => Err((fault.element, fault.reason)),
    }
}

/// The resources that a Bundle says were deleted.
fn deletions(bundle: Json) -> Vec<Result<Item, Fault>> {
    let refused = |element: String, reason: &str| {
        vec![Err(Fault { element, reason: reason.to_owned(), raw: bundle.to_string() })]
    };
    if bundle.get("resourceType").and_then(Json::as_str) != Some("Bundle") {
        return refused(String::new(), "a file of deletions has Bundles alone");
    }
    let Some(entries) = bundle.get("entry").and_then(Json::as_array) else {
        return refused("Bundle.entry".to_owned(), "there is no entry");
    };
    let each = |(at, entry): (usize, &Json)| deletion(entry).ok_or(at);
    let found: Vec<Result<Deletion, usize>> = entries.iter().enumerate().map(each).collect();
    let item = |found: Result<Deletion, usize>| {
        found.map(Item::Deletion).map_err(|at| Fault {
            element: format!("Bundle.entry[{at}].request"),
            reason: "DELETE and a url of the form Type/id are expected".to_owned(),
            raw: entries.get(at).map(Json::to_string).unwrap_or_default(),
        })
    };
    found.into_iter().map(item).collect()
}

pub(crate) fn deletion(entry: &Json) -> Option<Deletion> {
    let request = entry.get("request")?;
    if request.get("method")?.as_str()? != "DELETE" {
        return None;
    }
    let url = request.get("url")?.as_str()?;
    let mut parts = url.split('?').next()?.trim_end_matches('/').rsplit('/');
    let (id, kind) = (parts.next()?, parts.next()?);
    let key = ResourceKey::new(kind, ResourceId::new(id).ok()?)?;
    let at = entry.get("response").and_then(|r| r.get("lastModified")).and_then(Json::as_str);
    Some(Deletion { key, at: at.and_then(|at| at.parse().ok()) })
}

/// What the server says of a resource that it could not export.
fn outcome(json: &Json) -> Result<Item, Fault> {
    let issue = json.get("issue").and_then(|issues| issues.get(0));
    let code = issue.and_then(|i| i.get("code")).and_then(Json::as_str).unwrap_or_default();
    // A code is one of a short list; anything else is kept in the record alone.
    let code = if code.len() <= 20 && code.bytes().all(|b| b.is_ascii_lowercase() || b == b'-') {
        code
    } else {
        ""
    };
    Err(Fault {
        element: String::new(),
        reason: format!("the server could not export it ({code})"),
        raw: json.to_string(),
    })
}

/// What each entry's `fullUrl` stands for.
fn full_urls(entries: &[Json]) -> HashMap<String, String> {
    entries
        .iter()
        .filter_map(|entry| {
            let url = entry.get("fullUrl")?.as_str()?;
            let resource = entry.get("resource")?;
            let kind = resource.get("resourceType")?.as_str()?;
            let id = resource.get("id")?.as_str()?;
            Some((url.to_owned(), format!("{kind}/{id}")))
        })
        .collect()
}

/// Puts `Type/id` in place of references by `fullUrl`.
fn rewrite(value: &mut Json, known: &HashMap<String, String>) {
    match value {
        Json::Object(fields) => {
            for (name, field) in fields.iter_mut() {
                match field {
                    Json::String(text) if name == "reference" => {
                        if let Some(key) = known.get(text.as_str()) {
                            key.clone_into(text);
                        }
                    }
                    _ => rewrite(field, known),
                }
            }
        }
        Json::Array(items) => items.iter_mut().for_each(|item| rewrite(item, known)),
        _ => {}
    }
}
