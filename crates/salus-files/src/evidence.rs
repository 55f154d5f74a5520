//! Attacks as the commands run and show them.

use std::num::NonZeroU32;

use salus_deid::attack::{Attack, Entry, Linking, Plan, Report, Scene, run};
use salus_deid::risk::ClassSizes;
use salus_deid::{Column, QuasiIdentifiers, Table};
use salus_model::Entropy;
use serde::Serialize;

use crate::error::FilesError;
use crate::text::{columns, count, list, percent};

/// Columns that are guessed when none is named, at most.
const MOST_SECRETS: usize = 12;

/// How much work the attacks may take.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Effort {
    /// As much as a person waits for beside something else.
    Beside,
    /// For attacks alone.
    Alone,
    /// That many attempts of each attack.
    Attempts(usize),
}

impl Effort {
    /// Attempts of each attack that compares people with that many released values.
    fn attempts(self, released_values: usize) -> usize {
        let within = |comparisons: usize| comparisons / released_values.max(1);
        match self {
            Self::Beside => within(250_000_000).clamp(300, 2_000),
            Self::Alone => within(600_000_000).clamp(1_000, 5_000),
            Self::Attempts(attempts) => attempts,
        }
    }
}

/// How a way of releasing is tried.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Trial<'a> {
    /// How much work.
    pub(crate) effort: Effort,
    /// Among how many ways one is chosen by its score.
    pub(crate) looks: NonZeroU32,
    /// The column that says whose a record is, where a person has several.
    pub(crate) person: Option<&'a str>,
    /// Whether it is drawn from a model with a proven bound: a record that comes again is chance
    /// then, or within the bound.
    pub(crate) drawn: bool,
}

impl Trial<'_> {
    /// Beside something else, and nothing is chosen by it.
    pub(crate) const ONCE: Self =
        Self { effort: Effort::Beside, looks: NonZeroU32::MIN, person: None, drawn: false };
}

/// One attack: what it achieved, or why it could not run.
#[derive(Debug, Clone, Serialize)]
pub struct AttackLine {
    /// The attack.
    pub attack: Attack,
    /// The column that was guessed, where the attack guesses one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    /// What was achieved.
    #[serde(flatten)]
    pub result: AttackResult,
}

/// What an attack achieved.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub enum AttackResult {
    /// It ran.
    Ran {
        /// The share of members exposed by being in the data: (rate − control)/(1 − control), where
        /// 1 − control counts as at least 0.2.
        risk: f64,
        /// Where that lies, jointly over all attacks at 95 %.
        interval: [f64; 2],
        /// Attempts on members; as many were made on control people.
        attempts: u64,
        /// Successful attempts on members.
        successes: u64,
        /// Successful attempts on control people; where they are fewer than the members and any
        /// member will do, how many there would be on as many.
        control_successes: u64,
        /// Whether members are exposed beyond what chance explains.
        leak: bool,
    },
    /// It could not.
    NotRun {
        /// Why not.
        not_run: String,
    },
}

/// All attacks on a release.
#[derive(Debug, Clone, Serialize)]
pub struct Evidence {
    /// 100 · (1 − the largest upper bound of risk); 0 when people are published verbatim and chance
    /// does not explain it. None when no attack could run.
    pub score: Option<f64>,
    /// A line per attack.
    pub attacks: Vec<AttackLine>,
    /// Members with a value that nobody else has whose whole record is in the release.
    pub published_verbatim: u64,
    /// The result in words.
    pub words: String,
    /// Control people published as they are: no control people then.
    #[serde(skip)]
    pub(crate) control_verbatim: u64,
    /// Whether the score is 0 for those who are published as they are.
    #[serde(skip)]
    pub(crate) verbatim_decides: bool,
    /// The attack that does better on control people than on members beyond doubt, in words.
    #[serde(skip)]
    pub(crate) backwards: Option<String>,
    /// The chance that each single interval holds.
    #[serde(skip)]
    pub(crate) confidence: f64,
}

impl Evidence {
    /// Nothing could be tried.
    pub(crate) fn none(reason: &str) -> Self {
        const ALL: [Attack; 12] = [
            Attack::SinglingOutUnivariate,
            Attack::SinglingOutMultivariate,
            Attack::Linkability,
            Attack::LinkabilityAllNearest,
            Attack::Membership,
            Attack::PopulationLinkage,
            Attack::Inference,
            Attack::Differencing,
            Attack::Joining,
            Attack::LikelihoodRatio,
            Attack::ShadowModels,
            Attack::Reconstruction,
        ];
        let line = |attack| AttackLine {
            attack,
            secret: None,
            result: AttackResult::NotRun { not_run: reason.to_owned() },
        };
        Self {
            score: None,
            attacks: ALL.into_iter().map(line).collect(),
            published_verbatim: 0,
            words: format!("No attack could be run: {reason}."),
            control_verbatim: 0,
            verbatim_decides: false,
            backwards: None,
            confidence: 1.0,
        }
    }

    pub(crate) fn of(report: Report) -> Self {
        let ran = report.findings().next().is_some();
        let backwards = report.backwards().map(|f| {
            let about = f.secret.as_ref().map_or(String::new(), |s| format!(" of {s}"));
            format!(
                "{}{about} succeeds on {} of {} control people and on {} of as many real ones",
                f.attack.name(),
                count(f.control_successes),
                count(f.attempts),
                count(f.successes)
            )
        });
        let attacks = report.entries.into_iter().map(AttackLine::from).collect();
        Self {
            score: ran.then_some(report.score),
            attacks,
            published_verbatim: report.published_verbatim,
            words: report.words,
            control_verbatim: report.control_verbatim,
            verbatim_decides: report.verbatim_decides,
            backwards,
            confidence: report.confidence,
        }
    }

    /// What everybody may be told who must not learn how many people there were: an attack makes as
    /// many attempts as there are people for it, and the width of its interval tells how many those
    /// were. So there are no numbers of attempts, and intervals are widened to hundredths.
    pub(crate) fn without_counts(&self) -> Self {
        let line = |line: &AttackLine| {
            let result = match &line.result {
                AttackResult::Ran { risk, interval: [low, high], leak, .. } => AttackResult::Ran {
                    risk: hundredths(*risk, f64::round),
                    interval: [hundredths(*low, f64::floor), hundredths(*high, f64::ceil)],
                    attempts: 0,
                    successes: 0,
                    control_successes: 0,
                    leak: *leak,
                },
                AttackResult::NotRun { .. } => {
                    AttackResult::NotRun { not_run: "it could not be made".to_owned() }
                }
            };
            AttackLine { result, ..line.clone() }
        };
        let score = self.score.map(f64::floor);
        let words = match score {
            Some(score) => format!(
                "At most {:.0} in 100 people are exposed to the strongest of the attacks by being \
                 in the data; all intervals hold jointly at 95 %.",
                100.0 - score
            ),
            None => "No attack could be made on this release.".to_owned(),
        };
        let attacks = self.attacks.iter().map(line).collect();
        Self { score, attacks, words, ..self.clone() }
    }

    /// What a person sees: a table of the attacks that ran, and below it those that did not.
    pub(crate) fn text(&self) -> String {
        let rows: Vec<Vec<String>> = self.attacks.iter().filter_map(AttackLine::row).collect();
        let header =
            ["attack", "risk", "95 % interval", "hits", "hits on control", "of", "leak found"];
        let mut parts = Vec::new();
        if !rows.is_empty() {
            parts.push(columns(&header, &rows));
        }
        let not_run = self.not_run();
        if !not_run.is_empty() {
            parts.push(format!("Not run, and no risk in the score\n{}", list(&not_run)));
        }
        parts.join("\n\n")
    }

    /// The attacks that did not run, by why not.
    fn not_run(&self) -> Vec<String> {
        let mut reasons: Vec<(&str, Vec<String>)> = Vec::new();
        for line in &self.attacks {
            let AttackResult::NotRun { not_run } = &line.result else { continue };
            match reasons.iter_mut().find(|(known, _)| known == not_run) {
                Some((_, attacks)) => attacks.push(line.named()),
                None => reasons.push((not_run, vec![line.named()])),
            }
        }
        let said = reasons.iter().map(|(why, attacks)| format!("{}: {why}", attacks.join("; ")));
        said.collect()
    }
}

impl AttackLine {
    /// What people call it.
    fn named(&self) -> String {
        match &self.secret {
            Some(secret) => format!("{} of {secret}", self.attack.name()),
            None => self.attack.name().to_owned(),
        }
    }

    /// Its row in a table; none where it did not run.
    fn row(&self) -> Option<Vec<String>> {
        let AttackResult::Ran {
            risk,
            interval: [low, high],
            attempts,
            successes,
            control_successes,
            leak,
        } = &self.result
        else {
            return None;
        };
        Some(vec![
            self.named(),
            percent(*risk),
            format!("{}–{}", percent(*low).trim_end_matches(" %"), percent(*high)),
            count(*successes),
            count(*control_successes),
            count(*attempts),
            if *leak { "yes" } else { "no" }.to_owned(),
        ])
    }
}

fn hundredths(share: f64, to_whole: fn(f64) -> f64) -> f64 {
    to_whole(share * 100.0) / 100.0
}

impl From<Entry> for AttackLine {
    fn from(entry: Entry) -> Self {
        match entry {
            Entry::Run(finding) => Self {
                attack: finding.attack,
                secret: finding.secret,
                result: AttackResult::Ran {
                    risk: finding.risk.value,
                    interval: [finding.risk.lower, finding.risk.upper],
                    attempts: finding.attempts,
                    successes: finding.successes,
                    control_successes: finding.control_successes,
                    leak: finding.risk.lower > 0.0,
                },
            },
            Entry::NotRun { attack, reason } => {
                Self { attack, secret: None, result: AttackResult::NotRun { not_run: reason } }
            }
        }
    }
}

/// Runs the attacks on a scene.
///
/// `secrets` are the columns to guess; where there are none, all columns of the release that
/// people have, as long as those are few.
pub(crate) fn attack(
    scene: &Scene<'_>,
    secrets: &[String],
    linking: Linking,
    trial: Trial<'_>,
    entropy: &mut dyn Entropy,
) -> Result<Evidence, FilesError> {
    let shared: Vec<&Column> = scene
        .released
        .columns()
        .iter()
        .filter(|c| scene.real.column(c.name()).is_ok() && scene.control.column(c.name()).is_ok())
        .filter(|c| scene.person != Some(c.name()))
        .collect();
    if shared.len() < 2 {
        return Ok(Evidence::none("the tables share fewer than two columns"));
    }
    let chosen: Vec<String> = match secrets {
        [] => likeliest_secrets(&shared),
        named => named.to_vec(),
    };
    // Alike records are compared with once; a part of the work looks at each record.
    let names: Vec<&str> = shared.iter().map(|c| c.name()).collect();
    let distinct = ClassSizes::of_table(scene.released, &names)?.classes() as usize;
    let values = (distinct + scene.released.rows() / 8).saturating_mul(shared.len());
    let plan = Plan {
        attempts: trial.effort.attempts(values),
        predicate_columns: 4.min(shared.len()),
        linking,
        secrets: chosen,
        looks: trial.looks,
    };
    Ok(Evidence::of(run(scene, &plan, entropy)?))
}

/// All columns with at least two values, or where they are many, those with the most.
fn likeliest_secrets(shared: &[&Column]) -> Vec<String> {
    let mut told: Vec<(usize, &&Column)> = shared
        .iter()
        .map(|c| (c.counts().iter().filter(|n| **n > 0).count(), c))
        .filter(|(values, _)| *values > 1)
        .collect();
    if told.len() > MOST_SECRETS {
        told.sort_by_key(|(values, _)| std::cmp::Reverse(*values));
        told.truncate(MOST_SECRETS);
    }
    told.into_iter().map(|(_, c)| c.name().to_owned()).collect()
}

/// A random half of the people's records, and the other half.
fn halves(
    table: &Table,
    person: Option<&str>,
    entropy: &mut dyn Entropy,
) -> Result<Option<(Table, Table)>, FilesError> {
    let mut shuffled = |n: usize| {
        salus_deid::transform::shuffle(n, entropy).map_err(|e| FilesError::Transform(e.into()))
    };
    let chosen: Vec<bool> = match person {
        None => {
            let mut chosen = vec![false; table.rows()];
            for row in shuffled(table.rows())?.into_iter().take(table.rows() / 2) {
                chosen[row] = true;
            }
            chosen
        }
        // All records of a person are on one side.
        Some(person) => {
            let column = table.column(person)?;
            let people = column.dictionary().len();
            let mut first = vec![false; people];
            for code in shuffled(people)?.into_iter().take(people / 2) {
                first[code] = true;
            }
            column.codes().iter().map(|&code| first[code as usize]).collect()
        }
    };
    let side = |wanted: bool| {
        let rows = chosen.iter().enumerate().filter(|(_, first)| **first == wanted);
        table.select(rows.map(|(row, _)| row).collect::<Vec<_>>())
    };
    match (side(true), side(false)) {
        (Ok(members), Ok(others)) => Ok(Some((members, others))),
        _ => Ok(None),
    }
}

/// Attacks a way of releasing: the release of a random half of the records, judged by the other
/// half, who are not in it.
pub(crate) fn of_recipe(
    table: &Table,
    quasi: Option<&QuasiIdentifiers>,
    secrets: &[String],
    trial: Trial<'_>,
    entropy: &mut dyn Entropy,
    release: impl FnOnce(&Table, &mut dyn Entropy) -> Result<Table, FilesError>,
) -> Result<Evidence, FilesError> {
    const FEWEST: usize = 20;
    let people = match trial.person {
        Some(person) => crate::person::people(table, person)? as usize,
        None => table.rows(),
    };
    if people < FEWEST {
        let what = if trial.person.is_some() { "people" } else { "records" };
        let why = format!("fewer than {FEWEST} {what}: no control group can be set apart");
        return Ok(Evidence::none(&why));
    }
    let Some((members, others)) = halves(table, trial.person, entropy)? else {
        return Ok(Evidence::none("one record leaves no control group"));
    };
    let released = release(&members, entropy)?;
    let scene = Scene {
        hierarchies: quasi,
        person: trial.person,
        drawn: trial.drawn,
        ..Scene::new(&members, &others, &released)
    };
    attack(&scene, secrets, Linking::by_lot(), trial, entropy)
}
