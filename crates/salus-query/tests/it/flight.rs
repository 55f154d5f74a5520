//! Flight SQL, asked by the published ADBC driver.

use std::path::Path;

use salus_query::flight::FlightSql;
use salus_testkit::Venv;
use tokio::net::TcpListener;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;

use crate::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn adbc_queries_prepares_lists_and_is_refused() {
    let world = World::new().await;
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let service = FlightSql::service(std::sync::Arc::new(world.gateway.clone()));
    let incoming = TcpIncoming::from(listener);
    let server = tokio::spawn(Server::builder().add_service(service).serve_with_incoming(incoming));
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/adbc.py");
    let printed = tokio::task::spawn_blocking(move || {
        let venv = Venv::with(&[
            "adbc-driver-flightsql==1.13.0",
            "adbc-driver-manager==1.13.0",
            "pyarrow==26.0.1",
        ]);
        venv.run(script, |command| {
            command.arg(format!("grpc://127.0.0.1:{port}"));
        })
    })
    .await
    .unwrap();
    assert!(printed.contains("all is as it should be"), "{printed}");
    server.abort();
    let staff: Vec<String> = world.audit.events().iter().map(|e| e.staff.to_string()).collect();
    assert!(staff.contains(&"dora".to_owned()) && staff.contains(&"ann".to_owned()));
}
