//! Which column goes into which element.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;

/// The mappings that come with Salus, by view.
const DOCUMENTS: [(&str, &str); 3] = [
    ("patients", include_str!("../../rows/patients.json")),
    ("conditions", include_str!("../../rows/conditions.json")),
    ("observations", include_str!("../../rows/observations.json")),
];

/// A resource type with its columns.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Mapping {
    pub(super) resource: String,
    pub(super) columns: BTreeMap<String, Slot>,
    /// What is written where no column writes into the same element.
    #[serde(default)]
    pub(super) defaults: BTreeMap<Path, String>,
    #[serde(skip)]
    pub(super) view: &'static str,
}

/// Where a column's values go.
#[derive(Debug, Deserialize)]
#[serde(from = "WrittenSlot")]
pub(super) struct Slot {
    pub(super) path: Path,
    /// What stands before the value, such as `Patient/`.
    pub(super) prefix: String,
    /// What is written beside it, so that the element says what it is.
    pub(super) with: BTreeMap<Path, String>,
    /// Another column that tells the same and more: where that has a value, this has no place.
    pub(super) unless: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum WrittenSlot {
    Path(Path),
    Full {
        path: Path,
        #[serde(default)]
        prefix: String,
        #[serde(default)]
        with: BTreeMap<Path, String>,
        unless: Option<String>,
    },
}

impl From<WrittenSlot> for Slot {
    fn from(written: WrittenSlot) -> Self {
        match written {
            WrittenSlot::Path(path) => {
                Self { path, prefix: String::new(), with: BTreeMap::new(), unless: None }
            }
            WrittenSlot::Full { path, prefix, with, unless } => Self { path, prefix, with, unless },
        }
    }
}

/// Properties from the resource down; of a list, the item with a label.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(from = "String")]
pub(super) struct Path(pub(super) Vec<Segment>);

/// A property as JSON names it, and which item of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Segment {
    pub(super) key: String,
    pub(super) label: String,
}

impl From<String> for Path {
    fn from(text: String) -> Self {
        let segment = |part: &str| match part.trim_end_matches(']').split_once('[') {
            Some((key, label)) => Segment { key: key.to_owned(), label: label.to_owned() },
            None => Segment { key: part.to_owned(), label: String::new() },
        };
        Self(text.split('.').map(segment).collect())
    }
}

impl std::fmt::Display for Path {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let keys: Vec<&str> = self.0.iter().map(|s| s.key.as_str()).collect();
        f.write_str(&keys.join("."))
    }
}

static MAPPINGS: LazyLock<Vec<Mapping>> = LazyLock::new(|| {
    DOCUMENTS
        .iter()
        // A document that could not be read would be missing here; a test compares the counts.
        .filter_map(|(view, text)| {
            let mapping: Mapping = serde_json::from_str(text).ok()?;
            Some(Mapping { view, ..mapping })
        })
        .collect()
});

/// Every mapping.
pub(super) fn all() -> &'static [Mapping] {
    &MAPPINGS
}
