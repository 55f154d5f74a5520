//! A scan's parts: even ones, though files are few and of unlike size.

use std::ops::Range;

use crate::manifest::DataFile;
use crate::write::GROUP_ROWS;

/// Row groups of a file, by the place of their first row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Slice {
    /// The file.
    pub(crate) file: DataFile,
    /// Where the first row of a group lies that belongs to it. Open to the end for a file's last
    /// slice, whatever the manifest says of its length.
    firsts: Range<u64>,
}

impl Slice {
    /// Whether a row group belongs to it that begins after `before` rows of the file.
    pub(crate) fn has(&self, before: u64) -> bool {
        self.firsts.contains(&before)
    }
}

/// Cuts files into at most `wanted` parts of similar numbers of rows; none of them is empty, and
/// each row group is in exactly one. A file is cut between row groups, and no oftener than it takes.
pub(crate) fn slices(files: &[DataFile], wanted: usize) -> Vec<Vec<Slice>> {
    let wanted = wanted.max(1);
    let total: u64 = files.iter().map(|file| file.rows).sum();
    let mut parts: Vec<Vec<Slice>> = vec![Vec::new(); wanted];
    let mut before = 0;
    for file in files {
        for start in (0..file.rows).step_by(GROUP_ROWS) {
            let end = file.rows.min(start + GROUP_ROWS as u64);
            let firsts = start..if end == file.rows { u64::MAX } else { end };
            let Some(part) = parts.get_mut(part_of(before + (start + end) / 2, total, wanted))
            else {
                continue;
            };
            match part.last_mut() {
                Some(slice) if slice.file.name == file.name => slice.firsts.end = firsts.end,
                _ => part.push(Slice { file: file.clone(), firsts }),
            }
        }
        before += file.rows;
    }
    parts.retain(|part| !part.is_empty());
    parts
}

/// The part in which a row lies when `total` rows, more than its place, are cut evenly.
fn part_of(place: u64, total: u64, wanted: usize) -> usize {
    let part = u128::from(place) * wanted as u128 / u128::from(total.max(1));
    usize::try_from(part).unwrap_or(usize::MAX).min(wanted - 1)
}

#[cfg(test)]
mod tests;
