//! The privacy models that the options ask for.

use salus_deid::{GroundDistance, Likeness, PrivacyModel};

use super::{AnonymiseArgs, Distance, Diversity, LikenessName};
use crate::error::FilesError;
use crate::file::Source;
use crate::hierarchies;
use crate::numbers;
use crate::person;

/// Models, and their names.
#[derive(Default)]
pub(super) struct Models {
    pub(super) models: Vec<PrivacyModel>,
    pub(super) words: Vec<String>,
}

impl Models {
    fn add(&mut self, model: PrivacyModel, word: String) {
        self.models.push(model);
        self.words.push(word);
    }

    /// All that the options ask for.
    pub(super) fn of(args: &AnonymiseArgs, source: &Source) -> Result<Self, FilesError> {
        let mut asked = Self::default();
        if let Some(k) = args.k {
            asked.add(PrivacyModel::k_anonymity(k)?, format!("{k}-anonymity"));
        }
        if let Some(most) = args.average_risk {
            let word = format!("average risk at most {most}");
            asked.add(PrivacyModel::average_risk(most)?, word);
        }
        asked.about_population(args)?;
        let about_sensitive = args.l.is_some() || args.t.is_some() || args.beta.is_some();
        if about_sensitive && args.sensitive.is_empty() {
            return Err(FilesError::option(
                "--l, --t and --beta are about a sensitive column: name it with --sensitive",
            ));
        }
        for column in args.sensitive.iter().filter(|_| about_sensitive) {
            asked.about_sensitive(args, source, column)?;
        }
        if asked.models.is_empty() && args.epsilon.is_none() {
            return Err(FilesError::option(
                "say what must hold: --k, --l or --t with --sensitive, --beta, --average-risk, \
                 --k-map or --presence with --population, --population-unique or --epsilon",
            ));
        }
        if !asked.models.is_empty() && args.epsilon.is_some() {
            return Err(FilesError::option(
                "--epsilon makes a differentially private generalisation, which needs no other \
                 model: leave the others out",
            ));
        }
        Ok(asked)
    }

    fn about_population(&mut self, args: &AnonymiseArgs) -> Result<(), FilesError> {
        if let Some(k) = args.k_map {
            self.add(PrivacyModel::k_map(k)?, format!("{k}-map"));
        }
        if let Some((least, most)) = args.presence {
            let word = format!("presence between {least} and {most}");
            self.add(PrivacyModel::delta_presence(least, most)?, word);
        }
        if let Some(most) = args.population_unique {
            let people = args.population_size.unwrap_or(0);
            let model = PrivacyModel::population_uniqueness(most, args.estimator.into(), people)?;
            self.add(model, format!("at most {most} of {people} people unique, estimated"));
        }
        Ok(())
    }

    fn about_sensitive(
        &mut self,
        args: &AnonymiseArgs,
        source: &Source,
        column: &String,
    ) -> Result<(), FilesError> {
        if let Some(l) = args.l {
            let word = format!("{} {l}-diversity of {column}", name(args));
            self.add(diversity(args, column, l)?, word);
        }
        if let Some(t) = args.t {
            let distance = distance(args, source, column)?;
            let word = format!("{t}-closeness of {column}");
            self.add(PrivacyModel::t_closeness(column, t, distance)?, word);
        }
        if let Some(beta) = args.beta {
            let (kind, word) = match args.likeness {
                LikenessName::Basic => (Likeness::Basic, "basic"),
                LikenessName::Enhanced => (Likeness::Enhanced, "enhanced"),
            };
            let model = PrivacyModel::beta_likeness(column, beta, kind)?;
            self.add(model, format!("{word} {beta}-likeness of {column}"));
        }
        Ok(())
    }
}

/// Refuses options that contradict each other, whatever the table holds.
pub(super) fn agree(args: &AnonymiseArgs) -> Result<(), FilesError> {
    if args.local && args.suppression > 0.0 {
        return Err(FilesError::option(
            "--local gives each group its own levels and suppresses nothing: leave --suppression \
             out, or --local",
        ));
    }
    for (i, column) in args.sensitive.iter().enumerate() {
        if args.sensitive.iter().skip(i + 1).any(|other| other == column) {
            return Err(FilesError::option(format!(
                "--sensitive: column '{column}' is named twice"
            )));
        }
        if args.identifiers.contains(column) {
            return Err(FilesError::option(format!(
                "column '{column}': --identifiers leaves it out of the result, and --sensitive \
                 publishes it; leave it out of one"
            )));
        }
    }
    match &args.target {
        Some(column) if args.identifiers.contains(column) => Err(FilesError::option(format!(
            "column '{column}': --identifiers leaves it out of the result, where --target is to be \
             predicted; leave it out of one"
        ))),
        _ => Ok(()),
    }
}

/// Refuses what no release of this table can satisfy. How many records and values there are is not
/// told: of a site's dataset, this is free to ask.
pub(super) fn within_reach(args: &AnonymiseArgs, source: &Source) -> Result<(), FilesError> {
    let (many, noun) = match &args.person {
        Some(person) => (person::people(&source.table, person)?, "people"),
        None => (source.table.rows() as u64, "records"),
    };
    if let Some(k) = args.k.filter(|k| u64::from(*k) > many) {
        return Err(FilesError::option(format!(
            "--k {k} is more than the {noun} of the table: no group can be so large"
        )));
    }
    person::in_population(args.population_size, many, noun)?;
    if let Some(l) = args.l {
        for name in &args.sensitive {
            let counts = source.table.column(name)?.counts();
            let values = counts.iter().filter(|n| **n > 0).count();
            if l > values as f64 {
                return Err(FilesError::option(format!(
                    "--l {l} is more than the different values of the sensitive column '{name}'"
                )));
            }
        }
    }
    match args.epsilon.and_then(|_| numbers::too_large(args.delta, many)) {
        Some(words) => Err(FilesError::option(words)),
        None => Ok(()),
    }
}

/// What is allowed, and protects nobody.
pub(super) fn noted(args: &AnonymiseArgs) -> Option<String> {
    (args.k == Some(1)).then(|| {
        "WARNING: k = 1 holds for every table, also for the records as they are: it protects \
         nobody. Say --k 2 or more"
            .to_owned()
    })
}

fn distance(
    args: &AnonymiseArgs,
    source: &Source,
    column: &String,
) -> Result<GroundDistance, FilesError> {
    Ok(match args.distance {
        Distance::Equal => GroundDistance::Equal,
        Distance::Ordered => GroundDistance::Ordered,
        Distance::Hierarchical => {
            let one = std::slice::from_ref(column);
            let found = hierarchies::of_columns(source, one, super::origins(args), None)?;
            match found.quasi.items() {
                [item, ..] => GroundDistance::Hierarchical(item.hierarchy.clone()),
                [] => GroundDistance::Equal,
            }
        }
    })
}

const fn name(args: &AnonymiseArgs) -> &'static str {
    match args.diversity {
        Diversity::Distinct => "distinct",
        Diversity::Entropy => "entropy",
        Diversity::Recursive => "recursive",
    }
}

fn diversity(args: &AnonymiseArgs, column: &str, l: f64) -> Result<PrivacyModel, FilesError> {
    let whole = || {
        if l.fract() == 0.0 && (1.0..=f64::from(u32::MAX)).contains(&l) {
            Ok(l as u32)
        } else {
            Err(FilesError::option("--l must be a whole number from 1 on, but for entropy"))
        }
    };
    Ok(match args.diversity {
        Diversity::Distinct => PrivacyModel::distinct_diversity(column, whole()?)?,
        Diversity::Entropy => PrivacyModel::entropy_diversity(column, l)?,
        Diversity::Recursive => PrivacyModel::recursive_diversity(column, args.c, whole()?)?,
    })
}
