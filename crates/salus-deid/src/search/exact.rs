//! Branch and bound over the nodes that could better the best one known.

use super::{Optimality, Outcome, SearchError, Seeds, outcome, with_words};
use crate::engine::{Engine, Verdict};
use crate::grouping::Groups;
use crate::problem::Problem;

/// Candidates are held in memory: about 100 bytes each.
const MOST_CANDIDATES: usize = 4_000_000;
/// Whether it is late is asked once for so many candidates that are listed.
const LISTED: usize = 1_024;

impl Problem<'_> {
    /// What [`Problem::optimum`] finds, or once `late` says so the best node that was found until
    /// then, of which nothing is proved.
    ///
    /// # Errors
    /// As [`Problem::optimum`]; and when nothing that satisfies the models was found in time.
    ///
    /// # Cost
    /// Until it is late, and beyond that the checks of one path from the bottom to the top, halved
    /// again and again: as many as the logarithm of its length.
    pub fn optimum_until(&self, late: &dyn Fn() -> bool) -> Result<Outcome, SearchError> {
        fn run<const W: usize>(
            problem: &Problem<'_>,
            late: &dyn Fn() -> bool,
        ) -> Result<Outcome, SearchError> {
            let mut engine = Engine::<W>::new(problem);
            let seed = Seeds::new(&mut engine).climb_until(&mut engine, late);
            let found = search_until(&mut engine, seed, late)?;
            let (levels, loss) = found.best.ok_or_else(|| problem.unsatisfiable())?;
            let how = if found.whole { Optimality::Proven } else { Optimality::BestFound };
            Ok(outcome(&mut engine, &levels, loss, how))
        }
        with_words!(self, run(self, late))
    }
}

/// Nodes that may better the best, general before specific.
struct Candidates<'l> {
    late: &'l dyn Fn() -> bool,
    /// Whether it was late before all were listed.
    cut: bool,
    width: usize,
    most: usize,
    /// `width` levels per candidate, in descending lexicographic order.
    levels: Vec<u8>,
    bounds: Vec<f64>,
}

impl<'l> Candidates<'l> {
    fn levels(&self, at: usize) -> &[u8] {
        &self.levels[at * self.width..(at + 1) * self.width]
    }

    /// Lists all nodes whose bound lies below `best`, by columns, cutting as soon as the cheapest
    /// completion is too dear; until it is late.
    fn below<const W: usize>(
        engine: &Engine<'_, W>,
        best: f64,
        most: usize,
        late: &'l dyn Fn() -> bool,
    ) -> Result<Self, SearchError> {
        let width = engine.width();
        let costs: Vec<Vec<f64>> = (0..width)
            .map(|c| {
                (0..=engine.ladder(c).top()).map(|l| engine.column_bound(c, l, None)).collect()
            })
            .collect();
        let (levels, bounds) = (Vec::new(), Vec::new());
        let mut found = Self { late, cut: false, width, most, levels, bounds };
        let mut prefix = Vec::with_capacity(width);
        let start = engine.problem.loss.start();
        found.extend(engine, &costs, best, &mut prefix, start)?;
        Ok(found)
    }

    fn extend<const W: usize>(
        &mut self,
        engine: &Engine<'_, W>,
        costs: &[Vec<f64>],
        best: f64,
        prefix: &mut Vec<u8>,
        sum: f64,
    ) -> Result<(), SearchError> {
        let loss = &engine.problem.loss;
        let depth = prefix.len();
        // Level 0 costs least in every column, so this bounds every completion.
        let cheapest = costs[depth..].iter().fold(sum, |sum, column| loss.fold(sum, column[0]));
        let bound = loss.finish(cheapest, self.width);
        if bound >= best || self.cut {
            return Ok(());
        }
        if depth == self.width {
            if self.bounds.len() >= self.most {
                return Err(SearchError::TooManyCandidates { candidates: self.most });
            }
            if self.bounds.len().is_multiple_of(LISTED) && (self.late)() {
                self.cut = true;
                return Ok(());
            }
            self.levels.extend_from_slice(prefix);
            self.bounds.push(bound);
            return Ok(());
        }
        for level in (0..costs[depth].len()).rev() {
            prefix.push(level as u8);
            let next = loss.fold(sum, costs[depth][level]);
            self.extend(engine, costs, best, prefix, next)?;
            prefix.pop();
        }
        Ok(())
    }
}

struct Search<'e, 'l, 'p, const W: usize> {
    engine: &'e mut Engine<'p, W>,
    candidates: Candidates<'l>,
    best: Option<(Vec<u8>, f64)>,
    goal: f64,
    /// Whether it was late before all candidates were visited or ruled out.
    cut: bool,
}

/// What a search came to.
struct Found {
    best: Option<(Vec<u8>, f64)>,
    /// Whether no other node can be better.
    whole: bool,
}

/// The node with the smallest loss, at least as good as `seed`.
pub(super) fn search<const W: usize>(
    engine: &mut Engine<'_, W>,
    seed: Option<(Vec<u8>, f64)>,
) -> Result<Option<(Vec<u8>, f64)>, SearchError> {
    Ok(search_until(engine, seed, &|| false)?.best)
}

/// The same until it is late.
fn search_until<const W: usize>(
    engine: &mut Engine<'_, W>,
    seed: Option<(Vec<u8>, f64)>,
    late: &dyn Fn() -> bool,
) -> Result<Found, SearchError> {
    let goal = seed.as_ref().map_or(f64::INFINITY, |(_, loss)| *loss);
    let candidates = Candidates::below(engine, goal, MOST_CANDIDATES, late)?;
    Ok(Search { engine, candidates, best: seed, goal, cut: false }.run())
}

/// The same with few candidates; none when those or the time do not suffice.
pub(super) fn prove<const W: usize>(
    engine: &mut Engine<'_, W>,
    seed: &[u8],
    loss: f64,
    most: usize,
    late: &dyn Fn() -> bool,
) -> Option<(Vec<u8>, f64)> {
    let candidates = Candidates::below(engine, loss, most, late).ok()?;
    let best = Some((seed.to_vec(), loss));
    let found = Search { engine, candidates, best, goal: loss, cut: false }.run();
    if found.whole { found.best } else { None }
}

impl<const W: usize> Search<'_, '_, '_, W> {
    fn run(mut self) -> Found {
        let all: Vec<u32> = (0..self.candidates.bounds.len() as u32).collect();
        let bottom = vec![0; self.engine.width()];
        self.descend(0, &all, None, &bottom);
        Found { whole: !self.cut && !self.candidates.cut, best: self.best }
    }

    /// Visits candidates that agree in the columns before `depth`, general ones first. `groups`
    /// stand at `from`, which is at least as specific as each of them.
    fn descend(&mut self, depth: usize, among: &[u32], groups: Option<&Groups<W>>, from: &[u8]) {
        let mut rest = among;
        while let Some(&first) = rest.first() {
            let level = self.candidates.levels(first as usize)[depth];
            let same =
                rest.partition_point(|&c| self.candidates.levels(c as usize)[depth] == level);
            let (part, later) = rest.split_at(same);
            rest = later;
            let alive: Vec<u32> = part.iter().copied().filter(|&c| self.open(c)).collect();
            if alive.is_empty() {
                continue;
            }
            if (self.candidates.late)() {
                self.cut = true;
                return;
            }
            let meet = self.meet(&alive);
            let rolled = (meet != from).then(|| match groups {
                Some(groups) => self.engine.roll_up(groups, from, &meet),
                None => self.engine.groups_at(&meet),
            });
            let here = rolled.as_ref().or(groups);
            if alive.len() == 1 || depth + 1 == self.candidates.width {
                self.visit(alive[0], here, &meet);
            } else {
                self.descend(depth + 1, &alive, here, &meet);
            }
        }
    }

    fn open(&self, candidate: u32) -> bool {
        self.candidates.bounds[candidate as usize] < self.goal
    }

    /// The most general node that is as specific as every one of `among`.
    fn meet(&self, among: &[u32]) -> Vec<u8> {
        let mut meet = vec![u8::MAX; self.candidates.width];
        for &candidate in among {
            for (m, &level) in meet.iter_mut().zip(self.candidates.levels(candidate as usize)) {
                *m = (*m).min(level);
            }
        }
        meet
    }

    fn visit(&mut self, candidate: u32, groups: Option<&Groups<W>>, levels: &[u8]) {
        let verdict = match groups {
            Some(groups) => self.engine.check(groups, levels),
            None => {
                let groups = self.engine.groups_at(levels);
                self.engine.check(&groups, levels)
            }
        };
        if verdict.holds(self.engine.problem.limit) && verdict.loss < self.goal {
            self.goal = verdict.loss;
            self.best = Some((levels.to_vec(), verdict.loss));
        }
        self.learn(candidate as usize, levels, &verdict);
    }

    /// Carries what a check says about more specific nodes over to them.
    fn learn(&mut self, candidate: usize, levels: &[u8], verdict: &Verdict) {
        self.candidates.bounds[candidate] = f64::INFINITY;
        if !verdict.hopeless_below && verdict.inherited == 0 {
            return;
        }
        for later in candidate + 1..self.candidates.bounds.len() {
            if self.candidates.bounds[later] >= self.goal {
                continue;
            }
            let specific = self.candidates.levels(later);
            if !specific.iter().zip(levels).all(|(a, b)| a <= b) {
                continue;
            }
            let bound = if verdict.hopeless_below {
                f64::INFINITY
            } else {
                self.engine.bound(specific, Some(verdict))
            };
            let known = &mut self.candidates.bounds[later];
            *known = known.max(bound);
        }
    }
}
