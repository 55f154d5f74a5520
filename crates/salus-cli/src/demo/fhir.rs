//! The tour's steps over FHIR.

use std::time::{Duration, Instant};

use salus_query::AccessToken;
use serde_json::{Value as Json, json};

use super::{Check, request};
use crate::commands::node::Services;
use crate::commands::sql;
use crate::output::Failure;

const FHIR_JSON: &str = "application/fhir+json";

fn peer(e: reqwest::Error) -> Failure {
    Failure::unavailable(format!("FHIR over HTTPS: {e}"))
}

/// A new patient with a weight, which refers to the patient by a name that is replaced.
fn transaction() -> Json {
    let patient = "urn:uuid:6f3c2a10-6a3b-4e57-9d6e-0f6d1c0b7a11";
    json!({"resourceType": "Bundle", "type": "transaction", "entry": [
        {
            "fullUrl": patient,
            "resource": {"resourceType": "Patient", "name": [{"family": "Newcomer"}]},
            "request": {"method": "POST", "url": "Patient"},
        },
        {
            "resource": {
                "resourceType": "Observation",
                "status": "final",
                "code": {"coding": [{"system": "http://loinc.org", "code": "29463-7"}]},
                "subject": {"reference": patient},
                "effectiveDateTime": "2026-11-20",
                "valueQuantity": {"value": 71.5, "unit": "kg",
                    "system": "http://unitsofmeasure.org", "code": "kg"},
            },
            "request": {"method": "POST", "url": "Observation"},
        },
    ]})
}

/// The first resource's id in a transaction's response.
fn patient_id(response: &Json) -> Option<String> {
    let location = response.pointer("/entry/0/response/location")?.as_str()?;
    location.strip_prefix("Patient/")?.split('/').next().map(str::to_owned)
}

pub(super) async fn steps(check: &mut Check<'_>, services: &Services, token: &str) -> Option<()> {
    let base = format!("https://{}/fhir", services.http);
    let client = check
        .step("refuse FHIR without a token", async {
            let trusted = reqwest::Certificate::from_pem(services.certificate.as_bytes());
            let client = reqwest::Client::builder().add_root_certificate(trusted.map_err(peer)?);
            let client = client.build().map_err(peer)?;
            let answer = client.get(format!("{base}/Patient")).send().await.map_err(peer)?;
            match answer.status().as_u16() {
                401 => Ok((client, "401".to_owned())),
                other => Err(Failure::corrupt(format!("answered with {other} in place of 401"))),
            }
        })
        .await?;
    let id = check
        .step("store a transaction over FHIR", async {
            let sent = client
                .post(&base)
                .bearer_auth(token)
                .header("Content-Type", FHIR_JSON)
                .body(transaction().to_string())
                .send();
            let answer = sent.await.map_err(peer)?;
            let (status, body) = (answer.status(), answer.text().await.map_err(peer)?);
            let stored = serde_json::from_str(&body).ok().and_then(|body| patient_id(&body));
            let failed = || Failure::corrupt(format!("answered with {status}: {body}"));
            Ok((stored.ok_or_else(failed)?, "2 resources, on the disk".to_owned()))
        })
        .await?;
    check
        .step("find it in SQL within a second", async {
            let began = Instant::now();
            let statement = format!(
                "SELECT p.family_name, o.value_number FROM patients p JOIN observations o \
                 ON o.patient_id = p.id WHERE p.id = '{id}'"
            );
            let asking = AccessToken::new(token.to_owned());
            let answer = services.gateway.answer(&asking, request(&statement)).await?;
            let (shown, took) = (sql::grid(&answer)?, began.elapsed());
            let found = shown.contains("Newcomer") && shown.contains("71.5");
            if answer.rows() != 1 || !found {
                return Err(Failure::corrupt(format!("unexpected: {shown}")));
            }
            if took > Duration::from_secs(1) {
                return Err(Failure::corrupt(format!("after {} ms only", took.as_millis())));
            }
            Ok(((), format!("after {} ms", took.as_millis())))
        })
        .await
}
