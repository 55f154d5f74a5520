//! A model fitted and sampled.

use std::path::Path;

use cpu_time::ProcessTime;
use salus_deid::{Column, Table};
use salus_dp::{Cost, Delta, UnitKey, sequential};
use salus_model::{ColumnPath, Entropy, MicroRho};
use salus_synth::{Model, Sample, TableBuilder, fit};
use siphasher::sip128::{Hasher128 as _, SipHasher13};

use super::attempts::Meter;
use super::column::{Lane, Look, Stated, table_of};
use super::domains::{Domains, Purse, domains, known, rows, whole};
use super::options::Wishes;
use super::{MethodName, SynthesiseArgs};
use crate::error::FilesError;
use crate::file::Source;
use crate::generator::{self, Extras, Stored};

/// A fitted model with a sample of it.
pub(crate) struct Made {
    pub(crate) table: Table,
    pub(super) model: Model,
    pub(super) domains: Domains,
    pub(super) compared: Compared,
    pub(super) spent: Cost,
    /// The δ at which the loss is shown as ε.
    pub(super) at: Delta,
    pub(super) cpu_ms: f64,
    /// How each column is written.
    pub(super) looks: Vec<(String, Look)>,
}

/// Real and synthetic records that should be alike.
pub(super) struct Compared {
    pub(super) real: salus_synth::Table,
    /// The places of the real ones in the file.
    pub(super) rows: Vec<usize>,
    pub(super) sample: Sample,
    /// How many real records are as was wished for, where anything was; too few to compare with,
    /// where the sample is one of everybody. Counted without noise.
    pub(super) cohort: Option<u64>,
}

/// Fewer real records say little of a cohort.
pub(super) const LEAST_COHORT: usize = 30;

/// Fits a model and draws a sample.
pub(crate) fn make(
    args: &SynthesiseArgs,
    source: &Source,
    meter: &mut Meter,
    entropy: &mut dyn Entropy,
) -> Result<Made, FilesError> {
    // Records of nobody would all be one person's, and who that is would hang on the next record.
    crate::person::check(source, args.person.as_ref())?;
    let lanes = lanes(args, source)?;
    let units = units(&source.table, args.person.as_deref(), entropy)?;
    let start = ProcessTime::now();
    let rows = rows(&lanes, &units);
    let known = known(args, &lanes)?;
    let purse = Purse::of(args.epsilon, args.delta, known.iter().any(Option::is_none))?;
    let per_unit = args.records_per_person;
    let domains = domains(args, &lanes, known, &rows, per_unit, purse)?;
    drop(rows);
    let look =
        |name: &str| lanes.iter().find(|l| l.name.as_str() == name).map_or(Look::Text, |l| l.look);
    let wanted = args.wishes.wishes(&domains.attributes, look);
    let builder = TableBuilder::new(domains.attributes.clone(), per_unit);
    let (wanted, builder) = if domains.cost.rho == MicroRho::ZERO {
        // All domains are public: what does not fit them is refused before anything is spent.
        let known = (wanted?, builder?);
        meter.charge(purse.rho);
        known
    } else {
        // From here on whatever happens may depend on the records: it is charged, also when it
        // fails.
        meter.charge(purse.rho);
        (wanted?, builder?)
    };
    let kept = domains.lanes(&lanes);
    let real = filled(builder, &kept, units.iter().copied().enumerate())?;
    let left = purse.rho.checked_sub(domains.cost.rho).unwrap_or(MicroRho::ZERO);
    let mut model = fit(&real, args.method.into(), left)?;
    if let Some((outcome, _)) = &args.fair.favourable {
        let sensitive = args.fair.sensitive.iter().map(|name| ColumnPath::new(name.as_str()));
        let sensitive = sensitive.collect::<Result<Vec<_>, _>>()?;
        model = model.independent(&ColumnPath::new(outcome.as_str())?, &sensitive)?;
    }
    let seed = seed(args.seed, entropy)?;
    let many = args.rows.map_or(model.rows().round().max(1.0) as usize, |n| n as usize);
    let gapless = whole(&model, &domains.without_gaps);
    let conditions = [gapless.as_slice(), &wanted.conditions].concat();
    let sample = model.sample(many, seed, &conditions, &wanted.constraints)?;
    let cpu_ms = start.elapsed().as_secs_f64() * 1_000.0;
    let spent = sequential([domains.cost, model.cost()])
        .ok_or_else(|| FilesError::option("the privacy loss does not fit its number"))?;
    meter.settle(purse.rho, spent.rho);
    let looks = domains.looks.clone();
    let table = table_of(sample.records(), &looks)?;
    let everybody = || model.sample(many, seed, &gapless, &[]);
    let compared = compared(&domains, &kept, &units, real, &wanted, sample, everybody)?;
    Ok(Made { table, model, domains, compared, spent, at: purse.at, cpu_ms, looks })
}

/// What a sample is to be compared with: the real records that are as was wished for. Of too few
/// of them nothing can be said, and everybody is compared with a sample of everybody.
fn compared(
    domains: &Domains,
    kept: &[&Lane],
    units: &[UnitKey],
    real: salus_synth::Table,
    wanted: &Wishes,
    sample: Sample,
    everybody: impl FnOnce() -> Result<Sample, salus_synth::SampleError>,
) -> Result<Compared, FilesError> {
    let everybodys = || (0..units.len()).collect::<Vec<usize>>();
    if wanted.is_empty() {
        return Ok(Compared { real, rows: everybodys(), sample, cohort: None });
    }
    let mut rows = Vec::new();
    for row in 0..units.len() {
        let record: Vec<Option<String>> =
            kept.iter().map(|lane| lane.field(row).map(str::to_owned)).collect();
        if wanted.hold(&domains.attributes, &record)? {
            rows.push(row);
        }
    }
    let cohort = Some(rows.len() as u64);
    if rows.len() < LEAST_COHORT {
        return Ok(Compared { real, rows: everybodys(), sample: everybody()?, cohort });
    }
    let builder = TableBuilder::new(domains.attributes.clone(), 1)?;
    let own = rows.iter().map(|row| (*row, UnitKey::new(*row as u128)));
    Ok(Compared { real: filled(builder, kept, own)?, rows, sample, cohort })
}

/// The columns on their way into the model.
fn lanes(args: &SynthesiseArgs, source: &Source) -> Result<Vec<Lane>, FilesError> {
    source.require("--without", &args.without)?;
    source.require("--person", args.person.as_slice())?;
    let bounded: Vec<String> = args.bounds.iter().map(|(name, ..)| name.clone()).collect();
    source.require("--bounds", &bounded)?;
    check_fair(args, source)?;
    let apart: Vec<&str> = args.without.iter().chain(&args.person).map(String::as_str).collect();
    lanes_of(args, &source.table, &apart)
}

pub(super) fn lanes_of(
    args: &SynthesiseArgs,
    table: &Table,
    apart: &[&str],
) -> Result<Vec<Lane>, FilesError> {
    let kept = table.columns().iter().filter(|c| !apart.contains(&c.name()));
    kept.map(|c| match args.stated.get(c.name()) {
        Some(stated) => Lane::written(c, stated.look()),
        None => Lane::of(c),
    })
    .collect()
}

/// Whether the outcome can be made fair, as far as that is known before anything is spent.
fn check_fair(args: &SynthesiseArgs, source: &Source) -> Result<(), FilesError> {
    let Some((outcome, value)) = &args.fair.favourable else { return Ok(()) };
    source.require("--sensitive", &args.fair.sensitive)?;
    source.require("--favourable", std::slice::from_ref(outcome))?;
    if args.method == MethodName::Copula {
        return Err(salus_synth::FairError::Copula.into());
    }
    if args.fair.sensitive.contains(outcome) {
        return Err(salus_synth::FairError::Sensitive.into());
    }
    let mut named = args.fair.sensitive.iter().chain([outcome]);
    if let Some(name) = named.find(|n| args.without.contains(n) || args.person.as_ref() == Some(n))
    {
        return Err(FilesError::option(format!(
            "column '{name}' is left out: nothing can be made fair in it"
        )));
    }
    // A stated domain decides: whether any record has the value, nobody is told for nothing.
    let is_known = match args.stated.get(outcome) {
        Some(Stated::Category(domain)) => domain.values().contains(value),
        Some(Stated::Number(_) | Stated::Day(_)) => true,
        None => source.table.column(outcome)?.dictionary().contains(value),
    };
    if !is_known {
        return Err(FilesError::option(format!(
            "--favourable: column '{outcome}' never has the value '{value}'"
        )));
    }
    Ok(())
}

/// A table of some records.
pub(super) fn filled(
    mut builder: TableBuilder,
    lanes: &[&Lane],
    rows: impl Iterator<Item = (usize, UnitKey)>,
) -> Result<salus_synth::Table, FilesError> {
    for (row, unit) in rows {
        let fields: Vec<Option<&str>> = lanes.iter().map(|lane| lane.field(row)).collect();
        builder.push(unit, &fields)?;
    }
    Ok(builder.finish())
}

pub(crate) fn seed(given: Option<u64>, entropy: &mut dyn Entropy) -> Result<u64, FilesError> {
    if let Some(seed) = given {
        return Ok(seed);
    }
    let mut bytes = [0; 8];
    entropy.fill(&mut bytes).map_err(|e| FilesError::Transform(e.into()))?;
    Ok(u64::from_le_bytes(bytes))
}

/// A fitted model with what it cost and how its values are written, as its file is to hold it.
pub(super) fn stored(
    path: &Path,
    made: &Made,
    delta: Delta,
    source: &Source,
) -> Result<Vec<u8>, FilesError> {
    let mut files = Extras::new(made.spent.rho, made.at, delta, &made.looks);
    files.without_gaps = made.domains.without_gaps.iter().map(ToString::to_string).collect();
    files.delimiter = Some(source.format.delimiter);
    generator::bytes(path, &Stored::new(made.model.clone(), files))
}

/// Whose each record is: a hash under a key that nobody keeps.
pub(crate) fn units(
    table: &Table,
    person: Option<&str>,
    entropy: &mut dyn Entropy,
) -> Result<Vec<UnitKey>, FilesError> {
    let Some(person) = person else {
        return Ok((0..table.rows() as u128).map(UnitKey::new).collect());
    };
    Ok(Hashes::new(entropy)?.of(table.column(person)?))
}

/// A key under which people's names become units.
pub(crate) struct Hashes([u8; 16]);

impl Hashes {
    pub(crate) fn new(entropy: &mut dyn Entropy) -> Result<Self, FilesError> {
        let mut key = [0; 16];
        entropy.fill(&mut key).map_err(|e| FilesError::Transform(e.into()))?;
        Ok(Self(key))
    }

    /// Whose each record is, by the column that says so.
    pub(crate) fn of(&self, column: &Column) -> Vec<UnitKey> {
        let of = |text: &String| {
            let mut hasher = SipHasher13::new_with_key(&self.0);
            std::hash::Hasher::write(&mut hasher, text.trim().as_bytes());
            UnitKey::new(hasher.finish128().as_u128())
        };
        let hashes: Vec<UnitKey> = column.dictionary().iter().map(of).collect();
        column.codes().iter().filter_map(|&c| hashes.get(c as usize).copied()).collect()
    }
}
