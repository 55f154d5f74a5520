//! Peers from PyPI, in a process that is asked line by line.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result};
use salus_testkit::Venv;
use serde_json::{Value, json};

use crate::measure::Spent;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/peers/lake.py");

/// The process.
pub(crate) struct Peers {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    /// Who they are.
    pub(crate) versions: String,
}

impl Peers {
    /// Starts it on the plaintext files, of which each peer makes encrypted ones of its own.
    pub(crate) fn start(folder: &Path, plain: &Path) -> Result<Self> {
        let venv = Venv::with(&["duckdb==1.5.5", "pyarrow==26.0.1"]);
        let mut command = venv.script(SCRIPT);
        command.arg(folder).arg(plain).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().context("the peers do not start")?;
        let to = child.stdin.take().context("no way to ask the peers")?;
        let from = BufReader::new(child.stdout.take().context("no way to hear the peers")?);
        let mut peers = Self { child, to, from, versions: String::new() };
        let said = peers.hear()?;
        peers.versions = said["versions"].as_str().unwrap_or_default().to_owned();
        Ok(peers)
    }

    fn hear(&mut self) -> Result<Value> {
        let mut line = String::new();
        self.from.read_line(&mut line)?;
        anyhow::ensure!(!line.is_empty(), "the peers ended; what they said stands above");
        Ok(serde_json::from_str(&line)?)
    }

    fn ask(&mut self, question: &Value) -> Result<Spent> {
        writeln!(self.to, "{question}")?;
        self.to.flush()?;
        let said = self.hear()?;
        let seconds = |name: &str| {
            said[name].as_f64().map(Duration::from_secs_f64).context("the peers told no time")
        };
        Ok(Spent { cpu: seconds("cpu")?, wall: seconds("wall")? })
    }

    pub(crate) fn duckdb(&mut self, sql: &str) -> Result<Spent> {
        self.ask(&json!({ "peer": "duckdb", "sql": sql }))
    }

    pub(crate) fn pyarrow(&mut self, what: &str) -> Result<Spent> {
        self.ask(&json!({ "peer": "pyarrow", "what": what }))
    }
}

impl Drop for Peers {
    fn drop(&mut self) {
        // Fails only when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
