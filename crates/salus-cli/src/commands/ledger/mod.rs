//! `salus ledger`: validators, joining, looking, verifying.

mod channel;
mod config;
mod dev;
mod explore;
mod export;
mod fork;
mod found;
mod govern;
mod member_file;
mod recover;
mod serve;
mod verify;
mod watch;
mod witness;

use std::path::{Path, PathBuf};

use salus_crypto::passphrase::Passphrase;
use serde::Serialize;

pub(crate) use dev::{Member, lay_out};
pub(crate) use verify::{ReceiptShown, shown as receipt_shown, text as receipt_text};

use super::node::StopWith;
use crate::output::{Failure, Output, table};
use crate::passphrase;

#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Make a ledger for development: validators' folders, and a membership file for each member.
    Dev(dev::Args),
    /// Make an organisation's ledger keys, and the request to be admitted with them.
    Request(found::RequestArgs),
    /// Put the first members' requests together into what a ledger begins with.
    Found(found::FoundArgs),
    /// Make a validator's folder, for a ledger that was founded with it or that it joins later.
    Init(found::InitArgs),
    /// Run the validator of a folder, with those of its channels, until Ctrl-C.
    Serve {
        /// The validator's folder.
        folder: PathBuf,
        /// Stop when the standard input closes, for programs that start this one.
        #[arg(long)]
        stop_with_stdin: bool,
    },
    /// Make this site a member's: take a membership file into it.
    Join(JoinArgs),
    /// Whom this validator speaks to; with options, change it.
    Peers(recover::PeersArgs),
    /// Fetch everything that a validator needs to go on from the last block, and try it.
    Snapshot {
        /// The file to write; there must be none.
        file: PathBuf,
    },
    /// Who validates, who decides on it, and what is limited.
    Config {
        /// An earlier configuration; without it, the one in force.
        #[arg(long)]
        version: Option<u64>,
    },
    /// Propose what members decide together: admission, roles, keys, revocation, configuration.
    Propose(govern::ProposeArgs),
    /// Look at a proposal and add this site's signature to it.
    Endorse {
        /// The proposal's file.
        file: PathBuf,
    },
    /// Hand a proposal in that enough members have endorsed.
    Submit {
        /// The proposal's file.
        file: PathBuf,
    },
    /// How the ledger's validators are, as each says itself.
    Status,
    /// Verify a receipt, a checkpoint or an exported ledger, without any network.
    #[command(subcommand)]
    Verify(verify::Command),
    /// Write the ledger's blocks, verified, into a file that anybody can verify offline.
    Export(export::Args),
    /// Follow the ledger, block by block, verified, until Ctrl-C.
    Watch(watch::Args),
    /// Look at the ledger in this terminal: blocks, members, and transactions with their proofs.
    Explore(explore::Args),
    /// Cosign the ledger's history as an external witness, so that all auditors see one.
    #[command(subcommand)]
    Witness(witness::Command),
    /// Check a witness's proof that the ledger has two histories, without any network.
    CheckFork(fork::Args),
    /// Found a ledger of some members among themselves, and take part in it.
    #[command(subcommand)]
    Channel(channel::Command),
}

#[derive(clap::Args)]
pub(crate) struct JoinArgs {
    #[command(flatten)]
    member: member_file::Args,
    /// Replace the keys of a site that is on this ledger already, as after `propose bind-key`.
    #[arg(long)]
    renew: bool,
}

pub(crate) async fn run(command: Command, site: &Path, output: &Output) -> Result<(), Failure> {
    match command {
        Command::Dev(args) => dev::run(args, output),
        Command::Serve { folder, stop_with_stdin } => {
            serve::run(folder, StopWith::from_flag(stop_with_stdin), output).await
        }
        Command::Request(args) => found::request(args, output),
        Command::Found(args) => found::found(args, output),
        Command::Init(args) => found::init(args, output),
        Command::Join(args) => join(args, site, output).await,
        Command::Peers(args) => recover::peers(args, output),
        Command::Snapshot { file } => recover::snapshot(file, site, output).await,
        Command::Config { version } => config::show(version, site, output).await,
        Command::Propose(args) => govern::propose(args, site, output).await,
        Command::Endorse { file } => govern::endorse(&file, site, output).await,
        Command::Submit { file } => govern::submit(&file, site, output).await,
        Command::Status => status(site, output).await,
        Command::Verify(command) => verify::run(command, site, output),
        Command::Export(args) => export::run(args, site, output).await,
        Command::Watch(args) => watch::run(args, site, output).await,
        Command::Explore(args) => explore::run(args, site, output).await,
        Command::Witness(command) => witness::run(command, output).await,
        Command::CheckFork(args) => fork::run(&args, site, output),
        Command::Channel(command) => channel::run(command, site, output).await,
    }
}

/// The passphrase of a validator's folder or of a membership file.
pub(super) fn passphrase_of(
    what: &'static str,
    asking: passphrase::Asking,
) -> Result<Passphrase, Failure> {
    Ok(Passphrase::new(passphrase::find(what, asking)?)?)
}

#[derive(Serialize)]
struct Joined {
    member: String,
    ledger: String,
    validators: Vec<String>,
}

async fn join(args: JoinArgs, folder: &Path, output: &Output) -> Result<(), Failure> {
    let site = crate::site::open(folder).await?;
    let opened = args.member.open()?;
    if args.renew {
        site.renew_membership(&opened.membership).await?;
    } else {
        site.join_ledger(&opened.membership).await?;
    }
    let membership = opened.taken_over()?;
    let ledger = membership.genesis.ledger_id().map_err(|e| Failure::corrupt(e.to_string()))?;
    let joined = Joined {
        member: membership.member.to_string(),
        ledger: ledger.to_string(),
        validators: membership.validators,
    };
    output.print(&joined, |j| {
        format!(
            "{} is on ledger {} through {} validators.\nA node that runs takes it up at its next start.",
            j.member,
            j.ledger,
            j.validators.len()
        )
    });
    Ok(())
}

#[derive(Serialize)]
struct ValidatorShown {
    validator: String,
    height: Option<u64>,
    transactions: Option<u64>,
    waiting: Option<usize>,
    state: String,
    warnings: Vec<String>,
}

async fn status(folder: &Path, output: &Output) -> Result<(), Failure> {
    let site = crate::site::open(folder).await?;
    let ledger = site.ledger().await?;
    let urls = site.config.ledger.as_ref().map(|l| l.validators.clone()).unwrap_or_default();
    let asked = urls.iter().map(|url| ledger.client().status(url));
    let answers = futures::future::join_all(asked).await;
    let mut shown = Vec::new();
    for (url, answer) in urls.iter().zip(answers) {
        shown.push(match answer {
            Ok(s) => ValidatorShown {
                validator: url.clone(),
                height: Some(s.height.get()),
                transactions: Some(s.transactions),
                waiting: Some(s.waiting),
                state: if s.frozen { "frozen: its disk failed" } else { "serves" }.to_owned(),
                warnings: s.warnings,
            },
            Err(e) => ValidatorShown {
                validator: url.clone(),
                height: None,
                transactions: None,
                waiting: None,
                state: e.to_string(),
                warnings: Vec::new(),
            },
        });
    }
    let none = shown.iter().all(|s| s.height.is_none());
    output.print(&shown, |shown| {
        let number = |n: Option<String>| n.unwrap_or_else(|| "·".to_owned());
        let row = |s: &ValidatorShown| {
            vec![
                s.validator.clone(),
                number(s.height.map(|n| n.to_string())),
                number(s.transactions.map(|n| n.to_string())),
                number(s.waiting.map(|n| n.to_string())),
                s.state.clone(),
            ]
        };
        let rows: Vec<_> = shown.iter().map(row).collect();
        let header = ["validator", "block", "transactions", "waiting", "state"];
        let mut lines = vec![table(&header, &rows)];
        let mut warnings: Vec<&String> = shown.iter().flat_map(|s| &s.warnings).collect();
        warnings.sort();
        warnings.dedup();
        lines.extend(warnings.iter().map(|w| format!("! {w}")));
        lines.join("\n")
    });
    if none { Err(Failure::unavailable("no validator answers")) } else { Ok(()) }
}
