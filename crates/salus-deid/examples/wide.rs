//! Prints what the anytime search finds on wide tables by time: 24 quasi-identifiers, 30,000
//! records, of two makes.
//!
//! `cargo run --release -p salus-deid --example wide -- [seconds…]`

#![allow(clippy::print_stdout)]

use salus_deid::{
    Column, Hierarchy, Loss, PrivacyModel, Problem, QuasiIdentifier, QuasiIdentifiers,
    SuppressionLimit, Table,
};
use salus_model::{Clock, Timestamp};

struct Wall;

impl Clock for Wall {
    fn now(&self) -> Timestamp {
        let since = std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
        Timestamp::EPOCH.saturating_add_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
    }
}

struct Draws(u64);

impl Draws {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % n
    }
}

type Made = Result<(Table, QuasiIdentifiers), Box<dyn std::error::Error>>;

/// A survey: skewed answers to 24 questions with 2 to 60 choices, half of them following one of
/// eight kinds of people, over hierarchies of two to six levels.
fn survey(rows: usize) -> Made {
    let mut draws = Draws(24);
    let sizes: Vec<u64> =
        (0..24).map(|c| [2, 3, 4, 5, 7, 9, 12, 16, 24, 40, 60, 2][c % 12]).collect();
    let people: Vec<Vec<u64>> = (0..rows)
        .map(|_| {
            let kind = draws.below(8);
            let skewed = |draws: &mut Draws, n: u64| {
                let a = draws.below(n);
                let b = draws.below(n);
                a.min(b).min(draws.below(n))
            };
            sizes
                .iter()
                .enumerate()
                .map(|(c, &n)| match draws.below(100) {
                    0..50 => (kind * (c as u64 + 1)) % n,
                    _ => skewed(&mut draws, n),
                })
                .collect()
        })
        .collect();
    let mut columns = Vec::new();
    let mut items = Vec::new();
    for (c, &n) in sizes.iter().enumerate() {
        let name = format!("q{c}");
        columns.push(Column::from_values(&*name, people.iter().map(|p| p[c].to_string()))?);
        let tree: Vec<Vec<String>> = (0..n)
            .map(|v| {
                let mut row = vec![v.to_string()];
                let mut width = if n > 8 { 3 } else { 2 };
                while width < n {
                    row.push(format!("{}-{}", v / width * width, v / width * width + width - 1));
                    width *= if n > 8 { 3 } else { 2 };
                }
                row.push("*".to_owned());
                row
            })
            .collect();
        items.push(QuasiIdentifier { column: name, hierarchy: Hierarchy::from_rows(&tree)? });
    }
    Ok((Table::from_columns(columns)?, QuasiIdentifiers::new(items)?))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut seconds: Vec<f64> =
        std::env::args().skip(1).map(|a| a.parse()).collect::<Result<_, _>>()?;
    if seconds.is_empty() {
        seconds = vec![0.5, 1.0, 2.0, 4.0, 30.0];
    }
    let (table, quasi) = survey(30_000)?;
    for (k, limit) in [(5, 0.05), (5, 0.0), (2, 0.05), (10, 0.2)] {
        let problem = Problem::new(
            &table,
            &quasi,
            &[PrivacyModel::k_anonymity(k)?],
            SuppressionLimit::new(limit)?,
            Loss::REFERENCE,
            None,
        )?;
        for &given in &seconds {
            let deadline = Wall.now().saturating_add_micros((given * 1e6) as i64);
            let start = std::time::Instant::now();
            let found = problem.anytime(&Wall, deadline)?;
            println!(
                "k {k} suppression {limit}: {given:>5.1} s given, {:.2} s taken: loss {:.6}, {} weighed, {} suppressed, {:?}",
                start.elapsed().as_secs_f64(),
                found.loss,
                found.checked,
                found.suppressed.len(),
                found.levels.as_slice()
            );
        }
    }
    Ok(())
}
