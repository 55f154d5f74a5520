//! Runs the validator of a folder, or measures a network: what tests and benches start as processes.
//! People use `salus ledger`.

use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use salus_crypto::passphrase::Passphrase;
use salus_model::Secret;
use salus_validator::channels::Host;
use salus_validator::{Folder, bench};

const USAGE: &str = "usage: salus-validator serve FOLDER
       salus-validator bench [short]
       salus-validator bench [long] into FILE

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
        ["bench"] => measure(&bench::Plan::full(), None),
        ["bench", "short"] => measure(&bench::Plan::short(), None),
        ["bench", "into", file] => measure(&bench::Plan::full(), Some(file)),
        ["bench", "long", "into", file] => measure(&bench::Plan::long(), Some(file)),
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
    let mut host = Host::start(&Folder::at(folder), passphrase()?)?;
    say(&format!("ready https://{}", host.main().api()));
    if let Some(console) = host.main().console() {
        say(&format!("console http://{console} with the token in console.token"));
    }
    for (ledger, channel) in host.channels() {
        say(&format!("channel {ledger} https://{}", channel.api()));
    }
    loop {
        std::thread::sleep(std::time::Duration::from_secs(2));
        let new = host.take_up_channels();
        for (ledger, channel) in host.channels().filter(|(ledger, _)| new.contains(*ledger)) {
            say(&format!("channel {ledger} https://{}", channel.api()));
        }
    }
}

fn say(line: &str) {
    let mut out = std::io::stdout();
    // Whoever started this process may have stopped reading.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// Prints the figures, and writes them into their section of a Markdown file.
fn measure(plan: &bench::Plan, into: Option<&str>) -> Result<(), Failure> {
    let program: PathBuf = std::env::current_exe()?;
    let report = bench::run(plan, &program)?;
    say(&report.to_string());
    if let Some(file) = into {
        report.write_into(file.as_ref())?;
    }
    Ok(())
}
