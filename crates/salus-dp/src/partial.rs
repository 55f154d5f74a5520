use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use salus_model::{Class, Classified, ColumnPath, Timestamp};

use crate::plan::{Layout, Shape};
use crate::schema::{Bounds, Domain};
use crate::unit::{Contributions, RowsPerUnit, UnitKey};

/// One column's value in one row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Field<'a> {
    /// No value. The row does not count towards answers about the column.
    Missing,
    /// A number in the column's own unit.
    Number(f64),
    /// A number in whole steps of the column's bounds.
    Steps(i64),
    /// A moment.
    Instant(Timestamp),
    /// A value of a category or open column.
    Text(&'a str),
    /// A value of a category column by its place in the domain.
    Code(u32),
}

/// Why a row or another partial could not be taken in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ObserveError {
    /// Not one field for each column.
    #[error("the question reads {wanted} columns and the row brings {found}")]
    Columns {
        /// How many the plan has.
        wanted: usize,
        /// How many came.
        found: usize,
    },
    /// A field of another kind than the column.
    #[error("column '{column}' was given a value of another kind than the schema says")]
    Kind {
        /// Which column.
        column: ColumnPath,
    },
    /// Rows of one unit in two parts of a scan.
    #[error("rows of one unit stand in two parts of the scan; partition the scan by the unit")]
    UnitSplit,
    /// A partial of another plan.
    #[error("the partial result belongs to another question")]
    Foreign,
    /// Codes for a question that does not count groups of public domains.
    #[error("the question does not count groups of public domains, so it takes no codes")]
    NotGrouped,
    /// Columns or units of a batch that differ in length.
    #[error("the columns and units of a batch have different numbers of rows")]
    Rows,
}

impl Classified for ObserveError {
    fn class(&self) -> Class {
        Class::Bug
    }
}

pub(crate) enum Exact {
    Vector(Vec<i128>),
    Distinct(HashSet<Vec<u8>>),
    Groups(HashMap<Vec<String>, i128>),
}

/// Exact sums of one part of a scan: clipped, bounded per unit, and never shown.
///
/// # Privacy
/// As sensitive as the rows. There is no way to read it but [`crate::Plan::execute`] and
/// [`crate::joint`], which add noise; it has no `Debug` of its content and no serialisation.
pub struct Partial {
    pub(crate) shape: Arc<Shape>,
    pub(crate) exact: Exact,
    pub(crate) contributions: Contributions,
}

impl std::fmt::Debug for Partial {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Partial(redacted)")
    }
}

/// What one row adds, at most six numbers.
enum Addition {
    Nothing,
    At(usize),
    Path(usize),
    Moments([i128; 6], usize),
    Distinct(Vec<u8>),
    Group(Vec<String>),
}

impl Partial {
    pub(crate) fn new(shape: Arc<Shape>) -> Self {
        let exact = match shape.layout {
            Layout::Distinct => Exact::Distinct(HashSet::new()),
            Layout::Open { .. } => Exact::Groups(HashMap::new()),
            _ => Exact::Vector(vec![0; shape.blocks.iter().map(|b| b.len).sum()]),
        };
        Self { shape, exact, contributions: Contributions::default() }
    }

    /// Takes one row of `unit` in; `fields` follow the plan's columns.
    ///
    /// # Privacy
    /// Values are moved into the schema's bounds, keys outside a public domain are left out, and
    /// rows beyond the contribution bound are left out, whichever unit they belong to.
    ///
    /// # Errors
    /// When the fields do not fit the plan's columns.
    pub fn observe(&mut self, unit: UnitKey, fields: &[Field<'_>]) -> Result<(), ObserveError> {
        if fields.len() != self.shape.columns.len() {
            let (wanted, found) = (self.shape.columns.len(), fields.len());
            return Err(ObserveError::Columns { wanted, found });
        }
        let addition = addition(&self.shape, fields)?;
        if matches!(addition, Addition::Nothing) {
            return Ok(());
        }
        if self.shape.rows_per_unit == RowsPerUnit::Many {
            let group = group_of(&self.shape.layout, &addition);
            if !self.contributions.admit(self.shape.bound, unit, group) {
                return Ok(());
            }
        }
        self.add(addition);
        Ok(())
    }

    /// Takes in `rows` rows at once, each the only one of its unit.
    ///
    /// # Errors
    /// When the table may hold several rows of a unit, or the question reads columns.
    pub fn observe_rows(&mut self, rows: u64) -> Result<(), ObserveError> {
        match (&mut self.exact, &self.shape.layout, self.shape.rows_per_unit) {
            (Exact::Vector(sums), Layout::Count | Layout::Units, RowsPerUnit::One) => {
                sums.iter_mut().for_each(|sum| *sum += i128::from(rows));
                Ok(())
            }
            _ => Err(ObserveError::UnitSplit),
        }
    }

    /// Adds the partial of another part of the scan.
    ///
    /// # Errors
    /// When it belongs to another plan, or a unit has rows in both parts.
    pub fn merge(&mut self, other: Self) -> Result<(), ObserveError> {
        if !Arc::ptr_eq(&self.shape, &other.shape) {
            return Err(ObserveError::Foreign);
        }
        self.contributions.merge(other.contributions).map_err(|_| ObserveError::UnitSplit)?;
        match (&mut self.exact, other.exact) {
            (Exact::Vector(mine), Exact::Vector(theirs)) => {
                for (sum, more) in mine.iter_mut().zip(theirs) {
                    *sum = sum.saturating_add(more);
                }
            }
            (Exact::Distinct(mine), Exact::Distinct(theirs)) => mine.extend(theirs),
            (Exact::Groups(mine), Exact::Groups(theirs)) => {
                for (key, count) in theirs {
                    *mine.entry(key).or_insert(0) += count;
                }
            }
            _ => return Err(ObserveError::Foreign),
        }
        Ok(())
    }

    pub(crate) fn into_exact(self) -> Exact {
        self.exact
    }

    fn add(&mut self, addition: Addition) {
        match (&mut self.exact, addition) {
            (Exact::Vector(sums), Addition::At(index)) => bump(sums, index, 1),
            (Exact::Vector(sums), Addition::Path(leaf)) => {
                if let Layout::Tree { grid, .. } = &self.shape.layout {
                    grid.path(leaf).for_each(|node| bump(sums, node, 1));
                }
            }
            (Exact::Vector(sums), Addition::Moments(moments, len)) => {
                for (index, moment) in moments.into_iter().take(len).enumerate() {
                    bump(sums, index, moment);
                }
            }
            (Exact::Distinct(set), Addition::Distinct(value)) => {
                set.insert(value);
            }
            (Exact::Groups(groups), Addition::Group(key)) => {
                *groups.entry(key).or_insert(0) += 1;
            }
            _ => {}
        }
    }
}

/// Sums stay far below 127 bits: a second moment is below 2^82, and 2^44 rows do not fit a disk.
pub(crate) fn bump(sums: &mut [i128], index: usize, by: i128) {
    if let Some(sum) = sums.get_mut(index) {
        *sum = sum.saturating_add(by);
    }
}

/// The group that the bound per group counts in, where there are groups.
fn group_of(layout: &Layout, addition: &Addition) -> Option<u64> {
    match (layout, addition) {
        (Layout::Cells { .. }, Addition::At(cell)) => Some(*cell as u64),
        // Two groups of one unit that collide share one bound, which only counts fewer rows.
        (_, Addition::Group(key)) => Some(
            key.iter()
                .flat_map(|k| k.bytes().chain([0xff]))
                .fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
                    (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
                }),
        ),
        _ => None,
    }
}

fn addition(shape: &Shape, fields: &[Field<'_>]) -> Result<Addition, ObserveError> {
    let steps = |index: usize, bounds: Bounds| steps_of(shape, fields, index, bounds);
    Ok(match &shape.layout {
        Layout::Count | Layout::Units => Addition::At(0),
        Layout::Distinct => canonical(fields).map_or(Addition::Nothing, Addition::Distinct),
        Layout::Cells { keys, .. } => {
            cell(shape, keys, fields)?.map_or(Addition::Nothing, Addition::At)
        }
        Layout::Open { .. } => open_key(shape, fields)?.map_or(Addition::Nothing, Addition::Group),
        Layout::Sum { bounds } => steps(0, *bounds)?
            .map_or(Addition::Nothing, |x| Addition::Moments([x.into(), 0, 0, 0, 0, 0], 1)),
        Layout::Mean { bounds } => steps(0, *bounds)?.map_or(Addition::Nothing, |x| {
            Addition::Moments([1, centred(x, *bounds), 0, 0, 0, 0], 2)
        }),
        Layout::Variance { bounds } => steps(0, *bounds)?.map_or(Addition::Nothing, |x| {
            let c = centred(x, *bounds);
            Addition::Moments([1, c, c * c, 0, 0, 0], 3)
        }),
        Layout::Tree { grid, .. } => {
            steps(0, grid.bounds())?.map_or(Addition::Nothing, |x| Addition::Path(grid.leaf(x)))
        }
        Layout::Histogram { bounds, edges, .. } => {
            steps(0, *bounds)?.map_or(Addition::Nothing, |x| Addition::At(edges.bin(x)))
        }
        Layout::Regression { x, y } => match (steps(0, *x)?, steps(1, *y)?) {
            (Some(a), Some(b)) => {
                let (a, b) = (centred(a, *x), centred(b, *y));
                Addition::Moments([1, a, b, a * a, a * b, b * b], 6)
            }
            _ => Addition::Nothing,
        },
    })
}

/// Twice the distance from the middle of the bounds, a whole number of at most the bounds' width.
fn centred(steps: i64, bounds: Bounds) -> i128 {
    2 * i128::from(steps) - i128::from(bounds.low()) - i128::from(bounds.high())
}

fn kind(shape: &Shape, index: usize) -> ObserveError {
    shape
        .columns
        .get(index)
        .map_or(ObserveError::Columns { wanted: shape.columns.len(), found: index }, |column| {
            ObserveError::Kind { column: column.clone() }
        })
}

fn steps_of(
    shape: &Shape,
    fields: &[Field<'_>],
    index: usize,
    bounds: Bounds,
) -> Result<Option<i64>, ObserveError> {
    match fields.get(index) {
        Some(Field::Missing) => Ok(None),
        Some(Field::Number(value)) => Ok(bounds.clamp(*value)),
        Some(Field::Steps(steps)) => Ok(Some((*steps).clamp(bounds.low(), bounds.high()))),
        Some(Field::Instant(at)) => {
            let seconds = at.as_micros().div_euclid(1_000_000);
            Ok(Some(seconds.clamp(bounds.low(), bounds.high())))
        }
        _ => Err(kind(shape, index)),
    }
}

fn cell(
    shape: &Shape,
    keys: &[(ColumnPath, Domain)],
    fields: &[Field<'_>],
) -> Result<Option<usize>, ObserveError> {
    let mut cell = 0;
    for (index, (field, (_, domain))) in fields.iter().zip(keys).enumerate() {
        let code = match field {
            Field::Missing => None,
            Field::Text(text) => domain.code(text),
            Field::Code(code) => Some(*code),
            _ => return Err(kind(shape, index)),
        };
        match code.map(|c| c as usize).filter(|&c| c < domain.values().len()) {
            Some(code) => cell = cell * domain.values().len() + code,
            None => return Ok(None),
        }
    }
    Ok(Some(cell))
}

fn open_key(shape: &Shape, fields: &[Field<'_>]) -> Result<Option<Vec<String>>, ObserveError> {
    let mut key = Vec::with_capacity(fields.len());
    for (index, field) in fields.iter().enumerate() {
        match field {
            Field::Missing => return Ok(None),
            Field::Text(text) => key.push((*text).to_owned()),
            _ => return Err(kind(shape, index)),
        }
    }
    Ok(Some(key))
}

/// Equal values give equal bytes, and different ones different bytes.
fn canonical(fields: &[Field<'_>]) -> Option<Vec<u8>> {
    let tagged = |tag: u8, bytes: &[u8]| Some([&[tag], bytes].concat());
    match fields.first()? {
        Field::Missing => None,
        Field::Number(x) if x.is_nan() => None,
        // Adding 0 makes the two zeros one.
        Field::Number(x) => tagged(0, &(x + 0.0).to_bits().to_le_bytes()),
        Field::Steps(x) => tagged(1, &x.to_le_bytes()),
        Field::Instant(at) => tagged(2, &at.as_micros().to_le_bytes()),
        Field::Text(text) => tagged(3, text.as_bytes()),
        Field::Code(code) => tagged(4, &code.to_le_bytes()),
    }
}
