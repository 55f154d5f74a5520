//! The release studio for scripts: what a steward finds out at the console, with a steward's token.
//!
//! # Privacy
//! As at the console ([`crate::console`]): figures without noise for the steward alone, read in the
//! role `steward` on record, and no value of a record. The token has to be of that role, for
//! operations. A release is not begun with a token: it spends a dataset's budget, for which the
//! console asks for a second factor and `salus release` for the site's own key.

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum::routing::{MethodRouter, delete, get, post};
use salus_model::{Purpose, StaffId};
use salus_node::study::Studies;
use salus_query::Gateway;

use crate::console::releases::{self, PlanSent, StudySent};
use crate::console::{Body, read};
use crate::route::{Access, HttpRoute, RouteTable};
use crate::sql::{problem, refused, token};

/// No request is longer.
const REQUEST_BYTES: usize = 256 * 1024;
const ROLE: &str = "steward";

#[derive(Clone, Copy)]
enum Endpoint {
    Outset,
    ReadPlan,
    Begin,
    Study,
    Stop,
}

const fn route(method: &'static str, path: &'static str) -> HttpRoute {
    HttpRoute::new(method, path, Access::Token)
}

const TABLE: RouteTable<Endpoint, 5> = RouteTable([
    (route("GET", "/v1/releases/{dataset}"), Endpoint::Outset),
    (route("POST", "/v1/releases/{dataset}/plan"), Endpoint::ReadPlan),
    (route("POST", "/v1/releases/{dataset}/studies"), Endpoint::Begin),
    (route("GET", "/v1/studies/{study}"), Endpoint::Study),
    (route("DELETE", "/v1/studies/{study}"), Endpoint::Stop),
]);

/// Every route here.
pub const ROUTES: [HttpRoute; 5] = TABLE.routes();

struct Parts {
    studies: Arc<Studies>,
    gateway: Gateway,
}

type Shared = Arc<Parts>;

/// The routes over a site's studies; `gateway` knows whose token it is.
pub fn router(studies: Arc<Studies>, gateway: Gateway) -> Router {
    let handler = |endpoint| -> MethodRouter<Shared> {
        match endpoint {
            Endpoint::Outset => get(outset),
            Endpoint::ReadPlan => post(read_plan),
            Endpoint::Begin => post(begin),
            Endpoint::Study => get(study),
            Endpoint::Stop => delete(stop),
        }
    };
    TABLE
        .router(handler)
        .layer(DefaultBodyLimit::max(REQUEST_BYTES))
        .with_state(Arc::new(Parts { studies, gateway }))
}

/// The steward whose token came.
async fn steward(parts: &Parts, headers: &HeaderMap) -> Result<StaffId, Response> {
    let token = token(headers)?;
    let who = parts.gateway.identify(&token).await.map_err(|e| refused(&e))?;
    let is_steward = who.roles.iter().any(|role| role.as_str() == ROLE);
    if !is_steward || who.purpose != Purpose::Operations {
        let text = "this is for a token of the role steward, for operations";
        return Err(problem(StatusCode::FORBIDDEN, "refused", text));
    }
    Ok(who.staff)
}

async fn outset(
    State(parts): State<Shared>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Response {
    match steward(&parts, &headers).await {
        Ok(by) => releases::told_outset(&parts.studies, &by, name).await,
        Err(response) => response,
    }
}

async fn read_plan(
    State(parts): State<Shared>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Body<PlanSent>,
) -> Response {
    match steward(&parts, &headers).await {
        Ok(_) => releases::told_plan(&parts.studies, name, body).await,
        Err(response) => response,
    }
}

async fn begin(
    State(parts): State<Shared>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Body<StudySent>,
) -> Response {
    let work = async {
        let by = steward(&parts, &headers).await?;
        let sent = read(body)?;
        if matches!(sent, StudySent::Release(_)) {
            let text = "a release spends the dataset's budget: begin it at the console, or with \
                        `salus release` on the site's machine";
            return Err(problem(StatusCode::FORBIDDEN, "refused", text));
        }
        Ok(releases::told_begun(&parts.studies, &by, name, sent).await)
    };
    work.await.unwrap_or_else(|response| response)
}

async fn study(
    State(parts): State<Shared>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Response {
    match steward(&parts, &headers).await {
        Ok(by) => releases::told_study(&parts.studies, &by, &name),
        Err(response) => response,
    }
}

async fn stop(
    State(parts): State<Shared>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Response {
    match steward(&parts, &headers).await {
        Ok(by) => releases::told_stopped(&parts.studies, &by, &name),
        Err(response) => response,
    }
}
