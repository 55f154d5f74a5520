use std::collections::BTreeMap;
use std::fmt;

use salus_model::{Class, Classified, DatasetId, Timestamp};

use crate::place::Place;
use crate::rows::{DatasetAccess, RowRestriction};
use crate::scope::{Scope, ScopeMismatch, Use};
use crate::unreleased::Unreleased;

/// Proof that somebody entitled to it has allowed this use of these columns.
pub struct PermitChecked<U: Use> {
    scope: Scope,
    accesses: BTreeMap<DatasetId, DatasetAccess>,
    expires: Timestamp,
    terms: U::Terms,
}

impl<U: Use> PermitChecked<U> {
    pub(crate) const fn made(
        scope: Scope,
        accesses: BTreeMap<DatasetId, DatasetAccess>,
        expires: Timestamp,
        terms: U::Terms,
    ) -> Self {
        Self { scope, accesses, expires, terms }
    }
}

/// Permission to unwrap column keys and to scan, for one deal.
///
/// The store's only scan asks for it.
pub struct KeyRelease<U: Use> {
    scope: Scope,
    accesses: BTreeMap<DatasetId, DatasetAccess>,
    expires: Timestamp,
    terms: U::Terms,
}

impl<U: Use> fmt::Debug for PermitChecked<U> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PermitChecked({}, until {})", self.scope, self.expires)
    }
}

impl<U: Use> fmt::Debug for KeyRelease<U> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyRelease({}, until {})", self.scope, self.expires)
    }
}

impl<U: Use> KeyRelease<U> {
    /// The deal that it belongs to.
    #[must_use]
    pub const fn scope(&self) -> &Scope {
        &self.scope
    }

    /// What may be seen of `dataset`; none when the permit does not name it.
    #[must_use]
    pub fn access(&self, dataset: &DatasetId) -> Option<&DatasetAccess> {
        self.accesses.get(dataset)
    }

    /// The datasets that it covers.
    pub fn datasets(&self) -> impl Iterator<Item = &DatasetId> {
        self.accesses.keys()
    }

    /// When it ends: no key is unwrapped from then on.
    #[must_use]
    pub const fn expires(&self) -> Timestamp {
        self.expires
    }

    /// The terms of the use.
    #[must_use]
    pub const fn terms(&self) -> &U::Terms {
        &self.terms
    }

    /// Encloses what was computed from rows read under this release.
    pub fn enclose<T>(&self, value: T) -> Unreleased<T, U> {
        Unreleased::enclosed(self.scope.clone(), self.terms.clone(), value)
    }
}

/// Why keys are not released.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthoriseError {
    /// The tokens are of different deals.
    #[error("the permit, its row restrictions and the place are not of one deal")]
    Scope(#[from] ScopeMismatch),
    /// The row restrictions do not speak of a dataset that the permit names.
    #[error("no row restriction was bound for dataset {dataset}")]
    Unrestricted {
        /// The dataset.
        dataset: DatasetId,
    },
}

impl Classified for AuthoriseError {
    fn class(&self) -> Class {
        Class::Refused
    }
}

/// Joins permit, row restrictions and place into a key release.
///
/// # Errors
/// When the tokens are of different deals, or a dataset of the permit has no row restriction.
pub fn authorise<U: Use>(
    permit: PermitChecked<U>,
    rows: U::Rows,
    place: Place,
) -> Result<KeyRelease<U>, AuthoriseError> {
    permit.scope.same_as(rows.scope())?;
    permit.scope.same_as(place.scope())?;
    let terms = U::restricted(permit.terms, &rows);
    let mut limits: BTreeMap<_, _> = rows.into_limits().into_iter().collect();
    let mut accesses = permit.accesses;
    for (dataset, access) in &mut accesses {
        access.rows = limits
            .remove(dataset)
            .ok_or_else(|| AuthoriseError::Unrestricted { dataset: dataset.clone() })?;
    }
    let (scope, expires) = (permit.scope, permit.expires);
    Ok(KeyRelease { scope, accesses, expires, terms })
}
