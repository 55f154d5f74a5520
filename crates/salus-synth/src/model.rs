use salus_dp::Cost;
use salus_model::{Class, Classified, ColumnPath};
use serde::{Deserialize, Serialize};

use crate::attribute::{Attribute, Kind};
use crate::compression::Compression;
use crate::constraint::Constraint;
use crate::copula::Copula;
use crate::fit::Method;
use crate::marginal::Scope;
use crate::sample::{Sample, check, draw};

/// Why no rows could be sampled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SampleError {
    /// No such attribute.
    #[error("the model has no attribute '{attribute}'")]
    UnknownAttribute {
        /// Which.
        attribute: ColumnPath,
    },
    /// A condition or constraint that asks a category for an order, or a number for a word.
    #[error("the condition on '{attribute}' does not fit its kind")]
    WrongKind {
        /// Which attribute.
        attribute: ColumnPath,
    },
    /// Nothing in the domain satisfies a condition.
    #[error("no value of '{attribute}' in the public domain satisfies the condition")]
    OutsideDomain {
        /// Which attribute.
        attribute: ColumnPath,
    },
    /// The constraints leave hardly anything.
    #[error("fewer than one row in 10,000 satisfies the constraints; loosen them")]
    Unsatisfiable,
}

impl Classified for SampleError {
    fn class(&self) -> Class {
        Class::BadRequest
    }
}

/// What every sampled row must have.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Condition {
    /// A category among these.
    OneOf {
        /// Which attribute.
        attribute: ColumnPath,
        /// The values.
        values: Vec<String>,
    },
    /// A number between these, both included.
    Between {
        /// Which attribute.
        attribute: ColumnPath,
        /// The smallest.
        low: f64,
        /// The largest.
        high: f64,
    },
}

/// Log-potentials of measured marginals.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Graph {
    pub(crate) sizes: Vec<usize>,
    pub(crate) potentials: Vec<(Vec<usize>, Vec<f64>)>,
}

impl Graph {
    pub(crate) const fn new(sizes: Vec<usize>, potentials: Vec<(Vec<usize>, Vec<f64>)>) -> Self {
        Self { sizes, potentials }
    }

    fn is_whole(&self) -> bool {
        self.potentials.iter().all(|(attrs, values)| {
            attrs.iter().all(|a| *a < self.sizes.len())
                && Scope::new(attrs.clone(), &self.sizes).cells() == values.len()
                && values.iter().all(|v| v.is_finite())
        })
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Inner {
    Graph(Graph),
    Copula(Copula),
}

/// A fitted distribution, public once its cost has been charged.
///
/// # Privacy
/// [`Model::cost`]; sampling from it costs nothing more.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub struct Model {
    attributes: Vec<Attribute>,
    method: Method,
    cost: Cost,
    rows: f64,
    compression: Compression,
    inner: Inner,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    version: u8,
    attributes: Vec<Attribute>,
    method: Method,
    cost: Cost,
    rows: f64,
    compression: Compression,
    inner: Inner,
}

impl From<Model> for Stored {
    fn from(m: Model) -> Self {
        let Model { attributes, method, cost, rows, compression, inner } = m;
        Self { version: 1, attributes, method, cost, rows, compression, inner }
    }
}

impl TryFrom<Stored> for Model {
    type Error = &'static str;

    fn try_from(s: Stored) -> Result<Self, Self::Error> {
        if s.version != 1 {
            return Err("the model was stored in another version of the format");
        }
        let codes: Vec<usize> = s.attributes.iter().map(Attribute::size).collect();
        let whole = match &s.inner {
            Inner::Graph(graph) => graph.sizes == s.compression.sizes() && graph.is_whole(),
            Inner::Copula(copula) => copula.fits(&s.compression.sizes()),
        };
        if !whole || !s.compression.fits(&codes) || !s.rows.is_finite() {
            return Err("the model's tables do not fit its attributes");
        }
        let Stored { attributes, method, cost, rows, compression, inner, .. } = s;
        Ok(Self { attributes, method, cost, rows, compression, inner })
    }
}

/// A condition as it acts: allowed codes, and a range within bins.
pub(crate) struct Allowed {
    pub(crate) codes: Vec<bool>,
    pub(crate) range: Option<(f64, f64)>,
}

impl Allowed {
    /// What both allow.
    fn and(&self, other: &Self) -> Self {
        let codes = self.codes.iter().zip(&other.codes).map(|(a, b)| *a && *b).collect();
        let range = match (self.range, other.range) {
            (Some(a), Some(b)) => Some((a.0.max(b.0), a.1.min(b.1))),
            (a, b) => a.or(b),
        };
        Self { codes, range }
    }
}

impl Model {
    pub(crate) const fn new(
        attributes: Vec<Attribute>,
        method: Method,
        cost: Cost,
        rows: f64,
        compression: Compression,
        inner: Inner,
    ) -> Self {
        Self { attributes, method, cost, rows, compression, inner }
    }

    /// What fitting must be charged.
    #[must_use]
    pub const fn cost(&self) -> Cost {
        self.cost
    }

    /// How it was fitted.
    #[must_use]
    pub const fn method(&self) -> Method {
        self.method
    }

    /// The attributes in order.
    #[must_use]
    pub fn attributes(&self) -> &[Attribute] {
        &self.attributes
    }

    /// A noisy count of the rows that the model was fitted to.
    #[must_use]
    pub const fn rows(&self) -> f64 {
        self.rows
    }

    /// The same model with other potentials.
    pub(crate) fn with_graph(&self, graph: Graph) -> Self {
        Self { inner: Inner::Graph(graph), ..self.clone() }
    }

    pub(crate) const fn inner(&self) -> &Inner {
        &self.inner
    }

    pub(crate) const fn compression(&self) -> &Compression {
        &self.compression
    }

    /// Rows from the model: all satisfy the conditions and the constraints.
    ///
    /// A cohort is never empty: a combination that the rows never showed is drawn from what the
    /// model knows of its parts.
    ///
    /// # Errors
    /// When a condition names nothing in the public domain, or the constraints leave nothing.
    pub fn sample(
        &self,
        rows: usize,
        seed: u64,
        conditions: &[Condition],
        constraints: &[Constraint],
    ) -> Result<Sample, SampleError> {
        let allowed = allowed(&self.attributes, conditions)?;
        draw(self, rows, seed, &allowed, constraints)
    }
}

/// Whether attributes can satisfy conditions and constraints, as far as their public domains tell:
/// to be asked before anything is spent on a model.
///
/// # Errors
/// Where [`Model::sample`] would refuse, whatever the model has learnt.
pub fn check_wanted(
    attributes: &[Attribute],
    conditions: &[Condition],
    constraints: &[Constraint],
) -> Result<(), SampleError> {
    allowed(attributes, conditions)?;
    constraints.iter().try_for_each(|c| check(attributes, c).map(|_| ()))
}

/// Whether a row as it was taken in satisfies conditions and constraints, seen as the model sees it:
/// numbers beyond the bounds count as the nearest, values outside the domain as missing.
///
/// # Errors
/// As [`check_wanted`].
pub fn satisfies(
    attributes: &[Attribute],
    conditions: &[Condition],
    constraints: &[Constraint],
    row: &[Option<String>],
) -> Result<bool, SampleError> {
    for condition in conditions {
        let (Condition::OneOf { attribute, .. } | Condition::Between { attribute, .. }) = condition;
        let at = position(attributes, attribute)?;
        let value = row.get(at).and_then(Option::as_deref);
        if !condition.admits(attributes.get(at).map(Attribute::kind), value) {
            return Ok(false);
        }
    }
    for constraint in constraints {
        if !check(attributes, constraint)?.holds(row) {
            return Ok(false);
        }
    }
    Ok(true)
}

impl Condition {
    fn admits(&self, kind: Option<&Kind>, value: Option<&str>) -> bool {
        match (self, kind, value) {
            (Self::OneOf { values, .. }, Some(Kind::Category(domain)), Some(value)) => {
                domain.code(value).is_some() && values.iter().any(|v| v == value)
            }
            (Self::Between { low, high, .. }, Some(Kind::Number { bounds, .. }), Some(value)) => {
                let steps = value.trim().parse().ok().and_then(|x| bounds.clamp(x));
                let number = steps.map(|steps| bounds.value(steps.into()));
                number.is_some_and(|x| (*low..=*high).contains(&x))
            }
            _ => false,
        }
    }
}

pub(crate) fn position(attributes: &[Attribute], name: &ColumnPath) -> Result<usize, SampleError> {
    let found = attributes.iter().position(|a| a.name() == name);
    found.ok_or_else(|| SampleError::UnknownAttribute { attribute: name.clone() })
}

/// For each attribute what all conditions leave of it; none where there is no condition.
fn allowed(
    attributes: &[Attribute],
    conditions: &[Condition],
) -> Result<Vec<Option<Allowed>>, SampleError> {
    let mut allowed: Vec<Option<Allowed>> = attributes.iter().map(|_| None).collect();
    for condition in conditions {
        let (at, new) = resolve(attributes, condition)?;
        if let Some(slot) = allowed.get_mut(at) {
            *slot = Some(match slot.take() {
                Some(before) => before.and(&new),
                None => new,
            });
        }
    }
    for (allowed, attribute) in allowed.iter().zip(attributes) {
        if allowed.as_ref().is_some_and(|a| !a.codes.contains(&true)) {
            return Err(SampleError::OutsideDomain { attribute: attribute.name().clone() });
        }
    }
    Ok(allowed)
}

fn resolve(attributes: &[Attribute], c: &Condition) -> Result<(usize, Allowed), SampleError> {
    let (Condition::OneOf { attribute: name, .. } | Condition::Between { attribute: name, .. }) = c;
    let at = position(attributes, name)?;
    let wrong = || SampleError::WrongKind { attribute: name.clone() };
    let attribute = attributes.get(at).ok_or_else(wrong)?;
    match (c, attribute.kind()) {
        (Condition::OneOf { values, .. }, Kind::Category(_)) => {
            let codes = attribute.codes_where(|v| values.iter().any(|w| w == v));
            Ok((at, Allowed { codes, range: None }))
        }
        (Condition::Between { low, high, .. }, Kind::Number { .. }) => {
            let codes = attribute.codes_between(*low, *high);
            Ok((at, Allowed { codes, range: Some((*low, *high)) }))
        }
        _ => Err(wrong()),
    }
}
