//! Master keys in a hardware token, over PKCS#11.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error as TokenError, RvError};
use cryptoki::mechanism::aead::GcmParams;
use cryptoki::mechanism::{Mechanism, MechanismType};
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, SessionState, UserType};
use cryptoki::slot::Slot;
use cryptoki::types::AuthPin;
use parking_lot::Mutex;
use salus_crypto::OsEntropy;
use salus_model::{Class, Classified, Clock, Entropy as _, KeyName, Secret, Timestamp};

use crate::store::check_length;
use crate::{
    Health, KeyInfo, KeyState, KeyStore, KeyStoreError, KeyVersion, VersionInfo, WrapContext,
    WrappedKey,
};

const NONCE_BYTES: usize = 12;
const TAG_BITS: u64 = 128;

/// Which token to use, and how.
#[derive(Debug)]
pub struct Pkcs11Config {
    /// The module's shared library, such as `/usr/lib/softhsm/libsofthsm2.so`.
    pub module: PathBuf,
    /// The token's label.
    pub token_label: String,
    /// The user's PIN.
    pub pin: Secret<String>,
}

/// Why a token cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Pkcs11OpenError {
    /// The module is missing, or no PKCS#11 module.
    #[error("{} is no PKCS#11 module that loads", module.display())]
    Module {
        /// The module's path.
        module: PathBuf,
        /// The cause.
        #[source]
        source: TokenError,
    },
    /// No slot has a token of that label.
    #[error("no token is labelled '{label}'; the module has {}", listed(found))]
    NoToken {
        /// The label that was asked for.
        label: String,
        /// The labels that there are.
        found: Vec<String>,
    },
    /// More than one slot has a token of that label.
    #[error("more than one token is labelled '{label}'; give them different labels")]
    ManyTokens {
        /// The label.
        label: String,
    },
    /// The PIN is wrong.
    #[error("the token '{label}' refuses the PIN; a few wrong ones in a row lock it")]
    WrongPin {
        /// The token's label.
        label: String,
    },
    /// Too many wrong PINs were given.
    #[error("the token '{label}' has locked its PIN; its security officer can set a new one")]
    PinLocked {
        /// The token's label.
        label: String,
    },
    /// The token has no AES-GCM.
    #[error("the token '{label}' cannot do AES-GCM (CKM_AES_GCM)")]
    NoGcm {
        /// The token's label.
        label: String,
    },
    /// The token failed otherwise.
    #[error("the token failed while {doing}")]
    Token {
        /// What was being done.
        doing: &'static str,
        /// The cause.
        #[source]
        source: TokenError,
    },
}

fn listed(labels: &[String]) -> String {
    if labels.is_empty() { "no token at all".into() } else { format!("'{}'", labels.join("', '")) }
}

impl Classified for Pkcs11OpenError {
    fn class(&self) -> Class {
        match self {
            Self::Module { .. } | Self::NoToken { .. } | Self::ManyTokens { .. } => {
                Class::BadRequest
            }
            Self::NoGcm { .. } => Class::BadRequest,
            Self::WrongPin { .. } | Self::PinLocked { .. } => Class::Refused,
            Self::Token { .. } => Class::Unavailable,
        }
    }
}

/// A key store in a PKCS#11 token: every version is a sensitive, non-extractable AES-256 key
/// object labelled `salus:NAME:vN`, and wrapping is AES-GCM inside the token.
///
/// Revoking takes `CKA_ENCRYPT` and `CKA_DECRYPT` away, so the token itself refuses use, by
/// whatever program. A session that the token has dropped is opened anew once.
///
/// # Privacy
/// The keys cannot be read by anybody; whoever has the PIN can use them. A token that is reset, or
/// lost, takes everything with it that its keys wrapped.
///
/// # Source
/// PKCS#11 2.40 (OASIS); AES-GCM with a nonce that is drawn here, 128-bit tag.
#[derive(Clone)]
pub struct Pkcs11KeyStore(Arc<Inner>);

struct Inner {
    config: Pkcs11Config,
    context: Pkcs11,
    clock: Arc<dyn Clock>,
    session: Mutex<Option<Session>>,
}

impl Pkcs11KeyStore {
    /// Loads the module, finds the token and logs in; blocks while the token answers.
    ///
    /// # Errors
    /// When the module does not load, there is no such token, or the PIN is wrong.
    pub fn open(config: Pkcs11Config, clock: Arc<dyn Clock>) -> Result<Self, Pkcs11OpenError> {
        let failed = |source| Pkcs11OpenError::Module { module: config.module.clone(), source };
        let context = Pkcs11::new(&config.module).map_err(failed)?;
        match context.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
            // Another part of the process uses the same module.
            Ok(()) | Err(TokenError::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => {}
            Err(source) => return Err(failed(source)),
        }
        let session = log_in(&context, &config)?;
        let session = Mutex::new(Some(session));
        Ok(Self(Arc::new(Inner { config, context, clock, session })))
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl Fn(&Inner, &Session) -> Result<T, Failed> + Send + 'static,
    ) -> Result<T, KeyStoreError> {
        let inner = Arc::clone(&self.0);
        tokio::task::spawn_blocking(move || inner.with_session(&work))
            .await
            .map_err(|e| KeyStoreError::Bug { what: format!("the token's task ended: {e}") })?
    }
}

fn find_token(context: &Pkcs11, label: &str) -> Result<Slot, Pkcs11OpenError> {
    let failed = |source| Pkcs11OpenError::Token { doing: "listing its slots", source };
    let mut found = Vec::new();
    let mut matching = Vec::new();
    for slot in context.get_slots_with_initialized_token().map_err(failed)? {
        let info = context.get_token_info(slot).map_err(failed)?;
        if info.label() == label {
            matching.push(slot);
        }
        found.push(info.label().to_owned());
    }
    match matching.as_slice() {
        [] => Err(Pkcs11OpenError::NoToken { label: label.to_owned(), found }),
        [slot] => Ok(*slot),
        _ => Err(Pkcs11OpenError::ManyTokens { label: label.to_owned() }),
    }
}

fn log_in(context: &Pkcs11, config: &Pkcs11Config) -> Result<Session, Pkcs11OpenError> {
    let label = config.token_label.clone();
    let slot = find_token(context, &label)?;
    let failed = |doing| move |source| Pkcs11OpenError::Token { doing, source };
    let mechanisms = context.get_mechanism_list(slot).map_err(failed("listing what it can do"))?;
    if !mechanisms.contains(&MechanismType::AES_GCM) {
        return Err(Pkcs11OpenError::NoGcm { label });
    }
    let session = context.open_rw_session(slot).map_err(failed("opening a session"))?;
    let pin = AuthPin::from(config.pin.expose().as_str());
    match session.login(UserType::User, Some(&pin)) {
        Ok(()) => Ok(session),
        // The login is the process's; another session of it has logged in with the right PIN.
        Err(TokenError::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(session),
        Err(TokenError::Pkcs11(RvError::PinIncorrect | RvError::PinLenRange, _)) => {
            Err(Pkcs11OpenError::WrongPin { label })
        }
        Err(TokenError::Pkcs11(RvError::PinLocked, _)) => Err(Pkcs11OpenError::PinLocked { label }),
        Err(source) => Err(Pkcs11OpenError::Token { doing: "logging in", source }),
    }
}

/// What went wrong inside a session.
enum Failed {
    /// The store's own answer.
    Answer(KeyStoreError),
    /// The token's.
    Token(&'static str, TokenError),
}

impl From<KeyStoreError> for Failed {
    fn from(error: KeyStoreError) -> Self {
        Self::Answer(error)
    }
}

fn token(doing: &'static str) -> impl FnOnce(TokenError) -> Failed {
    move |source| Failed::Token(doing, source)
}

fn is_logged_in(session: &Session) -> bool {
    let state = session.get_session_info().map(|info| info.session_state());
    matches!(state, Ok(SessionState::RwUser))
}

/// Whether a new session may help.
fn session_is_gone(error: &TokenError) -> bool {
    use RvError as Rv;
    matches!(
        error,
        TokenError::Pkcs11(
            Rv::SessionClosed
                | Rv::SessionHandleInvalid
                | Rv::UserNotLoggedIn
                | Rv::DeviceRemoved
                | Rv::TokenNotPresent
                | Rv::CryptokiNotInitialized,
            _
        )
    )
}

impl Inner {
    fn with_session<T>(
        &self,
        work: &impl Fn(&Inner, &Session) -> Result<T, Failed>,
    ) -> Result<T, KeyStoreError> {
        let mut held = self.session.lock();
        // A login is the process's: where another part of it has logged out, the token does not fail
        // but hides the keys.
        if !held.as_ref().is_some_and(is_logged_in) {
            *held = None;
        }
        if let Some(session) = held.as_ref() {
            match work(self, session) {
                Ok(done) => return Ok(done),
                Err(Failed::Answer(error)) => return Err(error),
                Err(Failed::Token(doing, source)) if !session_is_gone(&source) => {
                    return Err(KeyStoreError::unavailable(format!("the token, {doing}"), source));
                }
                Err(Failed::Token(..)) => *held = None,
            }
        }
        let session = log_in(&self.context, &self.config)
            .map_err(|e| KeyStoreError::unavailable("the token", e))?;
        let done = match work(self, &session) {
            Ok(done) => Ok(done),
            Err(Failed::Answer(error)) => Err(error),
            Err(Failed::Token(doing, source)) => {
                Err(KeyStoreError::unavailable(format!("the token, {doing}"), source))
            }
        };
        *held = Some(session);
        done
    }

    /// Every key object of ours, by name and version.
    fn objects(&self, session: &Session) -> Result<BTreeMap<KeyName, Versions>, Failed> {
        let ours = [Attribute::Class(ObjectClass::SECRET_KEY), Attribute::KeyType(KeyType::AES)];
        let handles = session.find_objects(&ours).map_err(token("listing its keys"))?;
        let mut keys: BTreeMap<KeyName, Versions> = BTreeMap::new();
        for handle in handles {
            if let Some((name, version, object)) = read_object(session, handle)? {
                keys.entry(name).or_default().insert(version, object);
            }
        }
        Ok(keys)
    }

    fn versions(&self, session: &Session, name: &KeyName) -> Result<Versions, Failed> {
        let mut keys = self.objects(session)?;
        keys.remove(name).ok_or_else(|| KeyStoreError::NoSuchKey { name: name.clone() }.into())
    }

    fn generate(
        &self,
        session: &Session,
        name: &KeyName,
        version: KeyVersion,
    ) -> Result<(), Failed> {
        let created = self.clock.now().as_micros().to_be_bytes();
        let template = [
            Attribute::Class(ObjectClass::SECRET_KEY),
            Attribute::KeyType(KeyType::AES),
            Attribute::ValueLen(32.into()),
            Attribute::Token(true),
            Attribute::Private(true),
            Attribute::Sensitive(true),
            Attribute::Extractable(false),
            Attribute::Encrypt(true),
            Attribute::Decrypt(true),
            Attribute::Wrap(false),
            Attribute::Unwrap(false),
            Attribute::Sign(false),
            Attribute::Verify(false),
            // Revocation changes the object.
            Attribute::Modifiable(true),
            Attribute::Label(label(name, version).into_bytes()),
            Attribute::Id(created.to_vec()),
        ];
        let made = session
            .generate_key(&Mechanism::AesKeyGen, &template)
            .map_err(token("making a key"))?;
        let same = session
            .find_objects(&[Attribute::Label(label(name, version).into_bytes())])
            .map_err(token("listing its keys"))?;
        if same.len() == 1 {
            return Ok(());
        }
        // Another process made the same version at the same moment; it keeps its own.
        session.destroy_object(made).map_err(token("removing a doubled key"))?;
        Err(KeyStoreError::Exists { name: name.clone() }.into())
    }

    fn set_usable(&self, session: &Session, name: &KeyName, usable: bool) -> Result<(), Failed> {
        for object in self.versions(session, name)?.values() {
            let change = [Attribute::Encrypt(usable), Attribute::Decrypt(usable)];
            session
                .update_attributes(object.handle, &change)
                .map_err(token("changing what a key may do"))?;
        }
        Ok(())
    }
}

type Versions = BTreeMap<KeyVersion, Object>;

struct Object {
    handle: ObjectHandle,
    created: Timestamp,
    usable: bool,
}

fn label(name: &KeyName, version: KeyVersion) -> String {
    format!("salus:{name}:v{version}")
}

/// The object's name and version; none when its label is not one of ours.
fn read_object(
    session: &Session,
    handle: ObjectHandle,
) -> Result<Option<(KeyName, KeyVersion, Object)>, Failed> {
    let wanted =
        [AttributeType::Label, AttributeType::Id, AttributeType::Encrypt, AttributeType::Decrypt];
    let attributes = session.get_attributes(handle, &wanted).map_err(token("reading a label"))?;
    let (mut text, mut created) = (Vec::new(), Timestamp::EPOCH);
    let (mut encrypts, mut decrypts) = (false, false);
    for attribute in attributes {
        match attribute {
            Attribute::Label(bytes) => text = bytes,
            Attribute::Id(bytes) => {
                let micros = bytes.try_into().map(i64::from_be_bytes).ok();
                created = micros.and_then(|m| Timestamp::from_micros(m).ok()).unwrap_or(created);
            }
            Attribute::Encrypt(may) => encrypts = may,
            Attribute::Decrypt(may) => decrypts = may,
            _ => {}
        }
    }
    let parsed = std::str::from_utf8(&text).ok().and_then(|text| {
        let (name, number) = text.strip_prefix("salus:")?.rsplit_once(":v")?;
        Some((KeyName::new(name).ok()?, KeyVersion::new(number.parse().ok()?)?))
    });
    let usable = encrypts && decrypts;
    Ok(parsed.map(|(name, version)| (name, version, Object { handle, created, usable })))
}

fn info(name: &KeyName, versions: &Versions) -> KeyInfo {
    let state = if versions.values().all(|object| object.usable) {
        KeyState::Active
    } else {
        KeyState::Revoked
    };
    let versions =
        versions.iter().map(|(&version, o)| VersionInfo { version, created: o.created }).collect();
    KeyInfo { name: name.clone(), state, versions }
}

fn check_usable(name: &KeyName, versions: &Versions) -> Result<(), KeyStoreError> {
    match info(name, versions).state {
        KeyState::Active => Ok(()),
        KeyState::Revoked => Err(KeyStoreError::Revoked { name: name.clone() }),
    }
}

fn gcm<'a>(nonce: &'a mut [u8], context: &'a [u8]) -> Result<Mechanism<'a>, Failed> {
    let params = GcmParams::new(nonce, context, TAG_BITS.into()).map_err(token("wrapping"))?;
    Ok(Mechanism::AesGcm(params))
}

fn wrap(
    inner: &Inner,
    session: &Session,
    name: &KeyName,
    context: &[u8],
    key: &[u8],
) -> Result<WrappedKey, Failed> {
    let versions = inner.versions(session, name)?;
    check_usable(name, &versions)?;
    let (&version, object) =
        versions.last_key_value().ok_or_else(|| KeyStoreError::NoSuchKey { name: name.clone() })?;
    let mut nonce = [0; NONCE_BYTES];
    OsEntropy.fill(&mut nonce).map_err(|e| KeyStoreError::unavailable("no randomness", e))?;
    let drawn = nonce;
    let mechanism = gcm(&mut nonce, context)?;
    let sealed =
        session.encrypt(&mechanism, object.handle, key).map_err(token("wrapping a key"))?;
    Ok(WrappedKey::new(version, &[drawn.as_slice(), &sealed].concat()))
}

fn unwrap(
    inner: &Inner,
    session: &Session,
    name: &KeyName,
    context: &[u8],
    wrapped: &WrappedKey,
) -> Result<Secret<Vec<u8>>, Failed> {
    let versions = inner.versions(session, name)?;
    check_usable(name, &versions)?;
    let version = wrapped.version();
    let object = versions
        .get(&version)
        .ok_or_else(|| KeyStoreError::NoSuchVersion { name: name.clone(), version })?;
    let refused = || KeyStoreError::Unwrap { name: name.clone() };
    let sealed = wrapped.sealed();
    let (nonce, sealed) = sealed.split_at_checked(NONCE_BYTES).ok_or_else(refused)?;
    if sealed.len() < TAG_BITS as usize / 8 {
        return Err(refused().into());
    }
    let mut nonce = nonce.to_vec();
    let mechanism = gcm(&mut nonce, context)?;
    match session.decrypt(&mechanism, object.handle, sealed) {
        Ok(key) => Ok(Secret::new(key)),
        Err(error) if is_refusal(&error) => Err(refused().into()),
        Err(error) => Err(Failed::Token("unwrapping a key", error)),
    }
}

/// Tokens differ in how they say that a tag does not fit; SoftHSM says `CKR_GENERAL_ERROR`.
fn is_refusal(error: &TokenError) -> bool {
    use RvError as Rv;
    matches!(
        error,
        TokenError::Pkcs11(
            Rv::EncryptedDataInvalid
                | Rv::EncryptedDataLenRange
                | Rv::DataInvalid
                | Rv::DataLenRange
                | Rv::GeneralError
                | Rv::FunctionFailed,
            _
        )
    )
}

#[async_trait]
impl KeyStore for Pkcs11KeyStore {
    async fn create(&self, name: &KeyName) -> Result<KeyInfo, KeyStoreError> {
        let name = name.clone();
        self.blocking(move |inner, session| {
            if inner.objects(session)?.contains_key(&name) {
                return Err(KeyStoreError::Exists { name: name.clone() }.into());
            }
            inner.generate(session, &name, KeyVersion::FIRST)?;
            Ok(info(&name, &inner.versions(session, &name)?))
        })
        .await
    }

    async fn rotate(&self, name: &KeyName) -> Result<KeyInfo, KeyStoreError> {
        let name = name.clone();
        self.blocking(move |inner, session| {
            let versions = inner.versions(session, &name)?;
            check_usable(&name, &versions)?;
            let next = versions.last_key_value().and_then(|(version, _)| version.next());
            let next = next.ok_or_else(|| KeyStoreError::Bug {
                what: format!("the key '{name}' cannot have a further version"),
            })?;
            inner.generate(session, &name, next)?;
            Ok(info(&name, &inner.versions(session, &name)?))
        })
        .await
    }

    async fn wrap(
        &self,
        name: &KeyName,
        context: WrapContext<'_>,
        key: &Secret<Vec<u8>>,
    ) -> Result<WrappedKey, KeyStoreError> {
        check_length(key)?;
        let (name, context) = (name.clone(), context.as_bytes().to_vec());
        let key = Secret::new(key.expose().clone());
        self.blocking(move |inner, session| wrap(inner, session, &name, &context, key.expose()))
            .await
    }

    async fn unwrap(
        &self,
        name: &KeyName,
        context: WrapContext<'_>,
        wrapped: &WrappedKey,
    ) -> Result<Secret<Vec<u8>>, KeyStoreError> {
        let (name, context) = (name.clone(), context.as_bytes().to_vec());
        let wrapped = wrapped.clone();
        self.blocking(move |inner, session| unwrap(inner, session, &name, &context, &wrapped)).await
    }

    async fn describe(&self, name: &KeyName) -> Result<KeyInfo, KeyStoreError> {
        let name = name.clone();
        self.blocking(move |inner, session| Ok(info(&name, &inner.versions(session, &name)?))).await
    }

    async fn list(&self) -> Result<Vec<KeyInfo>, KeyStoreError> {
        self.blocking(|inner, session| {
            Ok(inner.objects(session)?.iter().map(|(name, key)| info(name, key)).collect())
        })
        .await
    }

    async fn revoke(&self, name: &KeyName) -> Result<(), KeyStoreError> {
        let name = name.clone();
        self.blocking(move |inner, session| inner.set_usable(session, &name, false)).await
    }

    async fn reinstate(&self, name: &KeyName) -> Result<(), KeyStoreError> {
        let name = name.clone();
        self.blocking(move |inner, session| inner.set_usable(session, &name, true)).await
    }

    async fn shred(&self, name: &KeyName) -> Result<(), KeyStoreError> {
        let name = name.clone();
        self.blocking(move |inner, session| {
            for object in inner.versions(session, &name)?.values() {
                session.destroy_object(object.handle).map_err(token("destroying a key"))?;
            }
            match inner.versions(session, &name) {
                Err(Failed::Answer(KeyStoreError::NoSuchKey { .. })) => Ok(()),
                Err(other) => Err(other),
                Ok(_) => Err(KeyStoreError::Peer {
                    what: format!("a version of '{name}' is still there after its destruction"),
                }
                .into()),
            }
        })
        .await
    }

    async fn health(&self) -> Result<Health, KeyStoreError> {
        self.blocking(|inner, session| {
            session.get_session_info().map_err(token("asking for its state"))?;
            inner.objects(session)?;
            let slot = find_token(&inner.context, &inner.config.token_label)
                .map_err(|e| KeyStoreError::unavailable("the token", e))?;
            let info = inner.context.get_token_info(slot).map_err(token("asking for its state"))?;
            let mut warnings = Vec::new();
            if info.user_pin_final_try() || info.user_pin_count_low() {
                warnings.push("wrong PINs were given lately; a few more lock the token".to_owned());
            }
            let store = format!(
                "PKCS#11 token '{}' ({} {})",
                info.label(),
                info.manufacturer_id(),
                info.model()
            );
            Ok(Health { store, warnings })
        })
        .await
    }
}
