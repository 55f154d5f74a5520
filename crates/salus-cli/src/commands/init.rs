use std::net::SocketAddr;
use std::path::Path;

use salus_crypto::passphrase::GuessCost;
use salus_model::HolderId;
use salus_node::{Config, ListenConfig, Site};
use serde::Serialize;

use crate::output::{Failure, Output};
use crate::passphrase::{Asking, passphrase};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The holder's id, such as st-mary.
    #[arg(long)]
    holder: HolderId,
    /// Where FHIR and SQL over HTTP listen.
    #[arg(long, default_value = "127.0.0.1:7080")]
    http: SocketAddr,
    /// Where the PostgreSQL wire listens.
    #[arg(long, default_value = "127.0.0.1:7432")]
    postgres: SocketAddr,
    /// Where Flight SQL listens.
    #[arg(long, default_value = "127.0.0.1:7433")]
    flight: SocketAddr,
}

#[derive(Serialize)]
struct Made {
    site: String,
    holder: HolderId,
}

pub(crate) async fn run(args: Args, folder: &Path, output: &Output) -> Result<(), Failure> {
    let Args { holder, http, postgres, flight } = args;
    let config = Config::embedded(holder.clone(), ListenConfig { http, postgres, flight });
    let passphrase = passphrase(Asking::New)?;
    Site::init(folder, &config, passphrase, GuessCost::RFC_9106_SECOND).await?;
    let made = Made { site: folder.display().to_string(), holder };
    output.print(&made, |made| {
        format!(
            "Site of {} made in {}.\n\
             The key store is {0}'s alone: keep {1}/keys and the passphrase apart from backups of \
             {1}/lake.\n\
             Next: salus import <file> --dataset <name>, then salus sql \"SELECT …\"",
            made.holder, made.site
        )
    });
    Ok(())
}
