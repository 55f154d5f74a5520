//! Checks one lattice node: which records must go, and what is lost.

use crate::grouping::{Grouper, Groups, Slot, Step, layout, pack};
use crate::loss::ColumnSums;
use crate::model::{ClassRule, Histogram};
use crate::problem::{Ladder, Problem, ProblemError, ReleaseRule};
use crate::risk::ClassSizes;

/// What a check found.
#[derive(Debug, Clone)]
pub(crate) struct Verdict {
    /// Records that must go for the models to hold.
    pub(crate) suppressed: u64,
    /// Those among them that must go at every more specific node too.
    pub(crate) inherited: u64,
    /// Per column, Σ of domain values over the inherited records.
    pub(crate) inherited_shares: Vec<u64>,
    /// No suppression can mend it.
    pub(crate) hopeless: bool,
    /// Nor can it at any more specific node.
    pub(crate) hopeless_below: bool,
    /// The loss, infinite when the limit is passed.
    pub(crate) loss: f64,
}

impl Verdict {
    pub(crate) const fn holds(&self, limit: u64) -> bool {
        !self.hopeless && self.suppressed <= limit
    }
}

/// Everything a check needs that does not depend on the node.
pub(crate) struct Engine<'p, const W: usize> {
    pub(crate) problem: &'p Problem<'p>,
    pub(crate) base: Groups<W>,
    grouper: Grouper,
    /// Position in the problem of each internal column; many nodes first.
    pub(crate) order: Vec<usize>,
    quasi_slots: Vec<Slot>,
    sensitive_slots: Vec<Slot>,
    /// `shares[column][level]`: Σ of domain values over all records.
    shares: Vec<Vec<u64>>,
    histograms: Vec<Histogram>,
    pub(crate) checked: u64,
}

/// Cardinalities of all key columns in internal order.
pub(crate) fn key_columns(problem: &Problem<'_>) -> (Vec<usize>, Vec<usize>) {
    let mut order: Vec<usize> = (0..problem.ladders.len()).collect();
    order.sort_by_key(|&i| std::cmp::Reverse(problem.ladders[i].rungs[0].leaves.len()));
    let spare = usize::from(problem.population.is_some());
    let cardinalities = order
        .iter()
        .map(|&i| problem.ladders[i].rungs[0].leaves.len())
        .chain(
            problem
                .sensitive
                .iter()
                .map(|&at| problem.table.columns()[at].dictionary().len() + spare),
        )
        .collect();
    (order, cardinalities)
}

/// 64-bit words a key needs.
pub(crate) fn key_words(problem: &Problem<'_>) -> Result<usize, ProblemError> {
    let (_, cardinalities) = key_columns(problem);
    match layout(&cardinalities).1 {
        words @ 0..=16 => Ok(words),
        words => Err(ProblemError::TooWide { bits: words * 64 }),
    }
}

impl<'p, const W: usize> Engine<'p, W> {
    pub(crate) fn new(problem: &'p Problem<'p>) -> Self {
        let (order, cardinalities) = key_columns(problem);
        let (mut slots, _) = layout(&cardinalities);
        let sensitive_slots = slots.split_off(order.len());
        let mut grouper = Grouper::default();
        let base = base_groups(problem, &order, &slots, &sensitive_slots, &mut grouper);
        let shares = order.iter().map(|&i| shares(problem, i)).collect();
        let histograms = problem
            .sensitive
            .iter()
            .map(|&at| Histogram::with_values(problem.table.columns()[at].dictionary().len() + 1))
            .collect();
        Self {
            problem,
            base,
            grouper,
            order,
            quasi_slots: slots,
            sensitive_slots,
            shares,
            histograms,
            checked: 0,
        }
    }

    pub(crate) fn ladder(&self, column: usize) -> &'p Ladder {
        &self.problem.ladders[self.order[column]]
    }

    pub(crate) fn width(&self) -> usize {
        self.order.len()
    }

    /// Levels in the order of the problem.
    pub(crate) fn outward(&self, levels: &[u8]) -> Vec<u8> {
        let mut outward = vec![0; levels.len()];
        for (&at, &level) in self.order.iter().zip(levels) {
            outward[at] = level;
        }
        outward
    }

    pub(crate) fn roll_up(&mut self, source: &Groups<W>, from: &[u8], to: &[u8]) -> Groups<W> {
        let problem = self.problem;
        let steps: Vec<Step<'_>> = (0..to.len())
            .filter(|&c| from[c] < to[c])
            .map(|c| {
                let rung = &problem.ladders[self.order[c]].rungs[usize::from(from[c])];
                Step { slot: self.quasi_slots[c], up: &rung.up[usize::from(to[c] - from[c]) - 1] }
            })
            .collect();
        self.grouper.roll_up(source, &steps)
    }

    /// Rolls the records up from scratch.
    pub(crate) fn groups_at(&mut self, levels: &[u8]) -> Groups<W> {
        let bottom = vec![0; levels.len()];
        let base = std::mem::replace(
            &mut self.base,
            Groups { keys: Vec::new(), counts: Vec::new(), population: Vec::new() },
        );
        let groups = self.roll_up(&base, &bottom, levels);
        self.base = base;
        groups
    }

    /// A lower bound of the loss at `levels`, given records that are known to go.
    pub(crate) fn bound(&self, levels: &[u8], known: Option<&Verdict>) -> f64 {
        let loss = &self.problem.loss;
        let mut sum = loss.start();
        for (c, &level) in levels.iter().enumerate() {
            sum = loss.fold(sum, self.column_bound(c, level, known));
        }
        loss.finish(sum, levels.len())
    }

    pub(crate) fn column_bound(&self, column: usize, level: u8, known: Option<&Verdict>) -> f64 {
        let sums = ColumnSums {
            shares: self.shares[column][usize::from(level)],
            // A share only grows with the level, and suppressing costs the more the smaller the
            // share was: taking it from the general node keeps the bound below.
            suppressed_shares: known.map_or(0, |v| v.inherited_shares[column]),
            suppressed: known.map_or(0, |v| v.inherited),
        };
        let domain = self.ladder(column).domain;
        self.problem.loss.column(self.problem.table.rows() as u64, domain, sums)
    }

    /// Checks the models on groups that stand at `levels`.
    pub(crate) fn check(&mut self, groups: &Groups<W>, levels: &[u8]) -> Verdict {
        self.checked += 1;
        let mut going = Going::new(levels.len());
        let classes = self.classes(groups);
        let fates = self.fates(groups, &classes, &mut going, levels);
        self.mend_release(groups, &classes, fates, &mut going, levels);
        let mut loss = f64::INFINITY;
        if !going.hopeless && going.all.records <= self.problem.limit {
            let spec = &self.problem.loss;
            let mut sum = spec.start();
            for (c, &level) in levels.iter().enumerate() {
                let sums = ColumnSums {
                    shares: self.shares[c][usize::from(level)],
                    suppressed_shares: going.all.shares[c],
                    suppressed: going.all.records,
                };
                let domain = self.ladder(c).domain;
                let rows = self.problem.table.rows() as u64;
                sum = spec.fold(sum, spec.column(rows, domain, sums));
            }
            loss = spec.finish(sum, levels.len());
        }
        Verdict {
            suppressed: going.all.records,
            inherited: going.inherited.records,
            inherited_shares: going.inherited.shares,
            hopeless: going.hopeless,
            hopeless_below: going.hopeless || going.inherited.records > self.problem.limit,
            loss,
        }
    }

    fn classes(&mut self, groups: &Groups<W>) -> Classes {
        if self.sensitive_slots.is_empty() {
            return Classes::Same;
        }
        let (class_of, number) = self.grouper.classes(groups, &self.sensitive_slots);
        Classes::Joined(Members::sorted(&class_of, number))
    }

    /// Applies the class rules; says per class whether it stays.
    fn fates(
        &mut self,
        groups: &Groups<W>,
        classes: &Classes,
        going: &mut Going,
        levels: &[u8],
    ) -> Vec<bool> {
        let number = classes.number(groups.keys.len());
        let mut stays = Vec::with_capacity(number);
        for class in 0..number {
            let (size, people, first) = classes.totals(class, groups);
            let fate = self.fate(groups, classes, class, size, people);
            if matches!(fate, Fate::Hopeless) {
                going.hopeless = true;
            }
            let stay = matches!(fate, Fate::Stays);
            stays.push(stay || size == 0);
            if !stay && size > 0 {
                let inherited = matches!(fate, Fate::GoesEverywhereBelow);
                going.add(size, inherited, |c| self.leaves(&groups.keys[first], c, levels));
                // Past the limit by records that go everywhere below, the verdict is final.
                if going.inherited.records > self.problem.limit {
                    break;
                }
            }
        }
        stays
    }

    fn leaves(&self, key: &[u64; W], column: usize, levels: &[u8]) -> u64 {
        let node = self.quasi_slots[column].read(key);
        let rung = &self.ladder(column).rungs[usize::from(levels[column])];
        rung.leaves[node as usize].into()
    }

    /// The mean over columns of the share of the domain that a key leaves open.
    pub(crate) fn mean_share(&self, key: &[u64; W], levels: &[u8]) -> f64 {
        let open = |c: usize| self.leaves(key, c, levels) as f64 / self.ladder(c).domain as f64;
        (0..levels.len()).map(open).sum::<f64>() / levels.len() as f64
    }

    fn fate(
        &mut self,
        groups: &Groups<W>,
        classes: &Classes,
        class: usize,
        size: u64,
        people: u64,
    ) -> Fate {
        let problem = self.problem;
        // Rules that prune come first, so that what they reject counts as inherited.
        for prunes in [true, false] {
            for rule in problem.class_rules.iter().filter(|r| problem.prunes(r) == prunes) {
                if let ClassRule::Presence { least, .. } = rule
                    && *least > 0.0
                    && people > size
                    && !rule.holds(size, people, None)
                {
                    return Fate::Hopeless;
                }
                if size == 0 {
                    continue;
                }
                let holds = match rule {
                    ClassRule::Sensitive { slot, .. } => {
                        self.fill_histogram(groups, classes, class, *slot);
                        rule.holds(size, people, self.histograms.get(*slot))
                    }
                    _ => rule.holds(size, people, None),
                };
                if !holds {
                    return if prunes { Fate::GoesEverywhereBelow } else { Fate::Goes };
                }
            }
        }
        Fate::Stays
    }

    fn fill_histogram(&mut self, groups: &Groups<W>, classes: &Classes, class: usize, slot: usize) {
        let histogram = &mut self.histograms[slot];
        histogram.clear();
        let place = self.sensitive_slots[slot];
        classes.each_member(class, |group| {
            histogram.add(place.read(&groups.keys[group]), groups.counts[group]);
        });
    }

    /// Suppresses smallest classes first until the rules about the whole release hold.
    fn mend_release(
        &self,
        groups: &Groups<W>,
        classes: &Classes,
        stays: Vec<bool>,
        going: &mut Going,
        levels: &[u8],
    ) {
        if self.problem.release_rules.is_empty()
            || going.hopeless
            || going.all.records > self.problem.limit
        {
            return;
        }
        let mut left: Vec<(u64, usize)> = stays
            .iter()
            .enumerate()
            .filter(|(_, stay)| **stay)
            .map(|(class, _)| {
                let (size, _, first) = classes.totals(class, groups);
                (size, first)
            })
            .filter(|(size, _)| *size > 0)
            .collect();
        left.sort_unstable_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
        let mut sizes = ClassSizes::from_sizes(left.iter().map(|(size, _)| *size));
        while !self.problem.release_rules.iter().all(|rule| rule.holds(&sizes)) {
            let Some((smallest, _)) = left.last().copied() else { return };
            while let Some(&(size, first)) = left.last()
                && size == smallest
            {
                left.pop();
                going.add(size, false, |c| self.leaves(&groups.keys[first], c, levels));
            }
            sizes.remove(smallest);
            if going.all.records > self.problem.limit {
                return;
            }
        }
    }

    /// The rows that must go at `levels`, in order.
    pub(crate) fn suppressed_rows(&mut self, levels: &[u8]) -> Vec<u32> {
        let groups = self.groups_at(levels);
        let classes = self.classes(&groups);
        let mut going = Going::new(levels.len());
        let mut stays = self.fates(&groups, &classes, &mut going, levels);
        stays.resize(classes.number(groups.keys.len()), false);
        self.goes_after_mending(&groups, &classes, &mut stays);
        let mut gone = hashbrown::HashSet::new();
        for (class, _) in stays.iter().enumerate().filter(|(_, stay)| !**stay) {
            classes.each_member(class, |group| {
                gone.insert(groups.keys[group]);
            });
        }
        (0..self.problem.table.rows() as u32)
            .filter(|&row| gone.contains(&self.key_of_row(row as usize, levels)))
            .collect()
    }

    /// Repeats the mending of [`Self::mend_release`] on the fates themselves.
    fn goes_after_mending(&self, groups: &Groups<W>, classes: &Classes, stays: &mut [bool]) {
        if self.problem.release_rules.is_empty() {
            return;
        }
        let size = |class: usize| classes.totals(class, groups).0;
        loop {
            let left: Vec<u64> = (0..stays.len()).filter(|&c| stays[c]).map(size).collect();
            let sizes = ClassSizes::from_sizes(left.iter().copied().filter(|&s| s > 0));
            if self.problem.release_rules.iter().all(|rule| rule.holds(&sizes)) {
                return;
            }
            let Some(smallest) = left.iter().copied().filter(|&s| s > 0).min() else { return };
            for (class, stay) in stays.iter_mut().enumerate() {
                if size(class) == smallest {
                    *stay = false;
                }
            }
        }
    }

    pub(crate) fn key_of_row(&self, row: usize, levels: &[u8]) -> [u64; W] {
        let problem = self.problem;
        let quasi = self.order.iter().zip(levels).map(|(&i, &level)| {
            let column = problem.quasi_column(i);
            problem.ladders[i].node(column.codes()[row], level)
        });
        let sensitive =
            problem.sensitive.iter().map(|&at| problem.table.columns()[at].codes()[row]);
        let slots: Vec<Slot> =
            self.quasi_slots.iter().chain(&self.sensitive_slots).copied().collect();
        pack(&slots, quasi.chain(sensitive))
    }
}

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

    /// Whether base groups as one class satisfy the class rules; people do not count.
    pub(crate) fn holds<const W: usize>(&mut self, engine: &Engine<'_, W>, groups: &[u32]) -> bool {
        let counts = &engine.base.counts;
        let size = groups.iter().map(|&g| u64::from(counts[g as usize])).sum();
        engine.problem.class_rules.iter().all(|rule| match rule {
            ClassRule::Sensitive { slot, .. } => {
                let histogram = &mut self.histograms[*slot];
                histogram.clear();
                let place = engine.sensitive_slots[*slot];
                for &g in groups {
                    histogram.add(place.read(&engine.base.keys[g as usize]), counts[g as usize]);
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

enum Fate {
    Stays,
    Goes,
    GoesEverywhereBelow,
    Hopeless,
}

impl ReleaseRule {
    pub(crate) fn holds(&self, sizes: &ClassSizes) -> bool {
        match self {
            Self::AverageRisk { most } => sizes.average_risk() <= *most,
            Self::PopulationUnique { most, estimator, population } => {
                sizes.population_unique(*estimator, *population).share <= *most
            }
        }
    }
}

/// Records that go, and what they add up to.
struct Pile {
    records: u64,
    shares: Vec<u64>,
}

struct Going {
    all: Pile,
    inherited: Pile,
    /// Somebody in an empty class is less likely present than the model demands.
    hopeless: bool,
}

impl Going {
    fn new(columns: usize) -> Self {
        let pile = || Pile { records: 0, shares: vec![0; columns] };
        Self { all: pile(), inherited: pile(), hopeless: false }
    }

    fn add(&mut self, size: u64, inherited: bool, leaves: impl Fn(usize) -> u64) {
        self.all.records += size;
        if inherited {
            self.inherited.records += size;
        }
        for column in 0..self.all.shares.len() {
            let share = size * leaves(column);
            self.all.shares[column] += share;
            if inherited {
                self.inherited.shares[column] += share;
            }
        }
    }
}

/// Groups sorted by the class that they belong to.
struct Members {
    starts: Vec<u32>,
    groups: Vec<u32>,
}

impl Members {
    fn sorted(class_of: &[u32], number: usize) -> Self {
        let mut starts = vec![0u32; number + 1];
        for &class in class_of {
            starts[class as usize + 1] += 1;
        }
        for class in 0..number {
            starts[class + 1] += starts[class];
        }
        let mut next = starts.clone();
        let mut groups = vec![0u32; class_of.len()];
        for (group, &class) in class_of.iter().enumerate() {
            groups[next[class as usize] as usize] = group as u32;
            next[class as usize] += 1;
        }
        Self { starts, groups }
    }

    fn of(&self, class: usize) -> &[u32] {
        &self.groups[self.starts[class] as usize..self.starts[class + 1] as usize]
    }
}

enum Classes {
    /// Each group is a class: no sensitive column is in the key.
    Same,
    Joined(Members),
}

impl Classes {
    fn number(&self, groups: usize) -> usize {
        match self {
            Self::Same => groups,
            Self::Joined(members) => members.starts.len() - 1,
        }
    }

    fn each_member(&self, class: usize, mut visit: impl FnMut(usize)) {
        match self {
            Self::Same => visit(class),
            Self::Joined(members) => {
                for &group in members.of(class) {
                    visit(group as usize);
                }
            }
        }
    }

    /// Records, people and one group of a class.
    fn totals<const W: usize>(&self, class: usize, groups: &Groups<W>) -> (u64, u64, usize) {
        let (mut size, mut people, mut first) = (0, 0, class);
        self.each_member(class, |group| {
            size += u64::from(groups.counts[group]);
            people += groups.population.get(group).map_or(0, |&p| u64::from(p));
            first = group;
        });
        (size, people, first)
    }
}

impl Problem<'_> {
    pub(crate) fn quasi_column(&self, i: usize) -> &crate::table::Column {
        // `Problem::new` looked every column up.
        let name = &self.quasi.items()[i].column;
        self.table.columns().iter().find(|c| c.name() == name).unwrap_or(&self.table.columns()[0])
    }
}

fn base_groups<const W: usize>(
    problem: &Problem<'_>,
    order: &[usize],
    slots: &[Slot],
    sensitive_slots: &[Slot],
    grouper: &mut Grouper,
) -> Groups<W> {
    let all: Vec<Slot> = slots.iter().chain(sensitive_slots).copied().collect();
    let columns: Vec<(&[u32], &[u32])> = order
        .iter()
        .map(|&i| (problem.quasi_column(i).codes(), problem.ladders[i].node_of_code.as_slice()))
        .collect();
    let sensitive: Vec<&[u32]> =
        problem.sensitive.iter().map(|&at| problem.table.columns()[at].codes()).collect();
    let rows = (0..problem.table.rows()).map(|row| {
        let quasi = columns.iter().map(|(codes, nodes)| nodes[codes[row] as usize]);
        (pack(&all, quasi.chain(sensitive.iter().map(|codes| codes[row]))), 1, 0)
    });
    let Some(population) = problem.population else {
        return grouper.collect(problem.table.rows(), false, rows);
    };
    // People of the population carry the spare code of each sensitive column.
    let spare: Vec<u32> = problem
        .sensitive
        .iter()
        .map(|&at| problem.table.columns()[at].dictionary().len() as u32)
        .collect();
    let people_columns: Vec<(&[u32], &[u32])> = order
        .iter()
        .filter_map(|&i| {
            let column = population.column(&problem.quasi.items()[i].column).ok()?;
            Some((column.codes(), problem.ladders[i].node_of_population_code.as_slice()))
        })
        .collect();
    let people = (0..population.rows()).map(|row| {
        let quasi = people_columns.iter().map(|(codes, nodes)| nodes[codes[row] as usize]);
        (pack(&all, quasi.chain(spare.iter().copied())), 0, 1)
    });
    grouper.collect(problem.table.rows() + population.rows(), true, rows.chain(people))
}

fn shares(problem: &Problem<'_>, i: usize) -> Vec<u64> {
    let ladder = &problem.ladders[i];
    let counts = problem.quasi_column(i).counts();
    ladder
        .rungs
        .iter()
        .enumerate()
        .map(|(level, rung)| {
            counts
                .iter()
                .enumerate()
                .filter(|(_, count)| **count > 0)
                .map(|(code, count)| {
                    let node = ladder.node(code as u32, level as u8);
                    count * u64::from(rung.leaves[node as usize])
                })
                .sum()
        })
        .collect()
}
