//! Carrying out what was granted.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use salus_crypto::OsEntropy;
use salus_keys::{KeyStoreError, WrapContext, WrappedKey};
use salus_model::{Entropy as _, KeyName, Secret, Timestamp};
use serde::Deserialize;
use serde_json::{Value, json};
use zeroize::{Zeroize as _, Zeroizing};

use super::Transit;
use super::action::Action;
use super::answer::{self, Answer, Refused};
use super::policy::Operation;
use super::tokens::TokenRecord;

/// The most items of one batch.
const BATCH_MAX: usize = 256;

/// One thing to encrypt, decrypt or rewrap.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Item {
    plaintext: Option<ClearText>,
    ciphertext: Option<String>,
    associated_data: Option<String>,
    reference: Option<String>,
    // What follows is not offered; it is read so that it can be refused.
    context: Option<String>,
    nonce: Option<String>,
    key_version: Option<u32>,
}

/// A key in base64, overwritten when it has been read.
#[derive(Deserialize)]
#[serde(transparent)]
struct ClearText(String);

impl Drop for ClearText {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Crypt {
    #[serde(flatten)]
    item: Item,
    batch_input: Option<Vec<Item>>,
    convergent_encryption: Option<bool>,
    #[serde(rename = "type")]
    kind: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct DataKey {
    bits: Option<u32>,
    context: Option<String>,
    nonce: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Create {
    #[serde(rename = "type")]
    kind: Option<String>,
    derived: Option<bool>,
    convergent_encryption: Option<bool>,
    exportable: Option<bool>,
    allow_plaintext_backup: Option<bool>,
    auto_rotate_period: Option<Value>,
    key_size: Option<u32>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Configure {
    deletion_allowed: Option<bool>,
}

fn parse<T: Default + for<'de> Deserialize<'de>>(body: Value) -> Result<T, Refused> {
    match body {
        Value::Null => Ok(T::default()),
        body => serde_json::from_value(body)
            .map_err(|_| Refused::Request("a field has the wrong type, or is not offered".into())),
    }
}

fn not_offered(what: &str) -> Refused {
    Refused::Request(format!("{what} not offered"))
}

fn refuse_kind(kind: Option<&str>) -> Result<(), Refused> {
    match kind {
        None | Some("aes256-gcm96") => Ok(()),
        Some(_) => Err(not_offered("key types other than aes256-gcm96 are")),
    }
}

fn is_given(text: Option<&String>) -> bool {
    text.is_some_and(|text| !text.is_empty())
}

fn decode(field: &str, text: &str) -> Result<Vec<u8>, Refused> {
    BASE64.decode(text).map_err(|_| Refused::Request(format!("{field} is no base64")))
}

/// The bytes of `associated_data`; none and empty are the same to AES-GCM, and to Vault.
fn bound(item: &Item) -> Result<Vec<u8>, Refused> {
    decode("associated_data", item.associated_data.as_deref().unwrap_or_default())
}

const fn context(bytes: &[u8]) -> WrapContext<'_> {
    if bytes.is_empty() { WrapContext::KeyTools } else { WrapContext::Bound(bytes) }
}

fn ciphertext(item: &Item) -> Result<WrappedKey, Refused> {
    let text = item.ciphertext.as_deref().unwrap_or_default();
    text.parse().map_err(|e| Refused::Request(format!("invalid ciphertext: {e}")))
}

fn wrapped(key: &WrappedKey) -> Value {
    json!({ "ciphertext": key.as_str(), "key_version": key.version() })
}

impl Transit {
    pub(super) async fn execute(
        &self,
        action: &Action,
        caller: &TokenRecord,
        body: Value,
        now: Timestamp,
    ) -> Result<Answer, Refused> {
        match action {
            Action::Health => Ok(answer::health(now)),
            Action::LookupSelf => Ok(answer::token(caller, now)),
            Action::List => self.list(caller).await,
            Action::On(operation, Ok(name)) => self.on(*operation, name, body).await,
            Action::On(_, Err(why)) => Err(Refused::Request(why.clone())),
        }
    }

    async fn on(
        &self,
        operation: Operation,
        name: &KeyName,
        body: Value,
    ) -> Result<Answer, Refused> {
        match operation {
            Operation::Encrypt | Operation::Decrypt | Operation::Rewrap => {
                self.crypt(operation, name, parse(body)?).await
            }
            Operation::DatakeyPlaintext | Operation::DatakeyWrapped => {
                self.data_key(operation, name, parse(body)?).await
            }
            Operation::Read => self.read(name).await,
            Operation::Create => self.create(name, &parse(body)?).await,
            Operation::Rotate => {
                Ok(answer::key(&self.keys.rotate(name).await?, self.is_deletable(name)))
            }
            Operation::Configure => self.configure(name, &parse(body)?).await,
            Operation::Revoke => self.keys.revoke(name).await.map(|()| Answer::Done).map_err(into),
            Operation::Reinstate => {
                self.keys.reinstate(name).await.map(|()| Answer::Done).map_err(into)
            }
            Operation::Shred => self.shred(name).await,
        }
    }

    async fn list(&self, caller: &TokenRecord) -> Result<Answer, Refused> {
        let all = self.keys.list().await?;
        let seen: Vec<&str> = all
            .iter()
            .filter(|key| caller.policy.grants(Operation::Read, &key.name))
            .map(|key| key.name.as_str())
            .collect();
        if seen.is_empty() {
            Err(Refused::Missing)
        } else {
            Ok(Answer::Data(json!({"keys": seen})))
        }
    }

    async fn crypt(
        &self,
        operation: Operation,
        name: &KeyName,
        request: Crypt,
    ) -> Result<Answer, Refused> {
        refuse_kind(request.kind.as_deref())?;
        if request.convergent_encryption == Some(true) {
            return Err(not_offered("convergent encryption is"));
        }
        let Some(batch) = &request.batch_input else {
            return Ok(Answer::Data(self.item(operation, name, &request.item).await?));
        };
        if batch.is_empty() || batch.len() > BATCH_MAX {
            return Err(Refused::Request(format!("a batch has 1 to {BATCH_MAX} items")));
        }
        let (mut results, mut refused) = (Vec::new(), 0);
        for item in batch {
            let mut result = match self.item(operation, name, item).await {
                Ok(result) => result,
                Err(Refused::Request(text)) => {
                    refused += 1;
                    json!({ "error": text })
                }
                Err(other) => return Err(other),
            };
            if let (Some(reference), Value::Object(fields)) = (&item.reference, &mut result) {
                fields.insert("reference".to_owned(), reference.clone().into());
            }
            results.push(result);
        }
        if refused == batch.len() {
            return Err(Refused::Request("every item of the batch was refused".into()));
        }
        Ok(Answer::Data(json!({ "batch_results": results })))
    }

    async fn item(
        &self,
        operation: Operation,
        name: &KeyName,
        item: &Item,
    ) -> Result<Value, Refused> {
        if is_given(item.context.as_ref()) {
            return Err(not_offered("derived keys (context) are"));
        }
        if is_given(item.nonce.as_ref()) {
            return Err(not_offered("nonces of the caller's are"));
        }
        if item.key_version.unwrap_or_default() != 0 {
            return Err(not_offered("choosing an older key_version is"));
        }
        let bound = bound(item)?;
        match operation {
            Operation::Encrypt => {
                let text = item.plaintext.as_ref();
                let text = text.ok_or_else(|| Refused::Request("missing plaintext".into()))?;
                let key = Secret::new(decode("plaintext", &text.0)?);
                Ok(wrapped(&self.keys.wrap(name, context(&bound), &key).await?))
            }
            Operation::Rewrap => {
                let old = ciphertext(item)?;
                Ok(wrapped(&self.keys.rewrap(name, context(&bound), &old).await?))
            }
            _ => {
                let key = self.keys.unwrap(name, context(&bound), &ciphertext(item)?).await?;
                Ok(json!({ "plaintext": BASE64.encode(key.expose()) }))
            }
        }
    }

    async fn data_key(
        &self,
        operation: Operation,
        name: &KeyName,
        request: DataKey,
    ) -> Result<Answer, Refused> {
        if is_given(request.context.as_ref()) || is_given(request.nonce.as_ref()) {
            return Err(not_offered("derived keys (context, nonce) are"));
        }
        let bytes = match request.bits {
            None | Some(256) => 32,
            Some(128) => 16,
            Some(512) => 64,
            Some(_) => return Err(Refused::Request("bits is one of 128, 256 and 512".into())),
        };
        let mut random = Zeroizing::new(vec![0; bytes]);
        OsEntropy.fill(&mut random).map_err(|_| Refused::Unavailable)?;
        let key = Secret::new(std::mem::take(&mut *random));
        let sealed = self.keys.wrap(name, WrapContext::KeyTools, &key).await?;
        let mut data = wrapped(&sealed);
        if let (Operation::DatakeyPlaintext, Value::Object(fields)) = (operation, &mut data) {
            fields.insert("plaintext".to_owned(), BASE64.encode(key.expose()).into());
        }
        Ok(Answer::Data(data))
    }

    async fn read(&self, name: &KeyName) -> Result<Answer, Refused> {
        match self.keys.describe(name).await {
            Ok(info) => Ok(answer::key(&info, self.is_deletable(name))),
            Err(KeyStoreError::NoSuchKey { .. }) => Err(Refused::Missing),
            Err(other) => Err(other.into()),
        }
    }

    async fn create(&self, name: &KeyName, request: &Create) -> Result<Answer, Refused> {
        refuse_kind(request.kind.as_deref())?;
        if request.derived == Some(true) || request.convergent_encryption == Some(true) {
            return Err(not_offered("derived keys are"));
        }
        if request.exportable == Some(true) || request.allow_plaintext_backup == Some(true) {
            return Err(not_offered("keys that leave their store are"));
        }
        let never = [json!(0), json!("0"), json!("0s"), json!("")];
        if request.auto_rotate_period.as_ref().is_some_and(|period| !never.contains(period)) {
            return Err(not_offered("rotation by the clock is"));
        }
        if request.key_size.unwrap_or_default() != 0 {
            return Err(not_offered("choosing a key_size is"));
        }
        let info = match self.keys.create(name).await {
            // Vault's creation of a key that is there does nothing, and says so by its versions.
            Err(KeyStoreError::Exists { .. }) => self.keys.describe(name).await?,
            made => made?,
        };
        Ok(answer::key(&info, self.is_deletable(name)))
    }

    async fn configure(&self, name: &KeyName, request: &Configure) -> Result<Answer, Refused> {
        let info = self.keys.describe(name).await?;
        if let Some(allowed) = request.deletion_allowed {
            let mut deletable = self.deletable.lock();
            if allowed {
                deletable.insert(name.clone());
            } else {
                deletable.remove(name);
            }
        }
        Ok(answer::key(&info, self.is_deletable(name)))
    }

    async fn shred(&self, name: &KeyName) -> Result<Answer, Refused> {
        if !self.is_deletable(name) {
            self.keys.describe(name).await?;
            return Err(Refused::Request("deletion is not allowed for this key".into()));
        }
        self.keys.shred(name).await?;
        self.deletable.lock().remove(name);
        Ok(Answer::Done)
    }

    fn is_deletable(&self, name: &KeyName) -> bool {
        self.deletable.lock().contains(name)
    }
}

fn into(error: KeyStoreError) -> Refused {
    error.into()
}
