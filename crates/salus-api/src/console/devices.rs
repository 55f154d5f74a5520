//! The holder's own devices, to its own technicians and stewards: exact, and without noise.
//!
//! # Privacy
//! Read in the site's role `technician`, whatever the account's: that role sees devices and no
//! patient who has one. Each look is decided by the site's policies and put on record, as any
//! statement is.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use salus_accounts::Standing;
use salus_collect::{
    AlertKind, AlertRules, CveId, DEVICES, DeviceId, Fleet, FleetFigures, Known, Words, alerts,
    by_device, records,
};
use salus_model::{DatasetId, Purpose, RoleName, StaffId, Timestamp};
use salus_node::operations::{Call, Reply, SqlCall};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::guard::{failed, problem};
use super::people::{Asked, asked as query_of};
use super::steward::staff;
use super::{Console, Shared};

/// The role in which devices are read.
const ROLE: &str = "technician";
/// The most lines of the list at once.
const MOST_LINES: usize = 200;
const MOST_DEVICES: usize = 1_000_000;
const MEMORY_BYTES: usize = 1 << 30;
const SECONDS: u64 = 60;

/// Which devices the list has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Show {
    /// Every device.
    #[default]
    All,
    /// Those that staff should look at for whatever reason.
    Alerts,
    /// Those whose software has known vulnerabilities.
    Vulnerable,
    /// Those that have not been heard of for too long.
    Silent,
    /// Those with a low battery.
    LowBattery,
}

impl Show {
    fn takes(self, alerts: &[AlertKind]) -> bool {
        let some = |wanted: fn(&AlertKind) -> bool| alerts.iter().any(wanted);
        match self {
            Self::All => true,
            Self::Alerts => !alerts.is_empty(),
            Self::Vulnerable => some(|a| matches!(a, AlertKind::KnownVulnerabilities { .. })),
            Self::Silent => some(|a| matches!(a, AlertKind::Silent { .. })),
            Self::LowBattery => some(|a| matches!(a, AlertKind::LowBattery { .. })),
        }
    }
}

/// Which part of the list is wanted.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    #[serde(default)]
    show: Show,
    #[serde(default)]
    os: Option<Words>,
    #[serde(default)]
    after: Option<DeviceId>,
    #[serde(default)]
    limit: Option<usize>,
}

/// The fleet as the last published reports tell it.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Devices")]
pub(super) struct DevicesShown {
    /// When this was read.
    #[schemars(with = "String")]
    at: Timestamp,
    /// The figures; none before the first report was published.
    fleet: Option<FleetShown>,
    /// When staff are alerted.
    rules: RulesShown,
    /// The devices of this page, by id.
    devices: Vec<DeviceLine>,
    /// How many devices the list has in all.
    listed: usize,
    /// The last device of this page, when there are more after it.
    #[schemars(with = "Option<String>")]
    next: Option<DeviceId>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "FleetFigures")]
struct FleetShown {
    devices: usize,
    /// Devices in use.
    active: usize,
    /// When the last report came, by the collector's clock.
    #[schemars(with = "Option<String>")]
    last_report: Option<Timestamp>,
    known_vulnerabilities: usize,
    silent: usize,
    low_battery: usize,
    /// Versions of operating systems, the most frequent first.
    os_versions: Vec<VersionLine>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "VersionLine")]
struct VersionLine {
    #[schemars(with = "String")]
    version: Words,
    devices: usize,
    /// Those of them whose software has known vulnerabilities.
    vulnerable: usize,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "AlertRules")]
struct RulesShown {
    /// A device is silent when it has missed this many of its intervals.
    missed_intervals: u32,
    /// A battery is low below this charge, in percent.
    low_battery_percent: f64,
    /// How many advisories the holder added to what devices report themselves.
    advisories: usize,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "DeviceLine")]
struct DeviceLine {
    #[schemars(with = "String")]
    device: DeviceId,
    #[schemars(with = "String")]
    manufacturer: Words,
    #[schemars(with = "String")]
    model: Words,
    #[schemars(with = "String")]
    device_type: Words,
    speciality: &'static str,
    #[schemars(with = "String")]
    firmware_version: Words,
    #[schemars(with = "String")]
    os_version: Words,
    #[schemars(with = "Option<String>")]
    network_segment: Option<Words>,
    /// When its newest report came, by the collector's clock.
    #[schemars(with = "String")]
    heard: Timestamp,
    /// Charge; none without a battery.
    battery_percent: Option<f64>,
    /// Whether it is in use.
    active: bool,
    alerts: Vec<AlertShown>,
}

/// What is the matter with a device.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case", tag = "alert")]
#[schemars(rename = "DeviceAlert")]
enum AlertShown {
    /// Its software has known vulnerabilities.
    KnownVulnerabilities {
        #[schemars(with = "Vec<String>")]
        cves: Vec<CveId>,
    },
    /// It has not been heard of for too long.
    Silent {
        #[schemars(with = "String")]
        since: Timestamp,
    },
    /// Its battery is low.
    LowBattery { percent: f64 },
}

impl From<&AlertKind> for AlertShown {
    fn from(kind: &AlertKind) -> Self {
        match kind {
            AlertKind::KnownVulnerabilities { cves } => {
                Self::KnownVulnerabilities { cves: cves.clone() }
            }
            AlertKind::Silent { since } => Self::Silent { since: *since },
            AlertKind::LowBattery { percent } => Self::LowBattery { percent: *percent },
        }
    }
}

fn line(known: &Known, alerts: &[AlertKind]) -> DeviceLine {
    let record = &known.latest;
    DeviceLine {
        device: record.device_id.clone(),
        manufacturer: record.manufacturer.clone(),
        model: record.model.clone(),
        device_type: record.device_type.clone(),
        speciality: record.speciality.as_str(),
        firmware_version: record.firmware_version.clone(),
        os_version: record.os_version.clone(),
        network_segment: record.network_segment.clone(),
        heard: known.received,
        battery_percent: record.battery_percent,
        active: record.active,
        alerts: alerts.iter().map(AlertShown::from).collect(),
    }
}

fn is_vulnerable(alerts: &[AlertKind]) -> bool {
    alerts.iter().any(|a| matches!(a, AlertKind::KnownVulnerabilities { .. }))
}

/// A page of the fleet, with its figures.
fn shown(fleet: &Fleet, rules: &AlertRules, wanted: &Wanted, at: Timestamp) -> DevicesShown {
    let told = alerts(fleet, rules, at);
    let figures = FleetFigures::of(fleet, &told);
    let by_device = by_device(told);
    let of = |known: &Known| -> &[AlertKind] {
        by_device.get(&known.latest.device_id).map_or(&[], Vec::as_slice)
    };
    let mut vulnerable: BTreeMap<&Words, usize> = BTreeMap::new();
    for known in fleet.iter().filter(|known| is_vulnerable(of(known))) {
        *vulnerable.entry(&known.latest.os_version).or_default() += 1;
    }
    let mut os_versions: Vec<VersionLine> = figures
        .os_versions
        .iter()
        .map(|(version, devices)| VersionLine {
            version: version.clone(),
            devices: *devices,
            vulnerable: vulnerable.get(version).copied().unwrap_or_default(),
        })
        .collect();
    os_versions.sort_by(|a, b| b.devices.cmp(&a.devices).then_with(|| a.version.cmp(&b.version)));
    let takes = |known: &&Known| {
        let version = wanted.os.as_ref().is_none_or(|os| *os == known.latest.os_version);
        version && wanted.show.takes(of(known))
    };
    let listed = fleet.iter().filter(takes).count();
    let after =
        |known: &&Known| wanted.after.as_ref().is_none_or(|after| known.latest.device_id > *after);
    let limit = wanted.limit.unwrap_or(50).clamp(1, MOST_LINES);
    let mut page = fleet.iter().filter(takes).filter(after);
    let devices: Vec<DeviceLine> = page.by_ref().take(limit).map(|k| line(k, of(k))).collect();
    let more = page.next().is_some();
    let next = devices.last().filter(|_| more).map(|last| last.device.clone());
    let figures = FleetShown {
        devices: figures.devices,
        active: figures.active,
        last_report: figures.last_report,
        known_vulnerabilities: figures.known_vulnerabilities,
        silent: figures.silent,
        low_battery: figures.low_battery,
        os_versions,
    };
    DevicesShown { at, fleet: Some(figures), rules: RulesShown::of(rules), devices, listed, next }
}

impl RulesShown {
    fn of(rules: &AlertRules) -> Self {
        Self {
            missed_intervals: rules.missed_intervals,
            low_battery_percent: rules.low_battery_percent,
            advisories: rules.advisories.len(),
        }
    }
}

impl Console {
    /// The fleet as the lake has it, or none before there is a dataset of devices.
    async fn fleet(&self, staff: &StaffId) -> Result<Option<Fleet>, Response> {
        let bug = |e| problem(StatusCode::INTERNAL_SERVER_ERROR, "bug", None, e);
        let all = self.site.lake.datasets().await.map_err(|e| failed(&e))?;
        if !all.contains(&DatasetId::new(DEVICES).map_err(bug)?) {
            return Ok(None);
        }
        let call = Call::Sql(SqlCall {
            statement: format!("SELECT * FROM {DEVICES}"),
            role: RoleName::new(ROLE).map_err(bug)?,
            purpose: Purpose::Operations,
            rows: MOST_DEVICES,
            memory_bytes: MEMORY_BYTES,
            seconds: SECONDS,
        });
        let reply = self.operations.perform(staff, call).await.map_err(|e| failed(&e))?;
        let Reply::Answer(answer) = reply else {
            let text = "the node answered something else";
            return Err(problem(StatusCode::INTERNAL_SERVER_ERROR, "bug", None, text));
        };
        let read = tokio::task::spawn_blocking(move || {
            let mut fleet = Fleet::new();
            for batch in answer.batches() {
                let found = records(batch).map_err(|_| Unreadable::Columns)?;
                if found.len() < batch.num_rows() {
                    return Err(Unreadable::Masked);
                }
                for (record, received) in found {
                    fleet.take(&Arc::new(record), received);
                }
            }
            Ok(fleet)
        });
        match read.await {
            Ok(Ok(fleet)) => Ok(Some(fleet)),
            Ok(Err(unreadable)) => Err(unreadable.told()),
            Err(_) => {
                let text = "the devices were not read to the end";
                Err(problem(StatusCode::INTERNAL_SERVER_ERROR, "bug", None, text))
            }
        }
    }
}

/// Why rows are no devices.
enum Unreadable {
    Columns,
    Masked,
}

impl Unreadable {
    fn told(&self) -> Response {
        match self {
            Self::Columns => {
                let text = "the dataset of devices has other columns than this Salus gives it";
                problem(StatusCode::INTERNAL_SERVER_ERROR, "corrupt", None, text)
            }
            Self::Masked => {
                let text = "the site's policies do not let the role technician see what a \
                            device's state needs; its steward allows it in roles.toml";
                problem(StatusCode::FORBIDDEN, "refused", Some("policy"), text)
            }
        }
    }
}

pub(super) async fn devices(
    State(console): State<Shared>,
    Extension(by): Extension<Standing>,
    query: Asked<Wanted>,
) -> Response {
    let work = async {
        let wanted = query_of(query)?;
        let rules = (console.alert_rules)().map_err(|text| {
            tracing::error!(error = text, "the rules of alerts cannot be read");
            let text = "collect.toml cannot be read; the node's operator has the reason in the log";
            problem(StatusCode::SERVICE_UNAVAILABLE, "unavailable", None, text)
        })?;
        let fleet = console.fleet(&staff(&by.account)?).await?;
        let at = console.site.clock.now();
        Ok::<_, Response>(match fleet {
            Some(fleet) => shown(&fleet, &rules, &wanted, at),
            None => DevicesShown {
                at,
                fleet: None,
                rules: RulesShown::of(&rules),
                devices: Vec::new(),
                listed: 0,
                next: None,
            },
        })
    };
    work.await.map_or_else(|response| response, |shown| Json(shown).into_response())
}

#[cfg(test)]
mod tests;
