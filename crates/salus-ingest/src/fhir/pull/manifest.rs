use chrono::DateTime;
use reqwest::Url;
use salus_model::{Class, Classified};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::origin::{BaseUrl, Origin};

/// More files than any server has reason to make.
const FILES_MOST: usize = 200_000;

/// Why a manifest is refused.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// A property is missing or of another type.
    #[error("'{0}' is missing or not of its type")]
    Property(&'static str),
    /// A file has no acceptable type or address.
    #[error("{list}[{at}].{property} is refused")]
    File {
        /// `output`, `deleted` or `error`.
        list: &'static str,
        /// Its place, counted from 0.
        at: usize,
        /// Which property.
        property: &'static str,
        /// Why, for an address.
        #[source]
        source: Option<super::origin::AddressError>,
    },
    /// Too many files.
    #[error("{found} files are too many; at most {FILES_MOST} are accepted")]
    TooMany {
        /// How many there are.
        found: usize,
    },
}

impl Classified for ManifestError {
    fn class(&self) -> Class {
        Class::Peer
    }
}

/// What a file of an export has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum FileKind {
    /// Resources of one type.
    Output(String),
    /// Bundles of deletions.
    Deleted,
    /// OperationOutcomes about what could not be exported.
    Error,
}

/// A file that a manifest names.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OutputFile {
    pub(crate) kind: FileKind,
    url: String,
    pub(crate) count: Option<u64>,
}

impl OutputFile {
    /// Its address; checked when the manifest was read.
    pub(crate) fn url(&self) -> Option<Url> {
        Url::parse(&self.url).ok()
    }

    /// What it is called in reports and in quarantine: its address may be a credential.
    pub(crate) fn name(&self, at: usize) -> String {
        let kind = match &self.kind {
            FileKind::Output(kind) => kind,
            FileKind::Deleted => "deleted",
            FileKind::Error => "error",
        };
        format!("{kind}.{:05}.ndjson", at + 1)
    }
}

/// What an export made.
///
/// # Source
/// Bulk Data Access IG 2.0, "Response - Complete Status". Deletions come first here, for what was
/// deleted and made again stands in the output.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Manifest {
    /// As the server wrote it: the next `_since`.
    pub(crate) transaction_time: String,
    pub(crate) requires_access_token: bool,
    pub(crate) files: Vec<OutputFile>,
}

impl Manifest {
    pub(crate) fn parse(
        json: &Json,
        base: &BaseUrl,
        asked: &Url,
        trusted: &[Origin],
    ) -> Result<Self, ManifestError> {
        let time = json.get("transactionTime").and_then(Json::as_str);
        let time = time.filter(|t| DateTime::parse_from_rfc3339(t).is_ok());
        let token = json.get("requiresAccessToken").and_then(Json::as_bool);
        if json.get("output").and_then(Json::as_array).is_none() {
            return Err(ManifestError::Property("output"));
        }
        let mut files = Vec::new();
        for list in ["deleted", "output", "error"] {
            let named = match json.get(list) {
                None | Some(Json::Null) => continue,
                Some(Json::Array(named)) => named,
                Some(_) => return Err(ManifestError::Property(list)),
            };
            if named.len() > FILES_MOST {
                return Err(ManifestError::TooMany { found: named.len() });
            }
            for (at, file) in named.iter().enumerate() {
                files.push(output_file(list, at, file, base, asked, trusted)?);
            }
        }
        Ok(Self {
            transaction_time: time.ok_or(ManifestError::Property("transactionTime"))?.to_owned(),
            requires_access_token: token.ok_or(ManifestError::Property("requiresAccessToken"))?,
            files,
        })
    }

    /// The origins of the files.
    pub(crate) fn origins(&self) -> Vec<Origin> {
        let urls = self.files.iter().filter_map(OutputFile::url);
        let mut origins: Vec<Origin> = urls.map(|url| Origin::of(&url)).collect();
        origins.sort();
        origins.dedup();
        origins
    }
}

fn output_file(
    list: &'static str,
    at: usize,
    file: &Json,
    base: &BaseUrl,
    asked: &Url,
    trusted: &[Origin],
) -> Result<OutputFile, ManifestError> {
    let refused = |property| ManifestError::File { list, at, property, source: None };
    let kind = file.get("type").and_then(Json::as_str).unwrap_or_default();
    let is_name = |name: &str| {
        (1..=64).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphabetic())
    };
    let kind = match list {
        "deleted" => FileKind::Deleted,
        "error" => FileKind::Error,
        _ if is_name(kind) => FileKind::Output(kind.to_owned()),
        _ => return Err(refused("type")),
    };
    let url = file.get("url").and_then(Json::as_str).ok_or_else(|| refused("url"))?;
    let url = base.named(asked, url, trusted).map_err(|source| ManifestError::File {
        list,
        at,
        property: "url",
        source: Some(source),
    })?;
    let count = match file.get("count") {
        None | Some(Json::Null) => None,
        Some(count) => Some(count.as_u64().ok_or_else(|| refused("count"))?),
    };
    Ok(OutputFile { kind, url: url.into(), count })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::*;

    fn parse(json: &Json) -> Result<Manifest, ManifestError> {
        let base: BaseUrl = "https://h.example/fhir".parse().unwrap();
        let asked = base.below(&["status"]);
        Manifest::parse(json, &base, &asked, &[])
    }

    fn good() -> Json {
        json!({
            "transactionTime": "2026-01-01T00:00:00.123+02:00",
            "request": "https://h.example/fhir/$export",
            "requiresAccessToken": true,
            "output": [
                {"type": "Patient", "url": "https://h.example/f/1", "count": 3},
                {"type": "Observation", "url": "/f/2"},
            ],
            "deleted": [{"type": "Bundle", "url": "https://h.example/f/3"}],
            "error": [{"type": "OperationOutcome", "url": "https://h.example/f/4"}],
            "extension": {"of": "the server"},
        })
    }

    #[test]
    fn deletions_come_first_and_addresses_may_be_relative() {
        let manifest = parse(&good()).unwrap();
        let names: Vec<_> =
            manifest.files.iter().enumerate().map(|(at, file)| file.name(at)).collect();
        let wanted = [
            "deleted.00001.ndjson",
            "Patient.00002.ndjson",
            "Observation.00003.ndjson",
            "error.00004.ndjson",
        ];
        assert_eq!(names, wanted);
        assert_eq!(manifest.files[2].url().unwrap().as_str(), "https://h.example/f/2");
        assert_eq!(manifest.transaction_time, "2026-01-01T00:00:00.123+02:00");
        assert_eq!(manifest.origins().len(), 1);
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        for property in ["transactionTime", "requiresAccessToken", "output"] {
            let mut json = good();
            json.as_object_mut().unwrap().remove(property);
            let said = parse(&json).unwrap_err().to_string();
            assert!(said.contains(property), "{said}");
        }
        let wrong = [
            ("/transactionTime", json!("yesterday"), "transactionTime"),
            ("/requiresAccessToken", json!("true"), "requiresAccessToken"),
            ("/output", json!({}), "output"),
            ("/deleted", json!("x"), "deleted"),
            ("/output/0/type", json!("../../etc"), "output[0].type"),
            ("/output/1/url", json!("http://h.example/f"), "output[1].url"),
            ("/output/1/url", json!("https://127.0.0.1/f"), "output[1].url"),
            ("/output/0/count", json!(-1), "output[0].count"),
            ("/error/0/url", json!(7), "error[0].url"),
        ];
        for (pointer, value, name) in wrong {
            let mut json = good();
            *json.pointer_mut(pointer).unwrap() = value;
            let said = parse(&json).unwrap_err().to_string();
            assert!(said.contains(name), "{pointer}: {said}");
        }
    }
}
