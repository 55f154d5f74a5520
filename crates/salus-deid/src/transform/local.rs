//! Local recoding: each class gets its own levels, so that few records pay for the rare ones.

use hashbrown::HashMap;

use crate::engine::{Engine, Judge};
use crate::problem::Problem;
use crate::search::{SearchError, with_words};
use crate::table::{Column, Table};

/// Lattices above this are not swept node by node.
const SWEPT_NODES: u64 = 100_000;

/// A locally recoded table; nothing is suppressed.
#[derive(Debug, Clone, PartialEq)]
pub struct LocalOutcome {
    /// The table with its quasi-identifiers recoded.
    pub table: Table,
    /// The mean over quasi-identifiers and records of 1 − (m − 1)/(D − 1), where the published
    /// label stands for m of the D values of its domain: 1 is untouched, 0 is nothing left.
    pub granularity: f64,
    /// Published classes.
    pub classes: u64,
    /// Size of the smallest class.
    pub smallest: u64,
}

/// Classes under construction: base groups by the levels and key they are published with.
struct Recoding<const W: usize> {
    classes: Vec<LocalClass<W>>,
}

struct LocalClass<const W: usize> {
    levels: Vec<u8>,
    key: [u64; W],
    groups: Vec<u32>,
    records: u64,
}

impl Problem<'_> {
    /// Recodes locally until every class satisfies the models, without suppressing anything.
    ///
    /// Nodes of the lattice are visited from cheap to dear; whoever forms a class that satisfies
    /// the models there is published at that node. The few left at the end join the class whose
    /// widening costs least.
    ///
    /// # Privacy
    /// Every published class satisfies the models. Labels of different levels overlap: a person
    /// may fit several classes, which adds to an attacker's uncertainty and never takes from it,
    /// but recipients must not count such labels as disjoint. An attacker who knows this algorithm
    /// learns that a wide class could not be published narrower (minimality).
    ///
    /// # Errors
    /// When the whole table as one class fails a model, or a model compares with a population or
    /// with the whole release.
    ///
    /// # Cost
    /// A pass over the records left for each node.
    ///
    /// # Source
    /// Local recoding as global optimisation is NP-hard (Meyerson and Williams 2004); the sweep is
    /// ours.
    pub fn recode_locally(&self) -> Result<LocalOutcome, SearchError> {
        fn run<const W: usize>(problem: &Problem<'_>) -> Result<LocalOutcome, SearchError> {
            let mut engine = Engine::<W>::new(problem);
            let recoding = Recoding::sweep(&mut engine)?;
            Ok(recoding.publish(&engine))
        }
        if self.population.is_some() || !self.release_rules.is_empty() {
            return Err(SearchError::NotLocal);
        }
        if self.quasi.lattice().size().is_none_or(|size| size > SWEPT_NODES) {
            return self.mondrian();
        }
        with_words!(self, run(self))
    }
}

/// All nodes with the mean loss of a record there, cheap first; general ones last among equals.
fn nodes_by_cost<const W: usize>(engine: &Engine<'_, W>) -> Vec<Vec<u8>> {
    let mut nodes: Vec<(f64, Vec<u8>)> = vec![(0.0, Vec::new())];
    for column in 0..engine.width() {
        nodes = nodes
            .into_iter()
            .flat_map(|(cost, levels)| {
                (0..=engine.ladder(column).top()).map(move |level| {
                    let mut longer = levels.clone();
                    longer.push(level);
                    (cost + engine.column_bound(column, level, None), longer)
                })
            })
            .collect();
    }
    nodes.sort_by(|a, b| a.0.total_cmp(&b.0).then_with(|| a.1.cmp(&b.1)));
    nodes.into_iter().map(|(_, levels)| levels).collect()
}

impl<const W: usize> Recoding<W> {
    fn sweep(engine: &mut Engine<'_, W>) -> Result<Self, SearchError> {
        let mut recoding = Self { classes: Vec::new() };
        let mut left: Vec<u32> = (0..engine.base.keys.len() as u32).collect();
        let mut judge = engine.judge();
        for levels in nodes_by_cost(engine) {
            if left.is_empty() {
                break;
            }
            let (class_of, keys, sizes) = engine.classes_of(&left, &levels);
            let promising: Vec<bool> = sizes.iter().map(|&s| judge.may_hold(s)).collect();
            if !promising.contains(&true) {
                continue;
            }
            let mut members: HashMap<u32, Vec<u32>> = HashMap::new();
            for (&group, &class) in left.iter().zip(&class_of) {
                if promising[class as usize] {
                    members.entry(class).or_default().push(group);
                }
            }
            members.retain(|_, groups| judge.holds(engine, groups));
            if members.is_empty() {
                continue;
            }
            let mut kept = Vec::with_capacity(left.len());
            for (&group, class) in left.iter().zip(&class_of) {
                if !members.contains_key(class) {
                    kept.push(group);
                }
            }
            let mut found: Vec<(u32, Vec<u32>)> = members.into_iter().collect();
            found.sort_unstable();
            for (class, groups) in found {
                recoding.classes.push(LocalClass {
                    levels: levels.clone(),
                    key: keys[class as usize],
                    groups,
                    records: sizes[class as usize],
                });
            }
            left = kept;
        }
        recoding.place_rest(engine, &mut judge, &left)?;
        Ok(recoding)
    }

    /// Puts each group that is left into the class whose widening costs least.
    fn place_rest(
        &mut self,
        engine: &Engine<'_, W>,
        judge: &mut Judge,
        left: &[u32],
    ) -> Result<(), SearchError> {
        for &group in left {
            let mut options: Vec<(f64, usize, Vec<u8>)> = self
                .classes
                .iter()
                .enumerate()
                .filter_map(|(i, class)| {
                    let wide = engine.join(group, class.groups[0], &class.levels)?;
                    let count = u64::from(engine.base.counts[group as usize]);
                    let before = engine.key_cost(&class.key, &class.levels) * class.records as f64;
                    let key = engine.coarse_key(group, &wide);
                    let after = engine.key_cost(&key, &wide) * (class.records + count) as f64;
                    Some((after - before, i, wide))
                })
                .collect();
            options.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            let fit = options.into_iter().find(|(_, i, _)| {
                let mut groups = self.classes[*i].groups.clone();
                groups.push(group);
                judge.holds(engine, &groups)
            });
            let (_, i, levels) = fit.ok_or(SearchError::Unsatisfiable)?;
            let class = &mut self.classes[i];
            class.key = engine.coarse_key(group, &levels);
            class.levels = levels;
            class.groups.push(group);
            class.records += u64::from(engine.base.counts[group as usize]);
        }
        Ok(())
    }

    fn publish(&self, engine: &Engine<'_, W>) -> LocalOutcome {
        let problem = engine.problem;
        let mut class_of_group = vec![0u32; engine.base.keys.len()];
        for (i, class) in self.classes.iter().enumerate() {
            for &group in &class.groups {
                class_of_group[group as usize] = i as u32;
            }
        }
        let index: HashMap<[u64; W], u32> =
            engine.base.keys.iter().enumerate().map(|(i, key)| (*key, i as u32)).collect();
        let bottom = vec![0; engine.width()];
        let class_of_row: Vec<u32> = (0..problem.table.rows())
            .map(|row| class_of_group[index[&engine.key_of_row(row, &bottom)] as usize])
            .collect();
        let levels: Vec<Vec<u8>> =
            self.classes.iter().map(|class| engine.outward(&class.levels)).collect();
        recoded(problem, &class_of_row, &levels)
    }
}

/// The table with each record at the levels of its class.
pub(super) fn recoded(
    problem: &Problem<'_>,
    class_of_row: &[u32],
    levels: &[Vec<u8>],
) -> LocalOutcome {
    let mut table = problem.table.clone();
    let mut granularity = 0.0;
    for (i, item) in problem.quasi.items().iter().enumerate() {
        let column = problem.quasi_column(i);
        let mut known: HashMap<(u8, u32), u32> = HashMap::new();
        let mut dictionary = Vec::new();
        let mut open = 0.0;
        let domain = item.hierarchy.domain() as f64;
        let codes = column
            .codes()
            .iter()
            .zip(class_of_row)
            .map(|(&code, &class)| {
                let level = levels[class as usize][i];
                let text = &column.dictionary()[code as usize];
                let value = item.hierarchy.value(text).unwrap_or_default();
                let node = item.hierarchy.node(value, level);
                open += f64::from(item.hierarchy.leaves(node, level)) - 1.0;
                *known.entry((level, node)).or_insert_with(|| {
                    dictionary.push(item.hierarchy.label(node, level).to_owned());
                    dictionary.len() as u32 - 1
                })
            })
            .collect();
        granularity += 1.0 - open / (class_of_row.len() as f64 * (domain - 1.0).max(1.0));
        // The same label may come from two levels; `map` merges equal texts.
        let recoded = Column::from_parts(item.column.clone(), dictionary, codes);
        if let Ok(next) = table.clone().with_column(recoded.map(str::to_owned)) {
            table = next;
        }
    }
    let names: Vec<&str> = problem.quasi.items().iter().map(|q| q.column.as_str()).collect();
    let sizes = crate::risk::ClassSizes::of_table(&table, &names).ok();
    LocalOutcome {
        granularity: granularity / problem.quasi.len() as f64,
        classes: sizes.as_ref().map_or(0, crate::risk::ClassSizes::classes),
        smallest: sizes.and_then(|s| s.smallest()).unwrap_or(0),
        table,
    }
}
