//! Which rows a reader sees: row rules and superseded rows, decided before anything else.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, StringArray};
use arrow::compute::{and, cast};
use arrow::datatypes::{DataType, Int64Type};
use arrow::error::ArrowError;
use salus_model::ColumnPath;
use salus_spine::RowRule;

use crate::scan::leaf;

/// How rows of an upserted dataset replace each other.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// The text column that says which thing a row describes.
    pub key: ColumnPath,
    /// The integer column that orders the rows of one thing.
    pub sequence: ColumnPath,
}

impl Identity {
    /// Hands key and sequence of each row that has both to `take`.
    ///
    /// # Errors
    /// When a column is not there, or is of another type.
    pub fn rows(
        &self,
        batch: &RecordBatch,
        mut take: impl FnMut(&str, i64),
    ) -> Result<(), ArrowError> {
        let find = |path: &ColumnPath| {
            leaf(batch, path).ok_or_else(|| {
                ArrowError::SchemaError(format!("the identity's column '{path}' is not there"))
            })
        };
        let keys = text(&find(&self.key)?)?;
        let sequences = cast(&find(&self.sequence)?, &DataType::Int64)?;
        for (key, sequence) in keys.iter().zip(sequences.as_primitive::<Int64Type>().iter()) {
            if let (Some(key), Some(sequence)) = (key, sequence) {
                take(key, sequence);
            }
        }
        Ok(())
    }
}

/// For each thing that has been replaced or removed, the sequence from which its rows count.
#[derive(Debug, Clone, Default)]
pub struct Superseded(Arc<HashMap<String, i64>>);

impl Superseded {
    /// The keys with their least valid sequence.
    #[must_use]
    pub fn new(from: HashMap<String, i64>) -> Self {
        Self(Arc::new(from))
    }

    /// Whether nothing has been replaced.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many keys are in it.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Both together, where a later sequence wins.
    #[must_use]
    pub fn merged(&self, other: &Self) -> Self {
        let (more, fewer) =
            if self.0.len() >= other.0.len() { (self, other) } else { (other, self) };
        if fewer.is_empty() {
            return more.clone();
        }
        let mut all = HashMap::clone(&more.0);
        for (key, &from) in fewer.0.iter() {
            all.entry(key.clone()).and_modify(|f| *f = (*f).max(from)).or_insert(from);
        }
        Self(Arc::new(all))
    }

    /// The keys with their least valid sequence.
    pub fn iter(&self) -> impl Iterator<Item = (&str, i64)> {
        self.0.iter().map(|(key, from)| (key.as_str(), *from))
    }

    /// From which sequence on the rows of a key count, when the list says.
    pub(crate) fn from(&self, key: &str) -> Option<i64> {
        self.0.get(key).copied()
    }

    /// Without entries that are as they were when it was found that they hide nothing; an entry
    /// that was raised since stays.
    pub(crate) fn without(&self, settled: &[(String, i64)]) -> Self {
        if settled.is_empty() {
            return self.clone();
        }
        let mut left = HashMap::clone(&self.0);
        for (key, from) in settled {
            if left.get(key) == Some(from) {
                left.remove(key);
            }
        }
        Self::new(left)
    }

    fn admits(&self, key: Option<&str>, sequence: Option<i64>) -> bool {
        match (key, sequence) {
            (Some(key), Some(sequence)) => self.0.get(key).is_none_or(|&from| sequence >= from),
            _ => true,
        }
    }
}

/// The whole decision for one dataset.
#[derive(Debug, Clone)]
pub(crate) struct Admission {
    rules: Vec<RowRule>,
    identity: Option<(Identity, Superseded)>,
}

impl Admission {
    pub(crate) fn new(rules: Vec<RowRule>, identity: Option<(Identity, Superseded)>) -> Self {
        let identity = identity.filter(|(_, superseded)| !superseded.is_empty());
        Self { rules, identity }
    }

    /// Whether every row is admitted, so that no column need be read to decide.
    pub(crate) const fn is_open(&self) -> bool {
        self.rules.is_empty() && self.identity.is_none()
    }

    /// Whether rows are hidden because of whom they are about.
    pub(crate) const fn hides_subjects(&self) -> bool {
        !self.rules.is_empty()
    }

    /// The columns that the decision looks at.
    pub(crate) fn columns(&self) -> Vec<ColumnPath> {
        let mut columns: Vec<ColumnPath> = self.rules.iter().map(|r| r.column().clone()).collect();
        if let Some((identity, _)) = &self.identity {
            columns.extend([identity.key.clone(), identity.sequence.clone()]);
        }
        columns.sort();
        columns.dedup();
        columns
    }

    /// The decision for rows whose deciding columns `column` finds.
    pub(crate) fn decide(
        &self,
        rows: usize,
        column: impl Fn(&ColumnPath) -> Option<ArrayRef>,
    ) -> Result<BooleanArray, ArrowError> {
        let find = |path: &ColumnPath| {
            column(path).ok_or_else(|| {
                ArrowError::SchemaError(format!("the deciding column '{path}' is not there"))
            })
        };
        let mut admitted = BooleanArray::from(vec![true; rows]);
        for rule in &self.rules {
            let subjects = text(&find(rule.column())?)?;
            let verdict: BooleanArray = subjects.iter().map(|s| Some(rule.admits(s))).collect();
            admitted = and(&admitted, &verdict)?;
        }
        if let Some((identity, superseded)) = &self.identity {
            let keys = text(&find(&identity.key)?)?;
            let sequences = cast(&find(&identity.sequence)?, &DataType::Int64)?;
            let sequences = sequences.as_primitive::<Int64Type>();
            let verdict: BooleanArray = keys
                .iter()
                .zip(sequences.iter())
                .map(|(key, sequence)| Some(superseded.admits(key, sequence)))
                .collect();
            admitted = and(&admitted, &verdict)?;
        }
        Ok(admitted)
    }
}

fn text(column: &ArrayRef) -> Result<StringArray, ArrowError> {
    let text = cast(column, &DataType::Utf8)?;
    Ok(text.as_any().downcast_ref::<StringArray>().cloned().unwrap_or_else(|| {
        // A cast to Utf8 always gives a StringArray; no row is admitted should that ever change.
        StringArray::new_null(column.len())
    }))
}
