//! The collector as a service: what comes in, and how it gets into the lake.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use salus_collect::{Collector, CollectorParts, DropFolder, MqttCollector};
use salus_node::Certificates;
use salus_store::EncryptionSettings;
use salus_store::journal::LocalMedium;
use serde::Serialize;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::config::CollectConfig;
use super::{DEVICES_FILE, collector_key, enrolment};
use crate::commands::node::{StopWith, bind, serve, stopped};
use crate::output::{Failure, Output};

const FOLDER: &str = "collector";
/// The journal's segments: several times what ten thousand devices' records have.
const SEGMENT_BYTES: u64 = 64 * 1024 * 1024;
/// How many reports may wait for the lake.
const MOST_WAITING: usize = 500_000;
/// How often the certificate is issued anew.
const RENEWAL: Duration = Duration::from_secs(12 * 60 * 60);
/// How long what is under way may take when the collector stops.
const LAST: Duration = Duration::from_secs(3);

/// Where a collector takes reports in, and what devices have to know of it.
#[derive(Serialize)]
struct Started {
    http: Option<String>,
    mqtt: Option<String>,
    folder: bool,
    devices: usize,
    /// The key that devices seal to.
    key: String,
    /// What the HTTP endpoint is verified with.
    certificate: String,
}

pub(super) async fn until_stopped(
    folder: &Path,
    with: StopWith,
    output: &Output,
) -> Result<(), Failure> {
    let site = crate::site::open(folder).await?;
    let config = CollectConfig::read(folder)?;
    let key = collector_key(&site).await?;
    let (enrolled, public) = (enrolment(folder)?, key.public_key().to_string());
    let devices = enrolled.len();
    let collector = Arc::new(
        Collector::open(CollectorParts {
            lake: Arc::clone(&site.lake),
            keys: Arc::clone(&site.keys),
            clock: Arc::clone(&site.clock),
            medium: Arc::new(LocalMedium),
            folder: folder.join(FOLDER),
            segment_bytes: SEGMENT_BYTES,
            encryption: EncryptionSettings::STRICT,
            unit: config.unit,
            key,
            enrolment: enrolled,
            most_waiting: MOST_WAITING,
        })
        .await?,
    );
    let (stop, told) = watch::channel(false);
    let mut tasks = JoinSet::new();
    let certificates = site.certificates().await?;
    let mut http = None;
    let mut handle = None;
    if let Some(wanted) = &config.http {
        let (listener, address) = bind(wanted.listen, "the port for device reports")?;
        let tls = certificates.server(&["h2", "http/1.1"])?;
        let router = salus_collect::router(Arc::clone(&collector));
        handle = Some(serve(&mut tasks, listener, tls, router)?);
        http = Some(format!("https://{address}/v1/device-reports"));
    }
    if let Some(wanted) = &config.mqtt {
        let mqtt = MqttCollector::new(wanted.settings(folder)?, Arc::clone(&collector));
        let told = told.clone();
        tasks.spawn(async move {
            mqtt.run(told).await;
            Ok(())
        });
    }
    let dropped = config.folder.as_ref().map(|f| f.open(folder)).transpose()?;
    let certificate = certificates.trust_pem().to_owned();
    let keeping = Keeping {
        certificates,
        collector: Arc::clone(&collector),
        folder: folder.to_owned(),
        dropped,
        every: Duration::from_secs(config.publish_seconds.max(1).into()),
    };
    tasks.spawn(async move { keeping.run(told).await });
    let started = Started {
        http,
        mqtt: config.mqtt.as_ref().map(super::config::Mqtt::place),
        folder: config.folder.is_some(),
        devices,
        key: public,
        certificate,
    };
    output.print(&started, |s| {
        let http = s.http.as_deref().unwrap_or("–");
        let mqtt = s.mqtt.as_deref().unwrap_or("–");
        format!(
            "HTTP      {http}\nMQTT      {mqtt}\nDevices   {} enrolled\nKey       {}\nCtrl-C stops it.",
            s.devices, s.key
        )
    });
    stopped(with).await?;
    let _ = stop.send(true);
    if let Some(handle) = handle {
        handle.graceful_shutdown(Some(LAST));
    }
    // Each task ends by itself; what it is doing to the journal is not cut off.
    let ended = async { while tasks.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(LAST * 2, ended).await;
    tasks.shutdown().await;
    match Arc::try_unwrap(collector) {
        Ok(collector) => {
            let published = collector.publish().await;
            collector.close().await;
            published.map(|_| ()).map_err(Failure::from)
        }
        // What is on the disk is published at the next start.
        Err(_) => Ok(()),
    }
}

/// What a collector does by itself: files, publication, the list of devices.
struct Keeping {
    certificates: Certificates,
    collector: Arc<Collector>,
    folder: PathBuf,
    dropped: Option<DropFolder>,
    every: Duration,
}

impl Keeping {
    async fn run(self, mut told: watch::Receiver<bool>) -> std::io::Result<()> {
        let mut seen = self.changed();
        let mut renewed = Instant::now();
        loop {
            if renewed.elapsed() > RENEWAL {
                renewed = Instant::now();
                if let Err(error) = self.certificates.renew() {
                    tracing::error!(%error, "the certificate cannot be renewed");
                }
            }
            let now = self.changed();
            if now != seen {
                seen = now;
                match enrolment(&self.folder) {
                    Ok(list) => self.collector.enrol(list),
                    Err(error) => {
                        tracing::error!(%error, "the list of devices cannot be read; the last one stays in force");
                    }
                }
            }
            if let Some(dropped) = &self.dropped {
                match dropped.take_in(&self.collector).await {
                    Ok(taken) if !taken.refused.is_empty() => {
                        tracing::warn!(
                            files = taken.refused.len(),
                            "files are neither tables nor Bundles"
                        );
                    }
                    Ok(_) => {}
                    Err(error) => {
                        tracing::error!(
                            error = &error as &dyn std::error::Error,
                            "the folder is not taken in"
                        );
                    }
                }
            }
            if let Err(error) = self.collector.publish().await {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "what came in waits for the lake"
                );
            }
            tokio::select! {
                () = tokio::time::sleep(self.every) => {}
                _ = told.wait_for(|stop| *stop) => return Ok(()),
            }
        }
    }

    fn changed(&self) -> Option<SystemTime> {
        std::fs::metadata(self.folder.join(DEVICES_FILE)).and_then(|m| m.modified()).ok()
    }
}
