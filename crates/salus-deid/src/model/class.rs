//! The models as checks of one equivalence class.

use super::{GroundDistance, Likeness, Sensitive};
use crate::hierarchy::{Hierarchy, HierarchyError};
use crate::table::Column;

/// Comparisons of sums of floats allow this much rounding.
const ROUNDING: f64 = 1e-9;

/// Counts of sensitive values in one class, by value, with the values that occur listed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Histogram {
    counts: Vec<u32>,
    present: Vec<u32>,
    total: u64,
}

impl Histogram {
    pub(crate) fn with_values(values: usize) -> Self {
        Self { counts: vec![0; values], present: Vec::new(), total: 0 }
    }

    pub(crate) fn add(&mut self, value: u32, count: u32) {
        let slot = &mut self.counts[value as usize];
        if *slot == 0 && count > 0 {
            self.present.push(value);
        }
        *slot += count;
        self.total += u64::from(count);
    }

    pub(crate) fn clear(&mut self) {
        for &value in &self.present {
            self.counts[value as usize] = 0;
        }
        self.present.clear();
        self.total = 0;
    }

    fn share(&self, value: usize) -> f64 {
        f64::from(self.counts[value]) / self.total as f64
    }
}

/// The sensitive column as a whole, which closeness and likeness compare with.
#[derive(Debug, Clone)]
pub(crate) struct SensitiveReference {
    shares: Vec<f64>,
    /// Values in order of size.
    order: Vec<u32>,
    tree: Option<Tree>,
}

/// Node of each value at each level, and the nodes of each level.
#[derive(Debug, Clone)]
struct Tree {
    levels: Vec<(Vec<u32>, usize)>,
}

impl Tree {
    fn of(column: &Column, hierarchy: &Hierarchy) -> Result<Self, HierarchyError> {
        let values = column
            .dictionary()
            .iter()
            .enumerate()
            .map(|(code, text)| {
                hierarchy.value(text).ok_or_else(|| HierarchyError::MissingValue {
                    column: column.name().to_owned(),
                    record: column.codes().iter().position(|&c| c as usize == code).unwrap_or(0)
                        + 1,
                })
            })
            .collect::<Result<Vec<_>, _>>()?;
        let mut levels: Vec<(Vec<u32>, usize)> = (0..=hierarchy.top())
            .map(|level| {
                let nodes = values.iter().map(|&v| hierarchy.node(v, level)).collect();
                (nodes, hierarchy.nodes(level))
            })
            .collect();
        // Without a common root, mass that has to change trees would travel for nothing.
        if hierarchy.nodes(hierarchy.top()) > 1 || levels.len() == 1 {
            levels.push((vec![0; values.len()], 1));
        }
        Ok(Self { levels })
    }
}

impl SensitiveReference {
    pub(crate) fn of(column: &Column, rule: &Sensitive) -> Result<Self, HierarchyError> {
        let total = column.codes().len() as f64;
        let shares = column.counts().iter().map(|&c| c as f64 / total).collect::<Vec<_>>();
        let mut order: Vec<u32> = (0..shares.len() as u32).collect();
        match column.numbers() {
            Some(numbers) => {
                order.sort_by(|&a, &b| numbers[a as usize].total_cmp(&numbers[b as usize]));
            }
            None => order.sort_by_key(|&code| &column.dictionary()[code as usize]),
        }
        let tree = match rule {
            Sensitive::Close { distance: GroundDistance::Hierarchical(h), .. } => {
                Some(Tree::of(column, h)?)
            }
            _ => None,
        };
        Ok(Self { shares, order, tree })
    }
}

/// A model as a check of one class.
#[derive(Debug, Clone)]
pub(crate) enum ClassRule {
    Size { k: u64 },
    PopulationSize { k: u64 },
    Presence { least: f64, most: f64 },
    Sensitive { slot: usize, rule: Sensitive, reference: SensitiveReference },
}

impl ClassRule {
    /// Whether a class that passes still passes after any other class joined it. Then the records
    /// that fail at a node fail at every more specific node too, and pruning by them is sound.
    pub(crate) const fn survives_joining(&self) -> bool {
        match self {
            Self::Size { .. } | Self::PopulationSize { .. } => true,
            Self::Presence { .. } => false,
            Self::Sensitive { rule, .. } => matches!(rule, Sensitive::Distinct { .. }),
        }
    }

    /// Whether the class passes. `histogram` is that of the rule's own sensitive column.
    pub(crate) fn holds(&self, size: u64, population: u64, histogram: Option<&Histogram>) -> bool {
        match self {
            Self::Size { k } => size >= *k,
            Self::PopulationSize { k } => population >= *k,
            Self::Presence { least, most } => {
                // Records outside the population table are certainly present.
                let chance = size as f64 / population.max(size).max(1) as f64;
                *least <= chance + ROUNDING && chance <= *most + ROUNDING
            }
            Self::Sensitive { rule, reference, .. } => {
                histogram.is_some_and(|h| rule.holds(h, reference))
            }
        }
    }
}

impl Sensitive {
    pub(crate) fn holds(&self, h: &Histogram, reference: &SensitiveReference) -> bool {
        match self {
            Self::Distinct { l } => h.present.len() >= *l as usize,
            Self::Entropy { l } => entropy(h) + ROUNDING >= l.ln(),
            Self::Recursive { c, l } => {
                let mut counts: Vec<u32> =
                    h.present.iter().map(|&v| h.counts[v as usize]).collect();
                counts.sort_unstable_by(|a, b| b.cmp(a));
                let tail: u64 =
                    counts.iter().skip(*l as usize - 1).map(|&count| u64::from(count)).sum();
                counts.first().is_some_and(|&most| f64::from(most) < c * tail as f64)
            }
            Self::Close { t, distance } => {
                let moved = match distance {
                    GroundDistance::Equal => equal_distance(h, reference),
                    GroundDistance::Ordered => ordered_distance(h, reference),
                    GroundDistance::Hierarchical(_) => hierarchical_distance(h, reference),
                };
                moved <= t + ROUNDING
            }
            Self::Like { beta, kind } => h.present.iter().all(|&value| {
                let p = reference.shares[value as usize];
                let gain = (h.share(value as usize) - p) / p;
                let most = match kind {
                    Likeness::Basic => *beta,
                    Likeness::Enhanced => beta.min(-p.ln()),
                };
                gain <= most + ROUNDING
            }),
        }
    }
}

fn entropy(h: &Histogram) -> f64 {
    -h.present
        .iter()
        .map(|&value| {
            let share = h.share(value as usize);
            share * share.ln()
        })
        .sum::<f64>()
}

fn equal_distance(h: &Histogram, reference: &SensitiveReference) -> f64 {
    let apart: f64 = reference.shares.iter().enumerate().map(|(v, p)| (h.share(v) - p).abs()).sum();
    apart / 2.0
}

fn ordered_distance(h: &Histogram, reference: &SensitiveReference) -> f64 {
    if reference.order.len() < 2 {
        return 0.0;
    }
    let (mut carried, mut moved) = (0.0_f64, 0.0_f64);
    for &value in &reference.order {
        carried += h.share(value as usize) - reference.shares[value as usize];
        moved += carried.abs();
    }
    moved / (reference.order.len() - 1) as f64
}

/// What cannot be matched below a node must travel through it, at the cost of its height.
///
/// # Source
/// Li et al. 2007, section 5.2: the sum over inner nodes of height/H · min(positive, negative
/// extra of the children).
fn hierarchical_distance(h: &Histogram, reference: &SensitiveReference) -> f64 {
    let Some(tree) = &reference.tree else { return 1.0 };
    let height = (tree.levels.len() - 1) as f64;
    let mut moved = 0.0;
    for level in 1..tree.levels.len() {
        let (nodes, size) = &tree.levels[level];
        let (child_of, children) = &tree.levels[level - 1];
        let mut extra = vec![0.0; *children];
        let mut parent = vec![0u32; *children];
        for (value, (&node, &child)) in nodes.iter().zip(child_of).enumerate() {
            extra[child as usize] += h.share(value) - reference.shares[value];
            parent[child as usize] = node;
        }
        let (mut over, mut under) = (vec![0.0_f64; *size], vec![0.0_f64; *size]);
        for (child, &x) in extra.iter().enumerate() {
            if x > 0.0 {
                over[parent[child] as usize] += x;
            } else {
                under[parent[child] as usize] -= x;
            }
        }
        let through: f64 = over.iter().zip(&under).map(|(a, b)| a.min(*b)).sum();
        moved += through * level as f64 / height;
    }
    moved
}
