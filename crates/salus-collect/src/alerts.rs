use salus_model::Timestamp;
use serde::{Deserialize, Serialize};

use crate::fleet::{Fleet, Known};
use crate::record::{CveId, DeviceId, DeviceRecord, Words};

/// Which versions of a model an advisory is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Affected {
    /// These firmware versions.
    Firmware(Vec<Words>),
    /// These versions of the operating system.
    Os(Vec<Words>),
    /// Every version.
    All,
}

/// A published vulnerability, as it concerns a holder's devices.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Advisory {
    /// The vulnerability.
    pub cve: CveId,
    /// Whose devices; all when there is none.
    pub manufacturer: Option<Words>,
    /// Which model; all when there is none.
    pub model: Option<Words>,
    /// Which versions.
    pub affected: Affected,
}

impl Advisory {
    fn concerns(&self, record: &DeviceRecord) -> bool {
        let same =
            |wanted: &Option<Words>, found: &Words| wanted.as_ref().is_none_or(|w| w == found);
        let version = match &self.affected {
            Affected::Firmware(versions) => versions.contains(&record.firmware_version),
            Affected::Os(versions) => versions.contains(&record.os_version),
            Affected::All => true,
        };
        version
            && same(&self.manufacturer, &record.manufacturer)
            && same(&self.model, &record.model)
    }
}

/// When staff are alerted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AlertRules {
    /// A device is silent when it has missed this many of its intervals.
    pub missed_intervals: u32,
    /// A battery is low below this charge, in percent.
    pub low_battery_percent: f64,
    /// What is known beyond what devices report themselves.
    pub advisories: Vec<Advisory>,
}

/// What is the matter with a device.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AlertKind {
    /// Its software has known vulnerabilities.
    KnownVulnerabilities {
        /// Which, sorted.
        cves: Vec<CveId>,
    },
    /// It has not been heard of for too long.
    Silent {
        /// When it was heard of last.
        since: Timestamp,
    },
    /// Its battery is low.
    LowBattery {
        /// The charge.
        percent: f64,
    },
}

/// Something staff should look at.
///
/// # Privacy
/// Exact, and for the holder's own staff only.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Alert {
    /// Which device.
    pub device: DeviceId,
    /// What is the matter.
    pub kind: AlertKind,
}

/// What staff should look at now, by device. Devices out of use alert of nothing.
#[must_use]
pub fn alerts(fleet: &Fleet, rules: &AlertRules, now: Timestamp) -> Vec<Alert> {
    fleet.iter().filter(|known| known.latest.active).flat_map(|k| of(k, rules, now)).collect()
}

fn of(known: &Known, rules: &AlertRules, now: Timestamp) -> Vec<Alert> {
    let record = &known.latest;
    let concerning = rules.advisories.iter().filter(|a| a.concerns(record)).map(|a| a.cve.clone());
    let mut cves: Vec<CveId> = record.known_cves.iter().cloned().chain(concerning).collect();
    cves.sort();
    cves.dedup();
    // By the collector's clock: a device's own may be wrong.
    let since = known.received;
    let allowed = record.sync_interval * f64::from(rules.missed_intervals) * 1e6;
    let low = record.battery_percent.filter(|charge| *charge < rules.low_battery_percent);
    [
        (!cves.is_empty()).then_some(AlertKind::KnownVulnerabilities { cves }),
        (now.micros_since(since) as f64 > allowed).then_some(AlertKind::Silent { since }),
        low.map(|percent| AlertKind::LowBattery { percent }),
    ]
    .into_iter()
    .flatten()
    .map(|kind| Alert { device: record.device_id.clone(), kind })
    .collect()
}
