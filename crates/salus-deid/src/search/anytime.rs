//! Heuristic search for lattices that are too large to prove an optimum on.

use salus_model::{Clock, Timestamp};

use super::seed::{Seeds, neighbours};
use super::swift::{Stand, Swift};
use super::{Optimality, Outcome, SearchError, exact, outcome, with_words};
use crate::engine::Engine;
use crate::problem::Problem;

/// Candidates that the proof at the end may weigh.
const PROVABLE: usize = 20_000;

impl Problem<'_> {
    /// Finds a good node until `deadline`, better with more time, and proves it optimal where few
    /// enough candidates are left.
    ///
    /// Descends from the top along the cheapest steps, exchanges levels between columns, then
    /// perturbs and descends again (iterated local search). Deterministic but for when the time
    /// ends.
    ///
    /// # Errors
    /// When nothing is found that satisfies the models.
    ///
    /// # Cost
    /// Until the deadline, and one check beyond it. Where k-anonymity is all that is asked, a
    /// neighbour costs one addition per distinct record; else a hash of its key.
    ///
    /// # Source
    /// Lourenço, Martin and Stützle 2003, "Iterated local search"; the moves are ours.
    pub fn anytime(&self, clock: &dyn Clock, deadline: Timestamp) -> Result<Outcome, SearchError> {
        fn run<const W: usize>(
            problem: &Problem<'_>,
            clock: &dyn Clock,
            deadline: Timestamp,
        ) -> Result<Outcome, SearchError> {
            let mut engine = Engine::<W>::new(problem);
            let late = || clock.now() >= deadline;
            if let Some(swift) = Swift::new(&engine)
                && let Some(mut flight) = Flight::start(swift, &late)
            {
                let proven = exact::prove(&mut engine, &flight.best, flight.loss, PROVABLE, &late);
                let known = proven.is_some();
                let (best, loss) = proven.unwrap_or_else(|| flight.wander(&late));
                engine.checked += flight.swift.weighed;
                // Words stand for keys in flight; what is returned is checked on the keys.
                let groups = engine.groups_at(&best);
                let verdict = engine.check(&groups, &best);
                debug_assert!((verdict.loss - loss).abs() < 1e-9, "{} {loss}", verdict.loss);
                if verdict.holds(problem.limit) {
                    let how = if known { Optimality::Proven } else { Optimality::BestFound };
                    return Ok(outcome(&mut engine, &best, verdict.loss, how));
                }
            }
            let mut walk = Walk::start(&mut engine, &late)?;
            walk.improve(&mut engine, &late);
            let proven = exact::prove(&mut engine, &walk.best, walk.loss, PROVABLE, &late);
            if let Some((best, loss)) = proven {
                return Ok(outcome(&mut engine, &best, loss, Optimality::Proven));
            }
            walk.wander(&mut engine, &late);
            Ok(outcome(&mut engine, &walk.best, walk.loss, Optimality::BestFound))
        }
        with_words!(self, run(self, clock, deadline))
    }
}

/// A walk through the lattice that remembers the best node.
struct Walk<const W: usize> {
    seeds: Seeds<W>,
    best: Vec<u8>,
    loss: f64,
    state: u64,
}

impl<const W: usize> Walk<W> {
    fn start(engine: &mut Engine<'_, W>, late: &dyn Fn() -> bool) -> Result<Self, SearchError> {
        let mut seeds = Seeds::new(engine);
        let top = seeds.tops().to_vec();
        let from_top = seeds.check(engine, &top);
        let (best, loss) = if from_top.holds(engine.problem.limit) {
            (top, from_top.loss)
        } else {
            // With non-monotone models something below the top may hold where the top does not.
            seeds.climb_until(engine, late).ok_or_else(|| engine.problem.unsatisfiable())?
        };
        let mut walk = Self { seeds, best, loss, state: 0x5A15 };
        let (node, loss) = walk.descend(engine, walk.best.clone(), walk.loss, late);
        walk.keep(node, loss);
        if let Some((node, loss)) = Seeds::new(engine).climb_until(engine, late) {
            walk.keep(node, loss);
        }
        Ok(walk)
    }

    fn keep(&mut self, node: Vec<u8>, loss: f64) {
        if loss < self.loss {
            (self.best, self.loss) = (node, loss);
        }
    }

    /// Takes the cheapest of all steps down until none holds.
    fn descend(
        &mut self,
        engine: &mut Engine<'_, W>,
        mut node: Vec<u8>,
        mut loss: f64,
        late: &dyn Fn() -> bool,
    ) -> (Vec<u8>, f64) {
        while !late() {
            let steps = neighbours(&node, self.seeds.tops(), false);
            self.seeds.prepare(engine, &steps);
            let mut next: Option<(Vec<u8>, f64)> = None;
            for step in steps {
                let goal = next.as_ref().map_or(loss, |(_, l)| *l);
                if engine.bound(&step, None) < goal {
                    let found = self.seeds.check(engine, &step).loss;
                    if found < goal {
                        next = Some((step, found));
                    }
                }
                if late() {
                    break;
                }
            }
            match next {
                Some(better) => (node, loss) = better,
                None => break,
            }
        }
        (node, loss)
    }

    /// Exchanges levels between columns, first improvement first, until no exchange helps.
    fn exchange(
        &mut self,
        engine: &mut Engine<'_, W>,
        mut node: Vec<u8>,
        mut loss: f64,
        late: &dyn Fn() -> bool,
    ) -> (Vec<u8>, f64) {
        loop {
            let swaps = neighbours(&node, self.seeds.tops(), true);
            self.seeds.prepare(engine, &swaps);
            // What generalisation alone costs is a good guess of which exchange pays.
            let mut order: Vec<(f64, Vec<u8>)> = swaps
                .into_iter()
                .map(|swap| (engine.bound(&swap, None), swap))
                .filter(|(bound, _)| *bound < loss)
                .collect();
            order.sort_by(|a, b| a.0.total_cmp(&b.0));
            let mut better = None;
            for (bound, swap) in order {
                if late() || bound >= loss {
                    break;
                }
                let found = self.seeds.check(engine, &swap).loss;
                if found < loss {
                    better = Some((swap, found));
                    break;
                }
            }
            match better {
                Some((swap, found)) => (node, loss) = self.descend(engine, swap, found, late),
                None => return (node, loss),
            }
        }
    }

    fn improve(&mut self, engine: &mut Engine<'_, W>, late: &dyn Fn() -> bool) {
        let (node, loss) = self.exchange(engine, self.best.clone(), self.loss, late);
        self.keep(node, loss);
    }

    /// Raises a few columns, descends again, and goes on from there when that is not much worse.
    fn wander(&mut self, engine: &mut Engine<'_, W>, late: &dyn Fn() -> bool) {
        let (mut node, mut loss) = (self.best.clone(), self.loss);
        while !late() {
            let mut raised = node.clone();
            let columns = 2 + self.draw(3);
            for _ in 0..columns {
                let column = self.draw(raised.len());
                let room = usize::from(self.seeds.tops()[column] - raised[column]);
                raised[column] += (self.draw(room + 1)) as u8;
            }
            if raised == node {
                continue;
            }
            let found = self.seeds.check(engine, &raised).loss;
            if !found.is_finite() {
                continue;
            }
            let (down, found) = self.descend(engine, raised, found, late);
            let (down, found) = if found < loss * 1.02 {
                self.exchange(engine, down, found, late)
            } else {
                (down, found)
            };
            if found < loss * 1.01 {
                (node, loss) = (down.clone(), found);
            } else if self.draw(20) == 0 {
                (node, loss) = (self.best.clone(), self.loss);
            }
            self.keep(down, found);
        }
    }

    fn draw(&mut self, below: usize) -> usize {
        (mixed(&mut self.state) % below.max(1) as u64) as usize
    }
}

/// SplitMix64: which columns are perturbed need not be unpredictable.
pub(super) fn mixed(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// A walk with swift steps.
struct Flight {
    swift: Swift,
    tops: Vec<u8>,
    best: Vec<u8>,
    loss: f64,
    state: u64,
}

/// How much worse than the best a walk may stand and go on from there.
const SLACK: f64 = 1.004;

impl Flight {
    /// The best of a descent from the top and the exchanges after it; none when the models do not
    /// hold at the top.
    fn start(mut swift: Swift, late: &dyn Fn() -> bool) -> Option<Self> {
        let tops = swift.tops();
        let top = swift.stand(&tops);
        let loss = swift.weigh(&top)?;
        let mut flight = Self { swift, best: tops.clone(), tops, loss, state: 0x5A15 };
        let (stand, loss) = flight.descend(top, loss, &[], late);
        flight.keep(&stand, loss);
        let (stand, loss) = flight.exchange(stand, loss, late);
        flight.keep(&stand, loss);
        Some(flight)
    }

    fn keep(&mut self, stand: &Stand, loss: f64) {
        if loss < self.loss {
            (self.best, self.loss) = (stand.levels.clone(), loss);
        }
    }

    fn draw(&mut self, below: usize) -> usize {
        (mixed(&mut self.state) % below.max(1) as u64) as usize
    }

    /// The cheapest node one level down, cheaper than `goal`, but for some columns.
    fn cheapest_down(&mut self, from: &Stand, held: &[usize], goal: f64) -> Option<(usize, f64)> {
        let mut best: Option<(usize, f64)> = None;
        let mut lower = from.levels.clone();
        for column in (0..lower.len()).filter(|c| !held.contains(c)) {
            if from.levels[column] == 0 {
                continue;
            }
            let goal = best.map_or(goal, |(_, loss)| loss);
            lower[column] -= 1;
            let promising = self.swift.bound(&lower) < goal;
            lower[column] += 1;
            if promising
                && let Some(loss) = self.swift.weigh_down(from, column)
                && loss < goal
            {
                best = Some((column, loss));
            }
        }
        best
    }

    /// Takes the cheapest step down until none is cheaper; the first in none of the held columns.
    fn descend(
        &mut self,
        mut stand: Stand,
        mut loss: f64,
        held: &[usize],
        late: &dyn Fn() -> bool,
    ) -> (Stand, f64) {
        let mut held = held;
        while !late() {
            let Some((column, better)) = self.cheapest_down(&stand, held, loss) else { break };
            stand = self.swift.down(&stand, column);
            loss = better;
            held = &[];
        }
        (stand, loss)
    }

    /// Raises a column, and lowers another with it, where that is cheaper; descends after each.
    fn exchange(
        &mut self,
        mut stand: Stand,
        mut loss: f64,
        late: &dyn Fn() -> bool,
    ) -> (Stand, f64) {
        let width = self.tops.len();
        let (mut column, mut idle) = (self.draw(width), 0);
        while idle < width && !late() {
            column = (column + 1) % width;
            idle += 1;
            if stand.levels[column] >= self.tops[column] {
                continue;
            }
            let raised = self.swift.up(&stand, column);
            let alone = self.swift.weigh(&raised).filter(|own| *own < loss);
            let goal = alone.unwrap_or(loss);
            let next = match self.cheapest_down(&raised, &[column], goal) {
                Some((other, better)) => Some((self.swift.down(&raised, other), better)),
                None => alone.map(|better| (raised, better)),
            };
            if let Some((next, better)) = next {
                (stand, loss) = self.descend(next, better, &[], late);
                idle = 0;
            }
        }
        (stand, loss)
    }

    /// Raises a few columns, descends again, and goes on from there when that is little worse.
    fn wander(&mut self, late: &dyn Fn() -> bool) -> (Vec<u8>, f64) {
        let mut here = (self.swift.stand(&self.best), self.loss);
        while !late() {
            let mut raised = here.0.clone();
            // Now and then a kick out of the whole neighbourhood.
            let far = self.draw(12) == 0;
            let kicks = if far { self.tops.len().div_ceil(2) } else { 1 + self.draw(4) };
            let mut held = Vec::with_capacity(kicks);
            for _ in 0..kicks {
                let column = self.draw(self.tops.len());
                let room = usize::from(self.tops[column] - raised.levels[column]);
                for _ in 0..self.draw(room + 1) {
                    raised = self.swift.up(&raised, column);
                }
                held.push(column);
            }
            if raised.levels == here.0.levels {
                continue;
            }
            let Some(loss) = self.swift.weigh(&raised) else { continue };
            let mut found = self.descend(raised, loss, &held, late);
            if found.1 < self.loss * 1.01 {
                found = self.exchange(found.0, found.1, late);
            }
            self.keep(&found.0, found.1);
            if found.1 < self.loss * SLACK {
                here = found;
            } else if self.draw(16) == 0 {
                here = (self.swift.stand(&self.best), self.loss);
            }
        }
        (self.best.clone(), self.loss)
    }
}
