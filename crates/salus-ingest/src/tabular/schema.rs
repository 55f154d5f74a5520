use std::collections::HashSet;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use salus_model::{Class, Classified, ColumnPath, DatasetId, IdError};
use salus_store::{DatasetSpec, EncryptionSettings, Identity, KeyChoice, KeyPolicy, leaves};
use serde::{Deserialize, Serialize};

use super::shape::{Shape, WirePart, Word};

/// What one value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnKind {
    /// Unicode text.
    Text,
    /// A whole number of 64 bits.
    Integer,
    /// A number of 64-bit floating point.
    Number,
    /// `true` or `false`; also yes/no, y/n, t/f and 1/0, in any case.
    Boolean,
    /// A calendar date, `YYYY-MM-DD`.
    Date,
    /// A moment, RFC 3339; without offset it is read as UTC.
    Timestamp,
}

impl ColumnKind {
    /// The Arrow type that it is stored as.
    #[must_use]
    pub fn data_type(self) -> DataType {
        match self {
            Self::Text => DataType::Utf8,
            Self::Integer => DataType::Int64,
            Self::Number => DataType::Float64,
            Self::Boolean => DataType::Boolean,
            Self::Date => DataType::Date32,
            Self::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        }
    }

    /// The word in schema files and messages.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Boolean => "boolean",
            Self::Date => "date",
            Self::Timestamp => "timestamp",
        }
    }
}

/// One column of a table, and what its values must satisfy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "WireColumn", into = "WireColumn")]
pub struct Column {
    /// Its name in SQL; also the name looked for in the source.
    pub name: String,
    /// Its name in the source, where that differs; for NDJSON a dotted path.
    pub source: Option<String>,
    /// What it holds.
    pub shape: Shape,
    /// Which key protects it: a sensitivity class, or `key:<name>`.
    pub class: KeyChoice,
    /// Whether a row without a value is quarantined.
    pub required: Requirement,
    /// The unit, in UCUM, for people; not computed with.
    pub unit: Option<String>,
    /// The least valid value, for integer and number.
    pub min: Option<f64>,
    /// The largest valid value, for integer and number.
    pub max: Option<f64>,
    /// The only valid values, for text.
    pub values: Vec<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireColumn {
    name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    #[serde(rename = "type")]
    word: Word,
    class: KeyChoice,
    #[serde(default, skip_serializing_if = "is_optional")]
    required: Requirement,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unit: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    min: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max: Option<f64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    values: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    item: Option<Box<WirePart>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<Box<WirePart>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    value: Option<Box<WirePart>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    field: Vec<WirePart>,
}

impl TryFrom<WireColumn> for Column {
    type Error = SchemaFileError;

    fn try_from(wire: WireColumn) -> Result<Self, SchemaFileError> {
        let WireColumn { name, source, word, class, required, unit, min, max, values, .. } = wire;
        let (item, key, value, field) = (wire.item, wire.key, wire.value, wire.field);
        let part = WirePart { name: None, word: Some(word), class: None, item, key, value, field };
        let shape = part.shape(&name, 0)?;
        let column = Self { name, source, shape, class, required, unit, min, max, values };
        check_column(&column)?;
        Ok(column)
    }
}

impl From<Column> for WireColumn {
    fn from(column: Column) -> Self {
        let Column { name, source, shape, class, required, unit, min, max, values } = column;
        let WirePart { word, item, key, value, field, .. } = WirePart::of(&shape);
        // Every shape has a word.
        let word = word.unwrap_or(Word::Text);
        Self {
            name,
            source,
            word,
            class,
            required,
            unit,
            min,
            max,
            values,
            item,
            key,
            value,
            field,
        }
    }
}

/// Whether a value must be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(from = "bool", into = "bool")]
pub enum Requirement {
    /// A missing value is null.
    #[default]
    Optional,
    /// A missing value quarantines the row.
    Required,
}

impl From<bool> for Requirement {
    fn from(required: bool) -> Self {
        if required { Self::Required } else { Self::Optional }
    }
}

impl From<Requirement> for bool {
    fn from(requirement: Requirement) -> Self {
        requirement == Requirement::Required
    }
}

fn is_optional(requirement: &Requirement) -> bool {
    *requirement == Requirement::Optional
}

impl Column {
    /// The name looked for in the source.
    #[must_use]
    pub fn source_name(&self) -> &str {
        self.source.as_deref().unwrap_or(&self.name)
    }

    /// The leaf columns that it becomes in Parquet, with their keys.
    #[must_use]
    pub fn leaves(&self) -> Vec<(String, KeyChoice)> {
        let mut leaves = Vec::new();
        self.shape.leaves(&self.name, &self.class, &mut leaves);
        leaves
    }

    fn is_one(&self, kind: ColumnKind) -> bool {
        self.shape == Shape::One(kind)
    }
}

/// A table's schema as people write it, in TOML.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Wire", into = "Wire")]
pub struct SchemaFile {
    /// The dataset.
    pub dataset: DatasetId,
    /// The column that names the person or device whom a row is about.
    pub subject: Option<String>,
    /// The column whose newest row replaces earlier ones with the same key, with its sequence.
    pub identity: Option<IdentityColumns>,
    /// Columns of the source that are left out on purpose.
    pub ignore: Vec<String>,
    /// How files are encrypted; none for what the importer sets.
    pub encryption: Option<EncryptionSettings>,
    /// The columns, in order.
    pub columns: Vec<Column>,
}

/// How rows replace each other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IdentityColumns {
    /// The column that says which thing a row describes.
    pub key: String,
    /// The integer column that orders rows of one thing.
    pub sequence: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    dataset: DatasetId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    identity: Option<IdentityColumns>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    ignore: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    encryption: Option<EncryptionSettings>,
    column: Vec<Column>,
}

/// Why a schema file is refused.
#[derive(Debug, thiserror::Error)]
pub enum SchemaFileError {
    /// It is no TOML of the expected form; the message has line and column.
    #[error("the schema file cannot be read: {0}")]
    Toml(#[from] toml::de::Error),
    /// Two columns have one name.
    #[error("the schema names the column '{0}' twice")]
    Twice(String),
    /// There is no column.
    #[error("the schema has no [[column]]")]
    Empty,
    /// Subject or identity name a column that is not there.
    #[error("the schema's {what} names '{column}', which is no [[column]]")]
    NoColumn {
        /// `subject` or `identity`.
        what: &'static str,
        /// The name.
        column: String,
    },
    /// A column has a name that cannot be a column's.
    #[error("the column name '{column}' does not fit; use letters, digits and _ , no dots")]
    Name {
        /// The name.
        column: String,
    },
    /// A bound that does not go with the column's type.
    #[error("column '{column}' is of type {kind}, where '{bound}' means nothing")]
    Bound {
        /// The column.
        column: String,
        /// Its type.
        kind: &'static str,
        /// `min`, `max` or `values`.
        bound: &'static str,
    },
    /// A nested column whose parts do not go with its type.
    #[error("column '{column}' {problem}")]
    Nesting {
        /// The column.
        column: String,
        /// What is wrong.
        problem: &'static str,
    },
    /// `min` above `max`.
    #[error("column '{column}' has a min above its max")]
    Range {
        /// The column.
        column: String,
    },
    /// The sequence of an identity is no integer.
    #[error("the identity's sequence '{column}' must be a required integer column")]
    Sequence {
        /// The column.
        column: String,
    },
    /// The footer's class is not for columns.
    #[error("column '{column}' has the class footer, which is for files' footers alone")]
    FooterClass {
        /// The column.
        column: String,
    },
    /// A name cannot be a column path.
    #[error("a column's name does not fit")]
    Path(#[from] IdError),
}

impl Classified for SchemaFileError {
    fn class(&self) -> Class {
        Class::BadRequest
    }
}

impl TryFrom<Wire> for SchemaFile {
    type Error = SchemaFileError;

    fn try_from(wire: Wire) -> Result<Self, SchemaFileError> {
        let Wire { dataset, subject, identity, ignore, encryption, column: columns } = wire;
        if columns.is_empty() {
            return Err(SchemaFileError::Empty);
        }
        let mut names = HashSet::new();
        for column in &columns {
            if !names.insert(column.name.as_str()) {
                return Err(SchemaFileError::Twice(column.name.clone()));
            }
        }
        let named = subject.iter().map(|c| ("subject", c));
        let identity_columns = identity.iter().flat_map(|i| [&i.key, &i.sequence]);
        for (what, column) in named.chain(identity_columns.map(|c| ("identity", c))) {
            if !names.contains(column.as_str()) {
                return Err(SchemaFileError::NoColumn { what, column: column.clone() });
            }
        }
        if let Some(sequence) = identity.as_ref().map(|i| &i.sequence) {
            let fits = |c: &&Column| {
                c.name == *sequence
                    && c.is_one(ColumnKind::Integer)
                    && c.required == Requirement::Required
            };
            if columns.iter().find(fits).is_none() {
                return Err(SchemaFileError::Sequence { column: sequence.clone() });
            }
        }
        Ok(Self { dataset, subject, identity, ignore, encryption, columns })
    }
}

/// Whether this can be the name of a column, or of a part of one.
pub(super) fn check_name(name: &str) -> Result<(), SchemaFileError> {
    let fits = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
    if name.is_empty() || !name.chars().all(fits) {
        return Err(SchemaFileError::Name { column: name.to_owned() });
    }
    Ok(())
}

fn check_column(column: &Column) -> Result<(), SchemaFileError> {
    let name = || column.name.clone();
    check_name(&column.name)?;
    let footer = KeyChoice::Class(salus_model::KeyClass::Footer);
    if column.class == footer || column.leaves().iter().any(|(_, class)| *class == footer) {
        return Err(SchemaFileError::FooterClass { column: name() });
    }
    let numeric = column.is_one(ColumnKind::Integer) || column.is_one(ColumnKind::Number);
    let unfit = [
        ("min", column.min.is_some() && !numeric),
        ("max", column.max.is_some() && !numeric),
        ("values", !column.values.is_empty() && !column.is_one(ColumnKind::Text)),
    ];
    if let Some((bound, _)) = unfit.into_iter().find(|(_, unfit)| *unfit) {
        let kind = column.shape.as_str();
        return Err(SchemaFileError::Bound { column: name(), kind, bound });
    }
    match (column.min, column.max) {
        (Some(min), Some(max)) if min > max => Err(SchemaFileError::Range { column: name() }),
        _ => Ok(()),
    }
}

impl From<SchemaFile> for Wire {
    fn from(file: SchemaFile) -> Self {
        let SchemaFile { dataset, subject, identity, ignore, encryption, columns } = file;
        Self { dataset, subject, identity, ignore, encryption, column: columns }
    }
}

impl SchemaFile {
    /// Reads a schema file.
    ///
    /// # Errors
    /// Names the line, or the column that does not fit.
    pub fn parse(text: &str) -> Result<Self, SchemaFileError> {
        Self::try_from(toml::from_str::<Wire>(text)?)
    }

    /// The schema as a file.
    ///
    /// # Errors
    /// When it cannot be written as TOML, which is a bug.
    pub fn to_toml(&self) -> Result<String, toml::ser::Error> {
        toml::to_string(self)
    }

    /// The Arrow schema.
    #[must_use]
    pub fn arrow(&self) -> SchemaRef {
        let field = |c: &Column| {
            Field::new(&c.name, c.shape.data_type(), c.required == Requirement::Optional)
        };
        Arc::new(Schema::new(self.columns.iter().map(field).collect::<Vec<_>>()))
    }

    /// What the lake has to know to make the dataset; `encryption` counts where the file says
    /// nothing.
    ///
    /// # Errors
    /// When a name cannot be a column path.
    pub fn spec(&self, encryption: EncryptionSettings) -> Result<DatasetSpec, SchemaFileError> {
        let schema = self.arrow();
        let subject = self.subject.as_ref().map(ColumnPath::new).transpose()?;
        let identity = match &self.identity {
            None => None,
            Some(i) => Some(Identity {
                key: ColumnPath::new(&i.key)?,
                sequence: ColumnPath::new(&i.sequence)?,
            }),
        };
        let rules: Vec<_> = self.columns.iter().flat_map(Column::leaves).collect();
        debug_assert!(
            leaves(&schema).iter().map(ColumnPath::as_str).eq(rules.iter().map(|r| &*r.0))
        );
        let policy = KeyPolicy::new(rules);
        Ok(DatasetSpec {
            dataset: self.dataset.clone(),
            schema,
            subject,
            identity,
            policy,
            encryption: self.encryption.unwrap_or(encryption),
        })
    }
}
