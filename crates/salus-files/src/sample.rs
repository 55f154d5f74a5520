//! `salus sample`: more records from a model that was paid for.
//!
//! # Privacy
//! Drawn from a fitted private model alone: no record is looked at, and nothing is spent.

use std::path::PathBuf;

use clap::Args;
use salus_deid::{CsvFormat, Table};
use salus_model::{Clock, Entropy};
use serde::Serialize;

use crate::Answer;
use crate::error::FilesError;
use crate::file::{Staged, check_outputs, given, table_bytes};
use crate::generator::{self, Stored};
use crate::numbers;
use crate::synthesise::{
    Outs, StoredLinked, StoredSeries, WishArgs, names, rows_option, seed, stage_both, table_of,
};
use crate::text::{bound, count, pairs};

/// Draws records from a model that `salus synthesise --model` wrote; that costs nothing.
#[derive(Debug, Clone, Args)]
pub struct SampleArgs {
    /// The model.
    pub model: PathBuf,
    /// How many records, or people; about as many as the model was fitted to if not given.
    #[arg(long, value_parser = rows_option)]
    pub rows: Option<u32>,
    /// Drives the sampling; drawn anew if not given.
    #[arg(long, value_parser = numbers::seed)]
    pub seed: Option<u64>,
    /// What the records have to satisfy.
    #[command(flatten)]
    pub wishes: WishArgs,
    /// Write FHIR R4 resources of this type, one a line, in place of a table.
    #[arg(long, value_name = "TYPE")]
    pub fhir: Option<String>,
    /// The file for the records of a second table, of a model of two.
    #[arg(long)]
    pub linked_out: Option<PathBuf>,
    /// Write those as FHIR R4 resources of this type.
    #[arg(long, value_name = "TYPE", requires = "linked_out")]
    pub linked_fhir: Option<String>,
    /// The character between fields; that of the file which the model was fitted to if not given.
    #[arg(long, value_parser = crate::file::delimiter)]
    pub delimiter: Option<u8>,
    /// The file for the records.
    #[arg(long)]
    pub out: PathBuf,
}

/// What `salus sample` answers.
#[derive(Debug, Clone, Serialize)]
pub struct SampleReport {
    /// Records, or people, written.
    pub records: u64,
    /// Records of the second table, of a model of two.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub linked_records: Option<u64>,
    /// What sampling has cost.
    pub epsilon_spent: f64,
    /// ε that the model was fitted with.
    pub epsilon: f64,
    /// Its δ.
    pub delta: f64,
    /// The file written.
    pub out: PathBuf,
    /// The file of the second table.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub linked_out: Option<PathBuf>,
}

/// What a model is of, told by its fields.
enum Kind {
    One(Box<Stored>),
    Linked(Box<StoredLinked>),
    Series(Box<StoredSeries>),
}

impl Kind {
    fn read(path: &std::path::Path) -> Result<Self, FilesError> {
        let value: serde_json::Value = generator::parsed(path)?;
        let failed = |source| FilesError::Model { path: path.to_owned(), source };
        if value.get("linked").is_some() {
            return Ok(Self::Linked(Box::new(serde_json::from_value(value).map_err(failed)?)));
        }
        if value.get("series").is_some() {
            return Ok(Self::Series(Box::new(serde_json::from_value(value).map_err(failed)?)));
        }
        Ok(Self::One(Box::new(serde_json::from_value(value).map_err(failed)?)))
    }
}

/// Draws and writes.
///
/// # Errors
/// When the model cannot be read, its domains cannot satisfy what is asked for, or a file cannot be
/// written.
pub fn run(
    args: &SampleArgs,
    clock: &dyn Clock,
    entropy: &mut dyn Entropy,
) -> Result<Answer, FilesError> {
    let linked_out = given("--linked-out", args.linked_out.as_deref());
    check_outputs(
        &[Some(("the model", args.model.as_path()))],
        &[Some(("--out", args.out.as_path())), linked_out],
    )?;
    let seed = seed(args.seed, entropy)?;
    let kind = Kind::read(&args.model)?;
    if args.linked_out.is_some() != matches!(kind, Kind::Linked(_)) {
        return Err(FilesError::option(match kind {
            Kind::Linked(_) => {
                "the model is of two tables: name the second one's file with --linked-out"
            }
            _ => "--linked-out: the model is of one table",
        }));
    }
    let many = |noisy: f64| args.rows.map_or(noisy.round().max(1.0) as usize, |n| n as usize);
    let format =
        |own: Option<u8>| CsvFormat::with_delimiter(args.delimiter.or(own).unwrap_or(b','));
    let mut linked_records = None;
    let mut staged = Staged::default();
    let (records, (epsilon, delta)) = match &kind {
        Kind::One(stored) => {
            let table = one(args, stored, many(stored.model.rows()), seed)?;
            let bytes = match &args.fhir {
                Some(resource) => crate::fhir::of_drawn(resource, &table, clock.now())?,
                None => table_bytes(&args.out, &table, format(stored.files.delimiter))?,
            };
            staged.add(&args.out, &bytes)?;
            (table.rows() as u64, stored.spent())
        }
        Kind::Linked(stored) => {
            let rows = args.linked_out.as_ref().unwrap_or(&args.out);
            let wishes = stored.wishes(&args.wishes)?;
            let fhir = [args.fhir.as_deref(), args.linked_fhir.as_deref()];
            let names = names(fhir[0], fhir[1], stored.key());
            let both = stored.sample(many(stored.people()), seed, &wishes, &names)?;
            let formats = stored.delimiters().map(&format);
            let outs = Outs { files: [&args.out, rows], formats, fhir, now: clock.now() };
            stage_both(&both, &outs, &mut staged)?;
            linked_records = Some(both.rows.rows() as u64);
            (both.people.rows() as u64, stored.people.spent())
        }
        Kind::Series(stored) => {
            if args.wishes.count() > 0 || args.fhir.is_some() {
                return Err(FilesError::option(
                    "--only, --not-above, --never and --fhir are for models of tables; this one is \
                     of series",
                ));
            }
            let made = stored.sample(many(stored.people()), seed);
            let table = stored.table(&made)?;
            let bytes = table_bytes(&args.out, &table, format(stored.files.delimiter))?;
            staged.add(&args.out, &bytes)?;
            (made.len() as u64, stored.files.spent())
        }
    };
    staged.persist()?;
    let report = SampleReport {
        records,
        linked_records,
        epsilon_spent: 0.0,
        epsilon,
        delta,
        out: args.out.clone(),
        linked_out: args.linked_out.clone(),
    };
    let text = text(&report);
    Answer::new(&report, text)
}

fn one(args: &SampleArgs, stored: &Stored, many: usize, seed: u64) -> Result<Table, FilesError> {
    let model = &stored.model;
    let looks = stored.files.looks(model);
    let known = |name: &str| model.attributes().iter().find(|a| a.name().as_str() == name);
    let look = |name: &str| stored.files.look(name, known(name));
    let wishes = args.wishes.wishes(model.attributes(), look)?;
    if let Some(resource) = &args.fhir {
        let names: Vec<&str> = looks.iter().map(|(name, _)| name.as_str()).collect();
        salus_fhir::rows::RowWriter::new(resource, &names)?;
    }
    let conditions = [stored.without_gaps()?, wishes.conditions].concat();
    let sample = model.sample(many, seed, &conditions, &wishes.constraints)?;
    table_of(sample.records(), &looks)
}

fn text(report: &SampleReport) -> String {
    let mut rows = vec![("records", count(report.records))];
    rows.extend(report.linked_records.map(|n| ("of the second table", count(n))));
    rows.extend([
        ("privacy spent", "nothing: sampling a private model costs nothing more".to_owned()),
        ("the model's", bound(report.epsilon, report.delta)),
        (
            "written to",
            match &report.linked_out {
                Some(rows) => format!("{} and {}", report.out.display(), rows.display()),
                None => report.out.display().to_string(),
            },
        ),
    ]);
    format!("Synthetic records\n{}", pairs(&rows))
}
