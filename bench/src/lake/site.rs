//! A site of its own for a measurement, worked on by the command that was built beside this one.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use anyhow::{Context as _, Result};
use serde_json::Value;

fn salus() -> Result<PathBuf> {
    let here = std::env::current_exe()?;
    let command = here.with_file_name("salus");
    anyhow::ensure!(command.is_file(), "build the salus command too: cargo xtask bench does");
    Ok(command)
}

fn status_mib(process: u32, field: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find(|l| l.starts_with(field))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib / 1024)
}

/// The most memory that a process ever had.
pub(super) fn peak_mib(process: u32) -> Option<u64> {
    status_mib(process, "VmHWM:")
}

/// The memory that a process has now.
pub(super) fn resident_mib(process: u32) -> Option<u64> {
    status_mib(process, "VmRSS:")
}

/// A site in a folder.
pub(super) struct Site(PathBuf);

impl Site {
    /// Makes it.
    pub(super) fn init(folder: PathBuf) -> Result<Self> {
        let site = Self(folder);
        let ports = ["--http", "--postgres", "--flight"].map(|name| [name, "127.0.0.1:0"]);
        let mut command = site.command(&["init", "--holder", "bench"])?;
        let made = command.args(ports.as_flattened()).status()?;
        anyhow::ensure!(made.success(), "init failed");
        Ok(site)
    }

    pub(super) fn folder(&self) -> &Path {
        &self.0
    }

    /// A command on the site, which prints to nobody.
    pub(super) fn command(&self, words: &[&str]) -> Result<Command> {
        let mut command = Command::new(salus()?);
        command.args(words).arg("--site").arg(&self.0);
        command.env("SALUS_PASSPHRASE", "a bench, not a site").stdout(Stdio::null());
        Ok(command)
    }

    /// A token of the data steward.
    pub(super) fn steward(&self) -> Result<String> {
        let words = ["--json", "staff", "issue", "bench", "--role", "steward"];
        let mut command = self.command(&words)?;
        command.args(["--purpose", "operations"]).stdout(Stdio::piped());
        let said: Value = serde_json::from_slice(&command.output()?.stdout)?;
        Ok(said["token"].as_str().context("no token was issued")?.to_owned())
    }

    /// Runs its node until what is returned is dropped.
    pub(super) fn start(&self) -> Result<Node> {
        let mut child = self.command(&["node", "run"])?.stdout(Stdio::piped()).spawn()?;
        let mut lines = BufReader::new(child.stdout.take().context("the node is mute")?);
        let mut first = String::new();
        lines.read_line(&mut first)?;
        // The rest comes at once; the node would fail to print to a closed pipe.
        let url = first.split_whitespace().last().context("the node did not start")?.to_owned();
        let certificate = fs::read(self.0.join("ca.pem"))?;
        Ok(Node { child, _lines: lines, url, certificate })
    }
}

/// A node that runs.
pub(super) struct Node {
    child: Child,
    _lines: BufReader<ChildStdout>,
    /// Where its FHIR interface begins.
    pub(super) url: String,
    /// What it is verified with, as PEM.
    pub(super) certificate: Vec<u8>,
}

impl Node {
    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // Fails only when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
