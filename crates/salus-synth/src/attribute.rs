use salus_dp::{Bounds, Domain};
use salus_model::{Class, Classified, ColumnPath};
use serde::{Deserialize, Serialize};

use crate::random::Random;

/// An attribute that cannot be synthesised.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AttributeError {
    /// No code or too many.
    #[error("attribute '{name}' has {codes} values or bins; 1 to 4,096 are possible")]
    Codes {
        /// Which attribute.
        name: ColumnPath,
        /// How many codes it would have.
        codes: usize,
    },
}

impl Classified for AttributeError {
    fn class(&self) -> Class {
        Class::BadRequest
    }
}

/// What values an attribute has, publicly.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Kind {
    /// A list of values.
    Category(Domain),
    /// Numbers within bounds, in bins of equal width.
    Number {
        /// The bounds and the step to which values are rounded.
        bounds: Bounds,
        /// How many bins.
        bins: u16,
    },
}

/// Whether an attribute can lack a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Missing {
    /// Each row has a value.
    Never,
    /// Missing is a value of its own, modelled with the others. Values outside the domain count as
    /// missing.
    Possible,
}

/// One column of a table to synthesise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked", into = "Unchecked")]
pub struct Attribute {
    name: ColumnPath,
    kind: Kind,
    missing: Missing,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Unchecked {
    name: ColumnPath,
    kind: Kind,
    missing: Missing,
}

impl TryFrom<Unchecked> for Attribute {
    type Error = AttributeError;

    fn try_from(a: Unchecked) -> Result<Self, AttributeError> {
        Self::new(a.name, a.kind, a.missing)
    }
}

impl From<Attribute> for Unchecked {
    fn from(a: Attribute) -> Self {
        Self { name: a.name, kind: a.kind, missing: a.missing }
    }
}

impl Attribute {
    /// An attribute with at most 4,096 values or bins.
    ///
    /// # Errors
    /// When it has none or more.
    pub fn new(name: ColumnPath, kind: Kind, missing: Missing) -> Result<Self, AttributeError> {
        let attribute = Self { name, kind, missing };
        let codes = attribute.size();
        if attribute.values() == 0 || codes > 4_096 {
            return Err(AttributeError::Codes { name: attribute.name, codes });
        }
        Ok(attribute)
    }

    /// The attribute's name.
    #[must_use]
    pub const fn name(&self) -> &ColumnPath {
        &self.name
    }

    /// What values it has.
    #[must_use]
    pub const fn kind(&self) -> &Kind {
        &self.kind
    }

    fn values(&self) -> usize {
        match &self.kind {
            Kind::Category(domain) => domain.values().len(),
            Kind::Number { bounds, bins } => {
                usize::from(*bins).min((bounds.high() - bounds.low()).unsigned_abs() as usize + 1)
            }
        }
    }

    /// How many codes: values or bins, and one for missing where that is possible.
    #[must_use]
    pub fn size(&self) -> usize {
        self.values() + usize::from(self.missing == Missing::Possible)
    }

    /// The code of a value; none when it has no place.
    #[must_use]
    pub fn encode(&self, value: Option<&str>) -> Option<u16> {
        let code = value.and_then(|text| match &self.kind {
            Kind::Category(domain) => domain.code(text).map(|c| c as usize),
            Kind::Number { bounds, .. } => {
                let steps = bounds.clamp(text.trim().parse().ok()?)?;
                Some(self.bin(*bounds, steps))
            }
        });
        let code = code.or((self.missing == Missing::Possible).then(|| self.values()))?;
        u16::try_from(code).ok()
    }

    fn bin(&self, bounds: Bounds, steps: i64) -> usize {
        let along = i128::from(steps - bounds.low()) * self.values() as i128;
        let bin = along / (i128::from(bounds.high() - bounds.low()) + 1);
        usize::try_from(bin).unwrap_or(0)
    }

    /// The bounds of a bin in steps, both included.
    fn bin_ends(&self, bounds: Bounds, bin: usize) -> (i64, i64) {
        let (span, bins) = (i128::from(bounds.high() - bounds.low()) + 1, self.values() as i128);
        let start = |bin: i128| (bin * span + bins - 1).div_euclid(bins);
        let low = start(bin as i128);
        let high = (start(bin as i128 + 1) - 1).max(low);
        let at = |x: i128| bounds.low() + i64::try_from(x).unwrap_or(0);
        (at(low), at(high).min(bounds.high()))
    }

    /// The middle of a code, for numbers; none for categories and missing values.
    #[must_use]
    pub fn number(&self, code: u16) -> Option<f64> {
        match &self.kind {
            Kind::Number { bounds, .. } if usize::from(code) < self.values() => {
                let (low, high) = self.bin_ends(*bounds, code.into());
                Some(f64::midpoint(bounds.value(low.into()), bounds.value(high.into())))
            }
            _ => None,
        }
    }

    /// The smallest and the largest number of a code; none for categories and missing values.
    pub(crate) fn ends(&self, code: u16) -> Option<(f64, f64)> {
        match &self.kind {
            Kind::Number { bounds, .. } if usize::from(code) < self.values() => {
                let (low, high) = self.bin_ends(*bounds, code.into());
                Some((bounds.value(low.into()), bounds.value(high.into())))
            }
            _ => None,
        }
    }

    /// A value of a code: a category, or a number drawn evenly from its bin and, where given, from
    /// a range; none for missing.
    pub(crate) fn decode(
        &self,
        code: u16,
        range: Option<(f64, f64)>,
        random: &mut Random,
    ) -> Option<String> {
        match &self.kind {
            Kind::Category(domain) => domain.values().get(usize::from(code)).cloned(),
            Kind::Number { bounds, .. } if usize::from(code) < self.values() => {
                let (mut low, mut high) = self.bin_ends(*bounds, code.into());
                if let Some((from, to)) = range {
                    low = low.max(steps_at(*bounds, from, f64::ceil));
                    high = high.min(steps_at(*bounds, to, f64::floor)).max(low);
                }
                let steps = low + random.below((high - low).unsigned_abs() as usize + 1) as i64;
                Some(bounds.value(steps.into()).to_string())
            }
            Kind::Number { .. } => None,
        }
    }

    /// The bins that hold a step between two numbers.
    pub(crate) fn codes_between(&self, from: f64, to: f64) -> Vec<bool> {
        let Kind::Number { bounds, .. } = &self.kind else { return vec![false; self.size()] };
        let (from, to) = (steps_at(*bounds, from, f64::ceil), steps_at(*bounds, to, f64::floor));
        (0..self.size())
            .map(|bin| {
                let (low, high) = self.bin_ends(*bounds, bin);
                bin < self.values() && low.max(from) <= high.min(to)
            })
            .collect()
    }

    /// The codes of the categories that satisfy a test.
    pub(crate) fn codes_where(&self, holds: impl Fn(&str) -> bool) -> Vec<bool> {
        let Kind::Category(domain) = &self.kind else { return vec![false; self.size()] };
        let values = domain.values();
        (0..self.size()).map(|code| values.get(code).is_some_and(|v| holds(v))).collect()
    }
}

/// A number in whole steps, rounded by `round`.
fn steps_at(bounds: Bounds, number: f64, round: fn(f64) -> f64) -> i64 {
    let unit = (1.0 / bounds.value(1)).round();
    // A hair of tolerance for decimals that are no binary fractions.
    let hair = 1e-9 * (round(0.5) - 0.5) * -2.0;
    round(number * unit + hair) as i64
}
