//! Microaggregation: numbers replaced by the average of their group.

use super::{TransformError, numbers_of};
use crate::table::Column;

/// Which average stands for a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Average {
    /// Arithmetic mean.
    Mean,
    /// Middle number, the lower one of two.
    Median,
}

/// Replaces each number by the average of the numbers of its group. Missing values stay.
///
/// # Errors
/// When a value is something else than a number, or `groups` is not as long as the column.
pub fn microaggregate(
    column: &Column,
    groups: &[u32],
    average: Average,
) -> Result<Column, TransformError> {
    if groups.len() != column.codes().len() {
        return Err(TransformError::Parameter("there must be a group for each record"));
    }
    let numbers = numbers_of(column)?;
    let number = groups.iter().max().map_or(0, |&g| g as usize + 1);
    let mut members: Vec<Vec<f64>> = vec![Vec::new(); number];
    for (&group, &code) in groups.iter().zip(column.codes()) {
        members[group as usize].extend(numbers[code as usize]);
    }
    let averages: Vec<f64> = members
        .iter_mut()
        .map(|values| {
            values.sort_by(f64::total_cmp);
            match average {
                _ if values.is_empty() => 0.0,
                Average::Mean => values.iter().sum::<f64>() / values.len() as f64,
                Average::Median => values[(values.len() - 1) / 2],
            }
        })
        .collect();
    let texts =
        groups.iter().zip(column.codes()).map(|(&group, &code)| match numbers[code as usize] {
            Some(_) => averages[group as usize].to_string(),
            None => column.dictionary()[code as usize].clone(),
        });
    Ok(Column::from_values(column.name(), texts)?)
}

/// Groups records of numeric columns by nearness, each group of `k` to 2k − 1 complete ones.
///
/// Columns are standardised first. With fewer than `k` records all are one group. Records with
/// missing values join the group that is nearest by what they have, so that every average is over
/// at least `k` numbers.
///
/// # Errors
/// When a value is something else than a number, the columns differ in length, `k` is 0, or values
/// are missing and fewer than `k` records are complete.
///
/// # Cost
/// Time in n²/k distances: for tables up to about 50,000 records.
///
/// # Source
/// Domingo-Ferrer and Torra 2005, "Ordinal, continuous and heterogeneous k-anonymity through
/// microaggregation", algorithm MDAV-generic. The place of incomplete records is ours.
pub fn mdav(columns: &[&Column], k: usize) -> Result<Vec<u32>, TransformError> {
    let rows = columns.first().map_or(0, |c| c.codes().len());
    if k == 0 || columns.iter().any(|c| c.codes().len() != rows) {
        return Err(TransformError::Parameter("k must be at least 1 and the columns equally long"));
    }
    let points = standardised(columns, rows)?;
    let width = columns.len();
    let mut group_of = vec![0; rows];
    let complete = |row: &usize| points[row * width..(row + 1) * width].iter().all(|x| !x.is_nan());
    let (mut left, gaps): (Vec<usize>, Vec<usize>) = (0..rows).partition(complete);
    if !gaps.is_empty() && left.len() < k {
        return Err(TransformError::Parameter(
            "fewer than k records have a number in every column: no average would be over k of them",
        ));
    }
    let whole = left.clone();
    let mut next = 0;
    let mut close = |left: &mut Vec<usize>, around: usize, size: usize| {
        let size = size.min(left.len());
        let by_distance = |&a: &usize, &b: &usize| {
            let (x, y) = (apart(&points, width, a, around), apart(&points, width, b, around));
            x.total_cmp(&y).then(a.cmp(&b))
        };
        if size < left.len() {
            left.select_nth_unstable_by(size, by_distance);
        }
        for member in left.drain(..size) {
            group_of[member] = next;
        }
        next += 1;
    };
    while left.len() >= 3 * k {
        let centre = centroid(&points, &left, width);
        let r = farthest(&points, &left, &centre);
        let from_r = points[r * width..(r + 1) * width].to_vec();
        close(&mut left, r, k);
        let s = farthest(&points, &left, &from_r);
        close(&mut left, s, k);
    }
    if left.len() >= 2 * k {
        let centre = centroid(&points, &left, width);
        let r = farthest(&points, &left, &centre);
        close(&mut left, r, k);
    }
    if let Some(&any) = left.first() {
        let size = left.len();
        close(&mut left, any, size);
    }
    join(&points, width, &whole, &gaps, &mut group_of);
    Ok(group_of)
}

/// Puts records with missing values into the group whose centroid is nearest by what they have.
fn join(points: &[f64], width: usize, whole: &[usize], gaps: &[usize], group_of: &mut [u32]) {
    let groups = whole.iter().map(|&row| group_of[row] as usize + 1).max().unwrap_or(0);
    let mut members: Vec<Vec<usize>> = vec![Vec::new(); groups];
    for &row in whole {
        members[group_of[row] as usize].push(row);
    }
    let centroids: Vec<Vec<f64>> =
        members.iter().map(|rows| centroid(points, rows, width)).collect();
    for &row in gaps {
        let own = &points[row * width..(row + 1) * width];
        let distance = |centre: &[f64]| -> f64 {
            let known = own.iter().zip(centre).filter(|(x, _)| !x.is_nan());
            known.map(|(x, c)| (x - c).powi(2)).sum()
        };
        let nearest = (0..groups)
            .min_by(|&a, &b| distance(&centroids[a]).total_cmp(&distance(&centroids[b])));
        group_of[row] = nearest.unwrap_or(0) as u32;
    }
}

/// Columns at mean 0 and deviation 1, not a number where a value is missing.
fn standardised(columns: &[&Column], rows: usize) -> Result<Vec<f64>, TransformError> {
    let mut points = vec![0.0; rows * columns.len()];
    for (c, column) in columns.iter().enumerate() {
        let numbers = numbers_of(column)?;
        let values = || column.codes().iter().filter_map(|&code| numbers[code as usize]);
        let present = values().count().max(1) as f64;
        let mean = values().sum::<f64>() / present;
        let deviation = (values().map(|x| (x - mean).powi(2)).sum::<f64>() / present).sqrt();
        let scale = if deviation > 0.0 { deviation } else { 1.0 };
        for (row, &code) in column.codes().iter().enumerate() {
            let point = numbers[code as usize].map_or(f64::NAN, |x| (x - mean) / scale);
            points[row * columns.len() + c] = point;
        }
    }
    Ok(points)
}

fn apart(points: &[f64], width: usize, a: usize, b: usize) -> f64 {
    let (x, y) = (&points[a * width..(a + 1) * width], &points[b * width..(b + 1) * width]);
    x.iter().zip(y).map(|(p, q)| (p - q).powi(2)).sum()
}

fn centroid(points: &[f64], rows: &[usize], width: usize) -> Vec<f64> {
    let mut centre = vec![0.0; width];
    for &row in rows {
        for (sum, x) in centre.iter_mut().zip(&points[row * width..]) {
            *sum += x;
        }
    }
    centre.iter().map(|sum| sum / rows.len() as f64).collect()
}

fn farthest(points: &[f64], rows: &[usize], from: &[f64]) -> usize {
    let distance = |row: usize| -> f64 {
        from.iter().zip(&points[row * from.len()..]).map(|(p, q)| (p - q).powi(2)).sum()
    };
    rows.iter().copied().max_by(|&a, &b| distance(a).total_cmp(&distance(b))).unwrap_or(0)
}
