//! `salus synthesise --series`: vital signs, ECG intervals and the like, a series of each person.

use std::collections::HashMap;
use std::path::PathBuf;

use chrono::{DateTime, NaiveDateTime};
use clap::Args;
use cpu_time::ProcessTime;
use salus_deid::{Column, Table, is_missing};
use salus_dp::{Bounds, Delta, Epsilon, UnitKey, epsilon_from_rho, rho_from_epsilon};
use salus_model::{ColumnPath, Entropy, MicroRho};
use salus_synth::quality::{Similarity, similarity};
use salus_synth::{
    Attribute, Kind, Missing, SequenceModel, Shape, Spelling, TableBuilder, discover_bounds,
    discover_spelling,
};
use serde::{Deserialize, Serialize};

use super::SynthesiseArgs;
use super::column::{Look, day_of, look_of};
use super::make::{seed, units};
use crate::Answer;
use crate::error::FilesError;
use crate::file::{Staged, table_bytes};
use crate::generator::{self, Extras};
use crate::text::{bound, columns, count, notes, pairs};

/// A column of numbers that people have one after the other.
#[derive(Debug, Clone, Default, Args)]
pub struct SeriesArgs {
    /// The column with the values of a series, such as heart rates or RR intervals: one record for
    /// each value, taken at regular times. --rows is the number of people then.
    #[arg(long, requires_all = ["person", "time", "longest"], conflicts_with_all = ["linked",
        "attacks", "least_score", "until_score", "certificate", "target", "rules", "favourable",
        "fhir", "only", "not_above", "never"])]
    pub series: Option<String>,
    /// The column that says when, as a number, a date, or a date with a time; what is written counts
    /// from 0 in equal steps.
    #[arg(long, requires = "series")]
    pub time: Option<String>,
    /// How many values of a person count; later ones are left out. More is noisier.
    #[arg(long, requires = "series", value_parser = clap::value_parser!(u32).range(2..=10_000))]
    pub longest: Option<u32>,
    /// Steps into which values are divided.
    #[arg(long, default_value_t = 32, requires = "series", value_parser = clap::value_parser!(u16).range(2..=256))]
    pub bins: u16,
    /// The time from one synthetic value to the next.
    #[arg(long, default_value_t = 1.0, requires = "series")]
    pub every: f64,
}

/// What `salus synthesise --series` answers.
#[derive(Debug, Clone, Serialize)]
pub struct SeriesReport {
    /// Synthetic people, each with a series.
    pub people: u64,
    /// Synthetic values written.
    pub records: u64,
    /// ε at the stated δ, for a person with the whole series.
    pub epsilon_spent: f64,
    /// The stated δ.
    pub delta: f64,
    /// The same loss in millionths of ρ (zCDP).
    pub micro_rho: u64,
    /// The mean similarity of values alone and of values with the next one, in ten steps: 1 is
    /// alike. Computed without noise, for the holder of the file.
    pub quality: f64,
    /// What real series are like.
    pub real: Signature,
    /// What synthetic ones are like.
    pub synthetic: Signature,
    /// Processor time of finding bounds, fitting and sampling, in milliseconds.
    pub cpu_ms: f64,
    /// The file written.
    pub out: PathBuf,
    /// The file of the model, with `--model`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<PathBuf>,
    /// What to note.
    pub notes: Vec<String>,
}

/// What series are like.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Signature {
    /// The mean value.
    pub mean: f64,
    /// The standard deviation.
    pub deviation: f64,
    /// The mean of how far the next value is.
    pub step: f64,
    /// The correlation of a value with the next.
    pub autocorrelation: f64,
    /// The mean number of values of a person.
    pub length: f64,
}

/// A model of series as it is stored.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StoredSeries {
    series: SequenceModel,
    /// The columns of person, time and value.
    names: [String; 3],
    every: f64,
    pub(crate) files: Extras,
}

pub(super) fn run(
    args: &SynthesiseArgs,
    value: &str,
    entropy: &mut dyn Entropy,
) -> Result<Answer, FilesError> {
    let (Some(person), Some(time), Some(longest)) =
        (&args.person, &args.series.time, args.series.longest)
    else {
        return Err(FilesError::option("--series needs --person, --time and --longest"));
    };
    if !(args.series.every.is_finite() && args.series.every > 0.0) {
        return Err(FilesError::option("--every is a time, more than 0"));
    }
    let source = args.source(&args.file)?;
    let names = [person.clone(), time.clone(), value.to_owned()];
    source.require("--person, --time, --series", &names)?;
    super::check_delta(args, &source)?;
    let Look::Number { .. } = look_of(source.table.column(value)?) else {
        return Err(FilesError::option(format!("--series: column '{value}' holds no numbers")));
    };
    let (epsilon, delta) = (Epsilon::new(args.epsilon)?, Delta::new(args.delta)?);
    let start = ProcessTime::now();
    let Read { series: real, spelt, unusable } =
        series_of(&source.table, &names, longest, entropy)?;
    let rho = rho_from_epsilon(epsilon, delta);
    // Each person says once how numbers are spelt.
    let spelling = MicroRho::new(rho.get() / 20);
    let left = MicroRho::new(rho.get() - spelling.get());
    let spelling = discover_spelling(&spelt, 1, spelling)?;
    let (look, decimals) = (Look::spelt(spelling), spelling.decimals);
    let stated = args.bounds.iter().find(|(name, ..)| name == value);
    let (bounds, found, left) = match stated {
        Some((_, low, high)) => (Bounds::new(*low, *high, decimals)?, false, left),
        None => {
            let part = MicroRho::new(rho.get() / 10);
            let bounds = bounds_of(value, &real, part, decimals)?;
            (bounds, true, MicroRho::new(left.get() - part.get()))
        }
    };
    let shape = Shape::new(bounds, args.series.bins, longest)?;
    let own: Vec<Vec<f64>> = real.iter().map(|(_, own)| own.clone()).collect();
    let model = SequenceModel::fit(shape, &own, left)?;
    let looks = [(value.to_owned(), look)];
    let mut files = Extras::new(rho, delta, delta, &looks);
    files.delimiter = Some(source.format.delimiter);
    let stored = StoredSeries { series: model, names, every: args.series.every, files };
    let people = args.rows.map_or(stored.people().round().max(1.0) as usize, |n| n as usize);
    let made = stored.sample(people, seed(args.seed, entropy)?);
    let cpu_ms = start.elapsed().as_secs_f64() * 1_000.0;
    let table = stored.table(&made)?;
    let mut staged = Staged::default();
    staged.add(&args.out, &table_bytes(&args.out, &table, source.format)?)?;
    if let Some(path) = &args.model {
        staged.add(path, &generator::bytes(path, &stored)?)?;
    }
    let mut noted = source.notes.clone();
    if unusable > 0 {
        noted.push(format!(
            "{unusable} records without a person, a time that can be read, or a number are left out"
        ));
    }
    if found {
        let end = |steps: i64| look.write(&bounds.value(steps.into()).to_string());
        noted.push(format!(
            "bounds found privately, beyond which numbers count as the nearest: {value} {} to {}; \
             give known ones with --bounds",
            end(bounds.low()),
            end(bounds.high())
        ));
    } else {
        noted.push(super::report::PUBLIC.to_owned());
    }
    noted.push(
        "that values are taken at regular times counts as public; their dates are not modelled"
            .to_owned(),
    );
    let report = SeriesReport {
        people: made.len() as u64,
        records: table.rows() as u64,
        epsilon_spent: epsilon_from_rho(rho, delta).get(),
        delta: args.delta,
        micro_rho: rho.get(),
        quality: likeness(bounds, &own, &made)?.quality(),
        real: Signature::of(&own),
        synthetic: Signature::of(&made),
        cpu_ms,
        out: args.out.clone(),
        model: args.model.clone(),
        notes: noted,
    };
    staged.persist()?;
    let text = text(&report);
    Answer::new(&report, text)
}

/// By person, in the order of the file.
type Series = Vec<(UnitKey, Vec<f64>)>;

/// A value with its time and its spelling.
type Taken = (f64, f64, Spelling);

/// What was read of a file of series.
struct Read {
    /// Everybody's values in the order of time, as many as count.
    series: Series,
    /// How each person spells them.
    spelt: Vec<(UnitKey, Spelling)>,
    /// Records without a person, a time or a number.
    unusable: u64,
}

fn series_of(
    table: &Table,
    [person, time, value]: &[String; 3],
    longest: u32,
    entropy: &mut dyn Entropy,
) -> Result<Read, FilesError> {
    let units = units(table, Some(person), entropy)?;
    let [person, time, value] = [table.column(person)?, table.column(time)?, table.column(value)?];
    let times: Vec<Option<f64>> = time.dictionary().iter().map(|t| moment(t)).collect();
    let values: Vec<Option<(f64, Spelling)>> =
        value.dictionary().iter().map(|t| number(t).zip(Spelling::of(t))).collect();
    let code = |column: &Column, row: usize| column.codes().get(row).map(|code| *code as usize);
    let taken = |row: usize| -> Option<Taken> {
        let at = times.get(code(time, row)?).copied().flatten()?;
        let (number, spelling) = values.get(code(value, row)?).copied().flatten()?;
        Some((at, number, spelling))
    };
    let mut places: HashMap<UnitKey, usize> = HashMap::new();
    let mut all: Vec<(UnitKey, Vec<Taken>)> = Vec::new();
    let mut unusable = 0;
    for (row, unit) in units.iter().enumerate() {
        let named = person.value(row).is_some_and(|p| !is_missing(p.trim()));
        let Some(taken) = taken(row).filter(|_| named) else {
            unusable += 1;
            continue;
        };
        let place = *places.entry(*unit).or_insert_with(|| {
            all.push((*unit, Vec::new()));
            all.len() - 1
        });
        if let Some((_, own)) = all.get_mut(place) {
            own.push(taken);
        }
    }
    let mut read = Read { series: Vec::with_capacity(all.len()), spelt: Vec::new(), unusable };
    for (unit, mut own) in all {
        own.sort_by(|a, b| a.0.total_cmp(&b.0));
        own.truncate(longest as usize);
        let spelt: Vec<Spelling> = own.iter().map(|(.., spelling)| *spelling).collect();
        read.spelt.push((unit, Spelling::usual(&spelt)));
        read.series.push((unit, own.into_iter().map(|(_, value, _)| value).collect()));
    }
    Ok(read)
}

fn number(text: &str) -> Option<f64> {
    let text = text.trim();
    if is_missing(text) {
        return None;
    }
    text.replace(',', ".").parse().ok().filter(|x: &f64| x.is_finite())
}

/// A time as a number that grows.
fn moment(text: &str) -> Option<f64> {
    let text = text.trim();
    let with_zone = || Some(DateTime::parse_from_rfc3339(text).ok()?.timestamp_micros() as f64);
    let without = || {
        ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d %H:%M", "%d.%m.%Y %H:%M"]
            .iter()
            .find_map(|form| NaiveDateTime::parse_from_str(text, form).ok())
            .map(|at| at.and_utc().timestamp_micros() as f64)
    };
    let day = || Some(day_of(text)?.parse::<f64>().ok()? * 86_400e6);
    number(text).or_else(with_zone).or_else(without).or_else(day)
}

/// Bounds from everybody's smallest and largest value: two numbers of a person, however long the
/// series is.
fn bounds_of(
    name: &str,
    series: &Series,
    rho: MicroRho,
    decimals: u8,
) -> Result<Bounds, FilesError> {
    let ends = series.iter().flat_map(|(unit, own)| {
        let low = own.iter().copied().reduce(f64::min);
        let high = own.iter().copied().reduce(f64::max);
        [low, high].into_iter().flatten().map(|x| (*unit, x))
    });
    let ends: Vec<(UnitKey, f64)> = ends.collect();
    Ok(discover_bounds(&ColumnPath::new(name)?, &ends, 2, rho, decimals)?)
}

impl StoredSeries {
    /// A noisy count of the people whom it was fitted to.
    pub(crate) const fn people(&self) -> f64 {
        self.series.people()
    }

    pub(crate) fn sample(&self, people: usize, seed: u64) -> Vec<Vec<f64>> {
        self.series.sample(people, seed)
    }

    /// Series as records: person, time and value.
    pub(crate) fn table(&self, series: &[Vec<f64>]) -> Result<Table, FilesError> {
        let kind = Kind::Number { bounds: self.series.shape().bounds(), bins: 2 };
        let [person, time, value] = &self.names;
        let attribute = Attribute::new(ColumnPath::new(value.as_str())?, kind, Missing::Never)?;
        let look = self.files.look(value, Some(&attribute));
        let places =
            || series.iter().enumerate().flat_map(|(i, s)| (0..s.len()).map(move |t| (i, t)));
        let people = places().map(|(i, _)| (i + 1).to_string());
        let times = places().map(|(_, t)| (t as f64 * self.every).to_string());
        let values = series.iter().flatten().map(|x| look.write(&x.to_string()));
        Ok(Table::from_columns(vec![
            Column::from_values(person.as_str(), people)?,
            Column::from_values(time.as_str(), times)?,
            Column::from_values(value.as_str(), values)?,
        ])?)
    }
}

/// How alike values and their successors are.
fn likeness(
    bounds: Bounds,
    real: &[Vec<f64>],
    made: &[Vec<f64>],
) -> Result<Similarity, FilesError> {
    let attribute = |name: &str| {
        let kind = Kind::Number { bounds, bins: 10 };
        Ok::<_, FilesError>(Attribute::new(ColumnPath::new(name)?, kind, Missing::Never)?)
    };
    let of = |series: &[Vec<f64>]| {
        let mut builder = TableBuilder::new(vec![attribute("value")?, attribute("next")?], 1)?;
        let pairs = series.iter().flat_map(|s| s.iter().zip(s.iter().skip(1)));
        for (unit, (a, b)) in (0u128..).zip(pairs) {
            builder.push(UnitKey::new(unit), &[Some(&a.to_string()), Some(&b.to_string())])?;
        }
        Ok::<_, FilesError>(builder.finish())
    };
    Ok(similarity(&of(real)?, &of(made)?))
}

impl Signature {
    fn of(series: &[Vec<f64>]) -> Self {
        let mean = |values: &mut dyn Iterator<Item = f64>| {
            let (n, sum) = values.fold((0.0, 0.0), |(n, sum), x| (n + 1.0, sum + x));
            if n > 0.0 { sum / n } else { 0.0 }
        };
        let next = || series.iter().flat_map(|s| s.iter().zip(s.iter().skip(1)));
        let middle = mean(&mut series.iter().flatten().copied());
        let variance = mean(&mut series.iter().flatten().map(|x| (x - middle).powi(2)));
        let (first, second) =
            (mean(&mut next().map(|(a, _)| *a)), mean(&mut next().map(|(_, b)| *b)));
        let spread = |of: &dyn Fn((&f64, &f64)) -> f64| mean(&mut next().map(of));
        let (aa, bb) =
            (spread(&|(a, _)| (a - first).powi(2)), spread(&|(_, b)| (b - second).powi(2)));
        let ab = spread(&|(a, b)| (a - first) * (b - second));
        Self {
            mean: middle,
            deviation: variance.sqrt(),
            step: spread(&|(a, b)| (a - b).abs()),
            autocorrelation: if aa * bb > 0.0 { ab / (aa * bb).sqrt() } else { 0.0 },
            length: mean(&mut series.iter().map(|s| s.len() as f64)),
        }
    }
}

fn text(report: &SeriesReport) -> String {
    let mut rows = vec![
        ("people", count(report.people)),
        ("values", count(report.records)),
        (
            "privacy spent",
            format!(
                "{} ({} µρ)",
                bound(report.epsilon_spent, report.delta),
                count(report.micro_rho)
            ),
        ),
        ("quality", format!("{:.4} of 1", report.quality)),
        ("processor time", format!("{:.0} ms", report.cpu_ms)),
        ("written to", report.out.display().to_string()),
    ];
    rows.extend(report.model.iter().map(|path| ("model", path.display().to_string())));
    let line = |word: &str, of: fn(&Signature) -> f64| {
        let both = [of(&report.real), of(&report.synthetic)].map(|x| format!("{x:.3}"));
        std::iter::once(word.to_owned()).chain(both).collect::<Vec<_>>()
    };
    let like = [
        line("mean", |s| s.mean),
        line("deviation", |s| s.deviation),
        line("step to the next", |s| s.step),
        line("correlation with the next", |s| s.autocorrelation),
        line("values a person", |s| s.length),
    ];
    format!(
        "Synthetic series\n{}\n\n{}{}",
        pairs(&rows),
        columns(&["series", "real", "synthetic"], &like),
        notes(&report.notes)
    )
}
