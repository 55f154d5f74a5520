//! Noisy tables made non-negative and consistent, by post-processing alone.

/// Counts that are whole, not negative and add up to `total`, nearest to the noisy ones.
///
/// # Privacy
/// Post-processing: costs nothing. The result is biased where noisy counts were negative, and its
/// intervals are those of the noisy counts.
///
/// # Source
/// Euclidean projection onto a simplex (Duchi et al. 2008, Figure 1), then largest remainders.
#[must_use]
pub fn nonnegative_counts(noisy: &[f64], total: u64) -> Vec<u64> {
    if noisy.is_empty() {
        return Vec::new();
    }
    let finite: Vec<f64> = noisy.iter().map(|x| if x.is_finite() { *x } else { 0.0 }).collect();
    let projected = project(&finite, total as f64);
    let mut counts: Vec<u64> = projected.iter().map(|x| x.floor() as u64).collect();
    let mut order: Vec<usize> = (0..counts.len()).collect();
    let rest = |i: &usize| projected.get(*i).map_or(0.0, |x| x - x.floor());
    order.sort_by(|a, b| rest(b).total_cmp(&rest(a)).then(a.cmp(b)));
    let missing = total.saturating_sub(counts.iter().sum());
    for index in order.into_iter().cycle().take(missing as usize) {
        if let Some(count) = counts.get_mut(index) {
            *count += 1;
        }
    }
    counts
}

/// The nearest point with non-negative coordinates that sum to `total`.
pub(crate) fn project(values: &[f64], total: f64) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(|a, b| b.total_cmp(a));
    let mut sum = 0.0;
    let mut shift = 0.0;
    for (i, value) in sorted.iter().enumerate() {
        sum += value;
        let candidate = (sum - total) / (i + 1) as f64;
        if value - candidate > 0.0 {
            shift = candidate;
        }
    }
    values.iter().map(|x| (x - shift).max(0.0)).collect()
}

/// A two-way table whose rows add up to `row_totals`, each row made as in [`nonnegative_counts`].
///
/// # Privacy
/// Post-processing: costs nothing.
#[must_use]
pub fn nonnegative_table(noisy: &[Vec<f64>], row_totals: &[u64]) -> Vec<Vec<u64>> {
    noisy.iter().zip(row_totals).map(|(row, &total)| nonnegative_counts(row, total)).collect()
}
