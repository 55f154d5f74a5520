//! The tour that a person watches, and then goes on with.

use std::path::Path;
use std::time::Instant;

use salus_model::Purpose;
use salus_node::{AUTHORITY_CERTIFICATE, Config};
use serde_json::Value as Json;

use super::devices::BY_OS;
use super::network::{HOSPITALS, Network, UNIVERSITY};
use super::process::Process;
use super::story::Counted;
use super::{DENIED_QUERY, FIRST_QUERY, indented, load, token};
use crate::commands::several::{self, Mode};
use crate::commands::{ledger, query};
use crate::output::{Failure, Output, table};

const WARDS: Counted<'static> =
    Counted { by: Some("ward"), of: Some(("diagnosis", "I10")), epsilon: 0.5 };

pub(super) async fn run(folder: &Path, output: &Output) -> Result<(), Failure> {
    if Config::is_site(folder) {
        return Err(Failure::request(format!(
            "{} holds the demo of an older Salus; remove it, or name another folder with --folder",
            folder.display()
        )));
    }
    let began = Instant::now();
    println!("Salus demo: a hub, three hospitals, a university and a ledger of four validators,");
    println!(
        "each a process with folder and key store of its own; loopback only, made-up people.\n"
    );
    let (network, new) = Network::start(folder).await?;
    let told = tell(&network, new, began, output).await;
    let waited = match &told {
        Ok(()) => tokio::signal::ctrl_c().await,
        Err(_) => Ok(()),
    };
    network.stop().await;
    println!("\nStopped.");
    told?;
    waited.map_err(|e| Failure::unavailable(format!("waiting for Ctrl-C: {e}")))
}

fn who(network: &Network) -> Result<String, Failure> {
    let mut rows = Vec::new();
    for validator in &network.validators {
        rows.push(vec![validator.name.clone(), validator.told("validator")?.to_owned()]);
    }
    for node in [&network.hub].into_iter().chain(&network.hospitals) {
        rows.push(vec![node.name.clone(), node.told("http")?.to_owned()]);
    }
    Ok(table(&["process", "address"], &rows))
}

async fn tell(
    network: &Network,
    new: bool,
    began: Instant,
    output: &Output,
) -> Result<(), Failure> {
    println!("{}\n", indented(&who(network)?));
    let permit = network.permitted(&HOSPITALS, 4.0).await?;
    println!("The university applies for a permit over the visits of all three hospitals, without");
    println!(
        "names; the hub's officer grants it. On the ledger the person is a key, for it alone:\n"
    );
    println!("  {permit}\n");
    let answer = network.ask(&permit, "st-mary", WARDS).await?;
    let took = began.elapsed().as_secs_f64();
    println!("Visits for hypertension (I10) by ward at st-mary, under it:\n");
    println!("{}\n", indented(&query::text(&answer)));
    println!("From nothing to the first receipt: {took:.1} s.\n");
    println!("What the receipt shows to anybody, without any network:\n");
    println!("{}\n", indented(&ledger::receipt_text(&answer.receipt.says)));
    let outside = Counted { by: None, of: Some(("birth_year", "1950")), epsilon: 0.5 };
    if let Err(refused) = network.ask(&permit, "st-mary", outside).await {
        println!(
            "A question for a column outside the permit is refused before any key is touched:\n"
        );
        println!("  {refused}\n");
    }
    over_all(network).await?;
    hospital(network, new, output).await?;
    yourself(network, &permit.to_string(), &answer.receipt.file)
}

/// Devices of all hospitals, counted jointly.
async fn over_all(network: &Network) -> Result<(), Failure> {
    let permit = network.permitted_devices(4.0).await?;
    println!(
        "Each hospital's collector takes in what its devices report. Under a second permit the"
    );
    println!(
        "university counts them over all three; the hub adds up shares, and sees no number:\n"
    );
    let answer = network.ask_all(&permit, (BY_OS, 0.5), Mode::Joint).await?;
    println!("{}\n", indented(&several::text(&answer)));
    Ok(())
}

/// The first hospital's own staff, at care.
async fn hospital(network: &Network, new: bool, output: &Output) -> Result<(), Failure> {
    let Some(node) = network.hospitals.first() else { return Ok(()) };
    let folder = network.ground.site_folder(&node.name);
    if new {
        let site = network.ground.open(&node.name).await?;
        let resources = load(&site, &folder, output).await?;
        println!(
            "Loaded {resources} FHIR resources of 40 synthetic patients into {}.\n",
            node.name
        );
    }
    let physician = token(&folder, "dr-demo", "physician", Purpose::Treatment)?;
    let analyst = token(&folder, "analyst-demo", "analyst", Purpose::Operations)?;
    println!("A physician of {} asks, at care:\n\n{}\n", node.name, indented(FIRST_QUERY));
    println!("{}\n", indented(&sql(node, &physician, FIRST_QUERY).await?));
    println!("An analyst, who may not see identifiers, asks for names and gets null:\n");
    println!("{}\n", indented(&sql(node, &analyst, DENIED_QUERY).await?));
    let pem = shown(&folder).join(AUTHORITY_CERTIFICATE);
    let (pem, http) = (pem.display(), node.told("http")?);
    let postgres = node.told("postgres")?;
    let port = postgres.rsplit(':').next().unwrap_or_default();
    println!("Ask at care yourself:\n");
    println!(
        "  PGPASSWORD={physician} \\\n    psql \"host=127.0.0.1 port={port} sslmode=verify-full sslrootcert={pem} user=dr-demo dbname=salus\"\n"
    );
    println!(
        "  curl --cacert {pem} -H 'Authorization: Bearer {physician}' \\\n    -d '{{\"sql\": \"SELECT count(*) FROM patients\"}}' {http}/v1/sql\n"
    );
    println!(
        "  curl --cacert {pem} -H 'Authorization: Bearer {physician}' \\\n    -H 'Content-Type: application/fhir+json' \\\n    -d '{{\"resourceType\": \"Patient\", \"name\": [{{\"family\": \"Curl\"}}]}}' {http}/fhir/Patient\n"
    );
    Ok(())
}

fn shown(folder: &Path) -> std::path::PathBuf {
    folder.canonicalize().unwrap_or_else(|_| folder.to_owned())
}

/// A statement over the node's own interface, as staff's programs send it.
async fn sql(node: &Process, token: &str, statement: &str) -> Result<String, Failure> {
    let place = crate::commands::holder::Place {
        url: node.told("http")?.to_owned(),
        ca: node.told("certificate")?.to_owned(),
    };
    let peer = |e: reqwest::Error| Failure::unavailable(format!("{}: {e}", place.url));
    let sent = place
        .client()?
        .post(format!("{}/v1/sql", place.url))
        .bearer_auth(token)
        .header("content-type", "application/json")
        .body(serde_json::json!({ "sql": statement }).to_string())
        .send();
    let answer = sent.await.map_err(peer)?;
    let (status, text) = (answer.status(), answer.text().await.map_err(peer)?);
    let rows: Vec<serde_json::Map<String, Json>> = serde_json::from_str(&text)
        .map_err(|_| Failure::corrupt(format!("the node answered {status}: {text}")))?;
    let names: Vec<&str> = rows.iter().flat_map(|row| row.keys()).map(String::as_str).fold(
        Vec::new(),
        |mut names, name| {
            if !names.contains(&name) {
                names.push(name);
            }
            names
        },
    );
    let cell = |value: Option<&Json>| match value {
        None | Some(Json::Null) => "·".to_owned(),
        Some(Json::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    let cells: Vec<Vec<String>> =
        rows.iter().map(|row| names.iter().map(|n| cell(row.get(*n))).collect()).collect();
    Ok(table(&names, &cells))
}

fn yourself(network: &Network, permit: &str, receipt: &Path) -> Result<(), Failure> {
    let folder = shown(&network.ground.0);
    let site = folder.join(UNIVERSITY);
    let question = folder.join("question.json");
    std::fs::write(&question, WARDS.text()?)
        .map_err(|e| Failure::unavailable(format!("{}: {e}", question.display())))?;
    let passphrases = folder.join("passphrases");
    println!("Ask under the permit yourself:\n");
    println!("  export SALUS_PASSPHRASE_FILE={}", passphrases.join(UNIVERSITY).display());
    println!("  salus --site {} permit show {permit}", site.display());
    println!(
        "  salus --site {} query --permit {permit} --dataset north-clinic/visits --epsilon 0.5 --question {}",
        site.display(),
        question.display()
    );
    println!("  salus --site {} ledger status", site.display());
    println!(
        "  salus ledger verify receipt --genesis {} {}\n",
        shown(&network.ground.genesis()).display(),
        shown(receipt).display()
    );
    println!("Ctrl-C stops everything; the data stay in {}.", folder.display());
    Ok(())
}
