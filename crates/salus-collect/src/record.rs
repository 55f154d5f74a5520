use std::fmt;
use std::str::FromStr;

use salus_model::{HolderId, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::fields::{FIELDS, FieldKind, MOST_ENTRIES, in_range};
use crate::speciality::Speciality;

/// How far a device's clock may be ahead of the collector's.
const AHEAD_MICROS: i64 = 10 * 60 * 1_000_000;

/// Why a value of a record is refused; says nothing of the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
pub enum ReasonRefused {
    /// The field is not there.
    #[error("is missing")]
    Missing,
    /// A value of another type.
    #[error("is of another type than the schema says")]
    Type,
    /// Text that is empty, too long, or has characters that it may not have.
    #[error("is empty, too long, or has characters that are not allowed")]
    Text,
    /// A number outside its bounds.
    #[error("is outside the bounds of the schema")]
    Bounds,
    /// No RFC 3339 moment, or one outside the schema's years.
    #[error("is no RFC 3339 time between 1990 and 2070")]
    Moment,
    /// A moment later than now.
    #[error("lies in the future; check the device's clock")]
    Future,
    /// A moment before the device was made.
    #[error("lies before the device was made")]
    BeforeProduction,
    /// A word that is not in the list.
    #[error("is none of the schema's words")]
    Word,
    /// A list with too many entries, or one that does not fit.
    #[error("has too many entries, or one that does not fit")]
    Entries,
    /// A field that the schema does not have.
    #[error("is no field of the schema")]
    Unknown,
    /// A record that is no object with fields at all.
    #[error("the record cannot be read")]
    Unreadable,
    /// A report for another device than the one that signed it.
    #[error("names another device than the one that signed the report")]
    OtherDevice,
}

/// A record that is not accepted: which field, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} {reason}")]
pub struct Refusal {
    /// The field; empty when it is the record as a whole.
    pub field: String,
    /// Why.
    pub reason: ReasonRefused,
}

macro_rules! words {
    ($(#[$doc:meta] $name:ident, $longest:literal, $fits:expr;)*) => {$(
        #[$doc]
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The text, when it is a valid one.
            ///
            /// # Errors
            /// When it is empty, too long, or has characters that it may not have.
            pub fn new(text: impl Into<String>) -> Result<Self, ReasonRefused> {
                let text: String = text.into();
                let fits: fn(&str) -> bool = $fits;
                let short = !text.is_empty() && text.chars().count() <= $longest;
                if short && fits(&text) { Ok(Self(text)) } else { Err(ReasonRefused::Text) }
            }

            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = ReasonRefused;
            fn from_str(text: &str) -> Result<Self, ReasonRefused> {
                Self::new(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = ReasonRefused;
            fn try_from(text: String) -> Result<Self, ReasonRefused> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(words: $name) -> Self {
                words.0
            }
        }
    )*};
}

fn visible(text: &str) -> bool {
    !text.chars().any(char::is_control)
}

/// Letters, digits and `-_.:/`: serial numbers, UDIs and FHIR ids are made of them.
fn id(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.:/".contains(c))
}

/// `CVE-2024-3094`: a year, and four digits or more.
fn cve(text: &str) -> bool {
    let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    text.strip_prefix("CVE-").and_then(|rest| rest.split_once('-')).is_some_and(|(year, number)| {
        year.len() == 4 && digits(year) && number.len() >= 4 && digits(number)
    })
}

/// `sha256:` and a digest, or an absolute URL or URN without blanks.
fn sbom(text: &str) -> bool {
    let hex = |d: &str| d.len() == 64 && d.bytes().all(|b| b.is_ascii_hexdigit());
    let clear = visible(text) && !text.contains(char::is_whitespace);
    text.strip_prefix("sha256:").map_or_else(
        || clear && ["https://", "urn:", "pkg:"].iter().any(|scheme| text.starts_with(scheme)),
        hex,
    )
}

words! {
    /// A device at its hospital: a serial number, a UDI or an inventory number.
    DeviceId, 63, id;
    /// The pseudonym of a patient who has a device.
    PatientRef, 127, visible;
    /// A vulnerability, as `CVE-2024-3094`.
    CveId, 32, cve;
    /// A software bill of materials: `sha256:…`, an `https:` URL, a `urn:` or a package URL.
    SbomRef, 511, sbom;
    /// A name or version, of at most 127 visible characters.
    Words, 127, visible;
}

/// Whether a device is carried or worn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Category {
    /// Carried or wheeled to the patient.
    Portable,
    /// Worn by the patient.
    Wearable,
}

impl Category {
    /// The word in records.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            Self::Wearable => "wearable",
        }
    }
}

/// The state of a device at one moment, as it reports it.
///
/// # Shape and units
/// [`FIELDS`] has kind, unit and bounds of each field; [`read_record`] is the check. As JSON, it is
/// an object with these names, moments in RFC 3339 and lists as arrays.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DeviceRecord {
    /// The device.
    pub device_id: DeviceId,
    /// Grows with each report of the device, from 1.
    pub sequence: u64,
    /// The hospital or site.
    pub hospital: HolderId,
    /// The pseudonym of the patient who has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patient_id: Option<PatientRef>,
    /// Who made it.
    pub manufacturer: Words,
    /// The model.
    pub model: Words,
    /// What it is.
    pub device_type: Words,
    /// Portable or wearable.
    pub category: Category,
    /// The clinical speciality.
    pub speciality: Speciality,
    /// The firmware's version.
    pub firmware_version: Words,
    /// The operating system's version.
    pub os_version: Words,
    /// When it was made.
    pub production: Timestamp,
    /// When it was serviced last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_service: Option<Timestamp>,
    /// When its warranty ends.
    pub warranty_end: Timestamp,
    /// When it last sent its state.
    pub last_sync: Timestamp,
    /// When its software was last patched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_patch: Option<Timestamp>,
    /// Hours in use since production.
    pub usage_hours: f64,
    /// Charge in percent; none where there is no battery.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub battery_percent: Option<f64>,
    /// How often it is to send its state, in seconds.
    pub sync_interval: f64,
    /// Whether it is in use.
    pub active: bool,
    /// Its software bill of materials.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sbom: Option<SbomRef>,
    /// Known vulnerabilities of its software, sorted.
    pub known_cves: Vec<CveId>,
    /// The network segment that it is in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_segment: Option<Words>,
    /// TCP ports on which it listens, sorted.
    pub open_ports: Vec<u16>,
}

/// How values are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// As JSON has them: numbers are numbers.
    Json,
    /// Everything is text, and the empty text is no value; lists have `;` between entries.
    Text,
}

/// Reads a record, of which every field is checked.
///
/// Without a sequence, the moment of the last sync in microseconds serves as one.
///
/// # Errors
/// The first field that does not fit, and why.
pub fn read_record(
    fields: &Map<String, Value>,
    form: Form,
    now: Timestamp,
) -> Result<DeviceRecord, Refusal> {
    let derived = |kind| matches!(kind, FieldKind::Length);
    let known = |name: &str| {
        name != "received" && FIELDS.iter().any(|f| f.name == name && !derived(f.kind))
    };
    if fields.keys().any(|name| !known(name)) {
        // The name itself is part of the record, so it is not repeated.
        return Err(Refusal { field: String::new(), reason: ReasonRefused::Unknown });
    }
    Reader { fields, form, now }.record()
}

struct Reader<'a> {
    fields: &'a Map<String, Value>,
    form: Form,
    now: Timestamp,
}

impl Reader<'_> {
    fn value(&self, name: &str) -> Option<&Value> {
        let value = self.fields.get(name).filter(|value| !value.is_null());
        match self.form {
            Form::Json => value,
            Form::Text => value.filter(|value| value.as_str() != Some("")),
        }
    }

    fn refuse<T>(name: &str, reason: ReasonRefused) -> Result<T, Refusal> {
        Err(Refusal { field: name.to_owned(), reason })
    }

    fn needed<T>(name: &str, value: Option<T>) -> Result<T, Refusal> {
        value.map_or_else(|| Self::refuse(name, ReasonRefused::Missing), Ok)
    }

    fn parsed<T>(
        &self,
        name: &str,
        read: impl Fn(&str) -> Result<T, ReasonRefused>,
    ) -> Result<Option<T>, Refusal> {
        match self.value(name) {
            None => Ok(None),
            Some(Value::String(text)) => match read(text) {
                Ok(value) => Ok(Some(value)),
                Err(reason) => Self::refuse(name, reason),
            },
            Some(_) => Self::refuse(name, ReasonRefused::Type),
        }
    }

    fn text<T: FromStr<Err = ReasonRefused>>(&self, name: &str) -> Result<Option<T>, Refusal> {
        self.parsed(name, str::parse)
    }

    fn version(&self, name: &str) -> Result<Words, Refusal> {
        let version: Words = Self::needed(name, self.text(name)?)?;
        if version.as_str().chars().count() > 63 {
            return Self::refuse(name, ReasonRefused::Text);
        }
        Ok(version)
    }

    fn number(&self, name: &str) -> Result<Option<f64>, Refusal> {
        let number = match (self.value(name), self.form) {
            (None, _) => return Ok(None),
            (Some(Value::Number(number)), _) => number.as_f64(),
            (Some(Value::String(text)), Form::Text) => text.trim().parse().ok(),
            (Some(_), _) => None,
        };
        let Some(number) = number.filter(|n: &f64| n.is_finite()) else {
            return Self::refuse(name, ReasonRefused::Type);
        };
        let spec = FIELDS.iter().find(|f| f.name == name).map(|f| f.kind);
        let Some(FieldKind::Number { least, most, decimals, .. }) = spec else {
            return Self::refuse(name, ReasonRefused::Unknown);
        };
        if !(least..=most).contains(&number) {
            return Self::refuse(name, ReasonRefused::Bounds);
        }
        let unit = 10f64.powi(decimals.into());
        Ok(Some((number * unit).round() / unit))
    }

    fn moment(&self, name: &str) -> Result<Option<Timestamp>, Refusal> {
        self.parsed(name, |text| {
            let moment: Timestamp = text.parse().map_err(|_| ReasonRefused::Moment)?;
            if in_range(moment) { Ok(moment) } else { Err(ReasonRefused::Moment) }
        })
    }

    /// A moment between production and now.
    fn past(&self, name: &str, production: Timestamp) -> Result<Option<Timestamp>, Refusal> {
        match self.moment(name)? {
            Some(at) if at > self.now.saturating_add_micros(AHEAD_MICROS) => {
                Self::refuse(name, ReasonRefused::Future)
            }
            Some(at) if at < production => Self::refuse(name, ReasonRefused::BeforeProduction),
            at => Ok(at),
        }
    }

    fn truth(&self, name: &str) -> Result<bool, Refusal> {
        match (self.value(name), self.form) {
            (None, _) => Self::refuse(name, ReasonRefused::Missing),
            (Some(Value::Bool(truth)), _) => Ok(*truth),
            (Some(Value::String(text)), Form::Text) => match text.to_ascii_lowercase().as_str() {
                "true" | "1" | "yes" => Ok(true),
                "false" | "0" | "no" => Ok(false),
                _ => Self::refuse(name, ReasonRefused::Type),
            },
            (Some(_), _) => Self::refuse(name, ReasonRefused::Type),
        }
    }

    fn sequence(&self, last_sync: Timestamp) -> Result<u64, Refusal> {
        let name = "sequence";
        let found = match (self.value(name), self.form) {
            (None, _) => u64::try_from(last_sync.as_micros()).ok(),
            (Some(Value::Number(number)), _) => number.as_u64(),
            (Some(Value::String(text)), Form::Text) => text.trim().parse().ok(),
            (Some(_), _) => return Self::refuse(name, ReasonRefused::Type),
        };
        match found.filter(|n| *n > 0 && i64::try_from(*n).is_ok()) {
            Some(sequence) => Ok(sequence),
            None => Self::refuse(name, ReasonRefused::Bounds),
        }
    }

    /// A list, sorted and without repetitions.
    fn list<T: Ord>(
        &self,
        name: &str,
        of_value: impl Fn(&Value) -> Option<T>,
        of_text: impl Fn(&str) -> Option<T>,
    ) -> Result<Vec<T>, Refusal> {
        let read: Option<Vec<T>> = match (self.value(name), self.form) {
            (None, _) => Some(Vec::new()),
            (Some(Value::Array(entries)), _) if entries.len() <= MOST_ENTRIES => {
                entries.iter().map(of_value).collect()
            }
            (Some(Value::String(text)), Form::Text) if text.matches(';').count() < MOST_ENTRIES => {
                text.split(';').map(|entry| of_text(entry.trim())).collect()
            }
            (Some(Value::Array(_) | Value::String(_)), _) => None,
            (Some(_), _) => return Self::refuse(name, ReasonRefused::Type),
        };
        let Some(mut list) = read else { return Self::refuse(name, ReasonRefused::Entries) };
        list.sort();
        list.dedup();
        Ok(list)
    }

    fn record(&self) -> Result<DeviceRecord, Refusal> {
        let production = Self::needed("production", self.moment("production")?)?;
        if production > self.now {
            return Self::refuse("production", ReasonRefused::Future);
        }
        let last_sync = Self::needed("last_sync", self.past("last_sync", production)?)?;
        let warranty_end = Self::needed("warranty_end", self.moment("warranty_end")?)?;
        if warranty_end < production {
            return Self::refuse("warranty_end", ReasonRefused::BeforeProduction);
        }
        let hospital = |text: &str| HolderId::new(text).map_err(|_| ReasonRefused::Text);
        let category = |word: &str| match word {
            "portable" => Ok(Category::Portable),
            "wearable" => Ok(Category::Wearable),
            _ => Err(ReasonRefused::Word),
        };
        let speciality = |word: &str| Speciality::named(word).ok_or(ReasonRefused::Word);
        let port = |n: u64| u16::try_from(n).ok().filter(|p| *p > 0);
        let cve = |text: &str| CveId::new(text).ok();
        Ok(DeviceRecord {
            device_id: Self::needed("device_id", self.text("device_id")?)?,
            sequence: self.sequence(last_sync)?,
            hospital: Self::needed("hospital", self.parsed("hospital", hospital)?)?,
            patient_id: self.text("patient_id")?,
            manufacturer: Self::needed("manufacturer", self.text("manufacturer")?)?,
            model: Self::needed("model", self.text("model")?)?,
            device_type: Self::needed("device_type", self.text("device_type")?)?,
            category: Self::needed("category", self.parsed("category", category)?)?,
            speciality: Self::needed("speciality", self.parsed("speciality", speciality)?)?,
            firmware_version: self.version("firmware_version")?,
            os_version: self.version("os_version")?,
            production,
            last_service: self.past("last_service", production)?,
            warranty_end,
            last_sync,
            last_patch: self.past("last_patch", production)?,
            usage_hours: Self::needed("usage_hours", self.number("usage_hours")?)?,
            battery_percent: self.number("battery_percent")?,
            sync_interval: Self::needed("sync_interval", self.number("sync_interval")?)?,
            active: self.truth("active")?,
            sbom: self.text("sbom")?,
            known_cves: self.list("known_cves", |v| v.as_str().and_then(cve), cve)?,
            network_segment: self.text("network_segment")?,
            open_ports: self.list(
                "open_ports",
                |v| v.as_u64().and_then(port),
                |text| text.parse().ok().and_then(port),
            )?,
        })
    }
}
