use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value as Json;

/// A site in a folder of its own, worked on through the binary.
pub(crate) struct Site {
    pub(crate) folder: tempfile::TempDir,
    environment: Vec<(String, String)>,
}

/// The ports are the system's choice.
const ANY_PORTS: [&str; 6] =
    ["--http", "127.0.0.1:0", "--postgres", "127.0.0.1:0", "--flight", "127.0.0.1:0"];

impl Site {
    pub(crate) fn new() -> Self {
        Self::with(&[], &[])
    }

    /// A site made with further options and environment.
    pub(crate) fn with(options: &[&str], environment: &[(&str, &str)]) -> Self {
        let site = Self::unmade(environment);
        let made = site.init(options);
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        site
    }

    /// A folder in which no site has been made yet.
    pub(crate) fn unmade(environment: &[(&str, &str)]) -> Self {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let environment = environment.iter().map(own).collect();
        Self { folder: tempfile::tempdir().unwrap(), environment }
    }

    pub(crate) fn init(&self, options: &[&str]) -> Output {
        let words: Vec<&str> = ["init", "--holder", "st-mary"]
            .iter()
            .chain(&ANY_PORTS)
            .chain(options)
            .copied()
            .collect();
        self.salus(&words)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A file's path as text, for a command line.
    pub(crate) fn text_path(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    /// A file that its owner alone may read.
    pub(crate) fn private(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&path)
            .unwrap();
        file.write_all(text.as_bytes()).unwrap();
        self.text_path(name)
    }

    pub(crate) fn command(&self, words: &[&str]) -> Command {
        self.command_in("site", words)
    }

    pub(crate) fn command_in(&self, folder: &str, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_salus"));
        command
            .arg("--site")
            .arg(self.path(folder))
            .args(words)
            .env("SALUS_PASSPHRASE", "correct horse battery")
            .env("USER", "tester")
            .envs(self.environment.iter().map(|(name, value)| (name, value)));
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

    /// Imports a CSV text as a dataset, its schema as proposed.
    pub(crate) fn import(&self, dataset: &str, csv: &str) -> Json {
        let (file, schema) = self.csv(dataset, csv);
        self.json(&["import", &file, "--schema", &schema])
    }

    /// A CSV file with its proposed schema beside it.
    pub(crate) fn csv(&self, dataset: &str, csv: &str) -> (String, String) {
        let (file, schema) = (format!("{dataset}.csv"), format!("{dataset}.toml"));
        std::fs::write(self.path(&file), csv).unwrap();
        let proposed =
            self.salus(&["import", "--propose", &self.text_path(&file), "--dataset", dataset]);
        assert!(proposed.status.success(), "{}", String::from_utf8_lossy(&proposed.stderr));
        std::fs::write(self.path(&schema), proposed.stdout).unwrap();
        (self.text_path(&file), self.text_path(&schema))
    }

    /// A staff token.
    pub(crate) fn token(&self, staff: &str, roles: &[&str], purpose: &str) -> String {
        let mut words = vec!["staff", "issue", staff, "--purpose", purpose];
        for role in roles {
            words.extend(["--role", role]);
        }
        self.json(&words)["token"].as_str().unwrap().to_owned()
    }
}

/// Copies a folder with everything in it.
pub(crate) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else if entry.path().is_file() {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Whether a text stands in any file below a folder.
pub(crate) fn stands_below(folder: &Path, text: &str) -> bool {
    std::fs::read_dir(folder).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() {
            return stands_below(&path, text);
        }
        path.is_file()
            && std::fs::read(&path).unwrap().windows(text.len()).any(|w| w == text.as_bytes())
    })
}
