//! The commands on plain files, run by their words.

#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

mod adjust;
mod arguments;
mod audit;
mod certificate;
mod clear;
mod dataset;
mod exam;
mod fair;
mod fairness;
mod fhir;
mod genome;
mod inputs;
mod layout;
mod linked;
mod model;
mod outputs;
mod pdf;
mod person;
mod plan;
mod reference;
mod review;
mod robust;
mod sample;
mod study;
mod together;
mod useful;

use std::path::{Path, PathBuf};

use clap::Parser;
use salus_files::{Answer, Command, FilesError};
use serde_json::Value;

#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// A folder for a test's files.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }
}

fn run(words: &[&str]) -> Result<Answer, FilesError> {
    Cli::try_parse_from(std::iter::once("salus").chain(words.iter().copied()))
        .unwrap()
        .command
        .run()
}

/// What is said of words that are no command.
fn unparsed(words: &[&str]) -> String {
    match Cli::try_parse_from(std::iter::once("salus").chain(words.iter().copied())) {
        Ok(_) => panic!("{words:?} were understood"),
        Err(error) => error.to_string(),
    }
}

fn json(words: &[&str]) -> Value {
    run(words).unwrap_or_else(|e| panic!("{words:?}: {}", said(&e))).json
}

/// An error with its causes, as a person reads it.
fn said(error: &FilesError) -> String {
    let mut said = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        said = format!("{said}: {error}");
        cause = error.source();
    }
    said
}

fn refusal(words: &[&str]) -> String {
    match run(words) {
        Ok(answer) => panic!("{words:?} was not refused: {}", answer.json),
        Err(error) => said(&error),
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn adult(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/adult").join(file)
}
