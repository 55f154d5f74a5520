//! `salus ledger witness`: an external witness, which cosigns what extends all that it has seen.

use std::net::SocketAddr;
use std::path::PathBuf;

use salus_crypto::OsEntropy;
use salus_crypto::passphrase::GuessCost;
use salus_ledger::proof::WitnessName;
use salus_validator::witness::{self, WitnessConfig, WitnessFolder, WitnessService};
use serde::Serialize;

use super::{member_file, passphrase_of};
use crate::commands::node::{StopWith, stopped};
use crate::output::{Failure, Output};
use crate::passphrase::Asking;

#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Make a witness's folder from an organisation's membership file.
    Init(InitArgs),
    /// Follow the ledger and cosign its history until Ctrl-C.
    Serve {
        /// The witness's folder.
        folder: PathBuf,
        /// Stop when the standard input closes, for programs that start this one.
        #[arg(long)]
        stop_with_stdin: bool,
    },
}

#[derive(clap::Args)]
pub(crate) struct InitArgs {
    /// The folder to make.
    folder: PathBuf,
    #[command(flatten)]
    member: member_file::Args,
    /// The name under which it cosigns, such as witness.example.org/salus.
    #[arg(long, value_parser = name)]
    name: WitnessName,
    /// Answer add-checkpoint of C2SP tlog-witness there, over HTTP; nowhere when it is left out.
    #[arg(long)]
    listen: Option<SocketAddr>,
    /// How long to wait between two looks at the validators, in milliseconds.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(10..))]
    every_ms: u64,
}

fn name(text: &str) -> Result<WitnessName, String> {
    WitnessName::new(text).map_err(|e| e.to_string())
}

pub(super) async fn run(command: Command, output: &Output) -> Result<(), Failure> {
    match command {
        Command::Init(args) => init(args, output),
        Command::Serve { folder, stop_with_stdin } => {
            serve(folder, StopWith::from_flag(stop_with_stdin), output).await
        }
    }
}

#[derive(Serialize)]
struct Made {
    folder: PathBuf,
    member: String,
    ledger: String,
    validators: Vec<String>,
}

fn init(args: InitArgs, output: &Output) -> Result<(), Failure> {
    if args.folder.exists() {
        return Err(Failure::request(format!("{} is there already", args.folder.display())));
    }
    let opened = args.member.open()?;
    let passphrase = passphrase_of("passphrase for the witness's keys", Asking::New)?;
    let membership = &opened.membership;
    let config = WitnessConfig {
        name: args.name,
        validators: membership.validators.clone(),
        listen: args.listen,
        every_ms: args.every_ms,
    };
    let (cost, genesis) = (GuessCost::RFC_9106_SECOND, &membership.genesis);
    let ledger = genesis.ledger_id().map_err(|e| Failure::corrupt(e.to_string()))?;
    let folder = WitnessFolder::at(&args.folder);
    folder.create(&config, &membership.identity, genesis, &passphrase, cost, &mut OsEntropy)?;
    let membership = opened.taken_over()?;
    let made = Made {
        folder: args.folder,
        member: membership.member.to_string(),
        ledger: ledger.to_string(),
        validators: membership.validators,
    };
    output.print(&made, |m| {
        format!(
            "A witness of {} by {}, which looks at {} validators: name all of them in witness.toml.\n\
             Run it with: salus ledger witness serve {}",
            m.ledger,
            m.member,
            m.validators.len(),
            m.folder.display()
        )
    });
    Ok(())
}

#[derive(Serialize)]
struct Serving {
    /// Its verifier key, for auditors.
    witness: String,
    url: Option<String>,
}

async fn serve(folder: PathBuf, with: StopWith, output: &Output) -> Result<(), Failure> {
    let passphrase = passphrase_of("passphrase of the witness's keys", Asking::Known)?;
    let opened = tokio::task::spawn_blocking(move || {
        WitnessService::open(&WitnessFolder::at(folder), &passphrase)
    });
    let service = opened.await.map_err(|e| Failure::unavailable(e.to_string()))??;
    let serving = Serving {
        witness: service.key().to_string(),
        url: service.address().map(|address| format!("http://{address}")),
    };
    output.print(&serving, |s| {
        let at = s.url.as_ref().map(|url| format!("\nAnswers  {url}/add-checkpoint"));
        format!("Witness  {}{}\nCtrl-C stops it.", s.witness, at.unwrap_or_default())
    });
    tokio::select! {
        served = witness::serve(service) => Ok(served?),
        stopped = stopped(with) => stopped,
    }
}
