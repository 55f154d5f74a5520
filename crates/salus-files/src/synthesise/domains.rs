//! What values columns have: publicly known, or found privately.

use salus_dp::sequential;
use salus_dp::{Bounds, Cost, Delta, Domain, Epsilon, UnitKey, epsilon_from_rho, rho_from_epsilon};
use salus_model::{ColumnPath, MicroRho};
use salus_synth::{Attribute, Condition, Kind, Missing, Model, Reading, discover, noisy_rows};

use super::SynthesiseArgs;
use super::column::{Lane, Look};
use crate::error::FilesError;
use crate::hierarchies;

/// Rows as the model reads them, with whose they are.
pub(super) type Rows = Vec<(UnitKey, Vec<Option<String>>)>;

pub(super) fn rows(lanes: &[Lane], units: &[UnitKey]) -> Rows {
    let row = |(row, unit): (usize, &UnitKey)| {
        (*unit, lanes.iter().map(|lane| lane.field(row).map(str::to_owned)).collect())
    };
    units.iter().enumerate().map(row).collect()
}

/// Attributes, which of them have no gaps, the columns left out, and what finding them cost.
pub(crate) struct Domains {
    pub(super) attributes: Vec<Attribute>,
    pub(super) without_gaps: Vec<ColumnPath>,
    pub(super) left_out: Vec<String>,
    /// Those whose values or bounds were found in the records.
    pub(super) found: Vec<ColumnPath>,
    pub(super) cost: Cost,
}

impl Domains {
    /// The lanes of the attributes, in their order.
    pub(super) fn lanes<'l>(&self, lanes: &'l [Lane]) -> Vec<&'l Lane> {
        let of = |a: &Attribute| lanes.iter().find(|l| l.name == *a.name());
        self.attributes.iter().filter_map(of).collect()
    }
}

/// What may be spent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Purse {
    /// The whole loss.
    pub(super) rho: MicroRho,
    /// The δ at which it is shown as ε.
    pub(super) at: Delta,
    /// The δ for showing values that are frequent; none where all domains are public.
    threshold: Option<Delta>,
}

impl Purse {
    /// Half of δ is for the thresholds at which values are shown, where any is to be found.
    pub(super) fn of(epsilon: f64, delta: f64, open: bool) -> Result<Self, FilesError> {
        let (epsilon, delta) = (Epsilon::new(epsilon)?, Delta::new(delta)?);
        if !open {
            return Ok(Self { rho: rho_from_epsilon(epsilon, delta), at: delta, threshold: None });
        }
        let half = Delta::from_atto(delta.atto() / 2).ok_or_else(|| {
            FilesError::option("--delta is too small to find domains with; give public ones")
        })?;
        Ok(Self { rho: rho_from_epsilon(epsilon, half), at: half, threshold: Some(half) })
    }

    /// Half of it, for one of two tables.
    pub(super) fn half(self) -> Self {
        let half = |delta: Delta| Delta::from_atto(delta.atto() / 2);
        Self {
            rho: MicroRho::new(self.rho.get() / 2),
            threshold: self.threshold.and_then(half),
            ..self
        }
    }
}

/// The attributes whose domain the caller made public; none for the others.
pub(super) fn known(
    args: &SynthesiseArgs,
    lanes: &[Lane],
) -> Result<Vec<Option<Attribute>>, FilesError> {
    lanes.iter().map(|lane| public_domain(args, lane)).collect()
}

/// Domains for all columns: what is not known is found privately.
pub(super) fn domains(
    args: &SynthesiseArgs,
    lanes: &[Lane],
    known: Vec<Option<Attribute>>,
    rows: &Rows,
    rows_per_unit: u32,
    purse: Purse,
) -> Result<Domains, FilesError> {
    let open: Vec<usize> =
        known.iter().enumerate().filter(|(_, k)| k.is_none()).map(|(i, _)| i).collect();
    let Some(threshold) = purse.threshold.filter(|_| !open.is_empty()) else {
        return Ok(Domains {
            attributes: known.into_iter().flatten().collect(),
            without_gaps: Vec::new(),
            left_out: Vec::new(),
            found: Vec::new(),
            cost: Cost::of_rho(MicroRho::ZERO),
        });
    };
    let rho = purse.rho;
    let least = MicroRho::new(100 * lanes.len() as u64);
    if rho < least {
        return Err(FilesError::option(format!(
            "--epsilon {} is too small for {} columns: allow a larger one, from about {:.2} on, or \
             leave columns out with --without",
            args.epsilon,
            lanes.len(),
            epsilon_from_rho(least, purse.at).get()
        )));
    }
    let counting = MicroRho::new(rho.get() / 100);
    let people = noisy_rows(rows, rows_per_unit, counting)?;
    let spare = MicroRho::new((rho.get() as f64 * share(people, open.len(), rho)) as u64);
    let asked: Vec<(ColumnPath, Reading)> = open
        .iter()
        .filter_map(|&i| lanes.get(i))
        .map(|lane| (lane.name.clone(), lane.reading()))
        .collect();
    let part: Rows = rows
        .iter()
        .map(|(unit, row)| (*unit, open.iter().map(|&i| row.get(i).cloned().flatten()).collect()))
        .collect();
    let found = discover(&asked, &part, rows_per_unit, spare, threshold)?;
    let cost = sequential([Cost::of_rho(counting), found.cost])
        .ok_or_else(|| FilesError::option("the privacy loss does not fit its number"))?;
    let mut discovered = found.attributes.into_iter();
    let attributes = known
        .into_iter()
        .zip(lanes)
        .filter_map(|(attribute, lane)| match attribute {
            Some(public) => Some(public),
            None if found.left_out.contains(&lane.name) => None,
            None => discovered.next(),
        })
        .collect();
    let left_out = found.left_out.iter().map(ToString::to_string).collect();
    let shown = asked.into_iter().map(|(name, _)| name);
    Ok(Domains {
        attributes,
        without_gaps: found.without_gaps,
        found: shown.filter(|name| !found.left_out.contains(name)).collect(),
        left_out,
        cost,
    })
}

/// The share of ρ that finding domains gets: as much as makes a value of one record in fifty plain
/// to see, between a fifteenth and a half.
fn share(people: f64, columns: usize, rho: MicroRho) -> f64 {
    // 4.5 standard errors of a count at ρ/2.5 are a fiftieth of the people.
    let error = (people / 50.0 / 4.5).max(1.0);
    let each = 2.5 / (2.0 * error * error);
    (each * columns as f64 * 1e6 / rho.get().max(1) as f64).clamp(1.0 / 15.0, 0.5)
}

/// A column's domain where the caller made it public.
fn public_domain(args: &SynthesiseArgs, lane: &Lane) -> Result<Option<Attribute>, FilesError> {
    let made = |kind| Ok(Some(Attribute::new(lane.name.clone(), kind, Missing::Possible)?));
    if let Some(stated) = args.stated.get(lane.name.as_str()) {
        return made(stated.kind());
    }
    let decimals = match lane.look {
        Look::Number { decimals, .. } => decimals,
        _ => 0,
    };
    if let Some((_, low, high)) = args.bounds.iter().find(|(n, ..)| n == lane.name.as_str()) {
        return made(Kind::Number { bounds: Bounds::new(*low, *high, decimals)?, bins: 32 });
    }
    let mut values = None;
    if let Some(folder) = &args.hierarchies {
        values = hierarchies::listed_values(folder, lane.name.as_str(), args.format.encoding)?;
    }
    if values.is_none() && args.domains_are_public {
        values = Some(lane.column.dictionary().to_vec());
    }
    let Some(values) = values else { return Ok(None) };
    let mut texts: Vec<String> = values.iter().filter_map(|v| lane.look.read(v)).collect();
    if lane.look != Look::Text {
        let numbers: Vec<f64> = texts.iter().filter_map(|t| t.parse().ok()).collect();
        let low = numbers.iter().copied().reduce(f64::min);
        let high = numbers.iter().copied().reduce(f64::max);
        if let (Some(low), Some(high)) = (low, high) {
            let bounds = Bounds::new(low, high.max(low + 1.0), decimals)
                .or_else(|_| Bounds::new(low.floor(), high.ceil().max(low.floor() + 1.0), 0))?;
            return made(Kind::Number { bounds, bins: 32 });
        }
    }
    texts.sort();
    texts.dedup();
    if texts.is_empty() {
        return Ok(None);
    }
    made(Kind::Category(Domain::new(texts)?))
}

/// Conditions by which columns without gaps get none.
pub(crate) fn whole(model: &Model, without_gaps: &[ColumnPath]) -> Vec<Condition> {
    model
        .attributes()
        .iter()
        .filter(|a| without_gaps.contains(a.name()))
        .map(|a| match a.kind() {
            Kind::Category(domain) => {
                Condition::OneOf { attribute: a.name().clone(), values: domain.values().to_vec() }
            }
            Kind::Number { bounds, .. } => Condition::Between {
                attribute: a.name().clone(),
                low: bounds.value(bounds.low().into()),
                high: bounds.value(bounds.high().into()),
            },
        })
        .collect()
}
