//! Checks one lattice node: which records must go, and what is lost.

mod classes;
mod judge;

use crate::grouping::{Grouper, Groups, Slot, Step, layout, pack};
use crate::loss::ColumnSums;
use crate::model::{ClassRule, Histogram};
use crate::problem::{Ladder, Problem, ProblemError, ReleaseRule};
use crate::risk::ClassSizes;

pub(crate) use judge::Judge;

use classes::{Classes, Going, Members, Totals};

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
    /// Of the sensitive columns, and last of whose a record is where people count.
    sensitive_slots: Vec<Slot>,
    all_slots: Vec<Slot>,
    /// Codes of each key column by record, internal order, sensitive ones last.
    codes: Vec<&'p [u32]>,
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
        .chain(problem.person.map(|person| person.dictionary().len() + spare))
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
        let all_slots = slots.iter().chain(&sensitive_slots).copied().collect();
        let quasi = order.iter().map(|&i| problem.quasi_column(i).codes());
        let sensitive = problem.sensitive.iter().map(|&at| problem.table.columns()[at].codes());
        let person = problem.person.map(|person| person.codes());
        let codes = quasi.chain(sensitive).chain(person).collect();
        Self {
            problem,
            base,
            grouper,
            order,
            quasi_slots: slots,
            sensitive_slots,
            all_slots,
            codes,
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

    /// The node at level 0 that a base key has in a column.
    pub(crate) fn value(&self, key: &[u64; W], column: usize) -> u32 {
        self.quasi_slots[column].read(key)
    }

    /// Σ of domain values over all records, by level of a column.
    pub(crate) fn shares(&self, column: usize) -> &[u64] {
        &self.shares[column]
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
            let whole = classes.totals(class, groups, self.problem);
            let fate = self.fate(groups, classes, class, whole.size, whole.population);
            if matches!(fate, Fate::Hopeless) {
                going.hopeless = true;
            }
            let stay = matches!(fate, Fate::Stays);
            stays.push(stay || whole.size == 0);
            if !stay && whole.size > 0 {
                let inherited = matches!(fate, Fate::GoesEverywhereBelow);
                let key = &groups.keys[whole.first];
                going.add(whole.records, inherited, |c| self.leaves(key, c, levels));
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
        let (place, problem) = (self.sensitive_slots[slot], self.problem);
        classes.each_member(class, |group| {
            let weight = problem.weight(groups.counts[group]);
            histogram.add(place.read(&groups.keys[group]), weight);
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
        let mut left: Vec<Totals> = stays
            .iter()
            .enumerate()
            .filter(|(_, stay)| **stay)
            .map(|(class, _)| classes.totals(class, groups, self.problem))
            .filter(|whole| whole.size > 0)
            .collect();
        left.sort_unstable_by(|a, b| b.size.cmp(&a.size).then(a.first.cmp(&b.first)));
        let mut sizes = ClassSizes::from_sizes(left.iter().map(|whole| whole.size));
        while !self.problem.release_rules.iter().all(|rule| rule.holds(&sizes)) {
            let Some(smallest) = left.last().map(|whole| whole.size) else { return };
            while let Some(&Totals { size, records, first, .. }) = left.last()
                && size == smallest
            {
                left.pop();
                going.add(records, false, |c| self.leaves(&groups.keys[first], c, levels));
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
        let size = |class: usize| classes.totals(class, groups, self.problem).size;
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
        let nodes = self.codes.iter().enumerate().map(|(c, codes)| match levels.get(c) {
            Some(&level) => self.ladder(c).node(codes[row], level),
            None => codes[row],
        });
        pack(&self.all_slots, nodes)
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
    let sensitive: Vec<&[u32]> = problem
        .sensitive
        .iter()
        .map(|&at| problem.table.columns()[at].codes())
        .chain(problem.person.map(|person| person.codes()))
        .collect();
    let rows = (0..problem.table.rows()).map(|row| {
        let quasi = columns.iter().map(|(codes, nodes)| nodes[codes[row] as usize]);
        (pack(&all, quasi.chain(sensitive.iter().map(|codes| codes[row]))), 1, 0)
    });
    let Some(population) = problem.population else {
        return grouper.collect(problem.table.rows(), false, rows);
    };
    // People of the population carry the spare code of each column that is no quasi-identifier.
    let spare: Vec<u32> = problem
        .sensitive
        .iter()
        .map(|&at| problem.table.columns()[at].dictionary().len() as u32)
        .chain(problem.person.map(|person| person.dictionary().len() as u32))
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
