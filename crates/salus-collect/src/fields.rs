//! The fields of a device record in one table: kind, unit, bounds and key class.

use salus_model::{KeyClass, Timestamp};

/// A unit of measure, by its UCUM code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Unit {
    /// Hours.
    Hours,
    /// Percent.
    Percent,
    /// Seconds.
    Seconds,
    /// How many.
    Count,
}

impl Unit {
    /// The UCUM code.
    #[must_use]
    pub const fn ucum(self) -> &'static str {
        match self {
            Self::Hours => "h",
            Self::Percent => "%",
            Self::Seconds => "s",
            Self::Count => "1",
        }
    }
}

/// What a field holds.
#[derive(Debug, Clone, Copy)]
pub enum FieldKind {
    /// Text of at most so many characters.
    Text {
        /// The most characters.
        longest: usize,
    },
    /// A whole number that orders a device's reports.
    Sequence,
    /// A moment between the schema's first and last.
    Moment,
    /// A number within bounds.
    Number {
        /// The smallest.
        least: f64,
        /// The largest.
        most: f64,
        /// Digits behind the point that are kept.
        decimals: u8,
        /// The unit.
        unit: Unit,
    },
    /// True or false.
    Truth,
    /// One of a list of words.
    Word {
        /// The list.
        of: fn() -> Vec<&'static str>,
    },
    /// Several texts, in the dataset as one text with a comma before and behind each.
    List,
    /// How many entries a list has; derived, and not part of a report.
    Length,
}

/// One field of a device record.
#[derive(Debug, Clone, Copy)]
pub struct FieldSpec {
    /// Its name in reports, in CSV files and in the dataset.
    pub name: &'static str,
    /// What it holds.
    pub kind: FieldKind,
    /// Whether a record may be without it.
    pub optional: bool,
    /// Which key class protects it.
    pub class: KeyClass,
    /// What it means.
    pub meaning: &'static str,
}

/// The first moment that a record can name: 1990-01-01T00:00:00Z.
pub(crate) const FIRST_SECOND: i64 = 631_152_000;
/// The last one: 2070-01-01T00:00:00Z.
pub(crate) const LAST_SECOND: i64 = 3_155_760_000;

/// Whether a moment is one that a record can name.
pub(crate) fn in_range(moment: Timestamp) -> bool {
    let seconds = moment.as_micros().div_euclid(1_000_000);
    (FIRST_SECOND..=LAST_SECOND).contains(&seconds)
}

/// The most entries of a list.
pub(crate) const MOST_ENTRIES: usize = 256;

fn categories() -> Vec<&'static str> {
    vec!["portable", "wearable"]
}

fn specialities() -> Vec<&'static str> {
    crate::Speciality::ALL.iter().map(|s| s.as_str()).collect()
}

const fn field(
    name: &'static str,
    kind: FieldKind,
    class: KeyClass,
    meaning: &'static str,
) -> FieldSpec {
    FieldSpec { name, kind, optional: false, class, meaning }
}

const fn optional(
    name: &'static str,
    kind: FieldKind,
    class: KeyClass,
    meaning: &'static str,
) -> FieldSpec {
    FieldSpec { name, kind, optional: true, class, meaning }
}

const NAME: FieldKind = FieldKind::Text { longest: 127 };
const VERSION: FieldKind = FieldKind::Text { longest: 63 };

/// Every field, in the order of the dataset's columns.
pub const FIELDS: &[FieldSpec] = {
    use FieldKind::{Length, List, Moment, Number, Sequence, Text, Truth, Word};
    use KeyClass::{Clinical, Identifiers, Quasi};
    &[
        field("device_id", Text { longest: 63 }, Identifiers, "the device, unique at its hospital"),
        field("sequence", Sequence, Clinical, "grows with each report of the device"),
        field("received", Moment, Clinical, "when the collector took the report in"),
        field("hospital", Text { longest: 63 }, Quasi, "the hospital or site"),
        optional("patient_id", NAME, Identifiers, "the pseudonym of the patient who has it"),
        field("manufacturer", NAME, Quasi, "who made it"),
        field("model", NAME, Quasi, "the model"),
        field("device_type", NAME, Quasi, "what it is, such as infusion pump"),
        field("category", Word { of: categories }, Quasi, "portable or wearable"),
        field("speciality", Word { of: specialities }, Quasi, "the clinical speciality"),
        field("firmware_version", VERSION, Clinical, "the firmware's version"),
        field("os_version", VERSION, Clinical, "the operating system's version"),
        field("production", Moment, Quasi, "when it was made"),
        optional("last_service", Moment, Clinical, "when it was serviced last"),
        field("warranty_end", Moment, Clinical, "when its warranty ends"),
        field("last_sync", Moment, Clinical, "when it last sent its state"),
        optional("last_patch", Moment, Clinical, "when its software was last patched"),
        field(
            "usage_hours",
            Number { least: 0.0, most: 300_000.0, decimals: 1, unit: Unit::Hours },
            Clinical,
            "hours in use since production",
        ),
        optional(
            "battery_percent",
            Number { least: 0.0, most: 100.0, decimals: 0, unit: Unit::Percent },
            Clinical,
            "charge; absent where there is no battery",
        ),
        field(
            "sync_interval",
            Number { least: 1.0, most: 2_592_000.0, decimals: 0, unit: Unit::Seconds },
            Clinical,
            "how often it is to send its state",
        ),
        field("active", Truth, Clinical, "whether it is in use"),
        optional(
            "sbom",
            Text { longest: 511 },
            Clinical,
            "its software bill of materials, by digest",
        ),
        field("known_cves", List, Clinical, "known vulnerabilities of its software"),
        field("known_cve_count", Length, Clinical, "how many they are"),
        optional("network_segment", NAME, Quasi, "the network segment it is in"),
        field("open_ports", List, Clinical, "TCP ports on which it listens"),
        field("open_port_count", Length, Clinical, "how many they are"),
    ]
};
