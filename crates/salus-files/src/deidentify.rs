//! `salus deidentify`: FHIR resources and clinical texts without what names a person.

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use salus_deid::fhir::{Deidentifier, Identifier, Profile, Removed};
use salus_deid::text::Recogniser;
use salus_deid::transform::{DateShift, Pseudonyms};
use salus_model::{Clock, Entropy};
use serde::Serialize;
use serde_json::Value;

use crate::Answer;
use crate::error::FilesError;
use crate::file::{Encoding, Staged, check_outputs, given, read_text, write_bytes};
use crate::numbers;
use crate::text::{columns, count, notes};

/// What is de-identified.
#[derive(Debug, Clone, Subcommand)]
pub enum Deidentify {
    /// FHIR resources and Bundles: a .json or .ndjson file, or a folder of them.
    #[command(allow_negative_numbers = true)]
    Fhir(FhirArgs),
    /// A clinical text.
    Text(TextArgs),
}

/// FHIR resources by profile.
#[derive(Debug, Clone, Args)]
pub struct FhirArgs {
    /// A .json file with a resource or a Bundle, an .ndjson file, or a folder of such files.
    pub input: PathBuf,
    /// By which rule.
    #[arg(long, value_enum, default_value = "safe-harbor")]
    pub profile: ProfileName,
    /// A file with at least 32 random bytes: the same key gives the same pseudonyms and date
    /// shifts again. Without it a key is drawn and forgotten, and nobody can link anything back.
    #[arg(long)]
    pub key_file: Option<PathBuf>,
    /// The project: the same person has another pseudonym in another.
    #[arg(long, default_value = "salus")]
    pub project: String,
    /// For the expert's profile: how many days a patient's dates may move at most; 365 if not
    /// given.
    #[arg(long, value_parser = numbers::days)]
    pub most_days: Option<NonZeroU32>,
    /// The file, or for a folder a new or empty folder elsewhere, for the result.
    #[arg(long)]
    pub out: PathBuf,
}

/// By which rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ProfileName {
    /// HIPAA's eighteen identifiers removed; of dates the year is left.
    SafeHarbor,
    /// Dates shifted consistently per patient, for an expert's determination.
    Expert,
}

/// A clinical text.
#[derive(Debug, Clone, Args)]
pub struct TextArgs {
    /// The text.
    pub input: PathBuf,
    /// A file with names of the record that the text belongs to, one in each line; they are found
    /// whatever surrounds them.
    #[arg(long)]
    pub known: Option<PathBuf>,
    /// The encoding of files that are not UTF-8.
    #[arg(long, value_enum, default_value = "utf-8")]
    pub encoding: Encoding,
    /// The file for the result.
    #[arg(long)]
    pub out: PathBuf,
}

/// What `salus deidentify` answers.
#[derive(Debug, Clone, Serialize)]
pub struct DeidentifyReport {
    /// Resources, those in Bundles included; or texts.
    pub resources: u64,
    /// Files read.
    pub files: u64,
    /// What was removed or changed, by kind.
    pub removed: Removed,
    /// The file or folder written.
    pub out: PathBuf,
    /// What to note.
    pub notes: Vec<String>,
}

/// De-identifies.
///
/// # Errors
/// When a file cannot be read or written, or holds no FHIR resource.
pub fn run(
    what: &Deidentify,
    clock: &dyn Clock,
    entropy: &mut dyn Entropy,
) -> Result<Answer, FilesError> {
    let (report, noun) = match what {
        Deidentify::Fhir(args) => (fhir(args, clock, entropy)?, "resource"),
        Deidentify::Text(args) => (text(args)?, "text"),
    };
    let said = words(&report, noun);
    Answer::new(&report, said)
}

/// How many days dates may move if nobody says so.
const USUAL_DAYS: NonZeroU32 = NonZeroU32::new(365).unwrap();

fn key(args: &FhirArgs, entropy: &mut dyn Entropy) -> Result<Vec<u8>, FilesError> {
    match &args.key_file {
        Some(path) => std::fs::read(path).map_err(FilesError::file(path, "the key cannot be read")),
        None => {
            let mut key = vec![0; 32];
            entropy.fill(&mut key).map_err(|e| FilesError::Transform(e.into()))?;
            Ok(key)
        }
    }
}

fn fhir(
    args: &FhirArgs,
    clock: &dyn Clock,
    entropy: &mut dyn Entropy,
) -> Result<DeidentifyReport, FilesError> {
    if args.profile == ProfileName::SafeHarbor && args.most_days.is_some() {
        return Err(FilesError::option(
            "--most-days is about shifted dates, and --profile safe-harbor removes dates but for \
             the year: leave it out, or say --profile expert",
        ));
    }
    let key = key(args, entropy)?;
    let weak = |_| FilesError::option("--key-file needs at least 32 random bytes");
    let pseudonyms = Pseudonyms::new(key.clone(), args.project.as_str()).map_err(weak)?;
    let (profile, shift) = match args.profile {
        ProfileName::SafeHarbor => (Profile::SafeHarbor, None),
        ProfileName::Expert => {
            let most = args.most_days.unwrap_or(USUAL_DAYS);
            (Profile::ExpertDetermination, Some(DateShift::new(key, most).map_err(weak)?))
        }
    };
    let today = chrono::DateTime::from_timestamp_micros(clock.now().as_micros())
        .map(|now| now.date_naive())
        .unwrap_or_default();
    let by = Deidentifier::new(profile, pseudonyms, shift, today)?;
    let mut report = DeidentifyReport {
        resources: 0,
        files: 0,
        removed: Removed::default(),
        out: args.out.clone(),
        notes: Vec::new(),
    };
    let mut staged = Staged::default();
    for (from, to) in files(args, &mut staged)? {
        staged.add(&to, one(&by, &from, &mut report)?.as_bytes())?;
    }
    staged.persist()?;
    if args.key_file.is_none() {
        report.notes.push(
            "the key was drawn and forgotten: run again, and ids and shifts are others".to_owned(),
        );
    }
    if profile == Profile::ExpertDetermination {
        report.notes.push(
            "shifted dates are not Safe Harbor: an expert has to determine that the risk is very \
             small"
                .to_owned(),
        );
    }
    Ok(report)
}

/// Pairs of a file to read and the file to write; the folder for several is made.
fn files(args: &FhirArgs, staged: &mut Staged) -> Result<Vec<(PathBuf, PathBuf)>, FilesError> {
    if !args.input.is_dir() {
        let key = given("--key-file", args.key_file.as_deref());
        let read = [Some(("the input", args.input.as_path())), key];
        check_outputs(&read, &[Some(("--out", args.out.as_path()))])?;
        return Ok(vec![(args.input.clone(), args.out.clone())]);
    }
    let entries = std::fs::read_dir(&args.input)
        .map_err(FilesError::file(&args.input, "the folder cannot be read"))?;
    let mut found: Vec<PathBuf> = entries
        .filter_map(|e| e.ok().map(|e| e.path()))
        .filter(|p| p.extension().is_some_and(|e| e == "json" || e == "ndjson"))
        .collect();
    found.sort();
    if found.is_empty() {
        return Err(FilesError::option(format!(
            "{}: the folder holds no .json and no .ndjson file",
            args.input.display()
        )));
    }
    empty_elsewhere(args, staged)?;
    // A file's own name may be a patient's.
    let numbered = found.into_iter().enumerate().map(|(i, from)| {
        let extension = from.extension().and_then(|e| e.to_str()).unwrap_or("json").to_owned();
        let to = args.out.join(format!("{:05}.{extension}", i + 1));
        (from, to)
    });
    Ok(numbered.collect())
}

/// Makes the folder for the results. They bear numbers for names: in a folder that holds anything,
/// and most of all in that of the originals, nobody could tell what is clean.
fn empty_elsewhere(args: &FhirArgs, staged: &mut Staged) -> Result<(), FilesError> {
    let refuse = |why: &str| Err(FilesError::option(format!("--out {} {why}", args.out.display())));
    if args.out.exists() && !args.out.is_dir() {
        return refuse("is no folder, and the input is one: name a new folder");
    }
    staged.folder(&args.out)?;
    let read = |folder: &Path| {
        folder.canonicalize().map_err(FilesError::file(folder, "the folder cannot be read"))
    };
    if read(&args.out)?.starts_with(read(&args.input)?) {
        return refuse("lies in the folder that is read: name a new folder elsewhere");
    }
    let mut entries = std::fs::read_dir(&args.out)
        .map_err(FilesError::file(&args.out, "the folder cannot be read"))?;
    match entries.next() {
        Some(_) => refuse("is not empty: name a new folder"),
        None => Ok(()),
    }
}

/// A file's resources without what names a person.
fn one(
    by: &Deidentifier,
    from: &Path,
    report: &mut DeidentifyReport,
) -> Result<String, FilesError> {
    let text = read_text(from, Encoding::Utf8)?;
    let lines = from.extension().is_some_and(|e| e == "ndjson");
    let mut clean = String::with_capacity(text.len() / 2);
    let mut each = |text: &str, line: usize| -> Result<(), FilesError> {
        let wrong =
            |what: String| FilesError::option(format!("{}, line {line}: {what}", from.display()));
        let resource: Value =
            serde_json::from_str(text).map_err(|e| wrong(format!("this is no JSON: {e}")))?;
        let (resource, removed) = by.resource(&resource).map_err(|e| wrong(e.to_string()))?;
        report.resources += match resource.get("entry").and_then(Value::as_array) {
            Some(entries) => entries.len() as u64,
            None => 1,
        };
        report.removed.add(&removed);
        clean.push_str(&resource.to_string());
        clean.push('\n');
        Ok(())
    };
    if lines {
        for (i, line) in text.lines().enumerate().filter(|(_, l)| !l.trim().is_empty()) {
            each(line, i + 1)?;
        }
    } else {
        each(&text, 1)?;
    }
    report.files += 1;
    Ok(clean)
}

fn text(args: &TextArgs) -> Result<DeidentifyReport, FilesError> {
    let known = given("--known", args.known.as_deref());
    check_outputs(
        &[Some(("the text", args.input.as_path())), known],
        &[Some(("--out", args.out.as_path()))],
    )?;
    let input = read_text(&args.input, args.encoding)?;
    let known = args.known.as_ref().map(|path| read_text(path, args.encoding)).transpose()?;
    let names = known.iter().flat_map(|text| text.lines()).map(|line| (line, Identifier::Name));
    let by = Recogniser::knowing(names);
    let mut removed = Removed::default();
    for span in by.spans(&input) {
        *removed.by_kind.entry(span.kind).or_insert(0) += 1;
    }
    write_bytes(&args.out, by.redact(&input).as_bytes())?;
    let mut notes =
        vec!["rules find what they know; a text that leaves still needs a reader".to_owned()];
    if args.known.is_none() {
        notes.push(
            "names without a title or a cue are found only where --known lists them".to_owned(),
        );
    }
    Ok(DeidentifyReport { resources: 1, files: 1, removed, out: args.out.clone(), notes })
}

/// A number of things.
fn several(number: u64, noun: &str) -> String {
    format!("{} {noun}{}", count(number), if number == 1 { "" } else { "s" })
}

fn words(report: &DeidentifyReport, noun: &str) -> String {
    let rows: Vec<Vec<String>> = report
        .removed
        .by_kind
        .iter()
        .map(|(kind, number)| {
            let name = serde_json::to_value(kind).ok();
            let name = name.as_ref().and_then(Value::as_str).unwrap_or_default().replace('-', " ");
            vec![name, count(*number)]
        })
        .collect();
    format!(
        "De-identified {} of {} into {}\n\nRemoved or changed\n{}{}",
        several(report.resources, noun),
        several(report.files, "file"),
        report.out.display(),
        columns(&["kind", "times"], &rows),
        notes(&report.notes)
    )
}
