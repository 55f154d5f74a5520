//! What the console says of accounts, questions and keys, in forms of its own: what lies beneath
//! may change without changing the pages.

use std::collections::BTreeMap;

use salus_accounts as accounts;
use salus_keys as keys;
use salus_ledger::PublicKey;
use salus_model::{KeyName, MemberId, MicroRho, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a person is here for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Role {
    Administrator,
    Researcher,
    Steward,
    Technician,
    Auditor,
}

impl From<accounts::AccountRole> for Role {
    fn from(role: accounts::AccountRole) -> Self {
        use accounts::AccountRole;
        match role {
            AccountRole::Administrator => Self::Administrator,
            AccountRole::Researcher => Self::Researcher,
            AccountRole::Steward => Self::Steward,
            AccountRole::Technician => Self::Technician,
            AccountRole::Auditor => Self::Auditor,
        }
    }
}

impl From<Role> for accounts::AccountRole {
    fn from(role: Role) -> Self {
        match role {
            Role::Administrator => Self::Administrator,
            Role::Researcher => Self::Researcher,
            Role::Steward => Self::Steward,
            Role::Technician => Self::Technician,
            Role::Auditor => Self::Auditor,
        }
    }
}

/// Whether an account may be used.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum AccountState {
    /// Invited; no password yet.
    Invited,
    /// In use.
    Active,
    /// Closed by an administrator.
    Revoked,
}

/// What a session may be used for.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Strength {
    /// Everything that the role allows.
    Full,
    /// Setting up the second factor that the role demands, and nothing else.
    Enrolment,
}

impl From<accounts::Strength> for Strength {
    fn from(strength: accounts::Strength) -> Self {
        match strength {
            accounts::Strength::Full => Self::Full,
            accounts::Strength::Enrolment => Self::Enrolment,
        }
    }
}

/// The organisation's key on the ledger that vouches for a role.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Bound")]
pub(super) struct BoundShown {
    #[schemars(with = "String")]
    key: PublicKey,
    /// The SHA-256 of the key's certificate.
    certificate: String,
}

/// An account.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Account")]
pub(super) struct AccountShown {
    id: String,
    /// What the person types to sign in.
    login: String,
    /// How the person is called on screen.
    name: String,
    role: Role,
    /// The organisation to which the person belongs.
    #[schemars(with = "String")]
    member: MemberId,
    /// None where the role is bound to no key.
    bound: Option<BoundShown>,
    state: AccountState,
    /// Whether a second factor is set up.
    second_factor: bool,
    #[schemars(with = "String")]
    created: Timestamp,
}

impl From<&accounts::Account> for AccountShown {
    fn from(account: &accounts::Account) -> Self {
        let state = match account.state {
            accounts::AccountState::Invited => AccountState::Invited,
            accounts::AccountState::Active => AccountState::Active,
            accounts::AccountState::Revoked => AccountState::Revoked,
        };
        let bound = account.bound.as_ref();
        Self {
            id: account.id.to_string(),
            login: account.login.to_string(),
            name: account.name.clone(),
            role: account.role.into(),
            member: account.member.clone(),
            bound: bound.map(|bound| BoundShown {
                key: bound.key,
                certificate: hex::encode(bound.certificate.as_bytes()),
            }),
            state,
            second_factor: account.second_factor,
            created: account.created,
        }
    }
}

/// What happened to an account.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "AccountEvent")]
pub(super) struct EventShown {
    number: i64,
    #[schemars(with = "String")]
    at: Timestamp,
    /// Whose account.
    account: String,
    /// Who did it.
    by: String,
    /// A word such as `signed-in`.
    kind: &'static str,
}

impl From<accounts::Event> for EventShown {
    fn from(event: accounts::Event) -> Self {
        Self {
            number: event.number,
            at: event.at,
            account: event.account.to_string(),
            by: event.by.to_string(),
            kind: event.kind.as_str(),
        }
    }
}

/// A question that was asked.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "AskedLine")]
pub(super) struct AskedShown {
    number: i64,
    #[schemars(with = "String")]
    at: Timestamp,
    /// Who asked.
    account: String,
    permit: String,
    /// As `HOLDER/DATASET`.
    dataset: String,
    /// The question's text.
    question: String,
    outcome: OutcomeShown,
}

/// How a question ended.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case", tag = "ended")]
#[schemars(rename = "AskedOutcome")]
enum OutcomeShown {
    /// It was sent, and no end was written down.
    Sent,
    /// It was answered.
    Answered {
        deal: String,
        receipt: String,
        #[schemars(with = "u64")]
        micro_rho: MicroRho,
    },
    /// It was not answered, by a reason of this kind.
    Failed { class: &'static str },
}

impl From<accounts::Asked> for AskedShown {
    fn from(asked: accounts::Asked) -> Self {
        let outcome = match asked.outcome {
            accounts::Outcome::Sent => OutcomeShown::Sent,
            accounts::Outcome::Answered { deal, receipt, micro_rho } => {
                OutcomeShown::Answered { deal, receipt, micro_rho }
            }
            accounts::Outcome::Failed { class } => OutcomeShown::Failed { class },
        };
        Self {
            number: asked.number,
            at: asked.at,
            account: asked.account.to_string(),
            permit: asked.permit,
            dataset: asked.dataset,
            question: asked.question,
            outcome,
        }
    }
}

/// A master key.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "MasterKey")]
pub(super) struct KeyShown {
    #[schemars(with = "String")]
    name: KeyName,
    state: KeyStateShown,
    /// The oldest first; the last one wraps.
    versions: Vec<KeyVersionShown>,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(rename = "KeyState")]
enum KeyStateShown {
    Active,
    Revoked,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "KeyVersion")]
struct KeyVersionShown {
    version: u32,
    #[schemars(with = "String")]
    created: Timestamp,
}

impl From<keys::KeyInfo> for KeyShown {
    fn from(key: keys::KeyInfo) -> Self {
        let version = |one: &keys::VersionInfo| KeyVersionShown {
            version: one.version.number(),
            created: one.created,
        };
        Self {
            versions: key.versions.iter().map(version).collect(),
            name: key.name,
            state: match key.state {
                keys::KeyState::Active => KeyStateShown::Active,
                keys::KeyState::Revoked => KeyStateShown::Revoked,
            },
        }
    }
}

/// Forms that other crates publish, described here for the document. A test takes each to JSON and
/// through its description back, and finds the same.
pub(super) mod described {
    use super::{BTreeMap, Deserialize, JsonSchema, Serialize};

    /// What is publicly known of a dataset, and whose presence its answers hide.
    #[derive(Serialize, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    pub(in crate::console) struct Profile {
        /// The column that names the unit.
        unit_column: String,
        /// `device`, `patient` or `hospital`.
        unit: String,
        /// How many rows of a unit count, and how many in one group.
        contribution: (u32, u32),
        /// `one` or `many`.
        rows_per_unit: String,
        columns: BTreeMap<String, ColumnKind>,
    }

    /// What is publicly known of a column.
    #[derive(Serialize, Deserialize, JsonSchema)]
    #[serde(rename_all = "kebab-case")]
    enum ColumnKind {
        /// Numbers: low and high in steps of a power of ten, and how many decimals.
        Number((i64, i64, u8)),
        /// Moments: low and high in seconds since 1970.
        Instant((i64, i64, u8)),
        /// Values of a public list.
        Category(Vec<String>),
        /// Values of any kind.
        Open,
    }

    /// The error to expect, known before asking.
    #[derive(Serialize, Deserialize, JsonSchema)]
    #[serde(rename_all = "kebab-case", deny_unknown_fields)]
    pub(in crate::console) enum ExpectedError {
        /// Of each number itself.
        Value { standard_error: f64, half_width: f64 },
        /// Of a ratio, at the number of rows assumed.
        AtRows { rows: u64, standard_error: f64, half_width: f64 },
        /// Of a rank, in rows.
        Rank { standard_error: f64, half_width: f64 },
    }

    /// A question, signed with the permit's own key.
    #[derive(Serialize, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    pub(in crate::console) struct SignedRequest {
        request: SecondaryRequest,
        /// The permit's verifying key, in hexadecimal.
        key: String,
        /// Ed25519, in Base64.
        signature: String,
    }

    /// What is asked of one holder under a permit.
    #[derive(Serialize, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    struct SecondaryRequest {
        ledger: String,
        permit: String,
        holder: String,
        /// This one use; the asker draws it at random.
        deal: String,
        purpose: String,
        /// The digest of the code that is to run.
        code: String,
        /// The digest of the exact question.
        question: String,
        /// To whom the result is sealed.
        recipient: String,
        issued: String,
        /// At most ten minutes later.
        expires: String,
    }
}
