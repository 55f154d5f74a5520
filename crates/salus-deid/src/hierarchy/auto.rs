//! Hierarchies built from nothing but the values.

use super::{CodeSystem, DateLevel, Hierarchy, HierarchyError, interval};
use crate::table::Column;

impl Hierarchy {
    /// A hierarchy that fits a column as it looks: numbers become equal-frequency intervals that
    /// double in size, ISO dates month to decade, codes of one length prefixes; any other text is
    /// kept or suppressed.
    ///
    /// # Privacy
    /// Intervals are cut at quantiles of the data, so that the cut points themselves tell
    /// something about it; give an interval hierarchy of public cut points where that matters.
    ///
    /// # Errors
    /// When the column has no value.
    pub fn automatic(column: &Column) -> Result<Self, HierarchyError> {
        let values = column.dictionary();
        if values.len() <= 2 {
            return Self::suppression(values);
        }
        if let Ok(numbers) = interval::parse(values) {
            let per_group = (values.len() / 32).max(2);
            let steps = interval::quantiles(values, &numbers, per_group);
            return Self::from_steps(values, steps);
        }
        let calendar = [DateLevel::Month, DateLevel::Quarter, DateLevel::Year, DateLevel::Decade];
        if let Ok(dates) = Self::dates(values, &calendar) {
            return Ok(dates);
        }
        if looks_coded(values) {
            return Self::codes(values, CodeSystem::Postcode);
        }
        Self::suppression(values)
    }
}

/// Codes: all of one length, at most twelve characters, each with a digit and no blank.
fn looks_coded(values: &[String]) -> bool {
    let Some(length) = values.first().map(|v| v.chars().count()) else { return false };
    (2..=12).contains(&length)
        && values.iter().all(|v| {
            v.chars().count() == length
                && v.chars().any(|c| c.is_ascii_digit())
                && v.chars().all(char::is_alphanumeric)
        })
}
