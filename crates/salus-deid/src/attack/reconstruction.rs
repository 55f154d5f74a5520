//! Secrets worked out from published count tables.

use hashbrown::HashMap;
use salus_model::EntropyFailed;

use super::{Attack, AttackError, Plan, Scene, Tally};
use crate::dice::Dice;
use crate::number::parse;
use crate::table::{Column, Table};

/// The column with the counts.
pub const COUNT: &str = "count";

/// Rounds of fitting; the fit stops earlier when nothing moves.
const ROUNDS: usize = 400;

/// A published table: how many people have each combination of some columns' values.
///
/// # Shape and units
/// Columns that people have, and a column `count`. A count that is no number (suppressed) tells
/// nothing.
#[derive(Debug, Clone, Copy)]
pub struct Aggregate<'a>(pub &'a Table);

/// What is known of people by cells: everybody with the same known values is alike.
struct Cells {
    /// Cell of each member, and of each control person where a member shares it.
    members: Vec<usize>,
    control: Vec<Option<usize>>,
    /// Members in each cell, and one of them.
    sizes: Vec<f64>,
    example: Vec<usize>,
}

/// One published count: the cells whose people it may be about, the secret's value, the number.
struct Constraint {
    cells: Vec<usize>,
    value: usize,
    count: f64,
}

/// Guesses each person's secret from the tables that mention it, all other columns known.
///
/// The distribution of the secret in each cell of people is fitted to all published counts at once
/// by iterative proportional fitting, which finds what the tables force: where their differences
/// leave one value only, it is found with certainty.
///
/// # Source
/// Dinur and Nissim 2003, "Revealing information while preserving privacy"; Deming and Stephan
/// 1940 for the fitting.
pub(super) fn reconstruction(
    scene: &Scene<'_>,
    plan: &Plan,
    secret: &str,
    dice: &mut Dice<'_>,
) -> Result<Tally, AttackError> {
    let attack = Attack::Reconstruction;
    let about: Vec<&Table> = scene
        .aggregates
        .iter()
        .map(|a| a.0)
        .filter(|t| t.column(secret).is_ok() && t.column(COUNT).is_ok())
        .collect();
    if about.is_empty() {
        return Ok(Tally::not_run(attack, format!("no table of counts has a column '{secret}'")));
    }
    let known: Vec<&str> = scene
        .real
        .columns()
        .iter()
        .map(Column::name)
        .filter(|name| *name != secret && about.iter().any(|t| t.column(name).is_ok()))
        .filter(|name| scene.control.column(name).is_ok())
        .collect();
    let truth = scene.real.column(secret)?;
    let cells = Cells::of(scene, &known)?;
    let values: Vec<&str> = truth.dictionary().iter().map(String::as_str).collect();
    let mut constraints = Vec::new();
    for table in about {
        constraints.extend(constraints_of(table, scene.real, &known, secret, &values, &cells)?);
    }
    if constraints.is_empty() {
        return Ok(Tally::not_run(attack, "the tables hold no count of a known value"));
    }
    let fitted = fit(&cells, values.len(), &constraints);
    let guess = |cell: usize| {
        let own = &fitted[cell * values.len()..(cell + 1) * values.len()];
        own.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).map_or(0, |(v, _)| v)
    };
    let overall: Vec<f64> = (0..values.len())
        .map(|v| (0..cells.sizes.len()).map(|c| fitted[c * values.len() + v]).sum())
        .collect();
    let usual = overall.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).map_or(0, |(v, _)| v);
    let others = scene.control.column(secret)?;
    let people = cells.members.len().min(cells.control.len()).min(plan.attempts);
    let pick = |n: usize, dice: &mut Dice<'_>| -> Result<Vec<usize>, EntropyFailed> {
        dice.choose(n, people)
    };
    let members = pick(cells.members.len(), dice)?;
    let control = pick(cells.control.len(), dice)?;
    let right =
        |column: &Column, row: usize, guess: usize| column.value(row) == Some(values[guess]);
    let hits = members.iter().filter(|&&r| right(truth, r, guess(cells.members[r]))).count();
    let control = control
        .iter()
        .filter(|&&r| right(others, r, cells.control[r].map_or(usual, guess)))
        .count();
    Ok(Tally::Counted {
        attack,
        secret: Some(secret.to_owned()),
        attempts: people as u64,
        hits: hits as u64,
        control: control as u64,
        times: 1.0,
    })
}

impl Cells {
    fn of(scene: &Scene<'_>, known: &[&str]) -> Result<Self, AttackError> {
        let (split, number) = crate::risk::joint_classes(&[scene.real, scene.control], known)?;
        let mut cell_of_class: Vec<Option<usize>> = vec![None; number];
        let (mut sizes, mut example, mut members) = (Vec::new(), Vec::new(), Vec::new());
        for (row, &class) in split[0].iter().enumerate() {
            let cell = *cell_of_class[class as usize].get_or_insert_with(|| {
                sizes.push(0.0);
                example.push(row);
                sizes.len() - 1
            });
            sizes[cell] += 1.0;
            members.push(cell);
        }
        let control = split[1].iter().map(|&class| cell_of_class[class as usize]).collect();
        Ok(Self { members, control, sizes, example })
    }
}

fn constraints_of(
    table: &Table,
    real: &Table,
    known: &[&str],
    secret: &str,
    values: &[&str],
    cells: &Cells,
) -> Result<Vec<Constraint>, AttackError> {
    let shared: Vec<&str> =
        known.iter().copied().filter(|name| table.column(name).is_ok()).collect();
    let columns = shared.iter().map(|n| real.column(n)).collect::<Result<Vec<_>, _>>()?;
    let mut groups: HashMap<Vec<&str>, Vec<usize>> = HashMap::new();
    for (cell, &row) in cells.example.iter().enumerate() {
        let key = columns.iter().map(|c| c.value(row).unwrap_or_default()).collect();
        groups.entry(key).or_default().push(cell);
    }
    let theirs = shared.iter().map(|n| table.column(n)).collect::<Result<Vec<_>, _>>()?;
    let (secrets, counts) = (table.column(secret)?, table.column(COUNT)?);
    let mut found = Vec::new();
    for row in 0..table.rows() {
        let key: Vec<&str> = theirs.iter().map(|c| c.value(row).unwrap_or_default()).collect();
        let value = values.iter().position(|v| secrets.value(row) == Some(*v));
        let count = counts.value(row).and_then(parse);
        if let (Some(own), Some(value), Some(count)) = (groups.get(&key), value, count) {
            found.push(Constraint { cells: own.clone(), value, count: count.max(0.0) });
        }
    }
    Ok(found)
}

/// People of each cell by secret, as the constraints leave them most evenly spread.
fn fit(cells: &Cells, values: usize, constraints: &[Constraint]) -> Vec<f64> {
    let mut table: Vec<f64> =
        cells.sizes.iter().flat_map(|n| std::iter::repeat_n(n / values as f64, values)).collect();
    for _ in 0..ROUNDS {
        let mut moved = 0.0f64;
        for constraint in constraints {
            let at = |cell: &usize| cell * values + constraint.value;
            let now: f64 = constraint.cells.iter().map(|c| table[at(c)]).sum();
            if now > 0.0 {
                let factor = constraint.count / now;
                moved = moved.max((constraint.count - now).abs());
                constraint.cells.iter().for_each(|c| table[at(c)] *= factor);
            }
        }
        for (own, size) in table.chunks_exact_mut(values).zip(&cells.sizes) {
            let now: f64 = own.iter().sum();
            if now > 0.0 {
                own.iter_mut().for_each(|x| *x *= size / now);
            }
        }
        if moved < 1e-3 {
            break;
        }
    }
    table
}
