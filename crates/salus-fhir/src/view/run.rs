use salus_model::{Class, Classified};
use serde_json::Value as Json;

use super::definition::{Iteration, PathColumn, Select, View};
use super::value::{ColumnType, Value};
use crate::definitions::definitions;
use crate::fhirpath::{Environment, EvaluationError, Item, Node, Scalar};

/// A resource that a view cannot turn into rows; `place` is where in the view, such as
/// `select[0].column[1]`.
///
/// # Privacy
/// Neither the resource's id nor any value of it is in the message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RowError {
    /// An expression cannot be evaluated on the resource.
    #[error("{place} cannot be evaluated on this resource")]
    Evaluation {
        /// Where in the view.
        place: String,
        /// Why.
        #[source]
        source: EvaluationError,
    },
    /// A column without `collection: true` has several values.
    #[error("{place} yields {found} values; add collection: true, first() or a forEach")]
    SeveralValues {
        /// Where in the view.
        place: String,
        /// How many.
        found: usize,
    },
    /// A value that does not fit the column's type.
    #[error("{place} is of type {wanted}, and a value in this resource is not")]
    Type {
        /// Where in the view.
        place: String,
        /// The column's type.
        wanted: ColumnType,
    },
    /// A filter that yields something else than a boolean.
    #[error("{place} must yield one boolean or nothing")]
    NotBoolean {
        /// Where in the view.
        place: String,
    },
    /// The resource makes more rows than permitted.
    #[error("{place} yields more than {most} rows for one resource")]
    TooManyRows {
        /// Where in the view.
        place: String,
        /// How many are permitted.
        most: usize,
    },
}

impl Classified for RowError {
    fn class(&self) -> Class {
        Class::BadRequest
    }
}

/// Rows that one resource may make; sibling forEachs multiply.
const MOST_ROWS: usize = 1_000_000;
/// Elements that `repeat` may visit below another.
const MOST_REPEAT_DEPTH: usize = 128;

/// The rows of one select: cells one row after another, so that a row costs no allocation.
struct Rows {
    width: usize,
    count: usize,
    cells: Vec<Value>,
}

impl Rows {
    fn new(width: usize) -> Self {
        Self { width, count: 0, cells: Vec::new() }
    }

    fn iter(&self) -> impl Iterator<Item = &[Value]> {
        (0..self.count)
            .map(|nth| self.cells.get(nth * self.width..(nth + 1) * self.width).unwrap_or_default())
    }

    /// Every row of `self` beside every row of `other`.
    fn product(self, other: &Self, place: &str) -> Result<Self, RowError> {
        let too_many = || RowError::TooManyRows { place: place.to_owned(), most: MOST_ROWS };
        let count = self.count.checked_mul(other.count).ok_or_else(too_many)?;
        if count > MOST_ROWS {
            return Err(too_many());
        }
        let width = self.width + other.width;
        let mut cells = Vec::with_capacity(count * width);
        for left in self.iter() {
            for right in other.iter() {
                cells.extend_from_slice(left);
                cells.extend_from_slice(right);
            }
        }
        Ok(Self { width, count, cells })
    }

    fn append(&mut self, other: Self, place: &str) -> Result<(), RowError> {
        self.count += other.count;
        if self.count > MOST_ROWS {
            return Err(RowError::TooManyRows { place: place.to_owned(), most: MOST_ROWS });
        }
        self.cells.extend(other.cells);
        Ok(())
    }
}

/// What is the same for the whole resource.
struct Runner<'a> {
    root: Item<'a>,
    constants: &'a [Scalar<'a>],
}

impl View {
    /// The rows of one resource, given to `row` one after another; none when the resource is of
    /// another type or a filter does not hold.
    ///
    /// # Errors
    /// Names the place in the view and what about the resource does not fit; no row has been
    /// given out then.
    pub fn run(&self, resource: &Json, mut row: impl FnMut(&[Value])) -> Result<(), RowError> {
        let name = definitions().definition(self.resource).name;
        if resource.get("resourceType").and_then(Json::as_str) != Some(name) {
            return Ok(());
        }
        let root = Item::Node(Node::resource(resource));
        let runner = Runner { root, constants: &self.constants };
        for (place, filter) in &self.filters {
            if !runner.holds(place, filter)? {
                return Ok(());
            }
        }
        runner.once(&self.root, &runner.root, 0)?.iter().for_each(&mut row);
        Ok(())
    }

    /// The rows of one resource as a list.
    ///
    /// # Errors
    /// As [`View::run`].
    pub fn rows(&self, resource: &Json) -> Result<Vec<Vec<Value>>, RowError> {
        let mut rows = Vec::new();
        self.run(resource, |row| rows.push(row.to_vec()))?;
        Ok(rows)
    }
}

impl<'a> Runner<'a> {
    fn evaluate(
        &self,
        place: &str,
        path: &'a crate::fhirpath::Expression,
        focus: &Item<'a>,
        row_index: usize,
    ) -> Result<crate::fhirpath::Collection<'a>, RowError> {
        let environment =
            Environment { constants: self.constants, row_index: row_index as i64, now: None };
        path.evaluate_at(focus, &self.root, environment)
            .map_err(|source| RowError::Evaluation { place: place.to_owned(), source })
    }

    fn holds(
        &self,
        place: &str,
        filter: &'a crate::fhirpath::Expression,
    ) -> Result<bool, RowError> {
        let found = self.evaluate(place, filter, &self.root, 0)?;
        match &found[..] {
            [] => Ok(false),
            [item] => match item.scalar() {
                Some(Scalar::Boolean(holds)) => Ok(holds),
                _ => Err(RowError::NotBoolean { place: place.to_owned() }),
            },
            _ => Err(RowError::NotBoolean { place: place.to_owned() }),
        }
    }

    fn select(
        &self,
        select: &'a Select,
        focus: &Item<'a>,
        row_index: usize,
    ) -> Result<Rows, RowError> {
        let foci = match &select.iteration {
            Iteration::Once => return self.once(select, focus, row_index),
            Iteration::ForEach(path) | Iteration::ForEachOrNull(path) => {
                self.evaluate(&select.place, path, focus, row_index)?
            }
            Iteration::Repeat(paths) => {
                let mut foci = crate::fhirpath::Collection::new();
                self.repeat(select, paths, focus, 0, &mut foci)?;
                foci
            }
        };
        if foci.is_empty() && matches!(select.iteration, Iteration::ForEachOrNull(_)) {
            return Ok(Self::null_row(select));
        }
        let mut rows = Rows::new(select.width);
        for (nth, focus) in foci.iter().enumerate() {
            rows.append(self.once(select, focus, nth)?, &select.place)?;
        }
        Ok(rows)
    }

    /// The row of a forEachOrNull that found nothing: all null, but the index of a first row.
    fn null_row(select: &Select) -> Rows {
        let mut cells = Vec::with_capacity(select.width);
        for column in &select.columns {
            cells.push(match column.path.is_row_index() {
                true => Value::Integer(0),
                false => Value::Null,
            });
        }
        cells.resize(select.width, Value::Null);
        Rows { width: select.width, count: 1, cells }
    }

    /// Depth first, each element before what is below it.
    fn repeat(
        &self,
        select: &'a Select,
        paths: &'a [crate::fhirpath::Expression],
        focus: &Item<'a>,
        depth: usize,
        foci: &mut crate::fhirpath::Collection<'a>,
    ) -> Result<(), RowError> {
        let too_many = || RowError::TooManyRows { place: select.place.clone(), most: MOST_ROWS };
        if depth > MOST_REPEAT_DEPTH || foci.len() > MOST_ROWS {
            return Err(too_many());
        }
        for path in paths {
            for found in self.evaluate(&select.place, path, focus, 0)? {
                foci.push(found.clone());
                self.repeat(select, paths, &found, depth + 1, foci)?;
            }
        }
        Ok(())
    }

    /// The rows of one focus.
    fn once(
        &self,
        select: &'a Select,
        focus: &Item<'a>,
        row_index: usize,
    ) -> Result<Rows, RowError> {
        let mut cells = Vec::with_capacity(select.columns.len());
        for column in &select.columns {
            cells.push(self.cell(column, focus, row_index)?);
        }
        let mut rows = Rows { width: cells.len(), count: 1, cells };
        for child in &select.selects {
            rows = rows.product(&self.select(child, focus, row_index)?, &select.place)?;
        }
        if !select.unions.is_empty() {
            let mut union = Rows::new(select.width - rows.width);
            for branch in &select.unions {
                union.append(self.select(branch, focus, row_index)?, &select.place)?;
            }
            rows = rows.product(&union, &select.place)?;
        }
        Ok(rows)
    }

    fn cell(
        &self,
        column: &'a PathColumn,
        focus: &Item<'a>,
        row_index: usize,
    ) -> Result<Value, RowError> {
        let found = self.evaluate(&column.place, &column.path, focus, row_index)?;
        let convert = |item: &Item<'a>| {
            // A primitive that has extensions but no value is a null.
            if item.node().is_some_and(|n| n.json().is_none()) {
                return Ok(Value::Null);
            }
            item.scalar()
                .and_then(|s| column.kind.convert(&s))
                .ok_or_else(|| RowError::Type { place: column.place.clone(), wanted: column.kind })
        };
        if column.collection {
            return found.iter().map(convert).collect::<Result<_, _>>().map(Value::List);
        }
        match &found[..] {
            [] => Ok(Value::Null),
            [item] => convert(item),
            more => Err(RowError::SeveralValues { place: column.place.clone(), found: more.len() }),
        }
    }
}
