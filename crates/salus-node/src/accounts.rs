//! The accounts of people who sign in at a site's console, and what vouches for their roles.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;
use salus_accounts::{Account, AccountRole, Accounts, Bound, Database, OpenError, SessionRules};
use salus_crypto::aead::{Aad, AeadKey};
use salus_crypto::{Digest, OsEntropy};
use salus_ledger::PublicKey;
use salus_ledger::policy::Role;
use salus_ledger::proof::{Fact, KeyStanding, NoStanding, ProvenState, facts_of_key};
use salus_model::{Class, Classified, Clock, MemberId, Secret, Timestamp};
use salus_private::LedgerRefused;
use salus_store::{SealedError, open_sealed, seal_object};

use crate::keystore::{SecretFileError, read_secret};
use crate::ledger::HolderLedger;
use crate::site::{Site, SiteError};

const DATABASE_FILE: &str = "accounts.sqlite";
const KEY_FILE: &str = "accounts.key";
/// How soon a revocation on the ledger takes effect in the console.
const VOUCHED_MICROS: i64 = 30 * 1_000_000;

/// Why the accounts of a site do not open.
#[derive(Debug, thiserror::Error)]
pub enum AccountsError {
    /// The database does not open.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The key does not open.
    #[error("the key of the accounts, {path}, does not open: restore it from a backup")]
    Key {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Option<SealedError>,
    },
    /// The file with the database's address is refused.
    #[error(transparent)]
    Url(#[from] SecretFileError),
    /// The site refused.
    #[error(transparent)]
    Site(#[from] SiteError),
}

impl Classified for AccountsError {
    fn class(&self) -> Class {
        match self {
            Self::Open(e) => e.class(),
            Self::Key { .. } => Class::Corrupt,
            Self::Url(e) => e.class(),
            Self::Site(e) => e.class(),
        }
    }
}

impl Site {
    /// The accounts of people who sign in at the site's console.
    ///
    /// # Errors
    /// When their database or their key does not open.
    pub async fn accounts(&self) -> Result<Accounts, AccountsError> {
        let key = self.accounts_key().await?;
        let database = match &self.config.accounts.postgres_url_file {
            None => Database::Sqlite(self.folder.join(DATABASE_FILE)),
            Some(file) => Database::Postgres(read_secret(&self.folder.join(file))?),
        };
        let clock = Arc::clone(&self.clock);
        Ok(Accounts::open(&database, &key, clock, SessionRules::OFFICE).await?)
    }

    /// The key under which second factors and questions are sealed; made once.
    async fn accounts_key(&self) -> Result<AeadKey, AccountsError> {
        let path = self.folder.join(KEY_FILE);
        let aad = Aad::new("salus accounts key v1", &[self.config.holder.as_str().as_bytes()]);
        let failed = |source| AccountsError::Key { path: path.clone(), source };
        let io = |source| SiteError::Io { path: path.clone(), source };
        match std::fs::read(&path) {
            Ok(sealed) => {
                let opened = open_sealed(&*self.keys, &self.master, &aad, &sealed)
                    .await
                    .map_err(|e| failed(Some(e)))?;
                let key: [u8; 32] = opened.as_slice().try_into().map_err(|_| failed(None))?;
                Ok(AeadKey::from_secret(Secret::new(key)))
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                let key = AeadKey::generate(&mut OsEntropy).map_err(SiteError::from)?;
                let bytes = key.secret().expose();
                let sealed = seal_object(&*self.keys, &self.master, &aad, bytes)
                    .await
                    .map_err(|e| failed(Some(e)))?;
                crate::staff::write_private(&path, &sealed).map_err(io)?;
                Ok(key)
            }
            Err(source) => Err(io(source).into()),
        }
    }
}

/// Why the ledger does not vouch for a role.
#[derive(Debug, Clone, thiserror::Error)]
pub enum VouchingError {
    /// The account is bound to no key.
    #[error(
        "this account is not bound to a key of its organisation on the ledger; an administrator binds it with: salus account bind"
    )]
    NotBound,
    /// The key counts for nothing.
    #[error("the ledger does not vouch for this role")]
    NoStanding(#[from] NoStanding),
    /// The key is another organisation's.
    #[error("the key is of {found}, and the account of {wanted}")]
    OtherMember {
        /// Whose key it is.
        found: MemberId,
        /// Whose account it is.
        wanted: MemberId,
    },
    /// The organisation has not what the role needs.
    #[error("on the ledger {member} has none of the roles that a {role} needs ({needed})")]
    Role {
        /// The organisation.
        member: MemberId,
        /// The account's role.
        role: AccountRole,
        /// What would do.
        needed: String,
    },
    /// The certificate is another one than the account was bound to.
    #[error("the organisation's certificate has changed since; bind the account anew")]
    OtherCertificate,
    /// The ledger is out of reach.
    #[error("the ledger that vouches for this role cannot be asked: {0}")]
    Ledger(String),
}

impl Classified for VouchingError {
    fn class(&self) -> Class {
        match self {
            Self::Ledger(_) => Class::Unavailable,
            Self::NoStanding(e) => e.class(),
            _ => Class::Refused,
        }
    }
}

/// What an organisation must be on the ledger for its people to have a role; any member's will do
/// where the list is empty.
const fn needs(role: AccountRole) -> &'static [Role] {
    match role {
        // Every member runs its own console, and every member may read all of the ledger. What an
        // organisation's administrator may change of the platform itself, the contracts decide.
        AccountRole::Administrator | AccountRole::Auditor => &[],
        AccountRole::Researcher => &[Role::Research],
        AccountRole::Steward => &[Role::Holder, Role::Officer],
        AccountRole::Technician => &[Role::Holder],
    }
}

/// Whether a key's standing is enough for an account.
///
/// # Errors
/// Names what is missing.
pub fn is_vouched(account: &Account, standing: &KeyStanding) -> Result<(), VouchingError> {
    if standing.member != account.member {
        let (found, wanted) = (standing.member.clone(), account.member.clone());
        return Err(VouchingError::OtherMember { found, wanted });
    }
    let needed = needs(account.role);
    if !needed.is_empty() && needed.iter().all(|role| !standing.roles.contains(role)) {
        let words: Vec<&str> = needed.iter().map(|role| role.as_str()).collect();
        return Err(VouchingError::Role {
            member: account.member.clone(),
            role: account.role,
            needed: words.join(" or "),
        });
    }
    Ok(())
}

/// Asks the ledger whether it vouches for the roles of accounts.
pub struct Vouching {
    ledger: Arc<HolderLedger>,
    clock: Arc<dyn Clock>,
    known: Mutex<HashMap<PublicKey, (Timestamp, KeyStanding)>>,
}

impl std::fmt::Debug for Vouching {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Vouching")
    }
}

impl Vouching {
    /// Asks this ledger.
    #[must_use]
    pub fn new(ledger: Arc<HolderLedger>, clock: Arc<dyn Clock>) -> Self {
        Self { ledger, clock, known: Mutex::default() }
    }

    /// The ledger's organisation that runs the site, and its key.
    #[must_use]
    pub fn own(&self) -> (&MemberId, PublicKey) {
        (self.ledger.member(), self.ledger.key())
    }

    /// What an account is bound to by this key.
    ///
    /// # Errors
    /// When the ledger does not vouch for the account's role under the key.
    pub async fn bind(&self, account: &Account, key: PublicKey) -> Result<Bound, VouchingError> {
        let standing = self.standing(&key).await?;
        is_vouched(account, &standing)?;
        Ok(Bound { key, certificate: Digest::from_bytes(*standing.certificate.as_bytes()) })
    }

    /// Whether the ledger vouches for an account, as of half a minute ago at most.
    ///
    /// # Errors
    /// When it does not, or cannot be asked.
    pub async fn check(&self, account: &Account) -> Result<(), VouchingError> {
        let bound = account.bound.ok_or(VouchingError::NotBound)?;
        let standing = self.standing(&bound.key).await?;
        if standing.certificate.as_bytes() != bound.certificate.as_bytes() {
            return Err(VouchingError::OtherCertificate);
        }
        is_vouched(account, &standing)
    }

    async fn standing(&self, key: &PublicKey) -> Result<KeyStanding, VouchingError> {
        let now = self.clock.now();
        if let Some((at, standing)) = self.known.lock().get(key)
            && (0..VOUCHED_MICROS).contains(&now.micros_since(*at))
        {
            return Ok(standing.clone());
        }
        let standing = self.asked(key, now).await;
        let mut known = self.known.lock();
        match &standing {
            Ok(standing) => {
                known.insert(*key, (now, standing.clone()));
            }
            Err(_) => {
                known.remove(key);
            }
        }
        standing
    }

    async fn asked(&self, key: &PublicKey, now: Timestamp) -> Result<KeyStanding, VouchingError> {
        let first = self.state(&facts_of_key(key, None)).await?;
        let record = first.key(key).map_err(NoStanding::from)?;
        // All of it at one block: what was true at two different ones need never have been true.
        let state = self.state(&facts_of_key(key, record.as_ref())).await?;
        Ok(state.key_standing(key, now)?)
    }

    async fn state(&self, facts: &[Fact]) -> Result<ProvenState, VouchingError> {
        let unreachable = |e: LedgerRefused| VouchingError::Ledger(e.to_string());
        self.ledger.state(facts).await.map_err(unreachable)
    }
}
