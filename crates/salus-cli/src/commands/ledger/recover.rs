//! `salus ledger snapshot` and `salus ledger peers`: what a validator needs that joins later, or
//! that lost its folder.

use std::io::BufReader;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use salus_ledger::config::PlatformConfig;
use salus_ledger::{LedgerId, PublicKey, query};
use salus_node::HolderLedger;
use salus_validator::store::{Store, restore_snapshot};
use salus_validator::{Folder, Peer};
use serde::Serialize;

use crate::output::{Failure, Output, table};
use salus_node::proposals::key;

#[derive(Serialize)]
struct Taken {
    file: PathBuf,
    from: String,
    block: u64,
    transactions: u64,
    bytes: u64,
}

fn io(path: &Path) -> impl Fn(std::io::Error) -> Failure {
    move |e| Failure::unavailable(format!("{}: {e}", path.display()))
}

/// A folder or file that goes with whoever failed to finish it.
pub(super) struct Unfinished<'a>(Option<&'a Path>);

impl<'a> Unfinished<'a> {
    pub(super) const fn new(path: &'a Path) -> Self {
        Self(Some(path))
    }

    pub(super) fn finished(mut self) {
        self.0 = None;
    }
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        let Some(path) = self.0 else { return };
        // What cannot be removed is found by the next try, which names it.
        let _ =
            if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) };
    }
}

/// Lays a snapshot's content into a database, once it is verified.
pub(super) fn restore(
    snapshot: &Path,
    database: &Path,
    ledger: &LedgerId,
) -> Result<Store, Failure> {
    let failed =
        |e: std::io::Error| Failure::request(format!("{} cannot be read: {e}", snapshot.display()));
    let mut from = BufReader::new(std::fs::File::open(snapshot).map_err(failed)?);
    restore_snapshot(database, &mut from, ledger)
        .map_err(|e| Failure::not_proved(format!("{} is not taken", snapshot.display()), &e))
}

/// The configuration that a store was left with.
pub(super) fn configuration(store: &Store) -> Result<PlatformConfig, Failure> {
    let found = query::config(store.view()).map_err(|e| Failure::corrupt(e.to_string()))?;
    found.ok_or_else(|| Failure::corrupt("the ledger's configuration is missing"))
}

async fn download(ledger: &HolderLedger, url: &str, to: &Path) -> Result<u64, Failure> {
    use tokio::io::AsyncWriteExt as _;

    let failed = io(to);
    let mut file = tokio::fs::File::create(to).await.map_err(&failed)?;
    let mut coming = ledger.client().snapshot(url).await?;
    let mut bytes = 0;
    while let Some(piece) = coming.next().await? {
        bytes += piece.as_ref().len() as u64;
        file.write_all(piece.as_ref()).await.map_err(&failed)?;
    }
    file.sync_all().await.map_err(&failed)?;
    Ok(bytes)
}

/// Takes a snapshot from the first validator that gives one which holds.
pub(super) async fn snapshot(file: PathBuf, site: &Path, output: &Output) -> Result<(), Failure> {
    if file.exists() {
        let told = format!("{} is there already; name another file", file.display());
        return Err(Failure::request(told));
    }
    let site = crate::site::open(site).await?;
    let ledger = site.ledger().await?;
    let urls = site.config.ledger.as_ref().map(|l| l.validators.clone()).unwrap_or_default();
    let (staged, tried) = (file.with_extension("part"), file.with_extension("tried"));
    let mut last = Failure::request("the site names no validator");
    for url in urls {
        let url = url.trim_end_matches('/');
        let unfinished = Unfinished::new(&staged);
        match take(&ledger, url, &staged, &tried).await {
            Ok((block, transactions, bytes)) => {
                std::fs::rename(&staged, &file).map_err(io(&file))?;
                unfinished.finished();
                let taken = Taken { file, from: url.to_owned(), block, transactions, bytes };
                output.print(&taken, |t| {
                    format!(
                        "Snapshot   {} ({} bytes, from {})\nVerified   block {}, {} transactions",
                        t.file.display(),
                        t.bytes,
                        t.from,
                        t.block,
                        t.transactions
                    )
                });
                return Ok(());
            }
            Err(failure) => last = failure.of(url),
        }
    }
    Err(last)
}

/// A snapshot that nobody has restored is a hope: this one is restored once, and thrown away.
async fn take(
    ledger: &HolderLedger,
    url: &str,
    staged: &Path,
    tried: &Path,
) -> Result<(u64, u64, u64), Failure> {
    let bytes = download(ledger, url, staged).await?;
    let (staged, tried, id) = (staged.to_owned(), tried.to_owned(), *ledger.client().ledger());
    let verified = tokio::task::spawn_blocking(move || {
        let _goes = Unfinished::new(&tried);
        let store = restore(&staged, &tried, &id)?;
        let tip = store.view().tip();
        Ok((tip.height.get(), tip.history_size, bytes))
    });
    verified.await.map_err(|e| Failure::unavailable(e.to_string()))?
}

#[derive(clap::Args)]
pub(crate) struct PeersArgs {
    /// The validator's folder.
    folder: PathBuf,
    /// Another validator's key and where it listens for validators, as KEY@HOST:PORT; repeat.
    #[arg(long, value_name = "KEY@HOST:PORT", value_parser = peer)]
    add: Vec<Peer>,
    /// A validator's key to which no connection is made any more; repeat.
    #[arg(long, value_name = "KEY", value_parser = key)]
    remove: Vec<PublicKey>,
}

fn peer(text: &str) -> Result<Peer, String> {
    let (of_it, address) = text.split_once('@').ok_or("write KEY@HOST:PORT")?;
    let address: SocketAddr =
        address.parse().map_err(|_| format!("'{address}' is no address with a port"))?;
    Ok(Peer { key: key(of_it)?, address })
}

/// Changes and shows whom a validator speaks to; one that runs takes it up at its next start.
pub(super) fn peers(args: PeersArgs, output: &Output) -> Result<(), Failure> {
    let folder = Folder::at(&args.folder);
    let mut config = folder.config()?;
    for key in &args.remove {
        let before = config.peers.len();
        config.peers.retain(|peer| peer.key != *key);
        if config.peers.len() == before {
            return Err(Failure::request(format!("the folder names no peer {key}")));
        }
    }
    for new in args.add {
        // Once more is how an address changes.
        config.peers.retain(|peer| peer.key != new.key);
        config.peers.push(new);
    }
    folder.set_config(&config)?;
    output.print(&config.peers, |peers| {
        let row = |peer: &Peer| vec![peer.key.to_string(), peer.address.to_string()];
        table(&["peer", "address"], &peers.iter().map(row).collect::<Vec<_>>())
    });
    Ok(())
}
