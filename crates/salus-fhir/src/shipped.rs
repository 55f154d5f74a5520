//! The views that come with Salus: flat tables over the resources that most sites have.
//!
//! Observations are one row per measured value, components included, rather than one column per
//! component: the set of components is open (a blood pressure has two, a questionnaire score may
//! have dozens), a filter on `code` then finds a systolic pressure wherever a device put it, and
//! one numeric column serves every statistic.

use std::sync::LazyLock;

use salus_model::{Class, Classified, KeyClass};
use serde_json::Value as Json;

use crate::view::{View, ViewError};

/// The tag that gives a column its sensitivity class.
pub const KEY_CLASS_TAG: &str = "salus/key-class";

/// A view of which a column's sensitivity is not told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyClassError {
    /// No tag.
    #[error(
        "column '{column}' has no tag '{KEY_CLASS_TAG}'; give it one of the sensitivity classes"
    )]
    Unmapped {
        /// The column.
        column: String,
    },
    /// A tag that names no class.
    #[error("the tag '{KEY_CLASS_TAG}' of column '{column}' names no sensitivity class")]
    Unknown {
        /// The column.
        column: String,
        /// What is wrong with it.
        #[source]
        source: salus_model::SensitivityError,
    },
}

impl Classified for KeyClassError {
    fn class(&self) -> Class {
        Class::BadRequest
    }
}

/// The sensitivity class of each column of a view, in order.
///
/// # Errors
/// When a column has none: an unmapped column is never taken for a harmless one.
pub fn key_classes(view: &View) -> Result<Vec<KeyClass>, KeyClassError> {
    let class = |column: &crate::view::Column| {
        let name = || column.name.clone();
        let word =
            column.tag(KEY_CLASS_TAG).ok_or_else(|| KeyClassError::Unmapped { column: name() })?;
        word.parse().map_err(|source| KeyClassError::Unknown { column: name(), source })
    };
    view.columns().iter().map(class).collect()
}

/// The documents, by view name.
const DOCUMENTS: [(&str, &str); 12] = [
    ("care_team_members", include_str!("../views/care_team_members.json")),
    ("conditions", include_str!("../views/conditions.json")),
    ("device_metrics", include_str!("../views/device_metrics.json")),
    ("encounters", include_str!("../views/encounters.json")),
    ("fhir_devices", include_str!("../views/fhir_devices.json")),
    ("immunizations", include_str!("../views/immunizations.json")),
    ("medications", include_str!("../views/medications.json")),
    ("nutrition", include_str!("../views/nutrition.json")),
    ("observations", include_str!("../views/observations.json")),
    ("patients", include_str!("../views/patients.json")),
    ("procedures", include_str!("../views/procedures.json")),
    ("questionnaire_answers", include_str!("../views/questionnaire_answers.json")),
];

/// A shipped view with its name and its columns' sensitivity.
#[derive(Debug)]
pub struct ShippedView {
    /// The table's name.
    pub name: &'static str,
    /// The compiled view.
    pub view: View,
    /// The sensitivity class of each column, in order.
    pub key_classes: Vec<KeyClass>,
}

static VIEWS: LazyLock<Vec<ShippedView>> = LazyLock::new(|| {
    DOCUMENTS
        .iter()
        // A document that did not compile would be missing here; a test compares the counts.
        .filter_map(|(name, text)| {
            let view = parse(text).ok()?;
            let key_classes = key_classes(&view).ok()?;
            Some(ShippedView { name, view, key_classes })
        })
        .collect()
});

/// Why a shipped document is no view.
#[derive(Debug, thiserror::Error)]
enum ShippedError {
    #[error("the document is no JSON")]
    Json(#[from] serde_json::Error),
    #[error(transparent)]
    View(#[from] ViewError),
}

fn parse(text: &str) -> Result<View, ShippedError> {
    Ok(View::parse(&serde_json::from_str::<Json>(text)?)?)
}

/// The shipped views by name, compiled at first use.
#[must_use]
pub fn views() -> &'static [ShippedView] {
    &VIEWS
}

/// The shipped view called `name`.
#[must_use]
pub fn view(name: &str) -> Option<&'static ShippedView> {
    views().iter().find(|v| v.name == name)
}

/// The JSON documents of the shipped views by name, for whoever adapts one.
pub fn documents() -> impl Iterator<Item = (&'static str, &'static str)> {
    DOCUMENTS.into_iter()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn every_shipped_document_compiles_and_maps_every_column() {
        for (name, text) in documents() {
            let view = parse(text).unwrap_or_else(|e| panic!("{name}: {e:?}"));
            assert_eq!(view.name(), Some(name));
            let classes = key_classes(&view).unwrap();
            assert_eq!(classes.len(), view.columns().len());
            assert!(!classes.contains(&KeyClass::Footer), "{name}");
        }
        assert_eq!(views().len(), DOCUMENTS.len());
    }

    #[test]
    fn an_unmapped_column_is_an_error() {
        let text =
            r#"{"resource": "Patient", "select": [{"column": [{"name": "x", "path": "id"}]}]}"#;
        let error = key_classes(&parse(text).unwrap()).unwrap_err();
        assert!(matches!(error, KeyClassError::Unmapped { .. }), "{error}");
        let wrong = text.replace(
            r#""path": "id""#,
            r#""path": "id", "tag": [{"name": "salus/key-class", "value": "public"}]"#,
        );
        let error = key_classes(&parse(&wrong).unwrap()).unwrap_err();
        assert!(matches!(error, KeyClassError::Unknown { .. }), "{error}");
    }
}
