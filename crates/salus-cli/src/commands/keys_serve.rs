//! `salus keys serve`: the key store as Vault's transit engine, for Spark, pyarrow and hvac.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use salus_api::reading_to_the_end;
use salus_api::transit::{
    Accessor, AuditFailed, Grant, KeyGlob, Operation, Policy, TokenRecord, Tokens, Transit,
    TransitAudit, TransitEvent, TransitPhase, router,
};
use salus_crypto::OsEntropy;
use salus_model::{Clock as _, DealId, Purpose, RoleName, StaffId};
use salus_node::operations::{KEY_CLIENT, KeyLog};
use salus_node::{Certificates, Config, Site, SystemClock, write_private};
use salus_store::audit::{AccessKind, AuditEntry, Outcome, RefusalReason};
use serde::Serialize;

use crate::output::{Failure, Output, table};

const TOKENS_FILE: &str = "transit-tokens.json";
const DAY_MICROS: i64 = 24 * 60 * 60 * 1_000_000;
/// How soon a revoked token is refused at the latest.
const RELOAD: Duration = Duration::from_secs(1);
/// How often the certificate is issued anew.
const RENEWAL: Duration = Duration::from_secs(12 * 60 * 60);

#[derive(clap::Args)]
pub(crate) struct ServeArgs {
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:8200")]
    listen: SocketAddr,
    /// Serve without TLS, for a proxy on the same machine that does TLS itself; loopback only.
    #[arg(long)]
    dangerous_plaintext: bool,
}

#[derive(clap::Subcommand)]
pub(crate) enum TokenCommand {
    /// Make a token; it is shown once and not kept.
    Issue {
        /// Whom or what it is for, such as spark-etl.
        name: String,
        /// Which keys, with * for any characters; repeat for more.
        #[arg(long, required = true)]
        keys: Vec<String>,
        /// What may be done: encrypt, decrypt, rewrap, datakey-plaintext, datakey-wrapped, read, create,
        /// rotate, configure, revoke, reinstate, shred.
        #[arg(long, required = true, value_delimiter = ',')]
        operations: Vec<String>,
        /// For how many days it holds.
        #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u16).range(1..=366))]
        days: u16,
    },
    /// Refuse a token from now on; running servers follow within a second.
    Revoke {
        /// The token's accessor, as `list` shows it.
        accessor: Accessor,
    },
    /// Every token, without what opens anything.
    List,
}

fn read(path: &Path) -> Result<Vec<TokenRecord>, Failure> {
    match std::fs::read(path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(e) => Err(Failure::unavailable(format!("{}: {e}", path.display()))),
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map_err(|e| Failure::corrupt(format!("{}: {e}", path.display()))),
    }
}

fn write(path: &Path, tokens: &Tokens) -> Result<(), Failure> {
    let bytes = serde_json::to_vec_pretty(&tokens.records())
        .map_err(|e| Failure::corrupt(e.to_string()))?;
    write_private(path, &bytes)
        .map_err(|e| Failure::unavailable(format!("{}: {e}", path.display())))
}

fn operation(word: &str) -> Result<Operation, Failure> {
    serde_json::from_value(serde_json::Value::String(word.to_owned()))
        .map_err(|_| Failure::request(format!("'{word}' is no operation on keys")))
}

pub(crate) fn tokens(command: TokenCommand, folder: &Path, output: &Output) -> Result<(), Failure> {
    #[derive(Serialize)]
    struct Issued {
        accessor: String,
        token: String,
    }
    Config::read(folder)?;
    let path = folder.join(TOKENS_FILE);
    let tokens = Tokens::new(read(&path)?);
    let now = SystemClock.now();
    match command {
        TokenCommand::Issue { name, keys, operations, days } => {
            let operations: BTreeSet<Operation> =
                operations.iter().map(|w| operation(w)).collect::<Result<_, _>>()?;
            let mut grants = Vec::new();
            for keys in keys {
                let keys = KeyGlob::new(keys)?;
                grants.push(Grant { keys, operations: operations.clone() });
            }
            let policy = Policy { name: name.clone(), grants };
            let expires = now.saturating_add_micros(DAY_MICROS * i64::from(days));
            let issued = tokens
                .issue(&mut OsEntropy, &name, policy, now, expires)
                .map_err(|e| Failure::unavailable(e.to_string()))?;
            write(&path, &tokens)?;
            let accessor = issued.record.accessor.to_string();
            let shown = Issued { accessor, token: issued.token.expose().clone() };
            output.print(&shown, |i| {
                format!(
                    "Token for {days} days, shown this once:\n{}\nIts accessor: {}",
                    i.token, i.accessor
                )
            });
            Ok(())
        }
        TokenCommand::Revoke { accessor } => {
            if !tokens.revoke(accessor, now) {
                return Err(Failure::request(format!("there is no token {accessor}")));
            }
            write(&path, &tokens)?;
            output.print(&accessor, |a| format!("The token {a} is refused from now on."));
            Ok(())
        }
        TokenCommand::List => {
            output.print(&tokens.records(), |records| {
                let row = |r: &TokenRecord| {
                    let state = match r.revoked {
                        Some(at) => format!("revoked {at}"),
                        None => format!("until {}", r.expires),
                    };
                    let keys: Vec<String> =
                        r.policy.grants.iter().map(|g| g.keys.to_string()).collect();
                    vec![r.accessor.to_string(), r.display_name.clone(), keys.join(", "), state]
                };
                let rows: Vec<_> = records.iter().map(row).collect();
                table(&["accessor", "for", "keys", "state"], &rows)
            });
            Ok(())
        }
    }
}

/// The endpoint's events in the site's access log.
struct LoggedKeys(Arc<KeyLog>);

#[salus_api::async_trait]
impl TransitAudit for LoggedKeys {
    async fn record(&self, event: &TransitEvent) -> Result<(), AuditFailed> {
        let outcome = match event.phase {
            // What was accepted is recorded again when it is answered.
            TransitPhase::Accepted => return Ok(()),
            TransitPhase::Denied => Outcome::Refused { reason: RefusalReason::Policy },
            TransitPhase::Answered { status } if status < 400 => Outcome::Answered { rows: 0 },
            TransitPhase::Answered { .. } => Outcome::Failed,
        };
        let key = event.key.as_ref().map(|k| format!(" {k}")).unwrap_or_default();
        let who = event.display_name.as_deref().unwrap_or("no valid token");
        let entry = AuditEntry {
            deal: DealId::new(format!("k-{}", event.request)).map_err(|_| AuditFailed)?,
            staff: StaffId::new(format!("key client {who}")).map_err(|_| AuditFailed)?,
            role: RoleName::new(KEY_CLIENT).map_err(|_| AuditFailed)?,
            purpose: Purpose::Operations,
            kind: AccessKind::KeyOperation,
            statement: format!("{}{key}", event.operation),
            datasets: BTreeMap::new(),
            outcome,
        };
        self.0.record(entry).await.map_err(|error| {
            tracing::error!(%error, "the use of a key is refused: it cannot be put on record");
            AuditFailed
        })
    }
}

/// A task that ends with its owner.
struct AbortOnDrop(tokio::task::JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn renew(certificates: Arc<Certificates>) {
    loop {
        tokio::time::sleep(RENEWAL).await;
        // The one before holds for days more; the next try comes before its end.
        let _ = certificates.renew();
    }
}

/// Follows the tokens file, so that a revoked token is refused soon.
async fn follow(path: PathBuf, tokens: Arc<Tokens>) {
    let changed = |path: &Path| std::fs::metadata(path).and_then(|m| m.modified()).ok();
    let mut seen: Option<SystemTime> = changed(&path);
    loop {
        tokio::time::sleep(RELOAD).await;
        let now = changed(&path);
        if now != seen {
            match read(&path) {
                Ok(records) => {
                    tokens.replace(records);
                    seen = now;
                }
                // Whoever cannot read who is still allowed allows nobody.
                Err(_) => tokens.replace(Vec::new()),
            }
        }
    }
}

pub(crate) async fn serve(args: ServeArgs, site: &Site, output: &Output) -> Result<(), Failure> {
    if args.dangerous_plaintext && !args.listen.ip().is_loopback() {
        let remedy = "without TLS it listens on loopback only: keys would cross the network";
        return Err(Failure::request(remedy));
    }
    let path = site.folder.join(TOKENS_FILE);
    let tokens = Arc::new(Tokens::new(read(&path)?));
    let audit = Arc::new(LoggedKeys(KeyLog::open(site.clone(), crate::site::operator()?).await?));
    let keys = Arc::clone(&site.keys);
    let transit = Transit::new(keys, Arc::clone(&tokens), audit, Arc::clone(&site.clock));
    let io = |e: std::io::Error| Failure::unavailable(format!("{}: {e}", args.listen));
    let listener = std::net::TcpListener::bind(args.listen).map_err(io)?;
    listener.set_nonblocking(true).map_err(io)?;
    let address = listener.local_addr().map_err(io)?;
    let scheme = if args.dangerous_plaintext { "http" } else { "https" };
    if !output.is_json() {
        println!("Vault transit API  {scheme}://{address}/v1/transit");
        if !args.dangerous_plaintext {
            println!("Certificate        salus node certificate");
        }
        println!("Ctrl-C stops it.");
    }
    let following = tokio::spawn(follow(path, tokens));
    let service = reading_to_the_end(router(transit)).into_make_service();
    let stopped = async {
        let _ = tokio::signal::ctrl_c().await;
    };
    let served = async {
        if args.dangerous_plaintext {
            axum_server::from_tcp(listener).map_err(io)?.serve(service).await.map_err(io)
        } else {
            let certificates = Arc::new(site.certificates().await?);
            let tls = certificates.server(&["http/1.1"])?;
            let renewing = tokio::spawn(renew(certificates));
            let _stops = AbortOnDrop(renewing);
            let tls = axum_server::tls_rustls::RustlsConfig::from_config(tls);
            let server = axum_server::from_tcp_rustls(listener, tls).map_err(io)?;
            server.serve(service).await.map_err(io)
        }
    };
    let done = tokio::select! {
        served = served => served,
        () = stopped => Ok(()),
    };
    following.abort();
    done
}
