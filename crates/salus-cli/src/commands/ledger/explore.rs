//! `salus ledger explore`: the ledger in this terminal.

use std::path::Path;

use salus_node::membership::Membership;
use salus_validator::Folder;
use salus_validator::client::LedgerClient;
use salus_validator::explorer::client::ExplorerClient;
use salus_validator::explorer::terminal;

use super::passphrase_of;
use crate::output::{Failure, Output};
use crate::passphrase::Asking;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// A validator's folder, or where a validator serves members (https://HOST:PORT), which this
    /// site then asks as the member that it is.
    #[arg(value_name = "FOLDER|URL")]
    at: String,
}

/// A validator's explorer, and the client that verifies what it says.
async fn readers(at: &str, site: &Path) -> Result<(ExplorerClient, LedgerClient), Failure> {
    let (url, genesis, identity) = if at.contains("://") {
        let site = crate::site::open(site).await?;
        let Membership { genesis, identity, .. } = site.membership().await?;
        (at.trim_end_matches('/').to_owned(), genesis, identity)
    } else {
        let folder = Folder::at(at);
        let config = folder.config()?;
        let passphrase = passphrase_of("passphrase of the validator's keys", Asking::Known)?;
        (format!("https://{}", config.api), folder.genesis()?, folder.open(&passphrase)?)
    };
    let ledger = LedgerClient::new(std::slice::from_ref(&url), &genesis, &identity)?;
    Ok((ExplorerClient::new(&url, &genesis, &identity)?, ledger))
}

pub(super) async fn run(args: Args, site: &Path, output: &Output) -> Result<(), Failure> {
    let (explorer, ledger) = readers(&args.at, site).await?;
    if output.is_json() {
        // For scripts: what the terminal begins with.
        output.print(&explorer.overview().await?, |_| String::new());
        return Ok(());
    }
    Ok(terminal::run(explorer, ledger).await?)
}
