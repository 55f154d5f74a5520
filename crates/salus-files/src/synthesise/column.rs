//! How columns are written, and how the model reads them.

use chrono::NaiveDate;
use salus_deid::{Column, Table, is_missing};
use salus_dp::{Bounds, Domain, UnitKey};
use salus_model::ColumnPath;
use salus_synth::{Attribute, Kind, Mark, Reading, Spelling};

use crate::error::FilesError;

/// What is publicly known of a column, as whoever answers for the data states it.
#[derive(Debug, Clone, PartialEq)]
pub enum Stated {
    /// Numbers within bounds; others count as the nearest.
    Number(Bounds),
    /// Days within bounds, counted from 1970, written as `2026-03-01`.
    Day(Bounds),
    /// Values of a list; others count as missing.
    Category(Domain),
}

impl Stated {
    /// How the column is written, which never depends on its values.
    pub(super) const fn look(&self) -> Look {
        match self {
            Self::Number(bounds) => Look::Number { decimals: bounds.decimals(), comma: false },
            Self::Day(_) => Look::Date(DATE_FORMS[0]),
            Self::Category(_) => Look::Text,
        }
    }

    pub(super) fn kind(&self) -> Kind {
        match self {
            Self::Number(bounds) | Self::Day(bounds) => Kind::Number { bounds: *bounds, bins: 32 },
            Self::Category(domain) => Kind::Category(domain.clone()),
        }
    }
}
/// How a column is written.
///
/// # Privacy
/// Whether it holds numbers, dates or words counts as public, and so does the form of dates. How many
/// decimals numbers have, and with which mark, is found privately: one record would tell it else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    Number {
        decimals: u8,
        comma: bool,
    },
    /// Dates in this form, modelled as days since 1970: bounds are first told by their power of two,
    /// and powers of two from there are months and decades, not millennia.
    Date(&'static str),
    Text,
}

pub(crate) const DATE_FORMS: [&str; 3] = ["%Y-%m-%d", "%Y/%m/%d", "%d.%m.%Y"];

/// A column on its way into the model.
pub(crate) struct Lane {
    pub(crate) name: ColumnPath,
    pub(super) column: Column,
    pub(crate) look: Look,
    /// Each dictionary entry as the model reads it.
    texts: Vec<Option<String>>,
}

impl Lane {
    pub(crate) fn of(column: &Column) -> Result<Self, FilesError> {
        Self::written(column, look_of(column))
    }

    pub(crate) fn written(column: &Column, look: Look) -> Result<Self, FilesError> {
        let texts = column.dictionary().iter().map(|text| look.read(text)).collect();
        Ok(Self { name: ColumnPath::new(column.name())?, column: column.clone(), look, texts })
    }

    pub(crate) fn field(&self, row: usize) -> Option<&str> {
        let code = *self.column.codes().get(row)?;
        self.texts.get(code as usize)?.as_deref()
    }

    /// A column of dates, each read in whichever form it has.
    ///
    /// No form is chosen for the column: one record more or less never changes how another is read.
    pub(crate) fn dated(column: &Column) -> Result<Self, FilesError> {
        let texts = column.dictionary().iter().map(|text| day_of(text)).collect();
        let look = Look::Date(DATE_FORMS[0]);
        Ok(Self { name: ColumnPath::new(column.name())?, column: column.clone(), look, texts })
    }

    /// How the column's numbers are spelt, with whose they are; what is no number is left out.
    pub(super) fn spelt(&self, units: impl Iterator<Item = UnitKey>) -> Vec<(UnitKey, Spelling)> {
        let known: Vec<Option<Spelling>> =
            self.column.dictionary().iter().map(|text| Spelling::of(text)).collect();
        let of = |code: u32| known.get(code as usize).copied().flatten();
        units.zip(self.column.codes()).filter_map(|(unit, code)| Some((unit, of(*code)?))).collect()
    }
}

/// Days since 1970 of a text in one of the forms of dates, which exclude each other; none where it
/// is in no such form.
pub(crate) fn day_of(text: &str) -> Option<String> {
    DATE_FORMS.into_iter().find_map(|form| Look::Date(form).read(text))
}

impl Look {
    /// Numbers that are spelt so.
    pub(super) fn spelt(spelling: Spelling) -> Self {
        Self::Number { decimals: spelling.decimals, comma: spelling.mark == Mark::Comma }
    }

    pub(super) const fn reading(self) -> Reading {
        match self {
            Self::Number { decimals, .. } => Reading::Number { decimals },
            Self::Date(_) => Reading::Number { decimals: 0 },
            Self::Text => Reading::Text,
        }
    }

    /// A text as the model reads it; none for a missing value.
    pub(crate) fn read(self, text: &str) -> Option<String> {
        let text = text.trim();
        if is_missing(text) {
            return None;
        }
        match self {
            Self::Number { .. } => {
                let number: f64 = text.replace(',', ".").parse().ok()?;
                number.is_finite().then(|| number.to_string())
            }
            Self::Date(form) => {
                Some(NaiveDate::parse_from_str(text, form).ok()?.to_epoch_days().to_string())
            }
            Self::Text => Some(text.to_owned()),
        }
    }

    /// A sampled text as the file writes it.
    pub(crate) fn write(self, text: &str) -> String {
        match self {
            Self::Number { comma: true, .. } => text.replace('.', ","),
            Self::Date(form) => text
                .parse()
                .ok()
                .and_then(NaiveDate::from_epoch_days)
                .map_or_else(String::new, |day| day.format(form).to_string()),
            _ => text.to_owned(),
        }
    }
}

/// Whether a column holds numbers, dates or words. How its numbers are spelt is left open.
pub(crate) fn look_of(column: &Column) -> Look {
    let present: Vec<&str> =
        column.dictionary().iter().map(|t| t.trim()).filter(|t| !is_missing(t)).collect();
    if present.is_empty() {
        return Look::Text;
    }
    let most = |fits: &dyn Fn(&str) -> bool| {
        present.iter().filter(|t| fits(t)).count() * 20 >= present.len() * 19
    };
    if most(&|t| t.replace(',', ".").parse::<f64>().is_ok_and(f64::is_finite)) {
        return Look::spelt(Spelling::WHOLE);
    }
    let form =
        DATE_FORMS.into_iter().find(|form| most(&|t| NaiveDate::parse_from_str(t, form).is_ok()));
    form.map_or(Look::Text, Look::Date)
}

/// Sampled records as a table, each column written as `looks` says.
pub(crate) fn table_of(
    records: &[Vec<Option<String>>],
    looks: &[(String, Look)],
) -> Result<Table, FilesError> {
    let columns = looks
        .iter()
        .enumerate()
        .map(|(i, (name, look))| {
            let values = records.iter().map(|record| {
                let text = record.get(i).and_then(Option::as_deref);
                text.map_or_else(String::new, |t| look.write(t))
            });
            Column::from_values(name.as_str(), values)
        })
        .collect::<Result<Vec<_>, _>>()?;
    Ok(Table::from_columns(columns)?)
}

/// The bounds of a column of numbers or days, as its file writes them.
pub(crate) fn range_of(attribute: &Attribute, look: Look) -> Option<String> {
    let Kind::Number { bounds, .. } = attribute.kind() else { return None };
    let end = |steps: i64| look.write(&bounds.value(steps.into()).to_string());
    Some(format!("{} {} to {}", attribute.name(), end(bounds.low()), end(bounds.high())))
}
