//! Master keys in HashiCorp Vault or OpenBao, over the transit engine's HTTP API.

mod http;
mod wire;

use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use reqwest::Method;
use salus_model::{KeyName, Secret};
use zeroize::{Zeroize as _, Zeroizing};

use self::http::{Answer, Client, Repeat};
pub use self::http::{RetryPolicy, VaultOpenError};
use crate::store::check_length;
use crate::{Health, KeyInfo, KeyState, KeyStore, KeyStoreError, WrapContext, WrappedKey};

/// Where a Vault is, and how to use it.
#[derive(Debug)]
pub struct VaultConfig {
    /// Its address, such as `https://vault.example.org:8200`; plain HTTP to this machine only.
    pub address: String,
    /// Where the transit engine is mounted; `transit` unless configured otherwise.
    pub mount: String,
    /// The token, whose policy should allow `update` and not `create` on `encrypt/*`.
    pub token: Secret<String>,
    /// The namespace, where the server has any.
    pub namespace: Option<String>,
    /// The certificate authorities to trust instead of the public ones, as PEM.
    pub ca_pem: Option<Vec<u8>>,
    /// The longest that one attempt may take.
    pub timeout: Duration,
    /// How often and how patiently to try again.
    pub retry: RetryPolicy,
}

/// A key store in Vault or OpenBao.
///
/// Revoking uses OpenBao's soft deletion; where the server has none, it is an error that says to
/// take the permission away in the policy instead.
///
/// # Source
/// The transit engine's HTTP API as Vault 1.x and OpenBao 2.x document it.
pub struct VaultKeyStore {
    client: Client,
}

impl VaultKeyStore {
    /// A client for the Vault; nothing is asked yet.
    ///
    /// # Errors
    /// When the address, mount, token or certificates are not usable.
    pub fn new(config: VaultConfig) -> Result<Self, VaultOpenError> {
        Ok(Self { client: Client::new(config)? })
    }

    async fn read(&self, name: &KeyName) -> Result<wire::Key, KeyStoreError> {
        let path = format!("keys/{name}");
        let answer = self.client.ask(Method::GET, &path, None, Repeat::Always).await?;
        match answer.data::<wire::Key>() {
            Ok(key) => Ok(key),
            Err(Refusal::Missing) => Err(KeyStoreError::NoSuchKey { name: name.clone() }),
            Err(other) => Err(other.explain("read the key", name)),
        }
    }

    async fn info(&self, name: &KeyName) -> Result<KeyInfo, KeyStoreError> {
        self.read(name).await?.info(name)
    }

    /// Encrypting under a missing key would make one, so a wrap looks first.
    async fn usable(&self, name: &KeyName) -> Result<(), KeyStoreError> {
        match self.info(name).await?.state {
            KeyState::Active => Ok(()),
            KeyState::Revoked => Err(KeyStoreError::Revoked { name: name.clone() }),
        }
    }

    async fn command(
        &self,
        method: Method,
        path: &str,
        body: Option<&serde_json::Value>,
        repeat: Repeat,
    ) -> Result<Result<(), Refusal>, KeyStoreError> {
        Ok(self.client.ask(method, path, body, repeat).await?.done())
    }
}

/// Why the server did not do it.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// 404: no such key, or no such path.
    Missing,
    /// 405, or an error that says so.
    NoSuchOperation,
    /// 403.
    Denied,
    /// 400, with what it said.
    Request(String),
    /// An answer of another shape.
    Shape(&'static str),
}

impl Refusal {
    fn explain(self, operation: &'static str, name: &KeyName) -> KeyStoreError {
        match self {
            Self::Missing => KeyStoreError::NoSuchKey { name: name.clone() },
            Self::Denied => KeyStoreError::Denied { operation },
            Self::NoSuchOperation => {
                KeyStoreError::Unsupported { operation, instead: "use the server's own tools" }
            }
            Self::Request(said) if said.contains("key not found") => {
                KeyStoreError::NoSuchKey { name: name.clone() }
            }
            Self::Request(said)
                if said.contains("soft-deleted") || said.contains("soft deleted") =>
            {
                KeyStoreError::Revoked { name: name.clone() }
            }
            // What the server said may quote the request, so it goes no further.
            Self::Request(_) => KeyStoreError::Peer { what: format!("it refuses to {operation}") },
            Self::Shape(what) => KeyStoreError::Peer { what: what.to_owned() },
        }
    }
}

fn body(context: WrapContext<'_>, field: &'static str, value: String) -> serde_json::Value {
    let mut body = serde_json::Map::new();
    body.insert(field.to_owned(), value.into());
    if let WrapContext::Bound(bytes) = context {
        body.insert("associated_data".to_owned(), BASE64.encode(bytes).into());
    }
    body.into()
}

/// Overwrites the text of a request that carried a key.
fn forget(body: &mut serde_json::Value) {
    if let Some(serde_json::Value::String(text)) = body.get_mut("plaintext") {
        text.zeroize();
    }
}

#[async_trait]
impl KeyStore for VaultKeyStore {
    async fn create(&self, name: &KeyName) -> Result<KeyInfo, KeyStoreError> {
        // The server takes a second creation as a no-op, which would hide a mistake.
        match self.read(name).await {
            Ok(_) => return Err(KeyStoreError::Exists { name: name.clone() }),
            Err(KeyStoreError::NoSuchKey { .. }) => {}
            Err(other) => return Err(other),
        }
        let kind = serde_json::json!({ "type": "aes256-gcm96" });
        let path = format!("keys/{name}");
        let made = self.command(Method::POST, &path, Some(&kind), Repeat::Always).await?;
        made.map_err(|refusal| refusal.explain("create the key", name))?;
        self.info(name).await
    }

    async fn rotate(&self, name: &KeyName) -> Result<KeyInfo, KeyStoreError> {
        self.usable(name).await?;
        let path = format!("keys/{name}/rotate");
        let done = self.command(Method::POST, &path, None, Repeat::WhenNotBegun).await?;
        done.map_err(|refusal| refusal.explain("rotate the key", name))?;
        self.info(name).await
    }

    async fn wrap(
        &self,
        name: &KeyName,
        context: WrapContext<'_>,
        key: &Secret<Vec<u8>>,
    ) -> Result<WrappedKey, KeyStoreError> {
        check_length(key)?;
        self.usable(name).await?;
        let mut body = body(context, "plaintext", BASE64.encode(key.expose()));
        let path = format!("encrypt/{name}");
        let answer = self.client.ask(Method::POST, &path, Some(&body), Repeat::Always).await;
        forget(&mut body);
        let wrapped = answer?.data::<wire::Ciphertext>();
        Ok(wrapped.map_err(|refusal| refusal.explain("wrap with the key", name))?.ciphertext)
    }

    async fn unwrap(
        &self,
        name: &KeyName,
        context: WrapContext<'_>,
        wrapped: &WrappedKey,
    ) -> Result<Secret<Vec<u8>>, KeyStoreError> {
        let body = body(context, "ciphertext", wrapped.as_str().to_owned());
        let path = format!("decrypt/{name}");
        let answer = self.client.ask(Method::POST, &path, Some(&body), Repeat::Always).await?;
        let refused = || KeyStoreError::Unwrap { name: name.clone() };
        let opened = match answer.data::<wire::Plaintext>() {
            Ok(opened) => opened,
            Err(refusal) => {
                return Err(match refusal.explain("unwrap with the key", name) {
                    KeyStoreError::Peer { .. } if answer.was_bad_request() => refused(),
                    other => other,
                });
            }
        };
        let text = Zeroizing::new(opened.plaintext);
        let key = BASE64.decode(text.as_bytes()).map_err(|_| KeyStoreError::Peer {
            what: "the unwrapped key is no base64".to_owned(),
        })?;
        Ok(Secret::new(key))
    }

    async fn rewrap(
        &self,
        name: &KeyName,
        context: WrapContext<'_>,
        wrapped: &WrappedKey,
    ) -> Result<WrappedKey, KeyStoreError> {
        if let WrapContext::Bound(_) = context {
            // The server's rewrap takes no associated data.
            let key = self.unwrap(name, context, wrapped).await?;
            return self.wrap(name, context, &key).await;
        }
        let body = body(context, "ciphertext", wrapped.as_str().to_owned());
        let path = format!("rewrap/{name}");
        let answer = self.client.ask(Method::POST, &path, Some(&body), Repeat::Always).await?;
        match answer.data::<wire::Ciphertext>() {
            Ok(done) => Ok(done.ciphertext),
            Err(refusal) => Err(match refusal.explain("wrap anew with the key", name) {
                KeyStoreError::Peer { .. } if answer.was_bad_request() => {
                    KeyStoreError::Unwrap { name: name.clone() }
                }
                other => other,
            }),
        }
    }

    async fn describe(&self, name: &KeyName) -> Result<KeyInfo, KeyStoreError> {
        self.info(name).await
    }

    async fn list(&self) -> Result<Vec<KeyInfo>, KeyStoreError> {
        let list = self.client.ask(http::list(), "keys", None, Repeat::Always).await?;
        let names = match list.data::<wire::Names>() {
            Ok(names) => names.keys,
            // So the server says that there are none.
            Err(Refusal::Missing) => Vec::new(),
            Err(Refusal::Denied) => {
                return Err(KeyStoreError::Denied { operation: "list the keys" });
            }
            Err(_) => {
                return Err(KeyStoreError::Peer { what: "its list of keys".to_owned() });
            }
        };
        let mut keys = Vec::new();
        // Others may keep keys there too, with names or of kinds that are not ours.
        for name in names.iter().filter_map(|name| KeyName::new(name.as_str()).ok()) {
            match self.info(&name).await {
                Ok(info) => keys.push(info),
                Err(KeyStoreError::Unsupported { .. } | KeyStoreError::NoSuchKey { .. }) => {}
                Err(other) => return Err(other),
            }
        }
        keys.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(keys)
    }

    async fn revoke(&self, name: &KeyName) -> Result<(), KeyStoreError> {
        self.read(name).await?;
        let path = format!("keys/{name}/soft-delete");
        match self.command(Method::DELETE, &path, None, Repeat::Always).await? {
            Ok(()) => Ok(()),
            Err(Refusal::Missing | Refusal::NoSuchOperation) => Err(no_soft_deletion()),
            Err(other) => Err(other.explain("revoke the key", name)),
        }
    }

    async fn reinstate(&self, name: &KeyName) -> Result<(), KeyStoreError> {
        self.read(name).await?;
        let path = format!("keys/{name}/soft-delete-restore");
        match self.command(Method::POST, &path, None, Repeat::Always).await? {
            Ok(()) => Ok(()),
            Err(Refusal::Missing | Refusal::NoSuchOperation) => Err(no_soft_deletion()),
            Err(other) => Err(other.explain("reinstate the key", name)),
        }
    }

    async fn shred(&self, name: &KeyName) -> Result<(), KeyStoreError> {
        self.read(name).await?;
        let explain = |refusal: Refusal| refusal.explain("shred the key", name);
        let allow = serde_json::json!({ "deletion_allowed": true });
        let path = format!("keys/{name}/config");
        self.command(Method::POST, &path, Some(&allow), Repeat::Always).await?.map_err(explain)?;
        let path = format!("keys/{name}");
        self.command(Method::DELETE, &path, None, Repeat::Always).await?.map_err(explain)?;
        match self.read(name).await {
            Err(KeyStoreError::NoSuchKey { .. }) => Ok(()),
            Ok(_) => Err(KeyStoreError::Peer {
                what: format!("the key '{name}' is still there after its destruction"),
            }),
            Err(other) => Err(other),
        }
    }

    async fn health(&self) -> Result<Health, KeyStoreError> {
        let token = self.client.ask_sys(Method::GET, "auth/token/lookup-self").await?;
        let token = token.data::<wire::Token>().map_err(|refusal| match refusal {
            Refusal::Denied => KeyStoreError::Denied { operation: "look the token up" },
            _ => KeyStoreError::Peer { what: "its answer about the token".to_owned() },
        })?;
        let store = format!("Vault transit at {}", self.client.address());
        Ok(Health { store, warnings: token.warnings() })
    }
}

fn no_soft_deletion() -> KeyStoreError {
    KeyStoreError::Unsupported {
        operation: "revoke a key (it has no soft deletion)",
        instead: "take the permission on the key away in the server's policies",
    }
}

impl Answer {
    fn was_bad_request(&self) -> bool {
        self.status() == 400
    }
}
