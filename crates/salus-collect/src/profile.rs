use std::collections::{BTreeMap, BTreeSet};

use salus_dp::{
    Bounds, Column, ContributionBound, Domain, PrivacyUnit, RowsPerUnit, Schema, SchemaError,
};
use salus_model::{Class, Classified, ColumnPath, IdError};
use salus_private::Profile;
use serde::{Deserialize, Serialize};

use crate::fields::{FIELDS, FIRST_SECOND, FieldKind, LAST_SECOND, MOST_ENTRIES};

/// Public lists of values for text fields, such as the versions that a manufacturer has published.
///
/// They come from catalogues, never from rows. A text field without a list is open: it can be
/// filtered by and counted distinct, and not be grouped by.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Domains(pub BTreeMap<String, BTreeSet<String>>);

/// Why no profile follows.
#[derive(Debug, thiserror::Error)]
pub enum ProfileRefused {
    /// A list of values that is none.
    #[error("the list of values of '{field}' cannot be used")]
    Domain {
        /// The field.
        field: String,
        /// Why.
        #[source]
        source: SchemaError,
    },
    /// A list for a field that has no text, or is not there.
    #[error("'{field}' is no text field of device records, so it has no list of values")]
    NoText {
        /// The field.
        field: String,
    },
    /// A column name that is none, which is a bug.
    #[error(transparent)]
    Name(#[from] IdError),
    /// Bounds that are none, which is a bug.
    #[error(transparent)]
    Bounds(#[from] SchemaError),
}

impl Classified for ProfileRefused {
    fn class(&self) -> Class {
        match self {
            Self::Domain { .. } | Self::NoText { .. } => Class::BadRequest,
            Self::Name(_) | Self::Bounds(_) => Class::Bug,
        }
    }
}

/// The column whose values are the units.
pub(crate) const fn unit_column(unit: PrivacyUnit) -> &'static str {
    match unit {
        PrivacyUnit::Device => "device_id",
        PrivacyUnit::Patient => "patient_id",
        PrivacyUnit::Hospital => "hospital",
    }
}

/// The privacy profile of the dataset of devices, whose answers hide the presence of a `unit`.
///
/// # Privacy
/// A device has one row, which the dataset's identity enforces. `bound` says how many devices of
/// one patient or hospital count; devices of no patient do not count where patients are the unit.
///
/// # Errors
/// When a list of values does not fit.
pub fn profile(
    unit: PrivacyUnit,
    bound: ContributionBound,
    domains: &Domains,
) -> Result<Profile, ProfileRefused> {
    let is_text = |name: &str| {
        let text = |kind| matches!(kind, FieldKind::Text { .. });
        FIELDS.iter().any(|f| f.name == name && text(f.kind))
    };
    if let Some(field) = domains.0.keys().find(|name| !is_text(name)) {
        return Err(ProfileRefused::NoText { field: field.clone() });
    }
    let mut columns = BTreeMap::new();
    for spec in FIELDS {
        if let Some(column) = column(spec.name, spec.kind, domains)? {
            columns.insert(ColumnPath::new(spec.name)?, column);
        }
    }
    let one = unit == PrivacyUnit::Device;
    Ok(Profile {
        unit_column: ColumnPath::new(unit_column(unit))?,
        schema: Schema {
            unit,
            contribution: if one { ContributionBound::ONE_ROW } else { bound },
            rows_per_unit: if one { RowsPerUnit::One } else { RowsPerUnit::Many },
            columns,
        },
    })
}

fn column(
    name: &str,
    kind: FieldKind,
    domains: &Domains,
) -> Result<Option<Column>, ProfileRefused> {
    let domain = |values: Vec<String>| {
        Domain::new(values)
            .map(Column::Category)
            .map_err(|source| ProfileRefused::Domain { field: name.to_owned(), source })
    };
    let words = |words: Vec<&str>| domain(words.into_iter().map(str::to_owned).collect());
    Ok(Some(match kind {
        // Who a row is about is never asked for, but counted by `distinct-units`.
        _ if matches!(name, "device_id" | "patient_id") => return Ok(None),
        FieldKind::Sequence => return Ok(None),
        FieldKind::Text { .. } => match domains.0.get(name) {
            Some(values) => domain(values.iter().cloned().collect())?,
            None => Column::Open,
        },
        FieldKind::List => Column::Open,
        FieldKind::Word { of } => words(of())?,
        FieldKind::Truth => words(vec!["true", "false"])?,
        FieldKind::Moment => Column::Instant(Bounds::from_steps(FIRST_SECOND, LAST_SECOND, 0)?),
        FieldKind::Number { least, most, decimals, .. } => {
            Column::Number(Bounds::new(least, most, decimals)?)
        }
        FieldKind::Length => Column::Number(Bounds::new(0.0, MOST_ENTRIES as f64, 0)?),
    }))
}
