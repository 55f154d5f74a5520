use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use indicatif::{ProgressBar, ProgressStyle};
use salus_ingest::fhir::{FhirFormat, FhirImporter, FhirReport};
use salus_ingest::tabular::{
    Format, ImportReport, Importer, LineFormat, SchemaFile, Source, infer, infer_parquet,
};
use salus_model::DatasetId;
use salus_store::EncryptionSettings;

use super::parquet_source::ParquetArgs;
use crate::output::{Failure, Output, table};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Files: .csv, .tsv, .ndjson, .jsonl or .parquet, or FHIR with --fhir; .gz is unpacked. A
    /// folder stands for the files in it. With --fhir also the address of a FHIR server.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// The files are FHIR R4: Bundles or resources as .json, or .ndjson as Bulk Data exports them.
    #[arg(long, conflicts_with_all = ["dataset", "schema", "propose", "delimiter"])]
    fhir: bool,
    /// The dataset to import into.
    #[arg(long)]
    dataset: Option<String>,
    /// The schema file: columns, types, and the key class of each.
    #[arg(long)]
    schema: Option<PathBuf>,
    /// Print a proposed schema for the first file and import nothing.
    #[arg(long, conflicts_with = "schema")]
    propose: bool,
    /// The character between two CSV fields.
    #[arg(long)]
    delimiter: Option<char>,
    #[command(flatten)]
    pull: super::pull::Args,
    #[command(flatten)]
    parquet: ParquetArgs,
}

fn open(path: &Path) -> Result<Box<dyn Read + Send>, Failure> {
    let file = File::open(path)
        .map_err(|e| Failure::request(format!("{} cannot be opened: {e}", path.display())))?;
    let file = BufReader::with_capacity(1024 * 1024, file);
    Ok(match path.extension().is_some_and(|e| e == "gz") {
        true => Box::new(flate2::read::MultiGzDecoder::new(file)),
        false => Box::new(file),
    })
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn format(args: &Args, path: &Path) -> Result<Format, Failure> {
    let found = name(path).parse::<Format>().map_err(|e| Failure::request(e.to_string()))?;
    match (found, args.delimiter) {
        (Format::Lines(LineFormat::Csv { .. }), Some(delimiter)) => {
            let delimiter = u8::try_from(delimiter)
                .map_err(|_| Failure::request("the delimiter is one ASCII character"))?;
            Ok(Format::Lines(LineFormat::Csv { delimiter }))
        }
        (Format::Parquet, _) if path.extension().is_some_and(|e| e == "gz") => {
            Err(Failure::request(format!(
                "{} is compressed as a whole, and Parquet is read from its end; unpack it first",
                path.display()
            )))
        }
        (found, _) => Ok(found),
    }
}

/// Files as named, and those directly in folders named.
fn files(named: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let mut found = Vec::new();
    for path in named {
        if path.is_dir() {
            let entries = std::fs::read_dir(path)
                .map_err(|e| Failure::request(format!("{}: {e}", path.display())))?;
            let mut below: Vec<PathBuf> =
                entries.filter_map(|e| e.ok().map(|e| e.path())).filter(|p| p.is_file()).collect();
            below.sort();
            found.extend(below);
        } else {
            found.push(path.clone());
        }
    }
    if found.is_empty() {
        return Err(Failure::request("there is no file to import"));
    }
    Ok(found)
}

async fn schema(args: &Args, path: &Path, folder: &Path) -> Result<SchemaFile, Failure> {
    if let Some(file) = &args.schema {
        let text = std::fs::read_to_string(file)
            .map_err(|e| Failure::request(format!("{}: {e}", file.display())))?;
        let mut schema = SchemaFile::parse(&text)?;
        if let Some(dataset) = &args.dataset {
            schema.dataset = crate::site::dataset(dataset)?;
        }
        return Ok(schema);
    }
    let dataset = match &args.dataset {
        Some(dataset) => crate::site::dataset(dataset)?,
        None => {
            let stem = name(path);
            let stem = stem.split('.').next().unwrap_or_default().to_lowercase();
            DatasetId::new(stem).map_err(|_| Failure::request("name the dataset with --dataset"))?
        }
    };
    Ok(match format(args, path)? {
        Format::Lines(format) => infer(dataset, open(path)?, format)?,
        Format::Parquet => {
            let own = async || Ok(crate::site::open(folder).await?.keys);
            infer_parquet(dataset, args.parquet.open(path, own).await?.schema())?
        }
    })
}

/// A source to import, with the site's own key store for encrypted ones where no other is named.
async fn source(args: &Args, path: &Path, site: &salus_node::Site) -> Result<Source, Failure> {
    Ok(match format(args, path)? {
        Format::Lines(format) => Source::Lines(open(path)?, format),
        Format::Parquet => {
            let own = async || Ok(Arc::clone(&site.keys));
            Source::Parquet(Box::new(args.parquet.open(path, own).await?))
        }
    })
}

pub(crate) async fn run(args: Args, folder: &Path, output: &Output) -> Result<(), Failure> {
    if let Some(url) = super::pull::address(&args.files) {
        if !args.fhir {
            return Err(Failure::request("an address is a FHIR server's: give --fhir with it"));
        }
        return super::pull::run(&args.pull, url, folder, output).await;
    }
    if args.pull.is_given() {
        return Err(Failure::request("that option is for --fhir with the address of a server"));
    }
    let files = files(&args.files)?;
    if args.fhir {
        let site = crate::site::open(folder).await?;
        let report = fhir(&site, &files, output).await?;
        output.print(&report, shown_fhir);
        return Ok(());
    }
    let first = files.first().ok_or_else(|| Failure::request("there is no file to import"))?;
    let schema = schema(&args, first, folder).await?;
    let text = schema.to_toml().map_err(|e| Failure::request(e.to_string()))?;
    if args.propose {
        output.print(&text, Clone::clone);
        return Ok(());
    }
    if args.schema.is_none() {
        let dataset = &schema.dataset;
        return Err(Failure::request(format!(
            "which key protects which column has to be confirmed by a person. Look through this \
             proposal, save it as {dataset}.toml and run again with --schema {dataset}.toml:\n\n\
             {text}"
        )));
    }
    let site = crate::site::open(folder).await?;
    let mut reports = Vec::new();
    for path in &files {
        let importer =
            Importer::new(Arc::clone(&site.lake), schema.clone(), EncryptionSettings::STRICT);
        let bar = progress(output, &name(path));
        let report = importer
            .run(&name(path), source(&args, path, &site).await?, |so_far| {
                bar.set_position(so_far.accepted + so_far.quarantined);
            })
            .await?;
        bar.finish_and_clear();
        reports.push(report);
    }
    output.print(&reports, |reports| reports.iter().map(shown).collect::<Vec<_>>().join("\n"));
    Ok(())
}

/// A bar with rate, seen at a terminal only.
fn progress(output: &Output, what: &str) -> ProgressBar {
    if !output.shows_progress() {
        return ProgressBar::hidden();
    }
    let style =
        ProgressStyle::with_template("{spinner} {msg}: {human_pos} records, {per_sec}, {elapsed}");
    let bar = ProgressBar::new_spinner().with_message(what.to_owned());
    bar.enable_steady_tick(std::time::Duration::from_millis(200));
    match style {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// Imports FHIR files into a site.
pub(crate) async fn fhir(
    site: &salus_node::Site,
    files: &[PathBuf],
    output: &Output,
) -> Result<FhirReport, Failure> {
    let mut sources = Vec::new();
    for path in files {
        let name = name(path);
        let plain = name.strip_suffix(".gz").unwrap_or(&name).to_owned();
        let format = match plain.rsplit('.').next() {
            Some("json") => FhirFormat::Document,
            Some("ndjson" | "jsonl") => FhirFormat::Ndjson,
            _ => continue,
        };
        sources.push((name, format, open(path)?));
    }
    if sources.is_empty() {
        return Err(Failure::request("none of the files ends in .json, .ndjson or .jsonl"));
    }
    let clock = Arc::clone(&site.clock);
    let importer = FhirImporter::new(Arc::clone(&site.lake), clock, EncryptionSettings::STRICT);
    let bar = progress(output, "resources");
    let report = importer
        .run(sources, |so_far| bar.set_position(so_far.accepted + so_far.quarantined))
        .await?;
    bar.finish_and_clear();
    Ok(report)
}

fn shown(report: &ImportReport) -> String {
    let mut lines = vec![format!(
        "{}: {} rows accepted as version {}, {} records quarantined",
        report.dataset, report.accepted, report.version, report.quarantined
    )];
    lines.extend(reasons(&report.reasons));
    if let Some(quarantine) = &report.quarantine {
        lines.push(format!(
            "  they are in {quarantine}: SELECT line, field, reason FROM {quarantine} WHERE \
             import = '{}'",
            report.import
        ));
    }
    lines.join("\n")
}

pub(super) fn reasons(reasons: &[salus_ingest::tabular::Reason]) -> Vec<String> {
    let line = |r: &salus_ingest::tabular::Reason| match r.field.as_str() {
        "" => format!("  {} × {}", r.records, r.reason),
        field => format!("  {} × {field}: {}", r.records, r.reason),
    };
    reasons.iter().map(line).collect()
}

fn shown_fhir(report: &FhirReport) -> String {
    let row = |t: &salus_ingest::fhir::TableRows| vec![t.dataset.to_string(), t.rows.to_string()];
    let mut lines = vec![
        format!("{} resources accepted, {} quarantined", report.accepted, report.quarantined),
        table(&["dataset", "rows"], &report.tables.iter().map(row).collect::<Vec<_>>()),
    ];
    lines.extend(reasons(&report.reasons));
    if let Some(quarantine) = &report.quarantine {
        lines.push(format!("  they are in {quarantine}"));
    }
    lines.join("\n")
}
