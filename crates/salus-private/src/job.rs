//! Work under a permit that is no question: whatever reads rows, puts a price on what it makes, and
//! leaves the rest of the way to the desk.

use std::collections::{BTreeMap, BTreeSet};

use salus_crypto::Digest;
use salus_ledger::CodeHash;
use salus_model::{Class, Classified, ColumnPath, DatasetId};
use salus_spine::Checked;
use salus_store::TableSource;

use arrow::array::{Array as _, ArrayRef, AsArray as _};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use arrow::error::ArrowError;

use crate::compute::{ComputeError, each_batch};
use crate::predicate::{as_texts, column};

/// The most bytes that one job may release: they are kept sealed until they are on record.
pub const MAX_RESULT_BYTES: usize = 48 * 1024 * 1024;

/// Why a job came to nothing, in its own words, which carry no value of a row.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct JobFailed {
    /// What happened.
    pub message: String,
    /// Who has to act.
    pub class: Class,
}

impl Classified for JobFailed {
    fn class(&self) -> Class {
        self.class
    }
}

impl From<ComputeError> for JobFailed {
    fn from(error: ComputeError) -> Self {
        let class = error.class();
        let mut message = error.to_string();
        let mut cause = std::error::Error::source(&error);
        while let Some(error) = cause {
            message = format!("{message}: {error}");
            cause = error.source();
        }
        Self { message, class }
    }
}

/// Work of the holder's own program under a permit.
///
/// # Privacy
/// The desk reads the rows under the permit with the opt-outs applied, and hands them to
/// [`Job::compute`] alone. What comes back is sealed, charged its price, and only then released;
/// an error is not charged, so it must not depend on rows that a price was to be paid for. What has
/// no bound goes another way ([`crate::Desk::for_review`]).
#[async_trait::async_trait]
pub trait Job: Send + Sync {
    /// The code that computes, as the request, the permit and the receipt name it.
    fn code(&self) -> CodeHash;

    /// What was signed for: all that decides what comes out.
    fn digest(&self) -> Digest;

    /// What the access log says was done.
    fn statement(&self) -> String;

    /// Whether it may be begun: asked when no earlier result is kept, and before a key is touched.
    ///
    /// # Errors
    /// In the job's own words; nothing was read.
    fn begin(&self) -> Result<(), JobFailed> {
        Ok(())
    }

    /// The columns that are read; the permit has to cover each.
    fn wanted(&self) -> BTreeMap<DatasetId, BTreeSet<ColumnPath>>;

    /// Computes, and puts the price on the result; with the automatic checks' report where it has no
    /// bound, and people have to look at it before it goes out.
    ///
    /// # Errors
    /// In the job's own words; nothing is released or charged then.
    async fn compute(
        self: Box<Self>,
        tables: BTreeMap<DatasetId, TableSource>,
    ) -> Result<Checked, JobFailed>;
}

/// Reads columns whole, as text, in the order in which they are named; a missing value is none.
/// Moments come as their days (UTC), `2026-02-28`.
///
/// # Errors
/// When a column is not there, or the scan stops.
///
/// # Cost
/// All values in memory.
pub async fn read_texts(
    dataset: &DatasetId,
    source: &TableSource,
    columns: &[ColumnPath],
    partitions: usize,
) -> Result<Vec<Vec<Option<String>>>, ComputeError> {
    let schema = source.schema();
    let projection = columns
        .iter()
        .map(|column| {
            let missing =
                |_| ComputeError::NoColumn { dataset: dataset.clone(), column: column.clone() };
            schema.index_of(column.as_str()).map_err(missing)
        })
        .collect::<Result<Vec<_>, _>>()?;
    let mut texts = vec![Vec::new(); columns.len()];
    each_batch(source, &projection, partitions, |batch| {
        for (texts, name) in texts.iter_mut().zip(columns) {
            let array = column(batch, Some(name)).and_then(texts_of);
            let array = array.map_err(ComputeError::Arrow)?;
            let array = array.as_string::<i32>();
            let value = |row| array.is_valid(row).then(|| array.value(row).to_owned());
            texts.extend((0..array.len()).map(value));
        }
        Ok(())
    })
    .await?;
    Ok(texts)
}

/// A column's plain values as text, as [`read_texts`] reads them.
///
/// # Errors
/// When they are no plain values.
pub fn texts_of(array: ArrayRef) -> Result<ArrayRef, ArrowError> {
    as_texts(&in_days(array)?)
}

/// A moment's day; anything else as it is.
fn in_days(array: ArrayRef) -> Result<ArrayRef, ArrowError> {
    match array.data_type() {
        DataType::Timestamp(unit, _) => {
            // A moment counts from 1970 in UTC, whatever zone it is shown in.
            let utc = cast(&array, &DataType::Timestamp(*unit, None))?;
            cast(&utc, &DataType::Date32)
        }
        DataType::Date64 => cast(&array, &DataType::Date32),
        _ => Ok(array),
    }
}

#[cfg(test)]
mod tests;
