//! A key release's row rules, decided on what is kept in memory.

use salus_fhir::ResourceKey;
use salus_model::{ColumnPath, DatasetId};
use salus_spine::{Care, KeyRelease, RowRule};

use super::error::RepositoryError;
use crate::fhir::resources::FHIR_DATASET;

/// Row rules over the columns `patient_id`, `id` and `resource_type`.
pub(super) struct Rules(Vec<RowRule>);

impl Rules {
    /// The rules of a release, which must cover the resources' own columns.
    pub(super) fn of(release: &KeyRelease<Care>) -> Result<Self, RepositoryError> {
        let dataset = DatasetId::new(FHIR_DATASET)?;
        let access = release.access(&dataset).ok_or(RepositoryError::NotCovered)?;
        let covered = |name: &str| access.columns().iter().any(|column| column.as_str() == name);
        if !["id", "resource_type", "patient_id", "resource"].into_iter().all(covered) {
            return Err(RepositoryError::NotCovered);
        }
        let known = |rule: &&RowRule| {
            !matches!(rule.column().as_str(), "patient_id" | "id" | "resource_type")
        };
        let patient = ColumnPath::new("patient_id")?;
        let rules = access.rules(Some(&patient)).map_err(|_| RepositoryError::NotCovered)?;
        match rules.iter().find(known) {
            Some(rule) => Err(RepositoryError::RuleColumn { column: rule.column().clone() }),
            None => Ok(Self(rules)),
        }
    }

    /// Whether a resource of this patient may be seen or written.
    pub(super) fn admit(&self, key: &ResourceKey, patient: Option<&str>) -> bool {
        self.0.iter().all(|rule| match rule.column().as_str() {
            "patient_id" => rule.admits(patient),
            "id" => rule.admits(Some(&key.to_string())),
            "resource_type" => rule.admits(Some(key.resource_type())),
            _ => false,
        })
    }
}
