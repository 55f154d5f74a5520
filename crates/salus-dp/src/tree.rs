//! A tree of counts over a column's range, from which every quantile is read.
//!
//! # Source
//! Hay, Rastogi, Miklau, Suciu 2010, "Boosting the Accuracy of Differentially Private Histograms
//! Through Consistency"; the fan-out follows Qardaji, Yang, Li 2013.

use serde::{Deserialize, Serialize};

use crate::schema::Bounds;

/// Children per node: the variance of a prefix is near its least, and the tree is shallow.
const FANOUT: usize = 4;
const MOST_LEVELS: u32 = 5;

/// The grid under a tree: FANOUT^levels leaves over the column's bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Grid {
    bounds: Bounds,
    levels: u32,
}

impl Grid {
    /// As many levels as the range has steps for, and not more than five (1,024 leaves).
    pub(crate) fn new(bounds: Bounds) -> Self {
        let enough = |levels: &u32| (FANOUT as i64).pow(*levels) > bounds.width();
        let levels = (1..MOST_LEVELS).find(enough).unwrap_or(MOST_LEVELS);
        Self { bounds, levels }
    }

    pub(crate) const fn levels(self) -> u32 {
        self.levels
    }

    /// Nodes on level 0 (children of the root) to `levels` - 1 (leaves).
    pub(crate) fn nodes(self, level: u32) -> usize {
        FANOUT.pow(level + 1)
    }

    pub(crate) fn leaves(self) -> usize {
        FANOUT.pow(self.levels)
    }

    fn offset(self, level: u32) -> usize {
        (0..level).map(|l| self.nodes(l)).sum()
    }

    /// The leaf of a clamped value.
    pub(crate) fn leaf(self, steps: i64) -> usize {
        let along = i128::from(steps - self.bounds.low()) * self.leaves() as i128;
        let leaf = along / (i128::from(self.bounds.width()) + 1);
        usize::try_from(leaf).unwrap_or(0).min(self.leaves() - 1)
    }

    /// The nodes that a row in `leaf` is counted in, one on each level.
    pub(crate) fn path(self, leaf: usize) -> impl Iterator<Item = usize> {
        (0..self.levels)
            .map(move |level| self.offset(level) + leaf / FANOUT.pow(self.levels - 1 - level))
    }

    /// The smallest value, in steps, that falls into `leaf`.
    pub(crate) fn low_of(self, leaf: usize) -> i128 {
        let steps = i128::from(self.bounds.width()) + 1;
        let leaves = self.leaves() as i128;
        let along = (leaf as i128 * steps + leaves - 1).div_euclid(leaves);
        i128::from(self.bounds.low()) + along
    }

    /// The largest value, in steps, that falls into `leaf`.
    pub(crate) fn high_of(self, leaf: usize) -> i128 {
        (self.low_of(leaf + 1) - 1).max(self.low_of(leaf)).min(i128::from(self.bounds.high()))
    }

    pub(crate) const fn bounds(self) -> Bounds {
        self.bounds
    }

    /// Consistent counts of the leaves: the least-squares fit of the noisy tree.
    ///
    /// `variance(level)` is the noise variance of a node on that level.
    pub(crate) fn consistent_leaves(
        self,
        noisy: &[f64],
        variance: impl Fn(u32) -> f64,
    ) -> Vec<f64> {
        // Upwards: each node's best estimate from its own count and its children's sum.
        let mut best: Vec<f64> = noisy.to_vec();
        let mut var: Vec<f64> = (0..self.levels).map(&variance).collect();
        for level in (0..self.levels.saturating_sub(1)).rev() {
            let (own, below) = (variance(level), FANOUT as f64 * var_at(&var, level + 1));
            // Without noise on either, the node's own count is as good as any.
            let weight = if own + below > 0.0 { below / (own + below) } else { 1.0 };
            for node in 0..self.nodes(level) {
                let sum: f64 = self.children(level, node).filter_map(|c| best.get(c)).sum();
                if let Some(slot) = best.get_mut(self.offset(level) + node) {
                    *slot = weight * *slot + (1.0 - weight) * sum;
                }
            }
            if let Some(slot) = var.get_mut(level as usize) {
                *slot = if own + below > 0.0 { own * below / (own + below) } else { 0.0 };
            }
        }
        // Downwards: what a parent differs from its children's sum is shared among them.
        for level in 0..self.levels.saturating_sub(1) {
            for node in 0..self.nodes(level) {
                let parent = best.get(self.offset(level) + node).copied().unwrap_or(0.0);
                let sum: f64 = self.children(level, node).filter_map(|c| best.get(c)).sum();
                for child in self.children(level, node) {
                    if let Some(slot) = best.get_mut(child) {
                        *slot += (parent - sum) / FANOUT as f64;
                    }
                }
            }
        }
        best.split_off(self.offset(self.levels - 1))
    }

    fn children(self, level: u32, node: usize) -> std::ops::Range<usize> {
        let first = self.offset(level + 1) + node * FANOUT;
        first..first + FANOUT
    }

    /// The noise variance of the count of the first `leaves` leaves, summed from whole nodes. The
    /// consistent estimate's is not larger.
    pub(crate) fn prefix_variance(self, leaves: usize, variance: impl Fn(u32) -> f64) -> f64 {
        (0..self.levels)
            .map(|level| {
                let digit = leaves / FANOUT.pow(self.levels - 1 - level) % FANOUT;
                // Level 0 has no parent that bounds it; a full tree is its FANOUT nodes.
                let nodes = if level == 0 { leaves / FANOUT.pow(self.levels - 1) } else { digit };
                nodes as f64 * variance(level)
            })
            .sum()
    }
}

fn var_at(var: &[f64], level: u32) -> f64 {
    var.get(level as usize).copied().unwrap_or(f64::INFINITY)
}
