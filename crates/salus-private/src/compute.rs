use std::collections::BTreeMap;

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use futures::StreamExt as _;
use salus_crypto::OsEntropy;
use salus_dp::standing::StandingError;
use salus_dp::{ObserveError, PlanError};
use salus_model::{Class, Classified, DatasetId, Entropy as _, EntropyFailed, PrivacyCharge};
use salus_spine::{KeepError, Priced, Secondary, Unreleased};
use salus_store::{ReadSession, ScanError, TableSource};
use zeroize::Zeroizing;

use crate::job::JobFailed;
use crate::joint::JointRefused;
use crate::question::Prepared;
use crate::reader::Reader;
use crate::standing::MOST_UNITS;

/// Batches that may wait for whoever counts them.
const QUEUE: usize = 4;

/// Why an answer was not computed. Says nothing of any row.
#[derive(Debug, thiserror::Error)]
pub enum ComputeError {
    /// The session has no such dataset, which is a bug.
    #[error("dataset {dataset} is not open")]
    NotOpen {
        /// The dataset.
        dataset: DatasetId,
    },
    /// The dataset's schema does not have a column of the profile.
    #[error("dataset {dataset} has no column '{column}', which its privacy profile names")]
    NoColumn {
        /// The dataset.
        dataset: DatasetId,
        /// The column.
        column: salus_model::ColumnPath,
    },
    /// The scan stopped.
    #[error("the dataset cannot be read")]
    Scan(#[from] ScanError),
    /// A column cannot be read as what the profile says it is.
    #[error("a column is of another type than the privacy profile says")]
    Arrow(#[source] ArrowError),
    /// A row did not fit the plan, which is a bug.
    #[error("a row does not fit the plan")]
    Observe(#[from] ObserveError),
    /// The noise could not be drawn.
    #[error("the noise cannot be drawn")]
    Noise(#[from] PlanError),
    /// The shares of a joint answer were not made.
    #[error("the shares of the joint answer cannot be made")]
    Joint(#[from] JointRefused),
    /// No key for the units could be drawn.
    #[error("no random key can be drawn")]
    Entropy(#[from] EntropyFailed),
    /// The answer cannot be written, which is a bug.
    #[error("the answer cannot be written")]
    Answer(#[source] serde_json::Error),
    /// The noise of a standing question cannot be made, or it has run to its end.
    #[error(transparent)]
    Standing(#[from] StandingError),
    /// What is remembered of a standing question does not open, or cannot be sealed.
    #[error("what is remembered of the standing question cannot be used")]
    Memory(#[source] KeepError),
    /// What is remembered of a standing question is in no form that is known.
    #[error("what is remembered of the standing question cannot be read")]
    MemoryForm,
    /// More units than one standing question remembers.
    #[error("a standing question remembers up to {MOST_UNITS} units; ask about fewer")]
    TooManyUnits,
    /// A job that is no question came to nothing.
    #[error(transparent)]
    Job(#[from] JobFailed),
    /// A part of the scan ended without a word, which is a bug.
    #[error("a part of the scan ended early")]
    Ended,
}

impl Classified for ComputeError {
    fn class(&self) -> Class {
        match self {
            Self::Scan(e) => e.class(),
            Self::NoColumn { .. } | Self::Arrow(_) => Class::BadRequest,
            Self::Joint(e) => e.class(),
            Self::Job(e) => e.class(),
            Self::Entropy(_) => Class::Unavailable,
            Self::Standing(e) => e.class(),
            Self::Memory(e) => e.class(),
            Self::MemoryForm => Class::Corrupt,
            Self::TooManyUnits => Class::BadRequest,
            _ => Class::Bug,
        }
    }
}

impl Prepared {
    /// Computes the answer on an opened dataset, adds the noise, and puts the price on it.
    ///
    /// `partitions` parts of the dataset are read beside each other.
    ///
    /// # Privacy
    /// [`Prepared::cost`], for the profile's unit.
    ///
    /// # Errors
    /// When the dataset cannot be read or no noise can be drawn; nothing is released then, and
    /// nothing is to be charged.
    pub async fn compute(
        self,
        session: ReadSession<Secondary>,
        partitions: usize,
    ) -> Result<Unreleased<Priced<Vec<u8>>, Secondary>, ComputeError> {
        let dataset = self.dataset.clone();
        let computed = session
            .compute(|mut tables| async move {
                let source = tables
                    .remove(&dataset)
                    .ok_or(ComputeError::NotOpen { dataset: dataset.clone() })?;
                self.answer(source, partitions).await
            })
            .await;
        computed.transpose()
    }

    async fn answer(
        self,
        source: TableSource,
        partitions: usize,
    ) -> Result<Priced<Vec<u8>>, ComputeError> {
        let projection = self.projection(&source)?;
        let mut key = Zeroizing::new([0; 16]);
        OsEntropy.fill(key.as_mut())?;
        let dataset = self.dataset.clone();
        let reader = Reader {
            filter: self.filter,
            unit: self.unit_column,
            rows_per_unit: self.rows_per_unit,
            columns: self.plan.columns().iter().cloned().zip(self.kinds).collect(),
            key,
        };
        let partial = self.joint.as_ref().map(crate::joint::Contribution::partial);
        let mut partial = partial.unwrap_or_else(|| self.plan.partial());
        let schema = source.schema();
        let groups = self.plan.columns().iter().filter(|_| partial.takes_codes());
        let groups = groups.filter_map(|column| schema.index_of(column.as_str()).ok());
        let source = source.with_codes(groups.collect::<Vec<_>>());
        each_batch(&source, &projection, partitions, |batch| reader.observe(&mut partial, batch))
            .await?;
        let cost = self.plan.cost();
        let value = match self.joint {
            Some(joint) => serde_json::to_vec(&joint.shares(partial, &mut OsEntropy)?),
            None => serde_json::to_vec(&self.plan.execute(partial)?.answer()),
        };
        let value = value.map_err(ComputeError::Answer)?;
        let charges = BTreeMap::from([(dataset, PrivacyCharge::Bounded(cost.rho))]);
        Ok(Priced { value, charges })
    }

    pub(crate) fn projection(&self, source: &TableSource) -> Result<Vec<usize>, ComputeError> {
        let schema = source.schema();
        let mut places = Vec::new();
        for column in self.wanted().remove(&self.dataset).unwrap_or_default() {
            let place = schema
                .index_of(column.as_str())
                .map_err(|_| ComputeError::NoColumn { dataset: self.dataset.clone(), column })?;
            places.push(place);
        }
        Ok(places)
    }
}

/// Looks at every batch of a table, whose parts are read beside each other.
pub(crate) async fn each_batch(
    source: &TableSource,
    projection: &[usize],
    partitions: usize,
    mut look: impl FnMut(&RecordBatch) -> Result<(), ComputeError> + Send,
) -> Result<(), ComputeError> {
    let (send, mut receive) = tokio::sync::mpsc::channel(QUEUE);
    for partition in source.partitions(partitions) {
        let (source, projection, send) = (source.clone(), projection.to_vec(), send.clone());
        tokio::spawn(async move {
            let mut batches = source.scan(partition, projection, Vec::new(), None);
            while let Some(batch) = batches.next().await {
                let failed = batch.is_err();
                if send.send(Some(batch)).await.is_err() || failed {
                    return;
                }
            }
            // That it ended well; without it, a part that died would pass for an empty one.
            let _ = send.send(None).await;
        });
    }
    drop(send);
    let mut open = source.partitions(partitions).len();
    while let Some(message) = receive.recv().await {
        match message {
            Some(batch) => look(&batch?)?,
            None => open -= 1,
        }
    }
    if open > 0 { Err(ComputeError::Ended) } else { Ok(()) }
}
