use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read};

use salus_fhir::{JsonLimits, parse_json, validate};
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
}

/// A resource as it came, or why it is refused.
pub(crate) struct Found {
    /// Its line, or its place in the Bundle, counted from 1.
    pub(crate) place: u64,
    pub(crate) resource: Result<Json, Fault>,
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
        FhirFormat::Ndjson => lines(source, take),
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
            return take(Found { place: 1, resource: Err(fault(&bytes, "", e.to_string())) });
        }
    };
    if document.get("resourceType").and_then(Json::as_str) != Some("Bundle") {
        return take(Found { place: 1, resource: checked(document) });
    }
    let entries = match document.get_mut("entry").map(Json::take) {
        Some(Json::Array(entries)) => entries,
        _ => Vec::new(),
    };
    let known = full_urls(&entries);
    for (at, mut entry) in entries.into_iter().enumerate() {
        let place = at as u64 + 1;
        let resource = match entry.get_mut("resource").map(Json::take) {
            Some(mut resource) => {
                rewrite(&mut resource, &known);
                checked(resource)
            }
            None => {
                let raw = entry.to_string();
                Err(fault(raw.as_bytes(), "Bundle.entry.resource", "the entry has no resource"))
            }
        };
        take(Found { place, resource })?;
    }
    Ok(())
}

fn lines<E: From<std::io::Error>>(
    source: impl Read,
    mut take: impl FnMut(Found) -> Result<(), E>,
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
        let resource = if line.len() as u64 == LINE_BYTES {
            reader.skip_until(b'\n')?;
            Err(fault(&line, "", "the line is longer than 16 MiB; only its beginning is kept"))
        } else {
            match parse_json(&line, JsonLimits::RESOURCE) {
                Ok(resource) => checked(resource),
                Err(e) => Err(fault(&line, "", e.to_string())),
            }
        };
        take(Found { place, resource })?;
    }
    Ok(())
}

/// The resource when it conforms to R4 and has an id.
fn checked(resource: Json) -> Result<Json, Fault> {
    let refused =
        |element: String, reason: String| Err(Fault { element, reason, raw: resource.to_string() });
    if let Some(issue) = validate(&resource).into_iter().next() {
        return refused(issue.expression.unwrap_or_default(), issue.diagnostics);
    }
    if resource.get("id").and_then(Json::as_str).is_none() {
        let kind = resource.get("resourceType").and_then(Json::as_str).unwrap_or("Resource");
        return refused(format!("{kind}.id"), "a stored resource needs an id".to_owned());
    }
    Ok(resource)
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
