//! Attacks on a model that wants out, where the people behind it are known.

use std::collections::HashSet;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use salus_deid::Table;
use salus_deid::attack::{Linking, Scene, by_loss};
use salus_model::Entropy;

use super::{CheckVerdict, MEMBERSHIP, OutputCheck};
use crate::error::FilesError;
use crate::evidence::{self, AttackLine, AttackResult, Evidence, Trial};
use crate::file::{Format, Source};
use crate::generator::{self, Stored};
use crate::synthesise::table_of;
use crate::text::{count, counted};

/// The check of the records that a model is said to be fitted to.
const TRAINING: &str = "training data";

/// Models that are fitted like the attacked one, to learn what membership looks like.
const SHADOWS: usize = 8;

/// Whom a model was fitted to and whom it was not, as its submitter names them.
#[derive(Debug, Clone)]
pub struct TrainingPeople {
    /// The records that it was fitted to: a file's name and its bytes.
    pub trained_on: (PathBuf, Vec<u8>),
    /// Records of people of the same population who were not among them.
    pub control: (PathBuf, Vec<u8>),
    /// The column of both with the model's loss on each record; for models of other programs.
    pub loss: Option<String>,
}

/// What attacks on a model came to.
#[derive(Debug, Clone)]
pub struct Attacked {
    /// The check of who was in the training data, and of the people that it rests on.
    pub checks: Vec<OutputCheck>,
    /// A line per attack.
    pub attacks: Vec<AttackLine>,
    /// 100 · (1 − the largest upper bound of risk); none when no attack could run, and for losses,
    /// which nobody here computed.
    pub score: Option<f64>,
}

/// Attacks a model: who was in its training data?
///
/// A model of `salus synthesise` is asked for likelihoods, compared with models fitted to random
/// halves of everybody, and sampled from: the sample is attacked like a table that is released. Of
/// another model the losses are compared that its submitter had it compute.
///
/// # Errors
/// When a file is no table, lacks a column or holds no number where a loss should be; when a model
/// is none of ours and no losses are given; when an attack does better on people outside of the
/// training data than on those within, which then are no such people.
pub fn attack_model(
    model: (&Path, &[u8]),
    people: &TrainingPeople,
    entropy: &mut dyn Entropy,
) -> Result<Attacked, FilesError> {
    let format = Format::default();
    let read = |(path, bytes): &(PathBuf, Vec<u8>)| Source::of_bytes(path, bytes, &format);
    if people.trained_on.1 == people.control.1 {
        return Err(FilesError::option(format!(
            "--control {}: it is the same file as --trained-on; give people whom the model was not \
             fitted to",
            people.control.0.display()
        )));
    }
    let sources = (read(&people.trained_on)?, read(&people.control)?);
    let evidence = match &people.loss {
        Some(loss) => Evidence::of(by_loss(
            &losses(&sources.0, "--trained-on", loss)?,
            &losses(&sources.1, "--control", loss)?,
            NonZeroU32::MIN,
            entropy,
        )?),
        None => of_ours(model, &sources, entropy)?,
    };
    if let Some(words) = &evidence.backwards {
        return Err(FilesError::option(format!(
            "--control {}: {words}. These are no people outside of the training data: exchange \
             --trained-on and --control, or give others",
            people.control.0.display()
        )));
    }
    let stated = people.loss.is_some();
    Ok(Attacked {
        checks: vec![membership(&evidence, stated), apart(&sources)?],
        score: evidence.score.filter(|_| !stated),
        attacks: evidence.attacks,
    })
}

/// The records that a model is said to be fitted to, as they are in the dataset.
///
/// `columns` are those that the permit shows, and `rows` their values, column by column.
///
/// # Errors
/// When the file is no table.
pub fn training_in_dataset(
    people: &TrainingPeople,
    columns: &[String],
    rows: &[Vec<Option<String>>],
) -> Result<OutputCheck, FilesError> {
    let (path, bytes) = &people.trained_on;
    let named = Source::of_bytes(path, bytes, &Format::default())?;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for (name, values) in columns.iter().zip(rows) {
        if let Ok(column) = named.table.column(name) {
            theirs.push(column);
            ours.push(values);
        }
    }
    let Some(first) = ours.first() else {
        let words = format!(
            "whether the {} records that it is said to be fitted to are of the dataset: their file \
             has none of the columns that the permit shows",
            count(named.table.rows() as u64)
        );
        return Ok(OutputCheck::new(TRAINING, CheckVerdict::NotChecked, words));
    };
    let record = |row: usize| -> Vec<&str> {
        let values = ours.iter().map(|values| values.get(row).and_then(Option::as_deref));
        values.map(Option::unwrap_or_default).collect()
    };
    let known: HashSet<Vec<&str>> = (0..first.len()).map(record).collect();
    let is_known = |row: &usize| {
        let record = theirs.iter().map(|column| column.value(*row).unwrap_or_default());
        known.contains(&record.collect::<Vec<_>>())
    };
    let (found, all) = ((0..named.table.rows()).filter(is_known).count(), named.table.rows());
    let verdict = if found * 20 >= all * 19 { CheckVerdict::Passes } else { CheckVerdict::Look };
    let words = format!(
        "{} of the {} records that it is said to be fitted to are in the dataset, by {} of its \
         columns; which records it saw, its submitter says",
        count(found as u64),
        count(all as u64),
        ours.len()
    );
    Ok(OutputCheck::new(TRAINING, verdict, words))
}

/// Whether the control people are others than those in the training data.
fn apart((members, others): &(Source, Source)) -> Result<OutputCheck, FilesError> {
    let names = others.table.columns().iter().map(|c| c.name());
    let shared: Vec<&str> = names.filter(|name| members.table.column(name).is_ok()).collect();
    let record = |table: &Table, row: usize| -> Result<Vec<String>, FilesError> {
        let value = |name: &&str| Ok(table.column(name)?.value(row).unwrap_or_default().to_owned());
        shared.iter().map(value).collect()
    };
    let mut known = HashSet::new();
    for row in 0..members.table.rows() {
        known.insert(record(&members.table, row)?);
    }
    let mut alike = 0;
    for row in 0..others.table.rows() {
        alike += usize::from(known.contains(&record(&others.table, row)?));
    }
    let all = others.table.rows();
    let verdict = if alike * 10 <= all { CheckVerdict::Passes } else { CheckVerdict::Look };
    let words = format!(
        "{} of {} control records are like a record of the training data in all {} columns that \
         both have; where they are the same people, attacks find too little",
        count(alike as u64),
        count(all as u64),
        shared.len()
    );
    Ok(OutputCheck::new("control group", verdict, words))
}

fn of_ours(
    (path, bytes): (&Path, &[u8]),
    (real, control): &(Source, Source),
    entropy: &mut dyn Entropy,
) -> Result<Evidence, FilesError> {
    let Some(stored) = Stored::of_bytes(bytes) else {
        return Err(FilesError::option(format!(
            "{}: it is no model of one table that `salus synthesise --model` wrote, so nothing here \
             can ask it about people: have it compute its loss on every record of --trained-on and \
             --control, put it into a column of both, and name that with --loss",
            path.display()
        )));
    };
    let model = &stored.model;
    let names: Vec<String> = model.attributes().iter().map(|a| a.name().to_string()).collect();
    real.require("--trained-on", &names)?;
    control.require("--control", &names)?;
    let generator = generator::attacked(&stored, &real.table, &control.table, SHADOWS, entropy)?;
    let released = sampled(&stored, real.table.rows(), entropy)?;
    let scene = Scene {
        generator: Some(&generator),
        drawn: true,
        ..Scene::new(&real.table, &control.table, &released)
    };
    evidence::attack(&scene, &[], Linking::by_lot(), Trial::ONCE, entropy)
}

/// As many records as the model was fitted to, as whoever gets it can draw them.
fn sampled(stored: &Stored, rows: usize, entropy: &mut dyn Entropy) -> Result<Table, FilesError> {
    let seed = crate::synthesise::seed(None, entropy)?;
    let sample = stored.model.sample(rows, seed, &stored.without_gaps()?, &[])?;
    table_of(sample.records(), &stored.files.looks(&stored.model))
}

fn losses(source: &Source, option: &'static str, name: &str) -> Result<Vec<f64>, FilesError> {
    source.require(option, &[name.to_owned()])?;
    let column = source.table.column(name)?;
    (0..source.table.rows())
        .map(|row| {
            let number = column.value(row).and_then(|text| text.trim().parse::<f64>().ok());
            number.filter(|loss| loss.is_finite()).ok_or_else(|| {
                FilesError::option(format!(
                    "{option} {}: record {} holds no finite number in column '{name}'",
                    source.path.display(),
                    row + 1
                ))
            })
        })
        .collect()
}

fn membership(evidence: &Evidence, stated: bool) -> OutputCheck {
    let ran = evidence.attacks.iter().filter_map(|line| match &line.result {
        AttackResult::Ran { leak, .. } => Some((line.attack, *leak)),
        AttackResult::NotRun { .. } => None,
    });
    let ran: Vec<_> = ran.collect();
    let Some(score) = evidence.score else {
        let words = format!("who was in the training data: {}", evidence.words);
        return OutputCheck::new(MEMBERSHIP, CheckVerdict::NotChecked, words);
    };
    let leaks: Vec<&str> = ran.iter().filter(|(_, leak)| *leak).map(|(a, _)| a.name()).collect();
    let tried = format!("score {score:.1} of 100 by {} attacks", ran.len());
    if evidence.verbatim_decides {
        let words = format!(
            "{}; {tried}",
            counted(
                evidence.published_verbatim,
                "record that stands out comes out of the model as it is",
                "records that stand out come out of the model as they are"
            )
        );
        return OutputCheck::new(MEMBERSHIP, CheckVerdict::Objects, words);
    }
    if leaks.is_empty() && stated {
        let words = format!(
            "no attack tells the people it was fitted to from others beyond chance, by the losses \
             that its submitter states; {tried}. Nobody here computed them"
        );
        return OutputCheck::new(MEMBERSHIP, CheckVerdict::Look, words);
    }
    if leaks.is_empty() {
        let words = format!(
            "no attack tells the people it was fitted to from others beyond chance; {tried}. Who \
             they are, its submitter says"
        );
        return OutputCheck::new(MEMBERSHIP, CheckVerdict::Passes, words);
    }
    let words = format!(
        "people whom it was fitted to are told from others beyond chance, by: {}; {tried}",
        leaks.join(", ")
    );
    OutputCheck::new(MEMBERSHIP, CheckVerdict::Objects, words)
}
