//! Where the holders' nodes are that questions under permits go to.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use salus_model::{Class, Classified, HolderId};
use serde::{Deserialize, Serialize};

use crate::door::MEMBER_KEY_HEADER;
use crate::ledger::HolderLedger;
use crate::write_private;

const FILE: &str = "holders.toml";
/// How long an answer may take, waiting for the ledger included.
const PATIENCE: Duration = Duration::from_secs(90);
/// No answer is longer: a released table has at most [`salus_private::MAX_RESULT_BYTES`] with all
/// that belongs to it.
const MAX_ANSWER_BYTES: usize = salus_private::MAX_RESULT_BYTES;

/// Where a holder's node is.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// Its address, such as `https://st-mary.example.org:7080`.
    pub url: String,
    /// What the node is verified with, as PEM.
    pub ca: String,
}

/// The nodes of holders, as a site has noted them.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Places(BTreeMap<HolderId, Place>);

/// Why a holder's node cannot be noted or asked.
#[derive(Debug, thiserror::Error)]
pub enum HolderError {
    /// The list cannot be read or written.
    #[error("{path} cannot be used")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The list does not parse.
    #[error("{path} is refused: {reason}")]
    Form {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// Nobody has said where the node is.
    #[error(
        "nobody has said where the node of {holder} is: salus holder add {holder} --url https://… --ca FILE"
    )]
    Unknown {
        /// The holder.
        holder: HolderId,
    },
    /// An address in the clear.
    #[error("'{url}' is no https address")]
    Clear {
        /// The address.
        url: String,
    },
    /// What the node is to be verified with is no certificate.
    #[error("what the node is verified with is no certificate as PEM")]
    Certificate,
    /// The node does not answer.
    #[error("the node of {holder} cannot be reached: {reason}")]
    Unreachable {
        /// The holder.
        holder: HolderId,
        /// Why.
        reason: String,
    },
    /// The node's answer is too long.
    #[error("the node of {holder} answers at such length that nobody reads it")]
    Long {
        /// The holder.
        holder: HolderId,
    },
}

impl Classified for HolderError {
    fn class(&self) -> Class {
        match self {
            Self::Io { .. } | Self::Unreachable { .. } => Class::Unavailable,
            Self::Long { .. } => Class::Peer,
            _ => Class::BadRequest,
        }
    }
}

impl Places {
    /// What the site in `folder` has noted.
    ///
    /// # Errors
    /// When the list cannot be read.
    pub fn read(folder: &Path) -> Result<Self, HolderError> {
        let path = folder.join(FILE);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(source) => return Err(HolderError::Io { path, source }),
        };
        toml::from_str(&text).map_err(|e| HolderError::Form { path, reason: e.to_string() })
    }

    /// Writes the list.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, folder: &Path) -> Result<(), HolderError> {
        let path = folder.join(FILE);
        let text = toml::to_string(self)
            .map_err(|e| HolderError::Form { path: path.clone(), reason: e.to_string() })?;
        write_private(&path, text.as_bytes()).map_err(|source| HolderError::Io { path, source })
    }

    /// Notes where a holder's node is.
    ///
    /// # Errors
    /// When the address is not https, or the certificate is none.
    pub fn add(&mut self, holder: HolderId, place: Place) -> Result<(), HolderError> {
        if !place.url.starts_with("https://") {
            return Err(HolderError::Clear { url: place.url });
        }
        place.client()?;
        self.0.insert(holder, place);
        Ok(())
    }

    /// Forgets a holder's node; whether there was one.
    pub fn remove(&mut self, holder: &HolderId) -> bool {
        self.0.remove(holder).is_some()
    }

    /// Where a holder's node is.
    ///
    /// # Errors
    /// When nobody has said so.
    pub fn of(&self, holder: &HolderId) -> Result<&Place, HolderError> {
        self.0.get(holder).ok_or_else(|| HolderError::Unknown { holder: holder.clone() })
    }

    /// Every holder with its node.
    pub fn iter(&self) -> impl Iterator<Item = (&HolderId, &Place)> {
        self.0.iter()
    }
}

/// What a holder's node said.
#[derive(Debug)]
pub struct Said {
    /// The HTTP status.
    pub status: u16,
    /// The body.
    pub body: Vec<u8>,
}

fn patient(builder: reqwest::ClientBuilder) -> Result<reqwest::Client, HolderError> {
    builder
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(Duration::from_secs(5))
        .timeout(PATIENCE)
        .build()
        .map_err(|_| HolderError::Certificate)
}

impl Place {
    /// A client that trusts the holder's own authority and no other.
    ///
    /// # Errors
    /// When the certificate is none.
    pub fn client(&self) -> Result<reqwest::Client, HolderError> {
        let trusted = reqwest::Certificate::from_pem(self.ca.as_bytes())
            .map_err(|_| HolderError::Certificate)?;
        let builder =
            reqwest::Client::builder().tls_built_in_root_certs(false).add_root_certificate(trusted);
        patient(builder)
    }

    /// Such a client that also shows an organisation's certificate, where the node asks for one.
    ///
    /// # Errors
    /// When the node's certificate is none, or the organisation's own cannot be shown.
    pub fn client_as(&self, member: &HolderLedger) -> Result<reqwest::Client, HolderError> {
        let tls = member.tls_towards(&self.ca).map_err(|_| HolderError::Certificate)?;
        let key = HeaderValue::from_str(&member.key().to_string())
            .map_err(|_| HolderError::Certificate)?;
        let headers = HeaderMap::from_iter([(HeaderName::from_static(MEMBER_KEY_HEADER), key)]);
        patient(reqwest::Client::builder().use_preconfigured_tls(tls).default_headers(headers))
    }

    /// Sends JSON to a path of the node as an organisation, or asks for it when there is no body.
    ///
    /// # Errors
    /// When the node cannot be reached, or says too much.
    pub async fn ask(
        &self,
        member: &HolderLedger,
        (holder, path): (&HolderId, &str),
        body: Option<Vec<u8>>,
    ) -> Result<Said, HolderError> {
        let unreachable = |e: reqwest::Error| {
            let mut cause: &dyn std::error::Error = &e;
            while let Some(next) = cause.source() {
                cause = next;
            }
            HolderError::Unreachable { holder: holder.clone(), reason: cause.to_string() }
        };
        let (client, url) = (self.client_as(member)?, format!("{}{path}", self.url));
        let request = match body {
            Some(body) => client.post(url).header("content-type", "application/json").body(body),
            None => client.get(url),
        };
        let mut answer = request.send().await.map_err(unreachable)?;
        let status = answer.status().as_u16();
        let mut body = Vec::new();
        while let Some(more) = answer.chunk().await.map_err(unreachable)? {
            if body.len() + more.len() > MAX_ANSWER_BYTES {
                return Err(HolderError::Long { holder: holder.clone() });
            }
            body.extend_from_slice(&more);
        }
        Ok(Said { status, body })
    }
}
