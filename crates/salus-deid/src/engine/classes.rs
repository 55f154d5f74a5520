//! Equivalence classes at one node, and the records that must go there.

use crate::grouping::Groups;
use crate::problem::Problem;

/// Records that go, and what they add up to.
pub(super) struct Pile {
    pub(super) records: u64,
    pub(super) shares: Vec<u64>,
}

pub(super) struct Going {
    pub(super) all: Pile,
    pub(super) inherited: Pile,
    /// Somebody in an empty class is less likely present than the model demands.
    pub(super) hopeless: bool,
}

impl Going {
    pub(super) fn new(columns: usize) -> Self {
        let pile = || Pile { records: 0, shares: vec![0; columns] };
        Self { all: pile(), inherited: pile(), hopeless: false }
    }

    pub(super) fn add(&mut self, size: u64, inherited: bool, leaves: impl Fn(usize) -> u64) {
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
pub(super) struct Members {
    starts: Vec<u32>,
    groups: Vec<u32>,
}

impl Members {
    pub(super) fn sorted(class_of: &[u32], number: usize) -> Self {
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

/// What a class adds up to.
#[derive(Clone, Copy)]
pub(super) struct Totals {
    pub(super) records: u64,
    /// What the models count: records, or the people whose they are.
    pub(super) size: u64,
    /// People of the population.
    pub(super) population: u64,
    /// One of its groups.
    pub(super) first: usize,
}

pub(super) enum Classes {
    /// Each group is a class: the key holds quasi-identifiers alone.
    Same,
    Joined(Members),
}

impl Classes {
    pub(super) fn number(&self, groups: usize) -> usize {
        match self {
            Self::Same => groups,
            Self::Joined(members) => members.starts.len() - 1,
        }
    }

    pub(super) fn each_member(&self, class: usize, mut visit: impl FnMut(usize)) {
        match self {
            Self::Same => visit(class),
            Self::Joined(members) => {
                for &group in members.of(class) {
                    visit(group as usize);
                }
            }
        }
    }

    /// What a class adds up to. All records of a person in a class are one group of it, for they
    /// agree in every sensitive column.
    pub(super) fn totals<const W: usize>(
        &self,
        class: usize,
        groups: &Groups<W>,
        problem: &Problem<'_>,
    ) -> Totals {
        let mut whole = Totals { records: 0, size: 0, population: 0, first: class };
        self.each_member(class, |group| {
            whole.records += u64::from(groups.counts[group]);
            whole.size += u64::from(problem.weight(groups.counts[group]));
            whole.population += groups.population.get(group).map_or(0, |&p| u64::from(p));
            whole.first = group;
        });
        whole
    }
}
