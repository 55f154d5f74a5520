//! Reads of the lake: whole datasets into the index, single texts for answers.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch};
use arrow::datatypes::Int64Type;
use arrow::error::ArrowError;
use futures::TryStreamExt;
use salus_model::{Clock, ColumnPath, DatasetId, DealId, HolderId, Purpose, RoleName, StaffId};
use salus_spine::{
    Authority, Care, CareAccess, CareGrant, CareRestricted, KeyRelease, OnPremises, PermitChecked,
    Place, PremisesStatement, Scope, authorise,
};
use salus_store::{RowGroupStatistics, ScanFilter, TableSource};

use super::error::RepositoryError;
use crate::fhir::table::SEQUENCE;

/// How long the repository's own reading may take.
const OWN_MICROS: i64 = 6 * 60 * 60 * 1_000_000;

/// The holder's word that the repository may read these columns into its own memory.
///
/// # Privacy
/// What is read under it becomes search index and cache; it leaves under a caller's release only.
pub(super) fn own_release(
    holder: &HolderId,
    authority: &Authority,
    clock: &dyn Clock,
    datasets: &[(&DatasetId, &[&str])],
) -> Result<KeyRelease<Care>, RepositoryError> {
    let scope = Scope::new(holder.clone(), DealId::new("fhir-index")?);
    let issued = clock.now();
    let expires = issued.saturating_add_micros(OWN_MICROS);
    let mut accesses = BTreeMap::new();
    for (dataset, columns) in datasets {
        let columns: Result<BTreeSet<_>, _> = columns.iter().map(|c| ColumnPath::new(*c)).collect();
        let access = CareAccess { columns: columns?, masked: BTreeSet::new(), rules: Vec::new() };
        accesses.insert((*dataset).clone(), access);
    }
    let grant = authority.sign(CareGrant {
        scope: scope.clone(),
        staff: StaffId::new("salus")?,
        role: RoleName::new("fhir-index")?,
        purpose: Purpose::Operations,
        datasets: accesses,
        issued,
        expires,
    });
    let premises = authority.sign(PremisesStatement { scope, issued, expires });
    let verifier = authority.verifier();
    let permit = PermitChecked::verify(&grant, &verifier, issued)?;
    let rows = CareRestricted::bind(&grant, &verifier, issued)?;
    let place = OnPremises::verify(&premises, &verifier, issued)?;
    Ok(authorise(permit, rows, Place::Premises(place))?)
}

/// Where columns stand in what a reader sees of a dataset.
pub(super) struct Sight {
    columns: Vec<usize>,
    id: usize,
    sequence: usize,
}

impl Sight {
    pub(super) fn of(table: &TableSource, names: &[&str]) -> Result<Self, RepositoryError> {
        let schema = table.schema();
        let place = |name: &str| schema.index_of(name).map_err(|_| RepositoryError::NotCovered);
        let columns: Result<Vec<usize>, _> = names.iter().map(|name| place(name)).collect();
        Ok(Self { columns: columns?, id: place("id")?, sequence: place(SEQUENCE)? })
    }
}

/// Which rows.
pub(super) enum Wanted {
    All,
    /// With one of these keys, `Type/id`.
    Keys(HashSet<String>),
    /// With one of these sequences.
    Sequences(HashSet<i64>),
    /// With keys of this type.
    Type(String),
}

struct ByKey {
    columns: [usize; 1],
    keys: HashSet<String>,
    least: Option<String>,
    most: Option<String>,
}

impl ScanFilter for ByKey {
    fn columns(&self) -> &[usize] {
        &self.columns
    }

    fn passes(&self, batch: &RecordBatch) -> Result<BooleanArray, ArrowError> {
        let ids = text(batch)?;
        Ok(ids.iter().map(|id| Some(id.is_some_and(|id| self.keys.contains(id)))).collect())
    }

    fn may_pass(&self, statistics: &RowGroupStatistics) -> Vec<bool> {
        let all = vec![true; statistics.row_groups];
        let (Some(least), Some(most)) = (&self.least, &self.most) else { return all };
        let Some(column) = statistics.column(self.columns[0]) else { return all };
        let (Some(min), Some(max)) =
            (column.min.as_string_opt::<i32>(), column.max.as_string_opt::<i32>())
        else {
            return all;
        };
        let overlaps = |(min, max): (Option<&str>, Option<&str>)| {
            min.is_none_or(|min| min <= most.as_str())
                && max.is_none_or(|max| max >= least.as_str())
        };
        min.iter().zip(max.iter()).map(overlaps).collect()
    }
}

fn text(batch: &RecordBatch) -> Result<&arrow::array::StringArray, ArrowError> {
    let column = batch.columns().first().and_then(|c| c.as_string_opt::<i32>());
    column.ok_or_else(|| ArrowError::SchemaError("id is no text".to_owned()))
}

/// A filter by what a cell of one column must be.
struct ByCell<F> {
    columns: [usize; 1],
    passes: F,
}

impl<F: Fn(&dyn Array, usize) -> bool + Send + Sync> ScanFilter for ByCell<F> {
    fn columns(&self) -> &[usize] {
        &self.columns
    }

    fn passes(&self, batch: &RecordBatch) -> Result<BooleanArray, ArrowError> {
        let column = batch.column(0);
        Ok((0..batch.num_rows()).map(|at| Some((self.passes)(column, at))).collect())
    }
}

fn number(column: &dyn Array, at: usize) -> Option<i64> {
    let numbers = column.as_primitive_opt::<Int64Type>()?;
    numbers.is_valid(at).then(|| numbers.value(at))
}

fn filter(sight: &Sight, wanted: Wanted) -> Option<Arc<dyn ScanFilter>> {
    let (id, sequence) = ([sight.id], [sight.sequence]);
    Some(match wanted {
        Wanted::All => return None,
        Wanted::Sequences(set) => Arc::new(ByCell {
            columns: sequence,
            passes: move |c: &dyn Array, at| number(c, at).is_some_and(|n| set.contains(&n)),
        }),
        Wanted::Type(name) => {
            let start = format!("{name}/");
            Arc::new(ByCell {
                columns: id,
                passes: move |c: &dyn Array, at| {
                    c.as_string_opt::<i32>().is_some_and(|ids| ids.value(at).starts_with(&start))
                },
            })
        }
        Wanted::Keys(keys) => {
            let (least, most) = (keys.iter().min().cloned(), keys.iter().max().cloned());
            Arc::new(ByKey { columns: id, keys, least, most })
        }
    })
}

/// Hands every wanted row to `take`, batch by batch.
pub(super) async fn scan(
    table: &TableSource,
    sight: &Sight,
    wanted: Wanted,
    mut take: impl FnMut(&RecordBatch) -> Result<(), RepositoryError>,
) -> Result<(), RepositoryError> {
    let filter = filter(sight, wanted);
    for partition in table.partitions(1) {
        let filters: Vec<Arc<dyn ScanFilter>> = filter.iter().map(Arc::clone).collect();
        let mut batches = table.scan(partition, sight.columns.clone(), filters.clone(), None);
        while let Some(batch) = batches.try_next().await? {
            // Rows in memory are handed out unfiltered.
            let batch = keep(&batch, sight, &filters)?;
            take(&batch)?;
        }
    }
    Ok(())
}

fn keep(
    batch: &RecordBatch,
    sight: &Sight,
    filters: &[Arc<dyn ScanFilter>],
) -> Result<RecordBatch, ArrowError> {
    let mut kept = batch.clone();
    for filter in filters {
        let of = |column: &usize| sight.columns.iter().position(|c| c == column);
        let places: Option<Vec<usize>> = filter.columns().iter().map(of).collect();
        let missing = || ArrowError::SchemaError("the filter's column is not read".to_owned());
        let passes = filter.passes(&kept.project(&places.ok_or_else(missing)?)?)?;
        kept = arrow::compute::filter_record_batch(&kept, &passes)?;
    }
    Ok(kept)
}
