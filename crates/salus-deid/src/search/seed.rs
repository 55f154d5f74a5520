//! A good first node, so that the exact search has few candidates left.

use hashbrown::HashMap;

use crate::engine::{Engine, Verdict};
use crate::grouping::Groups;

/// Remembers groups of checked nodes, so that more general ones need not start from the records.
pub(crate) struct Seeds<const W: usize> {
    snapshots: Vec<(Vec<u8>, Groups<W>)>,
    stored: usize,
    capacity: usize,
    seen: HashMap<Vec<u8>, Verdict>,
    tops: Vec<u8>,
}

impl<const W: usize> Seeds<W> {
    pub(crate) fn new(engine: &mut Engine<'_, W>) -> Self {
        let tops = (0..engine.width()).map(|c| engine.ladder(c).top()).collect();
        Self {
            snapshots: Vec::new(),
            stored: 0,
            capacity: engine.base.keys.len() * 16,
            seen: HashMap::new(),
            tops,
        }
    }

    pub(crate) fn check(&mut self, engine: &mut Engine<'_, W>, levels: &[u8]) -> Verdict {
        if let Some(known) = self.seen.get(levels) {
            return known.clone();
        }
        let groups = self.groups(engine, levels);
        let verdict = engine.check(&groups, levels);
        self.seen.insert(levels.to_vec(), verdict.clone());
        self.store(engine, levels, groups);
        verdict
    }

    pub(crate) fn tops(&self) -> &[u8] {
        &self.tops
    }

    /// Makes the groups of the most general node below all of `nodes` available to their checks.
    pub(crate) fn prepare(&mut self, engine: &mut Engine<'_, W>, nodes: &[Vec<u8>]) {
        let Some(first) = nodes.first() else { return };
        let mut meet = first.clone();
        for node in nodes {
            for (m, &level) in meet.iter_mut().zip(node) {
                *m = (*m).min(level);
            }
        }
        if self.snapshots.iter().any(|(from, _)| *from == meet) {
            return;
        }
        let groups = self.groups(engine, &meet);
        self.store(engine, &meet, groups);
    }

    fn groups(&self, engine: &mut Engine<'_, W>, levels: &[u8]) -> Groups<W> {
        let source = self
            .snapshots
            .iter()
            .filter(|(from, _)| from.iter().zip(levels).all(|(a, b)| a <= b))
            .min_by_key(|(_, groups)| groups.keys.len());
        match source {
            Some((from, groups)) => engine.roll_up(groups, from, levels),
            None => engine.groups_at(levels),
        }
    }

    fn store(&mut self, engine: &Engine<'_, W>, levels: &[u8], groups: Groups<W>) {
        if groups.keys.len() * 3 < engine.base.keys.len() * 2 {
            self.stored += groups.keys.len();
            self.snapshots.push((levels.to_vec(), groups));
            while self.stored > self.capacity && !self.snapshots.is_empty() {
                self.stored -= self.snapshots.remove(0).1.keys.len();
            }
        }
    }

    /// A path from bottom to top that always takes the step which costs least.
    fn chain(&self, engine: &Engine<'_, W>) -> Vec<Vec<u8>> {
        let mut at = vec![0; self.tops.len()];
        let mut path = vec![at.clone()];
        while at != self.tops {
            let next = (0..at.len())
                .filter(|&c| at[c] < self.tops[c])
                .min_by(|&a, &b| {
                    let cost = |c: usize| engine.column_bound(c, at[c] + 1, None);
                    cost(a).total_cmp(&cost(b))
                })
                .unwrap_or(0);
            at[next] += 1;
            path.push(at.clone());
        }
        path
    }

    /// Descends from the lowest node of a cheap path that satisfies the models to a node that no
    /// neighbour betters.
    pub(crate) fn climb(mut self, engine: &mut Engine<'_, W>) -> Option<(Vec<u8>, f64)> {
        self.climb_until(engine, &|| false)
    }

    /// The same within a time.
    pub(crate) fn climb_until(
        &mut self,
        engine: &mut Engine<'_, W>,
        late: &dyn Fn() -> bool,
    ) -> Option<(Vec<u8>, f64)> {
        let limit = engine.problem.limit;
        let chain = self.chain(engine);
        let (mut low, mut high) = (0, chain.len() - 1);
        while low < high {
            let middle = usize::midpoint(low, high);
            if self.check(engine, &chain[middle]).holds(limit) {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        let mut best = chain[low].clone();
        let verdict = self.check(engine, &best);
        if !verdict.holds(limit) {
            return None;
        }
        let mut loss = verdict.loss;
        while !late()
            && let Some((better, smaller)) = self.step(engine, &best, loss, late)
        {
            (best, loss) = (better, smaller);
        }
        Some((best, loss))
    }

    /// The best neighbour: one level down in a column, or one down and another up.
    fn step(
        &mut self,
        engine: &mut Engine<'_, W>,
        from: &[u8],
        loss: f64,
        late: &dyn Fn() -> bool,
    ) -> Option<(Vec<u8>, f64)> {
        let mut best: Option<(Vec<u8>, f64)> = None;
        for exchange in [false, true] {
            for levels in neighbours(from, &self.tops, exchange) {
                let goal = best.as_ref().map_or(loss, |(_, l)| *l);
                if !late() && engine.bound(&levels, None) < goal {
                    let verdict = self.check(engine, &levels);
                    if verdict.loss < goal {
                        best = Some((levels, verdict.loss));
                    }
                }
            }
            if best.is_some() {
                return best;
            }
        }
        best
    }
}

/// Nodes one level down in a column, and with `exchange` one level up in another as well.
pub(crate) fn neighbours(from: &[u8], tops: &[u8], exchange: bool) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    for down in (0..from.len()).filter(|&c| from[c] > 0) {
        let mut lower = from.to_vec();
        lower[down] -= 1;
        if !exchange {
            found.push(lower);
            continue;
        }
        for up in (0..from.len()).filter(|&c| c != down && from[c] < tops[c]) {
            let mut swapped = lower.clone();
            swapped[up] += 1;
            found.push(swapped);
        }
    }
    found
}
