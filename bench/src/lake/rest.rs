//! Bundles over HTTPS into a running node, each acknowledged when it is on the disk.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::imports::bundles;
use super::site::{Node, Site};
use crate::measure::{Quartiles, median};
use crate::report::Report;

const JSON: &str = "application/fhir+json";
/// Appends of which the disk's own time for a sync is the median.
const SYNCS: usize = 200;

/// What one run gave.
struct Rate {
    bundles: usize,
    resources: u64,
    seconds: f64,
    /// Milliseconds until each was acknowledged.
    waits: Vec<f64>,
}

impl Rate {
    #[allow(clippy::cast_precision_loss, reason = "shown to four digits")]
    fn row(&self, what: &str, clients: usize) -> Vec<String> {
        let mut waits = self.waits.clone();
        waits.sort_by(f64::total_cmp);
        let late = waits.get(waits.len() * 99 / 100).copied().unwrap_or(f64::NAN);
        vec![
            what.to_owned(),
            clients.to_string(),
            format!("{:.1}", self.bundles as f64 / self.seconds),
            format!("{:.0}", self.resources as f64 / self.seconds),
            format!("{:.1}", Quartiles::of(waits).median),
            format!("{late:.1}"),
        ]
    }
}

/// A monitor's reading: one Observation of a patient who is there.
fn reading(number: usize) -> String {
    json!({"resourceType": "Bundle", "type": "transaction", "entry": [{
        "fullUrl": "urn:uuid:6f3c2a10-6a3b-4e57-9d6e-0f6d1c0b7a11",
        "resource": {
            "resourceType": "Observation",
            "status": "final",
            "code": {"coding": [{"system": "http://loinc.org", "code": "8867-4"}]},
            "subject": {"reference": format!("Patient/p{}", number % 100)},
            "effectiveDateTime": "2026-11-20T10:00:00Z",
            "valueQuantity": {"value": 60 + number % 40, "unit": "/min",
                "system": "http://unitsofmeasure.org", "code": "/min"},
        },
        "request": {"method": "POST", "url": "Observation"},
    }]})
    .to_string()
}

fn client(node: &Node) -> Result<reqwest::Client> {
    let authority = reqwest::Certificate::from_pem(&node.certificate)?;
    let client = reqwest::Client::builder().add_root_certificate(authority).no_proxy();
    Ok(client.build()?)
}

async fn post(client: &reqwest::Client, (url, token): (&str, &str), body: String) -> Result<u64> {
    let sent = client.post(url).bearer_auth(token).header("content-type", JSON).body(body);
    let answer = sent.send().await?;
    let (status, text) = (answer.status(), answer.text().await?);
    anyhow::ensure!(
        status.is_success(),
        "{status}: {}",
        text.chars().take(500).collect::<String>()
    );
    let said: Value = serde_json::from_str(&text)?;
    Ok(said["entry"].as_array().map_or(0, Vec::len) as u64)
}

/// Sends all bodies from so many clients, each of which waits for an answer before it goes on.
async fn send(node: &Node, token: &str, bodies: Vec<String>, clients: usize) -> Result<Rate> {
    let (bodies, next) = (Arc::new(bodies), Arc::new(AtomicUsize::new(0)));
    let mut tasks = JoinSet::new();
    let began = Instant::now();
    for _ in 0..clients {
        let (bodies, next) = (Arc::clone(&bodies), Arc::clone(&next));
        let (client, url, token) = (client(node)?, node.url.clone(), token.to_owned());
        tasks.spawn(async move {
            let (mut waits, mut resources) = (Vec::new(), 0);
            while let Some(body) = bodies.get(next.fetch_add(1, Ordering::Relaxed)) {
                let sent = Instant::now();
                resources += post(&client, (&url, &token), body.clone()).await?;
                waits.push(sent.elapsed().as_secs_f64() * 1000.0);
            }
            Ok::<_, anyhow::Error>((waits, resources))
        });
    }
    let (mut waits, mut resources) = (Vec::new(), 0);
    while let Some(done) = tasks.join_next().await {
        let (more, stored) = done??;
        waits.extend(more);
        resources += stored;
    }
    Ok(Rate { bundles: waits.len(), resources, seconds: began.elapsed().as_secs_f64(), waits })
}

async fn observations(node: &Node, token: &str) -> Result<u64> {
    let url = format!("{}/Observation?_summary=count", node.url);
    let answer = client(node)?.get(url).bearer_auth(token).send().await?;
    let said: Value = serde_json::from_str(&answer.text().await?)?;
    said["total"].as_u64().context("the node does not count")
}

/// Milliseconds that the disk takes to make 4 KiB durable.
fn sync_ms(folder: &Path) -> Result<f64> {
    let mut file = File::create(folder.join("sync"))?;
    let mut took = Vec::with_capacity(SYNCS);
    for _ in 0..SYNCS {
        let began = Instant::now();
        file.write_all(&[0x5a; 4096])?;
        file.sync_data()?;
        took.push(began.elapsed());
    }
    Ok(median(&took) * 1000.0)
}

/// Measures.
pub(crate) async fn measure(folder: &Path, bundles_each: usize, out: &mut Report) -> Result<()> {
    let site = Site::init(folder.join("rest"))?;
    let node = site.start()?;
    let token = site.steward()?;
    let mut rows = Vec::new();
    let mut expected = 0;
    for clients in [1, 64] {
        let bodies: Vec<String> = (0..bundles_each).map(reading).collect();
        let rate = send(&node, &token, bodies, clients).await?;
        expected += rate.resources;
        rows.push(rate.row("one Observation", clients));
    }
    // What was acknowledged is there: also after the node is killed without warning.
    let counted = observations(&node, &token).await?;
    anyhow::ensure!(counted == expected, "{counted} observations of {expected} acknowledged ones");
    drop(node);
    let node = site.start()?;
    let counted = observations(&node, &token).await?;
    anyhow::ensure!(counted == expected, "{counted} of {expected} after the node was killed");
    for clients in [1, 64] {
        let rounds = bundles_each.div_ceil(1000);
        let bodies = bundles()?.into_iter().cycle().take(40 * rounds).collect();
        let rate = send(&node, &token, bodies, clients).await?;
        rows.push(rate.row("a patient's whole record (0.6 MB)", clients));
    }
    out.say("### FHIR transactions over HTTPS, each acknowledged once it is on the disk");
    let head = ["bundle", "clients", "bundles/s", "resources/s", "median ms", "99 % ms"];
    out.table(&head, &rows);
    out.say(&format!(
        "Clients and node share the machine. A sync of 4 KiB takes this disk {:.2} ms. Every \
         acknowledged Observation was counted again after the node had been killed.",
        sync_ms(folder)?
    ));
    Ok(())
}
