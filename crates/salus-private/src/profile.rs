use std::collections::BTreeMap;

use salus_dp::{ContributionBound, PrivacyUnit, RowsPerUnit, Schema};
use salus_model::{Class, Classified, ColumnPath, DatasetId};
use serde::{Deserialize, Serialize};

/// What a steward states publicly of a dataset, so that private answers need not look at it.
///
/// # Privacy
/// Bounds and domains are published with the catalogue: they must come from knowledge of the
/// measure, never from the rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// The column that names the unit whose presence is hidden.
    pub unit_column: ColumnPath,
    /// Unit, contribution bound and columns.
    #[serde(flatten)]
    pub schema: Schema,
}

/// The profiles of a site, in a TOML file: one table for each dataset.
///
/// ```toml
/// [conditions]
/// unit_column = "patient_id"
/// unit = "patient"
/// contribution = [8, 1]        # rows of one unit, and rows of one unit in one group
/// rows_per_unit = "many"
///
/// [conditions.columns]
/// clinical_status = { category = ["active", "resolved"] }
/// onset_age = { number = [0, 120, 0] }   # low and high in steps of 10^-decimals, decimals
/// code = "open"
/// ```
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Profiles(BTreeMap<DatasetId, Profile>);

/// Why a profiles file is refused.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// The file is no TOML of profiles.
    #[error("the privacy profiles cannot be read")]
    Toml(#[source] Box<toml::de::Error>),
    /// The dataset has no profile.
    #[error(
        "dataset {dataset} has no privacy profile; its steward states unit, bounds and domains first"
    )]
    None {
        /// The dataset.
        dataset: DatasetId,
    },
    /// One row of each unit, and a bound of several.
    #[error("dataset {dataset} has one row for each unit, so its contribution is [1, 1]")]
    OneRow {
        /// The dataset.
        dataset: DatasetId,
    },
}

impl Classified for ProfileError {
    fn class(&self) -> Class {
        Class::BadRequest
    }
}

impl Profiles {
    /// Reads a file's text.
    ///
    /// # Errors
    /// Names line and column of what is wrong.
    pub fn parse(text: &str) -> Result<Self, ProfileError> {
        let profiles: Self = toml::from_str(text).map_err(|e| ProfileError::Toml(Box::new(e)))?;
        for (dataset, profile) in &profiles.0 {
            let one = profile.schema.rows_per_unit == RowsPerUnit::One;
            if one && profile.schema.contribution != ContributionBound::ONE_ROW {
                return Err(ProfileError::OneRow { dataset: dataset.clone() });
            }
        }
        Ok(profiles)
    }

    /// The profile of a dataset.
    ///
    /// # Errors
    /// When it has none.
    pub fn of(&self, dataset: &DatasetId) -> Result<&Profile, ProfileError> {
        self.0.get(dataset).ok_or_else(|| ProfileError::None { dataset: dataset.clone() })
    }

    /// Every profile.
    pub fn iter(&self) -> impl Iterator<Item = (&DatasetId, &Profile)> {
        self.0.iter()
    }

    /// Whose presence answers from a dataset hide; none when it has no profile.
    #[must_use]
    pub fn unit(&self, dataset: &DatasetId) -> Option<PrivacyUnit> {
        self.0.get(dataset).map(|profile| profile.schema.unit)
    }
}
