//! Marginal tables: sets of attributes, their cells, and maps between them.

/// A sorted set of attributes with their sizes, laid out with the last attribute fastest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Scope {
    pub(crate) attrs: Vec<usize>,
    pub(crate) sizes: Vec<usize>,
}

impl Scope {
    pub(crate) fn new(mut attrs: Vec<usize>, all_sizes: &[usize]) -> Self {
        attrs.sort_unstable();
        attrs.dedup();
        let sizes = attrs.iter().map(|a| all_sizes.get(*a).copied().unwrap_or(1)).collect();
        Self { attrs, sizes }
    }

    /// How many cells there are; the largest number where they do not fit it.
    pub(crate) fn cells(&self) -> usize {
        self.sizes.iter().fold(1, |cells: usize, size| cells.saturating_mul(*size))
    }

    pub(crate) fn contains(&self, attrs: &[usize]) -> bool {
        attrs.iter().all(|a| self.attrs.contains(a))
    }

    /// For each cell, its cell in the marginal over `onto`, which lies within this scope.
    pub(crate) fn map_onto(&self, onto: &Self) -> Vec<u32> {
        let strides: Vec<usize> = self
            .attrs
            .iter()
            .map(|a| match onto.attrs.iter().position(|b| a == b) {
                Some(at) => onto.sizes.iter().skip(at + 1).product(),
                None => 0,
            })
            .collect();
        let mut digits = vec![0; self.attrs.len()];
        let mut map = Vec::with_capacity(self.cells());
        let mut at = 0;
        for _ in 0..self.cells() {
            map.push(at as u32);
            for (digit, (size, stride)) in
                digits.iter_mut().zip(self.sizes.iter().zip(&strides)).rev()
            {
                *digit += 1;
                at += stride;
                if *digit < *size {
                    break;
                }
                at -= stride * size;
                *digit = 0;
            }
        }
        map
    }

    /// The cell of each row. Three attributes of 4,096 codes have 2^36 cells.
    pub(crate) fn cells_of(&self, columns: &[Vec<u16>]) -> Vec<u64> {
        let picked: Vec<(&[u16], usize)> = self
            .attrs
            .iter()
            .zip(&self.sizes)
            .filter_map(|(a, size)| Some((columns.get(*a)?.as_slice(), *size)))
            .collect();
        let rows = picked.first().map_or(0, |(c, _)| c.len());
        let mut cells = vec![0u64; rows];
        for (column, size) in picked {
            for (cell, code) in cells.iter_mut().zip(column) {
                *cell = *cell * size as u64 + u64::from(*code);
            }
        }
        cells
    }

    /// Counts of rows in each cell.
    pub(crate) fn count(&self, columns: &[Vec<u16>]) -> Vec<i64> {
        let mut counts = vec![0; self.cells()];
        for cell in self.cells_of(columns) {
            if let Some(slot) = usize::try_from(cell).ok().and_then(|at| counts.get_mut(at)) {
                *slot += 1;
            }
        }
        counts
    }
}

/// Sums `values` into `cells` cells by `map`.
pub(crate) fn sum_by(values: &[f64], map: &[u32], cells: usize) -> Vec<f64> {
    let mut sums = vec![0.0; cells];
    for (value, to) in values.iter().zip(map) {
        if let Some(slot) = sums.get_mut(*to as usize) {
            *slot += value;
        }
    }
    sums
}

/// Multiplies each value by its cell's factor.
pub(crate) fn scale_by(values: &mut [f64], map: &[u32], factors: &[f64]) {
    for (value, to) in values.iter_mut().zip(map) {
        *value *= factors.get(*to as usize).copied().unwrap_or(0.0);
    }
}

pub(crate) fn normalise(values: &mut [f64]) {
    let total: f64 = values.iter().sum();
    if total > 0.0 {
        values.iter_mut().for_each(|v| *v /= total);
    }
}
