use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::Value as Json;

/// A site in a folder of its own, worked on through the binary.
pub(crate) struct Site {
    pub(crate) folder: tempfile::TempDir,
}

impl Site {
    pub(crate) fn new() -> Self {
        let site = Self { folder: tempfile::tempdir().unwrap() };
        let made = site.salus(&[
            "init",
            "--holder",
            "st-mary",
            "--http",
            "127.0.0.1:0",
            "--postgres",
            "127.0.0.1:0",
            "--flight",
            "127.0.0.1:0",
        ]);
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        site
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_salus"));
        command
            .arg("--site")
            .arg(self.path("site"))
            .args(words)
            .env("SALUS_PASSPHRASE", "correct horse battery")
            .env("USER", "tester");
        command
    }

    pub(crate) fn salus(&self, words: &[&str]) -> Output {
        std::fs::create_dir_all(self.path("site")).unwrap();
        self.command(words).output().unwrap()
    }

    /// The JSON that a command prints; it must succeed.
    pub(crate) fn json(&self, words: &[&str]) -> Json {
        let mut all = vec!["--json"];
        all.extend(words);
        let output = self.salus(&all);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success(),
            "{words:?}: {text}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("{words:?}: {e}: {text}"))
    }

    /// The exit code and the message of a command that must fail.
    pub(crate) fn failure(&self, words: &[&str]) -> (i32, String) {
        let output = self.salus(words);
        assert!(!output.status.success(), "{words:?} succeeded");
        (output.status.code().unwrap(), String::from_utf8_lossy(&output.stderr).into_owned())
    }
}
