//! The dataset that keeps every version that was ever written, removals included.

use std::sync::Arc;

use arrow::array::{Int64Builder, RecordBatch, StringBuilder};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use salus_model::{ColumnPath, DatasetId, IdError, KeyClass};
use salus_store::{DatasetSpec, EncryptionSettings, KeyChoice, KeyPolicy};

use super::record::Change;
use crate::fhir::resources::FHIR_DATASET;
use crate::fhir::table::SEQUENCE;

/// The dataset that keeps every version of every resource.
///
/// It is only appended to: no row of it is ever superseded, so a version ends only when somebody
/// destroys the keys of [`FHIR_DATASET`].
pub const FHIR_HISTORY: &str = "fhir_history";

fn schema() -> SchemaRef {
    let text = |name: &str, nullable| Field::new(name, DataType::Utf8, nullable);
    Arc::new(Schema::new(vec![
        text("id", false),
        text("resource_type", false),
        text("patient_id", true),
        Field::new("version", DataType::Int64, false),
        text("method", false),
        text("staff", false),
        text("role", false),
        text("resource", true),
        Field::new(SEQUENCE, DataType::Int64, false),
    ]))
}

/// # Privacy
/// Texts, ids and names are under the keys of the current resources: whoever destroys or revokes
/// those has destroyed or revoked the past versions, and the journal, with them.
pub(super) fn spec(encryption: EncryptionSettings) -> Result<DatasetSpec, IdError> {
    let resources = DatasetId::new(FHIR_DATASET)?;
    let theirs = |class| -> Result<KeyChoice, IdError> {
        Ok(KeyChoice::Key(KeyChoice::Class(class).key_name(&resources)?))
    };
    let own = |column: &str, class| (column.to_owned(), KeyChoice::Class(class));
    let policy = KeyPolicy::new([
        ("*".to_owned(), theirs(KeyClass::Identifiers)?),
        ("resource".to_owned(), theirs(KeyClass::Freetext)?),
        own("resource_type", KeyClass::Clinical),
        own("version", KeyClass::Quasi),
        own("method", KeyClass::Quasi),
        own(SEQUENCE, KeyClass::Quasi),
    ]);
    Ok(DatasetSpec {
        dataset: DatasetId::new(FHIR_HISTORY)?,
        schema: schema(),
        subject: Some(ColumnPath::new("patient_id")?),
        identity: None,
        policy,
        encryption,
    })
}

pub(super) struct HistoryBuilder {
    texts: [StringBuilder; 7],
    versions: Int64Builder,
    sequences: Int64Builder,
}

impl HistoryBuilder {
    pub(super) fn new() -> Self {
        let texts = std::array::from_fn(|_| StringBuilder::new());
        Self { texts, versions: Int64Builder::new(), sequences: Int64Builder::new() }
    }

    pub(super) fn push(&mut self, change: &Change, (staff, role): (&str, &str)) {
        let key = format!("{}/{}", change.resource_type, change.id);
        let cells = [
            Some(key.as_str()),
            Some(change.resource_type.as_str()),
            change.patient.as_deref(),
            Some(change.method.as_str()),
            Some(staff),
            Some(role),
            change.resource.as_ref().map(|r| r.get()),
        ];
        for (builder, cell) in self.texts.iter_mut().zip(cells) {
            builder.append_option(cell);
        }
        self.versions.append_value(i64::try_from(change.version).unwrap_or(i64::MAX));
        self.sequences.append_value(change.sequence);
    }

    pub(super) fn finish(&mut self) -> Result<RecordBatch, ArrowError> {
        let [ids, types, patients, methods, staff, roles, resources] = &mut self.texts;
        RecordBatch::try_new(
            schema(),
            vec![
                Arc::new(ids.finish()),
                Arc::new(types.finish()),
                Arc::new(patients.finish()),
                Arc::new(self.versions.finish()),
                Arc::new(methods.finish()),
                Arc::new(staff.finish()),
                Arc::new(roles.finish()),
                Arc::new(resources.finish()),
                Arc::new(self.sequences.finish()),
            ],
        )
    }
}
