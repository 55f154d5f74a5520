//! What other programs need to know to read a dataset's files, or to write alike.

use std::collections::BTreeMap;

use arrow::datatypes::{DataType, Schema};
use salus_model::{Class, Classified, ColumnPath, DatasetId, IdError, KeyClass, KeyName};

use crate::keytools::EncryptionSettings;
use crate::lake::Lake;
use crate::manifest::Manifest;
use crate::policy::KeyChoice;
use crate::visible::leaves;

/// A dataset's keys as Parquet key tools' settings name them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyExport {
    /// The master key of footers.
    pub footer: KeyName,
    /// The leaf columns under each master key, in the file's order.
    ///
    /// Their paths are as Spark, pyarrow and the specification name them (`list.element`,
    /// `key_value.key`), whatever names the levels have in the dataset's own files.
    pub columns: BTreeMap<KeyName, Vec<ColumnPath>>,
    /// How files are encrypted.
    pub encryption: EncryptionSettings,
}

/// Why a dataset's keys cannot be said in Parquet key tools' settings.
#[derive(Debug, thiserror::Error)]
pub enum KeyExportError {
    /// A name with a character that separates names there.
    #[error(
        "the column '{column}' has a comma, colon or semicolon in its name, which the settings of \
         Spark and pyarrow cannot express"
    )]
    Separator {
        /// The column.
        column: ColumnPath,
    },
    /// A key name that does not fit.
    #[error("the dataset's key has no valid name")]
    KeyName(#[from] IdError),
}

impl Classified for KeyExportError {
    fn class(&self) -> Class {
        Class::BadRequest
    }
}

impl KeyExport {
    /// The keys of a dataset's version.
    ///
    /// # Errors
    /// When a column's name cannot be written in the settings.
    pub fn of(manifest: &Manifest) -> Result<Self, KeyExportError> {
        let dataset = &manifest.dataset;
        let footer = KeyChoice::Class(KeyClass::Footer).key_name(dataset)?;
        let mut columns: BTreeMap<KeyName, Vec<ColumnPath>> = BTreeMap::new();
        let own = leaves(&manifest.schema);
        for (leaf, column) in own.iter().zip(standard_leaves(&manifest.schema)) {
            if column.as_str().contains([',', ':', ';']) {
                return Err(KeyExportError::Separator { column });
            }
            if let Some(choice) = manifest.keys.get(leaf) {
                columns.entry(choice.key_name(dataset)?).or_default().push(column);
            }
        }
        Ok(Self { footer, columns, encryption: manifest.encryption })
    }

    /// The value of `parquet.encryption.column.keys`: `key: column, column; key: column`.
    #[must_use]
    pub fn column_keys(&self) -> String {
        let of_key = |(key, columns): (&KeyName, &Vec<ColumnPath>)| {
            let columns: Vec<&str> = columns.iter().map(ColumnPath::as_str).collect();
            format!("{key}: {}", columns.join(", "))
        };
        self.columns.iter().map(of_key).collect::<Vec<_>>().join("; ")
    }
}

/// Every leaf of a schema, in Parquet's order, with the names of the specification.
fn standard_leaves(schema: &Schema) -> Vec<ColumnPath> {
    let mut found = Vec::new();
    for field in schema.fields() {
        walk(field.data_type(), field.name().clone(), &mut found);
    }
    found
}

fn walk(kind: &DataType, path: String, found: &mut Vec<ColumnPath>) {
    match kind {
        DataType::Struct(fields) => {
            for field in fields {
                walk(field.data_type(), format!("{path}.{}", field.name()), found);
            }
        }
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            walk(item.data_type(), format!("{path}.list.element"), found);
        }
        DataType::Map(entries, _) => {
            if let DataType::Struct(fields) = entries.data_type() {
                for (field, name) in fields.iter().zip(["key", "value"]) {
                    walk(field.data_type(), format!("{path}.key_value.{name}"), found);
                }
            }
        }
        _ => found.extend(ColumnPath::new(path).ok()),
    }
}

impl Lake {
    /// Where a data file lies, for other programs: a path on this machine, or an object's name in
    /// its store.
    #[must_use]
    pub fn location(&self, dataset: &DatasetId, file: &str) -> String {
        self.storage.location(&self.data_path(dataset, file))
    }
}
