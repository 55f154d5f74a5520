//! Hierarchies of calendar dates.

use chrono::{Datelike, NaiveDate};

use super::{Hierarchy, HierarchyError};

/// A unit that a date can be coarsened to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DateLevel {
    /// ISO 8601 week, Monday to Sunday. Does not nest in months.
    Week,
    /// Calendar month.
    Month,
    /// Quarter of a year.
    Quarter,
    /// Calendar year, all that Safe Harbor leaves of a date.
    Year,
    /// Ten years.
    Decade,
    /// Hundred years.
    Century,
}

impl DateLevel {
    fn label(self, date: NaiveDate) -> String {
        let year = date.year();
        match self {
            Self::Week => {
                let week = date.iso_week();
                format!("{:04}-W{:02}", week.year(), week.week())
            }
            Self::Month => format!("{year:04}-{:02}", date.month()),
            Self::Quarter => format!("{year:04}-Q{}", date.month0() / 3 + 1),
            Self::Year => format!("{year:04}"),
            Self::Decade => format!("{:03}0s", year.div_euclid(10)),
            Self::Century => format!("{:02}00s", year.div_euclid(100)),
        }
    }
}

/// The levels of a date where nobody says others.
pub(super) const CALENDAR: [DateLevel; 4] =
    [DateLevel::Month, DateLevel::Quarter, DateLevel::Year, DateLevel::Decade];

impl Hierarchy {
    /// A hierarchy over dates (`2024-05-17`, `2024/05/17` or `17.05.2024`; a time behind it is
    /// dropped at level 1).
    ///
    /// # Errors
    /// When a value is no date, no level is given, or the levels do not nest (a week lies in no
    /// one month).
    pub fn dates(values: &[String], levels: &[DateLevel]) -> Result<Self, HierarchyError> {
        if levels.is_empty() {
            return Err(HierarchyError::Parameter("a date hierarchy needs at least one level"));
        }
        let dates = values
            .iter()
            .enumerate()
            .map(|(i, text)| {
                read(text)
                    .ok_or(HierarchyError::Unreadable { entry: i + 1, expected: "ISO 8601 date" })
            })
            .collect::<Result<Vec<_>, _>>()?;
        Self::from_steps(values, steps(&dates, levels))
    }
}

/// The date that a text begins with: `2024-05-17`, `2024/05/17` or `17.05.2024`.
pub(super) fn read(text: &str) -> Option<NaiveDate> {
    let day = text.trim().get(..10)?;
    ["%Y-%m-%d", "%Y/%m/%d", "%d.%m.%Y"]
        .iter()
        .find_map(|form| NaiveDate::parse_from_str(day, form).ok())
}

pub(super) fn steps(dates: &[NaiveDate], levels: &[DateLevel]) -> Vec<Vec<String>> {
    levels.iter().map(|level| dates.iter().map(|&d| level.label(d)).collect()).collect()
}
