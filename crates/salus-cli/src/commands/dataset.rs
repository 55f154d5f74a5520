use std::num::NonZeroUsize;
use std::path::Path;

use salus_ledger::call::{DeltaExponent, ReleaseRule};
use salus_model::{DatasetId, DatasetVersion, Timestamp};
use salus_node::operations::{Call, Reply};
use salus_node::sharing::AccountTerms;
use salus_spine::Upkeep;
use salus_store::{CompactSettings, Compacted, leaves};
use serde::Serialize;

use crate::output::{Failure, Output, table};

#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Every dataset with its newest version.
    List,
    /// A dataset's columns, keys, versions and files.
    Show {
        /// The dataset.
        dataset: DatasetId,
    },
    /// Check every version's signature and chain, every file's digest, and that all decrypts.
    Verify {
        /// The datasets; all when none is named.
        datasets: Vec<DatasetId>,
    },
    /// Merge small files, and leave out rows that later ones replace.
    Compact {
        /// The dataset.
        dataset: DatasetId,
        /// Afterwards remove all but so many newest versions.
        #[arg(long)]
        keep: Option<NonZeroUsize>,
    },
    /// Put a dataset on the ledger, so that permits can name it; later commit to its newest version.
    Share {
        /// The dataset.
        dataset: DatasetId,
        /// All that may ever be spent on it, as ε; stated once, and it never changes.
        #[arg(long, value_parser = super::grounds::epsilon)]
        epsilon: Option<salus_dp::Epsilon>,
        /// δ is 10 to the minus this; far below one in the number of people.
        #[arg(long, default_value_t = 6, requires = "epsilon", value_parser = clap::value_parser!(u8).range(3..=15))]
        delta_exponent: u8,
        /// Let releases without a stated bound through where the release gate approves them.
        #[arg(long, requires = "epsilon")]
        allow_gate: bool,
    },
    /// Destroy a dataset and its quarantine: their keys for ever, then their files.
    Shred {
        /// The dataset.
        dataset: DatasetId,
        /// The dataset's name again, so that nobody is asked.
        #[arg(long)]
        yes_destroy: Option<DatasetId>,
    },
}

#[derive(Serialize)]
struct Listed {
    dataset: DatasetId,
    version: Option<DatasetVersion>,
    rows: Option<u64>,
    bytes: Option<u64>,
    files: Option<usize>,
    /// Why it does not open, when it does not.
    locked: Option<String>,
}

#[derive(Serialize)]
struct Shown {
    dataset: DatasetId,
    version: DatasetVersion,
    created: Timestamp,
    rows: u64,
    bytes: u64,
    files: usize,
    root: String,
    subject: Option<String>,
    columns: Vec<ColumnShown>,
    versions: Vec<u64>,
}

#[derive(Serialize)]
struct ColumnShown {
    column: String,
    protected_by: String,
}

#[derive(Serialize)]
struct Verified {
    dataset: DatasetId,
    versions: usize,
    files: usize,
    bytes: u64,
    findings: Vec<String>,
}

pub(crate) async fn run(command: Command, folder: &Path, output: &Output) -> Result<(), Failure> {
    let site = crate::site::open(folder).await?;
    match command {
        Command::List => list(&site, output).await,
        Command::Show { dataset } => show(&site, &dataset, output).await,
        Command::Verify { datasets } => verify(&site, datasets, output).await,
        Command::Compact { dataset, keep } => compact(&site, &dataset, keep, output).await,
        Command::Share { dataset, epsilon, delta_exponent, allow_gate } => {
            let releases = if allow_gate { ReleaseRule::GateAllowed } else { ReleaseRule::DpOnly };
            let account = epsilon.map(|e| account(e, delta_exponent, releases)).transpose()?;
            share(&site, dataset, account, output).await
        }
        Command::Shred { dataset, yes_destroy } => shred(&site, dataset, yes_destroy, output).await,
    }
}

/// The account that a dataset gets, in the account's own unit.
pub(crate) fn account(
    epsilon: salus_dp::Epsilon,
    delta_exponent: u8,
    releases: ReleaseRule,
) -> Result<AccountTerms, Failure> {
    let refused = |e: String| Failure::request(e);
    let delta = salus_dp::Delta::new(10f64.powi(-i32::from(delta_exponent)))
        .map_err(|e| refused(e.to_string()))?;
    Ok(AccountTerms {
        budget: salus_dp::rho_from_epsilon(epsilon, delta),
        delta: DeltaExponent::new(delta_exponent).map_err(|e| refused(e.to_string()))?,
        releases,
    })
}

async fn share(
    site: &salus_node::Site,
    dataset: DatasetId,
    account: Option<AccountTerms>,
    output: &Output,
) -> Result<(), Failure> {
    let call = Call::Share { dataset, account };
    let Reply::Shared(shared) = crate::site::ask(site, call).await? else {
        return Err(crate::site::protocol());
    };
    output.print(&shared, |s| {
        let besides = match s.not_bounded {
            0 => String::new(),
            n => format!("\nBooked besides, as not bounded: {n} releases that reviewers approved."),
        };
        format!(
            "{}/{} is on the ledger at version {} ({} new commitments); of ρ {:.6} are spent {:.6}.{besides}",
            s.dataset.holder,
            s.dataset.dataset,
            s.version,
            s.committed,
            s.account.budget.get() as f64 / 1e6,
            s.spent.get() as f64 / 1e6
        )
    });
    Ok(())
}

/// Asks a person to write the dataset's name again.
fn confirmed(dataset: &DatasetId, again: Option<DatasetId>) -> Result<(), Failure> {
    use std::io::IsTerminal as _;
    let again = match again {
        Some(again) => again.to_string(),
        None if std::io::stdin().is_terminal() => {
            eprintln!(
                "This destroys the keys of {dataset} for ever. No backup of the lake will be \
                 readable. Write its name to go on:"
            );
            let mut line = String::new();
            std::io::stdin()
                .read_line(&mut line)
                .map_err(|e| Failure::unavailable(format!("no answer: {e}")))?;
            line.trim().to_owned()
        }
        None => {
            let remedy = format!("to destroy {dataset} for ever, add --yes-destroy {dataset}");
            return Err(Failure::request(remedy));
        }
    };
    if again == dataset.as_str() {
        Ok(())
    } else {
        Err(Failure::request(format!("'{again}' is not '{dataset}'; nothing was destroyed")))
    }
}

async fn shred(
    site: &salus_node::Site,
    dataset: DatasetId,
    again: Option<DatasetId>,
    output: &Output,
) -> Result<(), Failure> {
    confirmed(&dataset, again)?;
    let call = Call::ShredDataset { dataset };
    let Reply::Shredded(shredded) = crate::site::ask(site, call).await? else {
        return Err(crate::site::protocol());
    };
    let seconds = site.config.keys.lifetime().duration().as_secs();
    output.print(&shredded, |s| {
        let names: Vec<&str> = s.datasets.iter().map(DatasetId::as_str).collect();
        format!(
            "Destroyed: {}. {} keys are gone for ever and {} objects removed.\n\
             Backups of the lake cannot be read any more; backups of the key store that are older \
             than this still could, so destroy those too.\n\
             Where another process keeps a key unwrapped, it ends within {seconds} s.",
            names.join(", "),
            s.keys.len(),
            s.objects
        )
    });
    Ok(())
}

async fn list(site: &salus_node::Site, output: &Output) -> Result<(), Failure> {
    let mut found = Vec::new();
    for dataset in site.lake.datasets().await? {
        found.push(match site.lake.snapshot(&dataset, None).await {
            Ok(snapshot) => {
                let manifest = snapshot.manifest();
                Listed {
                    dataset,
                    version: Some(manifest.version),
                    rows: Some(manifest.rows()),
                    bytes: Some(manifest.bytes()),
                    files: Some(manifest.files.len()),
                    locked: None,
                }
            }
            Err(e) => {
                let locked = Some(e.to_string());
                Listed { dataset, version: None, rows: None, bytes: None, files: None, locked }
            }
        });
    }
    output.print(&found, |found| {
        let number = |n: Option<u64>| n.map_or("–".to_owned(), |n| n.to_string());
        let row = |l: &Listed| {
            vec![
                l.dataset.to_string(),
                number(l.version.map(DatasetVersion::number)),
                number(l.rows),
                number(l.files.map(|f| f as u64)),
                l.bytes.map_or_else(|| l.locked.clone().unwrap_or_default(), size),
            ]
        };
        let rows: Vec<_> = found.iter().map(row).collect();
        table(&["dataset", "version", "rows", "files", "size"], &rows)
    });
    Ok(())
}

fn size(bytes: u64) -> String {
    indicatif::BinaryBytes(bytes).to_string()
}

async fn show(
    site: &salus_node::Site,
    dataset: &DatasetId,
    output: &Output,
) -> Result<(), Failure> {
    let snapshot = site.lake.snapshot(dataset, None).await?;
    let manifest = snapshot.manifest();
    let column = |leaf: &salus_model::ColumnPath| ColumnShown {
        column: leaf.to_string(),
        protected_by: manifest.keys.get(leaf).cloned().map(String::from).unwrap_or_default(),
    };
    let versions = site.lake.versions(dataset).await?;
    let shown = Shown {
        dataset: dataset.clone(),
        version: manifest.version,
        created: manifest.created,
        rows: manifest.rows(),
        bytes: manifest.bytes(),
        files: manifest.files.len(),
        root: manifest.root.to_string(),
        subject: manifest.subject.as_ref().map(ToString::to_string),
        columns: leaves(&manifest.schema).iter().map(column).collect(),
        versions: versions.into_iter().map(DatasetVersion::number).collect(),
    };
    output.print(&shown, |s| {
        let columns: Vec<Vec<String>> =
            s.columns.iter().map(|c| vec![c.column.clone(), c.protected_by.clone()]).collect();
        let (size, subject) = (size(s.bytes), s.subject.as_deref().unwrap_or("–"));
        format!(
            "{} version {} of {}\n{} rows in {} files, {size}\nroot {}\nsubject {subject}\n\n{}",
            s.dataset,
            s.version,
            s.created,
            s.rows,
            s.files,
            s.root,
            table(&["column", "protected by"], &columns)
        )
    });
    Ok(())
}

async fn verify(
    site: &salus_node::Site,
    datasets: Vec<DatasetId>,
    output: &Output,
) -> Result<(), Failure> {
    let datasets = if datasets.is_empty() { site.lake.datasets().await? } else { datasets };
    let mut verified = Vec::new();
    for dataset in datasets {
        let order = site.order_upkeep(&dataset, Upkeep::Verify)?;
        let report = site.lake.verify(&order, &dataset).await?;
        let finding = |f: &salus_store::Finding| {
            let place = f.file.as_deref().map_or(String::new(), |file| format!(", file {file}"));
            format!("version {}{place}: {}", f.version, f.problem)
        };
        verified.push(Verified {
            dataset,
            versions: report.versions,
            files: report.files,
            bytes: report.bytes,
            findings: report.findings.iter().map(finding).collect(),
        });
    }
    output.print(&verified, |verified| {
        let lines = verified.iter().map(|v| {
            let state = if v.findings.is_empty() { "intact" } else { "DAMAGED" };
            let size = size(v.bytes);
            let head = format!(
                "{}: {state}; {} versions, {} files, {size} checked",
                v.dataset, v.versions, v.files
            );
            std::iter::once(head)
                .chain(v.findings.iter().map(|f| format!("  {f}")))
                .collect::<Vec<_>>()
                .join("\n")
        });
        lines.collect::<Vec<_>>().join("\n")
    });
    let damaged = verified.iter().filter(|v| !v.findings.is_empty()).count();
    if damaged == 0 {
        Ok(())
    } else {
        Err(Failure::corrupt(format!("{damaged} of {} datasets are damaged", verified.len())))
    }
}

/// Merges files below 32 MiB, and rewrites those of which a fifth is replaced.
const COMPACT: CompactSettings =
    CompactSettings { small_bytes: 32 * 1024 * 1024, superseded_percent: 20 };

async fn compact(
    site: &salus_node::Site,
    dataset: &DatasetId,
    keep: Option<NonZeroUsize>,
    output: &Output,
) -> Result<(), Failure> {
    #[derive(Serialize)]
    struct Done {
        version: Option<DatasetVersion>,
        replaced_files: usize,
        dropped_rows: u64,
        removed_versions: usize,
        removed_objects: usize,
    }
    let order = site.order_upkeep(dataset, Upkeep::Compact)?;
    let (version, replaced_files, dropped_rows) =
        match site.lake.compact(&order, dataset, COMPACT).await? {
            Compacted::NothingToDo => (None, 0, 0),
            Compacted::Published { version, replaced, dropped_rows } => {
                (Some(version), replaced, dropped_rows)
            }
            Compacted::Overtaken => {
                let busy = "the dataset was changed meanwhile; try again";
                return Err(Failure::unavailable(busy));
            }
        };
    let removed = match keep {
        Some(keep) => {
            let order = site.order_upkeep(dataset, Upkeep::Expire)?;
            site.lake.expire_versions(&order, dataset, keep).await?
        }
        None => salus_store::Expired::default(),
    };
    let done = Done {
        version,
        replaced_files,
        dropped_rows,
        removed_versions: removed.versions,
        removed_objects: removed.objects,
    };
    output.print(&done, |d| match d.version {
        None => "Nothing was worth rewriting.".to_owned(),
        Some(version) => format!(
            "Version {version}: {} files replaced, {} rows left out that later ones replace.",
            d.replaced_files, d.dropped_rows
        ),
    });
    Ok(())
}
