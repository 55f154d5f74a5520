use std::collections::{HashMap, HashSet};

use salus_model::{Class, Classified, Entropy, EntropyFailed};
use serde_json::Value as Json;

use super::references::{Links, base_of, rewrite};
use super::request::{Ask, BundleKind, BundleRequest, Entry, LookupAnswer};
use super::response::Status;
use crate::outcome::{Issue, IssueCode};
use crate::resource::{ResourceId, ResourceKey};

/// Why no plan could be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// The transaction is refused as a whole.
    #[error("the transaction is refused: {} issues", .issues.len())]
    Refused {
        /// What to answer it with.
        status: Status,
        /// Why.
        issues: Vec<Issue>,
    },
    /// There are not as many answers as lookups.
    #[error("{found} answers were given for {wanted} lookups")]
    Answers {
        /// How many were needed.
        wanted: usize,
        /// How many were given.
        found: usize,
    },
    /// No new id could be made.
    #[error("no id could be generated")]
    Entropy(#[source] EntropyFailed),
}

impl Classified for PlanError {
    fn class(&self) -> Class {
        match self {
            Self::Refused { .. } => Class::BadRequest,
            Self::Answers { .. } => Class::Bug,
            Self::Entropy(_) => Class::Unavailable,
        }
    }
}

/// What the store is to do for one entry.
#[derive(Debug, Clone, PartialEq)]
pub enum Operation {
    /// Store a new resource under an id that was generated for it.
    Create {
        /// Its key.
        key: ResourceKey,
        /// Its content, references rewritten; the store stamps id and version.
        resource: Json,
    },
    /// Nothing: the resource of a conditional create exists.
    Exists {
        /// Its key.
        key: ResourceKey,
    },
    /// Store a version of a resource, the first when there is none.
    Update {
        /// Its key.
        key: ResourceKey,
        /// Its content, references rewritten.
        resource: Json,
        /// The version that must be the current one.
        if_match: Option<u64>,
    },
    /// Delete a resource; none when a conditional delete matched nothing.
    Delete {
        /// Its key.
        key: Option<ResourceKey>,
        /// The version that must be the current one.
        if_match: Option<u64>,
    },
    /// Read the current version.
    Read {
        /// Its key.
        key: ResourceKey,
    },
    /// Read one version.
    ReadVersion {
        /// Its key.
        key: ResourceKey,
        /// The version.
        version: u64,
    },
    /// Search.
    Search {
        /// The resource type.
        resource_type: &'static str,
        /// The parameters, as in a URL after `?`.
        query: String,
    },
    /// Nothing: an entry of a batch that was refused.
    Refused {
        /// What to answer it with.
        status: Status,
        /// Why.
        issues: Vec<Issue>,
    },
}

/// One step; `entry` is the position in the Bundle.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// The position of the entry in the Bundle, from 0.
    pub entry: usize,
    /// What to do.
    pub operation: Operation,
}

/// The steps of a Bundle in the order in which they are to be carried out.
#[derive(Debug, Clone, PartialEq)]
pub struct BundlePlan {
    pub(super) kind: BundleKind,
    pub(super) steps: Vec<Step>,
}

impl BundlePlan {
    /// Whether the steps are one atomic unit.
    #[must_use]
    pub const fn kind(&self) -> BundleKind {
        self.kind
    }

    /// The steps: deletions, then creations, updates and reads.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }
}

/// An entry that is refused, and why.
type Refusal = (Status, Issue);

impl BundleRequest {
    /// Assigns ids, rewrites references and orders the steps. `answers` are those to
    /// [`BundleRequest::lookups`], in the same order.
    ///
    /// # Errors
    /// The issues that refuse a transaction as a whole.
    pub fn plan(
        self,
        answers: &[LookupAnswer],
        entropy: &mut dyn Entropy,
    ) -> Result<BundlePlan, PlanError> {
        if answers.len() != self.lookups.len() {
            let (wanted, found) = (self.lookups.len(), answers.len());
            return Err(PlanError::Answers { wanted, found });
        }
        let kind = self.kind;
        let mut planner = Planner { kind, answers, links: HashMap::new(), written: HashSet::new() };
        let mut steps = Vec::new();
        let mut entries = Vec::new();
        for (entry, mut parsed) in self.entries.into_iter().enumerate() {
            let ask = std::mem::replace(&mut parsed.ask, Err(Vec::new()));
            let operation = match ask {
                Err(issues) => Operation::Refused { status: Status::BadRequest, issues },
                Ok(ask) => planner.operation(entry, ask, &parsed, entropy)?,
            };
            steps.push(Step { entry, operation });
            entries.push(parsed);
        }
        for (step, entry) in steps.iter_mut().zip(&entries) {
            planner.rewrite(step, entry);
        }
        if kind == BundleKind::Transaction {
            refuse_all(&steps)?;
        }
        steps.sort_by_key(|step| rank(&step.operation));
        Ok(BundlePlan { kind, steps })
    }
}

/// One refused entry refuses a transaction.
fn refuse_all(steps: &[Step]) -> Result<(), PlanError> {
    let mut refused = None;
    let mut all = Vec::new();
    for step in steps {
        if let Operation::Refused { status, issues } = &step.operation {
            refused.get_or_insert(*status);
            all.extend(issues.iter().cloned());
        }
    }
    refused.map_or(Ok(()), |status| Err(PlanError::Refused { status, issues: all }))
}

fn rank(operation: &Operation) -> u8 {
    match operation {
        Operation::Delete { .. } => 0,
        Operation::Create { .. } | Operation::Exists { .. } => 1,
        Operation::Update { .. } => 2,
        _ => 3,
    }
}

struct Planner<'p> {
    kind: BundleKind,
    answers: &'p [LookupAnswer],
    /// `Type/id` by full URL.
    links: HashMap<String, String>,
    /// Resources that an earlier entry writes.
    written: HashSet<ResourceKey>,
}

impl Planner<'_> {
    fn operation(
        &mut self,
        at: usize,
        ask: Ask,
        entry: &Entry,
        entropy: &mut dyn Entropy,
    ) -> Result<Operation, PlanError> {
        let place = format!("Bundle.entry[{at}]");
        let decided = self.decide(ask, &place, entropy)?;
        let done = decided.and_then(|operation| {
            self.claim(&operation, entry, &place)?;
            Ok(operation)
        });
        Ok(done
            .unwrap_or_else(|(status, issue)| Operation::Refused { status, issues: vec![issue] }))
    }

    /// The operation once conditions are known.
    fn decide(
        &self,
        ask: Ask,
        place: &str,
        entropy: &mut dyn Entropy,
    ) -> Result<Result<Operation, Refusal>, PlanError> {
        let fresh = |resource: &Json, entropy: &mut dyn Entropy| {
            let id = ResourceId::generate(entropy).map_err(PlanError::Entropy)?;
            let name = resource.get("resourceType").and_then(Json::as_str).unwrap_or_default();
            Ok(ResourceKey::new(name, id))
        };
        let unknown = || refusal(Status::BadRequest, IssueCode::Value, place, "no such type");
        let found = |lookup: usize, at: &str| self.answer(lookup, &format!("{place}.{at}"));
        let existing = |resource: &Json, id: ResourceId| {
            let name = resource.get("resourceType").and_then(Json::as_str).unwrap_or_default();
            ResourceKey::new(name, id)
        };
        Ok(match ask {
            Ask::Create { resource, if_none_exist } => {
                let match_ = match if_none_exist {
                    Some(lookup) => match found(lookup, "request.ifNoneExist") {
                        Ok(found) => found,
                        Err(refusal) => return Ok(Err(refusal)),
                    },
                    None => None,
                };
                match match_ {
                    Some(id) => existing(&resource, id)
                        .map(|key| Operation::Exists { key })
                        .ok_or_else(unknown),
                    None => fresh(&resource, entropy)?
                        .map(|key| Operation::Create { key, resource })
                        .ok_or_else(unknown),
                }
            }
            Ask::UpdateWhere { lookup, resource } => match found(lookup, "request.url") {
                Err(refusal) => Err(refusal),
                Ok(None) => match resource.get("id") {
                    // The client chose the id, so the resource is stored under it.
                    Some(id) => id
                        .as_str()
                        .and_then(|id| existing(&resource, ResourceId::new(id).ok()?))
                        .map(|key| Operation::Update { key, resource, if_match: None })
                        .ok_or_else(unknown),
                    None => fresh(&resource, entropy)?
                        .map(|key| Operation::Create { key, resource })
                        .ok_or_else(unknown),
                },
                Ok(Some(id)) => match resource.get("id").and_then(Json::as_str) {
                    Some(given) if given != id.as_str() => Err(refusal(
                        Status::BadRequest,
                        IssueCode::Value,
                        &format!("{place}.resource.id"),
                        "it must be the id of the resource that request.url matches",
                    )),
                    _ => existing(&resource, id)
                        .map(|key| Operation::Update { key, resource, if_match: None })
                        .ok_or_else(unknown),
                },
            },
            Ask::Update { key, resource, if_match } => {
                Ok(Operation::Update { key, resource, if_match })
            }
            Ask::Delete { key, if_match } => Ok(Operation::Delete { key: Some(key), if_match }),
            Ask::DeleteWhere { lookup, resource_type } => {
                found(lookup, "request.url").map(|id| Operation::Delete {
                    key: id.and_then(|id| ResourceKey::new(resource_type, id)),
                    if_match: None,
                })
            }
            Ask::Read { key } => Ok(Operation::Read { key }),
            Ask::ReadVersion { key, version } => Ok(Operation::ReadVersion { key, version }),
            Ask::Search { resource_type, query } => Ok(Operation::Search { resource_type, query }),
        })
    }

    fn answer(&self, lookup: usize, place: &str) -> Result<Option<ResourceId>, Refusal> {
        match self.answers.get(lookup) {
            Some(LookupAnswer::One(id)) => Ok(Some(id.clone())),
            Some(LookupAnswer::None) => Ok(None),
            Some(LookupAnswer::Refused(why)) => {
                Err(refusal(Status::BadRequest, IssueCode::NotSupported, place, why))
            }
            Some(LookupAnswer::Several) | None => Err(refusal(
                Status::PreconditionFailed,
                IssueCode::MultipleMatches,
                place,
                "it matches more than one resource; make the condition more specific",
            )),
        }
    }

    /// Notes what an entry writes and what its full URL stands for.
    fn claim(&mut self, operation: &Operation, entry: &Entry, place: &str) -> Result<(), Refusal> {
        let (key, writes) = match operation {
            Operation::Create { key, .. } | Operation::Update { key, .. } => (key, true),
            Operation::Delete { key: Some(key), .. } => (key, true),
            Operation::Exists { key } => (key, false),
            _ => return Ok(()),
        };
        let transaction = self.kind == BundleKind::Transaction;
        if transaction && writes && !self.written.insert(key.clone()) {
            let message = "another entry of the transaction writes the same resource";
            return Err(refusal(Status::BadRequest, IssueCode::Duplicate, place, message));
        }
        let Some(full_url) = entry.full_url.as_ref().filter(|_| transaction) else {
            return Ok(());
        };
        if matches!(operation, Operation::Delete { .. }) {
            return Ok(());
        }
        if self.links.insert(full_url.clone(), key.to_string()).is_some() {
            let place = format!("{place}.fullUrl");
            let message = "another entry of the transaction has the same fullUrl";
            return Err(refusal(Status::BadRequest, IssueCode::Duplicate, &place, message));
        }
        Ok(())
    }

    /// Rewrites the references of a step's resource, or refuses the entry.
    fn rewrite(&self, step: &mut Step, entry: &Entry) {
        let place = format!("Bundle.entry[{}].resource", step.entry);
        let (Operation::Create { resource, .. } | Operation::Update { resource, .. }) =
            &mut step.operation
        else {
            return;
        };
        let mut by_query = HashMap::new();
        let mut refused: Option<Refusal> = None;
        for (text, lookup) in &entry.conditional {
            let type_name = text.split('?').next().unwrap_or_default();
            match self.answer(*lookup, &place) {
                Ok(Some(id)) => {
                    by_query.insert(text.clone(), format!("{type_name}/{id}"));
                }
                Ok(None) => {
                    let message = "a conditional reference in it matches no resource";
                    let status = Status::PreconditionFailed;
                    refused = Some(refusal(status, IssueCode::NotFound, &place, message));
                }
                Err(refusal) => refused = Some(refusal),
            }
        }
        let base = entry.full_url.as_deref().and_then(base_of);
        let links = Links { by_full_url: &self.links, by_query: &by_query, base };
        let dangling = rewrite(resource, &links);
        if let Some(path) = dangling.first() {
            let below = path.split_once('.').map_or("", |(_, rest)| rest);
            let message = "it refers to an entry that is not in the Bundle";
            let at = format!("{place}.{below}");
            refused = Some(refusal(Status::BadRequest, IssueCode::NotFound, &at, message));
        }
        if let Some((status, issue)) = refused {
            step.operation = Operation::Refused { status, issues: vec![issue] };
        }
    }
}

fn refusal(status: Status, code: IssueCode, place: &str, message: &str) -> Refusal {
    (status, Issue::error(code, place, message))
}
