//! Data about medical devices: what a record says, how it comes in, and what staff see of it.
//!
//! ```text
//! device ──sign, seal──▶ broker, HTTP ──▶ Collector::take ──journal, fsync──▶ acknowledged
//! FHIR server, CSV folder ────────────▶        │
//!                                              ├──▶ Fleet: the latest record of each device, live
//!                                              └──publish──▶ devices, devices_history,
//!                                                            devices_quarantine in the lake
//! ```
//!
//! **Invariant:** a report is acknowledged when it is on the collector's disk, encrypted, and not
//! before. It reaches each dataset once: reports are told apart by device and sequence, and each
//! dataset's version names the journal position up to which its rows go.
//!
//! **Invariant:** a record is accepted whole, or quarantined with field and reason; no reason, log
//! line or error holds a value from a record.
//!
//! **Invariant:** what lies between a device and the collector sees ciphertext: reports are signed
//! by the device and sealed to the collector.
//!
//! # Privacy
//! The collector's memory holds the latest record of each device in plaintext, as a holder's node
//! may. Its disk holds lengths and times.

mod alerts;
mod arrow_form;
mod collector;
mod csv_form;
mod drop_folder;
mod enrolment;
mod entry;
mod fhir;
mod fields;
mod figures;
mod fleet;
mod http;
mod mqtt;
mod profile;
mod record;
mod report;
mod simulate;
mod speciality;

pub use alerts::{Advisory, Affected, Alert, AlertKind, AlertRules, alerts};
pub use arrow_form::{DEVICES, DEVICES_HISTORY, DEVICES_QUARANTINE, batch, records, schema};
pub use collector::{CollectError, Collector, CollectorParts, Incoming, Published, Source, Taken};
pub use csv_form::{CsvError, CsvRecords, write_csv};
pub use drop_folder::{AfterImport, DropError, DropFolder, Dropped};
pub use enrolment::{Enrolment, EnrolmentError};
pub use fhir::{SYSTEM as FHIR_FIELD_SYSTEM, from_bundle};
pub use fields::{FIELDS, FieldKind, FieldSpec, Unit};
pub use figures::{FleetFigures, by_device};
pub use fleet::{Fleet, Known, Place};
pub use http::router;
pub use mqtt::{MqttCollector, MqttSettings, MqttStopped, send_reports};
pub use profile::{Domains, ProfileRefused, profile};
pub use record::{
    Category, CveId, DeviceId, DeviceRecord, Form, PatientRef, ReasonRefused, Refusal, SbomRef,
    Words, read_record,
};
pub use report::{DeviceSigner, ReportRefused, ReportSealer};
pub use simulate::{FleetSettings, FleetSimulation, Wave};
pub use speciality::Speciality;

#[cfg(test)]
mod tests;
