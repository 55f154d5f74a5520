//! Flight SQL over HTTP/2, as an axum router, so that it is served like everything else.

use std::sync::Arc;

use axum::Router;
use salus_query::flight::{FlightSql, Statements};

/// The gRPC service's path.
pub const PATH: &str = "/arrow.flight.protocol.FlightService/{method}";

/// Whatever answers statements, as a Flight SQL service; serve it over TLS with `h2`.
pub fn router(statements: Arc<dyn Statements>) -> Router {
    Router::new().route_service(PATH, FlightSql::service(statements))
}
