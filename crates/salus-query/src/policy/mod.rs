//! Which columns a role may read, and which rows: a roles file with Cedar policies.
//!
//! ```toml
//! format = 1
//! policies = '''
//! permit(principal in Salus::Role::"dietitian", action, resource in Salus::Dataset::"meals")
//!   unless { resource.keyClass == "identifiers" };
//! permit(principal in Salus::Role::"policy", action, resource in Salus::Dataset::"careteam");
//! '''
//!
//! [role.dietitian]
//! mask = true
//!
//! [[role.dietitian.rows]]
//! dataset = "meals"
//! subject = "patient"
//! among = "SELECT patient FROM careteam WHERE member = $staff"
//! ```

mod decide;
mod file;

use std::collections::BTreeMap;

use cedar_policy::{PolicySet, Schema};
use salus_model::{Class, Classified, ColumnPath, DatasetId, RoleName};

pub(crate) use decide::{ColumnVerdict, Question};

/// The role under which row rules look things up; nobody can act in it.
pub(crate) const POLICY_ROLE: &str = "policy";

/// What a role adds to the Cedar policies.
#[derive(Debug, Clone, Default)]
pub(crate) struct Role {
    /// Whether a denied column of a dataset that the role may otherwise read is null.
    pub(crate) masks: bool,
    /// Which rows it sees, by dataset; every rule holds.
    pub(crate) rows: BTreeMap<DatasetId, Vec<RowSource>>,
}

/// Where the subjects come from whose rows a role sees.
#[derive(Debug, Clone)]
pub(crate) struct RowSource {
    /// The column that names the subject; the dataset's own when not given.
    pub(crate) subject: Option<ColumnPath>,
    /// The holder's SQL that yields the subjects, in one column.
    pub(crate) among: String,
}

/// A holder's roles and policies, checked.
#[derive(Debug)]
pub struct Roles {
    schema: Schema,
    policies: PolicySet,
    roles: BTreeMap<RoleName, Role>,
}

impl Roles {
    /// What the role adds; none when there is no such role.
    pub(crate) fn role(&self, role: &RoleName) -> Option<&Role> {
        self.roles.get(role)
    }
}

/// Why a roles file is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}, line {line}, column {column}: {what}; the roles in force stay as they were")]
pub struct RolesError {
    /// The file.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The column, from 1.
    pub column: usize,
    /// What is wrong, and what to do.
    pub what: String,
}

impl Classified for RolesError {
    fn class(&self) -> Class {
        Class::BadRequest
    }
}
