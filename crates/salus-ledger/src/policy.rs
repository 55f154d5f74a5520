//! Who has to sign: endorsement policies over the verified endorsers of a transaction.

use std::collections::BTreeSet;
use std::fmt;

use salus_model::MemberId;
use serde::{Deserialize, Serialize};

use crate::words::PublicKey;

/// What a member's key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Governs members, configuration and contracts, together with others.
    Administrator,
    /// Decides on permits and reviews releases for the hub.
    Officer,
    /// Books deposits and withdrawals of money.
    Treasurer,
    /// Holds datasets.
    Holder,
    /// Sells computation.
    Worker,
    /// Asks for data: universities, companies, agencies.
    Research,
    /// Orders and executes blocks.
    Validator,
    /// Reads and checks.
    Auditor,
    /// Reviews what wants out of its own organisation's datasets.
    Reviewer,
}

impl Role {
    /// Every role, in the order of the documentation.
    pub const ALL: [Self; 9] = [
        Self::Administrator,
        Self::Officer,
        Self::Treasurer,
        Self::Holder,
        Self::Worker,
        Self::Research,
        Self::Validator,
        Self::Auditor,
        Self::Reviewer,
    ];

    /// The word used in policies, files and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Administrator => "administrator",
            Self::Officer => "officer",
            Self::Treasurer => "treasurer",
            Self::Holder => "holder",
            Self::Worker => "worker",
            Self::Research => "research",
            Self::Validator => "validator",
            Self::Auditor => "auditor",
            Self::Reviewer => "reviewer",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One verified signature of a member's key in good standing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endorser {
    /// The organisation.
    pub member: MemberId,
    /// Its key.
    pub key: PublicKey,
    /// What the key may do.
    pub roles: BTreeSet<Role>,
}

/// Why a policy is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// A list without members, which anything would satisfy or nothing could.
    #[error("a policy's list must not be empty")]
    Empty,
    /// A threshold of zero, or one above the number of branches.
    #[error("{k} of {n} cannot be asked for; use 1 to {n}")]
    Threshold {
        /// How many were asked for.
        k: usize,
        /// How many there are.
        n: usize,
    },
    /// Nested too deeply, or too many parts.
    #[error("a policy nests at most {MAX_DEPTH} deep and has at most {MAX_PARTS} parts")]
    TooComplex,
}

/// How deep a policy may nest.
pub const MAX_DEPTH: usize = 4;
/// How many parts a policy may have.
pub const MAX_PARTS: usize = 64;

/// An endorsement policy: which signatures a transaction needs.
///
/// No policy means "anybody": there is no such variant, an empty list is refused, and a method
/// without a configured policy keeps the one that its contract demands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Expression", into = "Expression")]
pub struct Policy(Expression);

/// The form of a [`Policy`], before its check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Expression {
    /// A signature of any key of this member.
    Member(MemberId),
    /// A signature of a key of this member that has the role.
    MemberAs {
        /// The member.
        member: MemberId,
        /// The role of its key.
        role: Role,
    },
    /// Signatures of `k` different members whose keys have the role.
    Quorum {
        /// How many different members.
        k: u16,
        /// The role of their keys.
        role: Role,
    },
    /// At least `k` of the branches hold.
    AtLeast {
        /// How many branches.
        k: u16,
        /// The branches.
        of: Vec<Expression>,
    },
    /// Every branch holds.
    All(Vec<Expression>),
    /// Some branch holds.
    OneOf(Vec<Expression>),
}

impl Policy {
    /// The policy, when its form is a sound one.
    ///
    /// # Errors
    /// For empty lists, impossible thresholds, and forms that are too complex.
    pub fn new(expression: Expression) -> Result<Self, PolicyError> {
        let mut parts = 0;
        expression.check(MAX_DEPTH, &mut parts)?;
        Ok(Self(expression))
    }

    /// One signature of a key with this role.
    #[must_use]
    pub const fn role(role: Role) -> Self {
        Self(Expression::Quorum { k: 1, role })
    }

    /// Whether the endorsers satisfy it. Branches count independently: the same signature may
    /// serve several of them, and within a quorum each member counts once.
    #[must_use]
    pub fn is_satisfied_by(&self, endorsers: &[Endorser]) -> bool {
        self.0.holds(endorsers)
    }

    /// Its form.
    #[must_use]
    pub const fn expression(&self) -> &Expression {
        &self.0
    }
}

impl TryFrom<Expression> for Policy {
    type Error = PolicyError;
    fn try_from(expression: Expression) -> Result<Self, PolicyError> {
        Self::new(expression)
    }
}

impl From<Policy> for Expression {
    fn from(policy: Policy) -> Self {
        policy.0
    }
}

impl Expression {
    fn check(&self, depth: usize, parts: &mut usize) -> Result<(), PolicyError> {
        *parts += 1;
        if depth == 0 || *parts > MAX_PARTS {
            return Err(PolicyError::TooComplex);
        }
        let (k, of) = match self {
            Self::Member(_) | Self::MemberAs { .. } => return Ok(()),
            Self::Quorum { k: 0, .. } => return Err(PolicyError::Threshold { k: 0, n: 1 }),
            Self::Quorum { .. } => return Ok(()),
            Self::AtLeast { k, of } => (usize::from(*k), of),
            Self::All(of) => (of.len(), of),
            Self::OneOf(of) => (1, of),
        };
        if of.is_empty() {
            return Err(PolicyError::Empty);
        }
        if k == 0 || k > of.len() {
            return Err(PolicyError::Threshold { k, n: of.len() });
        }
        of.iter().try_for_each(|branch| branch.check(depth - 1, parts))
    }

    fn holds(&self, endorsers: &[Endorser]) -> bool {
        match self {
            Self::Member(member) => endorsers.iter().any(|e| &e.member == member),
            Self::MemberAs { member, role } => {
                endorsers.iter().any(|e| &e.member == member && e.roles.contains(role))
            }
            Self::Quorum { k, role } => {
                let members: BTreeSet<&MemberId> = endorsers
                    .iter()
                    .filter(|e| e.roles.contains(role))
                    .map(|e| &e.member)
                    .collect();
                members.len() >= usize::from(*k)
            }
            Self::AtLeast { k, of } => {
                of.iter().filter(|branch| branch.holds(endorsers)).count() >= usize::from(*k)
            }
            Self::All(of) => of.iter().all(|branch| branch.holds(endorsers)),
            Self::OneOf(of) => of.iter().any(|branch| branch.holds(endorsers)),
        }
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |of: &[Self]| of.iter().map(Self::to_string).collect::<Vec<_>>().join(", ");
        match self {
            Self::Member(member) => write!(f, "{member}"),
            Self::MemberAs { member, role } => write!(f, "{member} as {role}"),
            Self::Quorum { k, role } => write!(f, "{k} × {role}"),
            Self::AtLeast { k, of } => write!(f, "{k} of ({})", list(of)),
            Self::All(of) => write!(f, "all of ({})", list(of)),
            Self::OneOf(of) => write!(f, "one of ({})", list(of)),
        }
    }
}
