//! `salus synthesise --linked`: people, and records of another table that belong to them.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use clap::Args;
use cpu_time::ProcessTime;
use salus_deid::{Column, Table, is_missing};
use salus_dp::{Delta, UnitKey, epsilon_from_rho, sequential};
use salus_model::{Clock, Entropy, MicroRho, Timestamp};
use salus_synth::quality::{Similarity, similarity};
use salus_synth::{Attribute, Link, LinkedModel, Method, Row, TableBuilder, fit_linked};
use serde::{Deserialize, Serialize};

use super::column::{Lane, Look, range_of, table_of};
use super::domains::{Domains, Purse, check_bounds, domains, known, rows};
use super::make::{Hashes, lanes_of, seed};
use super::measures::paths;
use super::options::{WishArgs, Wishes};
use super::{SynthesiseArgs, Ways};
use crate::Answer;
use crate::error::FilesError;
use crate::file::{Source, Staged, table_bytes};
use crate::generator::{self, Extras};
use crate::text::{bound, count, notes, pairs};

/// A second table whose records belong to people of the first.
#[derive(Debug, Clone, Default, Args)]
pub struct LinkedArgs {
    /// A second table, such as visits or prescriptions, whose records belong to people of the
    /// first, which has one record of each person.
    #[arg(long, requires_all = ["key", "linked_out"], conflicts_with_all = ["person", "attacks",
        "least_score", "until_score", "certificate", "target", "rules", "favourable", "series"])]
    pub linked: Option<PathBuf>,
    /// The column of both tables that says whose a record is. What is written has new numbers.
    #[arg(long, requires = "linked")]
    pub key: Option<String>,
    /// Columns of people that their linked records depend on; all if there are at most four.
    #[arg(long, value_delimiter = ',', requires = "linked")]
    pub depends_on: Vec<String>,
    /// How many linked records of a person count; later ones are left out.
    #[arg(long, default_value_t = 10, requires = "linked", value_parser = clap::value_parser!(u32).range(1..=4_000))]
    pub linked_per_person: u32,
    /// The file for the synthetic linked records.
    #[arg(long, requires = "linked")]
    pub linked_out: Option<PathBuf>,
    /// Write the linked records as FHIR resources of this type; those of people get ids that they
    /// refer to with --fhir Patient.
    #[arg(long, value_name = "TYPE", requires = "linked")]
    pub linked_fhir: Option<String>,
}

/// What `salus synthesise --linked` answers.
#[derive(Debug, Clone, Serialize)]
pub struct LinkedReport {
    /// Synthetic people written.
    pub records: u64,
    /// Synthetic linked records written, each of one of them.
    pub linked_records: u64,
    /// How the distributions were modelled.
    pub method: Method,
    /// ε at the stated δ for a person with all records in both tables.
    pub epsilon_spent: f64,
    /// The stated δ.
    pub delta: f64,
    /// The same loss in millionths of ρ (zCDP).
    pub micro_rho: u64,
    /// The mean of one- and two-way similarity of people: 1 is alike. Computed without noise, for
    /// the holder of the files.
    pub quality: f64,
    /// By how many columns of people are looked at together.
    pub similarity: Ways,
    /// The same quality of linked records together with what they depend on.
    pub linked_quality: f64,
    /// Linked records of a person on average: real, as far as they count, and synthetic.
    pub linked_per_person: [f64; 2],
    /// Processor time of finding domains, fitting and sampling, in milliseconds.
    pub cpu_ms: f64,
    /// Columns of either table without a frequent value, which the result does not have.
    pub left_out: Vec<String>,
    /// The files written.
    pub out: PathBuf,
    /// The file of linked records.
    pub linked_out: PathBuf,
    /// The file of the model, with `--model`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<PathBuf>,
    /// What to note.
    pub notes: Vec<String>,
}

/// A linked model as it is stored.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StoredLinked {
    linked: LinkedModel,
    /// The column that says whose a record is.
    key: String,
    /// Of people, with the whole loss of both tables.
    pub(crate) people: Extras,
    /// Of linked records.
    rows: Extras,
}

/// Synthetic tables that belong together.
pub(crate) struct Both {
    pub(crate) people: Table,
    pub(crate) rows: Table,
    /// The same as records, as the model wrote them.
    people_records: Vec<Row>,
    rows_records: Vec<(usize, Row)>,
}

/// One table on its way into the model.
struct Side {
    lanes: Vec<Lane>,
    units: Vec<UnitKey>,
    domains: Domains,
}

impl Side {
    fn kept(&self) -> Vec<&Lane> {
        self.domains.lanes(&self.lanes)
    }

    fn records(&self) -> Vec<(UnitKey, Row)> {
        let kept = self.kept();
        let row = |(row, unit): (usize, &UnitKey)| {
            (*unit, kept.iter().map(|lane| lane.field(row).map(str::to_owned)).collect())
        };
        self.units.iter().enumerate().map(row).collect()
    }

    fn looks(&self) -> Vec<(String, Look)> {
        self.domains.looks.clone()
    }
}

pub(super) fn run(
    args: &SynthesiseArgs,
    visits: &Path,
    clock: &dyn Clock,
    entropy: &mut dyn Entropy,
) -> Result<Answer, FilesError> {
    let (Some(key), Some(linked_out)) = (&args.linked.key, &args.linked.linked_out) else {
        return Err(FilesError::option("--linked needs --key and --linked-out"));
    };
    let people = args.source(&args.file)?;
    let visits = args.source(visits)?;
    check(args, key, &people, &visits)?;
    let start = ProcessTime::now();
    let (first, second, purse) = sides(args, key, [&people, &visits], entropy)?;
    let link = link(args, &first, &second)?;
    let wishes = divided(args, &first, &second)?;
    let spent = sequential([first.domains.cost, second.domains.cost])
        .ok_or_else(|| FilesError::option("the privacy loss does not fit its number"))?;
    let left = purse.rho.checked_sub(spent.rho).unwrap_or(MicroRho::ZERO);
    let (real, real_rows) = (first.records(), second.records());
    let model = fit_linked(&link, &real, &real_rows, args.method.into(), left)?;
    let spent = model
        .cost()
        .and_then(|cost| sequential([spent, cost]))
        .ok_or_else(|| FilesError::option("the privacy loss does not fit its number"))?;
    let delta = Delta::new(args.delta)?;
    let extras = |side: &Side, source: &Source| {
        let mut extras = Extras::new(spent.rho, purse.at, delta, &side.looks());
        extras.without_gaps = side.domains.without_gaps.iter().map(ToString::to_string).collect();
        extras.delimiter = Some(source.format.delimiter);
        extras
    };
    let stored = StoredLinked {
        people: extras(&first, &people),
        rows: extras(&second, &visits),
        key: key.clone(),
        linked: model,
    };
    let many =
        args.rows.map_or(stored.linked.people().rows().round().max(1.0) as usize, |n| n as usize);
    let seed = seed(args.seed, entropy)?;
    let names = names(args.fhir.as_deref(), args.linked.linked_fhir.as_deref(), key);
    let both = stored.sample(many, seed, &wishes, &names)?;
    let cpu_ms = start.elapsed().as_secs_f64() * 1_000.0;
    let mut staged = Staged::default();
    let outs = Outs::of(args, linked_out, [&people, &visits], clock.now());
    stage_both(&both, &outs, &mut staged)?;
    if let Some(path) = &args.model {
        staged.add(path, &generator::bytes(path, &stored)?)?;
    }
    let of_people = stored.linked.people().attributes();
    let near = people_similarity(of_people, link.most, [&real, &real_rows], &both)?;
    let far = linked_similarity(&link, [&real, &real_rows], &both)?;
    let capped: u32 = numbers(real_rows.iter().map(|(unit, _)| *unit), link.most).values().sum();
    let mut noted = [people.notes.clone(), visits.notes.clone()].concat();
    noted.extend(notes_of(args, &link, [&first, &second]));
    let ways = |near: Similarity| Ways {
        one: near.one_way,
        two: near.two_way,
        three: Some(near.three_way),
    };
    let report = LinkedReport {
        records: both.people.rows() as u64,
        linked_records: both.rows.rows() as u64,
        method: args.method.into(),
        epsilon_spent: epsilon_from_rho(spent.rho, purse.at).get(),
        delta: args.delta,
        micro_rho: spent.rho.get(),
        quality: near.quality(),
        similarity: ways(near),
        linked_quality: far.quality(),
        linked_per_person: [
            f64::from(capped) / real.len().max(1) as f64,
            both.rows.rows() as f64 / both.people.rows().max(1) as f64,
        ],
        cpu_ms,
        left_out: [first.domains.left_out, second.domains.left_out].concat(),
        out: args.out.clone(),
        linked_out: linked_out.clone(),
        model: args.model.clone(),
        notes: noted,
    };
    staged.persist()?;
    let text = text(&report);
    Answer::new(&report, text)
}

/// What is refused before anything is spent.
fn check(
    args: &SynthesiseArgs,
    key: &String,
    people: &Source,
    visits: &Source,
) -> Result<(), FilesError> {
    people.require("--key", std::slice::from_ref(key))?;
    visits.require("--key", std::slice::from_ref(key))?;
    keyed(people, key)?;
    keyed(visits, key)?;
    let many = crate::person::people(&people.table, key)?;
    if let Some(words) = crate::numbers::too_large(args.delta, many) {
        return Err(FilesError::option(words));
    }
    people.require("--depends-on", &args.linked.depends_on)?;
    let in_either = |option: &'static str, name: &str| {
        let name = [name.to_owned()];
        visits.require(option, &name).or_else(|_| people.require(option, &name))
    };
    args.without.iter().try_for_each(|name| in_either("--without", name))?;
    args.bounds.iter().try_for_each(|(name, ..)| in_either("--bounds", name))?;
    [people, visits].into_iter().try_for_each(|source| check_bounds(args, source))?;
    if args.linked.depends_on.contains(key) {
        return Err(FilesError::option(format!(
            "--depends-on: '{key}' says who a person is; nothing may depend on that"
        )));
    }
    for (resource, source, key_as) in
        [(&args.fhir, people, "id"), (&args.linked.linked_fhir, visits, "patient_id")]
    {
        let Some(resource) = resource else { continue };
        let kept = source
            .table
            .columns()
            .iter()
            .map(Column::name)
            .filter(|n| !args.without.iter().any(|w| w == n));
        let names: Vec<&str> = kept.map(|n| if n == key { key_as } else { n }).collect();
        salus_fhir::rows::RowWriter::new(resource, &names)?;
    }
    Ok(())
}

/// Refuses records that do not say whose they are: together they would pass for one person's.
fn keyed(source: &Source, key: &str) -> Result<(), FilesError> {
    let column = source.table.column(key)?;
    let unknown = (0..source.table.rows()).find(|&row| column.value(row).is_none_or(is_missing));
    match unknown {
        None => Ok(()),
        Some(record) => Err(FilesError::option(format!(
            "--key: {}, column '{key}', record {}: it is not said whose the record is; fill it in, \
             or leave the record out",
            source.path.display(),
            record + 1
        ))),
    }
}

fn sides(
    args: &SynthesiseArgs,
    key: &str,
    [people, visits]: [&Source; 2],
    entropy: &mut dyn Entropy,
) -> Result<(Side, Side, Purse), FilesError> {
    let hashes = Hashes::new(entropy)?;
    let apart: Vec<&str> = args.without.iter().map(String::as_str).chain([key]).collect();
    let of = |source: &Source| {
        let lanes = lanes_of(args, &source.table, &apart)?;
        let known = known(args, &lanes)?;
        Ok::<_, FilesError>((lanes, hashes.of(source.table.column(key)?), known))
    };
    let (first, second) = (of(people)?, of(visits)?);
    let open = first.2.iter().chain(&second.2).any(Option::is_none);
    let purse = Purse::of(args.epsilon, args.delta, open)?;
    let side = |(lanes, units, known): (Vec<Lane>, Vec<UnitKey>, Vec<Option<Attribute>>), most| {
        let rows = rows(&lanes, &units);
        let domains = domains(args, &lanes, known, &rows, most, purse.half())?;
        Ok::<_, FilesError>(Side { lanes, units, domains })
    };
    Ok((side(first, 1)?, side(second, args.linked.linked_per_person)?, purse))
}

fn link(args: &SynthesiseArgs, first: &Side, second: &Side) -> Result<Link, FilesError> {
    let people = &first.domains.attributes;
    let depends_on = if !args.linked.depends_on.is_empty() {
        paths(&args.linked.depends_on)?
    } else if people.len() <= 4 {
        people.iter().map(|a| a.name().clone()).collect()
    } else {
        return Err(FilesError::option(format!(
            "there are {} columns of people: say with --depends-on which of them (up to four or \
             so) the linked records depend on",
            people.len()
        )));
    };
    let rows = &second.domains.attributes;
    if let Some(name) = depends_on.iter().find(|n| rows.iter().any(|a| a.name() == *n)) {
        return Err(FilesError::option(format!(
            "both tables have a column '{name}', and linked records depend on it: rename one"
        )));
    }
    Ok(Link {
        people: people.clone(),
        rows: rows.clone(),
        depends_on,
        most: args.linked.linked_per_person,
    })
}

/// Wishes about people, and about linked records.
fn divided(args: &SynthesiseArgs, first: &Side, second: &Side) -> Result<[Wishes; 2], FilesError> {
    let sides = [first, second].map(|side| (side.domains.attributes.as_slice(), side.looks()));
    let [(people, people_looks), (rows, rows_looks)] = &sides;
    wishes_of(&args.wishes, (people, people_looks), (rows, rows_looks))
}

type Known<'a> = (&'a [Attribute], &'a [(String, Look)]);

pub(crate) fn wishes_of(
    wishes: &WishArgs,
    people: Known<'_>,
    rows: Known<'_>,
) -> Result<[Wishes; 2], FilesError> {
    let has = |of: Known<'_>, name: &str| of.0.iter().any(|a| a.name().as_str() == name);
    let own = [wishes.of(|n| has(people, n)), wishes.of(|n| !has(people, n) && has(rows, n))];
    if own.iter().map(WishArgs::count).sum::<usize>() < wishes.count() {
        let known = |name: &&str| has(people, name) || has(rows, name);
        let said = match wishes.columns().iter().find(|name| !known(name)) {
            Some(name) => format!("neither table has a column '{name}'"),
            None => "--not-above and --never compare columns of one table".to_owned(),
        };
        return Err(FilesError::option(said));
    }
    let [of_people, of_rows] = own;
    let look = |(_, looks): Known<'_>, name: &str| {
        looks.iter().find(|(n, _)| n == name).map_or(Look::Text, |(_, look)| *look)
    };
    Ok([
        of_people.wishes(people.0, |n| look(people, n))?,
        of_rows.wishes(rows.0, |n| look(rows, n))?,
    ])
}

/// What the keys are called in the two files.
pub(crate) fn names(fhir: Option<&str>, linked_fhir: Option<&str>, key: &str) -> [String; 2] {
    let of =
        |fhir: Option<&str>, word: &str| fhir.map_or_else(|| key.to_owned(), |_| word.to_owned());
    [of(fhir, "id"), of(linked_fhir, "patient_id")]
}

impl StoredLinked {
    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    /// A noisy count of the people whom it was fitted to.
    pub(crate) fn people(&self) -> f64 {
        self.linked.people().rows()
    }

    /// What wishes about people and about linked records can speak of.
    pub(crate) fn wishes(&self, wishes: &WishArgs) -> Result<[Wishes; 2], FilesError> {
        let people = self.linked.people().attributes();
        let people = people.get(..people.len().saturating_sub(1)).unwrap_or_default();
        let rows = self.linked.rows().attributes();
        let rows = rows.get(self.linked.inherited()..).unwrap_or_default();
        let looks = [self.looks(people, &self.people), self.looks(rows, &self.rows)];
        wishes_of(wishes, (people, &looks[0]), (rows, &looks[1]))
    }

    fn looks(&self, attributes: &[Attribute], extras: &Extras) -> Vec<(String, Look)> {
        let of = |a: &Attribute| (a.name().to_string(), extras.look(a.name().as_str(), Some(a)));
        attributes.iter().map(of).collect()
    }

    /// Synthetic people with their records, with the keys under the given names.
    pub(crate) fn sample(
        &self,
        people: usize,
        seed: u64,
        [of_people, of_rows]: &[Wishes; 2],
        [key, foreign]: &[String; 2],
    ) -> Result<Both, FilesError> {
        let terms = |wishes: &Wishes, extras: &Extras, model| {
            let mut conditions = extras.gapless(model)?;
            conditions.extend(wishes.conditions.iter().cloned());
            let constraints = wishes.constraints.clone();
            Ok::<_, FilesError>(salus_synth::Terms { conditions, constraints })
        };
        let (model, rows_model) = (self.linked.people(), self.linked.rows());
        let made = self.linked.sample_where(
            people,
            seed,
            &terms(of_people, &self.people, model)?,
            &terms(of_rows, &self.rows, rows_model)?,
        )?;
        let own = model.attributes();
        let own = own.get(..own.len().saturating_sub(1)).unwrap_or_default();
        let theirs = rows_model.attributes().get(self.linked.inherited()..).unwrap_or_default();
        let number = |n: usize| (n + 1).to_string();
        let keys = Column::from_values(key.as_str(), (0..made.people.len()).map(number))?;
        let owners = made.rows.iter().map(|(owner, _)| number(*owner));
        let owners = Column::from_values(foreign.as_str(), owners)?;
        let bare: Vec<Row> = made.rows.iter().map(|(_, row)| row.clone()).collect();
        let with = |key: Column, table: Table| {
            let columns = std::iter::once(key).chain(table.columns().iter().cloned()).collect();
            Table::from_columns(columns)
        };
        Ok(Both {
            people: with(keys, table_of(&made.people, &self.looks(own, &self.people))?)?,
            rows: with(owners, table_of(&bare, &self.looks(theirs, &self.rows))?)?,
            people_records: made.people,
            rows_records: made.rows,
        })
    }

    /// How the two files were written.
    pub(crate) fn delimiters(&self) -> [Option<u8>; 2] {
        [self.people.delimiter, self.rows.delimiter]
    }
}

/// Where the two tables go, and how.
pub(crate) struct Outs<'a> {
    pub(crate) files: [&'a PathBuf; 2],
    pub(crate) formats: [salus_deid::CsvFormat; 2],
    pub(crate) fhir: [Option<&'a str>; 2],
    /// Nobody is born later.
    pub(crate) now: Timestamp,
}

impl<'a> Outs<'a> {
    fn of(
        args: &'a SynthesiseArgs,
        rows: &'a PathBuf,
        sources: [&Source; 2],
        now: Timestamp,
    ) -> Self {
        Self {
            files: [&args.out, rows],
            formats: sources.map(|source| source.format),
            fhir: [args.fhir.as_deref(), args.linked.linked_fhir.as_deref()],
            now,
        }
    }
}

/// Writes both tables beside their places.
pub(crate) fn stage_both(
    both: &Both,
    outs: &Outs<'_>,
    staged: &mut Staged,
) -> Result<(), FilesError> {
    let tables = [&both.people, &both.rows];
    for ((table, path), (format, fhir)) in
        tables.into_iter().zip(outs.files).zip(outs.formats.into_iter().zip(outs.fhir))
    {
        let bytes = match fhir {
            Some(resource) => crate::fhir::of_drawn(resource, table, outs.now)?,
            None => table_bytes(path, table, format)?,
        };
        staged.add(path, &bytes)?;
    }
    Ok(())
}

/// How many linked records of each unit count.
fn numbers<K: std::hash::Hash + Eq + Copy>(
    rows: impl Iterator<Item = K>,
    most: u32,
) -> HashMap<K, u32> {
    let mut seen = HashMap::new();
    rows.for_each(|unit| *seen.entry(unit).or_insert(0) += 1);
    seen.values_mut().for_each(|n: &mut u32| *n = (*n).min(most));
    seen
}

/// How alike people are, with the numbers of their linked records.
fn people_similarity(
    attributes: &[Attribute],
    most: u32,
    [people, rows]: [&[(UnitKey, Row)]; 2],
    both: &Both,
) -> Result<Similarity, FilesError> {
    let with = |row: &Row, n: Option<&u32>| -> Row {
        row.iter().cloned().chain([Some(n.copied().unwrap_or(0).to_string())]).collect()
    };
    let real = numbers(rows.iter().map(|(unit, _)| *unit), most);
    let made = numbers(both.rows_records.iter().map(|(owner, _)| *owner), most);
    let real = people.iter().map(|(unit, row)| with(row, real.get(unit)));
    let made = both.people_records.iter().enumerate().map(|(i, row)| with(row, made.get(&i)));
    Ok(similarity(&sampled(attributes, real)?, &sampled(attributes, made)?))
}

/// Records, each of somebody else, as a table.
fn sampled(
    attributes: &[Attribute],
    records: impl Iterator<Item = Row>,
) -> Result<salus_synth::Table, FilesError> {
    let mut builder = TableBuilder::new(attributes.to_vec(), 1)?;
    for (unit, record) in (0u128..).zip(records) {
        let fields: Vec<Option<&str>> = record.iter().map(Option::as_deref).collect();
        builder.push(UnitKey::new(unit), &fields)?;
    }
    Ok(builder.finish())
}

/// How alike linked records are, together with what they depend on.
fn linked_similarity(
    link: &Link,
    [people, rows]: [&[(UnitKey, Row)]; 2],
    both: &Both,
) -> Result<Similarity, FilesError> {
    let places: Vec<usize> = link
        .depends_on
        .iter()
        .filter_map(|name| link.people.iter().position(|a| a.name() == name))
        .collect();
    let inherited = places.iter().filter_map(|at| link.people.get(*at)).cloned();
    let attributes: Vec<Attribute> = inherited.chain(link.rows.iter().cloned()).collect();
    let joined = |person: &Row, row: &Row| -> Row {
        places
            .iter()
            .map(|at| person.get(*at).cloned().flatten())
            .chain(row.iter().cloned())
            .collect()
    };
    let by_unit: HashMap<UnitKey, &Row> = people.iter().map(|(unit, row)| (*unit, row)).collect();
    let real = rows.iter().filter_map(|(unit, row)| Some(joined(by_unit.get(unit)?, row)));
    let made = both
        .rows_records
        .iter()
        .filter_map(|(owner, row)| Some(joined(both.people_records.get(*owner)?, row)));
    Ok(similarity(&sampled(&attributes, real)?, &sampled(&attributes, made)?))
}

fn notes_of(args: &SynthesiseArgs, link: &Link, sides: [&Side; 2]) -> Vec<String> {
    let names = link.depends_on.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let mut notes = vec![format!("linked records depend on {names} of their person")];
    for side in sides {
        notes.extend(found_note(&side.domains, &side.looks()));
    }
    if args.domains_are_public || args.hierarchies.is_some() || !args.bounds.is_empty() {
        notes.push(super::report::PUBLIC.to_owned());
    }
    notes
}

/// Which bounds were found, and what that means.
pub(super) fn found_note(domains: &Domains, looks: &[(String, Look)]) -> Option<String> {
    let ranges: Vec<String> = domains
        .attributes
        .iter()
        .filter(|a| domains.found.contains(a.name()))
        .filter_map(|a| {
            let look = looks.iter().find(|(name, _)| name == a.name().as_str())?.1;
            range_of(a, look)
        })
        .collect();
    (!ranges.is_empty()).then(|| {
        format!(
            "bounds found privately, beyond which numbers count as the nearest: {}; give known ones \
             with --bounds",
            ranges.join(", ")
        )
    })
}

fn text(report: &LinkedReport) -> String {
    let mut rows = vec![
        ("people", count(report.records)),
        ("their records", count(report.linked_records)),
        (
            "records a person",
            format!(
                "{:.2}, of real people {:.2}",
                report.linked_per_person[1], report.linked_per_person[0]
            ),
        ),
        (
            "privacy spent",
            format!(
                "{} ({} µρ)",
                bound(report.epsilon_spent, report.delta),
                count(report.micro_rho)
            ),
        ),
        ("quality of people", format!("{:.4} of 1", report.quality)),
        ("of their records", format!("{:.4} of 1", report.linked_quality)),
        ("processor time", format!("{:.0} ms", report.cpu_ms)),
        ("written to", format!("{} and {}", report.out.display(), report.linked_out.display())),
    ];
    rows.extend(report.model.iter().map(|path| ("model", path.display().to_string())));
    format!("Synthetic people and their records\n{}{}", pairs(&rows), notes(&report.notes))
}
