//! Which way of releasing a table is the best for a purpose, among those that score enough.
//!
//! # Privacy
//! Several ways are tried and one is chosen by its score, so each is judged as one of as many as the
//! ladder has: intervals hold over all of them together, tried or not. Within one way of recoding,
//! the first step that passes ends it, since a stricter one loses more.

use std::num::NonZeroU32;
use std::path::Path;

use salus_deid::SearchError;
use salus_deid::attack::{confidence_of_each, normal_quantile, residual, wilson};
use salus_deid::utility::{Utility, classification_accuracy};
use salus_model::{Clock, Entropy};
use serde::{Deserialize, Serialize};

use super::Subject;
use super::ladder::{Recoding, Step, WAYS, Way, steps};
use super::tried::{AccuracyKept, Beside, Figures, Tried};
use crate::adjust;
use crate::anonymise::{AnonymiseArgs, Made, Setting};
use crate::error::FilesError;
use crate::file::Source;
use crate::release::{anonymise_options, one_record_each, plan_text};
use crate::watch::{Waiting, Watch};

/// Attacks that need nothing but the table and its hierarchies, beside those that guess a column
/// each.
const ATTACKS: usize = 6;
/// Columns that are guessed where none is sensitive, at most.
const GUESSED: usize = 12;
/// Folds of the cross-validation by which a target is learnt.
const FOLDS: NonZeroU32 = NonZeroU32::MIN.saturating_add(4);
/// Attempts of each attack, from few to many.
const ATTEMPTS: [u64; 5] = [500, 1_000, 2_000, 4_000, 8_000];

/// What the release is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    /// Figures about people: as few labels as possible that leave much open.
    Statistics,
    /// A model that predicts a column from the others.
    Train {
        /// The column.
        target: String,
    },
}

/// What advice is wanted on.
#[derive(Debug, Clone)]
pub struct AdviseWanted {
    /// What the release is for.
    pub purpose: Purpose,
    /// Columns that others may know, which are coarsened.
    pub quasi_identifiers: Vec<String>,
    /// Columns that nobody should learn of a person.
    pub sensitive: Vec<String>,
    /// Columns that are published as they are, beside those.
    pub unchanged: Vec<String>,
    /// The score that a release needs.
    pub least_score: f64,
}

impl AdviseWanted {
    /// The columns that are published, each once, where `person` is the one that says whose a record
    /// is.
    ///
    /// # Errors
    /// When what is wanted contradicts itself, before any record is looked at.
    pub fn columns(&self, person: Option<&str>) -> Result<Vec<String>, FilesError> {
        if !(0.0..=100.0).contains(&self.least_score) {
            return Err(FilesError::option("the least score lies between 0 and 100"));
        }
        if self.quasi_identifiers.is_empty() {
            return Err(FilesError::option("name the quasi-identifiers: what others may know"));
        }
        let mut columns: Vec<String> = Vec::new();
        let named = [
            ("quasi_identifiers", &self.quasi_identifiers),
            ("sensitive", &self.sensitive),
            ("unchanged", &self.unchanged),
        ];
        for (list, names) in named {
            for name in names {
                if person == Some(name) {
                    return Err(FilesError::option(format!(
                        "{list}: column '{name}' names the person and is never published"
                    )));
                }
                if columns.contains(name) {
                    return Err(FilesError::option(format!(
                        "{list}: column '{name}' is named twice"
                    )));
                }
                columns.push(name.clone());
            }
        }
        if let Purpose::Train { target } = &self.purpose {
            if self.quasi_identifiers.contains(target) {
                return Err(FilesError::option(format!(
                    "purpose: the target '{target}' is a quasi-identifier, so it would be coarsened \
                     itself; name it as sensitive or as unchanged"
                )));
            }
            if !columns.contains(target) {
                columns.push(target.clone());
            }
        }
        columns.sort();
        Ok(columns)
    }
}

/// Which release is recommended, and why.
#[derive(Debug, Clone, Serialize)]
pub struct Advice {
    /// What the release is for.
    pub purpose: Purpose,
    /// The score that it needs.
    pub least_score: f64,
    /// The best score that any release of so many people can be shown to have.
    pub attainable: f64,
    /// Among how many ways each was judged.
    pub looks: u32,
    /// The number of the best that passes; none when none does.
    pub recommended: Option<u32>,
    /// Why, a sentence each.
    pub why: Vec<String>,
    /// The plan that makes it; none when none passes.
    pub plan: Option<serde_json::Value>,
    /// The same as text.
    pub plan_toml: Option<String>,
    /// Everything that was tried.
    #[serde(skip)]
    pub tried: Vec<Tried>,
}

/// Tries a ladder of privacy models, and recommends the best of those that score enough.
///
/// # Errors
/// When a column does not exist or serves two ends, some people have several records, or the work
/// is stopped.
///
/// # Cost
/// A search, of seconds at most, and all attacks for each attempt, of which there are at most three
/// times the steps.
pub fn advise(
    subject: &Subject,
    wanted: &AdviseWanted,
    watch: &dyn Watch,
    clock: &dyn Clock,
    entropy: &mut dyn Entropy,
) -> Result<Advice, FilesError> {
    let clock = &Waiting { clock, watch };
    let climb = Climb::of(subject, wanted)?;
    let attainable = adjust::attainable(climb.members(), climb.confidence);
    let mut advice = Advice {
        purpose: wanted.purpose.clone(),
        least_score: wanted.least_score,
        attainable,
        looks: climb.looks.get(),
        recommended: None,
        why: Vec::new(),
        plan: None,
        plan_toml: None,
        tried: Vec::new(),
    };
    if attainable < wanted.least_score {
        advice.why.push(format!(
            "With {} people to try attacks on and {} ways to choose from, no release can be shown \
             to score above {attainable:.1}: more records are needed, or a lower threshold.",
            climb.members(),
            climb.looks
        ));
        return Ok(advice);
    }
    let first = climb.args(&WAYS[0], climb.steps[0])?;
    let setting = Setting::of(&first, &climb.source)?;
    for way in &WAYS {
        climb.way(way, &setting, &mut advice.tried, watch, clock, entropy)?;
    }
    climb.conclude(&mut advice)?;
    Ok(advice)
}

/// What stays the same over all attempts.
struct Climb<'a> {
    subject: &'a Subject,
    wanted: &'a AdviseWanted,
    source: Source,
    steps: &'static [Step],
    looks: NonZeroU32,
    confidence: f64,
    attempts: u64,
}

impl<'a> Climb<'a> {
    fn of(subject: &'a Subject, wanted: &'a AdviseWanted) -> Result<Self, FilesError> {
        let columns = wanted.columns(subject.person.as_deref())?;
        if let Some(person) = &subject.person {
            one_record_each(&subject.table, person)?;
        }
        let source = subject.source(&columns)?;
        let steps = steps(&wanted.sensitive);
        let looks = u32::try_from(WAYS.len() * steps.len()).unwrap_or(u32::MAX);
        let looks = NonZeroU32::new(looks).unwrap_or(NonZeroU32::MIN);
        let guessed = match wanted.sensitive.len() {
            0 => columns.len().min(GUESSED),
            named => named,
        };
        let confidence = confidence_of_each(ATTACKS + guessed, looks);
        let members = (source.table.rows() / 2) as u64;
        let attempts = attempts(wanted.least_score, confidence).min(members.max(1));
        Ok(Self { subject, wanted, source, steps, looks, confidence, attempts })
    }

    fn members(&self) -> u64 {
        (self.source.table.rows() / 2) as u64
    }

    /// The attempt's options, as a plan has them.
    fn options(&self, way: &Way, step: Step) -> toml::Table {
        let names = |names: &[String]| toml::Value::from(names.to_vec());
        let mut options = toml::Table::new();
        let mut say = |name: &str, value: toml::Value| options.insert(name.to_owned(), value);
        say("quasi-identifiers", names(&self.wanted.quasi_identifiers));
        if !self.wanted.sensitive.is_empty() {
            say("sensitive", names(&self.wanted.sensitive));
        }
        say("k", i64::from(step.k).into());
        if let Some(l) = step.l {
            say("l", i64::from(l).into());
        }
        if let Some(t) = step.t {
            say("t", t.into());
        }
        if way.suppression > 0.0 {
            say("suppression", way.suppression.into());
        }
        if way.recoding == Recoding::Local {
            say("local", true.into());
        }
        say("attempts", i64::try_from(self.attempts).unwrap_or(i64::MAX).into());
        options
    }

    fn args(&self, way: &Way, step: Step) -> Result<AnonymiseArgs, FilesError> {
        anonymise_options(&self.options(way, step), Path::new(&self.subject.name))
    }

    /// Climbs one way up to the first step that passes.
    fn way(
        &self,
        way: &Way,
        setting: &Setting<'_>,
        tried: &mut Vec<Tried>,
        watch: &dyn Watch,
        clock: &dyn Clock,
        entropy: &mut dyn Entropy,
    ) -> Result<(), FilesError> {
        for step in self.steps {
            // As in the loop on the score: half of the records have to make a few groups.
            if u64::from(step.k) * 4 > self.members() {
                break;
            }
            watch.go_on()?;
            let args = self.args(way, *step)?;
            let number = tried.len() as u32 + 1;
            watch.stage(&format!(
                "try {number} of at most {}: {}, {}",
                self.looks,
                way.name,
                said(*step)
            ));
            let attempt = match setting.attempt(&args, self.looks, clock, entropy) {
                Ok(made) => self.judged(number, &made, setting, entropy)?,
                Err(FilesError::Search(error @ SearchError::Unsatisfiable)) => {
                    Tried::nothing(number, &args, error.to_string())
                }
                Err(error) => return Err(error),
            };
            let passes = attempt.figures().is_some_and(|figures| figures.passes);
            watch.tried(attempt.clone());
            tried.push(attempt);
            if passes {
                break;
            }
        }
        Ok(())
    }

    fn judged(
        &self,
        number: u32,
        made: &Made,
        setting: &Setting<'_>,
        entropy: &mut dyn Entropy,
    ) -> Result<Tried, FilesError> {
        let utility = Utility::measure(&self.source.table, &made.table, setting.quasi())?;
        let accuracy = match &self.wanted.purpose {
            Purpose::Statistics => None,
            Purpose::Train { target } => Some(self.learnt(target, made, entropy)?),
        };
        let passes = made.report.score.is_some_and(|score| score >= self.wanted.least_score);
        let beside = Beside { utility: Some(&utility), accuracy };
        Ok(Tried::of(number, made, passes, beside))
    }

    fn learnt(
        &self,
        target: &str,
        made: &Made,
        entropy: &mut dyn Entropy,
    ) -> Result<AccuracyKept, FilesError> {
        let table = &self.source.table;
        // A column that tells everybody apart teaches nothing.
        let features: Vec<&str> = table
            .columns()
            .iter()
            .filter(|c| c.dictionary().len() * 2 <= table.rows().max(2))
            .map(salus_deid::Column::name)
            .collect();
        let accuracy =
            classification_accuracy(table, &made.table, &features, target, FOLDS, entropy)?;
        Ok(accuracy.into())
    }

    /// The best that passes, and why; or what came nearest.
    fn conclude(&self, advice: &mut Advice) -> Result<(), FilesError> {
        let passing = |t: &&Tried| t.figures().is_some_and(|f| f.passes);
        let utility = |t: &Tried| t.figures().map_or(f64::NEG_INFINITY, |f| f.utility);
        let score = |t: &Tried| t.figures().and_then(|f| f.score).unwrap_or(f64::NEG_INFINITY);
        let mut found: Vec<&Tried> = advice.tried.iter().filter(passing).collect();
        found.sort_by(|a, b| utility(b).total_cmp(&utility(a)).then(score(b).total_cmp(&score(a))));
        let least = self.wanted.least_score;
        let bonferroni = format!(
            "Each interval holds together with those of all {} ways that could have been tried.",
            self.looks
        );
        let Some(best) = found.first() else {
            let nearest = advice.tried.iter().max_by(|a, b| score(a).total_cmp(&score(b)));
            advice.why = vec![
                format!("None of the {} tries scores {least}.", advice.tried.len()),
                nearest.map_or_else(String::new, nearest_words),
                "A synthesis with differential privacy, fewer columns or more records may."
                    .to_owned(),
                bonferroni,
            ];
            advice.why.retain(|sentence| !sentence.is_empty());
            return Ok(());
        };
        let mut why = vec![format!(
            "Try {} scores {:.1}, and {least} is asked for.",
            best.number,
            score(best)
        )];
        why.extend(best.figures().map(|figures| self.kept(figures)));
        if let Some(next) = found.get(1) {
            let (number, kept) = (next.number, utility(next));
            why.push(format!("The next best that passes, try {number}, keeps {kept:.3}."));
        }
        why.push(bonferroni);
        let plan = serde_json::to_value(self.plan(best)?)
            .map_err(|_| FilesError::option("the plan cannot be written as JSON"))?;
        advice.recommended = Some(best.number);
        advice.why = why;
        advice.plan_toml = Some(plan_text(&plan)?);
        advice.plan = Some(plan);
        Ok(())
    }

    fn kept(&self, figures: &Figures) -> String {
        match (&self.wanted.purpose, &figures.accuracy) {
            (Purpose::Train { target }, Some(kept)) => {
                let accuracy = kept.accuracy;
                format!(
                    "It keeps the most of what tells {target}: a classifier is right in {:.1} % \
                     of the records, in {:.1} % before, and in {:.1} % by always guessing the most \
                     frequent value.",
                    100.0 * accuracy.output,
                    100.0 * accuracy.input,
                    100.0 * accuracy.baseline
                )
            }
            _ => format!("It keeps the most: granularity {:.3} of 1.", figures.granularity),
        }
    }

    fn plan(&self, best: &Tried) -> Result<toml::Table, FilesError> {
        let way = WAYS.iter().find(|way| {
            (way.recoding == Recoding::Local) == best.settings.local
                && way.suppression.to_bits() == best.settings.suppression.to_bits()
        });
        let step = self.steps.iter().find(|step| {
            Some(step.k) == best.settings.k
                && step.l.map(f64::from) == best.settings.l
                && step.t == best.settings.t
        });
        let (Some(way), Some(step)) = (way, step) else {
            return Err(FilesError::option("the ladder has no such step"));
        };
        let purpose = match &self.wanted.purpose {
            Purpose::Statistics => "statistics".to_owned(),
            Purpose::Train { target } => format!("train a model that predicts {target}"),
        };
        let columns: Vec<String> =
            self.source.table.columns().iter().map(|c| c.name().to_owned()).collect();
        let mut publish = toml::Table::new();
        publish.insert("dataset".to_owned(), format!("{}_anonymous", self.subject.name).into());
        publish.insert("least-score".to_owned(), self.wanted.least_score.into());
        let mut plan = toml::Table::new();
        plan.insert("purpose".to_owned(), purpose.into());
        plan.insert("columns".to_owned(), columns.into());
        plan.insert("anonymise".to_owned(), self.options(way, *step).into());
        plan.insert("publish".to_owned(), publish.into());
        Ok(plan)
    }
}

/// Attempts of each attack by which chance alone leaves three quarters of what the score allows,
/// where it is hardest: a guess that is right half of the time.
fn attempts(least_score: f64, confidence: f64) -> u64 {
    let z = normal_quantile(f64::midpoint(1.0, confidence));
    let room = 0.75 * (1.0 - least_score / 100.0);
    let open = |attempts: &u64| {
        let half = wilson(attempts / 2, *attempts, z);
        residual(half, half).upper
    };
    ATTEMPTS.into_iter().find(|n| open(n) <= room).unwrap_or(ATTEMPTS[ATTEMPTS.len() - 1])
}

fn said(step: Step) -> String {
    let mut said = format!("{}-anonymity", step.k);
    if let Some(l) = step.l {
        said.push_str(&format!(", {l}-diversity"));
    }
    if let Some(t) = step.t {
        said.push_str(&format!(", {t}-closeness"));
    }
    said
}

fn nearest_words(tried: &Tried) -> String {
    let Some(figures) = tried.figures() else { return String::new() };
    let Some(score) = figures.score else { return String::new() };
    let worst = adjust::worst_of(&figures.attacks).map_or(String::new(), |worst| {
        format!(": {} reaches up to {:.1} %", worst.named(), 100.0 * worst.upper())
    });
    format!(
        "Try {} ({}) came nearest, with {score:.1}{worst}.",
        tried.number,
        tried.options.join(" ")
    )
}
