//! Hierarchies of columns whose kind somebody says.

use super::auto::{spread, star};
use super::{CodeSystem, Hierarchy, HierarchyError, Intervals, SUPPRESSED, code, date, interval};
use crate::number::{is_missing, parse};
use crate::table::Column;

/// Interval levels at most: with each their width doubles.
const MOST_LEVELS: u8 = 16;

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Stated {
    /// Codes of a system.
    Codes(CodeSystem),
    /// Numbers, in intervals that begin at multiples of this and double in width.
    Intervals(f64),
    /// Dates: month, quarter, year, decade.
    Dates,
}

impl Hierarchy {
    /// A hierarchy of a column's values by what it is said to hold, and how many values are
    /// something else: those are suppressed from level 1 on. Missing ones stay apart until the end.
    ///
    /// # Privacy
    /// Cut points do not depend on the data, which those of [`Hierarchy::automatic`] do.
    ///
    /// # Errors
    /// When no value is what the column is said to hold, or an interval has no width.
    pub fn stated(column: &Column, stated: Stated) -> Result<(Self, usize), HierarchyError> {
        let values = column.dictionary();
        let present: Vec<usize> =
            (0..values.len()).filter(|&i| !is_missing(&values[i]) && !star(&values[i])).collect();
        let part: Vec<usize> =
            present.iter().copied().filter(|&i| stated.reads(&values[i])).collect();
        let Some(&first) = present.first() else {
            return Self::from_steps(values, Vec::new()).map(|h| (h, 0));
        };
        if part.is_empty() {
            let expected = stated.expected();
            return Err(HierarchyError::Unreadable { entry: first + 1, expected });
        }
        let own: Vec<String> = part.iter().map(|&i| values[i].clone()).collect();
        let mut steps = spread(values, &part, stated.steps(&own)?);
        let odd: Vec<usize> = present.iter().copied().filter(|i| !part.contains(i)).collect();
        for step in &mut steps {
            for &i in &odd {
                SUPPRESSED.clone_into(&mut step[i]);
            }
        }
        Ok((Self::from_steps(values, steps)?, odd.len()))
    }
}

impl Stated {
    fn reads(self, text: &str) -> bool {
        match self {
            Self::Codes(CodeSystem::Icd10) => code::is_icd10(text),
            Self::Codes(CodeSystem::Atc) => code::is_atc(text),
            Self::Codes(CodeSystem::Postcode) => true,
            Self::Intervals(_) => parse(text).is_some(),
            Self::Dates => date::read(text).is_some(),
        }
    }

    const fn expected(self) -> &'static str {
        match self {
            Self::Codes(CodeSystem::Icd10) => "ICD-10 code",
            Self::Codes(CodeSystem::Atc) => "ATC code",
            Self::Codes(CodeSystem::Postcode) => "postcode",
            Self::Intervals(_) => "number",
            Self::Dates => "date",
        }
    }

    fn steps(self, values: &[String]) -> Result<Vec<Vec<String>>, HierarchyError> {
        Ok(match self {
            Self::Codes(system) => code::steps(values, system),
            Self::Dates => {
                let days: Vec<_> = values.iter().filter_map(|v| date::read(v)).collect();
                date::steps(&days, &date::CALENDAR)
            }
            Self::Intervals(width) => {
                let numbers: Vec<f64> = values.iter().filter_map(|v| parse(v)).collect();
                let most = numbers.iter().fold(0.0f64, |most, x| most.max(x.abs()));
                // As many doublings as take everybody into one of two intervals.
                let doublings = (most / width).log2().ceil().clamp(0.0, f64::from(MOST_LEVELS - 1));
                interval::steps(
                    &numbers,
                    Intervals {
                        origin: 0.0,
                        width,
                        fanout: 2,
                        levels: doublings as u8 + 1,
                        lowest: f64::NEG_INFINITY,
                        highest: f64::INFINITY,
                    },
                )?
            }
        })
    }
}
