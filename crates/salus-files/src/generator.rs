//! A stored generator under attack: what it deems likely, and shadows of it.

use std::path::Path;

use salus_deid::Table;
use salus_deid::attack::{Generator, Likelihoods, Shadow};
use salus_dp::UnitKey;
use salus_model::Entropy;
use salus_synth::{Model, TableBuilder, fit};

use crate::error::FilesError;
use crate::synthesise::Lane;

/// Reads a model that `salus synthesise --model` wrote.
pub(crate) fn read(path: &Path) -> Result<Model, FilesError> {
    let bytes = std::fs::read(path).map_err(FilesError::file(path, "the model cannot be read"))?;
    serde_json::from_slice(&bytes)
        .map_err(|source| FilesError::Model { path: path.to_owned(), source })
}

/// Everybody's values as the model reads them.
struct People {
    rows: Vec<Vec<Option<String>>>,
}

impl People {
    fn of(model: &Model, table: &Table) -> Result<Self, FilesError> {
        let lanes = model
            .attributes()
            .iter()
            .map(|a| Lane::of(table.column(a.name().as_str())?))
            .collect::<Result<Vec<_>, _>>()?;
        let row = |row| lanes.iter().map(|lane| lane.field(row).map(str::to_owned)).collect();
        Ok(Self { rows: (0..table.rows()).map(row).collect() })
    }

    /// Some of them, as a table of the model's attributes.
    fn table<'p>(
        model: &Model,
        rows: impl Iterator<Item = &'p Vec<Option<String>>>,
    ) -> Result<salus_synth::Table, FilesError> {
        let mut builder = TableBuilder::new(model.attributes().to_vec(), 1)?;
        for (unit, row) in (0u128..).zip(rows) {
            let fields: Vec<Option<&str>> = row.iter().map(Option::as_deref).collect();
            builder.push(UnitKey::new(unit), &fields)?;
        }
        Ok(builder.finish())
    }
}

/// What the attacks on a generator need: its likelihoods, a model of half of the control people,
/// and shadows fitted to random halves of everybody, all by its own method at its own privacy.
pub(crate) fn attacked(
    model: &Model,
    real: &Table,
    control: &Table,
    shadows: usize,
    entropy: &mut dyn Entropy,
) -> Result<Generator, FilesError> {
    let (members, others) = (People::of(model, real)?, People::of(model, control)?);
    let tables =
        [People::table(model, members.rows.iter())?, People::table(model, others.rows.iter())?];
    let likelihoods = |of: &Model| -> Result<Likelihoods, FilesError> {
        let side = |table| {
            of.log_likelihoods(table)
                .ok_or_else(|| FilesError::option("the shadow model has other attributes"))
        };
        Ok(Likelihoods { real: side(&tables[0])?, control: side(&tables[1])? })
    };
    let fitted = |rows: Vec<&Vec<Option<String>>>| {
        let table = People::table(model, rows.into_iter())?;
        Ok::<_, FilesError>(fit(&table, model.method(), model.cost().rho)?)
    };
    let chosen = half_of(others.rows.len(), entropy)?;
    let reference = fitted(pick(&others.rows, &chosen))?;
    let judged = chosen.iter().map(|c| !c).collect();
    let mut found = Generator {
        attacked: likelihoods(model)?,
        reference: Some((likelihoods(&reference)?, judged)),
        shadows: Vec::with_capacity(shadows),
    };
    for _ in 0..shadows {
        let with = half_of(members.rows.len(), entropy)?;
        let of_control = half_of(others.rows.len(), entropy)?;
        let mut rows = pick(&members.rows, &with);
        rows.extend(pick(&others.rows, &of_control));
        let likelihoods = likelihoods(&fitted(rows)?)?;
        found.shadows.push(Shadow { likelihoods, real: with, control: of_control });
    }
    Ok(found)
}

fn half_of(n: usize, entropy: &mut dyn Entropy) -> Result<Vec<bool>, FilesError> {
    let order =
        salus_deid::transform::shuffle(n, entropy).map_err(|e| FilesError::Transform(e.into()))?;
    let mut chosen = vec![false; n];
    for &row in order.iter().take(n / 2) {
        chosen[row] = true;
    }
    Ok(chosen)
}

fn pick<'r>(rows: &'r [Vec<Option<String>>], chosen: &[bool]) -> Vec<&'r Vec<Option<String>>> {
    rows.iter().zip(chosen).filter(|(_, chosen)| **chosen).map(|(row, _)| row).collect()
}
