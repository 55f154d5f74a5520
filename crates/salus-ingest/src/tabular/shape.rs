use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields};
use salus_store::KeyChoice;
use serde::{Deserialize, Serialize};

use super::schema::{ColumnKind, SchemaFileError};

/// What a column holds: one value a row, or a nesting of them.
#[derive(Debug, Clone, PartialEq)]
pub enum Shape {
    /// One value.
    One(ColumnKind),
    /// Any number of the same.
    List(Box<Part>),
    /// Named parts.
    Struct(Vec<(String, Part)>),
    /// Values by key.
    Map {
        /// What the keys are.
        key: Box<Part>,
        /// What the values are.
        value: Box<Part>,
    },
}

/// A part of a nested column.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// What it holds.
    pub shape: Shape,
    /// Which key protects it, where that is another than what it is a part of has.
    pub class: Option<KeyChoice>,
}

/// The names that Parquet's specification gives the levels of lists and maps.
const ELEMENT: &str = "element";
const ENTRIES: &str = "key_value";
const KEY: &str = "key";
const VALUE: &str = "value";

impl Shape {
    /// The Arrow type that it is stored as.
    #[must_use]
    pub fn data_type(&self) -> DataType {
        match self {
            Self::One(kind) => kind.data_type(),
            Self::List(item) => DataType::List(Arc::new(item.field(ELEMENT))),
            Self::Struct(parts) => {
                DataType::Struct(parts.iter().map(|(name, part)| part.field(name)).collect())
            }
            Self::Map { key, value } => {
                let key = key.field(KEY).with_nullable(false);
                let entries = DataType::Struct(Fields::from(vec![key, value.field(VALUE)]));
                DataType::Map(Arc::new(Field::new(ENTRIES, entries, false)), false)
            }
        }
    }

    /// The word in schema files and messages.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::One(kind) => kind.as_str(),
            Self::List(_) => "list",
            Self::Struct(_) => "struct",
            Self::Map { .. } => "map",
        }
    }

    /// The leaves below `path`, as Parquet names them, with their keys.
    pub(crate) fn leaves(
        &self,
        path: &str,
        class: &KeyChoice,
        found: &mut Vec<(String, KeyChoice)>,
    ) {
        let mut below = |name: &str, part: &Part| {
            let class = part.class.as_ref().unwrap_or(class);
            part.shape.leaves(&format!("{path}.{name}"), class, found);
        };
        match self {
            Self::One(_) => found.push((path.to_owned(), class.clone())),
            Self::List(item) => below("list.element", item),
            Self::Struct(parts) => parts.iter().for_each(|(name, part)| below(name, part)),
            Self::Map { key, value } => {
                below("key_value.key", key);
                below("key_value.value", value);
            }
        }
    }
}

impl Part {
    fn field(&self, name: &str) -> Field {
        Field::new(name, self.shape.data_type(), true)
    }
}

/// The words for what a column or a part of one holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Word {
    Text,
    Integer,
    Number,
    Boolean,
    Date,
    Timestamp,
    List,
    Struct,
    Map,
}

/// What follows the word `list`, `struct` or `map` in a schema file.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WirePart {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<String>,
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub(super) word: Option<Word>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) class: Option<KeyChoice>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) item: Option<Box<WirePart>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) key: Option<Box<WirePart>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) value: Option<Box<WirePart>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) field: Vec<WirePart>,
}

impl WirePart {
    /// The shape of this part of `column`; what it holds must be said, and only what goes with it.
    pub(super) fn shape(self, column: &str, depth: usize) -> Result<Shape, SchemaFileError> {
        let nesting = |problem| SchemaFileError::Nesting { column: column.to_owned(), problem };
        if depth > DEPTH_MAX {
            return Err(nesting("is nested too deeply"));
        }
        let word = self.word.ok_or_else(|| nesting("has a part without a type"))?;
        let part = |part: Option<Box<Self>>, problem| {
            let part = part.ok_or_else(|| nesting(problem))?;
            part.unnamed_part(column, depth).map(Box::new)
        };
        let one = |kind| Ok(Shape::One(kind));
        let (item, key, value, field) = (self.item, self.key, self.value, self.field);
        match (word, &item, &key, &value, field.is_empty()) {
            (Word::List, Some(_), None, None, true) => {
                Ok(Shape::List(part(item, "is a list without [column.item]")?))
            }
            (Word::Map, None, Some(_), Some(_), true) => Ok(Shape::Map {
                key: part(key, "is a map without [column.key]")?,
                value: part(value, "is a map without [column.value]")?,
            }),
            (Word::Struct, None, None, None, false) => {
                let mut parts: Vec<(String, Part)> = Vec::with_capacity(field.len());
                for field in field {
                    let (name, part) = field.named_part(column, depth)?;
                    if parts.iter().any(|(known, _)| *known == name) {
                        return Err(nesting("has two fields of one name"));
                    }
                    parts.push((name, part));
                }
                Ok(Shape::Struct(parts))
            }
            (Word::List, ..) => Err(nesting("is a list, which has [column.item] and nothing else")),
            (Word::Map, ..) => {
                Err(nesting("is a map, which has [column.key], [column.value] and nothing else"))
            }
            (Word::Struct, ..) => {
                Err(nesting("is a struct, which has [[column.field]] and nothing else"))
            }
            (_, None, None, None, true) => match word {
                Word::Integer => one(ColumnKind::Integer),
                Word::Number => one(ColumnKind::Number),
                Word::Boolean => one(ColumnKind::Boolean),
                Word::Date => one(ColumnKind::Date),
                Word::Timestamp => one(ColumnKind::Timestamp),
                _ => one(ColumnKind::Text),
            },
            _ => Err(nesting("has parts, and a type that has none")),
        }
    }

    fn unnamed_part(mut self, column: &str, depth: usize) -> Result<Part, SchemaFileError> {
        if self.name.is_some() {
            let problem = "names a part that has no name of its own: item, key and value have none";
            return Err(SchemaFileError::Nesting { column: column.to_owned(), problem });
        }
        let class = self.class.take();
        Ok(Part { class, shape: self.shape(column, depth + 1)? })
    }

    fn named_part(mut self, column: &str, depth: usize) -> Result<(String, Part), SchemaFileError> {
        let problem = "has a field without a name";
        let nameless = || SchemaFileError::Nesting { column: column.to_owned(), problem };
        let name = self.name.take().ok_or_else(nameless)?;
        super::schema::check_name(&name)?;
        Ok((name, self.unnamed_part(column, depth)?))
    }

    pub(super) fn of(shape: &Shape) -> Self {
        let part = |part: &Part| {
            Some(Box::new(Self { class: part.class.clone(), ..Self::of(&part.shape) }))
        };
        match shape {
            Shape::One(kind) => Self { word: Some(word(*kind)), ..Self::default() },
            Shape::List(item) => {
                Self { word: Some(Word::List), item: part(item), ..Self::default() }
            }
            Shape::Map { key, value } => Self {
                word: Some(Word::Map),
                key: part(key),
                value: part(value),
                ..Self::default()
            },
            Shape::Struct(parts) => {
                let field = |(name, part): &(String, Part)| Self {
                    name: Some(name.clone()),
                    class: part.class.clone(),
                    ..Self::of(&part.shape)
                };
                let field = parts.iter().map(field).collect();
                Self { word: Some(Word::Struct), field, ..Self::default() }
            }
        }
    }
}

/// No column may be nested more deeply.
const DEPTH_MAX: usize = 16;

const fn word(kind: ColumnKind) -> Word {
    match kind {
        ColumnKind::Text => Word::Text,
        ColumnKind::Integer => Word::Integer,
        ColumnKind::Number => Word::Number,
        ColumnKind::Boolean => Word::Boolean,
        ColumnKind::Date => Word::Date,
        ColumnKind::Timestamp => Word::Timestamp,
    }
}
