//! FHIR R4 `Device` and `DeviceMetric` as device records.

use std::collections::BTreeMap;

use salus_model::Timestamp;
use serde_json::{Map, Value, json};

use crate::record::{DeviceRecord, Form, ReasonRefused, Refusal, read_record};

/// The code system of `Device.property` and `DeviceMetric.type` for what R4 has no element for:
/// its codes are the names of the record's fields.
pub const SYSTEM: &str = "urn:salus:device-field";

/// One resource: its text, and the record or why it is none.
pub(crate) struct Resource {
    pub(crate) text: String,
    pub(crate) record: Result<DeviceRecord, Refusal>,
}

/// The records of the Devices of a Bundle, or of a single Device.
///
/// | Field | Element |
/// | --- | --- |
/// | `device_id` | `id` |
/// | `sequence`, `last_sync` | `meta.lastUpdated` |
/// | `hospital`, `patient_id` | the ids of `owner` and `patient` |
/// | `manufacturer`, `model`, `device_type` | `manufacturer`, `modelNumber`, `type.text` |
/// | `firmware_version`, `os_version` | `version` whose `type.text` is `firmware` or `os` |
/// | `production`, `active` | `manufactureDate`, `status` |
/// | `sync_interval` | `DeviceMetric.measurementPeriod` of the metric whose `source` it is |
/// | all others | `property` with a code of [`SYSTEM`] |
///
/// Moments with a date alone are midnight in UTC.
#[must_use]
pub fn from_bundle(bundle: &Value, now: Timestamp) -> Vec<Result<DeviceRecord, Refusal>> {
    resources(bundle, now).into_iter().map(|resource| resource.record).collect()
}

pub(crate) fn resources(bundle: &Value, now: Timestamp) -> Vec<Resource> {
    let single = std::slice::from_ref(bundle);
    let entries: Vec<&Value> = match bundle.get("entry").and_then(Value::as_array) {
        Some(entries) => entries.iter().filter_map(|e| e.get("resource")).collect(),
        None => single.iter().collect(),
    };
    let of_type = |wanted: &'static str| {
        entries.iter().filter(move |r| text(r, &["resourceType"]) == Some(wanted))
    };
    let mut periods: BTreeMap<&str, f64> = BTreeMap::new();
    for metric in of_type("DeviceMetric") {
        let device = text(metric, &["source", "reference"]).map(last_part);
        if let (Some(device), Some(period)) = (device, seconds(metric)) {
            periods.entry(device).and_modify(|p| *p = p.min(period)).or_insert(period);
        }
    }
    of_type("Device")
        .map(|device| {
            let period = text(device, &["id"]).and_then(|id| periods.get(id).copied());
            let record = match fields(device, period) {
                Some(fields) => read_record(&fields, Form::Json, now),
                None => Err(Refusal { field: String::new(), reason: ReasonRefused::Unreadable }),
            };
            Resource { text: device.to_string(), record }
        })
        .collect()
}

fn at<'v>(value: &'v Value, path: &[&str]) -> Option<&'v Value> {
    path.iter().try_fold(value, |value, name| value.get(name))
}

fn text<'v>(value: &'v Value, path: &[&str]) -> Option<&'v str> {
    at(value, path).and_then(Value::as_str)
}

fn last_part(reference: &str) -> &str {
    reference.rsplit('/').next().unwrap_or(reference)
}

/// A `Timing`'s period in seconds.
fn seconds(metric: &Value) -> Option<f64> {
    let repeat = at(metric, &["measurementPeriod", "repeat"])?;
    let period = repeat.get("period")?.as_f64()?;
    let unit = match text(repeat, &["periodUnit"])? {
        "s" => 1.0,
        "min" => 60.0,
        "h" => 3600.0,
        "d" => 86_400.0,
        "wk" => 604_800.0,
        _ => return None,
    };
    Some(period * unit)
}

/// A FHIR date or dateTime as a moment.
fn moment(text: &str) -> String {
    if text.len() == "2026-01-31".len() { format!("{text}T00:00:00Z") } else { text.to_owned() }
}

fn fields(device: &Value, period: Option<f64>) -> Option<Map<String, Value>> {
    let mut fields = Map::new();
    let mut put = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            fields.insert(name.to_owned(), value);
        }
    };
    let texts = |path: &[&str]| text(device, path).map(|t| json!(t));
    let id_of = |path: &[&str]| text(device, path).map(|t| json!(last_part(t)));
    let version = |named: &str| {
        let versions = device.get("version")?.as_array()?;
        let of_type = |v: &&Value| text(v, &["type", "text"]) == Some(named);
        versions.iter().find(of_type).and_then(|v| text(v, &["value"])).map(|t| json!(t))
    };
    let updated = text(device, &["meta", "lastUpdated"])?;
    put("device_id", texts(&["id"]));
    put("last_sync", Some(json!(updated)));
    put("hospital", id_of(&["owner", "reference"]));
    put("patient_id", id_of(&["patient", "reference"]));
    put("manufacturer", texts(&["manufacturer"]));
    put("model", texts(&["modelNumber"]));
    put("device_type", texts(&["type", "text"]));
    put("firmware_version", version("firmware"));
    put("os_version", version("os"));
    put("production", text(device, &["manufactureDate"]).map(|t| json!(moment(t))));
    put("active", text(device, &["status"]).map(|status| json!(status == "active")));
    put("sync_interval", period.map(|p| json!(p)));
    for property in device.get("property").and_then(Value::as_array).into_iter().flatten() {
        let codes = at(property, &["type", "coding"]).and_then(Value::as_array);
        let ours = |c: &&Value| text(c, &["system"]) == Some(SYSTEM);
        let code = codes.into_iter().flatten().find(ours).and_then(|c| text(c, &["code"]));
        let Some(name) = code else { continue };
        put(name, property_value(name, property));
    }
    Some(fields)
}

/// Quantities are numbers; codes are words, of which lists have several.
fn property_value(name: &str, property: &Value) -> Option<Value> {
    let quantities = property.get("valueQuantity").and_then(Value::as_array);
    if let Some(value) = quantities.and_then(|q| q.first()).and_then(|q| q.get("value")) {
        return Some(value.clone());
    }
    let codes = property.get("valueCode").and_then(Value::as_array)?;
    let words: Vec<&str> = codes.iter().filter_map(|code| text(code, &["text"])).collect();
    match name {
        "known_cves" => Some(json!(words)),
        "open_ports" => {
            let ports: Vec<Value> =
                words.iter().map(|w| w.parse::<u16>().map_or(json!(w), |p| json!(p))).collect();
            Some(json!(ports))
        }
        "last_service" | "warranty_end" | "last_patch" => {
            words.first().map(|word| json!(moment(word)))
        }
        _ => words.first().map(|word| json!(word)),
    }
}
