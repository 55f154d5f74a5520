//! The columns that hospitals agree on, with their public values and bounds.

use std::collections::BTreeMap;
use std::path::Path;

use chrono::NaiveDate;
use salus_dp::{Bounds, Domain};
use salus_model::ColumnPath;
use salus_synth::{Attribute, Kind, Missing};
use serde::Deserialize;

use crate::error::FilesError;
use crate::synthesise::DATE_FORMS;

/// What a codebook says.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    column: Vec<WrittenColumn>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct WrittenColumn {
    name: String,
    /// A list of values; others count as missing.
    values: Option<Vec<String>>,
    /// The smallest and the largest number; others count as the nearest.
    between: Option<[f64; 2]>,
    /// Digits after the decimal mark.
    decimals: Option<u8>,
    /// The first and the last day, as 2026-03-01.
    days: Option<[String; 2]>,
    /// Steps into which numbers or days are divided.
    bins: Option<u16>,
}

/// Columns as a model has them.
pub(super) struct Columns {
    pub(super) attributes: Vec<Attribute>,
    /// Those that are days.
    pub(super) dates: BTreeMap<String, String>,
}

pub(super) fn read(path: &Path) -> Result<Columns, FilesError> {
    let text = std::fs::read_to_string(path)
        .map_err(FilesError::file(path, "the codebook cannot be read"))?;
    let written: Written = toml::from_str(&text)
        .map_err(|source| FilesError::Plan { path: path.to_owned(), source: Box::new(source) })?;
    let mut found = Columns { attributes: Vec::new(), dates: BTreeMap::new() };
    for column in written.column {
        let name = ColumnPath::new(column.name.as_str())?;
        let refuse = |what: &str| {
            FilesError::option(format!("{}: column '{}' {what}", path.display(), column.name))
        };
        if found.attributes.iter().any(|a: &Attribute| *a.name() == name) {
            return Err(refuse("is there twice"));
        }
        let bins = column.bins.unwrap_or(32);
        let kind = match (&column.values, column.between, &column.days) {
            (Some(values), None, None) => Kind::Category(Domain::new(values.clone())?),
            (None, Some([low, high]), None) => {
                let bounds = Bounds::new(low, high, column.decimals.unwrap_or(0))?;
                Kind::Number { bounds, bins }
            }
            (None, None, Some(days)) => {
                let [first, last] = days.each_ref().map(|day| {
                    let day = NaiveDate::parse_from_str(day, DATE_FORMS[0]).ok();
                    day.map(|day| f64::from(day.to_epoch_days()))
                });
                let ends = first.zip(last);
                let (first, last) = ends.ok_or_else(|| refuse("has days that are no dates"))?;
                found.dates.insert(column.name.clone(), DATE_FORMS[0].to_owned());
                Kind::Number { bounds: Bounds::new(first, last, 0)?, bins }
            }
            _ => return Err(refuse("needs one of values, between and days")),
        };
        found.attributes.push(Attribute::new(name, kind, Missing::Possible)?);
    }
    Ok(found)
}
