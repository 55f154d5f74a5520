//! A real broker (Mosquitto) with TLS and certificates for everybody.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rumqttc::{AsyncClient, Event, MqttOptions, Packet, QoS, TlsConfiguration, Transport};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ClientConfig, RootCertStore};
use salus_collect::{Collector, DEVICES_HISTORY, DeviceRecord, MqttCollector, MqttSettings};
use salus_testkit::{Server, free_port, program};
use tokio::sync::watch;

use crate::world::{START, Site, enrolled, fleet, ids, sealed};

/// An authority, and what it certifies.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    root: CertificateDer<'static>,
    root_pem: String,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "Test devices");
        let root = params.self_signed(&key).unwrap();
        let (der, root_pem) = (root.der().clone(), root.pem());
        Self { issuer: Issuer::new(params, key), root: der, root_pem }
    }

    fn certify(&self, name: &str) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        (params.signed_by(&key, &self.issuer).unwrap(), key)
    }

    fn client(&self, name: Option<&str>) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.root.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        Arc::new(match name {
            None => config.with_no_client_auth(),
            Some(name) => {
                let (certificate, key) = self.certify(name);
                let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
                config.with_client_auth_cert(vec![certificate.der().clone()], key).unwrap()
            }
        })
    }
}

/// A broker that keeps its sessions on the disk, and lets in who has a certificate alone.
struct Broker {
    server: Server,
    folder: std::path::PathBuf,
    port: u16,
}

impl Broker {
    fn start(folder: &Path, authority: &Authority) -> Self {
        let (certificate, key) = authority.certify("localhost");
        std::fs::write(folder.join("ca.pem"), &authority.root_pem).unwrap();
        std::fs::write(folder.join("cert.pem"), certificate.pem()).unwrap();
        std::fs::write(folder.join("key.pem"), key.serialize_pem()).unwrap();
        // The collector reads what devices write, and devices read nothing.
        let acl = "user collector\ntopic read devices/+/report\n\nuser gateway\ntopic write devices/+/report\n";
        std::fs::write(folder.join("acl"), acl).unwrap();
        let port = free_port();
        let at = |name: &str| folder.join(name).display().to_string();
        let config = format!(
            "listener {port} 127.0.0.1\ncafile {}\ncertfile {}\nkeyfile {}\n\
             require_certificate true\nuse_identity_as_username true\nallow_anonymous false\n\
             acl_file {}\npersistence true\npersistence_location {}/\nautosave_interval 1\n\
             autosave_on_changes true\nmax_inflight_messages 200\nmax_queued_messages 100000\n",
            at("ca.pem"),
            at("cert.pem"),
            at("key.pem"),
            at("acl"),
            folder.display(),
        );
        std::fs::write(folder.join("mosquitto.conf"), config).unwrap();
        Self { server: Self::spawn(folder, port), folder: folder.to_owned(), port }
    }

    fn spawn(folder: &Path, port: u16) -> Server {
        let mut command = Command::new(program("mosquitto", "mosquitto"));
        command.arg("-c").arg(folder.join("mosquitto.conf"));
        let mut server = Server::spawn(command);
        server.wait_for_port(SocketAddr::from(([127, 0, 0, 1], port)), Duration::from_secs(10));
        server
    }

    /// Ends the broker as an operator does, and starts it again.
    fn restart(&mut self) {
        let id = self.server.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        std::thread::sleep(Duration::from_millis(500));
        self.server.kill();
        self.server = Self::spawn(&self.folder, self.port);
    }
}

fn settings(port: u16, tls: Arc<ClientConfig>) -> MqttSettings {
    MqttSettings {
        host: "localhost".to_owned(),
        port,
        client: "collector-1".to_owned(),
        topic: "devices/+/report".to_owned(),
        login: None,
        tls: Some(tls),
    }
}

/// Publishes reports and returns when the broker has them all.
async fn publish(port: u16, tls: Arc<ClientConfig>, records: &[DeviceRecord]) {
    let mut options = MqttOptions::new("gateway-1", "localhost", port);
    options.set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(tls)));
    let (client, mut events) = AsyncClient::new(options, records.len() + 10);
    for record in records {
        let topic = format!("devices/{}/report", record.device_id);
        client.publish(topic, QoS::AtLeastOnce, false, sealed(record)).await.unwrap();
    }
    let mut acknowledged = 0;
    while acknowledged < records.len() {
        match events.poll().await.unwrap() {
            Event::Incoming(Packet::PubAck(_)) => acknowledged += 1,
            Event::Incoming(Packet::ConnAck(_)) | Event::Incoming(_) | Event::Outgoing(_) => {}
        }
    }
}

async fn until(collector: &Collector, wanted: usize) {
    let begun = Instant::now();
    while collector.waiting().await < wanted {
        let waiting = collector.waiting().await;
        assert!(begun.elapsed() < Duration::from_secs(30), "{waiting} of {wanted} came");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_survive_the_brokers_restart_and_the_collectors_absence() {
    let folder = tempfile::tempdir().unwrap();
    let broker_folder = tempfile::tempdir().unwrap();
    // Mosquitto gives up root, and has to read its files all the same.
    let open = <std::fs::Permissions as PermissionsExt>::from_mode(0o777);
    std::fs::set_permissions(broker_folder.path(), open).unwrap();
    let authority = Authority::new();
    let mut broker = Broker::start(broker_folder.path(), &authority);
    let site = Site::new(folder.path());
    let start: salus_model::Timestamp = START.parse().unwrap();
    let records = fleet(8).advance(start.saturating_add_micros(4 * 3_600_000_000)).unwrap();
    let (first, rest) = records.split_at(records.len() / 3);
    let (second, third) = rest.split_at(rest.len() / 2);
    let (collector_tls, gateway) =
        (authority.client(Some("collector")), authority.client(Some("gateway")));

    let collector = Arc::new(site.collector(enrolled(&records)).await);
    let port = broker.port;
    let run = |collector: &Arc<Collector>| {
        let settings = settings(port, Arc::clone(&collector_tls));
        let mqtt = MqttCollector::new(settings, Arc::clone(collector));
        let (stop, stopped) = watch::channel(false);
        (stop, tokio::spawn(async move { mqtt.run(stopped).await }))
    };
    let (stop, running) = run(&collector);
    // The broker knows the subscription once the first report has come through.
    tokio::time::sleep(Duration::from_millis(800)).await;
    publish(port, Arc::clone(&gateway), first).await;
    until(&collector, first.len()).await;

    // The collector is away: the broker keeps what comes, through its own restart too.
    stop.send(true).unwrap();
    running.await.unwrap();
    publish(port, Arc::clone(&gateway), second).await;
    broker.restart();
    let (stop, running) = run(&collector);
    until(&collector, first.len() + second.len()).await;

    // The broker goes and comes back under a running collector.
    broker.restart();
    publish(port, Arc::clone(&gateway), third).await;
    // And a device that heard no answer sends again.
    publish(port, Arc::clone(&gateway), &third[..10]).await;
    until(&collector, records.len()).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    stop.send(true).unwrap();
    running.await.unwrap();
    collector.publish().await.unwrap();
    assert_eq!(site.reports(DEVICES_HISTORY).await, ids(&records));

    // What passed the broker is on its disk as ciphertext.
    let kept = crate::world::files(broker_folder.path());
    for (path, bytes) in kept {
        for word in ["Kestrel Medical", "infusion pump", "usage_hours", "patient monitor"] {
            let found = bytes.windows(word.len()).any(|w| w == word.as_bytes());
            assert!(!found, "'{word}' is in {}", path.display());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_gets_in_without_a_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let open = <std::fs::Permissions as PermissionsExt>::from_mode(0o777);
    std::fs::set_permissions(folder.path(), open).unwrap();
    let authority = Authority::new();
    let broker = Broker::start(folder.path(), &authority);
    let connect = async |tls: Arc<ClientConfig>| {
        let mut options = MqttOptions::new("stranger", "localhost", broker.port);
        options.set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(tls)));
        let (client, mut events) = AsyncClient::new(options, 10);
        client.subscribe("devices/+/report", QoS::AtLeastOnce).await.unwrap();
        loop {
            match events.poll().await {
                Ok(Event::Incoming(Packet::SubAck(_))) => return true,
                Ok(_) => {}
                Err(_) => return false,
            }
        }
    };
    assert!(!connect(authority.client(None)).await);
    assert!(!connect(Authority::new().client(Some("collector"))).await);
    assert!(connect(authority.client(Some("collector"))).await);
}
