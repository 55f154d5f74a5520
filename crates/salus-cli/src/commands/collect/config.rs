//! `collect.toml` in the site's folder: where reports come from, and what staff are alerted of.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use salus_collect::{AfterImport, AlertRules, DropFolder, MqttSettings};
use salus_dp::PrivacyUnit;
use salus_node::read_secret;
use serde::Deserialize;

use crate::output::Failure;

const FILE: &str = "collect.toml";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CollectConfig {
    /// Whose presence answers from the dataset are to hide; it is its subject from then on.
    #[serde(default = "CollectConfig::device")]
    pub(super) unit: PrivacyUnit,
    /// How often what came in is published.
    #[serde(default = "CollectConfig::ten")]
    pub(super) publish_seconds: u32,
    pub(super) http: Option<Http>,
    pub(super) mqtt: Option<Mqtt>,
    pub(super) folder: Option<Folder>,
    #[serde(default = "CollectConfig::usual_alerts")]
    pub(super) alerts: AlertRules,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Http {
    pub(super) listen: SocketAddr,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Mqtt {
    host: String,
    port: u16,
    /// The session's name at the broker.
    client: String,
    #[serde(default = "Mqtt::usual_topic")]
    topic: String,
    user: Option<String>,
    password_file: Option<PathBuf>,
    /// What the broker is verified with, as PEM; without it, only a broker on this machine.
    ca: Option<PathBuf>,
    /// The collector's own certificate and key, where the broker wants them.
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Folder {
    path: PathBuf,
    /// Where files go whose records are taken in; without it they are removed.
    move_to: Option<PathBuf>,
}

impl CollectConfig {
    const fn device() -> PrivacyUnit {
        PrivacyUnit::Device
    }

    const fn ten() -> u32 {
        10
    }

    fn usual_alerts() -> AlertRules {
        AlertRules { missed_intervals: 5, low_battery_percent: 20.0, advisories: Vec::new() }
    }

    /// What the site's folder says; reports over HTTP on this machine where it says nothing.
    pub(super) fn read(folder: &Path) -> Result<Self, Failure> {
        let path = folder.join(FILE);
        match std::fs::read_to_string(&path) {
            Ok(text) => toml::from_str(&text)
                .map_err(|e| Failure::request(format!("{}: {e}", path.display()))),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Self {
                unit: Self::device(),
                publish_seconds: Self::ten(),
                http: Some(Http { listen: SocketAddr::from(([127, 0, 0, 1], 7083)) }),
                mqtt: None,
                folder: None,
                alerts: Self::usual_alerts(),
            }),
            Err(e) => Err(super::io(&path)(e)),
        }
    }
}

impl Folder {
    pub(super) fn open(&self, site: &Path) -> Result<DropFolder, Failure> {
        let path = site.join(&self.path);
        std::fs::create_dir_all(&path).map_err(super::io(&path))?;
        let after = match &self.move_to {
            None => AfterImport::Remove,
            Some(to) => {
                let to = site.join(to);
                std::fs::create_dir_all(&to).map_err(super::io(&to))?;
                AfterImport::MoveTo(to)
            }
        };
        Ok(DropFolder::new(path, after))
    }
}

/// TLS towards a broker: whom to believe, and who one is.
pub(super) fn tls(
    ca: &Path,
    own: Option<(&Path, &Path)>,
) -> Result<Arc<rustls::ClientConfig>, Failure> {
    let wrong = |path: &Path| {
        let path = path.display().to_string();
        move || Failure::request(format!("{path} holds nothing of the kind that is wanted, as PEM"))
    };
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(ca).map_err(|_| wrong(ca)())? {
        roots
            .add(certificate.map_err(|_| wrong(ca)())?)
            .map_err(|e| Failure::request(format!("{}: {e}", ca.display())))?;
    }
    if roots.is_empty() {
        return Err(wrong(ca)());
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| Failure::unavailable(e.to_string()))?
        .with_root_certificates(roots);
    Ok(Arc::new(match own {
        None => config.with_no_client_auth(),
        Some((certificate, key)) => {
            let chain = CertificateDer::pem_file_iter(certificate)
                .and_then(Iterator::collect::<Result<Vec<_>, _>>)
                .map_err(|_| wrong(certificate)())?;
            let key_der = PrivateKeyDer::from_pem_file(key).map_err(|_| wrong(key)())?;
            config
                .with_client_auth_cert(chain, key_der)
                .map_err(|e| Failure::request(format!("{}: {e}", key.display())))?
        }
    }))
}

impl Mqtt {
    fn usual_topic() -> String {
        "devices/+/report".to_owned()
    }

    pub(super) fn place(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// The subscription; paths start at the site's folder.
    pub(super) fn settings(&self, site: &Path) -> Result<MqttSettings, Failure> {
        let here = matches!(self.host.as_str(), "localhost" | "127.0.0.1" | "::1");
        let tls = match (&self.ca, &self.certificate, &self.key) {
            (Some(ca), None, None) => Some(tls(&site.join(ca), None)?),
            (Some(ca), Some(certificate), Some(key)) => {
                let own = (site.join(certificate), site.join(key));
                Some(tls(&site.join(ca), Some((&own.0, &own.1)))?)
            }
            (None, None, None) if here => None,
            (None, None, None) => {
                return Err(Failure::request(
                    "[mqtt] names a broker on another machine and no ca to verify it with",
                ));
            }
            _ => {
                return Err(Failure::request(
                    "[mqtt] certificate and key belong together, and to a ca",
                ));
            }
        };
        let login = match (&self.user, &self.password_file) {
            (Some(user), Some(file)) => Some((user.clone(), read_secret(&site.join(file))?)),
            (None, None) => None,
            _ => return Err(Failure::request("[mqtt] user and password_file belong together")),
        };
        Ok(MqttSettings {
            host: self.host.clone(),
            port: self.port,
            client: self.client.clone(),
            topic: self.topic.clone(),
            login,
            tls,
        })
    }
}
