//! Acknowledged rows that are in no file yet, one [`Tail`] for each dataset.

use std::collections::HashMap;

use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::{concat_batches, filter_record_batch};
use arrow::error::ArrowError;
use parking_lot::Mutex;
use salus_fhir::view::Value;
use salus_store::{LiveRows, Superseded};

use super::history::HistoryBuilder;
use crate::fhir::resources::ResourceBuilder;
use crate::fhir::table::TableBuilder;

/// Chunks with fewer rows are put together.
const CHUNK_ROWS: usize = 4096;

/// What collects the rows of one dataset.
#[expect(clippy::large_enum_variant, reason = "there is one for each dataset")]
pub(super) enum Rows {
    View(TableBuilder),
    Resources(ResourceBuilder),
    History(HistoryBuilder),
}

impl Rows {
    fn finish(&mut self) -> Result<RecordBatch, ArrowError> {
        match self {
            Self::View(builder) => builder.finish(),
            Self::Resources(builder) => builder.finish(),
            Self::History(builder) => builder.finish(),
        }
    }
}

/// Rows in memory, with the journal position of each.
#[derive(Clone)]
struct Chunk {
    positions: Vec<u64>,
    batch: RecordBatch,
}

impl Chunk {
    /// The rows after a position, up to another.
    fn between(&self, after: u64, through: u64) -> Result<Option<RecordBatch>, ArrowError> {
        let inside = |p: u64| p > after && p <= through;
        match (self.positions.first(), self.positions.last()) {
            (Some(&first), Some(&last)) if inside(first) && inside(last) => {
                Ok(Some(self.batch.clone()))
            }
            (Some(&first), Some(&last)) if last > after && first <= through => {
                let wanted: BooleanArray =
                    self.positions.iter().map(|&p| Some(inside(p))).collect();
                filter_record_batch(&self.batch, &wanted).map(Some)
            }
            _ => Ok(None),
        }
    }
}

struct Inner {
    /// Rows at or before this position are in files, and may be gone here.
    complete_after: u64,
    chunks: Vec<Chunk>,
    rows: Rows,
    positions: Vec<u64>,
    /// In the order of positions: which key was replaced or removed, and from which sequence on
    /// its rows count.
    superseded: Vec<(u64, String, i64)>,
    /// What was handed out last, and until when it holds.
    shown: Option<Shown>,
}

struct Shown {
    after: u64,
    rows: (Vec<RecordBatch>, Superseded),
}

/// The acknowledged rows of one dataset that are in no file yet.
pub(super) struct Tail(Mutex<Inner>);

impl Tail {
    /// A tail behind the rows up to `through`, which are in files.
    pub(super) fn new(rows: Rows, through: u64) -> Self {
        Self(Mutex::new(Inner {
            complete_after: through,
            chunks: Vec::new(),
            rows,
            positions: Vec::new(),
            superseded: Vec::new(),
            shown: None,
        }))
    }

    /// Adds rows of one append.
    pub(super) fn push(&self, position: u64, add: impl FnOnce(&mut Rows) -> usize) {
        let mut inner = self.0.lock();
        if position <= inner.complete_after {
            return;
        }
        let added = add(&mut inner.rows);
        inner.positions.extend(std::iter::repeat_n(position, added));
        inner.shown = None;
    }

    /// From a sequence on, the rows of a key count and earlier ones do not.
    pub(super) fn supersede(&self, position: u64, key: String, from: i64) {
        let mut inner = self.0.lock();
        if position > inner.complete_after {
            inner.superseded.push((position, key, from));
            inner.shown = None;
        }
    }

    /// The rows after a position up to another, and what they replace.
    pub(super) fn between(
        &self,
        after: u64,
        through: u64,
    ) -> Result<(Vec<RecordBatch>, Superseded), ArrowError> {
        let mut inner = self.0.lock();
        inner.close_chunk()?;
        inner.between(after, through)
    }

    /// Forgets rows up to a position that are in published files.
    pub(super) fn trim(&self, through: u64) {
        let mut inner = self.0.lock();
        let kept = inner.close_chunk();
        let last = |chunk: &Chunk| chunk.positions.last().copied().unwrap_or(0);
        let forgotten = inner.chunks.iter().any(|c| c.positions.first() <= Some(&through));
        let replaced = inner.superseded.first().is_some_and(|(position, ..)| *position <= through);
        if kept.is_ok() && (forgotten || replaced) {
            inner.chunks.retain(|chunk| last(chunk) > through);
            inner.superseded.retain(|(position, ..)| *position > through);
            inner.complete_after = inner.complete_after.max(through);
            inner.shown = None;
        }
    }
}

impl Inner {
    fn close_chunk(&mut self) -> Result<(), ArrowError> {
        if self.positions.is_empty() {
            return Ok(());
        }
        let batch = self.rows.finish()?;
        let positions = std::mem::take(&mut self.positions);
        match self.chunks.last_mut() {
            Some(last) if last.positions.len() < CHUNK_ROWS => {
                last.batch = concat_batches(&batch.schema(), [&last.batch, &batch])?;
                last.positions.extend(positions);
            }
            _ => self.chunks.push(Chunk { positions, batch }),
        }
        Ok(())
    }

    fn between(
        &self,
        after: u64,
        through: u64,
    ) -> Result<(Vec<RecordBatch>, Superseded), ArrowError> {
        let mut batches = Vec::new();
        for chunk in &self.chunks {
            batches.extend(chunk.between(after, through)?.filter(|b| b.num_rows() > 0));
        }
        let inside = self.superseded.iter().filter(|(p, ..)| *p > after && *p <= through);
        // A later entry of a key takes the place of an earlier one.
        let superseded: HashMap<_, _> = inside.map(|(_, key, from)| (key.clone(), *from)).collect();
        Ok((batches, Superseded::new(superseded)))
    }
}

impl LiveRows for Tail {
    fn after(&self, position: u64) -> Option<(Vec<RecordBatch>, Superseded)> {
        let mut inner = self.0.lock();
        if position < inner.complete_after {
            return None;
        }
        if let Some(shown) = inner.shown.as_ref().filter(|shown| shown.after == position) {
            return Some(shown.rows.clone());
        }
        let closed = inner.close_chunk();
        match closed.and_then(|()| inner.between(position, u64::MAX)) {
            Ok(rows) => {
                inner.shown = Some(Shown { after: position, rows: rows.clone() });
                Some(rows)
            }
            // Rows of one builder always have one schema; should that change, nothing is shown
            // rather than half of it.
            Err(error) => {
                tracing::error!(%error, "the journal's rows cannot be put together");
                None
            }
        }
    }
}

/// Pushes a resource's rows of one view.
pub(super) fn push_view(rows: &mut Rows, cells: &[Vec<Value>], sequence: i64) -> usize {
    if let Rows::View(builder) = rows {
        cells.iter().for_each(|row| builder.push(row, sequence));
        return cells.len();
    }
    0
}
