#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{Array as _, RecordBatch};
use proptest::prelude::*;
use salus_dp::{Column, ContributionBound, PrivacyUnit, RowsPerUnit};
use salus_model::{HolderId, Timestamp};
use serde_json::{Map, Value, json};

use crate::entry::{Entry, Quarantined};
use crate::fields::FieldKind;
use crate::fleet::{Fleet, Place};
use crate::record::{CveId, DeviceId, DeviceRecord, Form, ReasonRefused, SbomRef, Words};
use crate::{
    Advisory, Affected, AlertKind, AlertRules, CsvRecords, Domains, FIELDS, FleetSettings,
    FleetSimulation, Speciality, alerts, batch, from_bundle, profile, read_record, schema,
    write_csv,
};

const NOW: &str = "2026-06-01T00:00:00Z";

fn now() -> Timestamp {
    NOW.parse().unwrap()
}

fn days(n: i64) -> i64 {
    n * 86_400_000_000
}

fn simulation(seed: u64, devices: u32) -> FleetSimulation {
    let hospital = HolderId::new("st-mary").unwrap();
    FleetSimulation::new(FleetSettings { seed, hospital, devices, start: now() }).unwrap()
}

/// A record with every field.
fn example() -> Map<String, Value> {
    let value = json!({
        "device_id": "pump-000001", "sequence": 7, "hospital": "st-mary", "patient_id": "p-12",
        "manufacturer": "Aldermed", "model": "Flow 300", "device_type": "infusion pump",
        "category": "portable", "speciality": "anesthesiology", "firmware_version": "4.0.1",
        "os_version": "QNX 7.0", "production": "2021-03-01T00:00:00Z",
        "last_service": "2026-01-15T10:00:00Z", "warranty_end": "2027-03-01T00:00:00Z",
        "last_sync": "2026-05-31T23:59:00Z", "last_patch": "2026-02-01T00:00:00Z",
        "usage_hours": 12345.6, "battery_percent": 81, "sync_interval": 300, "active": true,
        "sbom": "sha256:".to_owned() + &"ab".repeat(32),
        "known_cves": ["CVE-2025-20007", "CVE-2024-3094"], "network_segment": "icu",
        "open_ports": [443, 22]
    });
    value.as_object().unwrap().clone()
}

fn read(fields: &Map<String, Value>) -> Result<DeviceRecord, crate::Refusal> {
    read_record(fields, Form::Json, now())
}

fn records(seed: u64, devices: u32) -> Vec<DeviceRecord> {
    simulation(seed, devices).advance(now().saturating_add_micros(days(1) / 12)).unwrap()
}

#[test]
fn there_are_55_specialities_each_with_a_word_of_its_own() {
    let words: BTreeSet<&str> = Speciality::ALL.iter().map(|s| s.as_str()).collect();
    assert_eq!((Speciality::ALL.len(), words.len()), (55, 55));
    // Read in MedTech Chain's own spelling too.
    assert_eq!(
        Speciality::named("SPEECH_LANGUAGE_PATHOLOGY"),
        Speciality::named("speech-language-pathology")
    );
    assert_eq!(Speciality::named("CRITICAL_CARE"), Some(Speciality::CriticalCare));
    assert_eq!(Speciality::named("Critical-Care"), None);
    assert_eq!(Speciality::named("MEDICAL_SPECIALITY_UNSPECIFIED"), None);
    for speciality in Speciality::ALL {
        assert_eq!(Speciality::named(speciality.as_str()), Some(*speciality));
        assert_eq!(serde_json::to_value(speciality).unwrap(), json!(speciality.as_str()));
        assert!(!speciality.title().is_empty());
    }
}

#[test]
fn a_whole_record_is_read_and_written_alike() {
    let record = read(&example()).unwrap();
    assert_eq!(record.open_ports, [22, 443]);
    assert_eq!(record.known_cves[0].as_str(), "CVE-2024-3094");
    let again = serde_json::to_value(&record).unwrap();
    assert_eq!(read(again.as_object().unwrap()).unwrap(), record);
    // What may be absent may be null, too.
    for field in FIELDS.iter().filter(|f| f.optional) {
        let mut fields = example();
        fields.insert(field.name.to_owned(), Value::Null);
        read(&fields).unwrap_or_else(|e| panic!("{}: {e}", field.name));
    }
    // Without a sequence, the moment of the last sync is one.
    let mut fields = example();
    fields.remove("sequence");
    let sync: Timestamp = "2026-05-31T23:59:00Z".parse().unwrap();
    assert_eq!(read(&fields).unwrap().sequence, u64::try_from(sync.as_micros()).unwrap());
}

#[test]
fn every_field_is_checked_and_named() {
    use ReasonRefused::*;
    let case = |name: &str, value: Value, reason: ReasonRefused| {
        let mut fields = example();
        fields.insert(name.to_owned(), value.clone());
        let refused = read(&fields).expect_err(name);
        assert_eq!((refused.field.as_str(), refused.reason), (name, reason), "{value}");
        assert!(!refused.to_string().contains("secret"), "{refused}");
    };
    for field in FIELDS.iter().filter(|f| !f.optional) {
        let defaulted = ["sequence", "known_cves", "open_ports", "received"].contains(&field.name);
        if defaulted || matches!(field.kind, FieldKind::Length) {
            continue;
        }
        case(field.name, Value::Null, Missing);
    }
    case("device_id", json!("secret pump"), Text);
    case("device_id", json!("x".repeat(64)), Text);
    case("device_id", json!(7), Type);
    case("sequence", json!(0), Bounds);
    case("sequence", json!(u64::MAX), Bounds);
    case("sequence", json!("7"), Type);
    case("hospital", json!("St Mary"), Text);
    case("manufacturer", json!(""), Text);
    case("model", json!("a\nb"), Text);
    case("firmware_version", json!("1".repeat(64)), Text);
    case("category", json!("implanted"), Word);
    case("speciality", json!("astrology"), Word);
    case("production", json!("1.3.2021"), Moment);
    case("production", json!("1980-01-01T00:00:00Z"), Moment);
    case("production", json!("2026-06-02T00:00:00Z"), Future);
    case("last_sync", json!("2026-06-01T00:11:00Z"), Future);
    case("last_sync", json!("2021-02-28T00:00:00Z"), BeforeProduction);
    case("last_service", json!("2020-01-01T00:00:00Z"), BeforeProduction);
    case("warranty_end", json!("2020-01-01T00:00:00Z"), BeforeProduction);
    case("last_patch", json!("2027-01-01T00:00:00Z"), Future);
    case("usage_hours", json!(-0.1), Bounds);
    case("usage_hours", json!(300_001), Bounds);
    case("usage_hours", json!("12"), Type);
    case("battery_percent", json!(101), Bounds);
    case("sync_interval", json!(0), Bounds);
    case("active", json!("true"), Type);
    case("sbom", json!("sha256:12"), Text);
    case("sbom", json!("http://plain.example/sbom"), Text);
    case("known_cves", json!(["CVE-24-1"]), Entries);
    case("known_cves", json!("CVE-2024-3094"), Entries);
    case("known_cves", json!(vec!["CVE-2024-3094"; 257]), Entries);
    case("open_ports", json!([0]), Entries);
    case("open_ports", json!([70_000]), Entries);
    case("open_ports", json!(22), Type);
    case("network_segment", json!(5), Type);
    // Derived columns, the collector's own, and names that nobody knows are no fields of a report.
    for name in ["known_cve_count", "received", "secret"] {
        let mut fields = example();
        fields.insert(name.to_owned(), json!(1));
        let refused = read(&fields).unwrap_err();
        assert_eq!((refused.field.as_str(), refused.reason), ("", Unknown));
    }
}

#[test]
fn the_schema_has_units_bounds_and_a_key_for_every_field() {
    let schema = schema();
    assert_eq!(schema.fields().len(), FIELDS.len());
    let hours = schema.field_with_name("usage_hours").unwrap().metadata();
    let about = |name: &str| hours.get(name).map(String::as_str);
    assert_eq!(
        (about("unit"), about("minimum"), about("maximum")),
        (Some("h"), Some("0"), Some("300000"))
    );
    let records = records(1, 40);
    let rows: Vec<_> = records.iter().map(|r| (r, now())).collect();
    let batch = batch(&rows).unwrap();
    assert_eq!(batch.num_rows(), records.len());
    for (field, column) in FIELDS.iter().zip(batch.columns()) {
        assert!(field.optional || column.null_count() == 0, "{}", field.name);
    }
}

#[test]
fn the_profile_has_every_field_that_may_be_asked_for() {
    let simulation = simulation(1, 1);
    let bound = ContributionBound::new(20, 5).unwrap();
    let of = |unit| profile(unit, bound, &simulation.domains()).unwrap();
    let device = of(PrivacyUnit::Device);
    assert_eq!(device.unit_column.as_str(), "device_id");
    assert_eq!(device.schema.rows_per_unit, RowsPerUnit::One);
    assert_eq!(device.schema.contribution, ContributionBound::ONE_ROW);
    let patient = of(PrivacyUnit::Patient);
    assert_eq!((patient.unit_column.as_str(), patient.schema.contribution), ("patient_id", bound));
    assert_eq!(of(PrivacyUnit::Hospital).unit_column.as_str(), "hospital");
    let column = |name: &str| device.schema.columns.get(&name.parse().unwrap());
    assert!(column("device_id").is_none() && column("patient_id").is_none());
    assert!(matches!(column("speciality"), Some(Column::Category(d)) if d.values().len() == 55));
    assert!(matches!(column("active"), Some(Column::Category(_))));
    assert!(matches!(column("os_version"), Some(Column::Category(_))));
    assert!(matches!(column("sbom"), Some(Column::Open)));
    assert!(matches!(column("warranty_end"), Some(Column::Instant(_))));
    assert!(matches!(column("usage_hours"), Some(Column::Number(b)) if b.high() == 3_000_000));
    // As a steward's file says it, and read back by the node.
    let named = BTreeMap::from([("devices", &device)]);
    let text = toml::to_string(&named).unwrap();
    let read = salus_private::Profiles::parse(&text).unwrap();
    assert_eq!(read.of(&"devices".parse().unwrap()).unwrap(), &device);
    let wrong = Domains(BTreeMap::from([("usage_hours".to_owned(), BTreeSet::new())]));
    assert!(profile(PrivacyUnit::Device, bound, &wrong).is_err());
}

#[test]
fn every_kind_of_question_can_be_asked_of_devices() {
    use salus_dp::{Mechanism, Spend};
    let profile =
        profile(PrivacyUnit::Device, ContributionBound::ONE_ROW, &simulation(1, 1).domains())
            .unwrap();
    let spend = Spend::Rho(salus_model::MicroRho::new(1000));
    for text in [
        "SELECT count(*) FROM devices",
        "SELECT count(DISTINCT device_id) FROM devices",
        "SELECT count(DISTINCT sbom) FROM devices WHERE known_cves LIKE '%,CVE-2024-3094,%'",
        "SELECT os_version, count(*) FROM devices GROUP BY os_version",
        "SELECT speciality, category, count(*) FROM devices WHERE active = TRUE GROUP BY 1, 2",
        "SELECT model, count(*) FROM devices GROUP BY 1 ORDER BY 2 DESC LIMIT 3",
        "SELECT sum(usage_hours) FROM devices WHERE hospital = 'st-mary'",
        "SELECT avg(battery_percent), stddev_pop(battery_percent) FROM devices",
        "SELECT min(usage_hours) FROM devices WHERE last_sync >= DATE '2026-05-01'",
        "SELECT max(production) FROM devices",
        "SELECT median(sync_interval) FROM devices WHERE last_patch IS NULL",
        "SELECT histogram(known_cve_count, 16) FROM devices",
        "SELECT date_trunc('year', production), count(*) FROM devices GROUP BY 1",
        "SELECT regr_slope(battery_percent, usage_hours) FROM devices",
    ] {
        let statement = salus_private::sql::parse(text).unwrap();
        let question = statement.question(&profile, spend, Mechanism::Gaussian);
        question.unwrap_or_else(|e| panic!("{text}: {e}")).prepare(&profile).unwrap();
    }
}

#[test]
fn a_fleet_is_the_same_for_a_seed_and_lives() {
    let half_year = now().saturating_add_micros(days(181));
    let run = |seed: u64| {
        let mut simulation = simulation(seed, 60);
        let months = (0..=6).map(|month| {
            simulation.skip_to(now().saturating_add_micros(days(30 * month)));
            let records = simulation.snapshot().unwrap();
            records.into_iter().map(|r| (r.device_id.clone(), r)).collect::<BTreeMap<_, _>>()
        });
        months.collect::<Vec<_>>()
    };
    let months = run(7);
    assert_eq!(months, run(7));
    assert_ne!(months, run(8));
    let (first, last) = (&months[0], &months[months.len() - 1]);
    assert_eq!(last.len(), 60);
    let mut patched = 0;
    for (device, record) in last {
        let fields = serde_json::to_value(record).unwrap();
        let read = read_record(fields.as_object().unwrap(), Form::Json, half_year);
        assert_eq!(read.as_ref(), Ok(record));
        let Some(before) = first.get(device) else { continue };
        assert!(record.sequence > before.sequence && record.usage_hours >= before.usage_hours);
        patched += usize::from(record.firmware_version != before.firmware_version);
    }
    // Four waves of patches came out meanwhile; two of three devices of a model take one in 3 weeks.
    assert!(patched > 15, "{patched}");
    let vulnerable = |month: &BTreeMap<DeviceId, DeviceRecord>| {
        month.values().filter(|r| !r.known_cves.is_empty()).count()
    };
    assert!(months.iter().any(|m| vulnerable(m) > 5));
    assert!(months.iter().any(|m| m.values().any(|r| !r.active)));
    let charges: BTreeSet<u64> =
        last.values().filter_map(|r| r.battery_percent).map(|c| c as u64).collect();
    assert!(charges.len() > 10, "{charges:?}");
}

#[test]
fn devices_fall_silent_and_come_back() {
    let mut simulation = simulation(3, 200);
    let mut last: BTreeMap<DeviceId, Timestamp> = BTreeMap::new();
    let mut longest = 0;
    for record in simulation.advance(now().saturating_add_micros(days(4))).unwrap() {
        if let Some(before) = last.insert(record.device_id.clone(), record.last_sync) {
            longest = longest.max(record.last_sync.micros_since(before));
        }
    }
    // 200 devices over 4 days: eight silences are to be expected, of 4 hours at least.
    assert!(longest > days(1) / 6, "{longest}");
}

#[test]
fn staff_are_alerted_of_what_is_the_matter() {
    let mut fields = example();
    fields.insert("known_cves".to_owned(), json!([]));
    let quiet = Arc::new(read(&fields).unwrap());
    let rules = |advisories: Vec<Advisory>| AlertRules {
        missed_intervals: 3,
        low_battery_percent: 20.0,
        advisories,
    };
    let kinds = |record: &Arc<DeviceRecord>, rules: &AlertRules, after: i64| {
        let mut fleet = Fleet::new();
        fleet.take(record, now());
        let at = now().saturating_add_micros(after);
        alerts(&fleet, rules, at).into_iter().map(|alert| alert.kind).collect::<Vec<_>>()
    };
    assert_eq!(kinds(&quiet, &rules(vec![]), 899_000_000), []);
    // Three intervals of 300 s, by the collector's clock.
    let silent = [AlertKind::Silent { since: now() }];
    assert_eq!(kinds(&quiet, &rules(vec![]), 901_000_000), silent);
    let mut low = quiet.as_ref().clone();
    low.battery_percent = Some(19.0);
    let low = Arc::new(low);
    assert_eq!(kinds(&low, &rules(vec![]), 0), [AlertKind::LowBattery { percent: 19.0 }]);
    let cve = CveId::new("CVE-2026-11111").unwrap();
    let advisory = |affected| Advisory {
        cve: cve.clone(),
        manufacturer: Some(Words::new("Aldermed").unwrap()),
        model: None,
        affected,
    };
    let version = |v: &str| vec![Words::new(v).unwrap()];
    let known = [AlertKind::KnownVulnerabilities { cves: vec![cve.clone()] }];
    let with = |affected| kinds(&quiet, &rules(vec![advisory(affected)]), 0);
    assert_eq!(with(Affected::Firmware(version("4.0.1"))), known);
    assert_eq!(with(Affected::Firmware(version("4.0.2"))), []);
    assert_eq!(with(Affected::Os(version("QNX 7.0"))), known);
    assert_eq!(with(Affected::All), known);
    let other =
        Advisory { manufacturer: Some(Words::new("Norvia").unwrap()), ..advisory(Affected::All) };
    assert_eq!(kinds(&quiet, &rules(vec![other]), 0), []);
    let reported = Arc::new(read(&example()).unwrap());
    assert!(matches!(
        kinds(&reported, &rules(vec![]), 0).as_slice(),
        [AlertKind::KnownVulnerabilities { cves }] if cves.len() == 2
    ));
    // A device that is out of use alerts of nothing.
    let mut stored = low.as_ref().clone();
    stored.active = false;
    assert_eq!(kinds(&Arc::new(stored), &rules(vec![advisory(Affected::All)]), days(9)), []);
}

#[test]
fn csv_files_carry_records_there_and_back() {
    let records = records(2, 30);
    let later = now().saturating_add_micros(days(1));
    let mut text = Vec::new();
    write_csv(&mut text, &records).unwrap();
    let read: Vec<DeviceRecord> = CsvRecords::new(text.as_slice(), later)
        .unwrap()
        .records()
        .map(|line| line.unwrap().unwrap())
        .collect();
    assert_eq!(read, records);
    let refused = |text: &str| CsvRecords::new(text.as_bytes(), now()).map(|_| ()).unwrap_err();
    assert!(refused("name,age\n").to_string().contains("device_id"));
    assert!(refused("device_id,model,model\n").to_string().contains("twice"));
    let line = CsvRecords::new("device_id,model\npump-1\n".as_bytes(), now()).unwrap();
    let refusal = line.records().next().unwrap().unwrap().unwrap_err();
    assert_eq!(refusal.reason, ReasonRefused::Unreadable);
}

#[test]
fn fhir_devices_and_metrics_become_records() {
    let number = |code: &str, value: f64| {
        json!({
            "type": {"coding": [{"system": "urn:salus:device-field", "code": code}]},
            "valueQuantity": [{"value": value}]
        })
    };
    let words = |code: &str, words: &[&str]| {
        json!({
            "type": {"coding": [{"system": "urn:salus:device-field", "code": code}]},
            "valueCode": words.iter().map(|w| json!({"text": w})).collect::<Vec<_>>()
        })
    };
    let device = json!({
        "resourceType": "Device", "id": "monitor-7",
        "meta": {"versionId": "3", "lastUpdated": "2026-05-31T10:00:00.250+02:00"},
        "status": "active", "manufacturer": "Norvia", "modelNumber": "Vista 12",
        "manufactureDate": "2022-02-01", "type": {"text": "patient monitor"},
        "owner": {"reference": "Organization/st-mary"},
        "patient": {"reference": "https://fhir.example/Patient/p-9"},
        "version": [
            {"type": {"text": "firmware"}, "value": "9.3"},
            {"type": {"text": "os"}, "value": "Linux 4.19"}
        ],
        "property": [
            number("usage_hours", 5000.5), number("battery_percent", 55.0),
            words("category", &["portable"]), words("speciality", &["cardiology"]),
            words("warranty_end", &["2027-02-01"]), words("network_segment", &["icu"]),
            words("known_cves", &["CVE-2024-3094"]), words("open_ports", &["22", "2575"])
        ]
    });
    let metric = json!({
        "resourceType": "DeviceMetric", "source": {"reference": "Device/monitor-7"},
        "measurementPeriod": {"repeat": {"period": 2, "periodUnit": "min"}}
    });
    let bundle = |entries: &[&Value]| {
        let entries: Vec<Value> = entries.iter().map(|r| json!({"resource": r})).collect();
        json!({"resourceType": "Bundle", "type": "searchset", "entry": entries})
    };
    let found = from_bundle(&bundle(&[&device, &metric]), now());
    let record = found[0].as_ref().unwrap();
    assert_eq!(record.device_id.as_str(), "monitor-7");
    assert_eq!(record.last_sync, "2026-05-31T08:00:00.250Z".parse().unwrap());
    assert_eq!(record.sequence, u64::try_from(record.last_sync.as_micros()).unwrap());
    assert_eq!((record.sync_interval, record.usage_hours), (120.0, 5000.5));
    assert_eq!(record.patient_id.as_ref().unwrap().as_str(), "p-9");
    assert_eq!((record.open_ports.as_slice(), record.known_cves.len()), ([22, 2575].as_slice(), 1));
    // Without its metric there is no interval, which is named.
    let missing = from_bundle(&bundle(&[&device]), now());
    assert_eq!(missing[0].as_ref().unwrap_err().field, "sync_interval");
    assert_eq!(from_bundle(&json!({"resourceType": "Patient"}), now()).len(), 0);
}

/// Entries as version 1 writes them; they are read for ever.
#[test]
fn entries_of_version_1_are_read_and_written_for_ever() {
    let text = include_str!("../testdata/journal/v1.jsonl");
    let mut lines = text.lines();
    let mut fleet = Fleet::new();
    fleet.take(&Arc::new(read(&example()).unwrap()), now());
    let known = fleet.device(&DeviceId::new("pump-000001").unwrap()).unwrap().clone();
    let entries = [
        Entry::Accepted { received: now(), record: Arc::new(read(&example()).unwrap()) },
        Entry::Quarantined(Quarantined {
            received: now(),
            source: "mqtt".to_owned(),
            field: "battery_percent".to_owned(),
            reason: ReasonRefused::Bounds.to_string(),
            record: "{}".to_owned(),
        }),
        Entry::Known(Box::new(known)),
    ];
    for entry in entries {
        let bytes = entry.to_bytes().unwrap();
        let line = lines.next().expect("a line for each kind");
        assert_eq!(bytes[0], 1);
        assert_eq!(std::str::from_utf8(&bytes[1..]).unwrap(), line);
        let read = Entry::from_bytes(&bytes).unwrap();
        assert_eq!(read.to_bytes().unwrap(), bytes);
    }
    assert!(lines.next().is_none());
    assert!(Entry::from_bytes(&[2, b'{', b'}']).is_err());
    assert!(Entry::from_bytes(&[]).is_err());
}

proptest! {
    /// Whatever the order, and whatever comes twice: each sequence is taken in once, and the state
    /// is that of the highest.
    #[test]
    fn a_fleet_takes_each_report_once(sequences in prop::collection::vec(1u64..60, 1..200)) {
        let base = read(&example()).unwrap();
        let mut fleet = Fleet::new();
        let mut brute: BTreeSet<u64> = BTreeSet::new();
        for sequence in sequences {
            let mut record = base.clone();
            record.sequence = sequence;
            let wanted = if brute.contains(&sequence) {
                Place::Duplicate
            } else if brute.last().is_some_and(|highest| *highest > sequence) {
                Place::Late
            } else {
                Place::Newest
            };
            prop_assert_eq!(fleet.take(&Arc::new(record), now()), wanted);
            brute.insert(sequence);
            let known = fleet.device(&base.device_id).unwrap();
            prop_assert_eq!(Some(&known.latest.sequence), brute.last());
        }
    }

    #[test]
    fn no_value_breaks_the_reader(
        name in prop::sample::select(FIELDS.iter().map(|f| f.name).collect::<Vec<_>>()),
        text in "\\PC{0,20}",
        number in any::<f64>(),
    ) {
        for value in [json!(text), json!(number), json!([text]), json!({"a": number}), json!(true)] {
            let mut fields = example();
            fields.insert(name.to_owned(), value);
            for form in [Form::Json, Form::Text] {
                if let Err(refused) = read_record(&fields, form, now()) {
                    prop_assert!(text.chars().count() < 4 || !refused.to_string().contains(&text));
                }
            }
        }
    }

    #[test]
    fn references_are_what_they_say(text in "\\PC{0,40}") {
        if SbomRef::new(text.clone()).is_ok() {
            prop_assert!(!text.contains(' '));
        }
        if CveId::new(text.clone()).is_ok() {
            prop_assert!(text.starts_with("CVE-"));
        }
    }
}

/// What staff see is worked out from rows as the gateway gives them: the same records, or less where
/// a role may not see a column.
#[test]
fn rows_become_records_again_and_masked_columns_stay_out() {
    let records = records(5, 40);
    let at = now().saturating_add_micros(days(1));
    let rows: Vec<(&DeviceRecord, Timestamp)> = records.iter().map(|r| (r, at)).collect();
    let rows = batch(&rows).unwrap();
    let back: Vec<DeviceRecord> =
        crate::records(&rows).unwrap().into_iter().map(|(record, _)| record).collect();
    assert_eq!(back, records);
    let masked: Vec<(String, arrow::array::ArrayRef)> = rows
        .schema()
        .fields()
        .iter()
        .zip(rows.columns())
        .map(|(field, column)| {
            let hidden = field.name() == "patient_id";
            let null = || arrow::array::new_null_array(field.data_type(), rows.num_rows());
            (field.name().clone(), if hidden { null() } else { Arc::clone(column) })
        })
        .collect();
    let masked = RecordBatch::try_from_iter(masked).unwrap();
    let back = crate::records(&masked).unwrap();
    assert_eq!(back.len(), records.len());
    assert!(back.iter().all(|(record, _)| record.patient_id.is_none()));
    let missing = rows.project(&[0, 1]).unwrap();
    assert!(crate::records(&missing).is_err());
}
