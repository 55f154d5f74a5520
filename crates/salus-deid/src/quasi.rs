//! Quasi-identifiers and the levels they are generalised to.

use salus_model::{Class, Classified};
use serde::{Deserialize, Serialize};

use crate::hierarchy::Hierarchy;

/// Why columns cannot serve as quasi-identifiers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QuasiIdentifierError {
    /// None was named.
    #[error("no quasi-identifier was named")]
    Empty,
    /// One was named twice.
    #[error("quasi-identifier '{0}' is named twice")]
    Duplicate(String),
    /// A scheme does not fit.
    #[error("the scheme has levels for {found} quasi-identifiers where there are {expected}")]
    SchemeWidth {
        /// Levels given.
        found: usize,
        /// Quasi-identifiers.
        expected: usize,
    },
    /// A level above the top of a hierarchy.
    #[error("quasi-identifier '{column}' has no level {level}; its highest is {top}")]
    NoSuchLevel {
        /// The column.
        column: String,
        /// The level asked for.
        level: u8,
        /// The highest there is.
        top: u8,
    },
}

impl Classified for QuasiIdentifierError {
    fn class(&self) -> Class {
        Class::BadRequest
    }
}

/// A column by which people could be recognised, and how it is coarsened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuasiIdentifier {
    /// The column's name.
    pub column: String,
    /// What its values become.
    pub hierarchy: Hierarchy,
}

/// The columns by which people could be recognised, at least one, each once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuasiIdentifiers(Vec<QuasiIdentifier>);

impl QuasiIdentifiers {
    /// Takes the columns in the order in which levels will be reported.
    ///
    /// # Errors
    /// When there is none or one comes twice.
    pub fn new(items: Vec<QuasiIdentifier>) -> Result<Self, QuasiIdentifierError> {
        if items.is_empty() {
            return Err(QuasiIdentifierError::Empty);
        }
        for (i, item) in items.iter().enumerate() {
            if items.iter().take(i).any(|other| other.column == item.column) {
                return Err(QuasiIdentifierError::Duplicate(item.column.clone()));
            }
        }
        Ok(Self(items))
    }

    /// The columns in order.
    #[must_use]
    pub fn items(&self) -> &[QuasiIdentifier] {
        &self.0
    }

    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Never: there is at least one.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The lattice of all level combinations.
    #[must_use]
    pub fn lattice(&self) -> Lattice {
        Lattice { tops: self.0.iter().map(|q| q.hierarchy.top()).collect() }
    }
}

/// One generalisation level per quasi-identifier.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Levels(Vec<u8>);

impl Levels {
    /// Levels in the order of the quasi-identifiers; checked where they are used.
    #[must_use]
    pub const fn new(levels: Vec<u8>) -> Self {
        Self(levels)
    }

    /// The levels in order.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        &self.0
    }

    /// Whether every level is at least that of `other`.
    #[must_use]
    pub fn generalises(&self, other: &Self) -> bool {
        self.0.len() == other.0.len() && self.0.iter().zip(&other.0).all(|(a, b)| a >= b)
    }
}

/// All combinations of levels, ordered by "at least as general in every column".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lattice {
    tops: Vec<u8>,
}

impl Lattice {
    /// How many combinations there are; none when 64 bits do not count them.
    #[must_use]
    pub fn size(&self) -> Option<u64> {
        self.tops.iter().try_fold(1u64, |size, &top| size.checked_mul(u64::from(top) + 1))
    }

    /// Nothing generalised.
    #[must_use]
    pub fn bottom(&self) -> Levels {
        Levels(vec![0; self.tops.len()])
    }

    /// Everything generalised.
    #[must_use]
    pub fn top(&self) -> Levels {
        Levels(self.tops.clone())
    }

    /// Whether the levels exist.
    #[must_use]
    pub fn contains(&self, levels: &Levels) -> bool {
        levels.0.len() == self.tops.len() && levels.0.iter().zip(&self.tops).all(|(l, t)| l <= t)
    }
}
