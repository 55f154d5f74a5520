//! Reports over HTTP.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use salus_collect::{CollectorParts, DEVICES_HISTORY, DeviceRecord, router};
use serde_json::{Value, json};

use crate::world::{START, Site, enrolled, fleet, ids, sealed};

fn body(records: &[DeviceRecord]) -> Value {
    let reports: Vec<String> = records.iter().map(|r| STANDARD.encode(sealed(r))).collect();
    json!({ "reports": reports })
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_are_answered_when_they_are_on_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let site = Site::new(folder.path());
    let start: salus_model::Timestamp = START.parse().unwrap();
    let records = fleet(4).advance(start.saturating_add_micros(3_600_000_000)).unwrap();
    let limit = records.len();
    let parts = CollectorParts { most_waiting: limit, ..site.parts(enrolled(&records)) };
    let collector = Arc::new(salus_collect::Collector::open(parts).await.unwrap());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1/device-reports", listener.local_addr().unwrap());
    let serving = tokio::spawn({
        let router = router(Arc::clone(&collector));
        async move { axum::serve(listener, router).await }
    });
    let client = reqwest::Client::new();
    let send = async |body: Value| client.post(&url).json(&body).send().await.unwrap();
    let (first, rest) = records.split_at(limit / 2);
    let answer: Value = send(body(first)).await.json().await.unwrap();
    assert_eq!(answer["accepted"], json!(first.len()));
    assert_eq!(collector.waiting().await, first.len());
    let answer: Value = send(body(&records)).await.json().await.unwrap();
    let known = (&answer["accepted"], &answer["duplicates"]);
    assert_eq!(known, (&json!(rest.len()), &json!(first.len())));
    // When too many wait, the sender is told to come again, and nothing is acknowledged.
    let full = send(body(&records[..1])).await;
    assert_eq!(full.status(), 503);
    assert!(full.headers().contains_key("retry-after"));
    collector.publish().await.unwrap();
    let stranger: Value =
        send(json!({"reports": [STANDARD.encode([1u8; 200])]})).await.json().await.unwrap();
    assert_eq!(stranger["unauthentic"], json!(1));
    assert_eq!(send(json!({"reports": ["?"]})).await.status(), 400);
    assert_eq!(send(json!({"other": []})).await.status(), 422);
    assert_eq!(site.reports(DEVICES_HISTORY).await, ids(&records));
    serving.abort();
}
