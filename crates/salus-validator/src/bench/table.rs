//! The figures as a section of a Markdown file that has other sections beside it.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use super::{Failure, Figures, HistoryFigures, Report};

const BEGIN: &str = "<!-- bench ledger: written by `cargo xtask bench ledger` -->";
const END: &str = "<!-- bench ledger: end -->";

/// What Hyperledger Fabric 2.5 and 3 gave on a machine of two cores.
const PEER: &str = "Hyperledger Fabric with 4 orderers on two cores gave 335 tx/s (BFT) and 491 tx/s \
(Raft), light-load p50 216 ms, a longest gap of 25 s when the leader was killed, 143 to 275 MB a \
process, and a first receipt after about 40 s.";

/// Replaces the section in the file, or adds it at the end.
pub(super) fn write_into(path: &Path, report: &Report) -> Result<(), Failure> {
    let old = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            "# Benchmarks\n\nEach section is written by the command that it names.\n".to_owned()
        }
        Err(error) => return Err(error.into()),
    };
    let section = section(report)?;
    let new = match (old.split_once(BEGIN), old.split_once(END)) {
        (Some((before, _)), Some((_, after))) => format!("{before}{section}{after}"),
        _ => format!("{}\n\n{section}\n", old.trim_end()),
    };
    Ok(std::fs::write(path, new)?)
}

fn millis(time: Duration) -> String {
    let millis = time.as_secs_f64() * 1000.0;
    if millis < 10.0 { format!("{millis:.1} ms") } else { format!("{millis:.0} ms") }
}

fn section(report: &Report) -> Result<String, Failure> {
    let mut text = String::new();
    writeln!(text, "{BEGIN}\n## Ledger\n")?;
    writeln!(text, "{}", machine())?;
    writeln!(
        text,
        "Every validator is a process of its own, over loopback with TLS; an answer counts \
once the block is final, on the disk, and proved to the client. {PEER}\n"
    )?;
    processes(&mut text, &report.processes)?;
    if !report.history.is_empty() {
        writeln!(
            text,
            "\nOne validator's core and database by length of history. The blocks of one come \
right after full ones and forget, each, what a full block fifty before it carried.\n"
        )?;
        writeln!(
            text,
            "| transactions | tx/s in full blocks | block of one, p50 | proofs, p50 | database |"
        )?;
        writeln!(text, "| ---: | ---: | ---: | ---: | ---: |")?;
        for row in &report.history {
            history(&mut text, row)?;
        }
    }
    write!(text, "{END}")?;
    Ok(text)
}

fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split(": ").nth(1));
    let version = env!("CARGO_PKG_VERSION");
    format!("Salus {version} on {cores} cores ({}).", model.unwrap_or("unknown processor").trim())
}

fn processes(text: &mut String, rows: &[Figures]) -> Result<(), Failure> {
    writeln!(
        text,
        "| validators | first receipt | light p50 | light p99 | tx/s | p50 under load | killed: longest gap, median (worst) | memory each |"
    )?;
    writeln!(text, "| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")?;
    for row in rows {
        let gap = match &row.gaps {
            None => "stops".to_owned(),
            Some(gaps) => format!("{} ({})", millis(gaps.median), millis(gaps.worst)),
        };
        writeln!(
            text,
            "| {} | {} | {} | {} | {:.0} | {} | {gap} | {} MB |",
            row.validators,
            millis(row.to_first),
            millis(row.light_p50),
            millis(row.light_p99),
            row.a_second,
            millis(row.heavy_p50),
            row.memory_bytes / 1_000_000,
        )?;
    }
    Ok(())
}

fn history(text: &mut String, row: &HistoryFigures) -> Result<(), Failure> {
    writeln!(
        text,
        "| {} | {:.0} | {} | {} | {} MB |",
        row.transactions,
        row.a_second,
        millis(row.block_p50),
        millis(row.proof_p50),
        row.disk_bytes / 1_000_000,
    )?;
    Ok(())
}
