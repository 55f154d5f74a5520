use std::collections::{BTreeSet, HashSet};
use std::fmt;
use std::sync::Arc;

use salus_crypto::Digest;
use salus_model::{ColumnPath, DatasetId};

use crate::Scope;

/// A set of subjects (patients, as the dataset's subject column names them).
///
/// Its members are never printed; its digest stands for it in signed statements.
#[derive(Clone)]
pub struct SubjectSet {
    members: Arc<HashSet<String>>,
    digest: Digest,
}

impl SubjectSet {
    /// The set of these subjects.
    #[must_use]
    pub fn new(members: impl IntoIterator<Item = String>) -> Self {
        let ordered: BTreeSet<String> = members.into_iter().collect();
        let parts: Vec<&[u8]> = ordered.iter().map(String::as_bytes).collect();
        let digest = Digest::of_parts("salus subject set v1", &parts);
        Self { members: Arc::new(ordered.into_iter().collect()), digest }
    }

    /// Whether the subject is a member.
    #[must_use]
    pub fn contains(&self, subject: &str) -> bool {
        self.members.contains(subject)
    }

    /// How many members there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether there is no member.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// The digest that signed statements bind.
    #[must_use]
    pub const fn digest(&self) -> Digest {
        self.digest
    }
}

impl fmt::Debug for SubjectSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SubjectSet({} members)", self.members.len())
    }
}

/// Which rows of a dataset may be seen; several rules hold together.
///
/// A row whose subject is null satisfies [`RowRule::SubjectNotIn`] and [`RowRule::NotOptedOut`],
/// and fails [`RowRule::SubjectIn`].
#[derive(Debug, Clone)]
pub enum RowRule {
    /// Only rows of these subjects.
    SubjectIn {
        /// The column that names the subject.
        column: ColumnPath,
        /// The subjects.
        subjects: SubjectSet,
    },
    /// No rows of these subjects.
    SubjectNotIn {
        /// The column that names the subject.
        column: ColumnPath,
        /// The subjects.
        subjects: SubjectSet,
    },
    /// No rows of people who opted out, whether the column names them as `id` or as `Patient/id`.
    NotOptedOut {
        /// The column that names the subject.
        column: ColumnPath,
        /// The people.
        subjects: SubjectSet,
    },
}

/// An id without the type that a FHIR reference puts before it.
pub(crate) fn bare(subject: &str) -> &str {
    subject.rsplit_once('/').map_or(subject, |(_, id)| id)
}

impl RowRule {
    /// The column that the rule looks at.
    #[must_use]
    pub const fn column(&self) -> &ColumnPath {
        match self {
            Self::SubjectIn { column, .. }
            | Self::SubjectNotIn { column, .. }
            | Self::NotOptedOut { column, .. } => column,
        }
    }

    /// Whether a row with this subject may be seen.
    #[must_use]
    pub fn admits(&self, subject: Option<&str>) -> bool {
        match self {
            Self::SubjectIn { subjects, .. } => subject.is_some_and(|s| subjects.contains(s)),
            Self::SubjectNotIn { subjects, .. } => subject.is_none_or(|s| !subjects.contains(s)),
            Self::NotOptedOut { subjects, .. } => {
                subject.is_none_or(|s| !subjects.contains(bare(s)))
            }
        }
    }

    pub(crate) fn digest(&self) -> Digest {
        let (kind, column, subjects) = match self {
            Self::SubjectIn { column, subjects } => ("in", column, subjects),
            Self::SubjectNotIn { column, subjects } => ("not in", column, subjects),
            Self::NotOptedOut { column, subjects } => ("opted out", column, subjects),
        };
        Digest::of_parts(
            "salus row rule v1",
            &[kind.as_bytes(), column.as_str().as_bytes(), subjects.digest().as_bytes()],
        )
    }
}

/// What one use may see of one dataset.
#[derive(Debug, Clone)]
pub struct DatasetAccess {
    pub(crate) columns: BTreeSet<ColumnPath>,
    pub(crate) masked: BTreeSet<ColumnPath>,
    pub(crate) rows: RowLimits,
}

/// Which rows of one dataset a token leaves.
#[derive(Debug, Clone, Default)]
pub struct RowLimits {
    /// Rules on columns that the token names.
    pub(crate) rules: Vec<RowRule>,
    /// The people whose rows stay out, whatever the dataset calls the column that names them.
    pub(crate) opted_out: Option<SubjectSet>,
}

/// A dataset of which nobody knows whom its rows are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the dataset does not say which column names the person, so opt-outs cannot be applied")]
pub struct NoSubject;

impl DatasetAccess {
    pub(crate) fn of(columns: BTreeSet<ColumnPath>, masked: BTreeSet<ColumnPath>) -> Self {
        Self { columns, masked, rows: RowLimits::default() }
    }

    /// The leaf columns whose values may be seen.
    #[must_use]
    pub const fn columns(&self) -> &BTreeSet<ColumnPath> {
        &self.columns
    }

    /// The leaf columns that are shown as null; no key is touched for them.
    #[must_use]
    pub const fn masked(&self) -> &BTreeSet<ColumnPath> {
        &self.masked
    }

    /// The rules that every row seen must satisfy, on a dataset whose column `subject` names the
    /// person that a row is about.
    ///
    /// # Errors
    /// When opt-outs are to be applied and there is no such column: an empty list of them is no
    /// reason to go on, as the next one would not be applied either.
    pub fn rules(&self, subject: Option<&ColumnPath>) -> Result<Vec<RowRule>, NoSubject> {
        let mut rules = self.rows.rules.clone();
        if let Some(subjects) = &self.rows.opted_out {
            let column = subject.ok_or(NoSubject)?.clone();
            rules.push(RowRule::NotOptedOut { column, subjects: subjects.clone() });
        }
        Ok(rules)
    }
}

/// A token that restricts rows.
pub trait RowRestriction {
    /// The deal that it was made for.
    fn scope(&self) -> &Scope;
    /// What it leaves, by dataset.
    fn into_limits(self) -> Vec<(DatasetId, RowLimits)>;
}
