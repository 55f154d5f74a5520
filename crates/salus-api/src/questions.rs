//! `/v1/questions`: questions under permits, answered sealed to the permit's person.
//!
//! Nobody signs in: a request is signed with the permit's own key, and the ledger says what that
//! key may ask. What comes back only that person opens. A site may want a certificate of a member
//! of its ledger besides, from whoever comes to any of the routes.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use axum::{Json, Router};
use salus_ledger::{CodeHash, PublicKey};
use salus_model::{
    Class, Classified as _, ColumnPath, DatasetId, DealId, HolderId, MicroRho, PrivacyCharge,
};
use salus_node::{MEMBER_KEY_HEADER, MemberDoor, NotAdmitted};
use salus_private::{Desk, DeskError, Prepared, Profile, built_in_code};
use salus_spine::SignedRequest;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use tokio::sync::Semaphore;

use crate::route::{Access, HttpRoute, RouteTable};
use crate::sql::problem;

/// No request is longer.
const REQUEST_BYTES: usize = 128 * 1024;
/// How long a question waits for its turn.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Clone, Copy)]
enum Endpoint {
    Ask,
    Plan,
    Profiles,
}

const TABLE: RouteTable<Endpoint, 3> = RouteTable([
    (HttpRoute::new("POST", "/v1/questions", Access::Permit), Endpoint::Ask),
    (HttpRoute::new("POST", "/v1/questions/plan", Access::Published), Endpoint::Plan),
    (HttpRoute::new("GET", "/v1/questions/profiles", Access::Published), Endpoint::Profiles),
]);

/// Every route here.
pub const ROUTES: [HttpRoute; 3] = TABLE.routes();

/// A question with the request for it, as a person's program sends it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asking {
    /// Signed with the permit's key.
    pub request: SignedRequest,
    /// The question's exact text.
    pub question: String,
}

/// A question whose price is wanted.
///
/// # Privacy
/// It comes in the body and not in the address, which logs and proxies keep.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanWanted {
    /// The question's text.
    pub question: String,
    /// How many rows to assume, for numbers whose error depends on it.
    #[serde(default = "PlanWanted::usual_rows")]
    pub assumed_rows: u64,
}

impl PlanWanted {
    /// A thousand rows.
    #[must_use]
    pub const fn usual_rows() -> u64 {
        1000
    }
}

/// What a question would cost and how exact it would be.
#[derive(Debug, Serialize, Deserialize)]
pub struct Planned {
    /// The dataset.
    pub dataset: DatasetId,
    /// The columns that the answer reads; a permit has to cover each.
    pub columns: BTreeSet<ColumnPath>,
    /// What the account would be charged.
    pub rho: MicroRho,
    /// The error to expect.
    pub expected_error: salus_dp::ExpectedError,
}

/// An answer that only the permit's person can open.
#[derive(Debug, Serialize, Deserialize)]
pub struct Answered {
    /// The deal that it was sealed under; an earlier one when it is repeated.
    pub deal: DealId,
    /// The sealed answer, in hexadecimal.
    pub message: String,
    /// The salt of the result's hash in the receipt, in hexadecimal.
    pub salt: String,
    /// The receipt's file, in hexadecimal.
    pub receipt: String,
    /// What this reply cost; nothing when it is repeated.
    pub charges: BTreeMap<DatasetId, PrivacyCharge>,
}

/// What is publicly known of a holder's datasets.
#[derive(Debug, Serialize, Deserialize)]
pub struct Published {
    /// The holder.
    pub holder: HolderId,
    /// The code that answers.
    pub code: CodeHash,
    /// Unit, bounds and domains, dataset by dataset.
    pub profiles: BTreeMap<DatasetId, Profile>,
}

/// What the routes work on.
#[derive(Clone)]
struct Shared {
    desk: Arc<Desk>,
    holder: HolderId,
    /// A question takes memory and a core for a moment.
    at_once: Arc<Semaphore>,
}

/// What a client showed in the TLS handshake, which also proved that it has the key: the first
/// certificate as DER, if any. Whoever serves the routes adds it to each connection's requests.
#[derive(Clone)]
pub struct ShownCertificate(pub Option<Arc<[u8]>>);

/// Who may use the routes.
pub enum Callers {
    /// Anybody; a question is signed with a permit's key anyway.
    Anyone,
    /// Who shows a member's certificate.
    Members(MemberDoor),
}

impl Callers {
    /// The routes, for these callers alone.
    pub(crate) fn guard(self, routes: Router) -> Router {
        match self {
            Self::Anyone => routes,
            Self::Members(door) => {
                routes.route_layer(middleware::from_fn_with_state(Arc::new(door), at_the_door))
            }
        }
    }
}

/// Turns away who shows no certificate that counts now.
async fn at_the_door(
    State(door): State<Arc<MemberDoor>>,
    request: Request,
    next: Next,
) -> Response {
    let shown = request.extensions().get::<ShownCertificate>().and_then(|shown| shown.0.clone());
    let named = request.headers().get(MEMBER_KEY_HEADER).and_then(|key| {
        let bytes = hex::decode(key.as_bytes()).ok()?;
        PublicKey::try_from(bytes.as_slice()).ok()
    });
    let (Some(certificate), Some(key)) = (shown, named) else {
        return not_admitted(&NotAdmitted::NoCertificate);
    };
    match door.admit(&certificate, &key).await {
        Ok(_) => next.run(request).await,
        Err(error) => not_admitted(&error),
    }
}

fn not_admitted(error: &NotAdmitted) -> Response {
    let cause = std::error::Error::source(error).map(ToString::to_string);
    tracing::warn!(%error, cause, "a caller is turned away at the door");
    match error.class() {
        Class::Refused if matches!(error, NotAdmitted::NoCertificate) => {
            problem(StatusCode::UNAUTHORIZED, "refused", error)
        }
        Class::Refused => problem(StatusCode::FORBIDDEN, "refused", error),
        // The caller can do nothing about it; the operator has it in the log.
        _ => problem(
            StatusCode::SERVICE_UNAVAILABLE,
            "unavailable",
            "this node cannot tell now whether the certificate counts; try again in a moment",
        ),
    }
}

/// The routes over a desk.
pub fn router(desk: Arc<Desk>, holder: HolderId, callers: Callers) -> Router {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let shared = Shared { desk, holder, at_once: Arc::new(Semaphore::new(cores * 2)) };
    let handler = |endpoint| -> MethodRouter<Shared> {
        match endpoint {
            Endpoint::Ask => post(ask),
            Endpoint::Plan => post(plan),
            Endpoint::Profiles => get(profiles),
        }
    };
    let routes = TABLE.router(handler).layer(DefaultBodyLimit::max(REQUEST_BYTES));
    let routes = routes.with_state(shared);
    callers.guard(routes)
}

/// The error's sentence and those of its causes, each once.
pub(crate) fn sentences(error: &(impl std::error::Error + ?Sized)) -> String {
    let mut said = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let sentence = error.to_string();
        if !said.contains(&sentence) {
            said = format!("{said}: {sentence}");
        }
        cause = error.source();
    }
    said
}

fn refused(error: &DeskError) -> Response {
    let (status, class) = match error.class() {
        Class::BadRequest => (StatusCode::BAD_REQUEST, "bad-request"),
        Class::Refused => (StatusCode::FORBIDDEN, "refused"),
        Class::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
        Class::Peer => (StatusCode::BAD_GATEWAY, "peer"),
        Class::Corrupt => (StatusCode::INTERNAL_SERVER_ERROR, "corrupt"),
        Class::Bug => (StatusCode::INTERNAL_SERVER_ERROR, "bug"),
    };
    if matches!(error.class(), Class::Corrupt | Class::Bug) {
        // What is broken inside is for the operator, not for whoever asks.
        tracing::error!(error = sentences(error), "a question under a permit failed");
        return problem(
            status,
            class,
            "the holder's node cannot answer; its operator has the reason in the log",
        );
    }
    problem(status, class, sentences(error))
}

fn body<T>(read: Result<Json<T>, axum::extract::rejection::JsonRejection>) -> Result<T, Response> {
    read.map(|Json(value)| value).map_err(|e| problem(e.status(), "bad-request", e.body_text()))
}

async fn ask(
    State(shared): State<Shared>,
    asking: Result<Json<Asking>, axum::extract::rejection::JsonRejection>,
) -> Response {
    let Asking { request, question } = match body(asking) {
        Ok(asking) => asking,
        Err(response) => return response,
    };
    let turn = tokio::time::timeout(PATIENCE, shared.at_once.acquire()).await;
    let Ok(Ok(_turn)) = turn else {
        let remedy = "too many questions are asked at once; try again in a moment";
        return problem(StatusCode::SERVICE_UNAVAILABLE, "unavailable", remedy);
    };
    // On a task of its own: whoever hangs up does not stop what is being charged.
    let desk = Arc::clone(&shared.desk);
    let answered = tokio::spawn(async move { desk.answer(&request, &question).await }).await;
    match answered {
        Ok(Ok(reply)) => Json(Answered {
            deal: reply.deal,
            message: hex::encode(reply.message),
            salt: hex::encode(reply.salt),
            receipt: hex::encode(reply.receipt),
            charges: reply.charges,
        })
        .into_response(),
        Ok(Err(error)) => refused(&error),
        Err(_) => {
            problem(StatusCode::INTERNAL_SERVER_ERROR, "bug", "the question was not finished")
        }
    }
}

async fn plan(
    State(shared): State<Shared>,
    wanted: Result<Json<PlanWanted>, axum::extract::rejection::JsonRejection>,
) -> Response {
    let wanted = match body(wanted) {
        Ok(wanted) => wanted,
        Err(response) => return response,
    };
    match shared.desk.explain(&wanted.question) {
        Ok(prepared) => Json(planned(&prepared, wanted.assumed_rows)).into_response(),
        Err(error) => refused(&error),
    }
}

fn planned(prepared: &Prepared, assumed_rows: u64) -> Planned {
    Planned {
        dataset: prepared.dataset().clone(),
        columns: prepared.wanted().into_values().flatten().collect(),
        rho: prepared.cost().rho,
        expected_error: prepared.expected_error(assumed_rows),
    }
}

async fn profiles(State(shared): State<Shared>) -> Json<Published> {
    let profiles = shared.desk.profiles().iter();
    Json(Published {
        holder: shared.holder,
        code: built_in_code(),
        profiles: profiles.map(|(id, profile)| (id.clone(), profile.clone())).collect(),
    })
}
