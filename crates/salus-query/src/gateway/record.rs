//! What statements and other accesses share: bounded work, a record of how it ended, and only
//! then the release.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use salus_model::{Class, Classified, ColumnPath, DatasetId, Timestamp};
use salus_spine::{
    AccessRecorded, Care, CareDisclosure, CareGrant, Held, Scope, SignedStatement, release,
};
use salus_store::audit::AccessKind;

use super::Inner;
use super::attempt::refused;
use crate::audit::{AccessEvent, Outcome};
use crate::error::QueryError;
use crate::policy::Question;

/// A result that is computed and sealed, with what its release and its record need.
pub(super) struct Computed<T> {
    pub(super) held: Held<T, Care>,
    pub(super) grant: SignedStatement<CareGrant>,
    /// Rows or resources that it shows.
    pub(super) shown: u64,
}

/// An access, as far as it is known before it ends.
pub(super) struct Accessed {
    pub(super) scope: Scope,
    pub(super) question: Question,
    pub(super) kind: AccessKind,
    pub(super) statement: String,
    pub(super) columns: BTreeMap<DatasetId, BTreeSet<ColumnPath>>,
    pub(super) asked: Timestamp,
}

/// How an error ends an access.
pub(super) fn failed<E: Classified + fmt::Display>(error: &E) -> Outcome {
    match error.class() {
        Class::Refused => Outcome::Refused { reason: error.to_string() },
        _ => Outcome::Failed { reason: error.to_string() },
    }
}

impl Inner {
    /// Puts an access on record, however it ended, and only then hands the result out.
    pub(super) async fn release_on_record<T, E: From<QueryError>>(
        &self,
        accessed: Accessed,
        computed: Result<Computed<T>, E>,
        ended: impl FnOnce(&E) -> Outcome,
    ) -> Result<T, E> {
        let Accessed { scope, question, kind, statement, columns, asked } = accessed;
        let event = AccessEvent {
            statement_id: scope.deal().to_string(),
            scope,
            staff: question.staff.clone(),
            role: question.role,
            purpose: question.purpose,
            kind,
            statement,
            columns,
            asked,
            ended: self.clock.now(),
            outcome: match &computed {
                Ok(computed) => Outcome::Answered { rows: computed.shown },
                Err(error) => ended(error),
            },
        };
        let record = self.audit.append(event).await.map_err(|_| QueryError::Audit)?;
        let Computed { held, grant, .. } = computed?;
        let recorded = AccessRecorded::verify(&record, &self.verifier).map_err(refused)?;
        let now = self.clock.now();
        let cleared = CareDisclosure::verify(&grant, &self.verifier, now, &question.staff)
            .map_err(refused)?;
        Ok(release(held, cleared, recorded).map_err(refused)?.into_inner())
    }
}
