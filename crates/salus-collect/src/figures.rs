use std::collections::BTreeMap;

use salus_model::Timestamp;
use serde::Serialize;

use crate::alerts::{Alert, AlertKind};
use crate::fleet::Fleet;
use crate::record::{DeviceId, Words};

/// A fleet in figures.
///
/// # Privacy
/// Exact, and for the holder's own staff only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FleetFigures {
    /// Devices.
    pub devices: usize,
    /// Those in use.
    pub active: usize,
    /// When the last report came, by the collector's clock.
    pub last_report: Option<Timestamp>,
    /// Devices of each version of the operating system.
    pub os_versions: BTreeMap<Words, usize>,
    /// Devices whose software has known vulnerabilities.
    pub known_vulnerabilities: usize,
    /// Devices that are silent.
    pub silent: usize,
    /// Devices with a low battery.
    pub low_battery: usize,
}

impl FleetFigures {
    /// The figures of a fleet, of which [`alerts`](crate::alerts()) told `alerts`.
    #[must_use]
    pub fn of(fleet: &Fleet, alerts: &[Alert]) -> Self {
        let of = |wanted: fn(&AlertKind) -> bool| alerts.iter().filter(|a| wanted(&a.kind)).count();
        let mut os_versions = BTreeMap::new();
        for known in fleet.iter() {
            *os_versions.entry(known.latest.os_version.clone()).or_insert(0) += 1;
        }
        Self {
            devices: fleet.len(),
            active: fleet.iter().filter(|known| known.latest.active).count(),
            last_report: fleet.iter().map(|known| known.received).max(),
            os_versions,
            known_vulnerabilities: of(|k| matches!(k, AlertKind::KnownVulnerabilities { .. })),
            silent: of(|k| matches!(k, AlertKind::Silent { .. })),
            low_battery: of(|k| matches!(k, AlertKind::LowBattery { .. })),
        }
    }
}

/// Alerts by device.
#[must_use]
pub fn by_device(alerts: Vec<Alert>) -> BTreeMap<DeviceId, Vec<AlertKind>> {
    let mut found: BTreeMap<DeviceId, Vec<AlertKind>> = BTreeMap::new();
    for alert in alerts {
        found.entry(alert.device).or_default().push(alert.kind);
    }
    found
}
