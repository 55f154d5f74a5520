//! `salus`: a holder's site on the command line.
#![allow(clippy::print_stdout, reason = "its output is for the person who runs it")]

mod commands;
mod demo;
mod output;
mod passphrase;
mod site;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

use crate::output::{Failure, Output};

/// A health data space in one program: records stay where they are, encrypted column by column.
#[derive(Parser)]
#[command(name = "salus", version, about, after_help = EXIT_CODES, max_term_width = 100)]
struct Cli {
    /// The site's folder.
    #[arg(long, global = true, env = "SALUS_SITE", default_value = "salus-site", help_heading = GLOBAL)]
    site: PathBuf,
    /// Print one JSON value instead of text.
    #[arg(long, global = true, help_heading = GLOBAL)]
    json: bool,
    /// How log lines on the standard error are written; SALUS_LOG says which.
    #[arg(long, global = true, value_enum, default_value = "text", env = "SALUS_LOG_FORMAT", help_heading = GLOBAL)]
    log: LogForm,
    #[command(subcommand)]
    command: Command,
}

/// Where help lists the options that every command has.
const GLOBAL: &str = "Global options";

const EXIT_CODES: &str = "\
Exit codes: 0 done; 1 a self-test found something; 2 the request is wrong; 3 refused by policy, key or token; 4 out of reach, try \
again; 5 stored bytes are damaged; 70 a fault in Salus.

The key store's passphrase is read from SALUS_PASSPHRASE, from the file named by \
SALUS_PASSPHRASE_FILE, or asked for; a token's PIN from SALUS_PIN and SALUS_PIN_FILE, a key \
server's token from SALUS_VAULT_TOKEN and SALUS_VAULT_TOKEN_FILE, a membership file's passphrase \
from SALUS_MEMBER_PASSPHRASE and SALUS_MEMBER_PASSPHRASE_FILE, in the same way.";

#[derive(Subcommand)]
enum Command {
    /// Make a site: its key store, its authority, an empty lake and a roles file.
    Init(commands::init::Args),
    /// Start a hub, three hospitals and a ledger with synthetic patients; Ctrl-C stops them.
    Demo(demo::Args),
    /// Run the site's services.
    #[command(subcommand)]
    Node(commands::node::Command),
    /// Bring files into the lake: CSV, NDJSON, Parquet, or FHIR R4, also from a FHIR server.
    Import(commands::import::Args),
    /// Answer one SQL statement, in a role, on record.
    Sql(commands::sql::Args),
    /// List, show, verify and compact datasets.
    #[command(subcommand)]
    Dataset(commands::dataset::Command),
    /// List, rotate, revoke and destroy master keys.
    #[command(subcommand)]
    Keys(commands::keys::Command),
    /// Give staff access tokens, and take them away.
    #[command(subcommand)]
    Staff(commands::staff::Command),
    /// Let programs sign in with their own keys, and take that away.
    #[command(subcommand)]
    Client(commands::client::Command),
    /// Make, change and close the accounts of people who sign in at the console.
    #[command(subcommand)]
    Account(commands::account::Command),
    /// Read, check, export and expire the access log.
    #[command(subcommand)]
    Audit(commands::audit::Command),
    /// Take device reports in, enrol devices, simulate a fleet, look at one's own.
    #[command(subcommand)]
    Collect(commands::collect::Command),
    #[command(flatten)]
    Files(salus_files::Command),
    /// Make a synthetic twin of a dataset, for dry runs before a permit is asked for.
    Twin(commands::twin::Args),
    /// List and fetch the tables that holders have released, which need no permit.
    #[command(subcommand)]
    Published(commands::published::Command),
    /// Ask a question under a permit; the answer has noise, a price and a receipt.
    Query(commands::query::Args),
    /// Apply for permits, decide on them, look at them.
    #[command(subcommand)]
    Permit(commands::permit::Command),
    /// Review what wants out without a bound: list, look, approve, refuse.
    #[command(subcommand)]
    Gate(commands::gate::Command),
    /// Say where the holders' nodes are that questions go to.
    #[command(subcommand)]
    Holder(commands::holder::Command),
    /// Say whom joint answers are shared with, and print this site's keys for them.
    #[command(subcommand)]
    Joint(commands::joint::Command),
    /// Keep the list of those who opted out of secondary use.
    #[command(subcommand)]
    Optout(commands::optout::Command),
    /// Run validators, join a ledger, follow it, verify what comes from it.
    #[command(subcommand)]
    Ledger(commands::ledger::Command),
    /// Check configuration, key store, disk, ports and clock, and say how to mend each.
    Doctor,
    /// Print a completion script for a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

/// How log lines are written.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum LogForm {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

fn log(form: LogForm) {
    let filter = tracing_subscriber::EnvFilter::try_from_env("SALUS_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn"));
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match form {
        LogForm::Text => lines.init(),
        LogForm::Json => lines.json().init(),
    }
}

/// The words of a command that is not understood are answered like any other failure where JSON was
/// asked for; help and the version are no failures.
fn misunderstood(error: &clap::Error) -> ExitCode {
    let json = std::env::args_os().skip(1).take_while(|word| word != "--").any(|w| w == "--json");
    if json && error.use_stderr() {
        return Output::new(true).failure(&Failure::usage(error));
    }
    error.exit()
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return misunderstood(&error),
    };
    log(cli.log);
    let output = Output::new(cli.json);
    if let Command::Completions { shell } = cli.command {
        clap_complete::generate(shell, &mut Cli::command(), "salus", &mut std::io::stdout());
        return ExitCode::SUCCESS;
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => return output.failure(&Failure::unavailable(format!("no threads: {e}"))),
    };
    let ended = runtime.block_on(run(cli.command, &cli.site, &output));
    // What still computes was asked for by nobody who waits: it keeps no node from stopping.
    runtime.shutdown_timeout(std::time::Duration::from_secs(5));
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => output.failure(&failure),
    }
}

async fn run(command: Command, site: &std::path::Path, output: &Output) -> Result<(), Failure> {
    match command {
        Command::Init(args) => commands::init::run(args, site, output).await,
        Command::Demo(args) => demo::run(args, output).await,
        Command::Node(command) => commands::node::run(command, site, output).await,
        Command::Import(args) => commands::import::run(args, site, output).await,
        Command::Sql(args) => commands::sql::run(args, site, output).await,
        Command::Dataset(command) => commands::dataset::run(command, site, output).await,
        Command::Keys(command) => commands::keys::run(command, site, output).await,
        Command::Staff(command) => commands::staff::run(command, site, output),
        Command::Client(command) => commands::client::run(command, site, output),
        Command::Account(command) => commands::account::run(command, site, output).await,
        Command::Audit(command) => commands::audit::run(command, site, output).await,
        Command::Collect(command) => commands::collect::run(command, site, output).await,
        Command::Files(salus_files::Command::Release(args)) => {
            commands::release::run(&args, site, output).await
        }
        Command::Published(command) => commands::published::run(command, site, output).await,
        Command::Twin(args) => commands::twin::run(args, site, output).await,
        Command::Files(command) => commands::files::run(&command, output),
        Command::Query(args) => commands::query::run(args, site, output).await,
        Command::Permit(command) => commands::permit::run(command, site, output).await,
        Command::Gate(command) => commands::gate::run(command, site, output).await,
        Command::Holder(command) => commands::holder::run(command, site, output),
        Command::Joint(command) => commands::joint::run(command, site, output).await,
        Command::Optout(command) => commands::optout::run(command, site, output).await,
        Command::Ledger(command) => commands::ledger::run(command, site, output).await,
        Command::Doctor => commands::doctor::run(site, output).await,
        Command::Completions { .. } => Ok(()),
    }
}
