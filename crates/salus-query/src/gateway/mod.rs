//! From a token and a statement to an answer on record.

mod attempt;
mod disclose;
mod prepare;
mod record;

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, SchemaRef};
use parking_lot::RwLock;
use salus_crypto::OsEntropy;
use salus_model::{Clock, DatasetId, DealId, Entropy, RoleName};
use salus_spine::{Authority, HolderAuthority, Scope};
use salus_store::Lake;
use tokio::sync::{Semaphore, oneshot};

use crate::answer::Answer;
use crate::audit::AuditSink;
use crate::engine::Limits;
use crate::error::QueryError;
use crate::identity::{AccessToken, AuthenticationFailed, Authenticator, StaffIdentity};
use crate::policy::{POLICY_ROLE, Question, Roles, RolesError};

pub use self::disclose::{Acting, Counted, Disclosure, DisclosureError};

/// What a gateway is made of.
pub struct GatewayParts {
    /// The holder's datasets.
    pub lake: Arc<Lake>,
    /// The holder's authority: this process is its policy decision point.
    pub authority: Arc<Authority>,
    /// The present moment.
    pub clock: Arc<dyn Clock>,
    /// Who a token stands for.
    pub authenticator: Arc<dyn Authenticator>,
    /// Where accesses are put on record.
    pub audit: Arc<dyn AuditSink>,
    /// Who may read what.
    pub roles: Roles,
    /// What one statement may use.
    pub limits: Limits,
}

/// A value for a parameter of a statement.
#[derive(Debug, Clone)]
pub enum Parameter {
    /// No value.
    Null,
    /// A truth value.
    Boolean(bool),
    /// A whole number.
    Integer(i64),
    /// A floating-point number.
    Real(f64),
    /// Text.
    Text(String),
    /// The first value of an Arrow array.
    Arrow(ArrayRef),
}

/// A statement to be answered.
#[derive(Debug, Clone)]
pub struct Request {
    /// The SQL text: one statement that reads.
    pub sql: String,
    /// The role to ask in; may be left out by a person who has one.
    pub role: Option<RoleName>,
    /// Values for `$1`, `$2` and so on.
    pub parameters: Vec<Parameter>,
}

/// What a statement would yield.
#[derive(Debug, Clone)]
pub struct Description {
    /// The answer's columns.
    pub schema: SchemaRef,
    /// The types of `$1`, `$2` and so on; none where the statement leaves it open.
    pub parameters: Vec<Option<DataType>>,
}

/// A column as a role sees it.
#[derive(Debug, Clone)]
pub struct VisibleColumn {
    /// Its name.
    pub name: String,
    /// Its type.
    pub data_type: DataType,
    /// Whether it may be null; a masked one always is.
    pub nullable: bool,
    /// Whether it is null in place of its values.
    pub masked: bool,
}

/// A dataset as a role sees it.
#[derive(Debug, Clone)]
pub struct VisibleDataset {
    /// The dataset.
    pub dataset: DatasetId,
    /// Its columns, without those that the role may not name.
    pub columns: Vec<VisibleColumn>,
}

/// The query gateway of one holder.
#[derive(Clone)]
pub struct Gateway(Arc<Inner>);

pub(crate) struct Inner {
    lake: Arc<Lake>,
    authority: Arc<Authority>,
    verifier: HolderAuthority,
    clock: Arc<dyn Clock>,
    authenticator: Arc<dyn Authenticator>,
    audit: Arc<dyn AuditSink>,
    roles: RwLock<Arc<Roles>>,
    limits: Limits,
    at_once: Semaphore,
}

impl Gateway {
    /// A gateway of these parts.
    #[must_use]
    pub fn new(parts: GatewayParts) -> Self {
        let GatewayParts { lake, authority, clock, authenticator, audit, roles, limits } = parts;
        let verifier = authority.verifier();
        let (roles, at_once) = (RwLock::new(Arc::new(roles)), Semaphore::new(limits.at_once.get()));
        Self(Arc::new(Inner {
            lake,
            authority,
            verifier,
            clock,
            authenticator,
            audit,
            roles,
            limits,
            at_once,
        }))
    }

    /// Puts a roles file in force; statements that already run keep the one they began with.
    ///
    /// # Errors
    /// When the file is refused; the roles in force stay as they were.
    pub fn reload_roles(&self, file: &str, text: &str) -> Result<(), RolesError> {
        let roles = Roles::parse(file, text, &self.0.limits)?;
        *self.0.roles.write() = Arc::new(roles);
        Ok(())
    }

    /// The limits of each statement.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.0.limits
    }

    /// Whom a token stands for.
    ///
    /// # Errors
    /// When the token is not valid.
    pub async fn identify(&self, token: &AccessToken) -> Result<StaffIdentity, QueryError> {
        Ok(self.0.authenticator.authenticate(token).await?)
    }

    /// Answers a statement.
    ///
    /// Dropping the future stops the statement; the access is put on record as cancelled.
    ///
    /// # Errors
    /// When the statement is refused, fails, takes too much, or cannot be put on record.
    pub async fn answer(
        &self,
        token: &AccessToken,
        request: Request,
    ) -> Result<Answer, QueryError> {
        let question = self.0.question(token, request.role.as_ref()).await?;
        let inner = Arc::clone(&self.0);
        let (guard, gone) = oneshot::channel::<()>();
        // In a task of its own, so that the record is written also when the caller goes away.
        let task = tokio::spawn(async move {
            let bound = attempt::Bound::Positional(request.parameters);
            inner.answer(question, request.sql, bound, Some(gone)).await
        });
        let answer = task.await.unwrap_or(Err(QueryError::Bug("task")));
        drop(guard);
        answer
    }

    /// Says what a statement would yield, as far as the role may know; no row is read.
    ///
    /// # Errors
    /// As [`Gateway::answer`], for what can be known beforehand.
    pub async fn describe(
        &self,
        token: &AccessToken,
        sql: &str,
        role: Option<&RoleName>,
    ) -> Result<Description, QueryError> {
        let question = self.0.question(token, role).await?;
        self.0.describe(&question, sql).await
    }

    /// The datasets of which the role may read something, with the columns that it may name.
    ///
    /// # Errors
    /// When the token is not valid, or a dataset does not open.
    pub async fn datasets(
        &self,
        token: &AccessToken,
        role: Option<&RoleName>,
    ) -> Result<Vec<VisibleDataset>, QueryError> {
        let question = self.0.question(token, role).await?;
        let roles = Arc::clone(&self.0.roles.read());
        self.0.visible(&roles, &question).await
    }
}

impl Inner {
    async fn question(
        &self,
        token: &AccessToken,
        role: Option<&RoleName>,
    ) -> Result<Question, QueryError> {
        let identity = self.authenticator.authenticate(token).await?;
        let yours = || {
            let names: Vec<&str> = identity.roles.iter().map(RoleName::as_str).collect();
            if names.is_empty() { "none".to_owned() } else { names.join(", ") }
        };
        let role = match role {
            Some(role) => role.clone(),
            None => match (identity.roles.first(), identity.roles.len()) {
                (Some(role), 1) => role.clone(),
                _ => return Err(QueryError::WhichRole { yours: yours() }),
            },
        };
        // Nobody acts in the role under which the gateway itself evaluates row rules.
        if !identity.roles.contains(&role) || role.as_str() == POLICY_ROLE {
            return Err(QueryError::NotYourRole { wanted: role, yours: yours() });
        }
        Ok(Question { staff: identity.staff, role, purpose: identity.purpose })
    }

    /// As [`Inner::question`], for somebody who asked earlier and is not here now.
    async fn standing(&self, acting: &Acting) -> Result<Question, QueryError> {
        let Acting { staff, role, purpose } = acting;
        let identity = self.authenticator.standing(staff, role, *purpose).await?;
        if identity.staff != *staff
            || !identity.roles.contains(role)
            || identity.purpose != *purpose
            || role.as_str() == POLICY_ROLE
        {
            return Err(AuthenticationFailed::Token.into());
        }
        Ok(Question { staff: identity.staff, role: role.clone(), purpose: identity.purpose })
    }

    fn new_scope(&self) -> Result<Scope, QueryError> {
        let mut random = [0; 16];
        OsEntropy.fill(&mut random).map_err(|_| QueryError::Bug("randomness"))?;
        let deal = DealId::new(format!("s-{}", hex::encode(random)))
            .map_err(|_| QueryError::Bug("statement id"))?;
        Ok(Scope::new(self.lake.holder().clone(), deal))
    }
}
