//! `/v1/health/live`, `/v1/health/ready` and `/v1/metrics`: whether the node runs, and how much.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};
use axum::{Json, Router};
use salus_model::RoleName;
use salus_node::{Certificates, Site, SiteMetrics};
use salus_query::Gateway;
use salus_store::audit::AuditLog;
use serde::Serialize;
use tokio::sync::Mutex;

use crate::route::{Access, HttpRoute, RouteTable};
use crate::sql::{problem, refused, token};

/// How long a readiness that was found is told again: who asks often must not ask the key store.
const READY: Duration = Duration::from_secs(5);
/// How long the key store may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);

#[derive(Clone, Copy)]
enum Endpoint {
    Live,
    Ready,
    Metrics,
}

const TABLE: RouteTable<Endpoint, 3> = RouteTable([
    (HttpRoute::new("GET", "/v1/health/live", Access::Public), Endpoint::Live),
    (HttpRoute::new("GET", "/v1/health/ready", Access::Public), Endpoint::Ready),
    (HttpRoute::new("GET", "/v1/metrics", Access::Role), Endpoint::Metrics),
]);

/// Every route here.
pub const ROUTES: [HttpRoute; 3] = TABLE.routes();

/// What is watched.
pub struct Monitor {
    site: Site,
    audit: Arc<AuditLog>,
    gateway: Gateway,
    certificates: Arc<Certificates>,
    ready: Mutex<Option<(Instant, bool)>>,
}

impl Monitor {
    /// A monitor of a running node.
    #[must_use]
    pub fn new(
        site: Site,
        audit: Arc<AuditLog>,
        gateway: Gateway,
        certificates: Arc<Certificates>,
    ) -> Self {
        Self { site, audit, gateway, certificates, ready: Mutex::new(None) }
    }

    async fn is_ready(&self) -> bool {
        let mut ready = self.ready.lock().await;
        if let Some((at, found)) = *ready
            && at.elapsed() < READY
        {
            return found;
        }
        let found = self.look().await;
        *ready = Some((Instant::now(), found));
        found
    }

    async fn look(&self) -> bool {
        let keys = tokio::time::timeout(PATIENCE, self.site.keys.health()).await;
        let keys = matches!(keys, Ok(Ok(_)));
        let ends = self.certificates.expires();
        let certificate = ends.is_none_or(|ends| self.site.clock.now() < ends);
        if !(keys && certificate) {
            tracing::warn!(keys, certificate, "the node is not ready");
        }
        keys && certificate
    }

    fn text(&self) -> String {
        let ends = self.certificates.expires().map(|at| at.as_micros() / 1_000_000);
        let metrics = &self.site.metrics;
        metrics.note(self.audit.head().sequence, self.site.cache.len(), ends);
        metrics.text()
    }
}

/// The routes over a monitor.
pub fn router(monitor: Monitor) -> Router {
    let handler = |endpoint| -> MethodRouter<Arc<Monitor>> {
        match endpoint {
            Endpoint::Live => get(async || Json(Health { status: "live" })),
            Endpoint::Ready => get(ready),
            Endpoint::Metrics => get(metrics),
        }
    };
    TABLE.router(handler).with_state(Arc::new(monitor))
}

#[derive(Serialize)]
struct Health {
    status: &'static str,
}

async fn ready(State(monitor): State<Arc<Monitor>>) -> Response {
    if monitor.is_ready().await {
        Json(Health { status: "ready" }).into_response()
    } else {
        // Why not is in the log: strangers need not know.
        let status = Health { status: "not ready" };
        (StatusCode::SERVICE_UNAVAILABLE, Json(status)).into_response()
    }
}

async fn metrics(State(monitor): State<Arc<Monitor>>, headers: HeaderMap) -> Response {
    let token = match token(&headers) {
        Ok(token) => token,
        Err(response) => return response,
    };
    let identity = match monitor.gateway.identify(&token).await {
        Ok(identity) => identity,
        Err(error) => return refused(&error),
    };
    let wanted: &RoleName = &monitor.site.config.monitoring.role;
    if !identity.roles.contains(wanted) {
        let remedy = format!("the counters are for the role {wanted}, which this token has not");
        return problem(StatusCode::FORBIDDEN, "refused", remedy);
    }
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(CONTENT_TYPE, kind)], monitor.text()).into_response()
}

/// Counts every request of a router under its route, never under the path that was asked for.
pub fn counted(router: Router, metrics: SiteMetrics, known: Vec<&'static str>) -> Router {
    let counting = Arc::new((metrics, known));
    router.layer(axum::middleware::from_fn_with_state(counting, count))
}

async fn count(
    State(counting): State<Arc<(SiteMetrics, Vec<&'static str>)>>,
    request: Request,
    next: Next,
) -> Response {
    let (metrics, known) = &*counting;
    let matched = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    let route = known.iter().copied().find(|path| Some(*path) == matched).unwrap_or("other");
    let began = Instant::now();
    let response = next.run(request).await;
    metrics.http(route, response.status().as_u16(), began.elapsed());
    response
}
