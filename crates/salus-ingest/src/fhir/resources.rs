//! The dataset that keeps every resource as it came.

use std::sync::Arc;

use arrow::array::{Int64Builder, RecordBatch, StringBuilder};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use salus_model::{ColumnPath, DatasetId, IdError, KeyClass};
use salus_store::{DatasetSpec, EncryptionSettings, Identity, KeyChoice, KeyPolicy};
use serde_json::Value as Json;

use super::table::SEQUENCE;

/// The dataset that keeps every resource as it came.
pub const FHIR_DATASET: &str = "fhir_resources";

fn resources_schema() -> SchemaRef {
    let text = |name: &str, nullable| Field::new(name, DataType::Utf8, nullable);
    Arc::new(Schema::new(vec![
        text("id", false),
        text("resource_type", false),
        text("patient_id", true),
        text("resource", false),
        Field::new(SEQUENCE, DataType::Int64, false),
    ]))
}

pub(crate) fn resources_spec(encryption: EncryptionSettings) -> Result<DatasetSpec, IdError> {
    let policy = KeyPolicy::new([
        ("*".to_owned(), KeyChoice::Class(KeyClass::Identifiers)),
        ("resource_type".to_owned(), KeyChoice::Class(KeyClass::Clinical)),
        (SEQUENCE.to_owned(), KeyChoice::Class(KeyClass::Quasi)),
        ("resource".to_owned(), KeyChoice::Class(KeyClass::Freetext)),
    ]);
    Ok(DatasetSpec {
        dataset: DatasetId::new(FHIR_DATASET)?,
        schema: resources_schema(),
        subject: Some(ColumnPath::new("patient_id")?),
        identity: Some(Identity {
            key: ColumnPath::new("id")?,
            sequence: ColumnPath::new(SEQUENCE)?,
        }),
        policy,
        encryption,
    })
}

pub(crate) struct ResourceBuilder {
    ids: StringBuilder,
    types: StringBuilder,
    patients: StringBuilder,
    resources: StringBuilder,
    sequences: Int64Builder,
    pub(crate) rows: usize,
    pub(crate) bytes: usize,
}

impl ResourceBuilder {
    pub(crate) fn new() -> Self {
        Self {
            ids: StringBuilder::new(),
            types: StringBuilder::new(),
            patients: StringBuilder::new(),
            resources: StringBuilder::new(),
            sequences: Int64Builder::new(),
            rows: 0,
            bytes: 0,
        }
    }

    pub(crate) fn push(&mut self, key: &str, kind: &str, resource: &Json, sequence: i64) {
        let patient = patient_of(kind, key, resource);
        self.push_text((key, kind), patient.as_deref(), &resource.to_string(), sequence);
    }

    pub(crate) fn push_text(
        &mut self,
        (key, kind): (&str, &str),
        patient: Option<&str>,
        text: &str,
        sequence: i64,
    ) {
        self.ids.append_value(key);
        self.types.append_value(kind);
        self.patients.append_option(patient);
        self.sequences.append_value(sequence);
        self.rows += 1;
        self.bytes += text.len();
        self.resources.append_value(text);
    }

    pub(crate) fn finish(&mut self) -> Result<RecordBatch, ArrowError> {
        (self.rows, self.bytes) = (0, 0);
        RecordBatch::try_new(
            resources_schema(),
            vec![
                Arc::new(self.ids.finish()),
                Arc::new(self.types.finish()),
                Arc::new(self.patients.finish()),
                Arc::new(self.resources.finish()),
                Arc::new(self.sequences.finish()),
            ],
        )
    }
}

/// The patient whom a resource is about, as `Patient/id`.
#[must_use]
pub fn patient_of(kind: &str, key: &str, resource: &Json) -> Option<String> {
    if kind == "Patient" {
        return Some(key.to_owned());
    }
    let reference = |element: &str| resource.get(element)?.get("reference")?.as_str();
    ["subject", "patient", "beneficiary"]
        .into_iter()
        .filter_map(reference)
        .find_map(|r| r.rsplit_once("Patient/").map(|(_, id)| id))
        .map(|id| format!("Patient/{}", id.split('/').next().unwrap_or(id)))
}
