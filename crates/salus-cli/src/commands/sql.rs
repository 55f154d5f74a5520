use std::path::Path;
use std::time::Duration;

use salus_model::{Purpose, RoleName};
use salus_node::operations::{Call, Reply, SqlCall};
use salus_query::Limits;

use crate::output::{Failure, Output, table};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The statement: one that reads.
    statement: String,
    /// The role to ask in.
    #[arg(long, default_value = "steward")]
    role: RoleName,
    /// What for: treatment, payment or operations.
    #[arg(long, default_value = "operations", value_parser = purpose)]
    purpose: Purpose,
    /// How the answer is written.
    #[arg(long, value_enum, default_value = "table")]
    format: Form,
    /// The most rows of an answer.
    #[arg(long, default_value_t = 100_000)]
    rows: usize,
    /// The most memory, in MiB.
    #[arg(long, default_value_t = 1024)]
    memory_mib: usize,
    /// The most time, in seconds.
    #[arg(long, default_value_t = 300)]
    seconds: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    Table,
    Json,
    Csv,
    Arrow,
}

/// A primary use by its word.
pub(crate) fn purpose(word: &str) -> Result<Purpose, String> {
    [Purpose::Treatment, Purpose::Payment, Purpose::Operations]
        .into_iter()
        .find(|p| p.as_str() == word)
        .ok_or_else(|| "use treatment, payment or operations".to_owned())
}

/// Limits for one machine with its cores.
pub(crate) fn limits(rows: usize, memory_bytes: usize, time: Duration) -> Limits {
    let cores = std::thread::available_parallelism().unwrap_or(std::num::NonZeroUsize::MIN);
    Limits {
        memory_bytes,
        time,
        rows,
        statement_bytes: 256 * 1024,
        nesting: 50,
        partitions: cores,
        at_once: cores,
    }
}

pub(crate) async fn run(args: Args, folder: &Path, output: &Output) -> Result<(), Failure> {
    let site = crate::site::open(folder).await?;
    let call = Call::Sql(SqlCall {
        statement: args.statement,
        role: args.role,
        purpose: args.purpose,
        rows: args.rows,
        memory_bytes: args.memory_mib << 20,
        seconds: args.seconds,
    });
    let Reply::Answer(answer) = crate::site::ask(&site, call).await? else {
        return Err(crate::site::protocol());
    };
    let form = if output.is_json() { Form::Json } else { args.format };
    let mut bytes = Vec::new();
    match form {
        Form::Table => {
            println!("{}", grid(&answer)?);
            return Ok(());
        }
        Form::Json => answer.write_json(&mut bytes)?,
        Form::Csv => answer.write_csv(&mut bytes)?,
        Form::Arrow => answer.write_arrow(&mut bytes)?,
    }
    use std::io::Write as _;
    let mut out = std::io::stdout().lock();
    let ending: &[u8] = if form == Form::Json { b"\n" } else { b"" };
    out.write_all(&bytes)
        .and_then(|()| out.write_all(ending))
        .map_err(|e| Failure::unavailable(format!("the answer cannot be written: {e}")))
}

/// An answer as a table with a row count.
pub(crate) fn grid(answer: &salus_query::Answer) -> Result<String, Failure> {
    let mut bytes = Vec::new();
    answer.write_json(&mut bytes)?;
    let rows: Vec<serde_json::Map<String, serde_json::Value>> = serde_json::from_slice(&bytes)
        .map_err(|e| Failure::corrupt(format!("the answer cannot be shown: {e}")))?;
    let names: Vec<&str> = answer.schema().fields().iter().map(|f| f.name().as_str()).collect();
    let cell = |value: Option<&serde_json::Value>| match value {
        None | Some(serde_json::Value::Null) => "·".to_owned(),
        Some(serde_json::Value::String(text)) => text.replace(['\n', '\r', '\t'], " "),
        Some(other) => other.to_string(),
    };
    let cells: Vec<Vec<String>> =
        rows.iter().map(|row| names.iter().map(|n| cell(row.get(*n))).collect()).collect();
    let count = if cells.len() == 1 { "1 row".to_owned() } else { format!("{} rows", cells.len()) };
    Ok(format!("{}\n({count})", table(&names, &cells)))
}
