use std::collections::BTreeSet;
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A Python environment with pinned packages, made once and shared by every test that wants the
/// same ones.
#[derive(Debug, Clone)]
pub struct Venv {
    root: PathBuf,
}

impl Venv {
    /// The environment with these packages, each given as `name==version`.
    ///
    /// The first caller makes it; others, in other processes too, wait for that. One that was cut
    /// short is made anew.
    ///
    /// # Panics
    /// When a package is not pinned, Python is missing, or the installation fails; the message has
    /// the installer's output.
    #[must_use]
    pub fn with(packages: &[&str]) -> Self {
        let packages: BTreeSet<&str> = packages.iter().copied().collect();
        for package in &packages {
            assert!(package.contains("=="), "pin '{package}' as name==version");
        }
        let mut hasher = DefaultHasher::new();
        packages.hash(&mut hasher);
        let root = crate::cache_dir().join(format!("venv-{:016x}", hasher.finish()));
        let lock = File::create(root.with_extension("lock"))
            .unwrap_or_else(|e| panic!("{} cannot be locked: {e}", root.display()));
        lock.lock().unwrap_or_else(|e| panic!("{} cannot be locked: {e}", root.display()));
        let done = root.join("complete");
        if !done.exists() {
            make(&root, &packages);
            fs::write(&done, "").unwrap_or_else(|e| panic!("{}: {e}", done.display()));
        }
        Self { root }
    }

    /// The environment's interpreter.
    #[must_use]
    pub fn python(&self) -> PathBuf {
        self.root.join("bin/python")
    }

    /// A command that runs a script with the environment's interpreter and nothing of the user's.
    #[must_use]
    pub fn script(&self, script: impl AsRef<Path>) -> Command {
        let mut command = Command::new(self.python());
        command.arg("-I").arg(script.as_ref());
        command
    }

    /// Runs a script to its end and returns what it printed.
    ///
    /// # Panics
    /// When it cannot start or does not exit with 0; the message has what it printed.
    pub fn run(&self, script: impl AsRef<Path>, configure: impl FnOnce(&mut Command)) -> String {
        let mut command = self.script(script.as_ref());
        configure(&mut command);
        run(command)
    }
}

fn make(root: &Path, packages: &BTreeSet<&str>) {
    if root.exists() {
        fs::remove_dir_all(root).unwrap_or_else(|e| panic!("{}: {e}", root.display()));
    }
    let python = crate::program("python3", "python3 python3-venv");
    let mut venv = Command::new(python);
    venv.args(["-m", "venv"]).arg(root);
    run(venv);
    let mut pip = Command::new(root.join("bin/python"));
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]);
    pip.args(packages);
    run(pip);
}

fn run(mut command: Command) -> String {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?} did not start: {e}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success(),
        "{command:?} ended with {}\n{}{}",
        output.status,
        text(&output.stdout),
        text(&output.stderr)
    );
    text(&output.stdout)
}
