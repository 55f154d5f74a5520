//! Two files about the same people, joined through the release.
//!
//! The columns are split in two, as if two files each had one part, and for both parts of a person
//! the nearest released records are looked up. Where a part leaves several records equally near,
//! which is the rule with categories, there are two attackers: one draws lots, as the attack was
//! published, and one keeps all of them, who needs that a single record is nearest by both parts.
//! On copies of people the second links many times as many.

use hashbrown::HashMap;
use salus_model::EntropyFailed;

use super::frame::{Field, Frame};
use super::neighbours::values;
use super::{Attack, Halves, Plan, Tally};
use crate::dice::Dice;

/// Nearest records are sorted out whenever so many were found.
const SORT_AT: usize = 256;

/// Released records that agree in some columns, taken together.
struct Half<'f> {
    columns: Vec<usize>,
    fields: Vec<&'f Field>,
    /// Rows of each distinct combination of labels.
    groups: Vec<Vec<u32>>,
}

/// Groups of equally near records, and how near.
struct Level {
    distance: f64,
    groups: Vec<usize>,
    rows: usize,
}

impl<'f> Half<'f> {
    fn new(frame: &'f Frame, columns: &[usize]) -> Self {
        let fields: Vec<&Field> = columns.iter().map(|&f| &frame.fields[f]).collect();
        let mut known: HashMap<Vec<u32>, usize> = HashMap::new();
        let mut groups: Vec<Vec<u32>> = Vec::new();
        for row in 0..frame.released {
            let labels: Vec<u32> = fields.iter().map(|f| f.released[row]).collect();
            let at = *known.entry(labels).or_insert_with(|| {
                groups.push(Vec::new());
                groups.len() - 1
            });
            groups[at].push(row as u32);
        }
        Self { columns: columns.to_vec(), fields, groups }
    }

    /// How far a released row is from a person's values, unless it is farther than `limit`.
    fn distance(&self, row: u32, values: &[u32], limit: f64) -> Option<f64> {
        let mut distance = 0.0;
        for (field, &value) in self.fields.iter().zip(values) {
            distance += field.gap(field.released[row as usize], value);
            if distance > limit {
                return None;
            }
        }
        Some(distance)
    }

    /// The levels of nearness that hold at least `k` records, nearest first.
    fn levels(&self, values: &[u32], k: usize) -> Vec<Level> {
        let mut limit = f64::INFINITY;
        let mut found: Vec<(f64, usize)> = Vec::new();
        for (group, rows) in self.groups.iter().enumerate() {
            if let Some(distance) = self.distance(rows[0], values, limit) {
                found.push((distance, group));
            }
            if found.len() >= SORT_AT {
                let levels = self.sorted(&mut found, k);
                limit = levels.last().map_or(limit, |l| l.distance);
                found.retain(|(distance, _)| *distance <= limit);
            }
        }
        self.sorted(&mut found, k)
    }

    fn sorted(&self, found: &mut [(f64, usize)], k: usize) -> Vec<Level> {
        found.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut levels: Vec<Level> = Vec::new();
        let mut rows = 0;
        for &(distance, group) in found.iter() {
            match levels.last_mut().filter(|l| l.distance >= distance) {
                Some(level) => {
                    level.groups.push(group);
                    level.rows += self.groups[group].len();
                }
                None if rows >= k => break,
                None => {
                    let own = self.groups[group].len();
                    levels.push(Level { distance, groups: vec![group], rows: own });
                }
            }
            rows += self.groups[group].len();
        }
        levels
    }

    /// The `k` nearest records, by lot among the farthest of them.
    fn draw(
        &self,
        levels: &[Level],
        k: usize,
        dice: &mut Dice<'_>,
    ) -> Result<Vec<u32>, EntropyFailed> {
        let mut drawn: Vec<u32> = Vec::with_capacity(k);
        for level in levels {
            let mut rows = level.groups.iter().flat_map(|g| &self.groups[*g]);
            let wanted = k - drawn.len();
            if level.rows <= wanted {
                drawn.extend(rows);
                continue;
            }
            let mut places: Vec<usize> = Vec::with_capacity(wanted);
            while places.len() < wanted {
                let place = dice.below(level.rows)?;
                if !places.contains(&place) {
                    places.push(place);
                }
            }
            places.sort_unstable();
            let mut next = 0;
            for place in places {
                drawn.extend(rows.nth(place - next));
                next = place + 1;
            }
        }
        Ok(drawn)
    }
}

/// Both attackers.
///
/// # Source
/// Giomi et al. 2023, "A unified framework for quantifying privacy risk in synthetic data",
/// section 4.2, for the first: a link is made when the sets of nearest records meet.
pub(super) fn linkability(
    frame: &Frame,
    plan: &Plan,
    dice: &mut Dice<'_>,
) -> Result<[Tally; 2], EntropyFailed> {
    let all = 0..frame.fields.len();
    let (left, right): (Vec<usize>, Vec<usize>) = match &plan.linking.halves {
        Halves::ByLot => {
            let order = dice.choose(frame.fields.len(), frame.fields.len())?;
            let (left, right) = order.split_at(order.len() / 2);
            (left.to_vec(), right.to_vec())
        }
        Halves::First(names) => all.partition(|&f| names.contains(&frame.fields[f].name)),
    };
    if left.is_empty() || right.is_empty() {
        let reason = "one of the two files has none of the release's columns";
        return Ok([Attack::Linkability, Attack::LinkabilityAllNearest]
            .map(|attack| Tally::not_run(attack, reason)));
    }
    let halves = [Half::new(frame, &left), Half::new(frame, &right)];
    let targets = dice.choose(frame.people, plan.attempts)?;
    let mut hits = [[0, 0]; 2];
    for &row in &targets {
        for (side, member) in [true, false].into_iter().enumerate() {
            let linked = links(frame, &halves, plan.linking.neighbours.get(), row, member, dice)?;
            for (attacker, linked) in hits.iter_mut().zip(linked) {
                attacker[side] += u64::from(linked);
            }
        }
    }
    let tally = |attack, [hits, control]: [u64; 2]| Tally::Counted {
        attack,
        secret: None,
        attempts: targets.len() as u64,
        hits,
        control,
        times: 1.0,
    };
    let [by_lot, all_nearest] = hits;
    Ok([tally(Attack::Linkability, by_lot), tally(Attack::LinkabilityAllNearest, all_nearest)])
}

/// Whether each of the two attackers links a person's halves.
fn links(
    frame: &Frame,
    halves: &[Half<'_>; 2],
    neighbours: usize,
    row: usize,
    member: bool,
    dice: &mut Dice<'_>,
) -> Result<[bool; 2], EntropyFailed> {
    let [left, right] = halves;
    let of = |half: &Half<'_>| values(frame, &half.columns, row, member);
    let (a, b) = (of(left), of(right));
    let (near_a, near_b) = (left.levels(&a, neighbours), right.levels(&b, neighbours));
    let drawn = left.draw(&near_a, neighbours, dice)?;
    let by_lot = right.draw(&near_b, neighbours, dice)?.iter().any(|r| drawn.contains(r));
    let (Some(first), Some(second)) = (near_a.first(), near_b.first()) else {
        return Ok([by_lot, false]);
    };
    // Looked for among the fewer records.
    let (few, other, values, limit) = if first.rows <= second.rows {
        ((left, first), right, &b, second.distance)
    } else {
        ((right, second), left, &a, first.distance)
    };
    let rows = few.1.groups.iter().flat_map(|g| &few.0.groups[*g]);
    let mut common = rows.filter(|&&r| other.distance(r, values, limit).is_some());
    let only_one = common.next().is_some() && common.next().is_none();
    Ok([by_lot, only_one])
}
