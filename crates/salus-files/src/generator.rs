//! A stored generator under attack: what it deems likely, and shadows of it.

use std::collections::BTreeMap;
use std::path::Path;

use salus_deid::Table;
use salus_deid::attack::{Generator, Likelihoods, Shadow};
use salus_dp::{Delta, UnitKey, epsilon_from_rho};
use salus_model::{ColumnPath, Entropy, MicroRho};
use salus_synth::{Attribute, Condition, Kind, Model, TableBuilder, refit};
use serde::{Deserialize, Serialize};

use crate::error::FilesError;
use crate::file::write_bytes;
use crate::synthesise::{DATE_FORMS, Lane, Look, StoredLinked, StoredSeries, whole};

/// A model as it is stored: with what it cost, and how its values are written.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Stored {
    pub(crate) model: Model,
    pub(crate) files: Extras,
}

/// What the commands on files know of a model besides.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Extras {
    /// The whole loss, finding domains included, in millionths of ρ.
    micro_rho: u64,
    /// δ at which that is shown as ε.
    at: Delta,
    /// The whole δ, of which a part may be for showing values that are frequent.
    delta: Delta,
    /// Columns that are modelled as days, and how they are written.
    dates: BTreeMap<String, String>,
    /// Columns whose numbers are written with a comma.
    commas: Vec<String>,
    /// Columns in which nothing is missing.
    pub(crate) without_gaps: Vec<String>,
    /// The character between fields of the file that it was fitted to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) delimiter: Option<u8>,
}

impl Extras {
    pub(crate) fn new(rho: MicroRho, at: Delta, delta: Delta, looks: &[(String, Look)]) -> Self {
        let dates = looks.iter().filter_map(|(name, look)| match look {
            Look::Date(form) => Some((name.clone(), (*form).to_owned())),
            _ => None,
        });
        let comma = |look: Look| matches!(look, Look::Number { comma: true, .. });
        let commas = looks.iter().filter(|(_, look)| comma(*look)).map(|(name, _)| name.clone());
        Self {
            micro_rho: rho.get(),
            at,
            delta,
            dates: dates.collect(),
            commas: commas.collect(),
            without_gaps: Vec::new(),
            delimiter: None,
        }
    }

    /// ε and δ of fitting and of finding domains.
    pub(crate) fn spent(&self) -> (f64, f64) {
        let rho = MicroRho::new(self.micro_rho);
        (epsilon_from_rho(rho, self.at).get(), self.delta.probability())
    }

    /// How a column is written.
    pub(crate) fn look(&self, column: &str, attribute: Option<&Attribute>) -> Look {
        if let Some(form) = self.dates.get(column) {
            // Another form than ours is in no file that we wrote.
            let known = DATE_FORMS.into_iter().find(|f| f == form);
            return Look::Date(known.unwrap_or(DATE_FORMS[0]));
        }
        match attribute.map(Attribute::kind) {
            Some(Kind::Number { bounds, .. }) => Look::Number {
                decimals: bounds.decimals(),
                comma: self.commas.iter().any(|c| c == column),
            },
            _ => Look::Text,
        }
    }

    /// The looks of a model's columns, in their order.
    pub(crate) fn looks(&self, model: &Model) -> Vec<(String, Look)> {
        let of = |a: &Attribute| (a.name().to_string(), self.look(a.name().as_str(), Some(a)));
        model.attributes().iter().map(of).collect()
    }

    /// Conditions by which columns without gaps get none.
    pub(crate) fn gapless(&self, model: &Model) -> Result<Vec<Condition>, FilesError> {
        let names = self.without_gaps.iter().map(|n| ColumnPath::new(n.as_str()));
        Ok(whole(model, &names.collect::<Result<Vec<_>, _>>()?))
    }
}

/// What a stored model says of itself.
pub(crate) struct Recognised {
    /// What it is a model of.
    pub(crate) of: &'static str,
    /// ε and δ of fitting and of finding domains.
    pub(crate) spent: (f64, f64),
    /// Bytes that the same model has when it is written here.
    pub(crate) bytes: usize,
}

impl Recognised {
    /// A model that `salus synthesise --model` wrote, whatever it is of; none where it is none.
    pub(crate) fn of_bytes(bytes: &[u8]) -> Option<Self> {
        fn read<T: serde::de::DeserializeOwned + Serialize>(bytes: &[u8]) -> Option<(T, usize)> {
            let model: T = serde_json::from_slice(bytes).ok()?;
            let written = serde_json::to_vec(&model).ok()?.len();
            Some((model, written))
        }
        if let Some((model, bytes)) = read::<Stored>(bytes) {
            return Some(Self { of: "one table", spent: model.spent(), bytes });
        }
        if let Some((model, bytes)) = read::<StoredLinked>(bytes) {
            return Some(Self { of: "two linked tables", spent: model.people.spent(), bytes });
        }
        let (model, bytes) = read::<StoredSeries>(bytes)?;
        Some(Self { of: "series of people", spent: model.files.spent(), bytes })
    }
}

/// Reads a stored model of any kind.
pub(crate) fn parsed<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, FilesError> {
    let bytes = std::fs::read(path).map_err(FilesError::file(path, "the model cannot be read"))?;
    serde_json::from_slice(&bytes)
        .map_err(|source| FilesError::Model { path: path.to_owned(), source })
}

/// A model of any kind as the file at `path` is to hold it.
pub(crate) fn bytes(path: &Path, stored: &impl Serialize) -> Result<Vec<u8>, FilesError> {
    serde_json::to_vec(stored).map_err(|source| FilesError::Model { path: path.to_owned(), source })
}

impl Stored {
    pub(crate) const fn new(model: Model, files: Extras) -> Self {
        Self { model, files }
    }

    /// Reads a model of one table.
    pub(crate) fn read(path: &Path) -> Result<Self, FilesError> {
        let failed = FilesError::file(path, "the model cannot be read");
        let bytes = std::fs::read(path).map_err(failed)?;
        serde_json::from_slice(&bytes).map_err(|source| match Recognised::of_bytes(&bytes) {
            Some(Recognised { of, .. }) => FilesError::option(format!(
                "{}: this is a model of {of}, and a model of one table is needed, as `salus \
                 synthesise --model` writes it without --linked and --series; `salus sample` draws \
                 from this one",
                path.display()
            )),
            None => FilesError::Model { path: path.to_owned(), source },
        })
    }

    /// A model whose bytes the caller has; none where they are no model.
    pub(crate) fn of_bytes(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }

    pub(crate) fn write(&self, path: &Path) -> Result<(), FilesError> {
        write_bytes(path, &bytes(path, self)?)
    }

    /// ε and δ of fitting and of finding domains.
    pub(crate) fn spent(&self) -> (f64, f64) {
        self.files.spent()
    }

    pub(crate) fn is_date(&self, column: &str) -> bool {
        self.files.dates.contains_key(column)
    }

    /// A sampled value as the file wrote it.
    pub(crate) fn written(&self, column: &str, text: &str) -> String {
        let known = self.model.attributes().iter().find(|a| a.name().as_str() == column);
        self.files.look(column, known).write(text)
    }

    /// Conditions by which columns without gaps get none.
    pub(crate) fn without_gaps(&self) -> Result<Vec<Condition>, FilesError> {
        self.files.gapless(&self.model)
    }
}

/// Everybody's values as the model reads them.
struct People {
    rows: Vec<Vec<Option<String>>>,
}

impl People {
    /// Read as the model's own file was: how a file's values look is not guessed anew for each.
    fn of(stored: &Stored, table: &Table) -> Result<Self, FilesError> {
        let looks = stored.files.looks(&stored.model);
        let lane = |(name, look): (String, Look)| Lane::written(table.column(&name)?, look);
        let lanes = looks.into_iter().map(lane).collect::<Result<Vec<_>, _>>()?;
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
/// and shadows fitted to random halves of everybody, all at its own privacy and of the marginals
/// that it was fitted to: which those are stands in the model, and choosing them anew would be most
/// of the work.
pub(crate) fn attacked(
    stored: &Stored,
    real: &Table,
    control: &Table,
    shadows: usize,
    entropy: &mut dyn Entropy,
) -> Result<Generator, FilesError> {
    let model = &stored.model;
    let (members, others) = (People::of(stored, real)?, People::of(stored, control)?);
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
        Ok::<_, FilesError>(refit(&table, model, model.cost().rho)?)
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
