//! A large NDJSON of FHIR resources into the lake, by the command, watched from outside.

use std::fs::{self, File};
use std::io::{BufWriter, Read as _, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use flate2::read::GzDecoder;
use serde_json::Value;

use super::site::{Site, peak_mib, resident_mib};
use crate::report::Report;

const PATIENTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../testdata/fhir_synthea_r4");
const UUID_CHARS: usize = 36;

/// A resource's text, and where in it ids stand.
struct Template {
    text: String,
    ids: Vec<usize>,
}

impl Template {
    fn of(resource: &Value) -> Self {
        let text = resource.to_string();
        let is_id = |at: &usize| {
            text.as_bytes().get(*at..*at + UUID_CHARS).is_some_and(|found| {
                found.iter().enumerate().all(|(i, byte)| match i {
                    8 | 13 | 18 | 23 => *byte == b'-',
                    _ => byte.is_ascii_hexdigit(),
                })
            })
        };
        let ids = (0..text.len()).filter(is_id).collect();
        Self { text, ids }
    }

    /// The resource of another set of patients: every id begins with the round's number.
    fn write(&self, round: u32, to: &mut impl std::io::Write) -> std::io::Result<()> {
        let mut from = 0;
        for &at in &self.ids {
            to.write_all(&self.text.as_bytes()[from..at])?;
            write!(to, "{round:08x}")?;
            // The digits that the round takes go where they keep ids apart.
            from = at + 8;
        }
        to.write_all(&self.text.as_bytes()[from..])?;
        to.write_all(b"\n")
    }
}

/// The synthetic patients' transactions, in the order of their files' names.
pub(super) fn bundles() -> Result<Vec<String>> {
    let entries = fs::read_dir(PATIENTS)?.map(|entry| Ok(entry?.path()));
    let mut paths: Vec<_> = entries.collect::<std::io::Result<_>>()?;
    paths.retain(|path| path.extension().is_some_and(|e| e == "gz"));
    paths.sort();
    let mut found = Vec::new();
    for path in paths {
        let mut text = String::new();
        GzDecoder::new(File::open(&path)?).read_to_string(&mut text)?;
        found.push(text);
    }
    Ok(found)
}

fn templates() -> Result<Vec<Template>> {
    let mut found = Vec::new();
    for text in bundles()? {
        // Within one bundle, references by urn:uuid name the type only in their targets.
        let bundle: Value = serde_json::from_str(&text)?;
        let entries = bundle["entry"].as_array().context("a bundle without entries")?;
        found.extend(entries.iter().map(|e| Template::of(&e["resource"])));
    }
    Ok(found)
}

/// NDJSON of so many megabytes: its bytes and its resources.
pub(super) fn write(path: &Path, megabytes: u64) -> Result<(u64, u64)> {
    let templates = templates()?;
    let mut to = BufWriter::with_capacity(1 << 20, File::create(path)?);
    let (mut bytes, mut resources) = (0, 0);
    for round in 0.. {
        for template in &templates {
            template.write(round, &mut to)?;
            bytes += template.text.len() as u64 + 1;
            resources += 1;
            if bytes >= megabytes * 1_000_000 {
                to.flush()?;
                return Ok((bytes, resources));
            }
        }
    }
    Ok((bytes, resources))
}

fn folder_bytes(folder: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        bytes += if entry.file_type()?.is_dir() {
            folder_bytes(&entry.path())?
        } else {
            entry.metadata()?.len()
        };
    }
    Ok(bytes)
}

/// Measures.
pub(crate) fn measure(folder: &Path, megabytes: u64, out: &mut Report) -> Result<()> {
    let source = folder.join("resources.ndjson");
    let (bytes, resources) = write(&source, megabytes)?;
    let site = Site::init(folder.join("import"))?;
    let began = Instant::now();
    let mut import = site.command(&["import", "--fhir"])?.arg(&source).spawn()?;
    let mut peak = 0;
    let status = loop {
        peak = peak.max(peak_mib(import.id()).unwrap_or(0));
        if let Some(status) = import.try_wait()? {
            break status;
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    let seconds = began.elapsed().as_secs_f64();
    anyhow::ensure!(status.success(), "the import failed");
    let stored = folder_bytes(&site.folder().join("lake"))?;
    #[allow(clippy::cast_precision_loss, reason = "shown to three digits")]
    let rate = bytes as f64 / 1e6 / seconds;
    out.say("### FHIR NDJSON into encrypted Parquet: resources and their tables");
    out.table(
        &["measure", "value"],
        &[
            vec!["resources".to_owned(), resources.to_string()],
            vec!["NDJSON MB".to_owned(), (bytes / 1_000_000).to_string()],
            vec!["seconds".to_owned(), format!("{seconds:.1}")],
            vec!["MB a second".to_owned(), format!("{rate:.1}")],
            vec!["seconds for 1 GB".to_owned(), format!("{:.1}", 1000.0 / rate)],
            vec!["peak memory MiB (goal: under 1024)".to_owned(), peak.to_string()],
            vec!["lake MB".to_owned(), (stored / 1_000_000).to_string()],
        ],
    );
    fs::remove_file(&source)?;
    Ok(())
}

/// Measures what a node holds in memory for each resource in its files.
pub(crate) fn index_memory(folder: &Path, megabytes: u64, out: &mut Report) -> Result<()> {
    let source = folder.join("indexed.ndjson");
    let (_, resources) = write(&source, megabytes)?;
    let site = Site::init(folder.join("indexed"))?;
    let resident = || -> Result<u64> {
        let node = site.start()?;
        resident_mib(node.id()).context("the node's memory cannot be read")
    };
    let empty = resident()?;
    let done = site.command(&["import", "--fhir"])?.arg(&source).status()?;
    anyhow::ensure!(done.success(), "the import failed");
    let full = resident()?;
    let each = (full.saturating_sub(empty) << 20) / resources;
    out.say(&format!(
        "Memory of a node's FHIR index: {each} bytes a resource ({resources} resources; {empty} MiB \
         when empty, {full} MiB once they are read)."
    ));
    fs::remove_file(&source)?;
    Ok(())
}
