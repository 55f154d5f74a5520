//! Neighbours of a node weighed without hashing a record, where k-anonymity is all that is asked.
//!
//! A [`Stand`] knows the class of each distinct record at its node. One level down in a column
//! splits each class into a few cells, which are counted in a plain array; one level up merges
//! whole classes, of which there are far fewer than records. So a step costs a pass over the
//! distinct records with one addition each, where a roll-up costs a hash of a whole key.

use hashbrown::HashMap;

use crate::engine::Engine;
use crate::loss::{ColumnSums, Loss};
use crate::model::ClassRule;

/// Cells beyond which a step is left to the general engine's roll-up.
const MOST_CELLS: usize = 1 << 23;

/// One column's hierarchy over the values that occur, with the distinct records' values.
struct Lane {
    /// Node at level 0 of each distinct record.
    codes: Vec<u32>,
    levels: Vec<Height>,
    domain: u64,
    /// Σ of domain values over all records, by level.
    shares: Vec<u64>,
}

/// One level of a lane.
struct Height {
    /// Node of each node at level 0.
    node_of: Vec<u32>,
    leaves: Vec<u32>,
    /// The node one level up, and which of its children this node is; none at the top.
    parent: Vec<u32>,
    rank: Vec<u32>,
    /// Children one level down.
    children: Vec<Vec<u32>>,
    /// The most children of a node.
    widest: usize,
    /// A word for each node, so that a sum of words stands for a key.
    words: Vec<u64>,
}

/// Everything about a problem that does not depend on the node.
pub(super) struct Swift {
    k: u64,
    limit: u64,
    rows: u64,
    loss: Loss,
    lanes: Vec<Lane>,
    /// Records of each distinct record.
    weights: Vec<u32>,
    counts: Vec<u32>,
    /// Nodes weighed.
    pub(super) weighed: u64,
}

/// The classes of a node.
#[derive(Clone)]
pub(super) struct Stand {
    pub(super) levels: Vec<u8>,
    class_of: Vec<u32>,
    /// By class, a column after the other: its node.
    nodes: Vec<u32>,
    keys: Vec<u64>,
}

impl Swift {
    /// The problem, if k-anonymity is all that it asks.
    pub(super) fn new<const W: usize>(engine: &Engine<'_, W>) -> Option<Self> {
        let problem = engine.problem;
        let mut k = 0;
        for rule in &problem.class_rules {
            match rule {
                ClassRule::Size { k: own } => k = (*own).max(k),
                _ => return None,
            }
        }
        let plain = problem.population.is_none() && problem.person.is_none();
        if !problem.release_rules.is_empty() || !plain {
            return None;
        }
        let lanes = (0..engine.width()).map(|c| Lane::of(engine, c)).collect();
        Some(Self {
            k,
            limit: problem.limit,
            rows: problem.table.rows() as u64,
            loss: problem.loss,
            lanes,
            weights: engine.base.counts.clone(),
            counts: Vec::new(),
            weighed: 0,
        })
    }

    pub(super) fn tops(&self) -> Vec<u8> {
        self.lanes.iter().map(|lane| (lane.levels.len() - 1) as u8).collect()
    }

    /// The classes at a node, from the distinct records.
    pub(super) fn stand(&self, levels: &[u8]) -> Stand {
        let mut index: HashMap<u64, u32> = HashMap::new();
        let mut stand = Stand {
            levels: levels.to_vec(),
            class_of: Vec::with_capacity(self.weights.len()),
            nodes: Vec::new(),
            keys: Vec::new(),
        };
        for record in 0..self.weights.len() {
            let node = |(lane, &level): (&Lane, &u8)| {
                lane.levels[usize::from(level)].node_of[lane.codes[record] as usize]
            };
            let word = |(lane, &level): (&Lane, &u8)| {
                lane.levels[usize::from(level)].words[node((lane, &level)) as usize]
            };
            let key = self.lanes.iter().zip(levels).map(word).fold(0, u64::wrapping_add);
            let class = *index.entry(key).or_insert_with(|| {
                stand.nodes.extend(self.lanes.iter().zip(levels).map(node));
                stand.keys.push(key);
                stand.keys.len() as u32 - 1
            });
            stand.class_of.push(class);
        }
        stand
    }

    /// The node one level up in a column.
    pub(super) fn up(&self, from: &Stand, column: usize) -> Stand {
        let width = self.lanes.len();
        let lane = &self.lanes[column];
        let level = usize::from(from.levels[column]);
        let (here, above) = (&lane.levels[level], &lane.levels[level + 1]);
        let mut index: HashMap<u64, u32> = HashMap::with_capacity(from.keys.len());
        let mut to = Stand {
            levels: from.levels.clone(),
            class_of: Vec::new(),
            nodes: Vec::with_capacity(from.nodes.len()),
            keys: Vec::with_capacity(from.keys.len()),
        };
        to.levels[column] += 1;
        let renamed: Vec<u32> = from
            .keys
            .iter()
            .zip(from.nodes.chunks_exact(width))
            .map(|(key, nodes)| {
                let old = nodes[column] as usize;
                let new = here.parent[old] as usize;
                let key = key.wrapping_sub(here.words[old]).wrapping_add(above.words[new]);
                *index.entry(key).or_insert_with(|| {
                    let start = to.nodes.len();
                    to.nodes.extend_from_slice(nodes);
                    to.nodes[start + column] = new as u32;
                    to.keys.push(key);
                    to.keys.len() as u32 - 1
                })
            })
            .collect();
        to.class_of = from.class_of.iter().map(|&class| renamed[class as usize]).collect();
        to
    }

    /// Counts the cells into which classes fall one level down in a column; none when there are
    /// too many.
    fn split(&mut self, from: &Stand, column: usize) -> Option<usize> {
        let lane = &self.lanes[column];
        let level = usize::from(from.levels[column]);
        let (here, below) = (&lane.levels[level], &lane.levels[level - 1]);
        let cells = from.keys.len().checked_mul(here.widest).filter(|&c| c <= MOST_CELLS)?;
        self.counts.clear();
        self.counts.resize(cells, 0);
        // Of a record: the rank of its node below among its siblings.
        let rank: Vec<u32> = below.node_of.iter().map(|&node| below.rank[node as usize]).collect();
        for ((&class, &code), &weight) in from.class_of.iter().zip(&lane.codes).zip(&self.weights) {
            let cell = class as usize * here.widest + rank[code as usize] as usize;
            self.counts[cell] += weight;
        }
        Some(here.widest)
    }

    /// The loss one level down in a column; none when the models do not hold there.
    pub(super) fn weigh_down(&mut self, from: &Stand, column: usize) -> Option<f64> {
        self.weighed += 1;
        let widest = self.split(from, column)?;
        let width = self.lanes.len();
        let level = usize::from(from.levels[column]);
        let lane = &self.lanes[column];
        let (here, below) = (&lane.levels[level], &lane.levels[level - 1]);
        let mut gone = 0;
        let mut shares = vec![0u64; width];
        for (cells, nodes) in self.counts.chunks_exact(widest).zip(from.nodes.chunks_exact(width)) {
            let mut small = 0;
            for (rank, &count) in cells.iter().enumerate() {
                if count > 0 && u64::from(count) < self.k {
                    small += u64::from(count);
                    let child = here.children[nodes[column] as usize][rank];
                    shares[column] += u64::from(count) * u64::from(below.leaves[child as usize]);
                }
            }
            if small > 0 {
                gone += small;
                if gone > self.limit {
                    return None;
                }
                for (c, share) in shares.iter_mut().enumerate().filter(|(c, _)| *c != column) {
                    let height = &self.lanes[c].levels[usize::from(from.levels[c])];
                    *share += small * u64::from(height.leaves[nodes[c] as usize]);
                }
            }
        }
        let mut levels = from.levels.clone();
        levels[column] -= 1;
        Some(self.loss_of(&levels, gone, &shares))
    }

    /// The loss at a node; none when the models do not hold there.
    pub(super) fn weigh(&mut self, stand: &Stand) -> Option<f64> {
        self.weighed += 1;
        let width = self.lanes.len();
        self.counts.clear();
        self.counts.resize(stand.keys.len(), 0);
        for (&class, &weight) in stand.class_of.iter().zip(&self.weights) {
            self.counts[class as usize] += weight;
        }
        let (mut gone, mut shares) = (0, vec![0u64; width]);
        for (&count, nodes) in self.counts.iter().zip(stand.nodes.chunks_exact(width)) {
            let small = u64::from(count);
            if small < self.k {
                gone += small;
                for (c, share) in shares.iter_mut().enumerate() {
                    let height = &self.lanes[c].levels[usize::from(stand.levels[c])];
                    *share += small * u64::from(height.leaves[nodes[c] as usize]);
                }
            }
        }
        (gone <= self.limit).then(|| self.loss_of(&stand.levels, gone, &shares))
    }

    /// The node one level down in a column.
    pub(super) fn down(&mut self, from: &Stand, column: usize) -> Stand {
        let mut levels = from.levels.clone();
        levels[column] -= 1;
        let Some(widest) = self.split(from, column) else { return self.stand(&levels) };
        let width = self.lanes.len();
        let lane = &self.lanes[column];
        let level = usize::from(from.levels[column]);
        let (here, below) = (&lane.levels[level], &lane.levels[level - 1]);
        let mut to = Stand { levels, class_of: Vec::new(), nodes: Vec::new(), keys: Vec::new() };
        // The counts become the numbers of the new classes.
        for (class, nodes) in from.nodes.chunks_exact(width).enumerate() {
            let old = nodes[column] as usize;
            for rank in 0..widest {
                let cell = &mut self.counts[class * widest + rank];
                if *cell > 0 {
                    *cell = to.keys.len() as u32;
                    let child = here.children[old][rank];
                    let start = to.nodes.len();
                    to.nodes.extend_from_slice(nodes);
                    to.nodes[start + column] = child;
                    let key = from.keys[class].wrapping_sub(here.words[old]);
                    to.keys.push(key.wrapping_add(below.words[child as usize]));
                }
            }
        }
        to.class_of = from
            .class_of
            .iter()
            .zip(&lane.codes)
            .map(|(&class, &code)| {
                let rank = below.rank[below.node_of[code as usize] as usize];
                self.counts[class as usize * widest + rank as usize]
            })
            .collect();
        to
    }

    /// What generalisation alone costs at a node.
    pub(super) fn bound(&self, levels: &[u8]) -> f64 {
        self.loss_of(levels, 0, &vec![0; levels.len()])
    }

    fn loss_of(&self, levels: &[u8], suppressed: u64, shares: &[u64]) -> f64 {
        let mut sum = self.loss.start();
        for ((lane, &level), &suppressed_shares) in self.lanes.iter().zip(levels).zip(shares) {
            let sums = ColumnSums {
                shares: lane.shares[usize::from(level)],
                suppressed_shares,
                suppressed,
            };
            sum = self.loss.fold(sum, self.loss.column(self.rows, lane.domain, sums));
        }
        self.loss.finish(sum, levels.len())
    }
}

impl Lane {
    fn of<const W: usize>(engine: &Engine<'_, W>, column: usize) -> Self {
        let ladder = engine.ladder(column);
        let codes: Vec<u32> =
            engine.base.keys.iter().map(|key| engine.value(key, column)).collect();
        let values = ladder.rungs.first().map_or(0, |rung| rung.leaves.len());
        let node_of = |level: usize| -> Vec<u32> {
            match level {
                0 => (0..values as u32).collect(),
                _ => ladder.rungs[0].up[level - 1].clone(),
            }
        };
        let mut state = 0x5A15_0000 + column as u64;
        let mut levels: Vec<Height> = (0..ladder.rungs.len())
            .map(|level| {
                let leaves = ladder.rungs[level].leaves.clone();
                Height {
                    node_of: node_of(level),
                    parent: ladder.rungs[level].up.first().cloned().unwrap_or_default(),
                    rank: vec![0; leaves.len()],
                    children: vec![Vec::new(); leaves.len()],
                    widest: 1,
                    words: leaves.iter().map(|_| super::anytime::mixed(&mut state)).collect(),
                    leaves,
                }
            })
            .collect();
        for level in 1..levels.len() {
            let (below, above) = levels.split_at_mut(level);
            let (Some(below), Some(above)) = (below.last_mut(), above.first_mut()) else {
                continue;
            };
            for (node, &parent) in below.parent.iter().enumerate() {
                let siblings = &mut above.children[parent as usize];
                below.rank[node] = siblings.len() as u32;
                siblings.push(node as u32);
                above.widest = above.widest.max(siblings.len());
            }
        }
        Self { codes, levels, domain: ladder.domain, shares: engine.shares(column).to_vec() }
    }
}
