//! The contracts: each a module of plain functions from a call and a context to writes, or to the
//! name of the rule that was broken.

mod accounts;
mod artefacts;
mod context;
mod datasets;
mod devices;
mod market;
mod members;
mod optouts;
mod permits;
mod platform;
pub mod records;
mod refusal;
mod reviews;
mod standing;

pub use accounts::AccountRefusal;
pub use artefacts::ArtefactRefusal;
pub use context::EndorsementRefusal;
pub(crate) use context::{Context, Stop, resolve_endorsers};
pub use datasets::DatasetRefusal;
pub use devices::DeviceRefusal;
pub use market::MarketRefusal;
pub use members::MemberRefusal;
pub(crate) use members::admit_at_genesis;
pub use optouts::OptOutRefusal;
pub use permits::PermitRefusal;
pub use platform::PlatformRefusal;
pub use refusal::Refusal;
pub use reviews::ReviewRefusal;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::call::{Call, Method};

/// A set of rules with one subject, versioned as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Contract {
    /// Members, their roles, keys and certificates.
    Members,
    /// The platform configuration and the contracts' versions.
    Platform,
    /// Datasets, by commitments only.
    Datasets,
    /// Devices, by commitments only.
    Devices,
    /// Permits.
    Permits,
    /// Opt-out lists, by salted roots only.
    OptOuts,
    /// Privacy accounts and receipts.
    Accounts,
    /// Money, orders, deals and escrow.
    Market,
    /// Models, anonymised and synthetic sets.
    Artefacts,
}

impl Contract {
    /// Every contract, in the order of the documentation.
    pub const ALL: [Self; 9] = [
        Self::Members,
        Self::Platform,
        Self::Datasets,
        Self::Devices,
        Self::Permits,
        Self::OptOuts,
        Self::Accounts,
        Self::Market,
        Self::Artefacts,
    ];

    /// The word used in files and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Members => "members",
            Self::Platform => "platform",
            Self::Datasets => "datasets",
            Self::Devices => "devices",
            Self::Permits => "permits",
            Self::OptOuts => "optouts",
            Self::Accounts => "accounts",
            Self::Market => "market",
            Self::Artefacts => "artefacts",
        }
    }

    /// The newest version of its rules that this program can decide by.
    #[must_use]
    pub const fn newest(self) -> ContractVersion {
        match self {
            // Version 2 holds a permit to the ten years of Regulation (EU) 2025/327, Art. 68(12).
            // Version 3 keeps who vouched for the person, whose organisation reviews nothing then.
            Self::Permits => ContractVersion(3),
            // Version 2 counts reviewers' approvals where version 1 took an officer's signature.
            // Version 3 lets a review take the place of others about its own datasets alone.
            Self::Accounts => ContractVersion(3),
            // Version 2 takes one artefact of an owner under a receipt.
            Self::Artefacts => ContractVersion(2),
            _ => ContractVersion::FIRST,
        }
    }

    /// The rules that a new ledger begins by: the newest of each contract that has later ones than
    /// its first.
    #[must_use]
    pub fn newest_rules() -> BTreeMap<Self, ContractVersion> {
        let newest = Self::ALL.map(|contract| (contract, contract.newest()));
        newest.into_iter().filter(|(_, version)| *version > ContractVersion::FIRST).collect()
    }
}

/// A version of a contract's rules, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ContractVersion(u16);

impl ContractVersion {
    /// The rules that a ledger begins with.
    pub const FIRST: Self = Self(1);

    /// The version with this number.
    #[must_use]
    pub const fn new(number: u16) -> Self {
        Self(number)
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }

    /// The version after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// Decides one call: writes what it changes, or stops with the rule that it breaks.
pub(crate) fn decide(call: &Call, cx: &mut Context<'_, '_>) -> Result<(), Stop> {
    cx.require_configured_policy(call.method())?;
    match call.method().contract() {
        Contract::Members => members::decide(call, cx),
        Contract::Platform => platform::decide(call, cx),
        Contract::Datasets => datasets::decide(call, cx),
        Contract::Devices => devices::decide(call, cx),
        Contract::Permits => permits::decide(call, cx),
        Contract::OptOuts => optouts::decide(call, cx),
        Contract::Accounts => accounts::decide(call, cx),
        Contract::Market => market::decide(call, cx),
        Contract::Artefacts => artefacts::decide(call, cx),
    }
}

/// A call that came to a contract that is not its own: the table of calls is wrong.
pub(crate) fn misrouted(method: Method) -> Stop {
    Stop::Misrouted(method)
}
