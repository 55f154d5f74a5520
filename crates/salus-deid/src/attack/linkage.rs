//! Attacks that hold a release against other files: a population, earlier releases.

use hashbrown::HashMap;
use salus_model::EntropyFailed;

use super::frame::{Cover, Field, Frame, covers, hierarchy_of};
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
        let (class_of, number) = refine(frame.members + frame.people, &parts);
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
            let side = if row < frame.members { &mut crowd.members } else { &mut crowd.others };
            side[class] += 1;
        }
        crowd
    }
}

/// For released records: is there exactly one person whom the record fits, and is it a member?
///
/// The attacker's file holds all members, and control people; a record that fits one control
/// person only would be linked to somebody who is not in the data, which is what chance does, and
/// does to members as many times as there are more of them.
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
        times: frame.times(),
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
