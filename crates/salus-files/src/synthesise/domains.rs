//! What values columns have: publicly known, or found privately.

use salus_deid::is_missing;
use salus_dp::sequential;
use salus_dp::{Bounds, Cost, Delta, Domain, Epsilon, UnitKey, epsilon_from_rho, rho_from_epsilon};
use salus_model::{ColumnPath, MicroRho};
use salus_synth::{
    Attribute, Condition, Discovery, Kind, Missing, Model, Reading, Spelling, discover,
    discover_spelling, noisy_rows,
};

use super::SynthesiseArgs;
use super::column::{Lane, Look, look_of};
use crate::error::FilesError;
use crate::file::Source;
use crate::hierarchies;

/// Rows as the model reads them, with whose they are.
pub(super) type Rows = Vec<(UnitKey, Vec<Option<String>>)>;

pub(super) fn rows(lanes: &[Lane], units: &[UnitKey]) -> Rows {
    let row = |(row, unit): (usize, &UnitKey)| {
        (*unit, lanes.iter().map(|lane| lane.field(row).map(str::to_owned)).collect())
    };
    units.iter().enumerate().map(row).collect()
}

/// Attributes, how they are written, which of them have no gaps, the columns left out, and what finding them cost.
pub(crate) struct Domains {
    pub(super) attributes: Vec<Attribute>,
    /// How each of them is written: publicly known, or found privately.
    pub(super) looks: Vec<(String, Look)>,
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
        let half = Delta::from_atto(delta.atto() / 2).ok_or_else(too_small_delta)?;
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

/// Refuses bounds for a column of words, of which nearly nothing would be left.
///
/// # Privacy
/// Whether a column holds numbers, dates or words counts as public. The refusal comes before
/// anything is spent, to whoever holds the file, as that of a file which is no table does.
pub(super) fn check_bounds(args: &SynthesiseArgs, source: &Source) -> Result<(), FilesError> {
    for (name, ..) in &args.bounds {
        // Of two tables, one may lack the column.
        let Ok(column) = source.table.column(name) else { continue };
        let look = look_of(column);
        let (mut known, mut numbers) = (0, 0);
        for (text, count) in column.dictionary().iter().zip(column.counts()) {
            if !is_missing(text.trim()) {
                known += count;
                let number = look.read(text).and_then(|read| read.parse::<f64>().ok());
                numbers += if number.is_some() { count } else { 0 };
            }
        }
        if numbers * 2 < known {
            return Err(FilesError::option(format!(
                "--bounds {name}: most values of column '{name}' are no numbers, and bounds would \
                 empty them; leave it out of --bounds, and give its values with --hierarchies if \
                 they are public"
            )));
        }
    }
    Ok(())
}

/// The attributes whose domain the caller made public; none for the others.
pub(super) fn known(
    args: &SynthesiseArgs,
    lanes: &[Lane],
) -> Result<Vec<Option<Attribute>>, FilesError> {
    lanes.iter().map(|lane| public_domain(args, lane)).collect()
}

/// Domains for all columns: what is not known is found privately, and so is how numbers are spelt.
///
/// # Privacy
/// [`Domains::cost`] is for all of it: a hundredth of ρ counts the records, at most a twentieth finds
/// how numbers are spelt whose values are not public, and at most a half finds domains.
pub(super) fn domains(
    args: &SynthesiseArgs,
    lanes: &[Lane],
    known: Vec<Option<Attribute>>,
    rows: &Rows,
    rows_per_unit: u32,
    purse: Purse,
) -> Result<Domains, FilesError> {
    let looks = lanes.iter().map(|lane| public_look(args, lane)).collect::<Result<Vec<_>, _>>()?;
    let open: Vec<usize> = unknown(&known);
    let unspelt: Vec<usize> = unknown(&looks);
    if open.is_empty() && unspelt.is_empty() {
        let looks: Vec<Look> = looks.into_iter().flatten().collect();
        return Ok(joined(lanes, known, &looks, None, Cost::of_rho(MicroRho::ZERO)));
    }
    enough(args, lanes.len(), purse)?;
    let rho = purse.rho;
    let counting = MicroRho::new(rho.get() / 100);
    let people = noisy_rows(rows, rows_per_unit, counting)?;
    let each = spelling_rho(people, rows_per_unit, unspelt.len(), rho);
    let spell = |(lane, look): (&Lane, Option<Look>)| match look {
        Some(public) => Ok(public),
        None => {
            let numbers = lane.spelt(rows.iter().map(|(unit, _)| *unit));
            Ok::<_, FilesError>(Look::spelt(discover_spelling(&numbers, rows_per_unit, each)?))
        }
    };
    let looks = lanes.iter().zip(looks).map(spell).collect::<Result<Vec<Look>, _>>()?;
    let spelling = MicroRho::new(each.get() * unspelt.len() as u64);
    let mut costs = vec![Cost::of_rho(counting), Cost::of_rho(spelling)];
    let mut found = None;
    if !open.is_empty() {
        let spare = MicroRho::new((rho.get() as f64 * share(people, open.len(), rho)) as u64);
        let asked: Vec<(ColumnPath, Reading)> = open
            .iter()
            .filter_map(|&i| Some((lanes.get(i)?.name.clone(), looks.get(i)?.reading())))
            .collect();
        let threshold = purse.threshold.ok_or_else(too_small_delta)?;
        let discovery = discover(&asked, &part(rows, &open), rows_per_unit, spare, threshold)?;
        costs.push(discovery.cost);
        found = Some(discovery);
    }
    let cost = sequential(costs)
        .ok_or_else(|| FilesError::option("the privacy loss does not fit its number"))?;
    // Public bounds say nothing of decimals beyond their own.
    let known = known
        .into_iter()
        .enumerate()
        .map(|(i, attribute)| match (attribute, looks.get(i)) {
            (Some(public), Some(look)) if unspelt.contains(&i) => finer(&public, *look).map(Some),
            (attribute, _) => Ok(attribute),
        })
        .collect::<Result<Vec<_>, FilesError>>()?;
    Ok(joined(lanes, known, &looks, found, cost))
}

/// The places where nothing is known.
fn unknown<T>(of: &[Option<T>]) -> Vec<usize> {
    of.iter().enumerate().filter(|(_, known)| known.is_none()).map(|(i, _)| i).collect()
}

/// Some columns of the rows.
fn part(rows: &Rows, columns: &[usize]) -> Rows {
    let of = |row: &[Option<String>]| -> Vec<Option<String>> {
        columns.iter().map(|&i| row.get(i).cloned().flatten()).collect()
    };
    rows.iter().map(|(unit, row)| (*unit, of(row))).collect()
}

/// Whether there is enough to look at all columns.
fn enough(args: &SynthesiseArgs, columns: usize, purse: Purse) -> Result<(), FilesError> {
    let least = MicroRho::new(100 * columns as u64);
    if purse.rho >= least {
        return Ok(());
    }
    Err(FilesError::option(format!(
        "--epsilon {} is too small for {columns} columns: allow a larger one, from about {:.2} on, \
         or leave columns out with --without",
        args.epsilon,
        epsilon_from_rho(least, purse.at).get()
    )))
}

fn too_small_delta() -> FilesError {
    FilesError::option("--delta is too small to find domains with; give public ones")
}

/// What is known and what was found, column by column.
fn joined(
    lanes: &[Lane],
    known: Vec<Option<Attribute>>,
    looks: &[Look],
    found: Option<Discovery>,
    cost: Cost,
) -> Domains {
    let mut domains = Domains {
        attributes: Vec::new(),
        looks: Vec::new(),
        without_gaps: Vec::new(),
        left_out: Vec::new(),
        found: Vec::new(),
        cost,
    };
    let mut discovered = Vec::new().into_iter();
    let mut left_out = Vec::new();
    if let Some(found) = found {
        discovered = found.attributes.into_iter();
        domains.without_gaps = found.without_gaps;
        left_out = found.left_out;
    }
    for ((public, lane), look) in known.into_iter().zip(lanes).zip(looks) {
        let name = &lane.name;
        if public.is_none() && left_out.contains(name) {
            domains.left_out.push(name.to_string());
            continue;
        }
        if public.is_none() {
            domains.found.push(name.clone());
        }
        let Some(attribute) = public.or_else(|| discovered.next()) else { continue };
        domains.attributes.push(attribute);
        domains.looks.push((name.to_string(), *look));
    }
    domains
}

/// What finding how a column is spelt gets: as much as tells six decimals from none of as many
/// people as there are, at most a twentieth of ρ for all columns together.
fn spelling_rho(people: f64, rows_per_unit: u32, columns: usize, rho: MicroRho) -> MicroRho {
    let most = rho.get() / 20 / columns.max(1) as u64;
    // Six further decimals cost 48 noise scales, and three quarters select them.
    let scales = 64.0 * f64::from(rows_per_unit) / people.max(1.0);
    let wanted = (scales * scales / 2.0 * 4.0 / 3.0 * 1e6).ceil() as u64;
    MicroRho::new(wanted.clamp(most.min(100), most))
}

/// The attribute with as many decimals as were found, where its bounds leave room for them.
fn finer(attribute: &Attribute, look: Look) -> Result<Attribute, FilesError> {
    let (Kind::Number { bounds, bins }, Look::Number { decimals, .. }) = (attribute.kind(), look)
    else {
        return Ok(attribute.clone());
    };
    let end = |steps: i64| bounds.value(steps.into());
    let decimals = decimals.max(bounds.decimals());
    let bounds = Bounds::new(end(bounds.low()), end(bounds.high()), decimals).unwrap_or(*bounds);
    let kind = Kind::Number { bounds, bins: *bins };
    Ok(Attribute::new(attribute.name().clone(), kind, Missing::Possible)?)
}

/// The share of ρ that finding domains gets: as much as makes a value of one record in fifty plain
/// to see, between a fifteenth and a half.
fn share(people: f64, columns: usize, rho: MicroRho) -> f64 {
    // 4.5 standard errors of a count at ρ/2.5 are a fiftieth of the people.
    let error = (people / 50.0 / 4.5).max(1.0);
    let each = 2.5 / (2.0 * error * error);
    (each * columns as f64 * 1e6 / rho.get().max(1) as f64).clamp(1.0 / 15.0, 0.5)
}

/// A column's values where the caller made them public.
fn public_values(args: &SynthesiseArgs, lane: &Lane) -> Result<Option<Vec<String>>, FilesError> {
    let mut values = None;
    if let Some(folder) = &args.hierarchies {
        values = hierarchies::listed_values(folder, lane.name.as_str(), args.format.encoding)?;
    }
    if values.is_none() && args.domains_are_public {
        values = Some(lane.column.dictionary().to_vec());
    }
    Ok(values)
}

/// How a column is written where that is public: it is stated, holds no numbers, or its values are
/// public.
fn public_look(args: &SynthesiseArgs, lane: &Lane) -> Result<Option<Look>, FilesError> {
    let stated = args.stated.contains_key(lane.name.as_str());
    if stated || !matches!(lane.look, Look::Number { .. }) {
        return Ok(Some(lane.look));
    }
    let values = public_values(args, lane)?.unwrap_or_default();
    let spelt: Vec<Spelling> = values.iter().filter_map(|v| Spelling::of(v)).collect();
    Ok((!spelt.is_empty()).then(|| Look::spelt(Spelling::finest(&spelt))))
}

/// A column's domain where the caller made it public.
fn public_domain(args: &SynthesiseArgs, lane: &Lane) -> Result<Option<Attribute>, FilesError> {
    let made = |kind| Ok(Some(Attribute::new(lane.name.clone(), kind, Missing::Possible)?));
    if let Some(stated) = args.stated.get(lane.name.as_str()) {
        return made(stated.kind());
    }
    let finest = |texts: &mut dyn Iterator<Item = String>| match lane.look {
        Look::Number { .. } => {
            let spelt: Vec<Spelling> = texts.filter_map(|t| Spelling::of(&t)).collect();
            Spelling::finest(&spelt).decimals
        }
        _ => 0,
    };
    if let Some((_, low, high)) = args.bounds.iter().find(|(n, ..)| n == lane.name.as_str()) {
        let decimals = finest(&mut [low, high].into_iter().map(ToString::to_string));
        return made(Kind::Number { bounds: Bounds::new(*low, *high, decimals)?, bins: 32 });
    }
    let Some(values) = public_values(args, lane)? else { return Ok(None) };
    let mut texts: Vec<String> = values.iter().filter_map(|v| lane.look.read(v)).collect();
    if lane.look != Look::Text {
        let decimals = finest(&mut values.iter().cloned());
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
