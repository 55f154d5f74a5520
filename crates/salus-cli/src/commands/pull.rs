//! `salus import --fhir URL`: pulling from an existing FHIR server.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use indicatif::{ProgressBar, ProgressStyle};
use salus_ingest::fhir::pull::{
    BaseUrl, Origin, PullProgress, PullReport, Puller, SourceConfig, SourceName, Told, Way,
};
use salus_model::{Classified as _, Timestamp};
use salus_node::{Hooks, Site};
use tokio::task::JoinSet;

use crate::output::{Failure, Output, table};

/// How to pull from a FHIR server; what salus.toml says of the address counts where nothing else
/// is given.
#[derive(clap::Args, Default)]
#[command(next_help_heading = "From a FHIR server (--fhir URL)")]
pub(crate) struct Args {
    /// What this site calls the server; by default a name made of the address.
    #[arg(long)]
    name: Option<String>,
    /// The client's id, as registered with the server (SMART Backend Services).
    #[arg(long, requires = "key")]
    client_id: Option<String>,
    /// The client's private key: RSA or P-384, PEM or JWK, readable by its owner alone.
    #[arg(long, requires = "client_id")]
    key: Option<PathBuf>,
    /// Under which `kid` the server knows the key; by default as the JWK says.
    #[arg(long, requires = "key")]
    key_id: Option<String>,
    /// The scopes to ask for; by default reading of the types that are pulled.
    #[arg(long, requires = "key")]
    scope: Option<String>,
    /// Where tokens are issued; by default as the server's smart-configuration says.
    #[arg(long, requires = "key")]
    token_url: Option<String>,
    /// A file with an access token, instead of a client and its key.
    #[arg(long, conflicts_with = "key")]
    token_file: Option<PathBuf>,
    /// What changed since then; by default since the last pull, and everything at the first.
    #[arg(long)]
    since: Option<String>,
    /// The resource types, such as Patient,Observation; all by default.
    #[arg(long, value_delimiter = ',')]
    types: Vec<String>,
    /// Only the patients of this Group.
    #[arg(long, conflicts_with = "patients")]
    group: Option<String>,
    /// Only what is about patients.
    #[arg(long)]
    patients: bool,
    /// How records are asked for: `detect`, `bulk` ($export) or `search`.
    #[arg(long)]
    way: Option<String>,
    /// A further host of the same holder, such as https://files.example, which may see the token.
    #[arg(long)]
    trust: Vec<String>,
    /// Authorities, as PEM, whose certificates are accepted besides the public ones.
    #[arg(long)]
    ca: Option<PathBuf>,
    /// Keep up with the server until Ctrl-C.
    #[arg(long)]
    follow: bool,
    /// Seconds between two pulls with --follow.
    #[arg(long, requires = "follow")]
    every: Option<u32>,
    /// With --follow: have the server tell of changes, by a Subscription for each of --types, at
    /// this address, such as https://salus.hospital.example:7090; the next pull begins at once.
    #[arg(long, value_name = "ADDRESS", requires = "follow")]
    subscribe: Option<String>,
    /// Where to listen for that; by default at the address's port on every interface.
    #[arg(long, value_name = "SOCKET", requires = "subscribe")]
    hook_listen: Option<SocketAddr>,
}

impl Args {
    /// Whether anything was given that makes no sense for files.
    pub(crate) fn is_given(&self) -> bool {
        self.client_id.is_some()
            || self.token_file.is_some()
            || self.since.is_some()
            || !self.types.is_empty()
            || self.group.is_some()
            || self.patients
            || self.follow
            || self.way.is_some()
            || self.ca.is_some()
            || self.name.is_some()
            || !self.trust.is_empty()
    }
}

/// The address, where the one thing to import is one.
pub(crate) fn address(named: &[PathBuf]) -> Option<&str> {
    match named {
        [one] => one.to_str().filter(|t| t.starts_with("https://") || t.starts_with("http://")),
        _ => None,
    }
}

fn request(error: impl std::fmt::Display) -> Failure {
    Failure::request(error.to_string())
}

fn config(args: &Args, url: &str, known: &[SourceConfig]) -> Result<SourceConfig, Failure> {
    let url: BaseUrl = url.parse().map_err(request)?;
    let mut config = known.iter().find(|known| known.url == url).cloned();
    let mut config = config.take().unwrap_or_else(|| SourceConfig::new(url));
    // Paths given here start where the person stands, those in salus.toml at the site's folder.
    let here = |path: &PathBuf| std::path::absolute(path).map_err(request);
    if args.key.is_some() || args.token_file.is_some() {
        config.client_id.clone_from(&args.client_id);
        config.key = args.key.as_ref().map(here).transpose()?;
        config.key_id.clone_from(&args.key_id);
        config.token_file = args.token_file.as_ref().map(here).transpose()?;
    }
    if let Some(name) = &args.name {
        config.name = Some(SourceName::try_from(name.clone()).map_err(request)?);
    }
    if let Some(scope) = &args.scope {
        config.scope = Some(scope.clone());
    }
    if let Some(url) = &args.token_url {
        config.token_url = Some(url.parse().map_err(request)?);
    }
    if let Some(since) = &args.since {
        config.since = Some(since.parse::<Timestamp>().map_err(request)?);
    }
    if !args.types.is_empty() {
        config.types.clone_from(&args.types);
    }
    if let Some(group) = &args.group {
        config.level = Some(format!("group/{group}"));
    } else if args.patients {
        config.level = Some("patients".to_owned());
    }
    config.way = match args.way.as_deref() {
        None => config.way,
        Some("detect") => Way::Detect,
        Some("bulk") => Way::Bulk,
        Some("search") => Way::Search,
        Some(_) => return Err(Failure::request("--way is detect, bulk or search")),
    };
    for origin in &args.trust {
        config.trusted.push(Origin::try_from(origin.clone()).map_err(request)?);
    }
    if let Some(ca) = &args.ca {
        config.ca = Some(here(ca)?);
    }
    if args.subscribe.is_some() {
        config.told = Told::BySubscription;
    }
    if let Some(every) = args.every {
        config.every_seconds = every;
    }
    Ok(config)
}

pub(crate) async fn run(
    args: &Args,
    url: &str,
    folder: &Path,
    output: &Output,
) -> Result<(), Failure> {
    // What is wrong with the request shows before the passphrase is asked for.
    let known = salus_node::Config::read(folder)?.fhir.source;
    let source = config(args, url, &known)?.open(folder)?;
    let site = crate::site::open(folder).await?;
    let mut puller = Puller::open(source, site.pull_into()?).await?;
    let mut serving = JoinSet::new();
    if let Some(public) = &args.subscribe {
        let hooks = Hooks::default();
        puller = salus_node::open_hook(puller, &hooks, public).await?;
        listen(&mut serving, (args.hook_listen, public.as_str()), &site, hooks).await?;
    }
    let bar = bar(output);
    let heard = |progress| show(&bar, &progress);
    if args.follow {
        let done = |done: Result<PullReport, &_>| {
            bar.suspend(|| match done {
                Ok(report) => output.print(&report, shown),
                Err(error) => {
                    let class = salus_ingest::fhir::pull::PullError::class(error);
                    tracing::warn!(?class, "{error}; it is tried again");
                }
            });
        };
        return tokio::select! {
            ended = puller.follow(heard, done) => Err(ended.into()),
            stopped = tokio::signal::ctrl_c() => {
                stopped.map_err(|e| Failure::unavailable(format!("waiting for Ctrl-C: {e}")))
            }
        };
    }
    let report = puller.pull(heard).await?;
    bar.finish_and_clear();
    output.print(&report, shown);
    Ok(())
}

/// Listens for the server's knocks with the site's certificate.
async fn listen(
    serving: &mut JoinSet<std::io::Result<()>>,
    (listen, public): (Option<SocketAddr>, &str),
    site: &Site,
    hooks: Hooks,
) -> Result<(), Failure> {
    let public = reqwest::Url::parse(public).map_err(request)?;
    let port = public.port_or_known_default().unwrap_or(443);
    let listen = listen.unwrap_or_else(|| SocketAddr::from(([0, 0, 0, 0], port)));
    let (listener, address) = super::node::bind(listen, "the port for the server's knocks")?;
    let tls = site.certificates().await?.server(&["http/1.1"])?;
    super::node::serve(serving, listener, tls, salus_api::fhir::hook_router(hooks))?;
    tracing::info!(%address, "listening for knocks");
    Ok(())
}

fn bar(output: &Output) -> ProgressBar {
    if !output.shows_progress() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new_spinner().with_message("asking the server");
    bar.enable_steady_tick(std::time::Duration::from_millis(200));
    match ProgressStyle::with_template("{spinner} {msg} {elapsed}") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

fn show(bar: &ProgressBar, progress: &PullProgress) {
    let message = match progress {
        PullProgress::Waiting { said } if said.is_empty() => {
            "the server makes the export".to_owned()
        }
        PullProgress::Waiting { said } => format!("the server makes the export: {said}"),
        PullProgress::Taking { files, of: Some(of), records } => {
            let rate = rate(bar, *records);
            format!("file {} of {of}, {records} records, {rate} a second", (files + 1).min(*of))
        }
        PullProgress::Taking { files, of: None, records } => {
            format!("{files} pages, {records} records, {} a second", rate(bar, *records))
        }
    };
    bar.set_message(message);
}

fn rate(bar: &ProgressBar, records: u64) -> u64 {
    records / bar.elapsed().as_secs().max(1)
}

fn shown(report: &PullReport) -> String {
    let row = |t: &salus_ingest::fhir::TableRows| vec![t.dataset.to_string(), t.rows.to_string()];
    let mut lines = vec![format!(
        "{}: {} resources accepted, {} deleted, {} here already, {} quarantined; through {}",
        report.source,
        report.accepted,
        report.deleted,
        report.unchanged,
        report.quarantined,
        report.through
    )];
    if !report.tables.is_empty() {
        let rows: Vec<_> = report.tables.iter().map(row).collect();
        lines.push(table(&["dataset", "rows"], &rows));
    }
    lines.extend(super::import::reasons(&report.reasons));
    if let Some(quarantine) = &report.quarantine {
        lines.push(format!("  they are in {quarantine}"));
    }
    lines.extend(report.remarks.iter().map(|remark| format!("  note: {remark}")));
    lines.join("\n")
}
