use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use salus_node::Site;
use salus_node::clients::{AnyOf, Clients};
use salus_query::Gateway;
use salus_query::pg::{self, Transport};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::output::{Failure, Output};

#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Serve FHIR and SQL over HTTP, and the PostgreSQL wire, until Ctrl-C.
    Run,
}

/// A site's services, running.
pub(crate) struct Services {
    /// Where FHIR and SQL over HTTP listen.
    pub(crate) http: SocketAddr,
    /// Where the PostgreSQL wire listens.
    pub(crate) postgres: SocketAddr,
    /// The certificate that both show, as PEM.
    pub(crate) certificate: String,
    /// The query gateway behind both.
    pub(crate) gateway: Gateway,
    tasks: JoinSet<std::io::Result<()>>,
    /// Keeps up with the FHIR servers of salus.toml while it is held.
    following: JoinSet<()>,
    http_handle: axum_server::Handle<SocketAddr>,
}

fn io(what: &'static str) -> impl Fn(std::io::Error) -> Failure {
    move |e| Failure::unavailable(format!("{what}: {e}"))
}

/// A self-signed certificate for this machine's loopback names, and the server side of it.
pub(crate) fn tls() -> Result<(String, Arc<rustls::ServerConfig>), Failure> {
    let bug = |e: &dyn std::fmt::Display| Failure::unavailable(format!("no certificate: {e}"));
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    let made = rcgen::generate_simple_self_signed(names).map_err(|e| bug(&e))?;
    let key = rustls::pki_types::PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| bug(&e))?
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .map_err(|e| bug(&e))?;
    Ok((made.cert.pem(), Arc::new(config)))
}

/// Starts a site's services; they stop when what is returned is stopped or dropped.
pub(crate) async fn start(site: &Site, staff_folder: &Path) -> Result<Services, Failure> {
    let audit = site.open_audit().await?;
    let staff = Arc::new(super::staff::staff(staff_folder));
    let limits = super::sql::limits(1_000_000, 2 << 30, Duration::from_secs(300));
    let clients = Arc::new(super::client::clients(staff_folder)?);
    let known = AnyOf::new(vec![staff, Arc::<Clients>::clone(&clients)]);
    let gateway = site.gateway(Arc::new(known), audit, limits)?;
    let (certificate, tls) = tls()?;
    let mut tasks = JoinSet::new();

    let listen = &site.config.listen;
    let listener = TcpListener::bind(listen.postgres).await.map_err(io("the PostgreSQL port"))?;
    let postgres = listener.local_addr().map_err(io("the PostgreSQL port"))?;
    let transport = Transport::tls(tokio_rustls::TlsAcceptor::from(Arc::clone(&tls)));
    tasks.spawn(pg::serve(listener, gateway.clone(), transport));

    let listener = std::net::TcpListener::bind(listen.http).map_err(io("the HTTP port"))?;
    listener.set_nonblocking(true).map_err(io("the HTTP port"))?;
    let http = listener.local_addr().map_err(io("the HTTP port"))?;
    let http_handle = axum_server::Handle::new();
    let rustls = axum_server::tls_rustls::RustlsConfig::from_config(tls);
    let server = axum_server::from_tcp_rustls(listener, rustls).map_err(io("the HTTP port"))?;
    let server = server.handle(http_handle.clone());
    let repository = site.open_fhir().await?;
    let upkeep = site.fhir_upkeep(repository.clone());
    tasks.spawn(async move { match upkeep.run().await {} });
    let public = site.config.fhir.public_url.as_ref().map(|url| url.as_str().to_owned());
    let public = public.unwrap_or_else(|| format!("https://{http}"));
    let bulk = super::bulk::routes(site, &gateway, &repository, &clients, &public)?;
    let fhir = salus_api::fhir::router(salus_api::fhir::FhirParts {
        gateway: gateway.clone(),
        repository,
        clock: Arc::clone(&site.clock),
        base_url: format!("{public}/fhir"),
    });
    let fhir = fhir.map_err(|e| Failure::unavailable(e.to_string()))?;
    let router = salus_api::sql::router(gateway.clone()).merge(fhir).merge(bulk);
    tasks.spawn(async move { server.serve(router.into_make_service()).await });
    let following = site.follow_sources().await?;
    Ok(Services { http, postgres, certificate, gateway, tasks, following, http_handle })
}

impl Services {
    /// Answers what is under way, for a while, and stops.
    pub(crate) async fn stop(mut self) {
        self.http_handle.graceful_shutdown(Some(Duration::from_secs(3)));
        self.following.shutdown().await;
        self.tasks.shutdown().await;
    }
}

pub(crate) async fn run(command: Command, folder: &Path, output: &Output) -> Result<(), Failure> {
    let Command::Run = command;
    let site = crate::site::open(folder).await?;
    let services = start(&site, folder).await?;
    if !output.is_json() {
        println!("FHIR R4         https://{}/fhir", services.http);
        println!("SQL over HTTPS  https://{}/v1/sql", services.http);
        println!(
            "PostgreSQL      {} (TLS required, the access token is the password)",
            services.postgres
        );
        println!("Ctrl-C stops it.");
    }
    tokio::signal::ctrl_c().await.map_err(io("waiting for Ctrl-C"))?;
    services.stop().await;
    Ok(())
}
