//! What the holder's technicians see of their fleet: exact, decided column by column by their role,
//! and on record like every other look at the lake.

use std::path::Path;
use std::sync::Arc;

use salus_collect::{Alert, AlertKind, DEVICES, Fleet, FleetFigures, alerts as alerts_of, records};
use salus_model::{Clock as _, Purpose, RoleName};
use salus_node::SystemClock;
use salus_node::operations::{Call, Reply, SqlCall};

use super::config::CollectConfig;
use crate::output::{Failure, Output, table};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The role to look in.
    #[arg(long, default_value = "technician")]
    role: RoleName,
}

/// The fleet as the lake has it.
async fn fleet(role: RoleName, folder: &Path) -> Result<Fleet, Failure> {
    let site = crate::site::open(folder).await?;
    let call = Call::Sql(SqlCall {
        statement: format!("SELECT * FROM {DEVICES}"),
        role,
        purpose: Purpose::Operations,
        rows: 10_000_000,
        memory_bytes: 2 << 30,
        seconds: 300,
    });
    let Reply::Answer(answer) = crate::site::ask(&site, call).await? else {
        return Err(crate::site::protocol());
    };
    let mut fleet = Fleet::new();
    for batch in answer.batches() {
        let found = records(batch).map_err(|_| {
            Failure::corrupt("the dataset of devices has other columns than this Salus gives it")
        })?;
        if found.len() < batch.num_rows() {
            let told = "this role may not see what a device's state needs; ask in another role";
            return Err(Failure::refused(told));
        }
        for (record, received) in found {
            fleet.take(&Arc::new(record), received);
        }
    }
    Ok(fleet)
}

pub(super) async fn status(args: Args, folder: &Path, output: &Output) -> Result<(), Failure> {
    let fleet = fleet(args.role, folder).await?;
    let rules = CollectConfig::read(folder)?.alerts;
    let alerts = alerts_of(&fleet, &rules, SystemClock.now());
    let shown = FleetFigures::of(&fleet, &alerts);
    output.print(&shown, |s| {
        let rows: Vec<_> =
            s.os_versions.iter().map(|(os, n)| vec![os.to_string(), n.to_string()]).collect();
        let last = s.last_report.map_or_else(|| "never".to_owned(), |at| at.to_string());
        format!(
            "{} devices, {} in use, last report {last}\n{} with known vulnerabilities, {} silent, {} with a low battery\n\n{}",
            s.devices,
            s.active,
            s.known_vulnerabilities,
            s.silent,
            s.low_battery,
            table(&["operating system", "devices"], &rows)
        )
    });
    Ok(())
}

pub(super) async fn alerts(args: Args, folder: &Path, output: &Output) -> Result<(), Failure> {
    let fleet = fleet(args.role, folder).await?;
    let rules = CollectConfig::read(folder)?.alerts;
    let alerts = alerts_of(&fleet, &rules, SystemClock.now());
    output.print(&alerts, |alerts| {
        let rows: Vec<_> = alerts.iter().map(row).collect();
        format!("{}\n({} alerts)", table(&["device", "alert", "what"], &rows), alerts.len())
    });
    Ok(())
}

fn row(alert: &Alert) -> Vec<String> {
    let (kind, what) = match &alert.kind {
        AlertKind::KnownVulnerabilities { cves } => {
            let cves: Vec<String> = cves.iter().map(ToString::to_string).collect();
            ("known vulnerabilities", cves.join(", "))
        }
        AlertKind::Silent { since } => ("silent", format!("since {since}")),
        AlertKind::LowBattery { percent } => ("low battery", format!("{percent} %")),
    };
    vec![alert.device.to_string(), kind.to_owned(), what]
}
