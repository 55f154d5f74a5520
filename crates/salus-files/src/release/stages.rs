//! The steps of a plan.

use std::num::{NonZeroU8, NonZeroU32};

use salus_deid::risk::Risk;
use salus_deid::transform::shuffle;
use salus_deid::utility::{Curve, Volume};
use salus_deid::{Column, Table};
use salus_dp::{Domain, UnitKey};
use salus_model::{Clock, ColumnPath, Entropy, MicroRho};
use salus_synth::{Attribute, Condition, Kind, Missing, Model, TableBuilder, fit};
use serde::Serialize;

use super::plan::{AugmentPlan, How, Plan};
use super::{Assessment, SynthesiseReport, anonymise, synthesise};
use crate::error::FilesError;
use crate::evidence::{self, Effort, Evidence, Trial};
use crate::file::Source;
use crate::synthesise::Meter;
use crate::unbias::{self, UnbiasArgs, UnbiasReport};
use crate::watch::Watch;

/// What augmenting added.
#[derive(Debug, Clone, Serialize)]
pub struct Augmented {
    /// Synthetic records.
    pub added: u64,
    /// Records in all.
    pub records: u64,
    /// Of the added ones, those that fill up rare classes.
    pub for_rare_classes: u64,
    /// Records that there were to be.
    pub to: u64,
}

impl Augmented {
    /// Whether anything was added.
    pub(super) const fn any(&self) -> bool {
        self.added > 0
    }
}

/// The column that says which records are synthetic.
const MARK: &str = "synthetic";

/// A loss so large that the model has next to no noise: what it is fitted to is published anyway.
const NO_NOISE: MicroRho = MicroRho::new(100_000_000_000);

/// A plan with what it is carried out on.
pub(super) struct Chain<'a> {
    pub(super) plan: &'a Plan,
    pub(super) how: &'a How,
    pub(super) unbias: Option<&'a UnbiasArgs>,
    pub(super) source: &'a Source,
    pub(super) watch: &'a dyn Watch,
    pub(super) clock: &'a dyn Clock,
}

type Base = (Table, Option<anonymise::Made>, Option<SynthesiseReport>);

impl Chain<'_> {
    /// The columns that others may know.
    fn known(&self) -> Result<Vec<String>, FilesError> {
        match self.how {
            How::Anonymise(args) => {
                let whose = args.person.as_slice();
                let apart =
                    [args.sensitive.as_slice(), args.identifiers.as_slice(), whose].concat();
                self.source.columns("quasi-identifiers", &args.quasi_identifiers, &apart)
            }
            How::Synthesise(args) => {
                let mut apart = args.without.clone();
                apart.extend(args.person.clone());
                self.source.columns("quasi-identifiers", &["all".to_owned()], &apart)
            }
        }
    }

    /// The table as it is: its risk, its score, and whether its target can be learnt.
    pub(super) fn assess(&self, entropy: &mut dyn Entropy) -> Result<Assessment, FilesError> {
        let known = self.known()?;
        let columns: Vec<&str> = known.iter().map(String::as_str).collect();
        let table = &self.source.table;
        let risk = match self.person() {
            Some(person) => Risk::of_people(table, &columns, person, None)?,
            None => Risk::of_table(table, &columns, None)?,
        };
        let trial = Trial { person: self.person(), ..Trial::ONCE };
        let raw =
            evidence::of_recipe(table, None, &[], trial, entropy, |half, _| Ok(half.clone()))?;
        Ok(Assessment {
            records: risk.records,
            average_risk: risk.average,
            sample_unique: risk.sample_unique,
            score: raw.score,
            volume: self.volume(table, entropy)?,
        })
    }

    fn person(&self) -> Option<&str> {
        match self.how {
            How::Anonymise(args) => args.person.as_deref(),
            How::Synthesise(args) => args.person.as_deref(),
        }
    }

    /// How well the plan's target is learnt from a table.
    pub(super) fn volume(
        &self,
        table: &Table,
        entropy: &mut dyn Entropy,
    ) -> Result<Option<Volume>, FilesError> {
        let Some(wanted) = &self.plan.volume else { return Ok(None) };
        self.source.require("volume, target", std::slice::from_ref(&wanted.target))?;
        let known = self.known()?;
        // A column that tells everybody apart teaches nothing.
        let features: Vec<&str> = known
            .iter()
            .map(String::as_str)
            .filter(|name| {
                table.column(name).is_ok_and(|c| c.dictionary().len() * 2 <= table.rows().max(2))
            })
            .collect();
        Ok(Some(Volume::measure(table, &features, &wanted.target, Curve::USUAL, entropy)?))
    }

    /// The records as they would be published, in an order that tells nothing.
    pub(super) fn base(
        &self,
        meter: &mut Meter,
        entropy: &mut dyn Entropy,
    ) -> Result<Base, FilesError> {
        match self.how {
            How::Anonymise(args) => {
                let made = anonymise::make(args, self.source, self.watch, self.clock, entropy)?;
                let table = shuffled(&made.published()?, entropy)?;
                Ok((table, Some(made), None))
            }
            How::Synthesise(args) => {
                let (made, report, _) = synthesise::tried(args, self.source, meter, entropy)?;
                Ok((made.table, None, Some(report)))
            }
        }
    }

    /// Adds synthetic records where the published ones are not enough.
    pub(super) fn augment(
        &self,
        base: &Table,
        enough: Option<bool>,
        entropy: &mut dyn Entropy,
    ) -> Result<(Table, Option<Augmented>), FilesError> {
        let Some(wanted) = &self.plan.augment else { return Ok((base.clone(), None)) };
        if enough == Some(true) {
            return Ok((base.clone(), None));
        }
        let (target, least) = match &self.plan.volume {
            Some(v) => (Some(v.target.as_str()), v.least_per_class),
            None => (None, 0),
        };
        let fill = Fill { to: wanted.to as usize, target, least };
        let (table, added) = augmented(base, wanted, fill, entropy)?;
        Ok((table, Some(added)))
    }

    /// Mends bias where the plan wants that.
    pub(super) fn mend(&self, table: Table) -> Result<(Table, Option<UnbiasReport>), FilesError> {
        let Some(args) = self.unbias else { return Ok((table, None)) };
        let source = self.source.with_table(table);
        let (table, report) = unbias::mend(args, &source)?;
        Ok((table, Some(report)))
    }

    /// Attacks the whole chain: half of the people go through it, the others are the control.
    /// `grown` says whether synthetic records were added.
    pub(super) fn attack(
        &self,
        made: Option<&anonymise::Made>,
        grown: bool,
        entropy: &mut dyn Entropy,
    ) -> Result<Evidence, FilesError> {
        let looks = |most: u8, until: Option<f64>| match until {
            Some(_) => NonZeroU32::from(NonZeroU8::new(most).unwrap_or(NonZeroU8::MIN)),
            None => NonZeroU32::MIN,
        };
        let (looks, secrets, attempts) = match self.how {
            How::Anonymise(a) => {
                let tried = made.and_then(|made| made.args.attempts).or(a.attempts);
                (looks(a.most_attempts, a.until_score), a.sensitive.clone(), tried)
            }
            How::Synthesise(a) => (looks(a.most_attempts, a.until_score), Vec::new(), a.attempts),
        };
        let effort = attempts.map_or(Effort::Beside, |n| Effort::Attempts(n as usize));
        let drawn = matches!(self.how, How::Synthesise(_));
        let trial = Trial { effort, looks, person: self.person(), drawn };
        let quasi = made.map(|made| &made.quasi);
        let (table, mut unmended) = (&self.source.table, false);
        let mut evidence =
            evidence::of_recipe(table, quasi, &secrets, trial, entropy, |half, entropy| {
                let base = match (self.how, made) {
                    (How::Anonymise(_), Some(made)) => {
                        made.same_way(self.source, half, self.clock, entropy)?
                    }
                    (How::Synthesise(args), _) => {
                        let half = self.source.with_table(half.clone());
                        synthesise::make(args, &half, &mut Meter::new(), entropy)?.table
                    }
                    (How::Anonymise(_), None) => half.clone(),
                };
                let base = match &self.plan.augment {
                    Some(wanted) if grown => {
                        let to = wanted.to as usize / 2;
                        augmented(&base, wanted, Fill { to, target: None, least: 0 }, entropy)?.0
                    }
                    _ => base,
                };
                // Half of the people may lack an outcome in a small group that all of them have.
                match self.mend(base.clone()) {
                    Ok((mended, _)) => Ok(mended),
                    Err(_) => {
                        unmended = true;
                        Ok(base)
                    }
                }
            })?;
        if unmended {
            evidence.words.push_str(
                " Bias could not be mended in the half that was attacked, which was attacked \
                 without.",
            );
        }
        Ok(evidence)
    }
}

/// The records of a published table that are people's, without those that augmenting has drawn.
pub(super) fn not_drawn(table: &Table) -> Result<Table, FilesError> {
    let marks = |c: &&Column| c.name().trim_end_matches('_') == MARK;
    let Some(mark) = table.columns().iter().rev().find(marks) else { return Ok(table.clone()) };
    let marked = mark.dictionary().iter().all(|value| matches!(value.as_str(), "yes" | "no"));
    if !marked {
        return Ok(table.clone());
    }
    let own = (0..table.rows()).filter(|row| mark.value(*row) == Some("no"));
    Ok(table.select(own)?)
}

fn shuffled(table: &Table, entropy: &mut dyn Entropy) -> Result<Table, FilesError> {
    let order = shuffle(table.rows(), entropy).map_err(|e| FilesError::Transform(e.into()))?;
    Ok(table.select(order)?)
}

/// How many records there are to be, and of which classes.
struct Fill<'a> {
    to: usize,
    target: Option<&'a str>,
    least: u64,
}

/// Adds records drawn from a model of the published ones.
fn augmented(
    base: &Table,
    wanted: &AugmentPlan,
    fill: Fill<'_>,
    entropy: &mut dyn Entropy,
) -> Result<(Table, Augmented), FilesError> {
    let model = model_of(base, wanted)?;
    let mut seed = [0; 8];
    entropy.fill(&mut seed).map_err(|e| FilesError::Transform(e.into()))?;
    let seed = u64::from_le_bytes(seed);
    let mut records: Vec<Vec<Option<String>>> = Vec::new();
    if let Some(target) = fill.target {
        let column = base.column(target)?;
        for (i, (class, known)) in column.dictionary().iter().zip(column.counts()).enumerate() {
            if known == 0 || known >= fill.least {
                continue;
            }
            let only = [Condition::OneOf {
                attribute: ColumnPath::new(target)?,
                values: vec![class.clone()],
            }];
            let missing = (fill.least - known) as usize;
            let sample = model.sample(missing, seed.wrapping_add(1 + i as u64), &only, &[])?;
            records.extend_from_slice(sample.records());
        }
    }
    let rare = records.len();
    let more = fill.to.saturating_sub(base.rows() + rare);
    if more > 0 {
        records.extend_from_slice(model.sample(more, seed, &[], &[])?.records());
    }
    let added = Augmented {
        added: records.len() as u64,
        records: (base.rows() + records.len()) as u64,
        for_rare_classes: rare as u64,
        to: fill.to as u64,
    };
    if records.is_empty() {
        return Ok((base.clone(), added));
    }
    let columns = base
        .columns()
        .iter()
        .enumerate()
        .map(|(c, column)| {
            let own = (0..base.rows()).map(|row| column.value(row).unwrap_or_default());
            let drawn = records.iter().map(|r| r.get(c).and_then(Option::as_deref).unwrap_or(""));
            Ok(Column::from_values(column.name(), own.chain(drawn))?)
        })
        .collect::<Result<Vec<_>, FilesError>>()?;
    let mark = (0..base.rows()).map(|_| "no").chain(records.iter().map(|_| "yes"));
    let mut name = MARK.to_owned();
    while base.column(&name).is_ok() {
        name.push('_');
    }
    let table = Table::from_columns(columns)?.with_column(Column::from_values(name, mark)?)?;
    Ok((table, added))
}

/// A model of published records: their values are public by being published.
fn model_of(base: &Table, wanted: &AugmentPlan) -> Result<Model, FilesError> {
    let attributes = base
        .columns()
        .iter()
        .map(|column| {
            let counts = column.counts();
            let used = column.dictionary().iter().zip(counts).filter(|(_, n)| *n > 0);
            let domain = Domain::new(used.map(|(value, _)| value.clone()).collect())?;
            let name = ColumnPath::new(column.name())?;
            Ok(Attribute::new(name, Kind::Category(domain), Missing::Never)?)
        })
        .collect::<Result<Vec<_>, FilesError>>()?;
    let mut builder = TableBuilder::new(attributes, 1)?;
    for row in 0..base.rows() {
        let fields: Vec<Option<&str>> = base.columns().iter().map(|c| c.value(row)).collect();
        builder.push(UnitKey::new(row as u128), &fields)?;
    }
    Ok(fit(&builder.finish(), wanted.method.into(), NO_NOISE)?)
}
