use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use salus_api::console::{self, ConsoleLedger, ConsoleParts};
use salus_api::questions::Callers;
use salus_api::{flight, joint, monitor, published, questions, sql, studies};
use salus_model::{Class, Classified as _};
use salus_node::clients::{AnyOf, Clients};
use salus_node::operations::{Listening, OnLedger, Operations, listen};
use salus_node::study::Studies;
use salus_node::{Certificates, Config, Hooks, Site, trust_of};
use salus_query::Gateway;
use salus_query::pg::{self, Transport};
use salus_store::audit::AuditLog;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::acceptor::ShowingAcceptor;
use crate::output::{Failure, Output};

#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Serve FHIR and SQL over HTTP, the PostgreSQL wire and Flight SQL until Ctrl-C.
    Run {
        /// Stop when the standard input closes, for programs that start this one.
        #[arg(long)]
        stop_with_stdin: bool,
    },
    /// Print the certificate that clients verify this site's services with, as PEM.
    Certificate,
}

/// How often the certificate is issued anew, or its files are looked at.
const RENEWAL: Duration = Duration::from_secs(12 * 60 * 60);
const FILES_RENEWAL: Duration = Duration::from_secs(10 * 60);
/// How often sessions and waits that have ended are removed.
const SWEEP: Duration = Duration::from_secs(60 * 60);
/// How often access records beyond their retention are removed.
const EXPIRY: Duration = Duration::from_secs(24 * 60 * 60);

/// A site's services, running.
pub(crate) struct Services {
    /// Where FHIR and SQL over HTTP listen.
    pub(crate) http: SocketAddr,
    /// Where the PostgreSQL wire listens.
    pub(crate) postgres: SocketAddr,
    /// Where Flight SQL listens.
    pub(crate) flight: SocketAddr,
    /// What clients verify all of them with, as PEM.
    pub(crate) certificate: String,
    /// The query gateway behind all of them.
    pub(crate) gateway: Gateway,
    tasks: JoinSet<std::io::Result<()>>,
    /// Keeps up with the FHIR servers of salus.toml while it is held.
    following: JoinSet<()>,
    handles: Vec<axum_server::Handle<SocketAddr>>,
    _operators: Listening,
}

fn io(what: &'static str) -> impl Fn(std::io::Error) -> Failure {
    move |e| Failure::unavailable(format!("{what}: {e}"))
}

/// A listener, and where it listens.
pub(super) fn bind(
    listen: SocketAddr,
    what: &'static str,
) -> Result<(std::net::TcpListener, SocketAddr), Failure> {
    let listener = std::net::TcpListener::bind(listen).map_err(io(what))?;
    listener.set_nonblocking(true).map_err(io(what))?;
    let address = listener.local_addr().map_err(io(what))?;
    Ok((listener, address))
}

/// Serves a router over TLS; returned is what stops it.
pub(super) fn serve(
    tasks: &mut JoinSet<std::io::Result<()>>,
    listener: std::net::TcpListener,
    tls: Arc<rustls::ServerConfig>,
    router: axum::Router,
) -> Result<axum_server::Handle<SocketAddr>, Failure> {
    let handle = axum_server::Handle::new();
    let rustls = axum_server::tls_rustls::RustlsConfig::from_config(tls);
    let server = axum_server::from_tcp_rustls(listener, rustls).map_err(io("a port"))?;
    let server = server.map(ShowingAcceptor::new).handle(handle.clone());
    let router = salus_api::reading_to_the_end(router);
    tasks.spawn(async move { server.serve(router.into_make_service()).await });
    Ok(handle)
}

/// Starts a site's services; they stop when what is returned is stopped or dropped.
pub(crate) async fn start(site: &Site, staff_folder: &Path) -> Result<Services, Failure> {
    let audit = site.take_audit(&crate::site::operator()?).await?;
    let mut operations = Operations::new(site.clone(), Arc::clone(&audit));
    let on_ledger = on_ledger(site, &audit).await?;
    if let Some(on) = &on_ledger {
        operations = operations.with_ledger(on.clone());
    }
    // At once: a process that serves keys beside this one puts their use on record through it.
    let operators = listen(operations.clone())?;
    let staff = Arc::new(super::staff::staff(staff_folder));
    let limits = super::sql::limits(1_000_000, 2 << 30, Duration::from_secs(300));
    let clients = Arc::new(super::client::clients(staff_folder)?);
    let known = AnyOf::new(vec![staff, Arc::<Clients>::clone(&clients)]);
    let gateway = site.gateway(Arc::new(known), Arc::clone(&audit), limits)?;
    let certificates = Arc::new(site.certificates().await?);
    let mut tasks = JoinSet::new();

    let addresses = &site.config.listen;
    let listener =
        TcpListener::bind(addresses.postgres).await.map_err(io("the PostgreSQL port"))?;
    let postgres = listener.local_addr().map_err(io("the PostgreSQL port"))?;
    let tls = certificates.server(&["postgresql"])?;
    let transport = Transport::tls(tokio_rustls::TlsAcceptor::from(tls));
    tasks.spawn(pg::serve(listener, gateway.clone(), transport));

    let (listener, http) = bind(addresses.http, "the HTTP port")?;
    let known = sql::ROUTES.iter().chain(&monitor::ROUTES).chain(&questions::ROUTES);
    let known = known.chain(&published::ROUTES).chain(&joint::ROUTES).chain(&console::ROUTES);
    let known = known.chain(&studies::ROUTES);
    let known = known.map(|route| route.path).collect();
    let watched =
        monitor::Monitor::new(site.clone(), audit, gateway.clone(), Arc::clone(&certificates));
    let url = format!("https://{http}");
    let repository = site.open_fhir().await?;
    let records = site.fhir_upkeep(repository.clone());
    tasks.spawn(async move { match records.run().await {} });
    let public = site.config.fhir.public_url.as_ref().map(|url| url.as_str().to_owned());
    let public = public.unwrap_or(url);
    let bulk = super::bulk::routes(site, &gateway, &repository, &clients, &public)?;
    let standing = salus_api::fhir::standing(gateway.clone(), repository.clone());
    let subscriptions = site.open_subscriptions(repository.clone(), standing).await?;
    let fhir = salus_api::fhir::router(salus_api::fhir::FhirParts {
        gateway: gateway.clone(),
        repository,
        subscriptions,
        clock: Arc::clone(&site.clock),
        base_url: format!("{public}/fhir"),
    });
    let fhir = fhir.map_err(|e| Failure::unavailable(e.to_string()))?;
    let router = sql::router(gateway.clone()).merge(monitor::router(watched));
    let hooks = Hooks::default();
    let router = router.merge(fhir).merge(bulk);
    let mut router = router.merge(salus_api::fhir::hook_router(hooks.clone()));
    let callers = || {
        let door = on_ledger.as_ref().and_then(|on| site.door(on.ledger()));
        door.map_or(Callers::Anyone, Callers::Members)
    };
    if let Some(on) = &on_ledger {
        let (desk, holder) = (Arc::clone(on.desk()), site.config.holder.clone());
        router = router.merge(questions::router(desk, holder, callers()));
        router = router.merge(published::router(site.clone(), callers()));
        tasks.spawn(publish_opt_outs(operations.clone()));
    }
    if let Some(party) = site.party().await? {
        router = router.merge(joint::router(Arc::new(party), callers()));
    }
    let studied = Arc::new(Studies::new(operations.clone()));
    router = router.merge(studies::router(Arc::clone(&studied), gateway.clone()));
    let people = people(site, (&operations, studied), on_ledger.as_ref(), &mut tasks).await?;
    router = router.merge(people);
    let router = monitor::counted(router, site.metrics.clone(), known);
    let protocols = ["h2", "http/1.1"];
    let tls = match on_ledger.as_ref().filter(|on| site.door(on.ledger()).is_some()) {
        Some(on) => {
            let authorities = &on.ledger().genesis().config.form().roots;
            certificates.server_asking(&protocols, authorities)?
        }
        None => certificates.server(&protocols)?,
    };
    let http_handle = serve(&mut tasks, listener, tls, router)?;

    let (listener, flight) = bind(addresses.flight, "the Flight SQL port")?;
    let tls = certificates.server(&["h2"])?;
    let flight_handle =
        serve(&mut tasks, listener, tls, flight::router(Arc::new(gateway.clone())))?;

    let certificate = certificates.trust_pem().to_owned();
    tasks.spawn(upkeep(site.clone(), certificates, operations));
    let handles = vec![http_handle, flight_handle];
    let following = site.follow_sources(&hooks, &public).await?;
    Ok(Services {
        http,
        postgres,
        flight,
        certificate,
        gateway,
        tasks,
        following,
        handles,
        _operators: operators,
    })
}

/// The site's ledger and the desk that answers under its permits; none when it is on no ledger.
async fn on_ledger(site: &Site, audit: &Arc<AuditLog>) -> Result<Option<OnLedger>, Failure> {
    if site.config.ledger.is_none() {
        return Ok(None);
    }
    let ledger = Arc::new(site.ledger().await?);
    let seen: Arc<dyn salus_private::Ledger> = Arc::clone(&ledger) as _;
    let desk = site.desk(seen, ledger.anchor().clone(), Arc::clone(audit)).await?;
    Ok(Some(OnLedger::new(ledger, Arc::new(desk))))
}

/// The console, and what people who sign in there may do.
async fn people(
    site: &Site,
    (operations, studies): (&Operations, Arc<Studies>),
    on_ledger: Option<&OnLedger>,
    tasks: &mut JoinSet<std::io::Result<()>>,
) -> Result<axum::Router, Failure> {
    let accounts = Arc::new(site.accounts().await?);
    let ledger = match on_ledger {
        None => None,
        Some(on) => {
            let ledger = Arc::clone(on.ledger());
            Some(ConsoleLedger { ledger, explorers: site.explorers().await? })
        }
    };
    let swept = Arc::clone(&accounts);
    tasks.spawn(async move {
        let mut every = tokio::time::interval(SWEEP);
        loop {
            every.tick().await;
            if let Err(error) = swept.sweep().await {
                tracing::warn!(%error, "sessions that have ended stay in the database");
            }
        }
    });
    let (site, operations) = (site.clone(), operations.clone());
    let folder = site.folder.clone();
    let alert_rules = Arc::new(move || super::collect::alert_rules(&folder));
    let parts = ConsoleParts { site, accounts, operations, studies, ledger, alert_rules };
    Ok(console::router(parts))
}

/// How soon to try again when no validator answers.
const AGAIN: Duration = Duration::from_secs(2);

/// Finishes a change of the opt-out list that a crash interrupted; until then nothing is answered
/// under permits.
async fn publish_opt_outs(operations: Operations) -> std::io::Result<()> {
    loop {
        match operations.publish_opt_outs().await {
            Ok(()) => return std::future::pending().await,
            Err(error) if error.class() == Class::Unavailable => {
                tracing::debug!(%error, "the opt-out list waits for the ledger");
                tokio::time::sleep(AGAIN).await;
            }
            Err(error) => {
                tracing::error!(%error, "the opt-out list is not the ledger's; nothing is answered under permits");
                return std::future::pending().await;
            }
        }
    }
}

/// What a node does by itself: certificates, expired keys in memory, expired access records.
async fn upkeep(
    site: Site,
    certificates: Arc<Certificates>,
    operations: Operations,
) -> std::io::Result<()> {
    let lifetime = site.config.keys.lifetime().duration();
    let mut sweep = tokio::time::interval((lifetime / 2).max(Duration::from_secs(1)));
    let from_files = matches!(site.config.tls, salus_node::TlsConfig::Files { .. });
    let mut renewal = tokio::time::interval(if from_files { FILES_RENEWAL } else { RENEWAL });
    let mut expiry = tokio::time::interval(EXPIRY);
    // The first tick is at once; the certificate is new.
    renewal.tick().await;
    loop {
        tokio::select! {
            _ = sweep.tick() => site.cache.sweep(),
            _ = renewal.tick() => {
                if let Err(error) = certificates.renew() {
                    tracing::error!(%error, "the certificate cannot be renewed");
                }
            }
            _ = expiry.tick() => {
                let Ok(operator) = crate::site::operator() else { continue };
                if let Err(error) = operations.expire_records(&operator).await {
                    tracing::error!(%error, "access records beyond their retention stay");
                }
            }
        }
    }
}

impl Services {
    /// Answers what is under way, for a while, and stops.
    pub(crate) async fn stop(mut self) {
        self.following.shutdown().await;
        for handle in &self.handles {
            handle.graceful_shutdown(Some(Duration::from_secs(3)));
        }
        self.tasks.shutdown().await;
    }
}

pub(crate) async fn run(command: Command, folder: &Path, output: &Output) -> Result<(), Failure> {
    match command {
        Command::Run { stop_with_stdin } => {
            serve_until_stopped(folder, StopWith::from_flag(stop_with_stdin), output).await
        }
        Command::Certificate => certificate(folder, output),
    }
}

/// The authority's certificate is no secret, so nothing is unlocked for it.
fn certificate(folder: &Path, output: &Output) -> Result<(), Failure> {
    #[derive(serde::Serialize)]
    struct Shown {
        file: String,
        expires: Option<String>,
        pem: String,
    }
    let trust = trust_of(folder, &Config::read(folder)?.tls)?;
    let shown = Shown {
        file: trust.path.display().to_string(),
        expires: trust.expires.map(|at| at.to_string()),
        pem: trust.pem,
    };
    output.print(&shown, |s| s.pem.clone());
    Ok(())
}

/// What ends a service beside a signal.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum StopWith {
    Signal,
    /// The end of the standard input: whoever started the service is gone.
    Stdin,
}

impl StopWith {
    pub(super) const fn from_flag(stop_with_stdin: bool) -> Self {
        if stop_with_stdin { Self::Stdin } else { Self::Signal }
    }
}

/// Ctrl-C, or what a service manager sends.
pub(super) async fn stopped(with: StopWith) -> Result<(), Failure> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminated = signal(SignalKind::terminate()).map_err(io("waiting for a signal"))?;
    let closed = async {
        if with == StopWith::Signal {
            return std::future::pending().await;
        }
        let (closed, told) = tokio::sync::oneshot::channel();
        // A thread of its own, on which nobody waits when a signal comes first.
        std::thread::spawn(move || {
            let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
            let _ = closed.send(());
        });
        let _ = told.await;
    };
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted.map_err(io("waiting for Ctrl-C")),
        _ = terminated.recv() => Ok(()),
        () = closed => Ok(()),
    }
}

/// Where a node listens, and what its services are verified with.
#[derive(serde::Serialize)]
struct Started<'a> {
    http: String,
    postgres: SocketAddr,
    flight: String,
    /// Where people sign in.
    console: String,
    /// Where questions under permits go, when the site is on a ledger.
    questions: Option<String>,
    certificate: &'a str,
}

async fn serve_until_stopped(
    folder: &Path,
    with: StopWith,
    output: &Output,
) -> Result<(), Failure> {
    let site = crate::site::open(folder).await?;
    let services = start(&site, folder).await?;
    let started = Started {
        http: format!("https://{}", services.http),
        postgres: services.postgres,
        flight: format!("grpc+tls://{}", services.flight),
        console: format!("https://{}/console", services.http),
        questions: site
            .config
            .ledger
            .as_ref()
            .map(|_| format!("https://{}/v1/questions", services.http)),
        certificate: &services.certificate,
    };
    output.print(&started, |s| {
        let questions = s.questions.as_ref().map(|url| format!("Questions       {url}\n"));
        format!(
            "FHIR R4         {0}/fhir\n\
             SQL over HTTPS  {0}/v1/sql\n\
             PostgreSQL      {1} (TLS required, the access token is the password)\n\
             Flight SQL      {2}\n\
             {3}Console         {0}/console\n\
             Certificate     salus node certificate\n\
             Ctrl-C stops it.",
            s.http,
            s.postgres,
            s.flight,
            questions.unwrap_or_default()
        )
    });
    stopped(with).await?;
    services.stop().await;
    Ok(())
}
