use salus_model::{Class, Classified, EntropyFailed, Timestamp};

use crate::account::NameRefused;
use crate::password::{HashFailed, PasswordRefused};
use crate::second::SecondError;
use crate::{AccountId, AccountRole, LoginName};

/// Why an operation on accounts was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// Name, password or code is wrong; which of them is not told.
    #[error("name, password or code is wrong")]
    Refused,
    /// The password is right and the code is missing.
    #[error("a code from the authenticator app, or a recovery code, is needed too")]
    CodeWanted,
    /// Too many failed tries.
    #[error("too many failed tries; try again after {until}")]
    Wait {
        /// From when on a try is allowed.
        until: Timestamp,
    },
    /// No such session, or it has ended.
    #[error("sign in again: this session has ended")]
    NoSession,
    /// The session was begun without the second factor that the role demands.
    #[error("set up a second factor first: {role}s need one")]
    EnrolFirst {
        /// The role.
        role: AccountRole,
    },
    /// The role may not do this.
    #[error("only administrators may do this")]
    NotAdministrator,
    /// The account has a second factor.
    #[error("a second factor is set up already; an administrator takes it away when it is lost")]
    FactorSet,
    /// The role asks no questions.
    #[error("only researchers ask questions under permits")]
    NotResearcher,
    /// The invitation is unknown, used or too old.
    #[error("this invitation is not valid any more; ask an administrator for a new one")]
    NoInvitation,
    /// The login name is taken.
    #[error("'{login}' is taken; choose another login name")]
    Taken {
        /// The name.
        login: LoginName,
    },
    /// No such account.
    #[error("there is no account {id}")]
    NoAccount {
        /// The id.
        id: AccountId,
    },
    /// The last administrator would be gone.
    #[error("this is the last administrator; make another one first")]
    LastAdministrator,
    /// There is an administrator already.
    #[error("there are accounts already; an administrator invites the next ones")]
    NotTheFirst,
    /// The new password is not accepted.
    #[error(transparent)]
    Password(#[from] PasswordRefused),
    /// Hashing failed.
    #[error("the password could not be kept")]
    Hash(#[from] HashFailed),
    /// The second factor could not be worked with.
    #[error("the second factor could not be worked with")]
    Second(#[from] SecondError),
    /// A question could not be sealed for the history.
    #[error("the question could not be written down, so it was not asked")]
    Seal(#[source] salus_crypto::aead::SealFailed),
    /// No randomness.
    #[error("no random bytes could be drawn")]
    Entropy(#[from] EntropyFailed),
    /// The database failed.
    #[error("the database of accounts does not answer")]
    Database(#[from] sqlx::Error),
    /// The database has what this program never writes.
    #[error("the database of accounts has an invalid entry")]
    Corrupt(#[source] NameRefused),
    /// The database has what this program never writes.
    #[error("the database of accounts has an invalid {what}")]
    CorruptField {
        /// Which field.
        what: &'static str,
    },
    /// Somebody else changed the same account at the same time.
    #[error("somebody else changed this at the same time; try again")]
    Raced,
    /// The thread that hashes is gone.
    #[error("the program is stopping")]
    Stopping,
}

impl From<NameRefused> for AccountError {
    fn from(refused: NameRefused) -> Self {
        Self::Corrupt(refused)
    }
}

impl Classified for AccountError {
    fn class(&self) -> Class {
        match self {
            Self::Refused
            | Self::CodeWanted
            | Self::Wait { .. }
            | Self::NoSession
            | Self::EnrolFirst { .. }
            | Self::NotAdministrator
            | Self::NotResearcher
            | Self::FactorSet
            | Self::NoInvitation
            | Self::LastAdministrator
            | Self::NotTheFirst => Class::Refused,
            Self::Taken { .. } | Self::NoAccount { .. } | Self::Password(_) | Self::Raced => {
                Class::BadRequest
            }
            Self::Corrupt(_) | Self::CorruptField { .. } => Class::Corrupt,
            Self::Second(SecondError::Open(_)) => Class::Corrupt,
            Self::Second(SecondError::Refused) | Self::Hash(HashFailed::Refused) => Class::Bug,
            _ => Class::Unavailable,
        }
    }
}
