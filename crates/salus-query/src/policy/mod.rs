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
//! write = ["NutritionOrder", "CarePlan"]
//!
//! [[role.dietitian.rows]]
//! dataset = "meals"
//! subject = "patient"
//! among = "SELECT patient FROM careteam WHERE member = $staff"
//! ```

mod decide;
mod file;

use std::collections::{BTreeMap, BTreeSet};

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
    /// Which FHIR resource types it may write.
    pub(crate) writes: Writes,
}

/// FHIR resource types that a role may write.
#[derive(Debug, Clone)]
pub(crate) enum Writes {
    /// These.
    Types(BTreeSet<String>),
    /// Every type.
    All,
}

impl Default for Writes {
    fn default() -> Self {
        Self::Types(BTreeSet::new())
    }
}

impl Writes {
    pub(crate) fn names(&self, resource_type: &str) -> bool {
        match self {
            Self::Types(types) => types.contains(resource_type),
            Self::All => true,
        }
    }
}

/// Datasets with earlier versions of another's rows, whose row rules hold for them too.
const KEPT_BESIDE: [(&str, &str); 1] = [("fhir_history", "fhir_resources")];

impl Role {
    /// The row rules of a dataset, and of the one beside which it is kept.
    pub(crate) fn rows_of(&self, dataset: &DatasetId) -> impl Iterator<Item = &RowSource> {
        let beside = KEPT_BESIDE.iter().find(|(past, _)| *past == dataset.as_str());
        let current = beside.and_then(|(_, current)| DatasetId::new(*current).ok());
        let also = current.and_then(|current| self.rows.get(&current));
        self.rows.get(dataset).into_iter().chain(also).flatten()
    }
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
