//! Care accesses that are not SQL: decided, put on record and released as a statement is.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::FutureExt;
use salus_model::{Class, Classified, ColumnPath, DatasetId, Purpose, RoleName, StaffId};
use salus_spine::{Care, CareAccess, CareSession, KeyRelease, Scope, Unreleased, seal};
use salus_store::audit::AccessKind;
use salus_store::leaves;

use super::attempt::refused;
use super::record::{Accessed, Computed, failed};
use super::{Gateway, Inner};
use crate::error::QueryError;
use crate::identity::AccessToken;
use crate::policy::{ColumnVerdict, Question, Roles};

/// What a person wants of a dataset that another service than SQL reads or writes.
#[derive(Debug, Clone)]
pub struct Disclosure {
    /// The role to ask in; may be left out by a person who has one.
    pub role: Option<RoleName>,
    /// The dataset whose columns and row rules decide.
    pub dataset: DatasetId,
    /// The columns without whose values there is no answer; a masked one refuses.
    pub columns: BTreeSet<String>,
    /// A dataset with earlier versions of the same rows, opened as far as `dataset` is.
    pub beside: Option<DatasetId>,
    /// FHIR resource types that are to be written.
    pub writes: BTreeSet<String>,
    /// What kind of access it is.
    pub kind: AccessKind,
    /// The request, without the values in it that describe people, for the record.
    pub statement: String,
}

/// The person whose access was allowed, and in which role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acting {
    /// Who.
    pub staff: StaffId,
    /// In which role.
    pub role: RoleName,
    /// What for.
    pub purpose: Purpose,
}

/// What a job computed, and how many resources it shows.
pub type Counted<T> = Unreleased<(T, u64), Care>;

/// Why an access was not answered: it was not allowed, or the job itself failed.
#[derive(Debug)]
pub enum DisclosureError<E> {
    /// The gateway refused or failed.
    Gateway(QueryError),
    /// The job failed.
    Job(E),
}

impl<E: fmt::Display> fmt::Display for DisclosureError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gateway(e) => e.fmt(f),
            Self::Job(e) => e.fmt(f),
        }
    }
}

impl<E: std::error::Error + 'static> std::error::Error for DisclosureError<E> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Gateway(e) => e.source(),
            Self::Job(e) => e.source(),
        }
    }
}

impl<E> From<QueryError> for DisclosureError<E> {
    fn from(error: QueryError) -> Self {
        Self::Gateway(error)
    }
}

impl<E: Classified + 'static> Classified for DisclosureError<E> {
    fn class(&self) -> Class {
        match self {
            Self::Gateway(e) => e.class(),
            Self::Job(e) => e.class(),
        }
    }
}

impl Gateway {
    /// Who a token stands for, and in which role; nothing is read.
    ///
    /// # Errors
    /// When the token is not valid, or the person has not the role.
    pub async fn acting(
        &self,
        token: &AccessToken,
        role: Option<&RoleName>,
    ) -> Result<Acting, QueryError> {
        let question = self.0.question(token, role).await?;
        Ok(Acting { staff: question.staff, role: question.role, purpose: question.purpose })
    }

    /// Lets a service read, and write, for a person: identifies the token, decides by role, row
    /// rules and the types that are to be written, runs `job` under the key release, puts the
    /// access on record and only then hands the result out.
    ///
    /// Dropping the future does not stop the job: what it wrote is put on record all the same.
    ///
    /// # Privacy
    /// The job's error and the counted number go on record and must not tell values. A job that
    /// writes has written when the record fails; it is then not acknowledged.
    ///
    /// # Errors
    /// When the access is refused, the job fails, or the access cannot be put on record.
    pub async fn disclose<T, E, F, R>(
        &self,
        token: &AccessToken,
        disclosure: Disclosure,
        job: F,
    ) -> Result<T, DisclosureError<E>>
    where
        T: Send + 'static,
        E: Classified + fmt::Display + Send + 'static,
        F: FnOnce(KeyRelease<Care>, Acting) -> R + Send + 'static,
        R: Future<Output = Result<Counted<T>, E>> + Send + 'static,
    {
        let question = self.0.question(token, disclosure.role.as_ref()).await?;
        self.disclose_to(question, disclosure, job).await
    }

    /// As [`Gateway::disclose`], for somebody who asked earlier and is not here now: as long as
    /// they have a token that holds in that role, and under the rules of now.
    ///
    /// # Errors
    /// As [`Gateway::disclose`].
    pub async fn disclose_standing<T, E, F, R>(
        &self,
        acting: &Acting,
        disclosure: Disclosure,
        job: F,
    ) -> Result<T, DisclosureError<E>>
    where
        T: Send + 'static,
        E: Classified + fmt::Display + Send + 'static,
        F: FnOnce(KeyRelease<Care>, Acting) -> R + Send + 'static,
        R: Future<Output = Result<Counted<T>, E>> + Send + 'static,
    {
        let question = self.0.standing(acting).await?;
        self.disclose_to(question, disclosure, job).await
    }

    async fn disclose_to<T, E, F, R>(
        &self,
        question: Question,
        disclosure: Disclosure,
        job: F,
    ) -> Result<T, DisclosureError<E>>
    where
        T: Send + 'static,
        E: Classified + fmt::Display + Send + 'static,
        F: FnOnce(KeyRelease<Care>, Acting) -> R + Send + 'static,
        R: Future<Output = Result<Counted<T>, E>> + Send + 'static,
    {
        let inner = Arc::clone(&self.0);
        let task = tokio::spawn(async move { inner.disclose(question, disclosure, job).await });
        task.await.unwrap_or(Err(QueryError::Bug("task").into()))
    }
}

impl Inner {
    async fn disclose<T, E, F, R>(
        self: Arc<Self>,
        question: Question,
        disclosure: Disclosure,
        job: F,
    ) -> Result<T, DisclosureError<E>>
    where
        E: Classified + fmt::Display + 'static,
        F: FnOnce(KeyRelease<Care>, Acting) -> R,
        R: Future<Output = Result<Counted<T>, E>>,
    {
        let asked = self.clock.now();
        let scope = self.new_scope()?;
        let limit = self.limits.time;
        let computed = {
            let attempt = self.attempt_disclosure(&scope, &question, &disclosure, job);
            let attempt = AssertUnwindSafe(attempt).catch_unwind();
            match tokio::time::timeout(limit, attempt).await {
                Ok(done) => done.unwrap_or(Err(QueryError::Bug("panic").into())),
                Err(_) => Err(QueryError::TimedOut { limit }.into()),
            }
        };
        let columns = disclosure.columns.iter().filter_map(|c| ColumnPath::new(c.as_str()).ok());
        let accessed = Accessed {
            columns: BTreeMap::from([(disclosure.dataset, columns.collect())]),
            kind: disclosure.kind,
            statement: disclosure.statement,
            scope,
            question,
            asked,
        };
        self.release_on_record(accessed, computed, failed).await
    }

    async fn attempt_disclosure<T, E, F, R>(
        self: &Arc<Self>,
        scope: &Scope,
        question: &Question,
        disclosure: &Disclosure,
        job: F,
    ) -> Result<Computed<T>, DisclosureError<E>>
    where
        F: FnOnce(KeyRelease<Care>, Acting) -> R,
        R: Future<Output = Result<Counted<T>, E>>,
    {
        let roles = Arc::clone(&self.roles.read());
        for resource_type in &disclosure.writes {
            if !roles.may_write(question, &disclosure.dataset, resource_type)? {
                let (resource_type, role) = (resource_type.clone(), question.role.clone());
                return Err(QueryError::WriteDenied { resource_type, role }.into());
            }
        }
        let accesses = self.disclosed(&roles, question, disclosure).await?;
        let grant = self.sign(scope, question, accesses);
        let key_release = self.key_release(scope, &grant)?;
        let acting = Acting {
            staff: question.staff.clone(),
            role: question.role.clone(),
            purpose: question.purpose,
        };
        let computed = job(key_release, acting).await.map_err(DisclosureError::Job)?;
        let shown = AtomicU64::new(0);
        let value = computed.compute(|(value, count)| {
            // The count goes to the audit record, which the resources themselves never do.
            shown.store(count, Ordering::Relaxed);
            value
        });
        let held = seal(value, CareSession::new(scope.clone())).map_err(refused)?;
        Ok(Computed { held, grant, shown: shown.into_inner() })
    }

    /// What the grant says of the dataset and the one beside it, row rules evaluated.
    async fn disclosed(
        self: &Arc<Self>,
        roles: &Roles,
        question: &Question,
        disclosure: &Disclosure,
    ) -> Result<BTreeMap<DatasetId, CareAccess>, QueryError> {
        let dataset = &disclosure.dataset;
        let denied = |column: &str| QueryError::ColumnDenied {
            dataset: dataset.to_string(),
            column: column.to_owned(),
            role: question.role.clone(),
            remedy: "without it no resource can be shown; ask the holder for it",
            place: None,
        };
        let known = self.known(roles, question, dataset).await?;
        let known = known.ok_or_else(|| QueryError::NoDataset {
            dataset: dataset.to_string(),
            role: question.role.clone(),
            place: None,
        })?;
        for column in &disclosure.columns {
            let field = known.manifest.schema.field_with_name(column);
            let field = field.map_err(|_| QueryError::Bug("unknown column"))?;
            if known.verdict(field) != ColumnVerdict::Shown {
                return Err(denied(column));
            }
        }
        let role = roles.role(&question.role).ok_or(QueryError::Bug("undeclared role"))?;
        let mut rules = Vec::new();
        for source in role.rows_of(dataset) {
            rules.push(self.rule(question, &known, source).await?);
        }
        let mut accesses = BTreeMap::new();
        if let Some(beside) = &disclosure.beside {
            let snapshot = self.lake.snapshot(beside, None).await;
            let snapshot = snapshot.map_err(|e| QueryError::lake(&e))?;
            let columns = leaves(&snapshot.manifest().schema).into_iter().collect();
            let access = CareAccess { columns, masked: BTreeSet::new(), rules: rules.clone() };
            accesses.insert(beside.clone(), access);
        }
        accesses.insert(dataset.clone(), known.access(&disclosure.columns, rules));
        Ok(accesses)
    }
}
