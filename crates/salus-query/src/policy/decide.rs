//! Asks Cedar, column by column.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::str::FromStr;

use cedar_policy::{
    Authorizer, Context, Decision, Entities, Entity, EntityId, EntityTypeName, EntityUid, Request,
    RestrictedExpression,
};
use salus_model::{ColumnPath, DatasetId, Purpose, RoleName, StaffId};
use salus_store::{KeyChoice, Manifest};

use super::Roles;
use crate::error::QueryError;

/// What may be seen of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ColumnVerdict {
    /// Its values.
    Shown,
    /// Null in place of each value.
    Masked,
    /// Nothing; naming it is refused.
    Denied,
}

/// Who asks, in which role, for what.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    pub(crate) staff: StaffId,
    pub(crate) role: RoleName,
    pub(crate) purpose: Purpose,
}

const BUG: QueryError = QueryError::Bug("policy entities");

fn uid(kind: &str, id: &str) -> Result<EntityUid, QueryError> {
    let kind = EntityTypeName::from_str(&format!("Salus::{kind}")).map_err(|_| BUG)?;
    Ok(EntityUid::from_type_name_and_id(kind, EntityId::new(id)))
}

impl Roles {
    /// The verdict on every leaf of a dataset; none when the role may read nothing of it.
    ///
    /// # Privacy
    /// A policy that fails to evaluate denies: Cedar would skip it, and a skipped `forbid`
    /// would permit.
    pub(crate) fn verdicts(
        &self,
        question: &Question,
        manifest: &Manifest,
    ) -> Result<Option<BTreeMap<ColumnPath, ColumnVerdict>>, QueryError> {
        let Some(role) = self.role(&question.role) else { return Ok(None) };
        let mut verdicts = BTreeMap::new();
        let mut any = false;
        for (column, key) in &manifest.keys {
            let shown = self.may_read(question, &manifest.dataset, column, key)?;
            any |= shown;
            let verdict = match (shown, role.masks) {
                (true, _) => ColumnVerdict::Shown,
                (false, true) => ColumnVerdict::Masked,
                (false, false) => ColumnVerdict::Denied,
            };
            verdicts.insert(column.clone(), verdict);
        }
        Ok(any.then_some(verdicts))
    }

    /// Whether the role's `write` list names a FHIR resource type and no policy forbids it.
    ///
    /// # Privacy
    /// A policy that permits everything, written before there were writes, permits none: the list
    /// is needed too.
    pub(crate) fn may_write(
        &self,
        question: &Question,
        dataset: &DatasetId,
        resource_type: &str,
    ) -> Result<bool, QueryError> {
        let named = self.role(&question.role).is_some_and(|role| role.writes.names(resource_type));
        if !named {
            return Ok(false);
        }
        let attributes =
            [("dataset", dataset.as_str()), ("path", "resource"), ("keyClass", "freetext")];
        self.allows(
            question,
            "write-resource",
            ("ResourceType", resource_type),
            dataset,
            &attributes,
        )
    }

    fn may_read(
        &self,
        question: &Question,
        dataset: &DatasetId,
        column: &ColumnPath,
        key: &KeyChoice,
    ) -> Result<bool, QueryError> {
        let class = match key {
            KeyChoice::Class(class) => class.as_str(),
            KeyChoice::Key(_) => "own",
        };
        let leaf = format!("{dataset}/{column}");
        let attributes =
            [("dataset", dataset.as_str()), ("path", column.as_str()), ("keyClass", class)];
        self.allows(question, "read-column", ("Column", &leaf), dataset, &attributes)
    }

    fn allows(
        &self,
        question: &Question,
        action: &str,
        (kind, id): (&str, &str),
        dataset: &DatasetId,
        attributes: &[(&str, &str)],
    ) -> Result<bool, QueryError> {
        let text = |t: &str| RestrictedExpression::new_string(t.to_owned());
        let (staff, role) =
            (uid("Staff", question.staff.as_str())?, uid("Role", question.role.as_str())?);
        let (table, leaf) = (uid("Dataset", dataset.as_str())?, uid(kind, id)?);
        let attributes = attributes.iter().map(|(name, value)| ((*name).to_owned(), text(value)));
        let attributes: HashMap<_, _> = attributes.collect();
        let entities = [
            Entity::new_no_attrs(role.clone(), HashSet::new()),
            Entity::new_no_attrs(staff.clone(), HashSet::from([role])),
            Entity::new_no_attrs(table.clone(), HashSet::new()),
            Entity::new(leaf.clone(), attributes, HashSet::from([table])).map_err(|_| BUG)?,
        ];
        let entities = Entities::from_entities(entities, Some(&self.schema)).map_err(|_| BUG)?;
        let purpose = ("purpose".to_owned(), text(question.purpose.as_str()));
        let context = Context::from_pairs([purpose]).map_err(|_| BUG)?;
        let action = uid("Action", action)?;
        let request = Request::new(staff, action, leaf, context, Some(&self.schema));
        let request = request.map_err(|_| BUG)?;
        let answer = Authorizer::new().is_authorized(&request, &self.policies, &entities);
        let clean = answer.diagnostics().errors().next().is_none();
        Ok(clean && answer.decision() == Decision::Allow)
    }
}
