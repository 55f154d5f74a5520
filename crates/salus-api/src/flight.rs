//! Flight SQL over HTTP/2, as an axum router, so that it is served like everything else.

use axum::Router;
use salus_query::Gateway;
use salus_query::flight::FlightSql;

/// The gRPC service's path.
pub const PATH: &str = "/arrow.flight.protocol.FlightService/{method}";

/// The gateway as a Flight SQL service; serve it over TLS with `h2`.
pub fn router(gateway: Gateway) -> Router {
    Router::new().route_service(PATH, FlightSql::service(gateway))
}
