//! `salus ledger`: validators, joining, looking, verifying.

mod dev;
mod export;
mod found;
mod verify;
mod watch;

use std::path::{Path, PathBuf};

use salus_crypto::passphrase::Passphrase;
use salus_ledger::genesis::Genesis;
use salus_node::membership::{Enrolment, Membership};
use salus_validator::{Folder, Validator};
use serde::Serialize;

pub(crate) use dev::{Member, make};
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
    /// Make a validator's folder for a ledger that was founded with it.
    Init(found::InitArgs),
    /// Run the validator of a folder until Ctrl-C.
    Serve {
        /// The validator's folder.
        folder: PathBuf,
        /// Stop when the standard input closes, for programs that start this one.
        #[arg(long)]
        stop_with_stdin: bool,
    },
    /// Make this site a member's: take a membership file into it.
    Join {
        /// The file: st-mary.member, or st-mary.keys with --genesis and --validator.
        file: PathBuf,
        /// What the ledger began with, for a file that `salus ledger request` made.
        #[arg(long, requires = "validators")]
        genesis: Option<PathBuf>,
        /// Where a validator serves members, such as https://10.0.0.1:7443; repeat.
        #[arg(long = "validator", requires = "genesis")]
        validators: Vec<String>,
        /// Leave the file where it is; it is not needed any more.
        #[arg(long)]
        keep: bool,
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
}

pub(crate) async fn run(command: Command, site: &Path, output: &Output) -> Result<(), Failure> {
    match command {
        Command::Dev(args) => dev::run(args, output),
        Command::Serve { folder, stop_with_stdin } => {
            serve(folder, StopWith::from_flag(stop_with_stdin), output).await
        }
        Command::Request(args) => found::request(args, output),
        Command::Found(args) => found::found(args, output),
        Command::Init(args) => found::init(args, output),
        Command::Join { file, genesis, validators, keep } => {
            let founded = genesis.map(|path| verify::trusted(Some(&path), site)).transpose()?;
            join(&file, founded.map(|genesis| (genesis, validators)), keep, site, output).await
        }
        Command::Status => status(site, output).await,
        Command::Verify(command) => verify::run(command, site, output),
        Command::Export(args) => export::run(args, site, output).await,
        Command::Watch(args) => watch::run(args, site, output).await,
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
struct Serving {
    validator: String,
    key: String,
    height: u64,
}

async fn serve(folder: PathBuf, with: StopWith, output: &Output) -> Result<(), Failure> {
    let passphrase =
        passphrase_of("passphrase of the validator's keys", passphrase::Asking::Known)?;
    // It starts threads of its own and waits for them.
    let started =
        tokio::task::spawn_blocking(move || Validator::start(&Folder::at(folder), &passphrase));
    let validator = started.await.map_err(|e| Failure::unavailable(e.to_string()))??;
    let serving = Serving {
        validator: format!("https://{}", validator.api()),
        key: validator.key().to_string(),
        height: validator.handle().status().height.get(),
    };
    output.print(&serving, |s| {
        format!(
            "Validator  {}\nKey        {}\nBlock      {}\nCtrl-C stops it.",
            s.validator, s.key, s.height
        )
    });
    super::node::stopped(with).await?;
    let stopped = tokio::task::spawn_blocking(move || validator.stop());
    stopped.await.map_err(|e| Failure::unavailable(e.to_string()))
}

#[derive(Serialize)]
struct Joined {
    member: String,
    ledger: String,
    validators: Vec<String>,
}

async fn join(
    file: &Path,
    founded: Option<(Genesis, Vec<String>)>,
    keep: bool,
    folder: &Path,
    output: &Output,
) -> Result<(), Failure> {
    let site = crate::site::open(folder).await?;
    let bytes = std::fs::read(file)
        .map_err(|e| Failure::request(format!("{} cannot be read: {e}", file.display())))?;
    let passphrase = passphrase::member_file()?;
    let membership = match founded {
        Some((genesis, validators)) => {
            Enrolment::open(&passphrase, &bytes)?.on(genesis, validators)
        }
        None => Membership::open(&passphrase, &bytes)?,
    };
    site.join_ledger(&membership).await?;
    if !keep {
        // Its keys are in the site now, and in two places they are twice as easily stolen.
        std::fs::remove_file(file)
            .map_err(|e| Failure::unavailable(format!("{} stays: {e}", file.display())))?;
    }
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
