//! Runs the validator of a folder, shows its ledger, or measures a network of them.

use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use salus_crypto::passphrase::Passphrase;
use salus_model::Secret;
use salus_validator::client::LedgerClient;
use salus_validator::explorer::client::ExplorerClient;
use salus_validator::explorer::terminal;
use salus_validator::{Folder, Validator, bench};

const USAGE: &str = "usage: salus-validator serve FOLDER
       salus-validator explore FOLDER
       salus-validator bench [short]

The passphrase of the folder's keys is read from the variable SALUS_PASSPHRASE.
";

fn main() -> ExitCode {
    let level = std::env::var("SALUS_LOG").unwrap_or_else(|_| "warn".to_owned());
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::new(level))
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .init();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["serve", folder] => serve(folder),
        ["explore", folder] => explore(folder),
        ["bench"] => measure(&bench::Plan::full()),
        ["bench", "short"] => measure(&bench::Plan::short()),
        _ => {
            let _ = std::io::stderr().write_all(USAGE.as_bytes());
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

type Failure = bench::Failure;

fn passphrase() -> Result<Passphrase, Failure> {
    let text = std::env::var("SALUS_PASSPHRASE").map_err(|_| "SALUS_PASSPHRASE is not set")?;
    Ok(Passphrase::new(Secret::new(text))?)
}

/// Serves until the process is killed: a validator has to survive that anyway.
fn serve(folder: &str) -> Result<(), Failure> {
    let validator = Validator::start(&Folder::at(folder), &passphrase()?)?;
    let mut out = std::io::stdout();
    writeln!(out, "ready https://{}", validator.api())?;
    if let Some(console) = validator.console() {
        writeln!(out, "console http://{console} with the token in console.token")?;
    }
    out.flush()?;
    loop {
        std::thread::park();
    }
}

/// Shows the ledger in this terminal, by the validator's own certificate.
fn explore(folder: &str) -> Result<(), Failure> {
    let folder = Folder::at(folder);
    let identity = folder.open(&passphrase()?)?;
    let (genesis, url) = (folder.genesis()?, format!("https://{}", folder.config()?.api));
    let explorer = ExplorerClient::new(&url, &genesis, &identity)?;
    let ledger = LedgerClient::new(std::slice::from_ref(&url), &genesis, &identity)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    Ok(runtime.block_on(terminal::run(explorer, ledger))?)
}

fn measure(plan: &bench::Plan) -> Result<(), Failure> {
    let program: PathBuf = std::env::current_exe()?;
    let report = bench::run(plan, &program)?;
    std::io::stdout().write_all(report.to_string().as_bytes())?;
    Ok(())
}
