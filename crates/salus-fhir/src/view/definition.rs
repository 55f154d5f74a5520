use salus_model::{Class, Classified};
use serde_json::{Map, Value as Json};

use super::infer;
use super::value::{Column, ColumnType};
use crate::definitions::{TypeId, definitions};
use crate::fhirpath::{Expression, Scalar, SyntaxError, decimal};
use crate::temporal::{Temporal, TimeOfDay};

/// A JSON document that is no usable ViewDefinition; `place` is where, such as
/// `select[0].column[1].path`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ViewError {
    /// Something that must be there is not.
    #[error("{place} is missing")]
    Missing {
        /// Where.
        place: String,
    },
    /// Something is of the wrong JSON kind or has a value that is not allowed.
    #[error("{place} must be {wanted}")]
    Wrong {
        /// Where.
        place: String,
        /// What it must be, in words.
        wanted: &'static str,
    },
    /// An expression that does not parse.
    #[error("{place} is no FHIRPath expression")]
    Syntax {
        /// Where.
        place: String,
        /// What is wrong with it.
        #[source]
        source: SyntaxError,
    },
    /// A name that is already used.
    #[error("{place}: there is already a column '{name}'")]
    Duplicate {
        /// Where.
        place: String,
        /// The name.
        name: String,
    },
    /// The branches of a union differ.
    #[error("{place} must have the columns of the first branch, {wanted}, in that order and type")]
    Union {
        /// Where.
        place: String,
        /// The columns of the first branch.
        wanted: String,
    },
}

impl Classified for ViewError {
    fn class(&self) -> Class {
        Class::BadRequest
    }
}

/// A compiled ViewDefinition.
///
/// # Cost
/// Compile once, run often: running parses nothing and keeps no state between resources.
#[derive(Debug)]
pub struct View {
    pub(super) name: Option<String>,
    pub(super) resource: TypeId,
    pub(super) constants: Vec<Scalar<'static>>,
    pub(super) filters: Vec<(String, Expression)>,
    pub(super) root: Select,
    pub(super) columns: Vec<Column>,
}

/// One `select` with all that it holds; its columns are a contiguous range of the view's.
#[derive(Debug)]
pub(super) struct Select {
    pub(super) place: String,
    pub(super) iteration: Iteration,
    pub(super) columns: Vec<PathColumn>,
    pub(super) selects: Vec<Select>,
    pub(super) unions: Vec<Select>,
    /// How many columns it yields.
    pub(super) width: usize,
}

#[derive(Debug)]
pub(super) enum Iteration {
    Once,
    ForEach(Expression),
    ForEachOrNull(Expression),
    Repeat(Vec<Expression>),
}

#[derive(Debug)]
pub(super) struct PathColumn {
    pub(super) place: String,
    pub(super) path: Expression,
    pub(super) kind: ColumnType,
    pub(super) collection: bool,
}

/// Selects nested deeper are refused.
const MOST_NESTING: usize = 32;

impl View {
    /// Parses, checks and compiles a ViewDefinition.
    ///
    /// # Errors
    /// Names the place in the document and what must be there.
    pub fn parse(json: &Json) -> Result<Self, ViewError> {
        let object = object(json, "the ViewDefinition")?;
        let name = optional_text(object, "", "name")?.map(str::to_owned);
        let resource_name = text(object, "", "resource")?;
        let resource = definitions().resource_named(resource_name).ok_or(ViewError::Wrong {
            place: "resource".to_owned(),
            wanted: "the name of an R4 resource type",
        })?;
        let (names, constants) = constants(object)?;
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let compiler = Compiler { constants: &names };
        let filters = compiler.filters(object, resource)?;
        if object.get("select").is_none() {
            return Err(ViewError::Missing { place: "select".to_owned() });
        }
        let types = infer::Types::one(resource);
        let (root, columns) = compiler.select_list(object, "", &types, 0)?;
        if columns.is_empty() {
            return Err(ViewError::Missing { place: "select[0].column".to_owned() });
        }
        no_duplicates(&columns, "select")?;
        Ok(Self { name, resource, constants, filters, root, columns })
    }

    /// The view's name.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The resource type that it reads.
    #[must_use]
    pub fn resource(&self) -> &'static str {
        definitions().definition(self.resource).name
    }

    /// The columns of its rows, in order.
    #[must_use]
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }
}

fn at(place: &str, key: &str) -> String {
    if place.is_empty() { key.to_owned() } else { format!("{place}.{key}") }
}

fn object<'j>(json: &'j Json, place: &str) -> Result<&'j Map<String, Json>, ViewError> {
    let wanted = "a JSON object";
    json.as_object().ok_or_else(|| ViewError::Wrong { place: place.to_owned(), wanted })
}

fn optional_text<'j>(
    object: &'j Map<String, Json>,
    place: &str,
    key: &str,
) -> Result<Option<&'j str>, ViewError> {
    match object.get(key) {
        None => Ok(None),
        Some(Json::String(text)) if !text.is_empty() => Ok(Some(text)),
        Some(_) => Err(ViewError::Wrong { place: at(place, key), wanted: "a text" }),
    }
}

fn text<'j>(object: &'j Map<String, Json>, place: &str, key: &str) -> Result<&'j str, ViewError> {
    optional_text(object, place, key)?.ok_or_else(|| ViewError::Missing { place: at(place, key) })
}

/// An object with its place in the document.
type Placed<'j> = (String, &'j Map<String, Json>);

/// The objects of an array that may be missing, each with its place.
fn list<'j>(
    parent: &'j Map<String, Json>,
    place: &str,
    key: &str,
) -> Result<Vec<Placed<'j>>, ViewError> {
    let place = at(place, key);
    match parent.get(key) {
        None => Ok(Vec::new()),
        Some(Json::Array(items)) => items
            .iter()
            .enumerate()
            .map(|(nth, item)| {
                let place = format!("{place}[{nth}]");
                object(item, &place).map(|item| (place.clone(), item))
            })
            .collect(),
        Some(_) => Err(ViewError::Wrong { place, wanted: "an array" }),
    }
}

/// `^[A-Za-z][A-Za-z0-9_]*$`, so that the name needs no quotes in any SQL dialect.
fn check_name(name: &str, place: &str) -> Result<(), ViewError> {
    let fits = name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && name.len() <= 255;
    let wanted = "a letter, then letters, digits and _, at most 255";
    if fits { Ok(()) } else { Err(ViewError::Wrong { place: place.to_owned(), wanted }) }
}

fn no_duplicates(columns: &[Column], place: &str) -> Result<(), ViewError> {
    let mut seen = std::collections::HashSet::new();
    match columns.iter().find(|c| !seen.insert(c.name.as_str())) {
        None => Ok(()),
        Some(c) => Err(ViewError::Duplicate { place: place.to_owned(), name: c.name.clone() }),
    }
}

/// The names and values of the constants.
fn constants(object: &Map<String, Json>) -> Result<(Vec<String>, Vec<Scalar<'static>>), ViewError> {
    let mut names: Vec<String> = Vec::new();
    let mut values = Vec::new();
    for (place, constant) in list(object, "", "constant")? {
        let name = text(constant, &place, "name")?;
        check_name(name, &at(&place, "name"))?;
        if names.iter().any(|n| n == name) {
            let wanted = "a name that no other constant has";
            return Err(ViewError::Wrong { place: at(&place, "name"), wanted });
        }
        let mut given = constant.iter().filter(|(key, _)| key.starts_with("value"));
        let (Some((key, json)), None) = (given.next(), given.next()) else {
            return Err(ViewError::Missing { place: at(&place, "value[x]") });
        };
        values.push(constant_value(key, json).ok_or_else(|| ViewError::Wrong {
            place: at(&place, key),
            wanted: "a value of the primitive type that its name ends with",
        })?);
        names.push(name.to_owned());
    }
    Ok((names, values))
}

fn constant_value(key: &str, json: &Json) -> Option<Scalar<'static>> {
    let type_name = key.strip_prefix("value")?;
    let (first, rest) = type_name.split_at_checked(1)?;
    let kind = ColumnType::named(&format!("{}{rest}", first.to_ascii_lowercase()))?;
    match (kind, json) {
        (ColumnType::Boolean, Json::Bool(b)) => Some(Scalar::Boolean(*b)),
        (ColumnType::Integer, Json::Number(n)) => n.as_str().parse().ok().map(Scalar::Integer),
        (ColumnType::Decimal, Json::Number(n)) => decimal(n.as_str()).map(Scalar::Decimal),
        (ColumnType::Date, Json::String(s)) => Temporal::parse(s).map(Scalar::Date),
        (ColumnType::DateTime | ColumnType::Instant, Json::String(s)) => {
            Temporal::parse(s).map(Scalar::DateTime)
        }
        (ColumnType::Time, Json::String(s)) => TimeOfDay::parse(s).map(Scalar::Time),
        (ColumnType::String, Json::String(s)) => Some(Scalar::String(s.clone().into())),
        _ => None,
    }
}

struct Compiler<'c> {
    constants: &'c [&'c str],
}

type Compiled = Result<(Select, Vec<Column>), ViewError>;

impl Compiler<'_> {
    fn expression(&self, text: &str, place: &str) -> Result<Expression, ViewError> {
        Expression::parse_with(text, self.constants)
            .map_err(|source| ViewError::Syntax { place: place.to_owned(), source })
    }

    fn filters(
        &self,
        object: &Map<String, Json>,
        resource: TypeId,
    ) -> Result<Vec<(String, Expression)>, ViewError> {
        let mut filters = Vec::new();
        for (place, filter) in list(object, "", "where")? {
            let place_of_path = at(&place, "path");
            let path = self.expression(text(filter, &place, "path")?, &place_of_path)?;
            let types = infer::Types::one(resource);
            if infer::expression(&path, &types).never_boolean() {
                let wanted = "an expression that yields a boolean";
                return Err(ViewError::Wrong { place: place_of_path, wanted });
            }
            filters.push((place_of_path, path));
        }
        Ok(filters)
    }

    /// The children of `object.select` as one select that iterates once.
    fn select_list(
        &self,
        object: &Map<String, Json>,
        place: &str,
        types: &infer::Types,
        nesting: usize,
    ) -> Compiled {
        let mut all = Vec::new();
        let mut selects = Vec::new();
        for (place, select) in list(object, place, "select")? {
            let (select, columns) = self.select(select, &place, types, nesting + 1)?;
            selects.push(select);
            all.extend(columns);
        }
        let select = Select {
            place: at(place, "select"),
            iteration: Iteration::Once,
            columns: Vec::new(),
            selects,
            unions: Vec::new(),
            width: all.len(),
        };
        Ok((select, all))
    }

    fn select(
        &self,
        json: &Map<String, Json>,
        place: &str,
        types: &infer::Types,
        nesting: usize,
    ) -> Compiled {
        if nesting > MOST_NESTING {
            let wanted = "nested at most 32 deep";
            return Err(ViewError::Wrong { place: place.to_owned(), wanted });
        }
        let (iteration, types) = self.iteration(json, place, types)?;
        let mut all = Vec::new();
        let mut columns = Vec::new();
        for (place, column) in list(json, place, "column")? {
            let (path, described) = self.column(column, &place, &types)?;
            columns.push(path);
            all.push(described);
        }
        let (nested, nested_columns) = self.select_list(json, place, &types, nesting)?;
        all.extend(nested_columns);
        let mut unions = Vec::new();
        let mut first: Option<Vec<Column>> = None;
        for (place, branch) in list(json, place, "unionAll")? {
            let (branch, columns) = self.select(branch, &place, &types, nesting + 1)?;
            unions.push(branch);
            match &first {
                None => first = Some(columns),
                Some(wanted) => same_columns(wanted, &columns, &place)?,
            }
        }
        all.extend(first.unwrap_or_default());
        if all.is_empty() {
            return Err(ViewError::Missing { place: at(place, "column") });
        }
        let width = all.len();
        let selects = nested.selects;
        Ok((Select { place: place.to_owned(), iteration, columns, selects, unions, width }, all))
    }

    fn iteration(
        &self,
        json: &Map<String, Json>,
        place: &str,
        types: &infer::Types,
    ) -> Result<(Iteration, infer::Types), ViewError> {
        let for_each = optional_text(json, place, "forEach")?;
        let or_null = optional_text(json, place, "forEachOrNull")?;
        let repeat = json.get("repeat");
        match (for_each, or_null, repeat) {
            (None, None, None) => Ok((Iteration::Once, types.clone())),
            (Some(path), None, None) => {
                let path = self.expression(path, &at(place, "forEach"))?;
                let inner = infer::expression(&path, types);
                Ok((Iteration::ForEach(path), inner))
            }
            (None, Some(path), None) => {
                let path = self.expression(path, &at(place, "forEachOrNull"))?;
                let inner = infer::expression(&path, types);
                Ok((Iteration::ForEachOrNull(path), inner))
            }
            (None, None, Some(paths)) => self.repeat(paths, &at(place, "repeat"), types),
            _ => Err(ViewError::Wrong {
                place: place.to_owned(),
                wanted: "given one of forEach, forEachOrNull and repeat",
            }),
        }
    }

    fn repeat(
        &self,
        json: &Json,
        place: &str,
        types: &infer::Types,
    ) -> Result<(Iteration, infer::Types), ViewError> {
        let wrong = || ViewError::Wrong {
            place: place.to_owned(),
            wanted: "an array of one or more paths",
        };
        let mut paths = Vec::new();
        let mut inner = infer::Types::none();
        for (nth, path) in json.as_array().ok_or_else(wrong)?.iter().enumerate() {
            let path = path.as_str().ok_or_else(wrong)?;
            let path = self.expression(path, &format!("{place}[{nth}]"))?;
            inner = inner.or(infer::expression(&path, types));
            paths.push(path);
        }
        if paths.is_empty() {
            return Err(wrong());
        }
        Ok((Iteration::Repeat(paths), inner))
    }

    fn column(
        &self,
        json: &Map<String, Json>,
        place: &str,
        types: &infer::Types,
    ) -> Result<(PathColumn, Column), ViewError> {
        let name = text(json, place, "name")?;
        check_name(name, &at(place, "name"))?;
        let path_place = at(place, "path");
        let path = self.expression(text(json, place, "path")?, &path_place)?;
        let collection = match json.get("collection") {
            None => false,
            Some(Json::Bool(flag)) => *flag,
            Some(_) => {
                let place = at(place, "collection");
                return Err(ViewError::Wrong { place, wanted: "true or false" });
            }
        };
        let (kind, fhir_type) = match optional_text(json, place, "type")? {
            Some(given) => {
                let kind = ColumnType::named(given).ok_or(ViewError::Wrong {
                    place: at(place, "type"),
                    wanted: "the name of a primitive FHIR type",
                })?;
                (kind, given.to_owned())
            }
            None => infer::expression(&path, types).column_type(),
        };
        let mut tags = Vec::new();
        for (place, tag) in list(json, place, "tag")? {
            let name = text(tag, &place, "name")?.to_owned();
            tags.push((name, text(tag, &place, "value")?.to_owned()));
        }
        let description = optional_text(json, place, "description")?.map(str::to_owned);
        let name = name.to_owned();
        let column = Column { name, fhir_type, kind, collection, description, tags };
        Ok((PathColumn { place: place.to_owned(), path, kind, collection }, column))
    }
}

fn same_columns(wanted: &[Column], found: &[Column], place: &str) -> Result<(), ViewError> {
    let same = wanted.len() == found.len()
        && wanted
            .iter()
            .zip(found)
            .all(|(a, b)| a.name == b.name && a.kind == b.kind && a.collection == b.collection);
    if same {
        return Ok(());
    }
    let wanted = wanted.iter().map(|c| format!("{} ({})", c.name, c.kind)).collect::<Vec<_>>();
    Err(ViewError::Union { place: place.to_owned(), wanted: wanted.join(", ") })
}
