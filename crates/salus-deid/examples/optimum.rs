//! Prints the CPU time of the optimal search on the Adult table.
//!
//! `cargo run --release -p salus-deid --example optimum -- [k] [suppression share] [repeats]`

#![allow(clippy::print_stdout)]

use std::fs;
use std::path::Path;
use std::time::Duration;

use salus_deid::{
    CsvFormat, Hierarchy, Loss, PrivacyModel, Problem, QuasiIdentifier, QuasiIdentifiers,
    SuppressionLimit, Table,
};

/// Time that this process has spent on a CPU, all threads, user and system.
fn cpu() -> Duration {
    let stat = fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    let nanos = stat.split_whitespace().next().and_then(|n| n.parse().ok()).unwrap_or(0);
    Duration::from_nanos(nanos)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let k = arguments.next().map_or(Ok(5), |a| a.parse())?;
    let share = arguments.next().map_or(Ok(0.05), |a| a.parse())?;
    let repeats = arguments.next().map_or(Ok(5), |a| a.parse::<u32>())?;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/adult");
    let format = CsvFormat::with_delimiter(b';');
    let start = cpu();
    let table = Table::read_csv(fs::File::open(folder.join("adult_arx_30162x9.csv"))?, format)?;
    let items = table
        .columns()
        .iter()
        .map(|column| {
            let file = folder.join(format!("adult_hierarchy_{}.csv", column.name()));
            let hierarchy = Hierarchy::read_csv(fs::File::open(file)?, format.without_header())?;
            Ok(QuasiIdentifier { column: column.name().to_owned(), hierarchy })
        })
        .collect::<Result<Vec<_>, Box<dyn std::error::Error>>>()?;
    let quasi = QuasiIdentifiers::new(items)?;
    println!("read       {:>8.1} ms", (cpu() - start).as_secs_f64() * 1e3);
    for _ in 0..repeats {
        let start = cpu();
        let problem = Problem::new(
            &table,
            &quasi,
            &[PrivacyModel::k_anonymity(k)?],
            SuppressionLimit::new(share)?,
            Loss::REFERENCE,
            None,
        )?;
        let outcome = problem.optimum()?;
        println!(
            "optimum    {:>8.1} ms  loss {:.8}  levels {:?}  suppressed {}  checked {} of {}",
            (cpu() - start).as_secs_f64() * 1e3,
            outcome.loss,
            outcome.levels.as_slice(),
            outcome.suppressed.len(),
            outcome.checked,
            outcome.nodes.unwrap_or(u64::MAX),
        );
    }
    Ok(())
}
