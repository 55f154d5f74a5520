//! Reads a roles file; whatever is not understood is refused with its place.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::str::FromStr;

use cedar_policy::{
    EntityUid, Policy, PolicyId, PolicySet, PrincipalConstraint, Schema, ValidationMode, Validator,
};
use miette::Diagnostic;
use salus_model::{ColumnPath, DatasetId, RoleName};
use serde::Deserialize;
use toml::Spanned;

use super::{POLICY_ROLE, Role, Roles, RolesError, RowSource, Writes};
use crate::engine::Limits;
use crate::statement::ReadStatement;

const SCHEMA: &str = include_str!("schema.cedarschema");

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RolesFile {
    format: Spanned<u32>,
    policies: Spanned<String>,
    #[serde(default)]
    role: BTreeMap<Spanned<RoleName>, RoleEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RoleEntry {
    #[serde(default)]
    mask: bool,
    #[serde(default)]
    rows: Vec<RowEntry>,
    write: Option<Spanned<WriteEntry>>,
}

/// `"*"`, or resource types.
#[derive(Deserialize)]
#[serde(untagged)]
enum WriteEntry {
    All(String),
    Types(BTreeSet<String>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RowEntry {
    dataset: DatasetId,
    subject: Option<ColumnPath>,
    among: Spanned<String>,
}

struct Source<'a> {
    file: &'a str,
    text: &'a str,
}

impl Source<'_> {
    fn refuse(&self, at: usize, what: impl Into<String>) -> RolesError {
        let before = self.text.get(..at.min(self.text.len())).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
        RolesError { file: self.file.to_owned(), line, column, what: what.into() }
    }

    /// Where an offset inside a quoted TOML value lies in the file.
    ///
    /// Exact for literal strings, which the documentation asks policies to be written in.
    fn inside(&self, value: &Range<usize>, offset: usize) -> usize {
        let raw = self.text.get(value.clone()).unwrap_or("");
        let quotes = if raw.starts_with("'''") || raw.starts_with("\"\"\"") { 3 } else { 1 };
        let newline = match raw.get(quotes..) {
            Some(rest) if rest.starts_with("\r\n") => 2,
            Some(rest) if rest.starts_with('\n') && quotes == 3 => 1,
            _ => 0,
        };
        value.start + quotes + newline + offset
    }
}

fn offset_of(diagnostic: &dyn Diagnostic) -> usize {
    diagnostic.labels().and_then(|mut l| l.next()).map_or(0, |label| label.offset())
}

impl Roles {
    /// Reads a roles file; `file` is its name, for messages.
    ///
    /// # Errors
    /// Names line and column, and what to do: for TOML that is none, policies that do not parse or
    /// do not fit the schema, a policy for a role that is not declared, and row rules that are
    /// not one SELECT.
    pub fn parse(file: &str, text: &str, limits: &Limits) -> Result<Self, RolesError> {
        let source = Source { file, text };
        let entries: RolesFile = toml::from_str(text).map_err(|e| {
            let at = e.span().map_or(0, |span| span.start);
            source.refuse(at, e.message().to_owned())
        })?;
        if *entries.format.get_ref() != 1 {
            let what = "the format is 1; a newer Salus is needed for others";
            return Err(source.refuse(entries.format.span().start, what));
        }
        let schema = schema()?;
        let policies = policies(&source, &entries.policies, &schema)?;
        // The role that evaluates row rules is always there; policies say what it may read.
        let policy = RoleName::new(POLICY_ROLE).map_err(|e| source.refuse(0, e.to_string()))?;
        let mut roles = BTreeMap::from([(policy, Role::default())]);
        for (name, entry) in entries.role {
            let at = name.span().start;
            let name = name.into_inner();
            let role = role(&source, &name, at, entry, limits)?;
            roles.insert(name, role);
        }
        let policies = with_writes(policies, &roles).map_err(|e| source.refuse(0, e))?;
        let refused = undeclared(&policies, &roles);
        if let Some(role) = refused {
            let within = entries.policies.get_ref().find(&format!("\"{role}\"")).unwrap_or(0);
            let at = source.inside(&entries.policies.span(), within);
            let what = format!("a policy names role '{role}'; declare it with [role.{role}]");
            return Err(source.refuse(at, what));
        }
        Ok(Self { schema, policies, roles })
    }
}

fn schema() -> Result<Schema, RolesError> {
    let built_in = |e: String| RolesError {
        file: "the built-in schema".to_owned(),
        line: 1,
        column: 1,
        what: e,
    };
    let (schema, _) = Schema::from_cedarschema_str(SCHEMA).map_err(|e| built_in(e.to_string()))?;
    Ok(schema)
}

fn policies(
    source: &Source<'_>,
    text: &Spanned<String>,
    schema: &Schema,
) -> Result<PolicySet, RolesError> {
    let policies = PolicySet::from_str(text.get_ref()).map_err(|errors| {
        let at = source.inside(&text.span(), errors.iter().next().map_or(0, |e| offset_of(e)));
        let what = errors.iter().next().map_or_else(|| errors.to_string(), ToString::to_string);
        source.refuse(at, format!("the policy does not parse: {what}"))
    })?;
    let result = Validator::new(schema.clone()).validate(&policies, ValidationMode::Strict);
    if let Some(error) = result.validation_errors().next() {
        let at = source.inside(&text.span(), offset_of(error));
        let help = error.help().map_or_else(String::new, |help| format!(" ({help})"));
        return Err(source.refuse(at, format!("the policy does not fit: {error}{help}")));
    }
    Ok(policies)
}

fn role(
    source: &Source<'_>,
    name: &RoleName,
    at: usize,
    entry: RoleEntry,
    limits: &Limits,
) -> Result<Role, RolesError> {
    let restricts = entry.mask || !entry.rows.is_empty() || entry.write.is_some();
    if name.as_str() == POLICY_ROLE && restricts {
        let what = "role 'policy' evaluates row rules and has no mask, rows or write of its own";
        return Err(source.refuse(at, what));
    }
    let mut rows: BTreeMap<DatasetId, Vec<RowSource>> = BTreeMap::new();
    for row in entry.rows {
        let start = source.inside(&row.among.span(), 0);
        let statement = ReadStatement::parse(row.among.get_ref(), limits)
            .map_err(|e| source.refuse(start, format!("the row rule: {e}")))?;
        if !statement.is_query() {
            return Err(source.refuse(start, "a row rule is one SELECT that yields subjects"));
        }
        let rule = RowSource { subject: row.subject, among: row.among.into_inner() };
        rows.entry(row.dataset).or_default().push(rule);
    }
    let writes = match entry.write {
        Some(write) => writes(source, write)?,
        None => Writes::default(),
    };
    Ok(Role { masks: entry.mask, rows, writes })
}

fn writes(source: &Source<'_>, write: Spanned<WriteEntry>) -> Result<Writes, RolesError> {
    let at = write.span().start;
    let is_type = |name: &String| {
        name.starts_with(|c: char| c.is_ascii_uppercase())
            && name.chars().all(|c| c.is_ascii_alphanumeric())
    };
    match write.into_inner() {
        WriteEntry::All(word) if word == "*" => Ok(Writes::All),
        WriteEntry::Types(types) if types.iter().all(is_type) => Ok(Writes::Types(types)),
        _ => {
            let what =
                "'write' is \"*\" or a list of FHIR resource types such as [\"Observation\"]";
            Err(source.refuse(at, what))
        }
    }
}

/// A `write` list permits, so that a policy is needed only to forbid.
fn with_writes(
    mut policies: PolicySet,
    roles: &BTreeMap<RoleName, Role>,
) -> Result<PolicySet, String> {
    for (name, role) in roles {
        if matches!(&role.writes, Writes::Types(types) if types.is_empty()) {
            continue;
        }
        let text = format!(
            "permit(principal in Salus::Role::\"{name}\", action == \
             Salus::Action::\"write-resource\", resource);"
        );
        let id = PolicyId::new(format!("write list of {name}"));
        let policy = Policy::parse(Some(id), text).map_err(|e| e.to_string())?;
        policies.add(policy).map_err(|e| e.to_string())?;
    }
    Ok(policies)
}

/// A role that a policy speaks of and the file does not declare: most likely misspelt.
fn undeclared(policies: &PolicySet, roles: &BTreeMap<RoleName, Role>) -> Option<String> {
    let role_of = |uid: EntityUid| {
        let is_role = uid.type_name().to_string() == "Salus::Role";
        is_role.then(|| uid.id().unescaped().to_owned())
    };
    let named = policies.policies().filter_map(|policy| match policy.principal_constraint() {
        PrincipalConstraint::In(uid)
        | PrincipalConstraint::Eq(uid)
        | PrincipalConstraint::IsIn(_, uid) => role_of(uid),
        _ => None,
    });
    named
        .into_iter()
        .find(|role| role != POLICY_ROLE && !roles.keys().any(|known| known.as_str() == role))
}
