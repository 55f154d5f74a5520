//! Classes made of base groups, for local recoding.

use super::Engine;
use crate::grouping::pack;
use crate::model::{ClassRule, Histogram};

/// Judges sets of base groups as classes, for local recoding.
pub(crate) struct Judge {
    histograms: Vec<Histogram>,
    least: u64,
}

impl Judge {
    /// Whether a class of that size could satisfy the models.
    pub(crate) const fn may_hold(&self, records: u64) -> bool {
        records >= self.least
    }

    /// Whether base groups as one class satisfy the class rules; a population does not count.
    pub(crate) fn holds<const W: usize>(&mut self, engine: &Engine<'_, W>, groups: &[u32]) -> bool {
        let counts = &engine.base.counts;
        let once = engine.once_each(groups);
        let groups = once.as_deref().unwrap_or(groups);
        let weight = |g: u32| engine.problem.weight(counts[g as usize]);
        let size = groups.iter().map(|&g| u64::from(weight(g))).sum();
        engine.problem.class_rules.iter().all(|rule| match rule {
            ClassRule::Sensitive { slot, .. } => {
                let histogram = &mut self.histograms[*slot];
                histogram.clear();
                let place = engine.sensitive_slots[*slot];
                for &g in groups {
                    histogram.add(place.read(&engine.base.keys[g as usize]), weight(g));
                }
                rule.holds(size, 0, Some(histogram))
            }
            _ => rule.holds(size, 0, None),
        })
    }
}

impl<const W: usize> Engine<'_, W> {
    pub(crate) fn judge(&self) -> Judge {
        let least = self.problem.class_rules.iter().filter_map(|rule| match rule {
            ClassRule::Size { k } => Some(*k),
            _ => None,
        });
        Judge { histograms: self.histograms.clone(), least: least.max().unwrap_or(1) }
    }

    /// Where people count: of some base groups, one of each person.
    fn once_each(&self, groups: &[u32]) -> Option<Vec<u32>> {
        self.problem.person?;
        let place = *self.sensitive_slots.last()?;
        let mut met = hashbrown::HashSet::new();
        let mut once = groups.to_vec();
        once.retain(|&g| met.insert(place.read(&self.base.keys[g as usize])));
        Some(once)
    }

    /// The key of a base group at some levels, without its sensitive values.
    pub(crate) fn coarse_key(&self, group: u32, levels: &[u8]) -> [u64; W] {
        let key = &self.base.keys[group as usize];
        let nodes = self.quasi_slots.iter().zip(levels).enumerate().map(|(c, (slot, &level))| {
            let node = slot.read(key);
            match level {
                0 => node,
                _ => self.ladder(c).rungs[0].up[usize::from(level) - 1][node as usize],
            }
        });
        pack(&self.quasi_slots, nodes)
    }

    /// Class of each of some base groups at a node, with the classes' keys and sizes.
    pub(crate) fn classes_of(
        &mut self,
        groups: &[u32],
        levels: &[u8],
    ) -> (Vec<u32>, Vec<[u64; W]>, Vec<u64>) {
        let mut grouper = std::mem::take(&mut self.grouper);
        let coarse = groups.iter().map(|&g| self.coarse_key(g, levels));
        let (class_of, keys) = grouper.number(groups.len(), coarse);
        self.grouper = grouper;
        let mut sizes = vec![0; keys.len()];
        for (&group, &class) in groups.iter().zip(&class_of) {
            sizes[class as usize] += u64::from(self.base.counts[group as usize]);
        }
        (class_of, keys, sizes)
    }

    /// The lowest levels, at least `levels`, at which two base groups agree.
    pub(crate) fn join(&self, a: u32, b: u32, levels: &[u8]) -> Option<Vec<u8>> {
        let (a, b) = (&self.base.keys[a as usize], &self.base.keys[b as usize]);
        (0..levels.len())
            .map(|c| {
                let (x, y) = (self.quasi_slots[c].read(a), self.quasi_slots[c].read(b));
                let rung = &self.ladder(c).rungs[0];
                (levels[c]..=self.ladder(c).top()).find(|&level| match level {
                    0 => x == y,
                    _ => {
                        let up = &rung.up[usize::from(level) - 1];
                        up[x as usize] == up[y as usize]
                    }
                })
            })
            .collect()
    }

    /// The mean over columns of (m − 1)/(D − 1) for a key at some levels.
    pub(crate) fn key_cost(&self, key: &[u64; W], levels: &[u8]) -> f64 {
        let open = |c: usize| {
            let domain = self.ladder(c).domain as f64;
            (self.leaves(key, c, levels) as f64 - 1.0) / (domain - 1.0).max(1.0)
        };
        (0..levels.len()).map(open).sum::<f64>() / levels.len() as f64
    }
}
