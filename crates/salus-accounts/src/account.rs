use std::fmt;
use std::str::FromStr;

use salus_crypto::Digest;
use salus_ledger::PublicKey;
use salus_model::{Entropy, EntropyFailed, MemberId, Timestamp};
use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization as _;

/// An account's id, which stays when the login name changes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AccountId(String);

impl AccountId {
    pub(crate) fn generate(entropy: &mut dyn Entropy) -> Result<Self, EntropyFailed> {
        let mut bytes = [0; 16];
        entropy.fill(&mut bytes)?;
        Ok(Self(hex::encode(bytes)))
    }

    /// Who acts with the site's own key and folder at hand, as on its command line; no account.
    #[must_use]
    pub fn operator() -> Self {
        Self("0".repeat(32))
    }

    /// Whom a try under a name that nobody has is written down for; no account.
    #[must_use]
    pub fn nobody() -> Self {
        Self("f".repeat(32))
    }

    /// The id as text: 32 hexadecimal digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A text that is no login name, account id, role or state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameRefused {
    /// A login name of another length.
    #[error("a login name has 2 to 64 characters, this one has {found}")]
    Length {
        /// How many there were.
        found: usize,
    },
    /// A character that a login name does not have.
    #[error(
        "a login name has letters, digits and . _ - @, not {found:?} (at character {position})"
    )]
    Character {
        /// The character.
        found: char,
        /// Where it stands, counted from 1.
        position: usize,
    },
    /// No account id.
    #[error("an account id is 32 hexadecimal digits")]
    Id,
    /// No such role.
    #[error(
        "'{0}' is no role; there are administrator, researcher, steward, technician and auditor"
    )]
    Role(String),
    /// No such state.
    #[error("'{0}' is no state of an account")]
    State(String),
}

impl TryFrom<String> for AccountId {
    type Error = NameRefused;
    fn try_from(text: String) -> Result<Self, NameRefused> {
        let fits = text.len() == 32
            && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if fits { Ok(Self(text)) } else { Err(NameRefused::Id) }
    }
}

impl From<AccountId> for String {
    fn from(id: AccountId) -> Self {
        id.0
    }
}

/// What a person types to sign in: NFKC, lower case, without spaces.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LoginName(String);

impl LoginName {
    /// The name in its one spelling.
    ///
    /// # Errors
    /// Says which character or length is wrong.
    pub fn new(text: &str) -> Result<Self, NameRefused> {
        let name: String = text.trim().nfkc().flat_map(char::to_lowercase).collect();
        let found = name.chars().count();
        if !(2..=64).contains(&found) {
            return Err(NameRefused::Length { found });
        }
        let fits = |c: char| c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '@');
        match name.chars().enumerate().find(|&(_, c)| !fits(c)) {
            Some((at, found)) => Err(NameRefused::Character { found, position: at + 1 }),
            None => Ok(Self(name)),
        }
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for LoginName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for LoginName {
    type Err = NameRefused;
    fn from_str(text: &str) -> Result<Self, NameRefused> {
        Self::new(text)
    }
}

impl TryFrom<String> for LoginName {
    type Error = NameRefused;
    fn try_from(text: String) -> Result<Self, NameRefused> {
        Self::new(&text)
    }
}

impl From<LoginName> for String {
    fn from(name: LoginName) -> Self {
        name.0
    }
}

/// What a person is here for; what the role may do is decided where the work is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AccountRole {
    /// Makes accounts and changes the platform; sees no data.
    Administrator,
    /// Applies for permits and asks under them.
    Researcher,
    /// Looks after a holder's datasets and releases.
    Steward,
    /// Looks after a holder's devices; sees what they report, and no patient.
    Technician,
    /// Reads the ledger and the records of access.
    Auditor,
}

impl AccountRole {
    /// Every role.
    pub const ALL: [Self; 5] =
        [Self::Administrator, Self::Researcher, Self::Steward, Self::Technician, Self::Auditor];

    /// The role's name, as on the command line and in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Administrator => "administrator",
            Self::Researcher => "researcher",
            Self::Steward => "steward",
            Self::Technician => "technician",
            Self::Auditor => "auditor",
        }
    }

    /// Whether people in this role have to sign in with a second factor.
    ///
    /// Those who can open an account or publish a dataset do: one guessed password must not.
    #[must_use]
    pub const fn wants_second_factor(self) -> bool {
        matches!(self, Self::Administrator | Self::Steward)
    }
}

impl fmt::Display for AccountRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for AccountRole {
    type Err = NameRefused;
    fn from_str(text: &str) -> Result<Self, NameRefused> {
        let found = Self::ALL.into_iter().find(|role| role.as_str() == text);
        found.ok_or_else(|| NameRefused::Role(text.to_owned()))
    }
}

/// Whether an account may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AccountState {
    /// Invited; no password yet.
    Invited,
    /// In use.
    Active,
    /// Closed by an administrator; its sessions ended with it.
    Revoked,
}

impl AccountState {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Invited => "invited",
            Self::Active => "active",
            Self::Revoked => "revoked",
        }
    }
}

impl FromStr for AccountState {
    type Err = NameRefused;
    fn from_str(text: &str) -> Result<Self, NameRefused> {
        let all = [Self::Invited, Self::Active, Self::Revoked];
        let found = all.into_iter().find(|state| state.as_str() == text);
        found.ok_or_else(|| NameRefused::State(text.to_owned()))
    }
}

/// The key of an organisation on the ledger that a role is bound to, with its certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Bound {
    /// The ledger key.
    pub key: PublicKey,
    /// The SHA-256 of the certificate's DER form.
    pub certificate: Digest,
}

/// An account as an administrator sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Account {
    /// Its id.
    pub id: AccountId,
    /// What the person types.
    pub login: LoginName,
    /// How the person is called on screen.
    pub name: String,
    /// What the person is here for.
    pub role: AccountRole,
    /// The organisation on the ledger to which the person belongs.
    pub member: MemberId,
    /// The organisation's key on the ledger under which the role holds, when it has been bound.
    pub bound: Option<Bound>,
    /// Whether it may be used.
    pub state: AccountState,
    /// Whether a second factor is set up.
    pub second_factor: bool,
    /// When it was made.
    pub created: Timestamp,
}
