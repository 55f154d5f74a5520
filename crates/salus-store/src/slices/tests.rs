#![allow(clippy::unwrap_used)]

use salus_crypto::Digest;
use salus_model::DatasetVersion;

use super::*;

const GROUP: u64 = GROUP_ROWS as u64;

fn files(rows: &[u64]) -> Vec<DataFile> {
    let file = |(number, &rows): (usize, &u64)| DataFile {
        name: format!("{number}.parquet"),
        first_version: DatasetVersion::new(1).unwrap(),
        rows,
        bytes: rows,
        sha256: Digest::of(b""),
    };
    rows.iter().enumerate().map(file).collect()
}

/// Rows of each part, once it is sure that each group of each file is in exactly one.
fn shares(rows: &[u64], wanted: usize) -> Vec<u64> {
    let files = files(rows);
    let parts = slices(&files, wanted);
    assert!(parts.len() <= wanted.max(1) && parts.iter().all(|part| !part.is_empty()));
    let mut shares = vec![0; parts.len()];
    for file in &files {
        for start in (0..file.rows).step_by(GROUP_ROWS) {
            let holders: Vec<usize> = (0..parts.len())
                .filter(|&p| parts[p].iter().any(|s| s.file == *file && s.has(start)))
                .collect();
            assert_eq!(holders.len(), 1, "{} at {start}", file.name);
            shares[holders[0]] += GROUP.min(file.rows - start);
        }
    }
    shares
}

#[test]
fn parts_are_even_to_a_row_group_whatever_the_files() {
    let sets: [&[u64]; 6] = [
        &[10_000_000],
        &[2_000_000; 5],
        &[9_000_000, 1, 1, 1],
        &[1, 1, 1, 9_000_000],
        &[3 * GROUP, GROUP + 1, GROUP - 1, 7],
        &[GROUP; 4],
    ];
    for rows in sets {
        for wanted in 1..=9 {
            let shares = shares(rows, wanted);
            let total: u64 = rows.iter().sum();
            assert_eq!(shares.iter().sum::<u64>(), total);
            let even = total / wanted as u64;
            let most = *shares.iter().max().unwrap();
            assert!(most <= even + 2 * GROUP, "{rows:?} in {wanted}: {shares:?}");
        }
    }
    assert_eq!(shares(&[GROUP; 4], 2), [2 * GROUP; 2]);
}

#[test]
fn small_files_are_not_cut() {
    assert_eq!(shares(&[1000], 4), [1000]);
    assert_eq!(shares(&[GROUP], 4), [GROUP]);
    let parts = slices(&files(&[500; 8]), 2);
    assert_eq!(parts.iter().map(Vec::len).collect::<Vec<_>>(), [4, 4]);
    let opened: usize = slices(&files(&[5 * GROUP; 3]), 2).iter().map(Vec::len).sum();
    assert_eq!(opened, 4, "two parts cut one file of three");
}

#[test]
fn no_rows_make_no_parts() {
    assert!(slices(&[], 3).is_empty());
    assert!(slices(&files(&[0, 0]), 3).is_empty());
    assert_eq!(shares(&[7], 0), [7]);
}

#[test]
fn groups_that_the_manifest_does_not_count_are_read_too() {
    let parts = slices(&files(&[2 * GROUP]), 2);
    assert!(parts[1][0].has(GROUP) && parts[1][0].has(50 * GROUP));
    assert!(!parts[0][0].has(GROUP));
}
