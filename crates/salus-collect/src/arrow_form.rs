use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{
    Array as _, ArrayRef, AsArray as _, BooleanArray, Float64Array, Int64Array, RecordBatch,
    StringArray, TimestampMicrosecondArray,
};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Field, Float64Type, Int64Type, Schema, SchemaRef, TimeUnit, TimestampMicrosecondType,
};
use arrow::error::ArrowError;
use salus_model::{ColumnPath, DatasetId, IdError, KeyClass, Timestamp};
use salus_store::{DatasetSpec, EncryptionSettings, Identity, KeyChoice, KeyPolicy};
use serde_json::{Map, Value};

use crate::fields::{FIELDS, FieldKind, FieldSpec};
use crate::record::{DeviceRecord, Form, read_record};

/// The dataset with the latest record of each device.
pub const DEVICES: &str = "devices";
/// The dataset with every record.
pub const DEVICES_HISTORY: &str = "devices_history";
/// The dataset with what was not accepted.
pub const DEVICES_QUARANTINE: &str = "devices_quarantine";

fn data_type(kind: FieldKind) -> DataType {
    match kind {
        FieldKind::Text { .. } | FieldKind::Word { .. } | FieldKind::List => DataType::Utf8,
        FieldKind::Sequence | FieldKind::Length => DataType::Int64,
        FieldKind::Moment => DataType::Timestamp(TimeUnit::Microsecond, None),
        FieldKind::Number { .. } => DataType::Float64,
        FieldKind::Truth => DataType::Boolean,
    }
}

/// The schema of both datasets of devices; unit, bounds and meaning stand with each field.
#[must_use]
pub fn schema() -> SchemaRef {
    let fields = FIELDS.iter().map(|spec| {
        let mut about = HashMap::from([("meaning".to_owned(), spec.meaning.to_owned())]);
        if let FieldKind::Number { least, most, unit, .. } = spec.kind {
            about.insert("unit".to_owned(), unit.ucum().to_owned());
            about.insert("minimum".to_owned(), least.to_string());
            about.insert("maximum".to_owned(), most.to_string());
        }
        Field::new(spec.name, data_type(spec.kind), spec.optional).with_metadata(about)
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// A list as one text with a comma before and behind each entry, so that a filter for an entry
/// finds it whole: `known_cves LIKE '%,CVE-2024-3094,%'`.
fn listed<T: std::fmt::Display>(entries: &[T]) -> String {
    if entries.is_empty() {
        return String::new();
    }
    let mut text = String::from(",");
    for entry in entries {
        text.push_str(&entry.to_string());
        text.push(',');
    }
    text
}

/// Rows of [`schema`] from records and the moments at which they were taken in.
///
/// # Errors
/// When a field has no column, which is a bug.
pub fn batch(records: &[(&DeviceRecord, Timestamp)]) -> Result<RecordBatch, ArrowError> {
    let columns = FIELDS.iter().map(|spec| column(spec.name, records)).collect::<Result<_, _>>()?;
    RecordBatch::try_new(schema(), columns)
}

fn column(name: &str, records: &[(&DeviceRecord, Timestamp)]) -> Result<ArrayRef, ArrowError> {
    let texts = |of: &dyn Fn(&DeviceRecord) -> Option<String>| -> ArrayRef {
        Arc::new(records.iter().map(|(record, _)| of(record)).collect::<StringArray>())
    };
    let text = |of: &dyn Fn(&DeviceRecord) -> &str| texts(&|r| Some(of(r).to_owned()));
    let moments = |of: &dyn Fn(&DeviceRecord, Timestamp) -> Option<Timestamp>| -> ArrayRef {
        let micros = records.iter().map(|(r, at)| of(r, *at).map(Timestamp::as_micros));
        Arc::new(micros.collect::<TimestampMicrosecondArray>())
    };
    let numbers = |of: &dyn Fn(&DeviceRecord) -> Option<f64>| -> ArrayRef {
        Arc::new(records.iter().map(|(record, _)| of(record)).collect::<Float64Array>())
    };
    let wholes = |of: &dyn Fn(&DeviceRecord) -> u64| -> ArrayRef {
        let whole = |r: &DeviceRecord| i64::try_from(of(r)).unwrap_or(i64::MAX);
        Arc::new(records.iter().map(|(record, _)| Some(whole(record))).collect::<Int64Array>())
    };
    Ok(match name {
        "device_id" => text(&|r| r.device_id.as_str()),
        "sequence" => wholes(&|r| r.sequence),
        "received" => moments(&|_, received| Some(received)),
        "hospital" => text(&|r| r.hospital.as_str()),
        "patient_id" => texts(&|r| r.patient_id.as_ref().map(ToString::to_string)),
        "manufacturer" => text(&|r| r.manufacturer.as_str()),
        "model" => text(&|r| r.model.as_str()),
        "device_type" => text(&|r| r.device_type.as_str()),
        "category" => text(&|r| r.category.as_str()),
        "speciality" => text(&|r| r.speciality.as_str()),
        "firmware_version" => text(&|r| r.firmware_version.as_str()),
        "os_version" => text(&|r| r.os_version.as_str()),
        "production" => moments(&|r, _| Some(r.production)),
        "last_service" => moments(&|r, _| r.last_service),
        "warranty_end" => moments(&|r, _| Some(r.warranty_end)),
        "last_sync" => moments(&|r, _| Some(r.last_sync)),
        "last_patch" => moments(&|r, _| r.last_patch),
        "usage_hours" => numbers(&|r| Some(r.usage_hours)),
        "battery_percent" => numbers(&|r| r.battery_percent),
        "sync_interval" => numbers(&|r| Some(r.sync_interval)),
        "active" => Arc::new(records.iter().map(|(r, _)| Some(r.active)).collect::<BooleanArray>()),
        "sbom" => texts(&|r| r.sbom.as_ref().map(ToString::to_string)),
        "known_cves" => texts(&|r| Some(listed(&r.known_cves))),
        "known_cve_count" => wholes(&|r| r.known_cves.len() as u64),
        "network_segment" => texts(&|r| r.network_segment.as_ref().map(ToString::to_string)),
        "open_ports" => texts(&|r| Some(listed(&r.open_ports))),
        "open_port_count" => wholes(&|r| r.open_ports.len() as u64),
        other => return Err(ArrowError::SchemaError(format!("no column for field '{other}'"))),
    })
}

/// Records from rows of [`schema`], each with the moment at which it was taken in; columns that a
/// role may not see are null, and rows that are no record without them are left out.
///
/// # Errors
/// When a column of the schema is missing or of another type.
pub fn records(rows: &RecordBatch) -> Result<Vec<(DeviceRecord, Timestamp)>, ArrowError> {
    let columns = FIELDS
        .iter()
        .map(|spec| {
            let found = rows.column_by_name(spec.name);
            let missing = || ArrowError::SchemaError(format!("there is no column '{}'", spec.name));
            Ok((spec, cast(found.ok_or_else(missing)?, &data_type(spec.kind))?))
        })
        .collect::<Result<Vec<(&FieldSpec, ArrayRef)>, ArrowError>>()?;
    Ok((0..rows.num_rows()).filter_map(|row| record_at(&columns, row)).collect())
}

fn record_at(columns: &[(&FieldSpec, ArrayRef)], row: usize) -> Option<(DeviceRecord, Timestamp)> {
    let mut fields = Map::new();
    let mut received = None;
    for (spec, column) in columns {
        if column.is_null(row) || matches!(spec.kind, FieldKind::Length) {
            continue;
        }
        let text = || column.as_string::<i32>().value(row);
        let value = match spec.kind {
            FieldKind::Text { .. } | FieldKind::Word { .. } => Value::from(text()),
            FieldKind::List => {
                let number =
                    |entry: &str| entry.parse::<u64>().map_or(Value::from(entry), Value::from);
                text().split(',').filter(|entry| !entry.is_empty()).map(number).collect()
            }
            FieldKind::Sequence | FieldKind::Length => {
                Value::from(column.as_primitive::<Int64Type>().value(row))
            }
            FieldKind::Moment => {
                let micros = column.as_primitive::<TimestampMicrosecondType>().value(row);
                let moment = Timestamp::from_micros(micros).ok()?;
                if spec.name == "received" {
                    received = Some(moment);
                    continue;
                }
                Value::from(moment.to_string())
            }
            FieldKind::Number { .. } => {
                Value::from(column.as_primitive::<Float64Type>().value(row))
            }
            FieldKind::Truth => Value::from(column.as_boolean().value(row)),
        };
        fields.insert(spec.name.to_owned(), value);
    }
    let received = received?;
    Some((read_record(&fields, Form::Json, received).ok()?, received))
}

/// The dataset's and its subject's specification: by device, or by patient where patients are what
/// answers hide.
pub(crate) fn devices_spec(
    subject: &ColumnPath,
    encryption: EncryptionSettings,
) -> Result<DatasetSpec, IdError> {
    Ok(DatasetSpec {
        dataset: DatasetId::new(DEVICES)?,
        schema: schema(),
        subject: Some(subject.clone()),
        identity: Some(Identity {
            key: ColumnPath::new("device_id")?,
            sequence: ColumnPath::new("sequence")?,
        }),
        policy: policy(),
        encryption,
    })
}

pub(crate) fn history_spec(
    subject: &ColumnPath,
    encryption: EncryptionSettings,
) -> Result<DatasetSpec, IdError> {
    Ok(DatasetSpec {
        dataset: DatasetId::new(DEVICES_HISTORY)?,
        identity: None,
        ..devices_spec(subject, encryption)?
    })
}

fn policy() -> KeyPolicy {
    KeyPolicy::new(FIELDS.iter().map(|f| (f.name.to_owned(), KeyChoice::Class(f.class))))
}

fn quarantine_schema() -> SchemaRef {
    let text = |name: &str| Field::new(name, DataType::Utf8, false);
    let moment = DataType::Timestamp(TimeUnit::Microsecond, None);
    Arc::new(Schema::new(vec![
        Field::new("position", DataType::Int64, false),
        Field::new("received", moment, false),
        text("source"),
        text("field"),
        text("reason"),
        text("record"),
    ]))
}

pub(crate) fn quarantine_spec(encryption: EncryptionSettings) -> Result<DatasetSpec, IdError> {
    let policy = KeyPolicy::new([
        ("*".to_owned(), KeyChoice::Class(KeyClass::Clinical)),
        ("record".to_owned(), KeyChoice::Class(KeyClass::Freetext)),
    ]);
    Ok(DatasetSpec {
        dataset: DatasetId::new(DEVICES_QUARANTINE)?,
        schema: quarantine_schema(),
        subject: None,
        identity: None,
        policy,
        encryption,
    })
}

/// A row of the quarantine.
pub(crate) struct QuarantineRow<'a> {
    pub(crate) position: u64,
    pub(crate) received: Timestamp,
    pub(crate) source: &'a str,
    pub(crate) field: &'a str,
    pub(crate) reason: &'a str,
    pub(crate) record: &'a str,
}

pub(crate) fn quarantine_batch(rows: &[QuarantineRow<'_>]) -> Result<RecordBatch, ArrowError> {
    let text = |of: &dyn for<'r> Fn(&'r QuarantineRow<'_>) -> &'r str| -> ArrayRef {
        Arc::new(rows.iter().map(|row| Some(of(row).to_owned())).collect::<StringArray>())
    };
    let position = |row: &QuarantineRow<'_>| i64::try_from(row.position).unwrap_or(i64::MAX);
    let positions: Int64Array = rows.iter().map(|row| Some(position(row))).collect();
    let received: TimestampMicrosecondArray =
        rows.iter().map(|row| Some(row.received.as_micros())).collect();
    RecordBatch::try_new(
        quarantine_schema(),
        vec![
            Arc::new(positions),
            Arc::new(received),
            text(&|row| row.source),
            text(&|row| row.field),
            text(&|row| row.reason),
            text(&|row| row.record),
        ],
    )
}
