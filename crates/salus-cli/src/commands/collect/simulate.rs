//! A simulated fleet that reports as real devices do: signed, sealed, over HTTP or MQTT, or in files.

use std::path::{Path, PathBuf};
use std::time::Duration;

use salus_collect::{
    DeviceRecord, DeviceSigner, FleetSettings, FleetSimulation, MqttSettings, ReportSealer,
    send_reports, write_csv,
};
use salus_crypto::hpke::RecipientPublicKey;
use salus_crypto::{Digest, OsEntropy, SigningKey};
use salus_model::{Clock as _, Entropy as _, HolderId, Secret, Timestamp};
use salus_node::{Config, SystemClock, read_secret, write_private};
use serde::Serialize;

use super::io;
use crate::output::{Failure, Output};

const DAY_MICROS: i64 = 86_400_000_000;
/// A device's state of the last round may be this much newer than the round's moment.
const SLACK_MICROS: i64 = 2 * 3_600_000_000;
/// Reports in one request.
const TOGETHER: usize = 200;
/// How often a request is sent again, and after which pause.
const ATTEMPTS: u32 = 20;
const PAUSE: Duration = Duration::from_millis(500);

#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many devices.
    #[arg(long, default_value_t = 100)]
    devices: u32,
    /// What all chance of the simulation comes from; the same seed gives the same reports.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The hospital that reports name; the site's own where there is one.
    #[arg(long)]
    hospital: Option<HolderId>,
    /// How many reports each device sends.
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// How many days lie between a device's reports.
    #[arg(long, default_value_t = 7)]
    days_between: u32,
    /// When the last of them was; two hours ago where nothing is said.
    #[arg(long)]
    until: Option<Timestamp>,
    /// A file with the secret that the devices' keys come from; it is made when it is missing.
    #[arg(long)]
    secret: Option<PathBuf>,
    /// Enrol the devices at this site first.
    #[arg(long, requires = "secret")]
    enrol: bool,
    /// The key that reports are sealed to; the site's own collector's where nothing is said.
    #[arg(long)]
    key: Option<RecipientPublicKey>,
    /// The collector's HTTP endpoint to send to.
    #[arg(long, requires_all = ["secret", "ca"])]
    http: Option<String>,
    /// What that endpoint, or the broker, is verified with.
    #[arg(long)]
    ca: Option<PathBuf>,
    /// The MQTT broker to send to, as HOST:PORT.
    #[arg(long, requires = "secret")]
    mqtt: Option<String>,
    /// The gateway's own certificate for the broker.
    #[arg(long, requires = "mqtt_key")]
    mqtt_certificate: Option<PathBuf>,
    /// Its key.
    #[arg(long, requires = "mqtt_certificate")]
    mqtt_key: Option<PathBuf>,
    /// A file to write the records to, as CSV for the collector's folder.
    #[arg(long)]
    csv: Option<PathBuf>,
    /// A file to write the simulated market's lists of values to, for `collect profile --domains`.
    #[arg(long)]
    domains: Option<PathBuf>,
}

#[derive(Serialize)]
struct Simulated {
    devices: u32,
    reports: usize,
    enrolled: bool,
    sent: usize,
}

/// The key of a simulated device: it follows from the secret.
fn device_key(secret: &Secret<String>, device: &str) -> SigningKey {
    let parts: [&[u8]; 2] = [secret.expose().as_bytes(), device.as_bytes()];
    let digest = Digest::of_parts("salus simulated device key v1", &parts);
    SigningKey::from_secret(&Secret::new(*digest.as_bytes()))
}

fn secret(path: &Path) -> Result<Secret<String>, Failure> {
    if !path.exists() {
        let mut random = [0; 32];
        OsEntropy.fill(&mut random).map_err(|e| Failure::unavailable(e.to_string()))?;
        let text: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        write_private(path, text.as_bytes()).map_err(io(path))?;
    }
    Ok(read_secret(path)?)
}

pub(super) async fn run(args: Args, folder: &Path, output: &Output) -> Result<(), Failure> {
    let hospital = match &args.hospital {
        Some(hospital) => hospital.clone(),
        None => Config::read(folder)?.holder,
    };
    let (mut fleet, records) = simulated(&args, hospital)?;
    if let Some(path) = &args.domains {
        let text =
            toml::to_string(&fleet.domains()).map_err(|e| Failure::corrupt(e.to_string()))?;
        std::fs::write(path, text).map_err(io(path))?;
    }
    if let Some(path) = &args.csv {
        let file = std::fs::File::create(path).map_err(io(path))?;
        write_csv(std::io::BufWriter::new(file), &records)?;
    }
    let secret = args.secret.as_deref().map(secret).transpose()?;
    if let (true, Some(secret)) = (args.enrol, &secret) {
        let devices = fleet.snapshot().map_err(|e| Failure::corrupt(e.to_string()))?;
        super::enrol(folder, |list| {
            for record in devices {
                let key = device_key(secret, record.device_id.as_str()).verifying_key();
                list.enrol(record.device_id, key);
            }
        })?;
    }
    let sent = match &secret {
        Some(secret) if args.http.is_some() || args.mqtt.is_some() => {
            send(&args, secret, folder, &records).await?
        }
        _ => 0,
    };
    let (devices, reports) = (args.devices, records.len());
    output.print(&Simulated { devices, reports, enrolled: args.enrol, sent }, |s| {
        format!("{} reports of {} devices; {} sent.", s.reports, s.devices, s.sent)
    });
    Ok(())
}

/// A fleet with the reports of all rounds, the oldest first.
fn simulated(
    args: &Args,
    hospital: HolderId,
) -> Result<(FleetSimulation, Vec<DeviceRecord>), Failure> {
    let bug = |e: salus_collect::ReasonRefused| Failure::corrupt(e.to_string());
    let until =
        args.until.unwrap_or_else(|| SystemClock.now().saturating_add_micros(-SLACK_MICROS));
    let (rounds, step) = (i64::from(args.rounds.max(1)), i64::from(args.days_between) * DAY_MICROS);
    let start = until.saturating_add_micros(-(rounds - 1) * step);
    let settings = FleetSettings { seed: args.seed, hospital, devices: args.devices, start };
    let mut fleet = FleetSimulation::new(settings).map_err(bug)?;
    let mut records = Vec::new();
    for round in 0..rounds {
        if round > 0 {
            fleet.skip_to(start.saturating_add_micros(round * step));
        }
        records.extend(fleet.snapshot().map_err(bug)?);
    }
    Ok((fleet, records))
}

async fn send(
    args: &Args,
    secret: &Secret<String>,
    folder: &Path,
    records: &[DeviceRecord],
) -> Result<usize, Failure> {
    let collector = match &args.key {
        Some(key) => key.clone(),
        None => super::public_key(folder)?,
    };
    let holder = match Config::read(folder) {
        Ok(config) => config.holder,
        Err(_) => args
            .hospital
            .clone()
            .ok_or_else(|| Failure::request("say whose collector it is: --hospital"))?,
    };
    let to = ReportSealer { holder, collector };
    let mut sealed = Vec::with_capacity(records.len());
    for record in records {
        let signer = DeviceSigner::new(device_key(secret, record.device_id.as_str()), to.clone());
        sealed.push((record.device_id.clone(), signer.report(record, &mut OsEntropy)?));
    }
    if let (Some(url), Some(ca)) = (&args.http, &args.ca) {
        let reports: Vec<&[u8]> = sealed.iter().map(|(_, report)| report.as_slice()).collect();
        for some in reports.chunks(TOGETHER) {
            post(url, ca, some).await?;
        }
    }
    if let Some(place) = &args.mqtt {
        let wrong = || Failure::request(format!("'{place}' is no broker's HOST:PORT"));
        let (host, port) = place.rsplit_once(':').ok_or_else(wrong)?;
        let own = args.mqtt_certificate.as_deref().zip(args.mqtt_key.as_deref());
        let tls = args.ca.as_deref().map(|ca| super::config::tls(ca, own)).transpose()?;
        let settings = MqttSettings {
            host: host.to_owned(),
            port: port.parse().map_err(|_| wrong())?,
            client: format!("salus-simulation-{}", std::process::id()),
            topic: "devices".to_owned(),
            login: None,
            tls,
        };
        send_reports(&settings, sealed.iter().map(|(d, r)| (d, r.as_slice())))
            .await
            .map_err(|e| Failure::unavailable(e.to_string()))?;
    }
    Ok(sealed.len())
}

/// Sends reports, again and again until they are acknowledged: a collector takes each once.
async fn post(url: &str, ca: &Path, reports: &[&[u8]]) -> Result<(), Failure> {
    use base64::Engine as _;
    let pem = std::fs::read_to_string(ca).map_err(io(ca))?;
    let place = crate::commands::holder::Place { url: url.to_owned(), ca: pem };
    let client = place.client()?;
    let encode = |report: &&[u8]| base64::engine::general_purpose::STANDARD.encode(report);
    let reports: Vec<String> = reports.iter().map(encode).collect();
    let body = serde_json::json!({ "reports": reports }).to_string();
    let mut said = String::new();
    for _ in 0..ATTEMPTS {
        let request = client.post(url).header("content-type", "application/json");
        match request.body(body.clone()).send().await {
            Ok(answer) if answer.status().is_success() => return Ok(()),
            Ok(answer) if answer.status().is_client_error() => {
                return Err(Failure::peer(format!("the collector answers {}", answer.status())));
            }
            Ok(answer) => said = format!("the collector answers {}", answer.status()),
            Err(e) => said = format!("the collector cannot be reached: {e}"),
        }
        tokio::time::sleep(PAUSE).await;
    }
    Err(Failure::unavailable(said))
}
