use salus_model::Timestamp;
use serde::Serialize;

use crate::AccountId;

/// What happened to an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum EventKind {
    /// It was made and its person invited.
    Invited,
    /// Its person chose a password.
    Accepted,
    /// Somebody signed in.
    SignedIn,
    /// A try to sign in failed.
    Failed,
    /// A recovery code was used up.
    RecoveryUsed,
    /// A second factor was set up.
    Enrolled,
    /// An administrator took the second factor away, for a person who lost it.
    FactorRemoved,
    /// The password was changed.
    PasswordChanged,
    /// The role was changed.
    RoleChanged,
    /// The role was bound to a key of the organisation on the ledger.
    Bound,
    /// It was closed.
    Revoked,
    /// Its person proposed something to the ledger's members, for the organisation.
    Proposed,
    /// Its person endorsed another's proposal, for the organisation.
    Endorsed,
    /// Its person handed a proposal in.
    HandedIn,
}

impl EventKind {
    const ALL: [Self; 14] = [
        Self::Invited,
        Self::Accepted,
        Self::SignedIn,
        Self::Failed,
        Self::RecoveryUsed,
        Self::Enrolled,
        Self::FactorRemoved,
        Self::PasswordChanged,
        Self::RoleChanged,
        Self::Bound,
        Self::Revoked,
        Self::Proposed,
        Self::Endorsed,
        Self::HandedIn,
    ];

    /// The kind's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Invited => "invited",
            Self::Accepted => "accepted",
            Self::SignedIn => "signed-in",
            Self::Failed => "failed",
            Self::RecoveryUsed => "recovery-used",
            Self::Enrolled => "enrolled",
            Self::FactorRemoved => "factor-removed",
            Self::PasswordChanged => "password-changed",
            Self::RoleChanged => "role-changed",
            Self::Bound => "bound",
            Self::Revoked => "revoked",
            Self::Proposed => "proposed",
            Self::Endorsed => "endorsed",
            Self::HandedIn => "handed-in",
        }
    }

    pub(crate) fn stored(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// One entry of the history that administrators and auditors read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Event {
    /// Its place, from 1.
    pub number: i64,
    /// When.
    pub at: Timestamp,
    /// Whose account.
    pub account: AccountId,
    /// Who did it; the person of the account, or an administrator.
    pub by: AccountId,
    /// What.
    pub kind: EventKind,
}
