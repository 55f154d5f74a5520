//! The demo's processes: this program again, each on a folder of its own.

use std::io::BufReader;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value as Json;

use crate::output::Failure;

/// How long a process may take to end when it is told to.
const PATIENCE: Duration = Duration::from_secs(10);

/// A process of the demo that serves.
pub(super) struct Process {
    pub(super) name: String,
    /// What it said when it was ready.
    pub(super) ready: Json,
    child: Child,
    /// Held open: a process that writes to nobody would end.
    _out: ChildStdout,
}

impl Process {
    /// Starts this program with words of its own, and waits until it says that it is ready.
    ///
    /// It stops when this process is gone, however that ends: its standard input closes then.
    pub(super) async fn start(
        name: &str,
        words: &[&str],
        passphrase: &Path,
        log: &Path,
    ) -> Result<Self, Failure> {
        let failed = |e: std::io::Error| Failure::unavailable(format!("{name}: {e}"));
        let program = std::env::current_exe().map_err(failed)?;
        let errors =
            std::fs::File::options().append(true).create(true).open(log).map_err(failed)?;
        let mut command = Command::new(program);
        command
            .arg("--json")
            .args(words)
            .arg("--stop-with-stdin")
            .env("SALUS_PASSPHRASE_FILE", passphrase)
            .env_remove("SALUS_PASSPHRASE")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(errors)
            // Ctrl-C at the terminal is for the demo, which stops the others in order.
            .process_group(0);
        let mut child = command.spawn().map_err(failed)?;
        let none = || Failure::unavailable(format!("{name} has no output"));
        let mut out = BufReader::new(child.stdout.take().ok_or_else(none)?);
        let read = tokio::task::spawn_blocking(move || {
            let mut values = serde_json::Deserializer::from_reader(&mut out).into_iter::<Json>();
            let first = values.next();
            (first, out.into_inner())
        });
        let (first, out) = read.await.map_err(|e| Failure::unavailable(e.to_string()))?;
        let Some(Ok(ready)) = first else {
            let _ = child.kill();
            let _ = child.wait();
            let told = format!("{name} did not start; it says why in {}", log.display());
            return Err(Failure::unavailable(told));
        };
        if let Some(error) = ready.get("error").and_then(Json::as_str) {
            let _ = child.wait();
            return Err(Failure::unavailable(format!("{name} did not start: {error}")));
        }
        Ok(Self { name: name.to_owned(), ready, child, _out: out })
    }

    /// A value that the process told when it was ready.
    pub(super) fn told(&self, key: &str) -> Result<&str, Failure> {
        let value = self.ready.get(key).and_then(Json::as_str);
        value.ok_or_else(|| Failure::corrupt(format!("{} did not tell its {key}", self.name)))
    }

    /// Kills it, as a power cut would.
    pub(super) fn kill(mut self) -> Result<(), Failure> {
        let failed = |e: std::io::Error| Failure::unavailable(format!("{}: {e}", self.name));
        self.child.kill().map_err(failed)?;
        self.child.wait().map_err(failed)?;
        Ok(())
    }

    /// Tells it to stop, and waits until it has.
    pub(super) async fn stop(mut self) {
        drop(self.child.stdin.take());
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        // Dropped, it is killed.
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
