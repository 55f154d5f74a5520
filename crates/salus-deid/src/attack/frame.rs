//! The tables of an attack in one coding.

use hashbrown::{HashMap, HashSet};
use serde::Serialize;

use super::{AttackError, Scene};
use crate::dice::Dice;
use crate::hierarchy::{Hierarchy, SUPPRESSED};
use crate::table::{Column, Table};

/// What a released label stands for, in codes of people's values.
#[derive(Debug, Clone)]
pub(super) enum Cover {
    /// One value, or none that anybody has.
    One(Option<u32>),
    /// Some values.
    Some(HashSet<u32>),
    /// Any value.
    All,
}

impl Cover {
    pub(super) fn holds(&self, value: u32) -> bool {
        match self {
            Self::One(only) => *only == Some(value),
            Self::Some(values) => values.contains(&value),
            Self::All => true,
        }
    }
}

/// One column: people's values coded over members and control people alike, in random order.
pub(super) struct Field {
    pub(super) name: String,
    pub(super) real: Vec<u32>,
    pub(super) control: Vec<u32>,
    pub(super) released: Vec<u32>,
    pub(super) covers: Vec<Cover>,
    /// Numbers behind people's values and, where they are numbers too, behind released labels.
    pub(super) numbers: Option<Numbers>,
    pub(super) values: usize,
}

/// A column of numbers and gaps.
pub(super) struct Numbers {
    /// None where the value is missing.
    pub(super) of_value: Vec<Option<f64>>,
    /// None where the label is no single number.
    pub(super) of_label: Vec<Option<f64>>,
    /// Whether a label says that the value is missing.
    pub(super) missing: Vec<bool>,
    pub(super) range: f64,
}

impl Numbers {
    /// How far a label is from a value, if the label is a number or says that there is none.
    fn gap(&self, label: u32, value: u32) -> Option<f64> {
        match (self.of_label[label as usize], self.of_value[value as usize]) {
            (Some(number), Some(value)) => Some((number - value).abs() / self.range),
            (Some(_), None) => Some(1.0),
            (None, value) if self.missing[label as usize] => Some(f64::from(value.is_some())),
            (None, _) => None,
        }
    }

    /// Whether a label says a number, or of somebody's missing value that it is missing.
    fn tells(&self, label: usize) -> bool {
        let gaps = self.missing[label] && self.of_value.iter().any(Option::is_none);
        self.of_label[label].is_some() || gaps
    }
}

impl Field {
    /// How far a released label is from a value, from 0 to 1.
    pub(super) fn gap(&self, label: u32, value: u32) -> f64 {
        if let Some(gap) = self.numbers.as_ref().and_then(|n| n.gap(label, value)) {
            return gap;
        }
        if self.covers[label as usize].holds(value) { 0.0 } else { 1.0 }
    }
}

/// Members, control people, and the release.
pub(super) struct Frame {
    pub(super) fields: Vec<Field>,
    /// Control people, and as many members, which come first: whoever is attacked one by one.
    pub(super) people: usize,
    /// All members: whoever a released record may be about.
    pub(super) members: usize,
    pub(super) released: usize,
}

/// Codes texts alike over several columns.
struct Coder<'t> {
    known: HashMap<&'t str, u32>,
}

impl<'t> Coder<'t> {
    fn code(&mut self, column: &'t Column, rows: &[usize]) -> Vec<u32> {
        let renamed: Vec<u32> = column
            .dictionary()
            .iter()
            .map(|text| {
                let next = self.known.len() as u32;
                *self.known.entry(text).or_insert(next)
            })
            .collect();
        rows.iter().map(|&row| renamed[column.codes()[row] as usize]).collect()
    }
}

impl Frame {
    /// Takes all members, and no more control people than those.
    ///
    /// People are attacked one by one in equal numbers. A released record may be about any member:
    /// among fewer of them it would be about nobody, and what several share would look like one
    /// person's. There chance among the members is [`Frame::times`] that among the control people.
    pub(super) fn new(scene: &Scene<'_>, dice: &mut Dice<'_>) -> Result<Self, AttackError> {
        let names = shared_columns(scene);
        if names.len() < 2 {
            return Err(AttackError::Plan(
                "the release shares fewer than two columns with the real and control tables",
            ));
        }
        let (members, others) = (
            people_of(scene.real, scene.person, dice)?,
            people_of(scene.control, scene.person, dice)?,
        );
        let people = members.len().min(others.len());
        let pick = |all: &[usize], n, dice: &mut Dice<'_>| -> Result<Vec<usize>, AttackError> {
            Ok(dice.choose(all.len(), n)?.into_iter().map(|i| all[i]).collect())
        };
        let real_rows = pick(&members, members.len(), dice)?;
        let control_rows = pick(&others, people, dice)?;
        // The order of a release must not tell: attacks see it shuffled.
        let released_rows = dice.choose(scene.released.rows(), scene.released.rows())?;
        let fields = names
            .iter()
            .map(|name| {
                let hierarchy = hierarchy_of(scene, name);
                let mut coder = Coder { known: HashMap::new() };
                let real = coder.code(scene.real.column(name)?, &real_rows);
                let control = coder.code(scene.control.column(name)?, &control_rows);
                let column = scene.released.column(name)?;
                Ok(Field {
                    name: (*name).to_owned(),
                    covers: covers(column, &coder.known, hierarchy),
                    numbers: numbers(&coder.known, column),
                    values: coder.known.len(),
                    released: released_rows.iter().map(|&r| column.codes()[r]).collect(),
                    real,
                    control,
                })
            })
            .collect::<Result<Vec<_>, AttackError>>()?;
        Ok(Self { fields, people, members: members.len(), released: scene.released.rows() })
    }

    /// Members for each control person.
    pub(super) fn times(&self) -> f64 {
        self.members as f64 / self.people.max(1) as f64
    }

    pub(super) fn position(&self, name: &str) -> Option<usize> {
        self.fields.iter().position(|f| f.name == name)
    }
}

/// Columns of the release that people have. Whose a record is, is nothing that an attack reads.
pub(super) fn shared_columns<'a>(scene: &Scene<'a>) -> Vec<&'a str> {
    let names = scene.released.columns().iter().map(Column::name);
    names
        .filter(|name| scene.person != Some(*name))
        .filter(|name| scene.real.column(name).is_ok() && scene.control.column(name).is_ok())
        .collect()
}

/// A column of the release with labels that stand for nobody's value: what they say is lost on
/// every attack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unmatched {
    /// The column.
    pub column: String,
    /// Released records with such a label.
    pub records: u64,
    /// The first of them, counted from 1.
    pub first: u64,
}

/// The columns of a release with labels that stand for no value of a member or a control person:
/// written otherwise, or generalised by hierarchies that the scene lacks.
///
/// # Errors
/// When a shared column is missing.
pub fn unmatched(scene: &Scene<'_>) -> Result<Vec<Unmatched>, AttackError> {
    let mut found = Vec::new();
    for name in shared_columns(scene) {
        let released = scene.released.column(name)?;
        let values = value_codes(scene.real, scene.control, name);
        let covers = covers(released, &values, hierarchy_of(scene, name));
        let numbers = numbers(&values, released);
        let lost: Vec<bool> = covers
            .iter()
            .enumerate()
            .map(|(label, cover)| {
                let number = numbers.as_ref().is_some_and(|n| n.tells(label));
                matches!(cover, Cover::One(None)) && !number
            })
            .collect();
        let mut records = released.codes().iter().map(|&label| lost[label as usize]);
        if let Some(first) = records.position(|lost| lost) {
            found.push(Unmatched {
                column: name.to_owned(),
                records: 1 + records.filter(|lost| *lost).count() as u64,
                first: first as u64 + 1,
            });
        }
    }
    Ok(found)
}

/// The hierarchy that a column's released labels come from.
pub(super) fn hierarchy_of<'a>(scene: &Scene<'a>, name: &str) -> Option<&'a Hierarchy> {
    let item = scene.hierarchies?.items().iter().find(|item| item.column == name)?;
    Some(&item.hierarchy)
}

/// One record of each person, drawn by lot.
fn people_of(
    table: &Table,
    person: Option<&str>,
    dice: &mut Dice<'_>,
) -> Result<Vec<usize>, AttackError> {
    let Some(person) = person else { return Ok((0..table.rows()).collect()) };
    let whose = table.column(person)?.codes();
    let mut met = HashSet::new();
    let mut rows = dice.choose(table.rows(), table.rows())?;
    rows.retain(|&row| met.insert(whose[row]));
    Ok(rows)
}

/// What each label of a released column stands for.
pub(super) fn covers(
    released: &Column,
    values: &HashMap<&str, u32>,
    hierarchy: Option<&Hierarchy>,
) -> Vec<Cover> {
    let mut below: HashMap<&str, HashSet<u32>> = HashMap::new();
    if let Some(hierarchy) = hierarchy {
        for (text, &code) in values {
            for level in 1..=hierarchy.top() {
                if let Some(label) = hierarchy.generalise(text, level) {
                    below.entry(label).or_default().insert(code);
                }
            }
        }
    }
    released
        .dictionary()
        .iter()
        .map(|label| match (values.get(label.as_str()), below.remove(label.as_str())) {
            _ if label == SUPPRESSED => Cover::All,
            (Some(&code), Some(mut more)) => {
                more.insert(code);
                Cover::Some(more)
            }
            (Some(&code), None) => Cover::One(Some(code)),
            (None, Some(some)) => Cover::Some(some),
            (None, None) => Cover::One(None),
        })
        .collect()
}

/// The numbers of a column in which every value is one or is missing, and not all are missing.
fn numbers(values: &HashMap<&str, u32>, released: &Column) -> Option<Numbers> {
    use crate::number::{is_missing, parse};
    let mut of_value = vec![None; values.len()];
    for (text, &code) in values {
        of_value[code as usize] = parse(text);
        if of_value[code as usize].is_none() && !is_missing(text) {
            return None;
        }
    }
    let labels = released.dictionary();
    let of_label: Vec<Option<f64>> = labels.iter().map(|t| parse(t)).collect();
    let missing = labels.iter().map(|t| is_missing(t)).collect();
    let all = || of_value.iter().chain(&of_label).flatten().copied();
    let low = all().reduce(f64::min)?;
    let high = all().reduce(f64::max)?;
    of_value.iter().any(Option::is_some).then_some(())?;
    let range = (high - low).max(f64::MIN_POSITIVE);
    Some(Numbers { of_value, of_label, missing, range })
}

/// The codes that a frame gives to the texts of people's values of a column.
pub(super) fn value_codes<'t>(
    real: &'t Table,
    control: &'t Table,
    name: &str,
) -> HashMap<&'t str, u32> {
    let mut known: HashMap<&str, u32> = HashMap::new();
    for source in [real, control] {
        if let Ok(column) = source.column(name) {
            for text in column.dictionary() {
                let next = known.len() as u32;
                known.entry(text).or_insert(next);
            }
        }
    }
    known
}
