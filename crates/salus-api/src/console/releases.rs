//! The release studio: a dataset is assessed, advised on, rehearsed and released.
//!
//! # Privacy
//! What a study measures is exact, without noise, and for the steward alone. Rows are read on the
//! node in the site's role `steward`, as [`super::intake`] reads: its policies decide, and each read
//! is on record under the account. No value of a record comes here, but for categories that the
//! privacy profile publishes. A release goes the way of `salus release`, under a permit.

mod asked;
mod outset;
mod report;
mod shown;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use salus_accounts::Standing;
use salus_model::{DatasetId, StaffId};
use salus_node::study::{Studies, StudyError, StudyId};

use super::Shared;
use super::guard::{failed, problem};
use super::session::{Body, read};
use super::steward::staff;

pub(crate) use self::asked::{PlanSent, StudySent};
pub(super) use self::outset::OutsetShown;
pub(super) use self::shown::{BegunShown, PlanShown, StudyShown};

fn told(error: &StudyError) -> Response {
    let (status, class, reason) = match error {
        StudyError::Unknown => (StatusCode::NOT_FOUND, "bad-request", "no-study"),
        StudyError::NoDataset { .. } => (StatusCode::NOT_FOUND, "bad-request", "no-dataset"),
        StudyError::Running { .. } => (StatusCode::CONFLICT, "refused", "running"),
        StudyError::Releasing => (StatusCode::CONFLICT, "refused", "release"),
        StudyError::Busy => (StatusCode::SERVICE_UNAVAILABLE, "unavailable", "busy"),
        StudyError::TooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "bad-request", "too-large"),
        StudyError::Withheld { .. } => (StatusCode::FORBIDDEN, "refused", "policy"),
        StudyError::Private(_) => (StatusCode::FORBIDDEN, "refused", "private"),
        other => return failed(other),
    };
    problem(status, class, Some(reason), error)
}

fn dataset(name: String) -> Result<DatasetId, Response> {
    DatasetId::new(name)
        .map_err(|e| problem(StatusCode::NOT_FOUND, "bad-request", Some("no-dataset"), e))
}

fn study_id(name: &str) -> Result<StudyId, Response> {
    name.parse().map_err(|e| told(&e))
}

/// What is known of a dataset before it is released.
pub(crate) async fn told_outset(studies: &Studies, by: &StaffId, name: String) -> Response {
    let work = async {
        let found = studies.outset(by, &dataset(name)?).await.map_err(|e| told(&e))?;
        Ok::<_, Response>(Json(OutsetShown::from(found)))
    };
    work.await.map_or_else(|response| response, Json::into_response)
}

/// A plan that was understood.
pub(crate) async fn told_plan(studies: &Studies, name: String, body: Body<PlanSent>) -> Response {
    let work = async {
        let (dataset, sent) = (dataset(name)?, read(body)?);
        let plan = sent.plan.to_json()?;
        let known = studies.read_plan(&dataset, &plan).await.map_err(|e| told(&e))?;
        Ok::<_, Response>(Json(PlanShown::from(known)))
    };
    work.await.map_or_else(|response| response, Json::into_response)
}

/// A study that has begun.
pub(crate) async fn told_begun(
    studies: &Studies,
    by: &StaffId,
    name: String,
    sent: StudySent,
) -> Response {
    let work = async {
        let (dataset, wanted) = (dataset(name)?, sent.wanted()?);
        let begun = studies.begin(by, dataset, wanted).await.map_err(|e| told(&e))?;
        Ok::<_, Response>((StatusCode::ACCEPTED, Json(BegunShown::from(begun))))
    };
    work.await.map_or_else(|response| response, axum::response::IntoResponse::into_response)
}

/// How far a study is.
pub(crate) fn told_study(studies: &Studies, by: &StaffId, name: &str) -> Response {
    let work = || {
        let seen = studies.study(by, &study_id(name)?).map_err(|e| told(&e))?;
        StudyShown::of(seen).map(Json)
    };
    work().map_or_else(|response: Response| response, Json::into_response)
}

/// That a study stops.
pub(crate) fn told_stopped(studies: &Studies, by: &StaffId, name: &str) -> Response {
    let work = || studies.stop(by, &study_id(name)?).map_err(|e| told(&e));
    work().map_or_else(|response| response, |()| StatusCode::NO_CONTENT.into_response())
}

pub(super) async fn outset(
    State(console): State<Shared>,
    Extension(by): Extension<Standing>,
    Path(name): Path<String>,
) -> Response {
    match staff(&by.account) {
        Ok(by) => told_outset(&console.studies, &by, name).await,
        Err(response) => response,
    }
}

pub(super) async fn read_plan(
    State(console): State<Shared>,
    Path(name): Path<String>,
    body: Body<PlanSent>,
) -> Response {
    told_plan(&console.studies, name, body).await
}

pub(super) async fn begin(
    State(console): State<Shared>,
    Extension(by): Extension<Standing>,
    Path(name): Path<String>,
    body: Body<StudySent>,
) -> Response {
    match (staff(&by.account), read(body)) {
        (Ok(by), Ok(sent)) => told_begun(&console.studies, &by, name, sent).await,
        (Err(response), _) | (_, Err(response)) => response,
    }
}

pub(super) async fn study(
    State(console): State<Shared>,
    Extension(by): Extension<Standing>,
    Path(name): Path<String>,
) -> Response {
    let told = |by| told_study(&console.studies, &by, &name);
    staff(&by.account).map_or_else(|response| response, told)
}

pub(super) async fn stop(
    State(console): State<Shared>,
    Extension(by): Extension<Standing>,
    Path(name): Path<String>,
) -> Response {
    let told = |by| told_stopped(&console.studies, &by, &name);
    staff(&by.account).map_or_else(|response| response, told)
}
