//! What the CapabilityStatement advertises is tried, all of it.

use reqwest::Method;
use serde_json::{Value as Json, json};

use super::world::{World, patient};

#[tokio::test(flavor = "multi_thread")]
async fn every_advertised_interaction_and_parameter_answers() {
    let world = World::new().await;
    let token = &world.doctor;
    let statement = world.get("", "/metadata").await.body;
    assert!(salus_fhir::validate(&statement).is_empty(), "{:?}", salus_fhir::validate(&statement));
    assert_eq!(statement["implementation"]["url"], world.base);
    let rest = &statement["rest"][0];
    let codes = |list: &Json| -> Vec<String> {
        list.as_array().unwrap().iter().map(|i| i["code"].as_str().unwrap().to_owned()).collect()
    };
    let patients =
        rest["resource"].as_array().unwrap().iter().find(|r| r["type"] == "Patient").unwrap();
    for code in codes(&patients["interaction"]) {
        let reply = match code.as_str() {
            "read" => world.get(token, "/Patient/p-ann").await,
            "vread" => world.get(token, "/Patient/p-ann/_history/1").await,
            "patch" => {
                let patch = r#"[{"op": "add", "path": "/active", "value": true}]"#;
                let kind = [("content-type", "application/json-patch+json")];
                world.send((Method::PATCH, "/Patient/p-ann"), token, &kind, patch).await
            }
            "update" => world.put(token, patient("p-ann", "Client")).await,
            "delete" => world.send((Method::DELETE, "/Patient/none"), token, &[], "").await,
            "history-instance" => world.get(token, "/Patient/p-ann/_history").await,
            "history-type" => world.get(token, "/Patient/_history").await,
            "create" => world.post(token, "/Patient", &patient("x", "New")).await,
            "search-type" => world.get(token, "/Patient").await,
            other => panic!("advertised and not tried: {other}"),
        };
        assert!(reply.status.is_success(), "{code}: {reply:?}");
    }
    for code in codes(&rest["interaction"]) {
        let reply = match code.as_str() {
            "transaction" | "batch" => {
                world.post(token, "", &json!({"resourceType": "Bundle", "type": code})).await
            }
            "history-system" => world.get(token, "/_history").await,
            other => panic!("advertised and not tried: {other}"),
        };
        assert!(reply.status.is_success(), "{code}: {reply:?}");
    }
    // Every parameter of the types that hospitals have most, strictly; all types' are parsed in
    // salus-fhir.
    let strict = [("prefer", "handling=strict")];
    let mut tried = 0;
    for name in [
        "Patient",
        "Observation",
        "NutritionOrder",
        "CareTeam",
        "Device",
        "DeviceMetric",
        "Consent",
        "Goal",
    ] {
        let resource =
            rest["resource"].as_array().unwrap().iter().find(|r| r["type"] == name).unwrap();
        for parameter in resource["searchParam"].as_array().unwrap() {
            let code = parameter["name"].as_str().unwrap();
            let value = match parameter["type"].as_str().unwrap() {
                "date" => "ge2020-01-01",
                "number" | "quantity" => "5",
                "reference" => "Patient/p-ann",
                _ => "x",
            };
            for query in
                [format!("{code}={value}"), format!("{code}:missing=true"), format!("_sort={code}")]
            {
                let path = format!("/{name}?{query}");
                let reply = world.send((Method::GET, &path), token, &strict, "").await;
                assert!(reply.status.is_success(), "{path}: {reply:?}");
                tried += 1;
            }
        }
        for include in resource["searchInclude"].as_array().into_iter().flatten() {
            let path = format!("/{name}?_include={}", include.as_str().unwrap());
            let reply = world.send((Method::GET, &path), token, &strict, "").await;
            assert!(reply.status.is_success(), "{path}: {reply:?}");
            tried += 1;
        }
    }
    println!("{tried} searches answered");
    assert!(tried > 300);
}
