use std::io::Write as _;
use std::path::{Path, PathBuf};

use salus_model::{DatasetId, RoleName, StaffId, Timestamp};
use salus_node::operations::{Call, Reply};
use salus_store::audit::{AccessKind, AuditFilter, AuditHead, AuditRecord, Outcome};

use crate::output::{Failure, Output, table};

#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Who used what, for what, with what result; reading it is itself put on record.
    List(Filters),
    /// One record, whole.
    Show {
        /// Its number, as `list` shows it.
        sequence: u64,
    },
    /// Walk the log's chain from its first record; compare it with heads that were kept elsewhere.
    Verify {
        /// A head that was kept, as an earlier `verify` printed it: NUMBER:DIGEST; repeat for more.
        #[arg(long, value_parser = head)]
        head: Vec<AuditHead>,
    },
    /// Write records to a file that its owner alone may read.
    Export {
        /// The file; must not be there yet.
        file: PathBuf,
        /// How it is written.
        #[arg(long, value_enum, default_value = "ndjson")]
        format: Form,
        #[command(flatten)]
        filters: Filters,
    },
    /// Remove records that are older than `[audit] keep_days`, in whole segments. A running node
    /// does so every day.
    Expire,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Form {
    /// One JSON record a line.
    Ndjson,
    /// One row a record.
    Csv,
}

#[derive(clap::Args)]
pub(crate) struct Filters {
    /// Of this person, such as dr-ann or operator:root.
    #[arg(long)]
    staff: Option<StaffId>,
    /// In this role.
    #[arg(long)]
    role: Option<RoleName>,
    /// That touched this dataset.
    #[arg(long)]
    dataset: Option<DatasetId>,
    /// Of this kind: sql, fhir-read, fhir-write, export, key-operation, administration, upkeep,
    /// audit-reading.
    #[arg(long, value_parser = kind)]
    kind: Option<AccessKind>,
    /// Recorded at or after this moment, such as 2026-03-01T00:00:00Z.
    #[arg(long)]
    from: Option<Timestamp>,
    /// Recorded before this moment.
    #[arg(long)]
    until: Option<Timestamp>,
    /// At most so many, the latest ones.
    #[arg(long)]
    latest: Option<usize>,
}

impl Filters {
    fn filter(self) -> AuditFilter {
        let Self { staff, role, dataset, kind, from, until, latest } = self;
        AuditFilter { from, until, staff, role, dataset, kind, sequence: None, latest }
    }
}

fn kind(word: &str) -> Result<AccessKind, String> {
    serde_json::from_value(serde_json::Value::String(word.to_owned()))
        .map_err(|_| "no such kind of access".to_owned())
}

fn head(text: &str) -> Result<AuditHead, String> {
    let wrong = || "a head is NUMBER:DIGEST, as `salus audit verify` prints it".to_owned();
    let (sequence, digest) = text.split_once(':').ok_or_else(wrong)?;
    let json = serde_json::json!({
        "sequence": sequence.parse::<u64>().map_err(|_| wrong())?,
        "head": digest,
    });
    serde_json::from_value(json).map_err(|_| wrong())
}

pub(crate) async fn run(command: Command, folder: &Path, output: &Output) -> Result<(), Failure> {
    let site = crate::site::open(folder).await?;
    match command {
        Command::List(filters) => {
            let records = read(&site, filters.filter()).await?;
            output.print(&records, |records| {
                let rows: Vec<_> = records.iter().map(row).collect();
                table(&HEADER, &rows)
            });
            Ok(())
        }
        Command::Show { sequence } => {
            let filter = AuditFilter { sequence: Some(sequence), ..AuditFilter::default() };
            let records = read(&site, filter).await?;
            let [record] = records.as_slice() else {
                let missing = format!("there is no access record {sequence}");
                return Err(Failure::request(missing));
            };
            output.print(record, |r| serde_json::to_string_pretty(r).unwrap_or_default());
            Ok(())
        }
        Command::Verify { head } => verify(&site, head, output).await,
        Command::Export { file, format, filters } => {
            export(&site, &file, format, filters.filter(), output).await
        }
        Command::Expire => {
            let Reply::Removed(removed) = crate::site::ask(&site, Call::TrimAudit).await? else {
                return Err(crate::site::protocol());
            };
            output.print(&removed, |r| {
                format!(
                    "{} segments removed; records of {} and later are kept.",
                    r.segments, r.before
                )
            });
            Ok(())
        }
    }
}

async fn read(site: &salus_node::Site, filter: AuditFilter) -> Result<Vec<AuditRecord>, Failure> {
    match crate::site::ask(site, Call::ReadAudit { filter }).await? {
        Reply::Records(records) => Ok(records),
        _ => Err(crate::site::protocol()),
    }
}

async fn verify(
    site: &salus_node::Site,
    remembered: Vec<AuditHead>,
    output: &Output,
) -> Result<(), Failure> {
    let Reply::Checked(checked) = crate::site::ask(site, Call::VerifyAudit { remembered }).await?
    else {
        return Err(crate::site::protocol());
    };
    output.print(&checked, |c| {
        let (first, last, head) = (c.first, c.head.sequence, c.head.head);
        format!(
            "Records {first} to {last} are whole and in their order; {} remembered heads fit.\n\
             Keep this elsewhere, to find out later whether anything up to it was changed:\n\
             {last}:{head}",
            c.compared
        )
    });
    Ok(())
}

const HEADER: [&str; 9] =
    ["record", "at", "staff", "role", "purpose", "kind", "outcome", "datasets", "statement"];

fn word(value: &impl serde::Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        _ => String::new(),
    }
}

fn row(record: &AuditRecord) -> Vec<String> {
    let entry = &record.entry;
    let outcome = match entry.outcome {
        Outcome::Answered { rows } => format!("answered, {rows} rows"),
        Outcome::Refused { reason } => format!("refused: {}", word(&reason)),
        Outcome::Failed => "failed".to_owned(),
    };
    let datasets: Vec<&str> = entry.datasets.keys().map(DatasetId::as_str).collect();
    vec![
        record.sequence.to_string(),
        record.at.to_string(),
        entry.staff.to_string(),
        entry.role.to_string(),
        entry.purpose.to_string(),
        word(&entry.kind),
        outcome,
        datasets.join(", "),
        entry.statement.replace(['\n', '\r', '\t'], " "),
    ]
}

async fn export(
    site: &salus_node::Site,
    file: &Path,
    format: Form,
    filter: AuditFilter,
    output: &Output,
) -> Result<(), Failure> {
    #[derive(serde::Serialize)]
    struct Exported {
        file: String,
        records: usize,
    }
    let io = |e: std::io::Error| Failure::unavailable(format!("{}: {e}", file.display()));
    // Before the reading is recorded: whether there is anywhere to write.
    let mut to = new_private(file).map_err(io)?;
    let records = read(site, filter).await?;
    match format {
        Form::Ndjson => {
            for record in &records {
                let line =
                    serde_json::to_string(record).map_err(|e| Failure::corrupt(e.to_string()))?;
                writeln!(to, "{line}").map_err(io)?;
            }
        }
        Form::Csv => {
            writeln!(to, "{}", HEADER.join(",")).map_err(io)?;
            for record in &records {
                let cells: Vec<String> = row(record).iter().map(|cell| quoted(cell)).collect();
                writeln!(to, "{}", cells.join(",")).map_err(io)?;
            }
        }
    }
    to.sync_all().map_err(io)?;
    let exported = Exported { file: file.display().to_string(), records: records.len() };
    output.print(&exported, |e| format!("{} records written to {}.", e.records, e.file));
    Ok(())
}

fn new_private(file: &Path) -> std::io::Result<std::fs::File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)
}

/// A CSV cell, which no spreadsheet takes for a formula: statements are strangers' text.
fn quoted(cell: &str) -> String {
    let tame =
        if cell.starts_with(['=', '+', '-', '@']) { format!("'{cell}") } else { cell.to_owned() };
    format!("\"{}\"", tame.replace('"', "\"\""))
}
