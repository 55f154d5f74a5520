//! The machine, the data, and draws that are the same each time.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use salus_deid::{CsvFormat, Hierarchy, QuasiIdentifier, QuasiIdentifiers, Table};
use salus_model::{Clock, Entropy, EntropyFailed, Timestamp};

/// Whether peers are installed and measured in the same run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Peers {
    /// Ours alone.
    None,
    /// anonymeter and dpmm.
    FromPyPi,
}

/// SplitMix64: a benchmark wants the same draws each time.
pub(crate) struct Draws(pub(crate) u64);

impl Draws {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

impl Entropy for Draws {
    fn fill(&mut self, buffer: &mut [u8]) -> Result<(), EntropyFailed> {
        for chunk in buffer.chunks_mut(8) {
            let bytes = self.next().to_le_bytes();
            chunk.copy_from_slice(&bytes[..chunk.len()]);
        }
        Ok(())
    }
}

/// The system's clock.
pub(crate) struct Wall;

impl Clock for Wall {
    fn now(&self) -> Timestamp {
        let since = std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
        Timestamp::EPOCH.saturating_add_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
    }
}

/// The folder of the Adult table and its hierarchies.
pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/adult")
}

/// The Adult table's file.
pub(crate) fn file() -> PathBuf {
    folder().join("adult_arx_30162x9.csv")
}

pub(crate) fn adult() -> Result<(Table, QuasiIdentifiers)> {
    let format = CsvFormat::with_delimiter(b';');
    let table = Table::read_csv(fs::File::open(file())?, format)?;
    let items = table
        .columns()
        .iter()
        .map(|column| {
            let file = folder().join(format!("adult_hierarchy_{}.csv", column.name()));
            let hierarchy = Hierarchy::read_csv(fs::File::open(file)?, format.without_header())?;
            Ok(QuasiIdentifier { column: column.name().to_owned(), hierarchy })
        })
        .collect::<Result<Vec<_>>>()?;
    Ok((table, QuasiIdentifiers::new(items)?))
}

/// Every third record, from each start.
pub(crate) fn thirds(table: &Table) -> Result<[Table; 3]> {
    let third = |r: usize| table.select((0..table.rows()).filter(move |i| i % 3 == r));
    Ok([third(0)?, third(1)?, third(2)?])
}

pub(crate) fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info
        .lines()
        .find_map(|l| l.strip_prefix("model name")?.split_once(':').map(|(_, m)| m.trim()))
        .unwrap_or("unknown processor");
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split_whitespace().next().unwrap_or("?");
    let profile = if cfg!(debug_assertions) { "development" } else { "release" };
    format!(
        "Machine: {model}, {cores} cores, load {load} at the start; {profile} profile; salus {}. \
         CPU seconds unless said.\n",
        env!("CARGO_PKG_VERSION")
    )
}

/// The most memory that the process had, in megabytes.
pub(crate) fn peak_megabytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find(|line| line.starts_with("VmHWM:"));
    peak.and_then(|l| l.split_whitespace().nth(1)?.parse::<u64>().ok()).unwrap_or(0) / 1024
}
