//! What the collector's journal holds.

use std::sync::Arc;

use salus_model::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::fleet::{Known, Seen};
use crate::record::{DeviceRecord, Form, Refusal, read_record};

/// The first byte of every entry.
const VERSION: u8 = 1;
/// A record that was accepted once stays so, should the clock go backwards a little.
const GRACE_MICROS: i64 = 24 * 3600 * 1_000_000;

/// An entry of the journal.
#[derive(Debug, Clone)]
pub(crate) enum Entry {
    /// A record that was taken in.
    Accepted { received: Timestamp, record: Arc<DeviceRecord> },
    /// A record that was not accepted.
    Quarantined(Quarantined),
    /// All that was known of a device when older entries were removed.
    Known(Box<Known>),
}

/// A record that was not accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Quarantined {
    pub(crate) received: Timestamp,
    pub(crate) source: String,
    pub(crate) field: String,
    pub(crate) reason: String,
    pub(crate) record: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
enum Written {
    Accepted { received: Timestamp, record: Map<String, Value> },
    Quarantined(Quarantined),
    Known { received: Timestamp, record: Map<String, Value>, seen: Seen },
}

/// An entry that cannot be read back.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EntryError {
    /// Of a version that this program does not know.
    #[error("an entry of the collector's journal is of another version than this program's")]
    Version,
    /// No entry.
    #[error("an entry of the collector's journal is none")]
    Form(#[source] serde_json::Error),
    /// A record that the schema does not accept any more.
    #[error("a record in the collector's journal does not fit the schema")]
    Record(#[source] Refusal),
}

impl Entry {
    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>, serde_json::Error> {
        let fields = |record: &DeviceRecord| match serde_json::to_value(record)? {
            Value::Object(fields) => Ok(fields),
            _ => Ok(Map::new()),
        };
        let written = match self {
            Self::Accepted { received, record } => {
                Written::Accepted { received: *received, record: fields(record)? }
            }
            Self::Quarantined(quarantined) => Written::Quarantined(quarantined.clone()),
            Self::Known(known) => Written::Known {
                received: known.received,
                record: fields(&known.latest)?,
                seen: known.seen.clone(),
            },
        };
        let mut bytes = vec![VERSION];
        serde_json::to_writer(&mut bytes, &written)?;
        Ok(bytes)
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, EntryError> {
        let text = match bytes.split_first() {
            Some((&VERSION, text)) => text,
            _ => return Err(EntryError::Version),
        };
        let record = |fields: &Map<String, Value>, received: Timestamp| {
            read_record(fields, Form::Json, received.saturating_add_micros(GRACE_MICROS))
                .map(Arc::new)
                .map_err(EntryError::Record)
        };
        Ok(match serde_json::from_slice(text).map_err(EntryError::Form)? {
            Written::Accepted { received, record: fields } => {
                Self::Accepted { received, record: record(&fields, received)? }
            }
            Written::Quarantined(quarantined) => Self::Quarantined(quarantined),
            Written::Known { received, record: fields, seen } => {
                Self::Known(Box::new(Known { latest: record(&fields, received)?, received, seen }))
            }
        })
    }
}
