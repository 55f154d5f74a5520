use std::net::SocketAddr;
use std::path::Path;
use std::time::SystemTime;

use salus_crypto::OsEntropy;
use salus_crypto::passphrase::GuessCost;
use salus_keys::WrapContext;
use salus_model::{Clock as _, Entropy as _, Secret, Timestamp};
use salus_node::operations::{Call, Reply};
use salus_node::{Config, LakeConfig, ROLES_FILE, Site, SystemClock, trust_of};
use serde::Serialize;

use crate::output::{Failure, Output};
use crate::passphrase::{Asking, unlock};

/// Below so much free space a compaction or an import may not fit.
const FREE_BYTES_LEAST: u64 = 1 << 30;
/// How long before its end a certificate from elsewhere wants renewing.
const CERTIFICATE_MICROS: i64 = 14 * 24 * 60 * 60 * 1_000_000;
/// How far ahead of the clock a file or a key may seem to be made.
const SKEW_MICROS: i64 = 5 * 60 * 1_000_000;

/// One thing that was looked at.
#[derive(Serialize)]
struct Finding {
    what: &'static str,
    ok: bool,
    /// What was seen, and how to mend it when it is not well.
    said: String,
}

fn well(what: &'static str, said: impl Into<String>) -> Finding {
    Finding { what, ok: true, said: said.into() }
}

fn ill(what: &'static str, said: impl Into<String>) -> Finding {
    Finding { what, ok: false, said: said.into() }
}

pub(crate) async fn run(folder: &Path, output: &Output) -> Result<(), Failure> {
    let mut findings = Vec::new();
    match Config::read(folder) {
        Ok(config) => {
            findings.push(well("configuration", format!("site of {}", config.holder)));
            findings.push(clock(folder));
            findings.push(disk(folder));
            findings.push(space(folder, &config));
            findings.push(certificate(folder, &config));
            findings.push(roles(folder));
            findings.extend(opened(folder, &config).await);
        }
        Err(e) => {
            findings.push(ill("configuration", Failure::from(e).to_string()));
            findings.push(clock(folder));
        }
    }
    output.print(&findings, |findings| {
        let line = |f: &Finding| {
            format!("{}  {:<14} {}", if f.ok { "ok  " } else { "MEND" }, f.what, f.said)
        };
        findings.iter().map(line).collect::<Vec<_>>().join("\n")
    });
    let ill = findings.iter().filter(|f| !f.ok).count();
    if ill == 0 {
        Ok(())
    } else {
        Err(Failure::unavailable(format!("{ill} of {} checks want mending", findings.len())))
    }
}

async fn opened(folder: &Path, config: &Config) -> Vec<Finding> {
    let unlock = match unlock(&config.keys, folder, Asking::Known) {
        Ok(unlock) => unlock,
        Err(e) => {
            let mut findings = vec![ill("key store", e.to_string())];
            findings.extend(ports(config, false));
            return findings;
        }
    };
    let site = match Site::open(folder, unlock, GuessCost::RFC_9106_SECOND).await {
        Ok(site) => site,
        Err(e) => {
            let mut findings = vec![ill("key store", Failure::from(e).to_string())];
            findings.extend(ports(config, false));
            return findings;
        }
    };
    let mut findings = vec![key_store(&site).await, key_times(&site).await];
    let status = crate::site::ask(&site, Call::Status).await;
    let runs = matches!(&status, Ok(Reply::Status(s)) if s.process != std::process::id());
    findings.extend(ports(config, runs));
    let call = Call::VerifyAudit { remembered: Vec::new() };
    findings.push(match crate::site::ask(&site, call).await {
        Ok(Reply::Checked(c)) => {
            let kept = u32::from(config.audit.keep_days);
            well(
                "access log",
                format!(
                    "records {} to {}, chain whole, kept {kept} days",
                    c.first, c.head.sequence
                ),
            )
        }
        Ok(_) => ill("access log", crate::site::protocol().to_string()),
        Err(e) => ill("access log", e.to_string()),
    });
    findings.push(match site.lake.datasets().await {
        Ok(datasets) => well("lake", format!("{} datasets", datasets.len())),
        Err(e) => {
            let told = Failure::from(e).to_string();
            ill("lake", format!("{told}; mend [lake] in salus.toml, or the store itself"))
        }
    });
    if matches!(config.lake, LakeConfig::S3 { .. }) {
        findings.push(publication(&site).await);
    }
    if site.config.ledger.is_some() {
        findings.push(ledger(&site).await);
    }
    findings
}

/// Asks each validator how it is, and compares the opt-out list with the ledger's.
async fn ledger(site: &Site) -> Finding {
    const WHAT: &str = "ledger";
    let ledger = match site.ledger().await {
        Ok(ledger) => ledger,
        Err(e) => return ill(WHAT, Failure::from(e).to_string()),
    };
    let urls = site.config.ledger.as_ref().map(|l| l.validators.clone()).unwrap_or_default();
    let asked = urls.iter().map(|url| ledger.client().status(url));
    let (mut answering, mut troubles) = (0_usize, Vec::new());
    for (url, answer) in urls.iter().zip(futures::future::join_all(asked).await) {
        match answer {
            Ok(status) => {
                answering += 1;
                troubles.extend(status.warnings);
                if status.frozen {
                    troubles
                        .push(format!("validator {url} is frozen: look at its disk, restart it"));
                }
            }
            Err(e) => troubles.push(Failure::from(e).to_string()),
        }
    }
    troubles.sort();
    troubles.dedup();
    if let Err(told) = opt_outs(site, &ledger).await {
        troubles.push(told);
    }
    if troubles.is_empty() {
        well(WHAT, format!("all {answering} validators serve {}", ledger.client().ledger()))
    } else {
        ill(
            WHAT,
            format!("{answering} of {} validators serve; {}", urls.len(), troubles.join("; ")),
        )
    }
}

async fn opt_outs(site: &Site, ledger: &salus_node::HolderLedger) -> Result<(), String> {
    let member = ledger.member();
    let facts = [salus_ledger::proof::Fact::OptOuts(member.clone())];
    let state = ledger.state(&facts).await.map_err(|e| e.to_string())?;
    let there = state.opt_outs(member).map_err(|e| e.to_string())?;
    let here = site.opt_outs().await.map_err(|e| Failure::from(e).to_string())?;
    let (there, root) = there.map_or((0, None), |list| (list.epoch, Some(list.root)));
    let same = root.is_none_or(|root| root == here.root());
    if here.epoch() == there && same {
        return Ok(());
    }
    Err(format!(
        "the opt-out list here is of epoch {}, the ledger's of {there}: start the node to publish it, or restore the newest opt-outs file",
        here.epoch()
    ))
}

/// Wraps and unwraps a key of its own under the site's master key.
async fn key_store(site: &Site) -> Finding {
    let health = match site.keys.health().await {
        Ok(health) => health,
        Err(e) => return ill("key store", Failure::from(e).to_string()),
    };
    if !health.warnings.is_empty() {
        return ill("key store", health.warnings.join("; "));
    }
    match tried(site).await {
        Ok(true) => well("key store", format!("{}; wraps and unwraps", health.store)),
        Ok(false) => ill(
            "key store",
            format!(
                "{} gave back another key than it wrapped; use no store like that",
                health.store
            ),
        ),
        Err(e) => ill("key store", e.to_string()),
    }
}

async fn tried(site: &Site) -> Result<bool, Failure> {
    let mut random = [0; 32];
    OsEntropy.fill(&mut random).map_err(|e| Failure::unavailable(e.to_string()))?;
    let key = Secret::new(random.to_vec());
    let context = WrapContext::Bound(b"doctor");
    let wrapped = site.keys.wrap(&site.master, context, &key).await?;
    Ok(site.keys.unwrap(&site.master, context, &wrapped).await? == key)
}

/// A key that seems to be made in the future tells that the clock went back since.
async fn key_times(site: &Site) -> Finding {
    let limit = site.clock.now().saturating_add_micros(SKEW_MICROS);
    match site.keys.list().await {
        Err(e) => ill("key times", Failure::from(e).to_string()),
        Ok(keys) => {
            let ahead = keys
                .iter()
                .find(|k| k.versions.last().is_some_and(|version| version.created > limit));
            match ahead {
                None => well("key times", format!("{} keys, none from the future", keys.len())),
                Some(key) => ill(
                    "key times",
                    format!(
                        "the key {} was made later than now: the clock of this machine or of the \
                         key store is wrong; set it, and keep it set by NTP",
                        key.name
                    ),
                ),
            }
        }
    }
}

async fn publication(site: &Site) -> Finding {
    match site.try_publication().await {
        Ok(()) => well("publication", "the bucket refuses to overwrite a version"),
        Err(e) => ill("publication", Failure::from(e).to_string()),
    }
}

fn roles(folder: &Path) -> Finding {
    let path = folder.join(ROLES_FILE);
    let limits = super::sql::limits(1, 1 << 20, std::time::Duration::from_secs(1));
    match std::fs::read_to_string(&path) {
        Err(e) => ill("roles", format!("{} cannot be read: {e}", path.display())),
        Ok(text) => match salus_query::Roles::parse(ROLES_FILE, &text, &limits) {
            Ok(_) => well("roles", format!("{} holds", path.display())),
            Err(e) => ill("roles", e.to_string()),
        },
    }
}

/// A clock before this release was made, far ahead, or behind its own files makes grants expire or
/// never begin.
fn clock(folder: &Path) -> Finding {
    let now = SystemClock.now();
    let sane = |text: &str| text.parse::<Timestamp>().ok();
    let (first, last) = (sane("2026-01-01T00:00:00Z"), sane("2100-01-01T00:00:00Z"));
    let remedy = "set the time, and keep it set by NTP";
    if first.is_none_or(|f| now < f) || last.is_none_or(|l| now >= l) {
        return ill("clock", format!("it shows {now}; {remedy}"));
    }
    let ahead = newest(folder).and_then(|at| at.duration_since(SystemTime::now()).ok());
    match ahead.filter(|d| i64::try_from(d.as_micros()).is_ok_and(|d| d > SKEW_MICROS)) {
        Some(ahead) => {
            let hours = ahead.as_secs_f64() / 3600.0;
            let told =
                format!("the site's files were written {hours:.1} h later than now; {remedy}");
            ill("clock", told)
        }
        None => well("clock", now.to_string()),
    }
}

/// When the newest of the files directly in the folder was written.
fn newest(folder: &Path) -> Option<SystemTime> {
    let entries = std::fs::read_dir(folder).ok()?;
    entries.filter_map(|e| e.ok()?.metadata().ok()?.modified().ok()).max()
}

/// Whether a file can be written and synced in the site's folder.
fn disk(folder: &Path) -> Finding {
    let probe = folder.join(".doctor");
    let tried = std::fs::File::create(&probe).and_then(|mut file| {
        std::io::Write::write_all(&mut file, &[0; 4096])?;
        file.sync_all()
    });
    let removed = std::fs::remove_file(&probe);
    match tried.and(removed) {
        Ok(()) => well("disk", format!("{} takes writes", folder.display())),
        Err(e) => {
            ill("disk", format!("{}: {e}; free space or mend its permissions", folder.display()))
        }
    }
}

fn space(folder: &Path, config: &Config) -> Finding {
    let lake = match &config.lake {
        LakeConfig::Local { folder: lake } => folder.join(lake),
        LakeConfig::S3 { .. } => folder.to_owned(),
    };
    // Journals and the access log lie in the site's folder, the lake perhaps elsewhere.
    let least = [folder, lake.as_path()].into_iter().map(free).collect::<Result<Vec<_>, _>>();
    match least.map(|free| free.into_iter().min().unwrap_or_default()) {
        Err(e) => ill("disk space", format!("it cannot be told: {e}")),
        Ok(free) => {
            let shown = indicatif::BinaryBytes(free);
            if free < FREE_BYTES_LEAST {
                ill("disk space", format!("{shown} are free; free some, at least 1 GiB"))
            } else {
                well("disk space", format!("{shown} are free"))
            }
        }
    }
}

fn free(folder: &Path) -> std::io::Result<u64> {
    let found = rustix::fs::statvfs(folder)?;
    Ok(found.f_bavail.saturating_mul(found.f_frsize))
}

fn certificate(folder: &Path, config: &Config) -> Finding {
    let what = "certificate";
    let trust = match trust_of(folder, &config.tls) {
        Ok(trust) => trust,
        Err(e) => {
            let told = Failure::from(e).to_string();
            return ill(what, format!("{told}; mend [tls] in salus.toml, or restore the file"));
        }
    };
    let path = trust.path.display();
    match trust.expires {
        None => ill(what, format!("{path}: its end cannot be told; give another one")),
        Some(ends) if ends < SystemClock.now().saturating_add_micros(CERTIFICATE_MICROS) => {
            ill(what, format!("{path} ends at {ends}; renew it now, clients will refuse it then"))
        }
        Some(ends) => well(what, format!("{path} holds until {ends}")),
    }
}

/// Whether the ports can be had, or the site's own node has them.
fn ports(config: &Config, runs: bool) -> Vec<Finding> {
    let listen = &config.listen;
    let port = |what: &'static str, address: SocketAddr| {
        if runs {
            return well(what, format!("{address} is the running node's"));
        }
        match std::net::TcpListener::bind(address) {
            Ok(_) => well(what, format!("{address} is free")),
            Err(e) => ill(what, format!("{address}: {e}; stop who uses it, or change salus.toml")),
        }
    };
    vec![
        port("http port", listen.http),
        port("postgres port", listen.postgres),
        port("flight port", listen.flight),
    ]
}
