//! From a request to an answer on record: the one way from a handler to the repository.

use std::collections::BTreeSet;

use axum::http::{HeaderMap, StatusCode};
use salus_fhir::bundle::{BundleRequest, Status};
use salus_fhir::{Issue, IssueCode};
use salus_ingest::fhir::FHIR_DATASET;
use salus_ingest::fhir::repository::{Answer, Ask, Author, Carried, FHIR_HISTORY, RepositoryError};
use salus_model::{Class, Classified, DatasetId, RoleName};
use salus_query::{AccessKind, Disclosure};

use super::outcome::FhirError;
use super::subscription::SUBSCRIPTION;
use super::{Fhir, headers};

/// The columns without which no resource can be shown.
pub(crate) const COLUMNS: [&str; 5] =
    ["id", "resource_type", "patient_id", "resource", "sequence_"];

/// Whether earlier versions are needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Past {
    Needed,
    NotNeeded,
}

pub(super) fn disclosure(
    role: Option<RoleName>,
    kind: AccessKind,
    statement: String,
    past: Past,
) -> Result<Disclosure, RepositoryError> {
    let name = |name| DatasetId::new(name).map_err(RepositoryError::from);
    let beside = match past {
        Past::Needed => Some(name(FHIR_HISTORY)?),
        Past::NotNeeded => None,
    };
    Ok(Disclosure {
        role,
        dataset: name(FHIR_DATASET)?,
        columns: COLUMNS.iter().map(|c| (*c).to_owned()).collect(),
        beside,
        writes: BTreeSet::new(),
        kind,
        statement,
    })
}

/// A request line for the record: path and names of parameters, without their values.
pub(super) fn line(method: &str, path: &str, query: &str) -> String {
    let names: Vec<String> = form_urlencoded::parse(query.as_bytes())
        .map(|(name, _)| name.chars().take(64).filter(|c| !c.is_control()).collect())
        .collect();
    match names.as_slice() {
        [] => format!("{method} {path}"),
        names => format!("{method} {path}?{}", names.join("&")),
    }
}

/// Why a write was not carried out.
#[derive(Debug, thiserror::Error)]
pub(super) enum CarryError {
    /// The repository failed.
    #[error(transparent)]
    Repository(RepositoryError),
    /// The role's row rules do not cover the patient.
    #[error("the row rules of the role do not cover the patient")]
    Forbidden(Vec<Issue>),
}

impl Classified for CarryError {
    fn class(&self) -> Class {
        match self {
            Self::Repository(e) => e.class(),
            Self::Forbidden(_) => Class::Refused,
        }
    }
}

impl Fhir {
    /// Reads, as the caller's role allows.
    pub(super) async fn ask(
        &self,
        headers: &HeaderMap,
        statement: String,
        ask: Ask,
        past: Past,
    ) -> Result<Answer, FhirError> {
        let token = headers::token(headers)?;
        let disclosure =
            disclosure(headers::role(headers)?, AccessKind::FhirRead, statement, past)?;
        let repository = self.repository.clone();
        let answered = self.gateway.disclose(&token, disclosure, async move |release, _| {
            repository.answer_counted(release, ask).await
        });
        Ok(answered.await?)
    }

    /// Writes, and reads what stands beside it in a Bundle.
    pub(super) async fn carry_out(
        &self,
        headers: &HeaderMap,
        statement: String,
        request: BundleRequest,
    ) -> Result<Carried, FhirError> {
        let token = headers::token(headers)?;
        let writes = request.written_types();
        if writes.contains(SUBSCRIPTION) {
            let message = "a Subscription is sent by itself, to [base]/Subscription";
            let status = StatusCode::UNPROCESSABLE_ENTITY;
            return Err(FhirError::new(status, IssueCode::BusinessRule, message));
        }
        let kind = if writes.is_empty() { AccessKind::FhirRead } else { AccessKind::FhirWrite };
        let past = if request.reads_versions() { Past::Needed } else { Past::NotNeeded };
        let mut disclosure = disclosure(headers::role(headers)?, kind, statement, past)?;
        disclosure.writes = writes.into_iter().map(str::to_owned).collect();
        let repository = self.repository.clone();
        let carried = self.gateway.disclose(&token, disclosure, async move |release, acting| {
            let author = Author { staff: acting.staff, role: acting.role };
            let carried = repository.carry_out(release, &author, &request).await;
            let carried = carried.map_err(CarryError::Repository)?;
            let counted = carried.compute(|carried| match carried {
                // Told as an error, so that the record says that it was refused.
                Carried::Refused { status: Status::Forbidden, issues } => {
                    Err(CarryError::Forbidden(issues))
                }
                carried => {
                    let count = carried.resources();
                    Ok((carried, count))
                }
            });
            counted.transpose()
        });
        Ok(carried.await?)
    }
}
