//! `salus collect`: device reports into the site's lake, and what technicians see of their fleet.

mod config;
mod look;
mod run;
mod simulate;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use salus_collect::{AlertRules, DEVICES, DeviceId, Domains, Enrolment, profile};
use salus_crypto::aead::Aad;
use salus_crypto::hpke::{RecipientKey, RecipientPublicKey};
use salus_crypto::{OsEntropy, VerifyingKey};
use salus_dp::{ContributionBound, PrivacyUnit};
use salus_model::{HolderId, Secret};
use salus_node::{Config, Site, write_private};
use salus_store::{open_sealed, seal_object};
use serde::Serialize;

use crate::output::{Failure, Output};

/// The devices that may report; public keys, so it is no secret.
const DEVICES_FILE: &str = "devices.toml";
/// The collector's private key, sealed under the site's master key.
const KEY_FILE: &str = "collector.key";
/// The key that devices seal to, for whoever sets them up.
const PUBLIC_FILE: &str = "collector.pub";

#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Take device reports in until Ctrl-C: over MQTT, over HTTP, from a folder of CSV and FHIR
    /// files, as collect.toml says.
    Run {
        /// Stop when the standard input closes, for programs that start this one.
        #[arg(long)]
        stop_with_stdin: bool,
    },
    /// Print the key that devices seal their reports to.
    Key,
    /// Let a device report; one that was there gets the new key.
    Enrol {
        /// The device.
        device: DeviceId,
        /// The Ed25519 key that it signs with, in hexadecimal.
        #[arg(long)]
        key: VerifyingKey,
    },
    /// Take a device off the list: its reports are refused from then on.
    Revoke {
        /// The device.
        device: DeviceId,
    },
    /// Print the privacy profile of the dataset of devices, for privacy.toml.
    Profile {
        /// Whose presence answers are to hide: device, patient or hospital.
        #[arg(long, default_value = "device", value_parser = unit)]
        unit: PrivacyUnit,
        /// How many devices of one patient or hospital count.
        #[arg(long, default_value_t = 1)]
        rows: u32,
        /// Public lists of values for text fields, from catalogues, as TOML.
        #[arg(long)]
        domains: Option<PathBuf>,
    },
    /// Send the reports of a simulated fleet.
    Simulate(simulate::Args),
    /// Show the fleet as the last reports tell it, exactly, to the holder's own staff.
    Status(look::Args),
    /// Show what staff should look at: known vulnerabilities, silence, low batteries.
    Alerts(look::Args),
}

/// A privacy unit by its word.
fn unit(word: &str) -> Result<PrivacyUnit, String> {
    match word {
        "device" => Ok(PrivacyUnit::Device),
        "patient" => Ok(PrivacyUnit::Patient),
        "hospital" => Ok(PrivacyUnit::Hospital),
        _ => Err("use device, patient or hospital".to_owned()),
    }
}

fn io(path: &Path) -> impl Fn(std::io::Error) -> Failure {
    move |e| Failure::unavailable(format!("{}: {e}", path.display()))
}

/// The devices that may report; none before the first is enrolled.
fn enrolment(folder: &Path) -> Result<Enrolment, Failure> {
    let path = folder.join(DEVICES_FILE);
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok(Enrolment::parse(&text)?),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Enrolment::default()),
        Err(e) => Err(io(&path)(e)),
    }
}

/// The rules of alerts, as `collect.toml` has them now; or what is wrong with it, in a sentence.
pub(super) fn alert_rules(folder: &Path) -> Result<AlertRules, String> {
    config::CollectConfig::read(folder).map(|config| config.alerts).map_err(|e| e.to_string())
}

fn enrol(folder: &Path, change: impl FnOnce(&mut Enrolment)) -> Result<usize, Failure> {
    Config::read(folder)?;
    let mut list = enrolment(folder)?;
    change(&mut list);
    let path = folder.join(DEVICES_FILE);
    write_private(&path, list.to_text().as_bytes()).map_err(io(&path))?;
    Ok(list.len())
}

fn key_aad(holder: &HolderId) -> Aad {
    Aad::new("salus collector key v1", &[holder.as_str().as_bytes()])
}

/// The collector's key, made once.
async fn collector_key(site: &Site) -> Result<RecipientKey, Failure> {
    let path = site.folder.join(KEY_FILE);
    let aad = key_aad(&site.config.holder);
    let damaged =
        || Failure::corrupt(format!("{} does not open: restore it from a backup", path.display()));
    let key = match std::fs::read(&path) {
        Ok(sealed) => {
            let opened = open_sealed(&*site.keys, &site.master, &aad, &sealed).await?;
            let secret: [u8; 32] = opened.as_slice().try_into().map_err(|_| damaged())?;
            RecipientKey::from_secret(&Secret::new(secret)).ok_or_else(damaged)?
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            let key = RecipientKey::generate(&mut OsEntropy)
                .map_err(|e| Failure::unavailable(e.to_string()))?;
            let secret = key.to_secret();
            let sealed = seal_object(&*site.keys, &site.master, &aad, secret.expose()).await?;
            write_private(&path, &sealed).map_err(io(&path))?;
            key
        }
        Err(e) => return Err(io(&path)(e)),
    };
    let public = site.folder.join(PUBLIC_FILE);
    let text = key.public_key().to_string();
    if std::fs::read_to_string(&public).is_ok_and(|there| there == text) {
        return Ok(key);
    }
    write_private(&public, text.as_bytes()).map_err(io(&public))?;
    Ok(key)
}

/// The key that devices seal to, as [`collector_key`] wrote it down.
fn public_key(folder: &Path) -> Result<RecipientPublicKey, Failure> {
    let path = folder.join(PUBLIC_FILE);
    let text = std::fs::read_to_string(&path).map_err(|_| {
        Failure::request("the collector has no key yet; make one with: salus collect key")
    })?;
    Ok(text.trim().parse()?)
}

#[derive(Serialize)]
struct Enrolled {
    device: DeviceId,
    devices: usize,
}

pub(crate) async fn run(command: Command, folder: &Path, output: &Output) -> Result<(), Failure> {
    match command {
        Command::Run { stop_with_stdin } => {
            let with = super::node::StopWith::from_flag(stop_with_stdin);
            run::until_stopped(folder, with, output).await
        }
        Command::Key => {
            #[derive(Serialize)]
            struct Shown {
                key: String,
            }
            let site = crate::site::open(folder).await?;
            let key = collector_key(&site).await?.public_key().to_string();
            output.print(&Shown { key }, |s| s.key.clone());
            Ok(())
        }
        Command::Enrol { device, key } => {
            let devices = enrol(folder, |list| list.enrol(device.clone(), key))?;
            output.print(&Enrolled { device, devices }, |e| {
                format!("{} may report; {} devices are enrolled.", e.device, e.devices)
            });
            Ok(())
        }
        Command::Revoke { device } => {
            if enrolment(folder)?.key(&device).is_none() {
                return Err(Failure::request(format!("{device} is not enrolled")));
            }
            let devices = enrol(folder, |list| list.revoke(&device))?;
            output.print(&Enrolled { device, devices }, |e| {
                format!("{} may report no more; {} devices are enrolled.", e.device, e.devices)
            });
            Ok(())
        }
        Command::Profile { unit, rows, domains } => {
            print_profile(unit, rows, domains.as_deref(), output)
        }
        Command::Simulate(args) => simulate::run(args, folder, output).await,
        Command::Status(args) => look::status(args, folder, output).await,
        Command::Alerts(args) => look::alerts(args, folder, output).await,
    }
}

fn print_profile(
    unit: PrivacyUnit,
    rows: u32,
    domains: Option<&Path>,
    output: &Output,
) -> Result<(), Failure> {
    #[derive(Serialize)]
    struct Shown {
        toml: String,
    }
    let domains: Domains = match domains {
        None => Domains::default(),
        Some(path) => {
            let text = std::fs::read_to_string(path).map_err(io(path))?;
            toml::from_str(&text)
                .map_err(|e| Failure::request(format!("{}: {e}", path.display())))?
        }
    };
    let bound = ContributionBound::new(rows, rows)?;
    let profiles = BTreeMap::from([(DEVICES, profile(unit, bound, &domains)?)]);
    let toml = toml::to_string(&profiles).map_err(|e| Failure::corrupt(e.to_string()))?;
    output.print(&Shown { toml }, |s| s.toml.clone());
    Ok(())
}
