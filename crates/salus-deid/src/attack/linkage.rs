//! Attacks that hold a release against other files: a population, earlier releases.

use hashbrown::{HashMap, HashSet};
use salus_model::EntropyFailed;

use super::frame::{Cover, Field, Frame, covers};
use super::{Attack, Plan, Scene, Tally};
use crate::dice::Dice;
use crate::risk::refine;
use crate::table::{Column, Table};

/// A set of people, sorted into classes of equal values in the columns at hand.
struct Crowd {
    /// One person of each class, as values by column.
    classes: Vec<Vec<u32>>,
    members: Vec<u32>,
    others: Vec<u32>,
}

impl Crowd {
    fn of(frame: &Frame) -> Self {
        let joined: Vec<Vec<u32>> = frame
            .fields
            .iter()
            .map(|f| f.real.iter().chain(&f.control).copied().collect())
            .collect();
        let parts: Vec<(&[u32], usize)> =
            joined.iter().zip(&frame.fields).map(|(c, f)| (c.as_slice(), f.values)).collect();
        let (class_of, number) = refine(frame.people * 2, &parts);
        let mut crowd = Self {
            classes: vec![Vec::new(); number],
            members: vec![0; number],
            others: vec![0; number],
        };
        for (row, &class) in class_of.iter().enumerate() {
            let class = class as usize;
            if crowd.classes[class].is_empty() {
                crowd.classes[class] = joined.iter().map(|codes| codes[row]).collect();
            }
            let side = if row < frame.people { &mut crowd.members } else { &mut crowd.others };
            side[class] += 1;
        }
        crowd
    }
}

/// For released records: is there exactly one person whom the record fits, and is it a member?
///
/// The attacker's file holds members and control people alike; a record that fits one control
/// person only would be linked to somebody who is not in the data, which is what chance does.
/// With a population file, a record that fits several of its people is not linked.
pub(super) fn population(
    frame: &Frame,
    scene: &Scene<'_>,
    plan: &Plan,
    dice: &mut Dice<'_>,
) -> Result<Tally, EntropyFailed> {
    let crowd = Crowd::of(frame);
    let mut index: HashMap<&[u32], usize> = HashMap::new();
    for (class, values) in crowd.classes.iter().enumerate() {
        index.insert(values, class);
    }
    let people = scene.population.and_then(|p| PopulationFile::of(p, scene, frame));
    let targets = dice.choose(frame.released, plan.attempts)?;
    let (mut hits, mut control) = (0, 0);
    for &row in &targets {
        let labels: Vec<(&Field, u32)> =
            frame.fields.iter().map(|f| (f, f.released[row])).collect();
        let (members, others) = fitting(&crowd, &index, &labels);
        if members + others != 1 || people.as_ref().is_some_and(|p| p.fit_several(&labels)) {
            continue;
        }
        hits += u64::from(members == 1);
        control += u64::from(others == 1);
    }
    Ok(Tally::Counted {
        attack: Attack::PopulationLinkage,
        secret: None,
        attempts: targets.len() as u64,
        hits,
        control,
    })
}

/// Members and others whom a record fits, counted up to a few.
fn fitting(crowd: &Crowd, index: &HashMap<&[u32], usize>, labels: &[(&Field, u32)]) -> (u32, u32) {
    let exact: Option<Vec<u32>> = labels
        .iter()
        .map(|(field, label)| match field.covers[*label as usize] {
            Cover::One(value) => Some(value.unwrap_or(u32::MAX)),
            _ => None,
        })
        .collect();
    if let Some(values) = exact {
        return index
            .get(values.as_slice())
            .map_or((0, 0), |&class| (crowd.members[class], crowd.others[class]));
    }
    let (mut members, mut others) = (0, 0);
    for (class, values) in crowd.classes.iter().enumerate() {
        let fits = labels
            .iter()
            .zip(values)
            .all(|((field, label), &value)| field.covers[*label as usize].holds(value));
        if fits {
            members += crowd.members[class];
            others += crowd.others[class];
            if members + others > 1 {
                break;
            }
        }
    }
    (members, others)
}

/// The attacker's own file, in texts that released labels cover.
struct PopulationFile {
    /// By column of the frame, if the file has it: value codes by person, and covers by label.
    columns: Vec<Option<(Vec<u32>, Vec<Cover>)>>,
    rows: usize,
}

impl PopulationFile {
    fn of(table: &Table, scene: &Scene<'_>, frame: &Frame) -> Option<Self> {
        let columns: Vec<Option<(Vec<u32>, Vec<Cover>)>> = frame
            .fields
            .iter()
            .map(|field| {
                let column = table.column(&field.name).ok()?;
                let released = scene.released.column(&field.name).ok()?;
                let texts = dictionary_codes(column);
                let hierarchy = hierarchy_of(scene, &field.name);
                Some((column.codes().to_vec(), covers(released, &texts, hierarchy)))
            })
            .collect();
        columns.iter().any(Option::is_some).then_some(Self { columns, rows: table.rows() })
    }

    fn fit_several(&self, labels: &[(&Field, u32)]) -> bool {
        let mut found = 0;
        for row in 0..self.rows {
            let fits = self.columns.iter().zip(labels).all(|(column, (_, label))| {
                column
                    .as_ref()
                    .is_none_or(|(codes, covers)| covers[*label as usize].holds(codes[row]))
            });
            if fits {
                found += 1;
                if found > 1 {
                    return true;
                }
            }
        }
        false
    }
}

fn dictionary_codes(column: &Column) -> HashMap<&str, u32> {
    column.dictionary().iter().enumerate().map(|(i, text)| (text.as_str(), i as u32)).collect()
}

fn hierarchy_of<'a>(scene: &Scene<'a>, name: &str) -> Option<&'a crate::hierarchy::Hierarchy> {
    scene
        .hierarchies
        .and_then(|q| q.items().iter().find(|item| item.column == name))
        .map(|item| &item.hierarchy)
}

/// What one release leaves possible: groups of records by known labels, with their secrets.
struct Leftover {
    /// By known column: codes of people's texts covered by each label.
    groups: Vec<(Vec<u32>, HashSet<String>)>,
    covers: Vec<Vec<Cover>>,
}

impl Leftover {
    fn of(
        release: &Table,
        scene: &Scene<'_>,
        frame: &Frame,
        known: &[usize],
        secret: &str,
    ) -> Option<Self> {
        let columns: Vec<&Column> = known
            .iter()
            .map(|&f| release.column(&frame.fields[f].name))
            .collect::<Result<_, _>>()
            .ok()?;
        let secrets = release.column(secret).ok()?;
        let mut index: HashMap<Vec<u32>, usize> = HashMap::new();
        let mut groups: Vec<(Vec<u32>, HashSet<String>)> = Vec::new();
        for row in 0..release.rows() {
            let labels: Vec<u32> = columns.iter().map(|c| c.codes()[row]).collect();
            let at = *index.entry(labels.clone()).or_insert_with(|| {
                groups.push((labels, HashSet::new()));
                groups.len() - 1
            });
            groups[at].1.insert(secrets.value(row).unwrap_or_default().to_owned());
        }
        let covers = known
            .iter()
            .zip(&columns)
            .map(|(&f, column)| {
                let name = &frame.fields[f].name;
                let texts = super::frame::value_codes(scene.real, scene.control, name);
                covers(column, &texts, hierarchy_of(scene, name))
            })
            .collect();
        Some(Self { groups, covers })
    }

    /// Secrets of the records that fit; none when no record fits.
    fn possible(&self, values: &[u32]) -> Option<HashSet<String>> {
        let mut possible: Option<HashSet<String>> = None;
        for (labels, secrets) in &self.groups {
            let fits = labels
                .iter()
                .zip(&self.covers)
                .zip(values)
                .all(|((&label, covers), &value)| covers[label as usize].holds(value));
            if fits {
                possible.get_or_insert_default().extend(secrets.iter().cloned());
            }
        }
        possible
    }
}

/// Intersects the secrets that every release leaves possible for a person; a single one left is
/// the guess.
///
/// # Source
/// Ganta, Kasiviswanathan and Smith 2008, "Composition attacks and auxiliary information in data
/// privacy", section 3 (intersection attack).
pub(super) fn differencing(
    frame: &Frame,
    scene: &Scene<'_>,
    plan: &Plan,
    secret: &str,
    dice: &mut Dice<'_>,
) -> Result<Tally, EntropyFailed> {
    let attack = Attack::Differencing;
    if scene.earlier.is_empty() {
        return Ok(Tally::not_run(attack, "there is no earlier release"));
    }
    let Some(at) = frame.position(secret) else {
        return Ok(Tally::not_run(attack, format!("the release has no column '{secret}'")));
    };
    let known: Vec<usize> = (0..frame.fields.len()).filter(|&f| f != at).collect();
    let releases: Option<Vec<Leftover>> = std::iter::once(&scene.released)
        .chain(scene.earlier)
        .map(|release| Leftover::of(release, scene, frame, &known, secret))
        .collect();
    let Some(releases) = releases else {
        return Ok(Tally::not_run(attack, "an earlier release lacks a column of this one"));
    };
    let texts = super::frame::value_codes(scene.real, scene.control, secret);
    let mut text_of: Vec<&str> = vec![""; texts.len()];
    for (text, &code) in &texts {
        text_of[code as usize] = text;
    }
    let targets = dice.choose(frame.people, plan.attempts)?;
    let found = |row: usize, member: bool| {
        let pick = |f: &Field| if member { f.real[row] } else { f.control[row] };
        let values: Vec<u32> = known.iter().map(|&f| pick(&frame.fields[f])).collect();
        let left = releases
            .iter()
            .filter_map(|release| release.possible(&values))
            .reduce(|a, b| a.intersection(&b).cloned().collect());
        left.is_some_and(|set| {
            set.len() == 1 && set.contains(text_of[pick(&frame.fields[at]) as usize])
        })
    };
    let count = |member| targets.iter().filter(|&&row| found(row, member)).count() as u64;
    Ok(Tally::Counted {
        attack,
        secret: Some(secret.to_owned()),
        attempts: targets.len() as u64,
        hits: count(true),
        control: count(false),
    })
}
