//! The commands on plain files without the rest of `salus`: `cargo run -p salus-files --example
//! files -- [--json] risk FILE`.
#![allow(clippy::print_stdout)]

use clap::Parser;
use salus_model::Classified as _;

#[derive(Parser)]
struct Cli {
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: salus_files::Command,
}

fn main() -> std::process::ExitCode {
    let cli = Cli::parse();
    match cli.command.run() {
        Ok(answer) if cli.json => println!("{}", answer.json),
        Ok(answer) => println!("{}", answer.text()),
        Err(error) => {
            let mut said = error.to_string();
            let mut cause = std::error::Error::source(&error);
            while let Some(error) = cause {
                said = format!("{said}: {error}");
                cause = error.source();
            }
            println!("{said} [{:?}]", error.class());
            return std::process::ExitCode::from(2);
        }
    }
    std::process::ExitCode::SUCCESS
}
