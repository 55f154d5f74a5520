//! Hierarchies built from nothing but the values.

use super::{CodeSystem, Hierarchy, HierarchyError, SUPPRESSED, code, date, interval};
use crate::number::{is_missing, parse};
use crate::table::Column;

/// Categories up to this many are kept or suppressed, nothing between.
const FEW: usize = 8;

impl Hierarchy {
    /// A hierarchy that fits a column as it looks: numbers become intervals that double in size,
    /// dates month to decade, ICD-10 and ATC codes the groups of their system, other codes of one
    /// length prefixes; of many other texts the rare ones
    /// (below a hundredth of the records) become `other` first; then everything is suppressed.
    ///
    /// Missing values, and up to a twentieth of texts among numbers or dates, stay apart until
    /// then.
    ///
    /// # Privacy
    /// Intervals are cut at quantiles of the data, so that the cut points themselves tell
    /// something about it; give an interval hierarchy of public cut points where that matters.
    ///
    /// # Errors
    /// When the column has no value.
    pub fn automatic(column: &Column) -> Result<Self, HierarchyError> {
        let values = column.dictionary();
        let present: Vec<usize> =
            (0..values.len()).filter(|&i| !is_missing(&values[i]) && !star(&values[i])).collect();
        let steps = if present.len() <= 2 { Vec::new() } else { steps(column, &present) };
        Self::from_steps(values, steps)
    }

    /// The hierarchy with values added that it does not list: they are suppressed from level 1 on.
    ///
    /// # Errors
    /// When a value comes twice.
    pub fn with_values<S: AsRef<str>>(&self, more: &[S]) -> Result<Self, HierarchyError> {
        let mut texts = vec![""; self.domain()];
        for (text, &value) in &self.index {
            texts[value as usize] = text;
        }
        let known = texts.iter().enumerate().map(|(value, text)| {
            let above = (1..=self.top()).map(|l| self.label(self.node(value as u32, l), l));
            std::iter::once(*text).chain(above).collect::<Vec<&str>>()
        });
        let new = more.iter().map(|text| {
            let stars = std::iter::repeat_n(SUPPRESSED, self.top().into());
            std::iter::once(text.as_ref()).chain(stars).collect::<Vec<&str>>()
        });
        Self::from_rows(&known.chain(new).collect::<Vec<_>>())
    }
}

pub(super) fn star(text: &str) -> bool {
    text.trim() == SUPPRESSED
}

/// What each value becomes at levels 1, 2 and so on, by the first reading that fits.
fn steps(column: &Column, present: &[usize]) -> Vec<Vec<String>> {
    let values = column.dictionary();
    let numbers: Vec<Option<f64>> = values.iter().map(|v| parse(v)).collect();
    let fits = |readable: &dyn Fn(usize) -> bool| -> Option<Vec<usize>> {
        let fitting: Vec<usize> = present.iter().copied().filter(|&i| readable(i)).collect();
        (fitting.len() > 2 && fitting.len() * 20 >= present.len() * 19).then_some(fitting)
    };
    if let Some(part) = fits(&|i| numbers[i].is_some()) {
        let own: Vec<f64> = part.iter().filter_map(|&i| numbers[i]).collect();
        return spread(values, &part, interval::quantiles(&own, (own.len() / 32).max(2)));
    }
    if let Some(part) = fits(&|i| date::read(&values[i]).is_some()) {
        let days: Vec<_> = part.iter().filter_map(|&i| date::read(&values[i])).collect();
        return spread(values, &part, date::steps(&days, &date::CALENDAR));
    }
    let texts: Vec<String> = present.iter().map(|&i| values[i].clone()).collect();
    let system = code::recognised(column.name(), &texts);
    if let Some(system) = system {
        let reads = |i: usize| match system {
            CodeSystem::Atc => code::is_atc(&values[i]),
            _ => code::is_icd10(&values[i]),
        };
        if let Some(part) = fits(&reads) {
            let own: Vec<String> = part.iter().map(|&i| values[i].clone()).collect();
            return spread(values, &part, code::steps(&own, system));
        }
    }
    if looks_coded(&texts) {
        return spread(values, present, code::steps(&texts, CodeSystem::Postcode));
    }
    spread(values, present, rare(column, present))
}

/// Steps over some of the values, as steps over all: the others stay what they are.
pub(super) fn spread(
    values: &[String],
    part: &[usize],
    steps: Vec<Vec<String>>,
) -> Vec<Vec<String>> {
    steps
        .into_iter()
        .map(|step| {
            let mut whole = values.to_vec();
            for (&i, label) in part.iter().zip(step) {
                whole[i] = label;
            }
            whole
        })
        .collect()
}

/// One step at which rare values are taken together; none where it would change nothing.
fn rare(column: &Column, present: &[usize]) -> Vec<Vec<String>> {
    let (values, counts) = (column.dictionary(), column.counts());
    let records = column.codes().len() as u64;
    let seldom = |i: usize| counts[i] * 100 < records;
    let few = present.iter().filter(|&&i| seldom(i)).count();
    if present.len() <= FEW || few < 2 || few == present.len() {
        return Vec::new();
    }
    let label = |&i: &usize| if seldom(i) { "other".to_owned() } else { values[i].clone() };
    vec![present.iter().map(label).collect()]
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
