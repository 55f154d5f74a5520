//! The PostgreSQL wire, asked by the real psql.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::Duration;

use salus_query::{Outcome, pg};
use salus_testkit::{Venv, program};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use crate::world::World;

/// A server on loopback with a certificate of its own, and psql to ask it.
struct Server {
    world: World,
    port: u16,
    authority: PathBuf,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    async fn start() -> Self {
        let world = World::new().await;
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        let authority = world.folder().join("ca.pem");
        std::fs::write(&authority, made.cert.pem()).unwrap();
        let transport = pg::Transport::tls(TlsAcceptor::from(Arc::new(config)));
        let (port, task) = serve(&world, transport).await;
        Self { world, port, authority, task }
    }

    async fn psql(&self, role: &str, token: &str, mode: &str, arguments: &[&str]) -> Output {
        let target = format!(
            "host=localhost port={} user={role} dbname=salus sslmode={mode} sslrootcert={}",
            self.port,
            self.authority.display()
        );
        psql(&target, token, arguments).await
    }

    async fn rows(&self, role: &str, token: &str, sql: &str) -> String {
        let output = self.psql(role, token, "verify-full", &["-At", "-c", sql]).await;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{sql}: {said}");
        String::from_utf8(output.stdout).unwrap()
    }

    async fn refusal(&self, role: &str, token: &str, sql: &str) -> String {
        let verbose = ["-At", "-v", "VERBOSITY=verbose", "-c", sql];
        let output = self.psql(role, token, "verify-full", &verbose).await;
        assert!(!output.status.success(), "answered: {sql}");
        String::from_utf8(output.stderr).unwrap()
    }
}

async fn serve(world: &World, transport: pg::Transport) -> (u16, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let gateway = world.gateway.clone();
    let task = tokio::spawn(async move {
        pg::serve(listener, gateway, transport).await.unwrap();
    });
    (port, task)
}

async fn psql(target: &str, token: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(program("psql", "postgresql-client"));
    command
        .arg("-X")
        .args(arguments)
        .arg(target)
        .env("PGPASSWORD", token)
        .env("PGCONNECT_TIMEOUT", "10");
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn psql_gets_rows_of_every_type() {
    let server = Server::start().await;
    let sql = "SELECT id, patient, kcal, weight, eaten, id = 1, NULL, 1.50::decimal(9,2), \
               make_array(1, 2), date '2026-01-02' FROM meals WHERE id <= 3 ORDER BY id";
    assert_eq!(
        server.rows("physician", "dora", sql).await,
        "1|p1|250|70.5|2026-01-01 00:00:00|t||1.50|[1,2]|2026-01-02\n\
         2|p1|180|70.25|2026-01-01 01:00:00|f||1.50|[1,2]|2026-01-02\n\
         3|p2|240||2026-01-01 02:00:00|f||1.50|[1,2]|2026-01-02\n"
    );
    assert_eq!(server.rows("dietitian", "ann", "SELECT count(*) FROM meals").await, "3\n");
    assert_eq!(server.world.audit.last().staff.as_str(), "ann");
}

#[tokio::test(flavor = "multi_thread")]
async fn psycopg_uses_prepared_statements() {
    let server = Server::start().await;
    let port = server.port;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/prepared.py");
    let printed = tokio::task::spawn_blocking(move || {
        let venv = Venv::with(&["psycopg==3.3.9", "psycopg-binary==3.3.9"]);
        venv.run(script, |command| {
            command.arg(port.to_string());
        })
    })
    .await
    .unwrap();
    assert!(printed.contains("all is as it should be"), "{printed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_have_an_sqlstate_and_say_why() {
    let server = Server::start().await;
    let told = server.refusal("dietitian", "ann", "SELECT insurance FROM meals").await;
    assert!(told.contains("42501") && told.contains("may not read column 'insurance'"), "{told}");
    let told = server.refusal("dietitian", "ann", "SELECT * FROM billing").await;
    assert!(told.contains("42P01"), "{told}");
    let told = server.refusal("physician", "dora", "DROP TABLE meals").await;
    assert!(told.contains("25006") && told.contains("DROP TABLE is not allowed"), "{told}");
    let told = server.refusal("physician", "dora", "SELECT 1 / (id - id) FROM meals").await;
    assert!(told.contains("22012"), "{told}");
    let told = server.refusal("physician", "ann", "SELECT 1").await;
    assert!(told.contains("yours are: dietitian"), "{told}");
    let told = server.refusal("dietitian", "nobody", "SELECT 1").await;
    assert!(told.contains("the access token is not valid"), "{told}");
    let told = server.refusal("dietitian", "ann", "SET ROLE physician").await;
    assert!(told.contains("you may not act in role 'physician'"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_tls_no_password_is_asked_for() {
    let server = Server::start().await;
    let output = server.psql("dietitian", "ann", "disable", &["-c", "SELECT 1"]).await;
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && told.contains("TLS is required"), "{told}");

    let (port, task) = serve(&server.world, pg::Transport::dangerous_plaintext()).await;
    let target = format!("host=127.0.0.1 port={port} user=dietitian dbname=salus sslmode=disable");
    let output = psql(&target, "ann", &["-At", "-c", "SELECT count(*) FROM meals"]).await;
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "3\n");
    task.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn psql_lists_tables_and_describes_them() {
    let server = Server::start().await;
    assert_eq!(server.rows("dietitian", "ann", "\\dt").await, "public|meals|table|salus\n");
    let told = server.rows("physician", "dora", "\\dt").await;
    assert_eq!(
        told,
        "public|billing|table|salus\npublic|careteam|table|salus\npublic|meals|table|salus\n"
    );
    let told = server.rows("dietitian", "ann", "\\d meals").await;
    assert!(told.contains("id|bigint||not null|"), "{told}");
    assert!(told.contains("eaten|timestamp without time zone"), "{told}");
    assert!(!told.contains("insurance"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_revoked_ends_a_session_that_goes_on() {
    let server = Server::start().await;
    let script = server.world.folder().join("session.sql");
    std::fs::write(
        &script,
        "SELECT count(*) FROM meals;\n\\! sleep 2\nSELECT count(*) FROM meals;\n",
    )
    .unwrap();
    let file = script.to_str().unwrap().to_owned();
    let arguments = ["-At", "-f", file.as_str()];
    let ask = server.psql("dietitian", "ann", "verify-full", &arguments);
    let revoke = async {
        while server.world.audit.events().iter().filter(|e| e.role.as_str() != "policy").count()
            == 0
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        server.world.tokens.revoke("ann");
    };
    let (output, ()) = tokio::join!(ask, revoke);
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "3\n");
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("the access token is not valid"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_request_stops_the_statement() {
    let server = Server::start().await;
    let target =
        format!("host=localhost port={} user=physician dbname=salus sslmode=require", server.port);
    let mut command = Command::new(program("psql", "postgresql-client"));
    command
        .args(["-X", "-At", "-c"])
        .arg(crate::limits::ENDLESS)
        .arg(target)
        .env("PGPASSWORD", "dora")
        .stderr(std::process::Stdio::piped());
    let child = command.spawn().unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    // Ctrl-C in psql sends a cancel request over a connection of its own.
    let interrupt = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(interrupt.success());
    let output =
        tokio::task::spawn_blocking(move || child.wait_with_output().unwrap()).await.unwrap();
    assert!(!output.status.success());
    for _ in 0..100 {
        if !server.world.audit.events().is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(server.world.audit.last().outcome, Outcome::Cancelled);
}
