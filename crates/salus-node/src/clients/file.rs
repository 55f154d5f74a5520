use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};

use jsonwebtoken::{Algorithm, DecodingKey};
use salus_model::{Class, Classified, Purpose, RoleName};
use serde::{Deserialize, Serialize};

const FORMAT: u32 = 1;
const FILE: &str = "clients.toml";
/// RSA keys shorter than this are refused, in bytes of the modulus.
const RSA_BYTES_LEAST: usize = 256;

/// Why the clients file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ClientsError {
    /// It cannot be read or written.
    #[error("the file {path} cannot be used")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It does not parse; the message has line and column.
    #[error("the clients file {path} is refused: {source}")]
    Toml {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<toml::de::Error>,
    },
    /// It cannot be written as TOML, which is a bug.
    #[error("the clients file cannot be written")]
    Encode(#[from] toml::ser::Error),
    /// It comes from a newer Salus.
    #[error("the clients file has format {0}; this Salus reads {FORMAT}")]
    Format(u32),
    /// An id that does not fit.
    #[error("'{0}' is no client id: 1 to 64 of a-z, A-Z, 0-9, '-', '_' and '.'")]
    Id(String),
    /// A key that does not fit.
    #[error("key '{kid}' is refused: {why}")]
    Key {
        /// Its id.
        kid: String,
        /// Why.
        why: &'static str,
    },
    /// No key.
    #[error("a client signs in with a key: give at least one public key")]
    NoKey,
    /// No JSON Web Key Set.
    #[error("the file holds no JSON Web Key Set and no public JSON Web Key")]
    Jwks,
    /// A purpose that needs a permit.
    #[error("'{0}' is secondary use, which needs a permit; clients are for care")]
    NotCare(Purpose),
    /// No such client.
    #[error("there is no client '{0}'")]
    NoClient(ClientId),
}

impl Classified for ClientsError {
    fn class(&self) -> Class {
        match self {
            Self::Io { .. } => Class::Unavailable,
            Self::Encode(_) => Class::Bug,
            _ => Class::BadRequest,
        }
    }
}

/// A client's id.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ClientId(String);

impl ClientId {
    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for ClientId {
    type Error = ClientsError;

    fn try_from(text: String) -> Result<Self, ClientsError> {
        let fits = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.');
        if (1..=64).contains(&text.len()) && text.bytes().all(fits) {
            Ok(Self(text))
        } else {
            Err(ClientsError::Id(text.chars().take(80).collect()))
        }
    }
}

impl std::str::FromStr for ClientId {
    type Err = ClientsError;

    fn from_str(text: &str) -> Result<Self, ClientsError> {
        text.to_owned().try_into()
    }
}

impl From<ClientId> for String {
    fn from(id: ClientId) -> Self {
        id.0
    }
}

/// The numbers of a public key, as RFC 7518 writes them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kty")]
enum Numbers {
    #[serde(rename = "RSA")]
    Rsa { n: String, e: String },
    #[serde(rename = "EC")]
    Ec { crv: String, x: String, y: String },
}

/// A client's public key: RSA of 2048 bits or more, or P-384.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "WireKey", into = "WireKey")]
pub struct ClientKey {
    kid: String,
    numbers: Numbers,
}

#[derive(Clone, Serialize, Deserialize)]
struct WireKey {
    kid: String,
    #[serde(flatten)]
    numbers: Numbers,
}

impl TryFrom<WireKey> for ClientKey {
    type Error = ClientsError;

    fn try_from(wire: WireKey) -> Result<Self, ClientsError> {
        let WireKey { kid, numbers } = wire;
        let shown: String = kid.chars().filter(|c| !c.is_control()).take(80).collect();
        let refused = |why| Err(ClientsError::Key { kid: shown.clone(), why });
        if kid.is_empty() || kid.len() > 200 {
            return refused("its kid has 1 to 200 characters");
        }
        match &numbers {
            // Base64 has four characters for three bytes.
            Numbers::Rsa { n, .. } if n.len() * 3 / 4 < RSA_BYTES_LEAST => {
                return refused("an RSA key has 2048 bits or more");
            }
            Numbers::Ec { crv, .. } if crv != "P-384" => {
                return refused("ES384 signs on the curve P-384");
            }
            _ => {}
        }
        let key = Self { kid, numbers };
        if key.decoding().is_none() {
            return refused("its numbers are not base64url");
        }
        Ok(key)
    }
}

impl From<ClientKey> for WireKey {
    fn from(key: ClientKey) -> Self {
        Self { kid: key.kid, numbers: key.numbers }
    }
}

impl ClientKey {
    /// Public keys of a JSON Web Key Set, or a single one.
    ///
    /// # Errors
    /// When one of them is no key that SMART names, or has a private part.
    pub fn from_jwks(json: &str) -> Result<Vec<Self>, ClientsError> {
        let json: serde_json::Value = serde_json::from_str(json).map_err(|_| ClientsError::Jwks)?;
        let keys = match json.get("keys") {
            Some(serde_json::Value::Array(keys)) => keys.clone(),
            Some(_) => return Err(ClientsError::Jwks),
            None => vec![json],
        };
        let one = |key: serde_json::Value| {
            if key.get("d").is_some() {
                let kid = key.get("kid").and_then(|k| k.as_str()).unwrap_or_default().to_owned();
                let why = "it has its private part, which nobody but the client may have";
                return Err(ClientsError::Key { kid, why });
            }
            let wire: WireKey = serde_json::from_value(key).map_err(|_| ClientsError::Jwks)?;
            wire.try_into()
        };
        let keys: Vec<Self> = keys.into_iter().map(one).collect::<Result<_, _>>()?;
        if keys.is_empty() { Err(ClientsError::NoKey) } else { Ok(keys) }
    }

    /// Its id.
    #[must_use]
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The one algorithm with which it signs.
    pub(super) const fn algorithm(&self) -> Algorithm {
        match self.numbers {
            Numbers::Rsa { .. } => Algorithm::RS384,
            Numbers::Ec { .. } => Algorithm::ES384,
        }
    }

    pub(super) fn decoding(&self) -> Option<DecodingKey> {
        match &self.numbers {
            Numbers::Rsa { n, e } => DecodingKey::from_rsa_components(n, e).ok(),
            Numbers::Ec { x, y, .. } => DecodingKey::from_ec_components(x, y).ok(),
        }
    }
}

/// A program that may sign in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Client {
    /// Its id; the access log has it as `client:` with the id.
    pub id: ClientId,
    /// The roles that it acts in, which decide what it sees.
    pub roles: BTreeSet<RoleName>,
    /// What for; a primary use.
    pub purpose: Purpose,
    /// What it is told that it may do; the roles decide.
    pub scope: String,
    /// Its public keys.
    #[serde(rename = "key")]
    pub keys: Vec<ClientKey>,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    format: u32,
    #[serde(default)]
    client: Vec<Client>,
}

/// The registrations in their file, which is read anew every time: what a person changes with one
/// process, a running node knows at its next request.
pub struct Registrations {
    path: PathBuf,
}

impl Registrations {
    /// The registrations of the site in `folder`.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        Self { path: folder.join(FILE) }
    }

    fn io(&self) -> impl Fn(std::io::Error) -> ClientsError + use<> {
        let path = self.path.clone();
        move |source| ClientsError::Io { path: path.clone(), source }
    }

    /// Every registered client.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn list(&self) -> Result<Vec<Client>, ClientsError> {
        let text = match std::fs::read_to_string(&self.path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            text => text.map_err(self.io())?,
        };
        let file: File = toml::from_str(&text).map_err(|source| ClientsError::Toml {
            path: self.path.clone(),
            source: Box::new(source),
        })?;
        if file.format == FORMAT { Ok(file.client) } else { Err(ClientsError::Format(file.format)) }
    }

    fn write(&self, client: Vec<Client>) -> Result<(), ClientsError> {
        let text = toml::to_string(&File { format: FORMAT, client })?;
        crate::write_private(&self.path, text.as_bytes()).map_err(self.io())
    }

    /// Registers a client, in place of one with the same id.
    ///
    /// # Errors
    /// When it has no key, the purpose is secondary, or the file cannot be written.
    pub fn register(&self, client: Client) -> Result<(), ClientsError> {
        if client.purpose.is_secondary() {
            return Err(ClientsError::NotCare(client.purpose));
        }
        if client.keys.is_empty() {
            return Err(ClientsError::NoKey);
        }
        let mut clients = self.list()?;
        clients.retain(|known| known.id != client.id);
        clients.push(client);
        self.write(clients)
    }

    /// Removes a client; its tokens are void.
    ///
    /// # Errors
    /// When there is none, or the file cannot be written.
    pub fn remove(&self, id: &ClientId) -> Result<(), ClientsError> {
        let mut clients = self.list()?;
        let before = clients.len();
        clients.retain(|known| known.id != *id);
        if clients.len() == before {
            return Err(ClientsError::NoClient(id.clone()));
        }
        self.write(clients)
    }
}
