#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use salus_collect::{FleetSettings, FleetSimulation};
use salus_model::HolderId;

use super::*;

const DEVICES_MADE: u32 = 130;

fn start() -> Timestamp {
    "2026-06-01T00:00:00Z".parse().unwrap()
}

/// A year of a fleet, so that patches, vulnerabilities and weak batteries are in it.
fn fleet() -> Fleet {
    let hospital = HolderId::new("st-mary").unwrap();
    let settings = FleetSettings { seed: 5, hospital, devices: DEVICES_MADE, start: start() };
    let mut made = FleetSimulation::new(settings).unwrap();
    let last = start().saturating_add_micros(300 * 86_400_000_000);
    made.skip_to(last);
    let mut fleet = Fleet::new();
    for record in made.snapshot().unwrap() {
        fleet.take(&Arc::new(record), last);
    }
    fleet
}

fn rules() -> AlertRules {
    AlertRules { missed_intervals: 5, low_battery_percent: 60.0, advisories: Vec::new() }
}

fn wanted(show: Show) -> Wanted {
    Wanted { show, os: None, after: None, limit: None }
}

/// An hour after the last reports: devices with short intervals are silent, others are not.
fn now() -> Timestamp {
    start().saturating_add_micros(300 * 86_400_000_000 + 3_600_000_000)
}

#[test]
fn pages_show_every_device_once_and_filters_those_they_name() {
    let (fleet, rules) = (fleet(), rules());
    for (show, few) in [
        (Show::All, false),
        (Show::Alerts, true),
        (Show::Vulnerable, true),
        (Show::Silent, true),
        (Show::LowBattery, true),
    ] {
        let (mut seen, mut after) = (BTreeSet::new(), None);
        loop {
            let wanted = Wanted { after: after.clone(), limit: Some(7), ..wanted(show) };
            let page = shown(&fleet, &rules, &wanted, now());
            assert!(page.devices.len() <= 7);
            for line in page.devices {
                let alerts: Vec<&str> = line.alerts.iter().map(word).collect();
                match show {
                    Show::All => {}
                    Show::Alerts => assert!(!alerts.is_empty()),
                    Show::Vulnerable => assert!(alerts.contains(&"vulnerable")),
                    Show::Silent => assert!(alerts.contains(&"silent")),
                    Show::LowBattery => assert!(alerts.contains(&"low")),
                }
                assert!(seen.insert(line.device), "a device came twice");
            }
            after = page.next;
            if after.is_none() {
                assert_eq!(seen.len(), page.listed);
                break;
            }
        }
        let all = usize::try_from(DEVICES_MADE).unwrap();
        assert_eq!(seen.len() < all, few, "{show:?}: {}", seen.len());
        assert!(!seen.is_empty(), "{show:?}");
    }
}

fn word(alert: &AlertShown) -> &'static str {
    match alert {
        AlertShown::KnownVulnerabilities { .. } => "vulnerable",
        AlertShown::Silent { .. } => "silent",
        AlertShown::LowBattery { .. } => "low",
    }
}

#[test]
fn versions_add_up_to_the_fleet_and_lead_to_their_devices() {
    let (fleet, rules) = (fleet(), rules());
    let page = shown(&fleet, &rules, &wanted(Show::All), now());
    let figures = page.fleet.unwrap();
    let sum: usize = figures.os_versions.iter().map(|line| line.devices).sum();
    assert_eq!(sum, figures.devices);
    let vulnerable: usize = figures.os_versions.iter().map(|line| line.vulnerable).sum();
    assert_eq!(vulnerable, figures.known_vulnerabilities);
    assert!(figures.os_versions.windows(2).all(|two| two[0].devices >= two[1].devices));
    for line in figures.os_versions {
        let wanted = Wanted { os: Some(line.version.clone()), ..wanted(Show::Vulnerable) };
        let page = shown(&fleet, &rules, &wanted, now());
        assert_eq!(page.listed, line.vulnerable, "{}", line.version);
        assert!(page.devices.iter().all(|device| device.os_version == line.version));
    }
}

#[test]
fn no_device_answers_with_a_patient() {
    let fleet = fleet();
    assert!(fleet.iter().any(|known| known.latest.patient_id.is_some()), "there is one to hide");
    let page = shown(&fleet, &rules(), &Wanted { limit: Some(200), ..wanted(Show::All) }, now());
    let text = serde_json::to_string(&page).unwrap();
    for known in fleet.iter() {
        if let Some(patient) = &known.latest.patient_id {
            assert!(!text.contains(&patient.to_string()), "{patient}");
        }
    }
}
