use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::RwLock;
use salus_crypto::{Digest, OsEntropy};
use salus_model::{
    Class, Classified, Clock, Entropy, EntropyFailed, Purpose, RoleName, StaffId, Timestamp,
};
use salus_query::{AccessToken, AuthenticationFailed, Authenticator, StaffIdentity};
use serde::{Deserialize, Serialize};

const FORMAT: u32 = 1;
const TOKEN_PREFIX: &str = "salus_";

/// One token's holder. The token itself is not kept, only its digest.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    staff: StaffId,
    roles: BTreeSet<RoleName>,
    purpose: Purpose,
    token: Digest,
    expires: Timestamp,
}

/// The entries by their tokens' digests.
type Entries = BTreeMap<Digest, Entry>;

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    format: u32,
    #[serde(default)]
    token: Vec<Entry>,
}

/// Why the staff file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StaffError {
    /// It cannot be read or written.
    #[error("the staff file {path} cannot be used")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It does not parse; the message has line and column.
    #[error("the staff file {path} is refused: {source}")]
    Toml {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<toml::de::Error>,
    },
    /// It cannot be written as TOML, which is a bug.
    #[error("the staff file cannot be written")]
    Encode(#[from] toml::ser::Error),
    /// A purpose that needs a permit.
    #[error("'{0}' is secondary use, which needs a permit; staff tokens are for care")]
    NotCare(Purpose),
    /// No such person.
    #[error("'{staff}' has no token")]
    NoToken {
        /// The person.
        staff: StaffId,
    },
    /// No random bytes.
    #[error("no token can be made")]
    Entropy(#[from] EntropyFailed),
}

impl Classified for StaffError {
    fn class(&self) -> Class {
        match self {
            Self::Io { .. } | Self::Entropy(_) => Class::Unavailable,
            Self::Encode(_) => Class::Bug,
            _ => Class::BadRequest,
        }
    }
}

/// A person with a token, as `salus staff list` shows it.
#[derive(Debug, Clone, Serialize)]
pub struct StaffMember {
    /// Who.
    pub staff: StaffId,
    /// In which roles they may act.
    pub roles: BTreeSet<RoleName>,
    /// For what.
    pub purpose: Purpose,
    /// Until when the token holds.
    pub expires: Timestamp,
}

/// The holder's staff and their tokens, in one file that is read anew when it changes.
///
/// # Privacy
/// Tokens have 256 random bits; the file has their SHA-256 alone, from which no token can be
/// found. A removed token is refused from the next statement on.
pub struct Staff {
    path: PathBuf,
    clock: Arc<dyn Clock>,
    known: RwLock<(Option<std::time::SystemTime>, Arc<Entries>)>,
}

impl Staff {
    /// The staff of the file at `path`, which need not be there yet.
    #[must_use]
    pub fn new(path: PathBuf, clock: Arc<dyn Clock>) -> Self {
        Self { path, clock, known: RwLock::new((None, Arc::default())) }
    }

    fn io(&self) -> impl Fn(std::io::Error) -> StaffError + use<> {
        let path = self.path.clone();
        move |source| StaffError::Io { path: path.clone(), source }
    }

    fn read(&self) -> Result<File, StaffError> {
        let text = match std::fs::read_to_string(&self.path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                return Ok(File { format: FORMAT, token: Vec::new() });
            }
            text => text.map_err(self.io())?,
        };
        toml::from_str(&text).map_err(|source| StaffError::Toml {
            path: self.path.clone(),
            source: Box::new(source),
        })
    }

    fn write(&self, file: &File) -> Result<(), StaffError> {
        write_private(&self.path, toml::to_string(file)?.as_bytes()).map_err(self.io())
    }

    /// Makes a token for a person; the only time that it is shown.
    ///
    /// # Errors
    /// When the purpose is secondary, or the file cannot be written.
    pub fn issue(
        &self,
        staff: StaffId,
        roles: BTreeSet<RoleName>,
        purpose: Purpose,
        lifetime_micros: i64,
    ) -> Result<String, StaffError> {
        if purpose.is_secondary() {
            return Err(StaffError::NotCare(purpose));
        }
        let mut random = [0; 32];
        OsEntropy.fill(&mut random)?;
        let token = format!("{TOKEN_PREFIX}{}", hex::encode(random));
        let expires = self.clock.now().saturating_add_micros(lifetime_micros);
        let mut file = self.read()?;
        file.format = FORMAT;
        let digest = Digest::of(token.as_bytes());
        file.token.push(Entry { staff, roles, purpose, token: digest, expires });
        self.write(&file)?;
        Ok(token)
    }

    /// Takes all tokens of a person away.
    ///
    /// # Errors
    /// When there is none, or the file cannot be written.
    pub fn revoke(&self, staff: &StaffId) -> Result<usize, StaffError> {
        let mut file = self.read()?;
        let before = file.token.len();
        file.token.retain(|entry| entry.staff != *staff);
        let gone = before - file.token.len();
        if gone == 0 {
            return Err(StaffError::NoToken { staff: staff.clone() });
        }
        self.write(&file)?;
        Ok(gone)
    }

    /// Everybody who has a token.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn list(&self) -> Result<Vec<StaffMember>, StaffError> {
        let member = |e: Entry| StaffMember {
            staff: e.staff,
            roles: e.roles,
            purpose: e.purpose,
            expires: e.expires,
        };
        Ok(self.read()?.token.into_iter().map(member).collect())
    }

    /// The entries, read anew when the file has changed.
    fn entries(&self) -> Result<Arc<BTreeMap<Digest, Entry>>, StaffError> {
        let changed = std::fs::metadata(&self.path).and_then(|m| m.modified()).ok();
        {
            let known = self.known.read();
            if changed.is_some() && known.0 == changed {
                return Ok(Arc::clone(&known.1));
            }
        }
        let entries = self.read()?.token.into_iter().map(|e| (e.token, e)).collect();
        let entries = Arc::new(entries);
        *self.known.write() = (changed, Arc::clone(&entries));
        Ok(entries)
    }
}

impl Staff {
    fn entries_or_unavailable(&self) -> Result<Arc<Entries>, AuthenticationFailed> {
        self.entries().map_err(|e| {
            tracing::error!(error = %e, "the staff file cannot be read");
            AuthenticationFailed::Unavailable
        })
    }
}

#[async_trait::async_trait]
impl Authenticator for Staff {
    async fn authenticate(
        &self,
        token: &AccessToken,
    ) -> Result<StaffIdentity, AuthenticationFailed> {
        let entries = self.entries_or_unavailable()?;
        // Looked up by digest: how long it takes tells nothing about a token that is not known.
        let entry = entries
            .get(&Digest::of(token.expose().as_bytes()))
            .filter(|entry| self.clock.now() < entry.expires)
            .ok_or(AuthenticationFailed::Token)?;
        Ok(entry.identity())
    }

    async fn standing(
        &self,
        staff: &StaffId,
        role: &RoleName,
        purpose: Purpose,
    ) -> Result<StaffIdentity, AuthenticationFailed> {
        let now = self.clock.now();
        let holds = |entry: &&Entry| {
            entry.staff == *staff
                && entry.roles.contains(role)
                && entry.purpose == purpose
                && now < entry.expires
        };
        let entries = self.entries_or_unavailable()?;
        let entry = entries.values().find(holds);
        entry.map(Entry::identity).ok_or(AuthenticationFailed::Token)
    }
}

impl Entry {
    fn identity(&self) -> StaffIdentity {
        StaffIdentity {
            staff: self.staff.clone(),
            roles: self.roles.clone(),
            purpose: self.purpose,
        }
    }
}

/// Writes a file that only its owner can read, in place of one that may be there.
///
/// # Errors
/// When the file or its folder cannot be written; what was there is then still there.
pub fn write_private(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    use std::io::Write as _;
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Under a name that nobody foresees, made for this alone and gone again if anything fails: its
    // owner's from the first byte on.
    let mut staged = tempfile::NamedTempFile::new_in(folder)?;
    staged.write_all(bytes)?;
    staged.as_file().sync_all()?;
    staged.persist(path).map_err(|failed| failed.error)?;
    std::fs::File::open(folder)?.sync_all()
}
