//! Hierarchies of numeric intervals.

use super::{Hierarchy, HierarchyError, SUPPRESSED};

/// How numbers are put into intervals.
///
/// Level 1 has intervals `[origin + i·width, origin + (i+1)·width)`; each further level joins
/// `fanout` neighbours; values below `lowest` and from `highest` on are coded `<lowest` and
/// `>=highest` (bottom and top coding). The last level is `*`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Intervals {
    /// Where an interval begins.
    pub origin: f64,
    /// How wide level 1 is.
    pub width: f64,
    /// How many intervals each further level joins.
    pub fanout: u32,
    /// How many interval levels there are.
    pub levels: u8,
    /// Everything below is one interval.
    pub lowest: f64,
    /// Everything from here on is one interval.
    pub highest: f64,
}

impl Hierarchy {
    /// A hierarchy of intervals over the numbers of a column's dictionary.
    ///
    /// # Errors
    /// When a value is no number, or the parameters make no intervals.
    pub fn intervals(values: &[String], plan: Intervals) -> Result<Self, HierarchyError> {
        let numbers = parse(values)?;
        Self::from_steps(values, steps(&numbers, plan)?)
    }
}

/// The interval of each number at levels 1, 2 and so on.
pub(super) fn steps(numbers: &[f64], plan: Intervals) -> Result<Vec<Vec<String>>, HierarchyError> {
    if !(plan.width > 0.0 && plan.width.is_finite() && plan.origin.is_finite()) {
        return Err(HierarchyError::Parameter("an interval needs a width above zero"));
    }
    if plan.fanout < 2 || plan.levels == 0 {
        return Err(HierarchyError::Parameter(
            "intervals need at least one level and a fanout of two",
        ));
    }
    if plan.lowest >= plan.highest {
        return Err(HierarchyError::Parameter("the lowest bound must lie below the highest"));
    }
    let step = |level: u8| {
        let width = plan.width * f64::from(plan.fanout).powi(i32::from(level));
        numbers.iter().map(|&x| plan.label(x, width)).collect()
    };
    Ok((0..plan.levels).map(step).collect())
}

impl Intervals {
    fn label(&self, x: f64, width: f64) -> String {
        // Cut points snap outwards to the grid of the widest level, so that the levels nest.
        let widest = self.width * f64::from(self.fanout).powi(i32::from(self.levels) - 1);
        let low = self.origin + ((self.lowest - self.origin) / widest).floor() * widest;
        let high = self.origin + ((self.highest - self.origin) / widest).ceil() * widest;
        if x < low {
            return format!("<{low}");
        }
        if x >= high {
            return format!(">={high}");
        }
        let start = self.origin + ((x - self.origin) / width).floor() * width;
        format!("[{start}, {})", start + width)
    }
}

pub(super) fn parse(values: &[String]) -> Result<Vec<f64>, HierarchyError> {
    values
        .iter()
        .enumerate()
        .map(|(i, text)| {
            crate::number::parse(text)
                .ok_or(HierarchyError::Unreadable { entry: i + 1, expected: "number" })
        })
        .collect()
}

/// Intervals of as many distinct numbers each: `per_group` at level 1, doubling upwards.
pub(super) fn quantiles(numbers: &[f64], per_group: usize) -> Vec<Vec<String>> {
    let mut order: Vec<usize> = (0..numbers.len()).collect();
    order.sort_by(|&a, &b| numbers[a].total_cmp(&numbers[b]));
    let mut steps = Vec::new();
    let mut size = per_group;
    while size < numbers.len() {
        let mut step = vec![SUPPRESSED.to_owned(); numbers.len()];
        for group in order.chunks(size) {
            if let (Some(&first), Some(&last)) = (group.first(), group.last()) {
                let label = format!("[{}, {}]", numbers[first], numbers[last]);
                for &i in group {
                    step[i].clone_from(&label);
                }
            }
        }
        steps.push(step);
        size *= 2;
    }
    steps
}
