//! One statement: granted, run, sealed, put on record, released.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::AsArray;
use arrow::compute::cast;
use arrow::datatypes::DataType;
use datafusion::common::{ParamValues, ScalarValue};
use futures::FutureExt;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use salus_model::{ColumnPath, DatasetId, RoleName, Timestamp};
use salus_spine::{
    Care, CareAccess, CareGrant, CareRestricted, CareSession, KeyRelease, OnPremises,
    PermitChecked, Place, PremisesStatement, RowRule, Scope, SignedStatement, SubjectSet,
    authorise, seal,
};
use salus_store::audit::AccessKind;
use tokio::sync::oneshot;

use super::prepare::{Known, Prepared};
use super::record::{Accessed, Computed, failed};
use super::{Inner, Parameter};
use crate::answer::Answer;
use crate::audit::Outcome;
use crate::columns::Named;
use crate::error::QueryError;
use crate::policy::{POLICY_ROLE, Question, Roles, RowSource};
use crate::statement::ReadStatement;

/// How much longer than a statement may take its grant holds, for sealing and the record.
const GRANT_MARGIN_MICROS: i64 = 30_000_000;

/// Values for parameters.
pub(super) enum Bound {
    /// `$1`, `$2` and so on.
    Positional(Vec<Parameter>),
    /// `$staff`.
    Staff,
}

impl Bound {
    fn values(self, question: &Question) -> Result<Option<ParamValues>, QueryError> {
        let wrong = || QueryError::Sql {
            place: None,
            what: "a parameter has a type that is not supported".to_owned(),
        };
        match self {
            Self::Positional(values) if values.is_empty() => Ok(None),
            Self::Positional(values) => {
                let values = values.into_iter().map(|value| match value {
                    Parameter::Null => Ok(ScalarValue::Null),
                    Parameter::Boolean(b) => Ok(ScalarValue::Boolean(Some(b))),
                    Parameter::Integer(i) => Ok(ScalarValue::Int64(Some(i))),
                    Parameter::Real(r) => Ok(ScalarValue::Float64(Some(r))),
                    Parameter::Text(t) => Ok(ScalarValue::Utf8(Some(t))),
                    Parameter::Arrow(a) => ScalarValue::try_from_array(&a, 0).map_err(|_| wrong()),
                });
                Ok(Some(ParamValues::from(values.collect::<Result<Vec<_>, _>>()?)))
            }
            // A value and never a piece of the text: no staff id can change the rule.
            Self::Staff => {
                let staff = ScalarValue::Utf8(Some(question.staff.to_string()));
                Ok(Some(ParamValues::from(vec![("staff", staff)])))
            }
        }
    }
}

impl Inner {
    /// Answers a statement and puts it on record, however it ends.
    pub(super) fn answer(
        self: Arc<Self>,
        question: Question,
        sql: String,
        bound: Bound,
        gone: Option<oneshot::Receiver<()>>,
    ) -> BoxFuture<'static, Result<Answer, QueryError>> {
        async move {
            let asked = self.clock.now();
            let scope = self.new_scope()?;
            let named = Mutex::new(Named::new());
            let computed = {
                let attempt = self.within_time(&scope, &question, &sql, bound, &named);
                let attempt = AssertUnwindSafe(attempt).catch_unwind();
                tokio::select! {
                    done = attempt => done.unwrap_or(Err(QueryError::Bug("panic"))),
                    () = cancelled(gone) => Err(QueryError::Cancelled),
                }
            };
            let columns = paths(&named.lock());
            let kind = AccessKind::Sql;
            let accessed = Accessed { scope, question, kind, statement: sql, columns, asked };
            let ended = |error: &QueryError| match error {
                QueryError::Cancelled => Outcome::Cancelled,
                other => failed(other),
            };
            self.release_on_record(accessed, computed, ended).await
        }
        .boxed()
    }

    async fn within_time(
        self: &Arc<Self>,
        scope: &Scope,
        question: &Question,
        sql: &str,
        bound: Bound,
        named: &Mutex<Named>,
    ) -> Result<Computed<Answer>, QueryError> {
        let limit = self.limits.time;
        let attempt = async {
            // A row rule is part of the statement that waits for it and already has its place.
            let _place = if question.role.as_str() == POLICY_ROLE {
                None
            } else {
                Some(self.at_once.acquire().await.map_err(|_| QueryError::Bug("semaphore"))?)
            };
            self.attempt(scope, question, sql, bound, named).await
        };
        let done = tokio::time::timeout(limit, attempt).await;
        done.unwrap_or(Err(QueryError::TimedOut { limit }))
    }

    async fn attempt(
        self: &Arc<Self>,
        scope: &Scope,
        question: &Question,
        sql: &str,
        bound: Bound,
        named: &Mutex<Named>,
    ) -> Result<Computed<Answer>, QueryError> {
        let statement = ReadStatement::parse(sql, &self.limits)?;
        let values = bound.values(question)?;
        let roles = Arc::clone(&self.roles.read());
        let noted = |found: &Named| named.lock().clone_from(found);
        let prepared = self.prepare(&roles, question, &statement, values, noted).await?;
        let unbound = prepared.plan.get_parameter_names().ok();
        if let Some(name) = unbound.and_then(|names| names.into_iter().min()) {
            let what = format!("parameter {name} has no value");
            return Err(QueryError::Sql { place: statement.place_of(&name), what });
        }
        let accesses = self.accesses(&roles, question, &prepared).await?;
        let grant = self.sign(scope, question, accesses);
        let key_release = self.key_release(scope, &grant)?;
        let lake = self.lake.seen_by(&question.staff, &question.role);
        let session = lake.open(key_release).await.map_err(|e| QueryError::scan(&e))?;
        let (engine, plan) = (prepared.engine, prepared.plan);
        let rows = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&rows);
        let computed = session
            .compute(|sources| async move {
                let answer = engine.run(&plan, sources).await?;
                // The count goes to the audit record, which the rows themselves never do.
                counted.store(answer.rows() as u64, Ordering::Relaxed);
                Ok::<_, QueryError>(answer)
            })
            .await
            .transpose()?;
        let held = seal(computed, CareSession::new(scope.clone())).map_err(refused)?;
        Ok(Computed { held, grant, shown: rows.load(Ordering::Relaxed) })
    }

    /// What the grant says of each dataset, row rules evaluated.
    async fn accesses(
        self: &Arc<Self>,
        roles: &Roles,
        question: &Question,
        prepared: &Prepared,
    ) -> Result<BTreeMap<DatasetId, CareAccess>, QueryError> {
        let role = roles.role(&question.role).ok_or(QueryError::Bug("undeclared role"))?;
        let mut accesses = BTreeMap::new();
        for (dataset, columns) in &prepared.named {
            let known = prepared.known.get(dataset).ok_or(QueryError::Bug("unknown dataset"))?;
            let mut rules = Vec::new();
            for source in role.rows_of(dataset) {
                rules.push(self.rule(question, known, source).await?);
            }
            accesses.insert(dataset.clone(), known.access(columns, rules));
        }
        Ok(accesses)
    }

    /// Looks up, under the role `policy`, whose rows the person may see.
    pub(super) async fn rule(
        self: &Arc<Self>,
        question: &Question,
        known: &Known,
        source: &RowSource,
    ) -> Result<RowRule, QueryError> {
        let failed = |reason: String| QueryError::RowRule {
            role: question.role.clone(),
            dataset: known.manifest.dataset.to_string(),
            reason,
        };
        let column = source.subject.clone().or_else(|| known.manifest.subject.clone());
        let column = column
            .ok_or_else(|| failed("neither the rule nor the dataset names a subject".to_owned()))?;
        let role = RoleName::new(POLICY_ROLE).map_err(|_| QueryError::Bug("policy role"))?;
        let asked = Question { role, ..question.clone() };
        let answer = Arc::clone(self).answer(asked, source.among.clone(), Bound::Staff, None);
        let answer = answer.await.map_err(|e| failed(e.to_string()))?;
        let subjects = subjects(&answer).ok_or_else(|| {
            failed("its SELECT must yield exactly one column, of text".to_owned())
        })?;
        Ok(RowRule::SubjectIn { column, subjects })
    }

    pub(super) fn sign(
        &self,
        scope: &Scope,
        question: &Question,
        datasets: BTreeMap<DatasetId, CareAccess>,
    ) -> SignedStatement<CareGrant> {
        let (issued, expires) = self.validity();
        self.authority.sign(CareGrant {
            scope: scope.clone(),
            staff: question.staff.clone(),
            role: question.role.clone(),
            purpose: question.purpose,
            datasets,
            issued,
            expires,
        })
    }

    fn validity(&self) -> (Timestamp, Timestamp) {
        let now = self.clock.now();
        let limit = i64::try_from(self.limits.time.as_micros()).unwrap_or(i64::MAX);
        (now, now.saturating_add_micros(limit.saturating_add(GRANT_MARGIN_MICROS)))
    }

    pub(super) fn key_release(
        &self,
        scope: &Scope,
        grant: &SignedStatement<CareGrant>,
    ) -> Result<KeyRelease<Care>, QueryError> {
        let (issued, expires) = self.validity();
        let premises =
            self.authority.sign(PremisesStatement { scope: scope.clone(), issued, expires });
        let now = self.clock.now();
        let permit = PermitChecked::verify(grant, &self.verifier, now).map_err(refused)?;
        let rows = CareRestricted::bind(grant, &self.verifier, now).map_err(refused)?;
        let place = OnPremises::verify(&premises, &self.verifier, now).map_err(refused)?;
        authorise(permit, rows, Place::Premises(place)).map_err(refused)
    }
}

/// Resolves when the one who asked has gone away; never when nobody can.
async fn cancelled(gone: Option<oneshot::Receiver<()>>) {
    match gone {
        Some(gone) => {
            let _ = gone.await;
        }
        None => std::future::pending().await,
    }
}

pub(super) fn refused(error: impl std::error::Error) -> QueryError {
    QueryError::GrantRefused { reason: error.to_string() }
}

fn paths(named: &Named) -> BTreeMap<DatasetId, std::collections::BTreeSet<ColumnPath>> {
    let path = |column: &String| ColumnPath::new(column.as_str()).ok();
    named
        .iter()
        .map(|(d, columns)| (d.clone(), columns.iter().filter_map(path).collect()))
        .collect()
}

/// The one text column of a rule's answer; nulls name nobody.
fn subjects(answer: &Answer) -> Option<SubjectSet> {
    let [field] = answer.schema().fields().iter().collect::<Vec<_>>()[..] else { return None };
    let is_text = matches!(
        field.data_type(),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Dictionary(..)
    );
    if !is_text {
        return None;
    }
    let mut members = Vec::new();
    for batch in answer.batches() {
        let column = cast(batch.column(0), &DataType::Utf8).ok()?;
        members.extend(column.as_string::<i32>().iter().flatten().map(str::to_owned));
    }
    Some(SubjectSet::new(members))
}
