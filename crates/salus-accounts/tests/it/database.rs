use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use salus_accounts::{Accounts, Database, SessionRules};
use salus_crypto::OsEntropy;
use salus_crypto::aead::AeadKey;
use salus_model::{ManualClock, Secret, Timestamp};

/// A site: its database, its key and its clock.
pub(crate) struct Site {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) accounts: Accounts,
    pub(crate) key: AeadKey,
    server: Option<Postgres>,
}

impl Site {
    pub(crate) async fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::Sqlite(folder.path().join("accounts.sqlite"));
        Self::over(folder, database, None).await
    }

    pub(crate) async fn postgres() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = Postgres::start(&folder.path().join("pg"));
        let database = Database::Postgres(Secret::new(server.url()));
        Self::over(folder, database, Some(server)).await
    }

    async fn over(folder: tempfile::TempDir, database: Database, server: Option<Postgres>) -> Self {
        let clock =
            Arc::new(ManualClock::new(Timestamp::from_micros(1_800_000_000_000_000).unwrap()));
        let key = AeadKey::generate(&mut OsEntropy).unwrap();
        let accounts =
            Accounts::open(&database, &key, clock.clone(), SessionRules::OFFICE).await.unwrap();
        Self { folder, clock, accounts, key, server }
    }

    /// Everything that is on the disk, database and all.
    pub(crate) fn on_disk(&self) -> Vec<(PathBuf, Vec<u8>)> {
        if let Some(server) = &self.server {
            server.checkpoint();
        }
        let mut found = Vec::new();
        let mut folders = vec![self.folder.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                let kind = std::fs::symlink_metadata(&path).unwrap().file_type();
                if kind.is_dir() {
                    folders.push(path);
                } else if kind.is_file() {
                    found.push((path.clone(), std::fs::read(path).unwrap()));
                }
            }
        }
        found
    }
}

/// A PostgreSQL server of the test's own, reached through a socket in its folder.
struct Postgres {
    folder: PathBuf,
    child: std::process::Child,
}

impl Postgres {
    fn start(folder: &Path) -> Self {
        let program = |name: &str| {
            let found = std::fs::read_dir("/usr/lib/postgresql")
                .expect("postgresql is installed")
                .map(|version| version.unwrap().path().join("bin").join(name))
                .find(|path| path.exists());
            found.unwrap_or_else(|| panic!("{name} is not installed: apt-get install postgresql"))
        };
        // The server refuses to run as root; it runs as the user that the package made.
        let as_root = rustix_uid() == 0;
        let run = |program: PathBuf, words: &[&str]| {
            let mut command = if as_root {
                let mut command = Command::new("setpriv");
                command
                    .args(["--reuid=postgres", "--regid=postgres", "--clear-groups"])
                    .arg(program);
                command
            } else {
                Command::new(program)
            };
            command.args(words).stdout(Stdio::null()).stderr(Stdio::null());
            command
        };
        std::fs::create_dir(folder).unwrap();
        if as_root {
            open_way(folder);
            assert!(Command::new("chown").arg("postgres").arg(folder).status().unwrap().success());
        }
        let data = folder.join("data");
        let data = data.to_str().unwrap();
        let made =
            run(program("initdb"), &["-D", data, "-A", "trust", "-U", "salus", "-N"]).status();
        assert!(made.unwrap().success(), "initdb failed");
        let sockets = folder.to_str().unwrap();
        let child = run(
            program("postgres"),
            &["-D", data, "-k", sockets, "-c", "listen_addresses=", "-c", "shared_buffers=8MB"],
        )
        .spawn()
        .unwrap();
        let server = Self { folder: folder.to_owned(), child };
        for _ in 0..100 {
            if server.psql("SELECT 1") {
                return server;
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        panic!("PostgreSQL does not answer");
    }

    fn psql(&self, statement: &str) -> bool {
        Command::new("psql")
            .args([
                "-h",
                self.folder.to_str().unwrap(),
                "-U",
                "salus",
                "-d",
                "postgres",
                "-c",
                statement,
            ])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .unwrap()
            .success()
    }

    fn checkpoint(&self) {
        assert!(self.psql("CHECKPOINT"));
    }

    fn url(&self) -> String {
        let sockets = self.folder.to_str().unwrap().replace('/', "%2F");
        format!("postgres://salus@{sockets}/postgres")
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // SIGQUIT: an immediate shutdown of the server and all its processes.
        let _ = Command::new("kill").args(["-QUIT", &self.child.id().to_string()]).status();
        let _ = self.child.wait();
    }
}

fn rustix_uid() -> u32 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("Uid:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Lets another user reach a folder below a private temporary one.
fn open_way(folder: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    let parent = folder.parent().unwrap();
    std::fs::set_permissions(parent, std::fs::Permissions::from_mode(0o711)).unwrap();
}
