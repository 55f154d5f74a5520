//! The shipped views on the Synthea patients, counted a second time on the plain JSON.

use std::collections::{BTreeMap, HashMap, HashSet};

use salus_fhir::bundle::{BundleRequest, Operation};
use salus_fhir::shipped;
use salus_fhir::view::Value;
use salus_model::{Entropy, EntropyFailed};
use serde_json::{Value as Json, json};

use crate::synthea;

/// SplitMix64 from a fixed seed: ids that differ and stay the same.
struct Fixed(u64);

impl Entropy for Fixed {
    fn fill(&mut self, buffer: &mut [u8]) -> Result<(), EntropyFailed> {
        for byte in buffer {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = self.0;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            *byte = (z ^ (z >> 31)) as u8;
        }
        Ok(())
    }
}

/// Every resource as a transaction stores it: with its id, references rewritten.
pub(crate) fn stored() -> Vec<Json> {
    let mut entropy = Fixed(7);
    let mut out = Vec::new();
    for bundle in synthea::bundles() {
        let request = BundleRequest::parse(bundle).unwrap();
        assert!(request.lookups().is_empty());
        for step in request.plan(&[], &mut entropy).unwrap().steps() {
            let Operation::Create { key, resource } = &step.operation else { panic!("{step:?}") };
            let mut resource = resource.clone();
            resource["id"] = json!(key.id().as_str());
            out.push(resource);
        }
    }
    out
}

fn rows(name: &str, resources: &[Json]) -> Vec<HashMap<String, Value>> {
    let view = &shipped::view(name).unwrap().view;
    let names: Vec<_> = view.columns().iter().map(|c| c.name.clone()).collect();
    let mut out = Vec::new();
    for resource in resources {
        view.run(resource, |row| {
            out.push(names.iter().cloned().zip(row.iter().cloned()).collect());
        })
        .unwrap_or_else(|e| panic!("{name}: {e:?}"));
    }
    out
}

#[test]
fn every_view_agrees_with_a_plain_count() {
    let resources = stored();
    let of = |name: &str| resources.iter().filter(|r| r["resourceType"] == name).count();
    for (view, resource) in [
        ("patients", "Patient"),
        ("encounters", "Encounter"),
        ("conditions", "Condition"),
        ("medications", "MedicationRequest"),
        ("procedures", "Procedure"),
        ("immunizations", "Immunization"),
    ] {
        let rows = rows(view, &resources);
        assert_eq!(rows.len(), of(resource), "{view}");
        let ids: HashSet<_> = rows.iter().map(|r| format!("{:?}", r["id"])).collect();
        assert_eq!(ids.len(), rows.len(), "{view}");
        assert!(!ids.contains("Null"));
    }
    let patients: HashSet<_> =
        rows("patients", &resources).iter().map(|r| format!("{:?}", r["id"])).collect();
    for view in
        ["encounters", "conditions", "observations", "medications", "procedures", "immunizations"]
    {
        for row in rows(view, &resources) {
            assert!(patients.contains(&format!("{:?}", row["patient_id"])), "{view}: {row:?}");
        }
    }
}

#[test]
fn observation_rows_are_the_measured_values() {
    let resources = stored();
    let observations: Vec<_> =
        resources.iter().filter(|r| r["resourceType"] == "Observation").collect();
    let mut expected: BTreeMap<String, (usize, f64)> = BTreeMap::new();
    let mut count = 0;
    let mut note = |measured: &Json| {
        count += 1;
        let entry = expected
            .entry(measured["code"]["coding"][0]["code"].as_str().unwrap().to_owned())
            .or_default();
        if let Some(number) = measured["valueQuantity"]["value"].as_f64() {
            entry.0 += 1;
            entry.1 += number;
        }
    };
    for observation in observations {
        let components = observation["component"].as_array();
        let has_value = observation.as_object().unwrap().keys().any(|k| k.starts_with("value"));
        if has_value || components.is_none() {
            note(observation);
        }
        components.into_iter().flatten().for_each(&mut note);
    }
    let mut found: BTreeMap<String, (usize, f64)> = BTreeMap::new();
    let rows = rows("observations", &resources);
    assert_eq!(rows.len(), count);
    assert!(count > 3142, "components make rows of their own");
    for row in &rows {
        let Value::String(code) = &row["code"] else { panic!("{row:?}") };
        let entry = found.entry(code.to_string()).or_default();
        if let Value::Decimal(number) = row["value_number"] {
            entry.0 += 1;
            entry.1 += number.to_string().parse::<f64>().unwrap();
        }
        assert_eq!(matches!(row["component"], Value::Null), row["code"] == row["panel_code"]);
    }
    assert_eq!(expected.len(), found.len());
    for (code, (n, sum)) in &expected {
        let (found_n, found_sum) = found[code];
        assert_eq!(found_n, *n, "{code}");
        assert!((found_sum - sum).abs() <= 1e-9 * sum.abs(), "{code}: {found_sum} {sum}");
    }
}

#[test]
fn patient_columns_hold_what_the_resource_says() {
    let resources = stored();
    let patients: Vec<_> = resources.iter().filter(|r| r["resourceType"] == "Patient").collect();
    let text = |value: &Value| match value {
        Value::String(s) => json!(**s),
        Value::Date(t) => json!(t.to_string()),
        Value::Boolean(b) => json!(b),
        Value::Null => Json::Null,
        other => panic!("{other:?}"),
    };
    for (row, patient) in rows("patients", &resources).iter().zip(&patients) {
        assert_eq!(text(&row["family_name"]), patient["name"][0]["family"]);
        assert_eq!(text(&row["birth_date"]), patient["birthDate"]);
        assert_eq!(text(&row["gender"]), patient["gender"]);
        assert_eq!(text(&row["city"]), patient["address"][0]["city"]);
        let dead = patient.get("deceasedDateTime").map_or(Json::Null, |_| json!(true));
        assert_eq!(text(&row["deceased"]), dead);
        assert_eq!(text(&row["record_number"]), patient["identifier"][1]["value"]);
        assert!(!matches!(row["race"], Value::Null));
    }
    assert!(patients.iter().any(|p| p.get("deceasedDateTime").is_some()));
}

#[test]
fn food_coach_resources_become_rows() {
    let order = json!({"resourceType": "NutritionOrder", "id": "n1", "status": "active", "intent": "order",
        "patient": {"reference": "Patient/p1"}, "dateTime": "2026-01-02",
        "oralDiet": {"type": [{"coding": [{"system": "http://snomed.info/sct", "code": "435801000124108"}]}],
            "nutrient": [
                {"modifier": {"coding": [{"code": "33463005"}]}, "amount": {"value": 1500, "unit": "mL"}},
                {"modifier": {"coding": [{"code": "39972003"}]}, "amount": {"value": 2.50, "unit": "g"}}]}});
    let found = rows("nutrition", std::slice::from_ref(&order));
    assert_eq!(found.len(), 2);
    assert!(
        matches!(&found[1]["nutrient_amount"], Value::Decimal(d) if d.to_string() == "2.50" || d.to_string() == "2.5")
    );
    let response = json!({"resourceType": "QuestionnaireResponse", "id": "q1", "status": "completed",
        "subject": {"reference": "Patient/p1"}, "item": [
            {"linkId": "meals", "item": [{"linkId": "breakfast", "answer": [{"valueString": "oats"}, {"valueInteger": 2}]}]}]});
    let found = rows("questionnaire_answers", &[response]);
    assert_eq!(found.len(), 2);
    assert_eq!(found[0]["value_text"], Value::String("oats".into()));
    assert_eq!(found[1]["answer"], Value::Integer(1));
    let team = json!({"resourceType": "CareTeam", "id": "t1", "subject": {"reference": "Patient/p1"},
        "participant": [{"member": {"reference": "Practitioner/d1"}}, {"member": {"reference": "Patient/p1"}}]});
    let found = rows("care_team_members", &[team]);
    assert_eq!(found[0]["practitioner_id"], Value::String("d1".into()));
    assert_eq!(found[0]["member_type"], Value::String("Practitioner".into()));
    assert_eq!(found[1]["practitioner_id"], Value::Null);
    let device = json!({"resourceType": "Device", "id": "v1", "patient": {"reference": "Patient/p1"},
        "serialNumber": "S1", "deviceName": [{"name": "Pump", "type": "user-friendly-name"}]});
    assert_eq!(rows("fhir_devices", &[device])[0]["device_name"], Value::String("Pump".into()));
    let metric = json!({"resourceType": "DeviceMetric", "id": "m1", "type": {"text": "x"}, "category": "measurement",
        "source": {"reference": "Device/v1"},
        "measurementPeriod": {"repeat": {"period": 5, "periodUnit": "s"}}});
    let found = rows("device_metrics", &[metric]);
    assert_eq!(found[0]["device_id"], Value::String("v1".into()));
    assert!(matches!(found[0]["period_seconds"], Value::Decimal(_)));
}

#[test]
fn views_run_one_resource_at_a_time_at_a_useful_rate() {
    let resources = stored();
    let start = std::time::Instant::now();
    let (mut resource_count, mut row_count) = (0, 0);
    for resource in &resources {
        for shipped in shipped::views() {
            shipped.view.run(resource, |_| row_count += 1).unwrap();
        }
        resource_count += 1;
    }
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "{resource_count} resources through {} views: {row_count} rows, {:.0} resources and {:.0} rows a second",
        shipped::views().len(),
        f64::from(resource_count) / seconds,
        f64::from(row_count) / seconds
    );
    // A guard against accidental quadratic behaviour, far below what any machine reaches.
    assert!(seconds < 30.0, "{seconds} s");
}
