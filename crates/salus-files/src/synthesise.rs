//! `salus synthesise`: synthetic records with differential privacy.

use std::path::{Path, PathBuf};

use chrono::NaiveDate;
use clap::{Args, ValueEnum};
use cpu_time::ProcessTime;
use salus_deid::{Column, Table, is_missing};
use salus_dp::{
    Bounds, Cost, Delta, Domain, Epsilon, UnitKey, epsilon_from_rho, rho_from_epsilon, sequential,
};
use salus_model::{Clock, ColumnPath, Entropy, MicroRho};
use salus_synth::quality::{Similarity, similarity};
use salus_synth::{
    Attribute, Condition, Kind, Method, Missing, Model, Reading, TableBuilder, discover, fit,
    noisy_rows,
};
use serde::Serialize;
use siphasher::sip128::{Hasher128 as _, SipHasher13};

use crate::Answer;
use crate::certificate::Certificate;
use crate::error::FilesError;
use crate::file::{Format, Source, not_over, table_bytes, write_bytes};
use crate::hierarchies;
use crate::text::{count, notes, pairs, percent};

/// Makes synthetic records whose making tells little of anybody: (ε, δ)-differential privacy.
#[derive(Debug, Clone, Args)]
pub struct SynthesiseArgs {
    /// The table: CSV with column names in the first line.
    pub file: PathBuf,
    /// How the distribution is modelled.
    #[arg(long, value_enum, default_value = "aim")]
    pub method: MethodName,
    /// The most that the result tells of a person: less is more private; 1 is usual.
    #[arg(long)]
    pub epsilon: f64,
    /// The chance that ε is exceeded; well below one in the number of people.
    #[arg(long, default_value_t = 1e-6)]
    pub delta: f64,
    /// How many synthetic records; as many as were counted, with noise, if not given.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub rows: Option<u32>,
    /// Drives sampling from the fitted model, never the privacy noise.
    #[arg(long)]
    pub seed: Option<u64>,
    /// The column that says whose a record is; without it each record is a person of its own.
    #[arg(long)]
    pub person: Option<String>,
    /// How many records of a person count; later ones are left out.
    #[arg(long, default_value_t = 1, requires = "person", value_parser = clap::value_parser!(u32).range(1..))]
    pub records_per_person: u32,
    /// A folder of hierarchies whose values are the public domains of their columns.
    #[arg(long)]
    pub hierarchies: Option<PathBuf>,
    /// A column's public bounds, as age=0:120; repeat for more.
    #[arg(long, value_parser = bounds_option)]
    pub bounds: Vec<(String, f64, f64)>,
    /// The values and bounds that occur in the file are public knowledge, as from a codebook, and
    /// may be taken from it for nothing. Wrong where a rare value names a person.
    #[arg(long)]
    pub domains_are_public: bool,
    /// Columns to leave out.
    #[arg(long, value_delimiter = ',')]
    pub without: Vec<String>,
    /// Where to write the fitted model, for more samples and for `salus attack --generator`.
    #[arg(long)]
    pub model: Option<PathBuf>,
    /// The file for a certificate of the release (HTML, to be read and printed in a browser).
    #[arg(long)]
    pub certificate: Option<PathBuf>,
    /// The file for the synthetic table.
    #[arg(long)]
    pub out: PathBuf,
    #[command(flatten)]
    pub(crate) format: Format,
}

/// How the distribution is modelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum MethodName {
    /// Two-way marginals chosen where the model errs most; the best in most cases.
    Aim,
    /// A tree of two-way marginals; fast.
    Mst,
    /// A Bayesian network.
    Privbayes,
    /// A Gaussian copula.
    Copula,
}

impl From<MethodName> for Method {
    fn from(name: MethodName) -> Self {
        match name {
            MethodName::Aim => Self::Aim,
            MethodName::Mst => Self::Mst,
            MethodName::Privbayes => Self::PrivBayes,
            MethodName::Copula => Self::Copula,
        }
    }
}

fn bounds_option(text: &str) -> Result<(String, f64, f64), String> {
    let parsed = text.rsplit_once('=').and_then(|(name, range)| {
        let (low, high) = range.split_once(':')?;
        Some((name.to_owned(), low.trim().parse().ok()?, high.trim().parse().ok()?))
    });
    parsed.ok_or_else(|| "bounds are written as column=lowest:highest, as in age=0:120".to_owned())
}

/// What `salus synthesise` answers.
#[derive(Debug, Clone, Serialize)]
pub struct SynthesiseReport {
    /// Synthetic records written.
    pub records: u64,
    /// How the distribution was modelled.
    pub method: Method,
    /// ε at the stated δ, never less than what was spent.
    pub epsilon_spent: f64,
    /// The stated δ, of which up to a half is for showing values that are frequent.
    pub delta: f64,
    /// The same loss in millionths of ρ (zCDP).
    pub micro_rho: u64,
    /// The mean of one- and two-way similarity of the synthetic to the real records: 1 is alike.
    /// Computed without noise, for the holder of the file.
    pub quality: f64,
    /// 1 − total variation distance, on average over columns, pairs and triples of columns.
    pub similarity: Ways,
    /// Processor time of finding domains, fitting and sampling, in milliseconds.
    pub cpu_ms: f64,
    /// Columns without a frequent value, which the result does not have.
    pub left_out: Vec<String>,
    /// The file written.
    pub out: PathBuf,
    /// What to note.
    pub notes: Vec<String>,
}

/// Similarity by how many columns are looked at together.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Ways {
    /// Single columns.
    pub one: f64,
    /// Pairs.
    pub two: f64,
    /// Triples; none where there are more than 2,000 of them.
    pub three: Option<f64>,
}

/// How a column is written, which counts as public.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    Number {
        decimals: u8,
        comma: bool,
    },
    /// Dates in this form, modelled as days since 1970: bounds are first told by their power of two,
    /// and powers of two from there are months and decades, not millennia.
    Date(&'static str),
    Text,
}

const DATE_FORMS: [&str; 3] = ["%Y-%m-%d", "%Y/%m/%d", "%d.%m.%Y"];

/// A column on its way into the model.
pub(crate) struct Lane {
    name: ColumnPath,
    column: Column,
    look: Look,
    /// Each dictionary entry as the model reads it.
    texts: Vec<Option<String>>,
}

impl Lane {
    pub(crate) fn of(column: &Column) -> Result<Self, FilesError> {
        let look = look_of(column);
        let texts = column.dictionary().iter().map(|text| look.read(text)).collect();
        Ok(Self { name: ColumnPath::new(column.name())?, column: column.clone(), look, texts })
    }

    pub(crate) fn field(&self, row: usize) -> Option<&str> {
        let code = *self.column.codes().get(row)?;
        self.texts.get(code as usize)?.as_deref()
    }

    const fn reading(&self) -> Reading {
        match self.look {
            Look::Number { decimals, .. } => Reading::Number { decimals },
            Look::Date(_) => Reading::Number { decimals: 0 },
            Look::Text => Reading::Text,
        }
    }
}

impl Look {
    /// A text as the model reads it; none for a missing value.
    fn read(self, text: &str) -> Option<String> {
        let text = text.trim();
        if is_missing(text) {
            return None;
        }
        match self {
            Self::Number { .. } => {
                let number: f64 = text.replace(',', ".").parse().ok()?;
                number.is_finite().then(|| number.to_string())
            }
            Self::Date(form) => {
                Some(NaiveDate::parse_from_str(text, form).ok()?.to_epoch_days().to_string())
            }
            Self::Text => Some(text.to_owned()),
        }
    }

    /// A sampled text as the file writes it.
    fn write(self, text: &str) -> String {
        match self {
            Self::Number { comma: true, .. } => text.replace('.', ","),
            Self::Date(form) => text
                .parse()
                .ok()
                .and_then(NaiveDate::from_epoch_days)
                .map_or_else(String::new, |day| day.format(form).to_string()),
            _ => text.to_owned(),
        }
    }
}

fn look_of(column: &Column) -> Look {
    let present: Vec<&str> =
        column.dictionary().iter().map(|t| t.trim()).filter(|t| !is_missing(t)).collect();
    if present.is_empty() {
        return Look::Text;
    }
    let most = |fits: &dyn Fn(&str) -> bool| {
        present.iter().filter(|t| fits(t)).count() * 20 >= present.len() * 19
    };
    if most(&|t| t.replace(',', ".").parse::<f64>().is_ok_and(f64::is_finite)) {
        // `63.0` is a whole number that a spreadsheet or a program wrote.
        let fraction = |t: &&str| {
            let digits = t.split_once(['.', ',']).map_or("", |(_, digits)| digits);
            digits.trim_end_matches('0').len()
        };
        let decimals = present.iter().map(fraction).max().unwrap_or(0).min(6) as u8;
        return Look::Number { decimals, comma: present.iter().any(|t| t.contains(',')) };
    }
    let form =
        DATE_FORMS.into_iter().find(|form| most(&|t| NaiveDate::parse_from_str(t, form).is_ok()));
    form.map_or(Look::Text, Look::Date)
}

/// Attributes, which of them have no gaps, the columns left out, and what finding them cost.
struct Domains {
    attributes: Vec<Attribute>,
    without_gaps: Vec<ColumnPath>,
    left_out: Vec<String>,
    cost: Cost,
}

/// Synthesises.
///
/// # Errors
/// When a file cannot be read or written, ε is too small for the columns, or no column has a
/// frequent value.
pub fn run(
    args: &SynthesiseArgs,
    clock: &dyn Clock,
    entropy: &mut dyn Entropy,
) -> Result<Answer, FilesError> {
    not_over(&args.out, &[&args.file])?;
    let source = Source::read(&args.file, &args.format)?;
    source.require("--without", &args.without)?;
    source.require("--person", args.person.as_slice())?;
    let bounded: Vec<String> = args.bounds.iter().map(|(name, ..)| name.clone()).collect();
    source.require("--bounds", &bounded)?;
    let (epsilon, delta) = (Epsilon::new(args.epsilon)?, Delta::new(args.delta)?);
    let units = units(&source.table, args.person.as_deref(), entropy)?;
    let skipped =
        |name: &str| args.without.iter().any(|w| w == name) || args.person.as_deref() == Some(name);
    let lanes: Vec<Lane> = source
        .table
        .columns()
        .iter()
        .filter(|c| !skipped(c.name()))
        .map(Lane::of)
        .collect::<Result<_, _>>()?;

    let start = ProcessTime::now();
    let rows = rows(&lanes, &units);
    let (domains, rho, at) = domains(args, &lanes, &rows, epsilon, delta)?;
    let kept: Vec<&Lane> = domains
        .attributes
        .iter()
        .filter_map(|a| lanes.iter().find(|l| l.name == *a.name()))
        .collect();
    let mut builder = TableBuilder::new(domains.attributes.clone(), args.records_per_person)?;
    for (row, unit) in units.iter().enumerate() {
        let fields: Vec<Option<&str>> = kept.iter().map(|lane| lane.field(row)).collect();
        builder.push(*unit, &fields)?;
    }
    let real = builder.finish();
    let left = rho.checked_sub(domains.cost.rho).unwrap_or(MicroRho::ZERO);
    let model = fit(&real, args.method.into(), left)?;
    let seed = match args.seed {
        Some(seed) => seed,
        None => {
            let mut bytes = [0; 8];
            entropy.fill(&mut bytes).map_err(|e| FilesError::Transform(e.into()))?;
            u64::from_le_bytes(bytes)
        }
    };
    let wanted = args.rows.map_or(model.rows().round().max(1.0) as usize, |n| n as usize);
    let sample = model.sample(wanted, seed, &whole(&model, &domains.without_gaps), &[])?;
    let cpu_ms = start.elapsed().as_secs_f64() * 1_000.0;

    let near = similarity(&real, sample.table());
    let spent = sequential([domains.cost, model.cost()])
        .ok_or_else(|| FilesError::option("the privacy loss does not fit its number"))?;
    let released = table_bytes(&args.out, &table_of(sample.records(), &kept)?, source.format)?;
    write_bytes(&args.out, &released)?;
    if let Some(path) = &args.model {
        store(path, &model)?;
    }
    let report = report(args, &source, &domains, near, sample.records().len(), spent, at, cpu_ms);
    if let Some(path) = &args.certificate {
        not_over(path, &[&args.file, &args.out])?;
        certificate(args, &report, &released, clock).write(path)?;
    }
    let text = text(&report);
    Answer::new(&report, text)
}

fn store(path: &Path, model: &Model) -> Result<(), FilesError> {
    let bytes = serde_json::to_vec(model)
        .map_err(|source| FilesError::Model { path: path.to_owned(), source })?;
    write_bytes(path, &bytes)
}

/// Whose each record is: a hash under a key that nobody keeps.
fn units(
    table: &Table,
    person: Option<&str>,
    entropy: &mut dyn Entropy,
) -> Result<Vec<UnitKey>, FilesError> {
    let Some(person) = person else {
        return Ok((0..table.rows() as u128).map(UnitKey::new).collect());
    };
    let mut key = [0; 16];
    entropy.fill(&mut key).map_err(|e| FilesError::Transform(e.into()))?;
    let column = table.column(person)?;
    let of = |text: &String| {
        let mut hasher = SipHasher13::new_with_key(&key);
        std::hash::Hasher::write(&mut hasher, text.as_bytes());
        UnitKey::new(hasher.finish128().as_u128())
    };
    let hashes: Vec<UnitKey> = column.dictionary().iter().map(of).collect();
    Ok(column.codes().iter().filter_map(|&c| hashes.get(c as usize).copied()).collect())
}

type Rows = Vec<(UnitKey, Vec<Option<String>>)>;

fn rows(lanes: &[Lane], units: &[UnitKey]) -> Rows {
    let row = |(row, unit): (usize, &UnitKey)| {
        (*unit, lanes.iter().map(|lane| lane.field(row).map(str::to_owned)).collect())
    };
    units.iter().enumerate().map(row).collect()
}

/// Domains for all columns; with the whole ρ, and the δ at which it is shown as ε.
fn domains(
    args: &SynthesiseArgs,
    lanes: &[Lane],
    rows: &Rows,
    epsilon: Epsilon,
    delta: Delta,
) -> Result<(Domains, MicroRho, Delta), FilesError> {
    let mut known: Vec<Option<Attribute>> = Vec::with_capacity(lanes.len());
    for lane in lanes {
        known.push(public_domain(args, lane)?);
    }
    let open: Vec<usize> = (0..lanes.len()).filter(|&i| known[i].is_none()).collect();
    if open.is_empty() {
        let all = Domains {
            attributes: known.into_iter().flatten().collect(),
            without_gaps: Vec::new(),
            left_out: Vec::new(),
            cost: Cost::of_rho(MicroRho::ZERO),
        };
        return Ok((all, rho_from_epsilon(epsilon, delta), delta));
    }
    // Half of δ is for the thresholds at which values are shown, half for ρ as ε.
    let half = Delta::from_atto(delta.atto() / 2).ok_or_else(|| {
        FilesError::option("--delta is too small to find domains with; give public ones")
    })?;
    let rho = rho_from_epsilon(epsilon, half);
    let least = MicroRho::new(100 * lanes.len() as u64);
    if rho < least {
        return Err(FilesError::option(format!(
            "--epsilon {} is too small for {} columns: allow a larger one, from about {:.2} on, or \
             leave columns out with --without",
            args.epsilon,
            lanes.len(),
            epsilon_from_rho(least, half).get()
        )));
    }
    let counting = MicroRho::new(rho.get() / 100);
    let people = noisy_rows(rows, args.records_per_person, counting)?;
    let spare = MicroRho::new((rho.get() as f64 * share(people, open.len(), rho)) as u64);
    let asked: Vec<(ColumnPath, Reading)> =
        open.iter().map(|&i| (lanes[i].name.clone(), lanes[i].reading())).collect();
    let part: Rows = rows
        .iter()
        .map(|(unit, row)| (*unit, open.iter().map(|&i| row.get(i).cloned().flatten()).collect()))
        .collect();
    let found = discover(&asked, &part, args.records_per_person, spare, half)?;
    let cost = sequential([Cost::of_rho(counting), found.cost])
        .ok_or_else(|| FilesError::option("the privacy loss does not fit its number"))?;
    let mut discovered = found.attributes.into_iter();
    let attributes = known
        .into_iter()
        .zip(lanes)
        .filter_map(|(attribute, lane)| match attribute {
            Some(public) => Some(public),
            None if found.left_out.contains(&lane.name) => None,
            None => discovered.next(),
        })
        .collect();
    let left_out = found.left_out.iter().map(ToString::to_string).collect();
    let all = Domains { attributes, without_gaps: found.without_gaps, left_out, cost };
    Ok((all, rho, half))
}

/// The share of ρ that finding domains gets: as much as makes a value of one record in fifty plain
/// to see, between a fifteenth and a half.
fn share(people: f64, columns: usize, rho: MicroRho) -> f64 {
    // 4.5 standard errors of a count at ρ/2.5 are a fiftieth of the people.
    let error = (people / 50.0 / 4.5).max(1.0);
    let each = 2.5 / (2.0 * error * error);
    (each * columns as f64 * 1e6 / rho.get().max(1) as f64).clamp(1.0 / 15.0, 0.5)
}

/// A column's domain where the caller made it public.
fn public_domain(args: &SynthesiseArgs, lane: &Lane) -> Result<Option<Attribute>, FilesError> {
    let made = |kind| Ok(Some(Attribute::new(lane.name.clone(), kind, Missing::Possible)?));
    let decimals = match lane.look {
        Look::Number { decimals, .. } => decimals,
        _ => 0,
    };
    if let Some((_, low, high)) = args.bounds.iter().find(|(n, ..)| n == lane.name.as_str()) {
        return made(Kind::Number { bounds: Bounds::new(*low, *high, decimals)?, bins: 32 });
    }
    let mut values = None;
    if let Some(folder) = &args.hierarchies {
        values = hierarchies::listed_values(folder, lane.name.as_str(), args.format.encoding)?;
    }
    if values.is_none() && args.domains_are_public {
        values = Some(lane.column.dictionary().to_vec());
    }
    let Some(values) = values else { return Ok(None) };
    let mut texts: Vec<String> = values.iter().filter_map(|v| lane.look.read(v)).collect();
    if lane.look != Look::Text {
        let numbers: Vec<f64> = texts.iter().filter_map(|t| t.parse().ok()).collect();
        let low = numbers.iter().copied().reduce(f64::min);
        let high = numbers.iter().copied().reduce(f64::max);
        if let (Some(low), Some(high)) = (low, high) {
            let bounds = Bounds::new(low, high.max(low + 1.0), decimals)
                .or_else(|_| Bounds::new(low.floor(), high.ceil().max(low.floor() + 1.0), 0))?;
            return made(Kind::Number { bounds, bins: 32 });
        }
    }
    texts.sort();
    texts.dedup();
    if texts.is_empty() {
        return Ok(None);
    }
    made(Kind::Category(Domain::new(texts)?))
}

/// Conditions by which columns without gaps get none.
fn whole(model: &Model, without_gaps: &[ColumnPath]) -> Vec<Condition> {
    model
        .attributes()
        .iter()
        .filter(|a| without_gaps.contains(a.name()))
        .map(|a| match a.kind() {
            Kind::Category(domain) => {
                Condition::OneOf { attribute: a.name().clone(), values: domain.values().to_vec() }
            }
            Kind::Number { bounds, .. } => Condition::Between {
                attribute: a.name().clone(),
                low: bounds.value(bounds.low().into()),
                high: bounds.value(bounds.high().into()),
            },
        })
        .collect()
}

fn table_of(records: &[Vec<Option<String>>], lanes: &[&Lane]) -> Result<Table, FilesError> {
    let columns = lanes
        .iter()
        .enumerate()
        .map(|(i, lane)| {
            let values = records.iter().map(|record| {
                let text = record.get(i).and_then(Option::as_deref);
                text.map_or_else(String::new, |t| lane.look.write(t))
            });
            Column::from_values(lane.name.as_str(), values)
        })
        .collect::<Result<Vec<_>, _>>()?;
    Ok(Table::from_columns(columns)?)
}

#[allow(clippy::too_many_arguments, reason = "each is one line of the report")]
fn report(
    args: &SynthesiseArgs,
    source: &Source,
    domains: &Domains,
    near: Similarity,
    records: usize,
    spent: Cost,
    at: Delta,
    cpu_ms: f64,
) -> SynthesiseReport {
    let mut notes = source.notes.clone();
    if !domains.left_out.is_empty() {
        notes.push(format!(
            "left out, for hardly any value in them is frequent enough to be shown: {}; give their \
             domains with --hierarchies or --bounds if they matter",
            domains.left_out.join(", ")
        ));
    }
    if args.domains_are_public || args.hierarchies.is_some() || !args.bounds.is_empty() {
        notes.push(
            "ε holds on the condition that the given domains and bounds are public knowledge"
                .to_owned(),
        );
    }
    if args.epsilon > 10.0 {
        notes.push(format!("ε = {} bounds next to nothing; 1 is usual", args.epsilon));
    }
    if args.person.is_none() {
        notes.push(
            "each record counts as a person of its own; say --person if one has several".to_owned(),
        );
    }
    SynthesiseReport {
        records: records as u64,
        method: args.method.into(),
        epsilon_spent: epsilon_from_rho(spent.rho, at).get(),
        delta: args.delta,
        micro_rho: spent.rho.get(),
        quality: near.quality(),
        similarity: Ways { one: near.one_way, two: near.two_way, three: Some(near.three_way) },
        cpu_ms,
        left_out: domains.left_out.clone(),
        out: args.out.clone(),
        notes,
    }
}

fn certificate<'a>(
    args: &'a SynthesiseArgs,
    report: &'a SynthesiseReport,
    released: &'a [u8],
    clock: &dyn Clock,
) -> Certificate<'a> {
    let domains = if args.domains_are_public {
        "taken from the file, stated to be public"
    } else {
        "public where given, else found with differential privacy"
    };
    Certificate {
        title: "Synthetic table",
        made: clock.now(),
        file: &args.out,
        released,
        holds: vec![format!(
            "({:.4}, {:e})-differential privacy of each person's records",
            report.epsilon_spent, report.delta
        )],
        parameters: vec![
            ("Method", format!("{:?}", report.method)),
            ("Loss as zCDP", format!("{} µρ", report.micro_rho)),
            (
                "A person's records",
                match &args.person {
                    Some(column) => {
                        format!("by column {column}, at most {}", args.records_per_person)
                    }
                    None => "one each".to_owned(),
                },
            ),
            ("Values and bounds", domains.to_owned()),
        ],
        utility: vec![
            ("Records", count(report.records)),
            ("Quality", format!("{:.4} (1 is alike in single columns and pairs)", report.quality)),
            ("Alike in single columns", percent(report.similarity.one)),
            ("Alike in pairs", percent(report.similarity.two)),
        ],
        columns: None,
        evidence: None,
        setting: "",
        notes: &report.notes,
    }
}

fn text(report: &SynthesiseReport) -> String {
    let rows = [
        ("records", count(report.records)),
        ("method", format!("{:?}", report.method)),
        (
            "privacy spent",
            format!(
                "ε = {:.4} at δ = {:e} ({} µρ)",
                report.epsilon_spent, report.delta, report.micro_rho
            ),
        ),
        ("quality", format!("{:.4} of 1", report.quality)),
        (
            "alike in",
            format!(
                "single columns {}, pairs {}, triples {}",
                percent(report.similarity.one),
                percent(report.similarity.two),
                report.similarity.three.map_or("not measured".to_owned(), percent)
            ),
        ),
        ("processor time", format!("{:.0} ms", report.cpu_ms)),
        ("written to", report.out.display().to_string()),
    ];
    format!("Synthetic records\n{}{}", pairs(&rows), notes(&report.notes))
}
