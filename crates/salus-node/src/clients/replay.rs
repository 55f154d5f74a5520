use std::collections::HashMap;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use salus_crypto::Digest;
use salus_model::Timestamp;

use super::assertion::Used;
use super::file::{ClientId, ClientsError};

const FILE: &str = "clients.used";
/// More than this many sign-ins within five minutes are refused.
const MOST: usize = 200_000;

/// Assertions that were used and have not run out, on disk so that a restart forgets none.
pub(super) struct Replays {
    path: PathBuf,
    file: File,
    /// Until when, in seconds since the epoch.
    used: HashMap<Digest, i64>,
    lines: usize,
}

impl Replays {
    pub(super) fn open(folder: &Path, now: Timestamp) -> Result<Self, ClientsError> {
        let path = folder.join(FILE);
        let io = |source| ClientsError::Io { path: path.clone(), source };
        let text = match std::fs::read_to_string(&path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => String::new(),
            text => text.map_err(io)?,
        };
        let now = now.as_micros() / 1_000_000;
        // A line that a crash cut off was never answered with a token.
        let line = |line: &str| {
            let (digest, expires) = line.split_once(' ')?;
            Some((digest.to_owned().try_into().ok()?, expires.parse().ok()?))
        };
        let used: HashMap<Digest, i64> = text.lines().filter_map(line).collect();
        let used: HashMap<_, _> = used.into_iter().filter(|(_, until)| *until > now).collect();
        let file = write_anew(&path, &used).map_err(io)?;
        let lines = used.len();
        Ok(Self { path, file, used, lines })
    }

    /// Notes that an assertion is used, durably; false when it was before.
    pub(super) fn note(
        &mut self,
        client: &ClientId,
        used: &Used,
        now: Timestamp,
    ) -> std::io::Result<bool> {
        let now = now.as_micros() / 1_000_000;
        self.used.retain(|_, until| *until > now);
        if self.used.len() >= MOST {
            return Err(std::io::Error::other("too many clients sign in"));
        }
        let parts = [client.as_str().as_bytes(), used.jti.as_bytes()];
        let digest = Digest::of_parts("salus client assertion v1", &parts);
        if self.used.contains_key(&digest) {
            return Ok(false);
        }
        if self.lines > 4 * self.used.len() + 1024 {
            self.file = write_anew(&self.path, &self.used)?;
            self.lines = self.used.len();
        }
        self.file.write_all(format!("{digest} {}\n", used.expires).as_bytes())?;
        self.file.sync_data()?;
        self.lines += 1;
        self.used.insert(digest, used.expires);
        Ok(true)
    }
}

fn write_anew(path: &Path, used: &HashMap<Digest, i64>) -> std::io::Result<File> {
    let lines = used.iter().map(|(digest, until)| format!("{digest} {until}\n"));
    crate::write_private(path, lines.collect::<String>().as_bytes())?;
    File::options().append(true).open(path)
}
