use std::path::Path;

use salus_crypto::passphrase::GuessCost;
use salus_model::{Clock as _, Timestamp};
use salus_node::{Config, ROLES_FILE, Site, SystemClock};
use serde::Serialize;

use crate::output::{Failure, Output};
use crate::passphrase::{Asking, passphrase};

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
    let config = match Config::read(folder) {
        Ok(config) => {
            findings.push(well("configuration", format!("site of {}", config.holder)));
            Some(config)
        }
        Err(e) => {
            findings.push(ill("configuration", Failure::from(e).to_string()));
            None
        }
    };
    findings.push(clock());
    if let Some(config) = config {
        findings.push(disk(folder));
        findings.extend(ports(&config));
        let roles = folder.join(ROLES_FILE);
        match passphrase(Asking::Known) {
            Err(e) => findings.push(ill("key store", e.to_string())),
            Ok(passphrase) => {
                match Site::open(folder, passphrase, GuessCost::RFC_9106_SECOND).await {
                    Err(e) => findings.push(ill("key store", Failure::from(e).to_string())),
                    Ok(site) => findings.extend(opened(&site, &roles).await),
                }
            }
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

async fn opened(site: &Site, roles: &Path) -> Vec<Finding> {
    let mut findings = Vec::new();
    match site.keys.health().await {
        Ok(health) if health.warnings.is_empty() => findings.push(well("key store", health.store)),
        Ok(health) => findings.push(ill("key store", health.warnings.join("; "))),
        Err(e) => findings.push(ill("key store", e.to_string())),
    }
    let limits = super::sql::limits(1, 1 << 20, std::time::Duration::from_secs(1));
    findings.push(match std::fs::read_to_string(roles) {
        Err(e) => ill("roles", format!("{} cannot be read: {e}", roles.display())),
        Ok(text) => match salus_query::Roles::parse(ROLES_FILE, &text, &limits) {
            Ok(_) => well("roles", format!("{} holds", roles.display())),
            Err(e) => ill("roles", e.to_string()),
        },
    });
    findings.push(match site.open_audit().await {
        Ok(audit) => match audit.verify(&[]).await {
            Ok(_) => well("access log", format!("{} records, chain whole", audit.head().sequence)),
            Err(e) => ill("access log", e.to_string()),
        },
        Err(e) => ill("access log", Failure::from(e).to_string()),
    });
    findings.push(match site.lake.datasets().await {
        Ok(datasets) => well("lake", format!("{} datasets", datasets.len())),
        Err(e) => ill("lake", Failure::from(e).to_string()),
    });
    findings
}

/// A clock before this release was made, or far ahead, makes grants expire or never begin.
fn clock() -> Finding {
    let now = SystemClock.now();
    let sane = |text: &str| text.parse::<Timestamp>().ok();
    let (first, last) = (sane("2026-01-01T00:00:00Z"), sane("2100-01-01T00:00:00Z"));
    if first.is_some_and(|f| now >= f) && last.is_some_and(|l| now < l) {
        well("clock", now.to_string())
    } else {
        ill("clock", format!("it shows {now}; set the time, and keep it set by NTP"))
    }
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

fn ports(config: &Config) -> Vec<Finding> {
    let listen = &config.listen;
    [("http port", listen.http), ("postgres port", listen.postgres)]
        .map(|(what, address)| match std::net::TcpListener::bind(address) {
            Ok(_) => well(what, format!("{address} is free")),
            Err(e) => ill(what, format!("{address}: {e}; stop who uses it, or change salus.toml")),
        })
        .into()
}
