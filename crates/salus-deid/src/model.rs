//! Privacy models: what an equivalence class, or the release as a whole, must satisfy.

mod class;

use salus_model::{Class, Classified};

use crate::hierarchy::Hierarchy;
use crate::risk::Estimator;

pub(crate) use class::{ClassRule, Histogram, SensitiveReference};

/// A privacy model with a parameter that states no guarantee.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{model}: {reason}")]
pub struct ModelError {
    model: &'static str,
    reason: &'static str,
}

impl Classified for ModelError {
    fn class(&self) -> Class {
        Class::BadRequest
    }
}

/// How far apart two values of a sensitive column are.
#[derive(Debug, Clone, PartialEq)]
pub enum GroundDistance {
    /// All values are equally far apart: total variation.
    Equal,
    /// Values are ordered as numbers (or, where one is no number, as texts); neighbours are
    /// 1/(m−1) apart.
    Ordered,
    /// The distance is the height of the lowest common group over the hierarchy's height.
    Hierarchical(Hierarchy),
}

/// Which β-likeness.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Likeness {
    /// Relative gain in belief at most β.
    Basic,
    /// At most min(β, −ln p), which also keeps frequent values from reaching certainty.
    Enhanced,
}

/// What must hold before a table may be called anonymous; models combine by all holding.
///
/// # Privacy
/// All but SafePub (its own module) are *syntactic*: they bound what one release says about
/// records that match a known description, and neither compose across releases nor bound what an
/// attacker with other knowledge learns. That is why [`crate::attack`] runs attacks as well.
#[derive(Debug, Clone, PartialEq)]
pub struct PrivacyModel(pub(crate) Kind);

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Kind {
    Size { k: u64 },
    PopulationSize { k: u64 },
    Presence { least: f64, most: f64 },
    Sensitive { column: String, rule: Sensitive },
    AverageRisk { most: f64 },
    PopulationUnique { most: f64, estimator: Estimator, population: u64 },
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Sensitive {
    Distinct { l: u32 },
    Entropy { l: f64 },
    Recursive { c: f64, l: u32 },
    Close { t: f64, distance: GroundDistance },
    Like { beta: f64, kind: Likeness },
}

fn refuse<T>(model: &'static str, reason: &'static str) -> Result<T, ModelError> {
    Err(ModelError { model, reason })
}

impl PrivacyModel {
    /// Every class has at least `k` records.
    ///
    /// # Errors
    /// When `k` is 0.
    ///
    /// # Source
    /// Sweeney 2002, "k-anonymity: a model for protecting privacy", definition 2.
    pub fn k_anonymity(k: u32) -> Result<Self, ModelError> {
        if k == 0 {
            return refuse("k-anonymity", "k must be at least 1");
        }
        Ok(Self(Kind::Size { k: k.into() }))
    }

    /// Every class matches at least `k` people of the population table.
    ///
    /// # Errors
    /// When `k` is 0.
    ///
    /// # Source
    /// Sweeney 2001, "Computational disclosure control", section 4.3.
    pub fn k_map(k: u32) -> Result<Self, ModelError> {
        if k == 0 {
            return refuse("k-map", "k must be at least 1");
        }
        Ok(Self(Kind::PopulationSize { k: k.into() }))
    }

    /// Every class holds at least `l` distinct values of the sensitive column.
    ///
    /// # Errors
    /// When `l` is 0.
    ///
    /// # Source
    /// Machanavajjhala et al. 2007, "l-diversity", section 4.1.
    pub fn distinct_diversity(sensitive: impl Into<String>, l: u32) -> Result<Self, ModelError> {
        if l == 0 {
            return refuse("distinct l-diversity", "l must be at least 1");
        }
        Ok(Self::sensitive(sensitive, Sensitive::Distinct { l }))
    }

    /// The entropy of the sensitive column in every class is at least ln `l` (within 1e-9, so
    /// that exactly `l` equally frequent values pass).
    ///
    /// # Errors
    /// When `l` is below 1 or not finite.
    ///
    /// # Source
    /// Machanavajjhala et al. 2007, definition 4.1.
    pub fn entropy_diversity(sensitive: impl Into<String>, l: f64) -> Result<Self, ModelError> {
        if !(l.is_finite() && l >= 1.0) {
            return refuse("entropy l-diversity", "l must be a number from 1 on");
        }
        Ok(Self::sensitive(sensitive, Sensitive::Entropy { l }))
    }

    /// In every class the most frequent sensitive value occurs less than `c` times as often as
    /// the `l`-th most frequent and all rarer ones together.
    ///
    /// # Errors
    /// When `c` is not above 0 or `l` is 0.
    ///
    /// # Source
    /// Machanavajjhala et al. 2007, definition 4.2.
    pub fn recursive_diversity(
        sensitive: impl Into<String>,
        c: f64,
        l: u32,
    ) -> Result<Self, ModelError> {
        if !(c.is_finite() && c > 0.0) || l == 0 {
            return refuse("recursive (c, l)-diversity", "c must be above 0 and l at least 1");
        }
        Ok(Self::sensitive(sensitive, Sensitive::Recursive { c, l }))
    }

    /// In every class the distribution of the sensitive column is within earth mover's distance
    /// `t` of that of the whole input table.
    ///
    /// # Errors
    /// When `t` lies outside 0 to 1.
    ///
    /// # Source
    /// Li, Li and Venkatasubramanian 2007, "t-closeness", sections 4 and 5.
    pub fn t_closeness(
        sensitive: impl Into<String>,
        t: f64,
        distance: GroundDistance,
    ) -> Result<Self, ModelError> {
        if !(0.0..=1.0).contains(&t) {
            return refuse("t-closeness", "t must lie between 0 and 1");
        }
        Ok(Self::sensitive(sensitive, Sensitive::Close { t, distance }))
    }

    /// For everybody in the population table, the chance to be in the release lies between
    /// `least` and `most`.
    ///
    /// # Privacy
    /// A positive `least` is refused to everybody in a class without records, and no suppression
    /// can mend that; so it holds only where no record is suppressed.
    ///
    /// # Errors
    /// When the two are not an interval within 0 to 1.
    ///
    /// # Source
    /// Nergiz, Atzori and Clifton 2007, "Hiding the presence of individuals from shared
    /// databases", definition 3.1.
    pub fn delta_presence(least: f64, most: f64) -> Result<Self, ModelError> {
        if !(0.0 <= least && least <= most && most <= 1.0) {
            return refuse("δ-presence", "needs 0 ≤ least ≤ most ≤ 1");
        }
        Ok(Self(Kind::Presence { least, most }))
    }

    /// In no class is a sensitive value more than `beta` times more likely than overall, in the
    /// sense of relative gain.
    ///
    /// # Errors
    /// When `beta` is not above 0.
    ///
    /// # Source
    /// Cao and Karras 2012, "Publishing microdata with a robust privacy guarantee", definitions
    /// 2 and 3.
    pub fn beta_likeness(
        sensitive: impl Into<String>,
        beta: f64,
        kind: Likeness,
    ) -> Result<Self, ModelError> {
        if !(beta.is_finite() && beta > 0.0) {
            return refuse("β-likeness", "β must be above 0");
        }
        Ok(Self::sensitive(sensitive, Sensitive::Like { beta, kind }))
    }

    /// The average over released records of 1 / class size is at most `most`.
    ///
    /// # Errors
    /// When `most` is not above 0 and at most 1.
    pub fn average_risk(most: f64) -> Result<Self, ModelError> {
        if !(most > 0.0 && most <= 1.0) {
            return refuse("average risk", "the threshold must be above 0 and at most 1");
        }
        Ok(Self(Kind::AverageRisk { most }))
    }

    /// The estimated share of the population that is unique is at most `most`.
    ///
    /// # Errors
    /// When `most` lies outside 0 to 1 or the population is empty.
    ///
    /// # Source
    /// Dankar et al. 2012, "Estimating the re-identification risk of clinical data sets".
    pub fn population_uniqueness(
        most: f64,
        estimator: Estimator,
        population: u64,
    ) -> Result<Self, ModelError> {
        if !(0.0..=1.0).contains(&most) {
            return refuse("population uniqueness", "the threshold must lie between 0 and 1");
        }
        if population == 0 {
            return refuse("population uniqueness", "the population must not be empty");
        }
        Ok(Self(Kind::PopulationUnique { most, estimator, population }))
    }

    fn sensitive(column: impl Into<String>, rule: Sensitive) -> Self {
        Self(Kind::Sensitive { column: column.into(), rule })
    }

    /// The sensitive column that the model is about.
    #[must_use]
    pub fn sensitive_column(&self) -> Option<&str> {
        match &self.0 {
            Kind::Sensitive { column, .. } => Some(column),
            _ => None,
        }
    }

    /// Whether the model compares with a population table.
    #[must_use]
    pub const fn needs_population(&self) -> bool {
        matches!(self.0, Kind::PopulationSize { .. } | Kind::Presence { .. })
    }
}

#[cfg(test)]
mod tests;
