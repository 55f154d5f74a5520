//! `/v1/joint`: a party of joint answers adds up shares that holders sealed to it.
//!
//! Nobody signs in: what is sealed to this party and signed by holders that it knows is all that it
//! works on, and one sum for an invitation is all that it gives. Where the site takes questions from
//! members alone, these routes too ask for a member's certificate.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::rejection::JsonRejection;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, post};
use axum::{Json, Router};
use salus_dp::joint::Share;
use salus_model::{Class, Classified as _, HolderId};
use salus_private::joint::{Invitation, JointRefused, Party, SumWanted};
use serde::{Deserialize, Serialize};

use crate::questions::Callers;
use crate::route::{Access, HttpRoute, RouteTable};
use crate::sql::problem;

/// No request is longer: a hundred holders' shares of ten thousand numbers.
const REQUEST_BYTES: usize = 64 * 1024 * 1024;

#[derive(Clone, Copy)]
enum Endpoint {
    Revealed,
    Check,
    Sum,
}

const TABLE: RouteTable<Endpoint, 3> = RouteTable([
    (HttpRoute::new("POST", "/v1/joint/revealed", Access::Shares), Endpoint::Revealed),
    (HttpRoute::new("POST", "/v1/joint/check", Access::Shares), Endpoint::Check),
    (HttpRoute::new("POST", "/v1/joint/sums", Access::Shares), Endpoint::Sum),
]);

/// Every route here.
pub const ROUTES: [HttpRoute; 3] = TABLE.routes();

/// What was revealed for an invitation.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RevealedBefore {
    /// Whose shares are in the one sum; none when nothing was revealed.
    pub holders: Option<BTreeSet<HolderId>>,
}

/// Whether shares can be added up.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checked {
    /// The first holder whose share is not its own; none when all are well.
    pub not_its_own: Option<HolderId>,
}

/// The routes over a party.
pub fn router(party: Arc<Party>, callers: Callers) -> Router {
    let handler = |endpoint| -> MethodRouter<Arc<Party>> {
        match endpoint {
            Endpoint::Revealed => post(revealed),
            Endpoint::Check => post(check),
            Endpoint::Sum => post(sum),
        }
    };
    let routes = TABLE.router(handler).layer(DefaultBodyLimit::max(REQUEST_BYTES));
    callers.guard(routes.with_state(party))
}

fn refused(error: &JointRefused) -> Response {
    let (status, class) = match error.class() {
        Class::BadRequest => (StatusCode::BAD_REQUEST, "bad-request"),
        Class::Refused => (StatusCode::FORBIDDEN, "refused"),
        Class::Peer => (StatusCode::BAD_GATEWAY, "peer"),
        Class::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
        Class::Corrupt | Class::Bug => (StatusCode::INTERNAL_SERVER_ERROR, "bug"),
    };
    if let JointRefused::Log(source) = error {
        tracing::error!(
            error = source as &dyn std::error::Error,
            "what was revealed cannot be written down"
        );
    }
    problem(status, class, error)
}

/// Does a party's work, which opens seals and waits for the disk, beside the others.
async fn at_work<T: Send + 'static>(
    party: Arc<Party>,
    work: impl FnOnce(&Party) -> Result<T, JointRefused> + Send + 'static,
) -> Result<T, Response> {
    match tokio::task::spawn_blocking(move || work(&party)).await {
        Ok(done) => done.map_err(|e| refused(&e)),
        Err(_) => {
            Err(problem(StatusCode::INTERNAL_SERVER_ERROR, "bug", "the sum was not finished"))
        }
    }
}

fn body<T>(read: Result<Json<T>, JsonRejection>) -> Result<T, Response> {
    read.map(|Json(value)| value).map_err(|e| problem(e.status(), "bad-request", e.body_text()))
}

async fn revealed(
    State(party): State<Arc<Party>>,
    invitation: Result<Json<Invitation>, JsonRejection>,
) -> Result<Json<RevealedBefore>, Response> {
    let invitation = body(invitation)?;
    let holders = at_work(party, move |party| party.revealed(&invitation)).await?;
    Ok(Json(RevealedBefore { holders }))
}

async fn check(
    State(party): State<Arc<Party>>,
    wanted: Result<Json<SumWanted>, JsonRejection>,
) -> Result<Json<Checked>, Response> {
    let wanted = body(wanted)?;
    let checked = at_work(party, move |party| match party.check(&wanted) {
        Ok(()) => Ok(None),
        Err(JointRefused::Share { holder }) => Ok(Some(holder)),
        Err(e) => Err(e),
    });
    Ok(Json(Checked { not_its_own: checked.await? }))
}

async fn sum(
    State(party): State<Arc<Party>>,
    wanted: Result<Json<SumWanted>, JsonRejection>,
) -> Response {
    let wanted = match body(wanted) {
        Ok(wanted) => wanted,
        Err(response) => return response,
    };
    let sum: Result<Share, Response> = at_work(party, move |party| party.reveal(&wanted)).await;
    match sum {
        Ok(sum) => Json(sum).into_response(),
        Err(response) => response,
    }
}
