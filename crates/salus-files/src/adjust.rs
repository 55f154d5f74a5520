//! What to change next when a score is too low, and trying it.
//!
//! # Privacy
//! Scores are computed from the records without noise, and so is the choice that rests on them.
//! Each attempt's score is judged as one of as many looks as are allowed, so that a lucky one does
//! not pass for a good one. Scores of attempts that failed are for the steward: they are in the
//! answer, never in what is published.

use salus_deid::attack::{Attack, normal_quantile, residual, wilson};
use serde::Serialize;

use crate::evidence::{AttackLine, AttackResult, Evidence};
use crate::text::{columns_in_use, count, epsilon};

/// Group sizes that are proposed one after the other.
const SIZES: [u32; 12] = [2, 3, 5, 10, 15, 20, 30, 50, 100, 200, 500, 1_000];
/// Distances of t-closeness that are proposed one after the other.
const CLOSENESS: [f64; 5] = [0.4, 0.3, 0.2, 0.15, 0.1];

/// One change of how a release is made.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Change {
    /// Groups of at least that many.
    GroupSize(u32),
    /// That many different values of each sensitive column in each group.
    Diversity(f64),
    /// Sensitive values distributed as overall, within that.
    Closeness(f64),
    /// That many attempts of each attack.
    Attempts(u32),
    /// Less told of each person.
    Epsilon(f64),
}

/// What to change next, as an option of the command, and why.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Adjustment {
    #[serde(skip)]
    pub(crate) change: Change,
    /// The option.
    pub option: String,
    /// Why.
    pub why: String,
}

impl Adjustment {
    pub(crate) fn new(change: Change, why: String) -> Self {
        let option = match &change {
            Change::GroupSize(k) => format!("--k {k}"),
            Change::Diversity(l) => format!("--l {l}"),
            Change::Closeness(t) => format!("--t {t}"),
            Change::Attempts(n) => format!("--attempts {n}"),
            Change::Epsilon(epsilon) => format!("--epsilon {epsilon}"),
        };
        Self { change, option, why }
    }
}

/// One attempt to reach a score.
#[derive(Debug, Clone, Serialize)]
pub struct Attempt {
    /// Counted from 1.
    pub attempt: u32,
    /// What it was made with.
    pub settings: Vec<String>,
    /// What it scored; none when no attack could run.
    pub score: Option<f64>,
    /// What it is still good for: 1 is untouched.
    pub utility: f64,
    /// ε that it was charged, for private methods.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epsilon_charged: Option<f64>,
    /// What was changed after it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adjusted: Option<Adjustment>,
}

/// The attempts as a table for people.
pub(crate) fn table(attempts: &[Attempt]) -> String {
    let rows: Vec<Vec<String>> = attempts
        .iter()
        .map(|a| {
            vec![
                a.attempt.to_string(),
                a.settings.join(" "),
                a.score.map_or("none".to_owned(), |s| format!("{s:.1}")),
                format!("{:.4}", a.utility),
                a.epsilon_charged.map_or(String::new(), epsilon),
                a.adjusted.as_ref().map_or(String::new(), |x| format!("{}: {}", x.option, x.why)),
            ]
        })
        .collect();
    columns_in_use(&["attempt", "settings", "score", "utility", "ε charged", "then"], &rows)
}

/// Attempts in vain, for people.
pub(crate) fn told(why: &str, attempts: &[Attempt], charged: &str) -> String {
    format!("{why}\n{}\n{charged}", table(attempts)).trim_end().to_owned()
}

/// The attack with the largest upper bound.
pub(crate) struct Worst<'e> {
    attack: Attack,
    secret: Option<&'e str>,
    risk: f64,
    upper: f64,
    leak: bool,
    attempts: u64,
    control_successes: u64,
}

impl Worst<'_> {
    /// The best score that its interval allows after that many attempts, where it does no better
    /// on members than on control people, and as well on these as it did.
    fn attainable(&self, attempts: u64, confidence: f64) -> f64 {
        let share = self.control_successes as f64 / self.attempts.max(1) as f64;
        let successes = (share * attempts as f64).round() as u64;
        attainable_at(successes.min(attempts), attempts, confidence)
    }

    /// Whether it guesses a column that every other way of releasing says as well: then it stays
    /// right on as many control people.
    fn stays(&self, room: &Room) -> bool {
        self.attack == Attack::Inference && (room.epsilon.is_some() || self.guesses(room))
    }

    /// Whether it guesses a sensitive column.
    fn guesses(&self, room: &Room) -> bool {
        self.secret.is_some_and(|secret| room.sensitive.iter().any(|name| name == secret))
    }

    /// What people call it.
    pub(crate) fn named(&self) -> String {
        match self.secret {
            Some(secret) => format!("{} of {secret}", self.attack.name()),
            None => self.attack.name().to_owned(),
        }
    }

    /// The largest risk that its interval leaves open.
    pub(crate) const fn upper(&self) -> f64 {
        self.upper
    }
}

pub(crate) fn worst(evidence: &Evidence) -> Option<Worst<'_>> {
    worst_of(&evidence.attacks)
}

pub(crate) fn worst_of(attacks: &[AttackLine]) -> Option<Worst<'_>> {
    let ran = attacks.iter().filter_map(|line| match &line.result {
        AttackResult::Ran {
            risk, interval: [_, upper], attempts, leak, control_successes, ..
        } => Some(Worst {
            attack: line.attack,
            secret: line.secret.as_deref(),
            risk: *risk,
            upper: *upper,
            leak: *leak,
            attempts: *attempts,
            control_successes: *control_successes,
        }),
        AttackResult::NotRun { .. } => None,
    });
    ran.max_by(|a, b| a.upper.total_cmp(&b.upper))
}

/// Attempts of the attack that made the most.
fn most_attempts(attacks: &[AttackLine]) -> u64 {
    let made = attacks.iter().filter_map(|line| match &line.result {
        AttackResult::Ran { attempts, .. } => Some(*attempts),
        AttackResult::NotRun { .. } => None,
    });
    made.max().unwrap_or(0)
}

/// The best score that any release could get with that many attempts: none of them succeeds.
pub(crate) fn attainable(attempts: u64, confidence: f64) -> f64 {
    attainable_at(0, attempts, confidence)
}

/// The score of an attack with that many successes on either side.
fn attainable_at(successes: u64, attempts: u64, confidence: f64) -> f64 {
    let z = normal_quantile(f64::midpoint(1.0, confidence));
    let rate = wilson(successes, attempts, z);
    100.0 * (1.0 - residual(rate, rate).upper)
}

/// What a release may be changed in.
pub(crate) struct Room {
    /// The size of the smallest group, or what was asked for where that is more.
    pub(crate) k: Option<u32>,
    pub(crate) l: Option<f64>,
    pub(crate) t: Option<f64>,
    pub(crate) sensitive: Vec<String>,
    /// Different values of the sensitive column that has the fewest.
    pub(crate) most_diverse: u32,
    /// People whom attacks can be tried on.
    pub(crate) members: u64,
    pub(crate) epsilon: Option<f64>,
}

/// Why nothing is proposed.
#[derive(Debug)]
pub(crate) struct NoRoom(pub(crate) String);

/// The next adjustment for a release whose score is below `wanted`.
pub(crate) fn propose(evidence: &Evidence, wanted: f64, room: &Room) -> Result<Adjustment, NoRoom> {
    let Some(worst) = worst(evidence) else {
        return Err(NoRoom("no attack could run, so no adjustment can be judged".to_owned()));
    };
    enough_people(&worst, wanted, evidence.confidence, room)?;
    let named = worst.named();
    // An attack that found fewer to try than others did finds no more when more are allowed.
    let wide = !worst.leak
        && worst.attempts < room.members
        && worst.attempts >= most_attempts(&evidence.attacks);
    if !evidence.verbatim_decides
        && wide
        && (worst.attainable(worst.attempts, evidence.confidence) < wanted
            || worst.risk < worst.upper / 4.0)
    {
        let more = (worst.attempts * 4).min(room.members);
        let why = format!(
            "{named} finds nothing beyond chance, but {} attempts leave up to {:.1} % open",
            count(worst.attempts),
            100.0 * worst.upper
        );
        let more = u32::try_from(more).unwrap_or(u32::MAX);
        return Ok(Adjustment::new(Change::Attempts(more), why));
    }
    let reaches = format!("{named} reaches up to {:.1} %", 100.0 * worst.upper);
    if let Some(epsilon) = room.epsilon {
        // Two digits are enough to say, and rounded down they are no larger than the half.
        let half = (epsilon * 50.0).floor() / 100.0;
        return if half >= 0.01 {
            Ok(Adjustment::new(Change::Epsilon(half), reaches))
        } else {
            Err(NoRoom(format!("{reaches}, and ε is as small as makes sense")))
        };
    }
    let next =
        if worst.guesses(room) { sensitive(room).or_else(|| larger(room)) } else { larger(room) };
    next.map(|change| Adjustment::new(change, reaches.clone()))
        .ok_or_else(|| NoRoom(format!("{reaches}, and there is nothing left to raise")))
}

/// Refuses where so few people are there that nothing that is proposed could reach the score.
fn enough_people(
    worst: &Worst<'_>,
    wanted: f64,
    confidence: f64,
    room: &Room,
) -> Result<(), NoRoom> {
    let any = attainable(room.members, confidence);
    if any < wanted {
        return Err(NoRoom(format!(
            "with {} people to try attacks on, no release can be shown to score above {any:.1}: \
             more records are needed, or a lower threshold",
            count(room.members)
        )));
    }
    let best = worst.attainable(room.members, confidence);
    if worst.stays(room) && best < wanted {
        return Err(NoRoom(format!(
            "{} is right on {} of {} people who are not in the data, and with {} to try it on no \
             release can be shown to score above {best:.1} while it is: more records are needed, \
             or a lower threshold",
            worst.named(),
            count(worst.control_successes),
            count(worst.attempts),
            count(room.members)
        )));
    }
    Ok(())
}

/// Groups one step larger than they are, as long as half of the records make a few of them.
fn larger(room: &Room) -> Option<Change> {
    let now = room.k.unwrap_or(1);
    let next = SIZES.into_iter().find(|k| *k > now)?;
    (u64::from(next) * 4 <= room.members).then_some(Change::GroupSize(next))
}

/// More diverse or closer groups.
fn sensitive(room: &Room) -> Option<Change> {
    let now = room.l.unwrap_or(1.0);
    if room.t.is_none() && now + 1.0 < f64::from(room.most_diverse) && now < 4.0 {
        return Some(Change::Diversity(now.floor() + 1.0));
    }
    let now = room.t.unwrap_or(1.0);
    CLOSENESS.into_iter().find(|t| *t < now).map(Change::Closeness)
}

#[cfg(test)]
mod tests;
