//! One attempt at a release, as whoever watches sees it.

use salus_deid::utility::{Accuracy, Utility};
use serde::Serialize;

use crate::AttackLine;
use crate::anonymise::{AnonymiseArgs, Made};

/// What an attempt was made with.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Settings {
    /// Records of the smallest group.
    pub k: Option<u32>,
    /// Different values of each sensitive column in each group.
    pub l: Option<f64>,
    /// How far a group's sensitive values may be from those of all.
    pub t: Option<f64>,
    /// The share of records that may be suppressed.
    pub suppression: f64,
    /// Whether each group has levels of its own.
    pub local: bool,
}

impl From<&AnonymiseArgs> for Settings {
    fn from(args: &AnonymiseArgs) -> Self {
        let AnonymiseArgs { k, l, t, suppression, local, .. } = *args;
        Self { k, l, t, suppression, local }
    }
}

/// One attempt, which has ended.
#[derive(Debug, Clone, Serialize)]
pub struct Tried {
    /// Counted from 1.
    pub number: u32,
    /// What it was made with.
    pub settings: Settings,
    /// The same as options of `salus anonymise`.
    pub options: Vec<String>,
    /// What came of it.
    #[serde(flatten)]
    pub came: Came,
}

/// What came of an attempt.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub enum Came {
    /// A release that could be measured.
    Made(Box<Figures>),
    /// None.
    Nothing {
        /// Why.
        problem: String,
    },
}

/// What was measured of an attempt.
#[derive(Debug, Clone, Serialize)]
pub struct Figures {
    /// What holds in the release.
    pub models: Vec<String>,
    /// 100 · (1 − the largest upper bound of risk); none when no attack could run.
    pub score: Option<f64>,
    /// Whether it scores what is asked for.
    pub passes: bool,
    /// What it is still good for, by the purpose: 1 is untouched.
    pub utility: f64,
    /// The mean over quasi-identifiers and records of what a label leaves open.
    pub granularity: f64,
    /// The share of information lost, which the search makes small.
    pub loss: f64,
    /// Σ size² over groups, over n²: small is good.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub discernibility: Option<f64>,
    /// Records suppressed.
    pub suppressed: u64,
    /// Records of the smallest published group.
    pub smallest_group: u64,
    /// How well the target is learnt, where it is to be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accuracy: Option<AccuracyKept>,
    /// The attacks.
    pub attacks: Vec<AttackLine>,
}

/// Accuracy of a classifier before and after.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct AccuracyKept {
    /// On input and release.
    #[serde(flatten)]
    pub accuracy: Accuracy,
    /// How much of the input's gain over always guessing the most frequent value is left.
    pub relative: f64,
}

impl From<Accuracy> for AccuracyKept {
    fn from(accuracy: Accuracy) -> Self {
        Self { relative: accuracy.relative(), accuracy }
    }
}

/// What else was measured of a release than its own report says.
#[derive(Default)]
pub(super) struct Beside<'u> {
    pub(super) utility: Option<&'u Utility>,
    pub(super) accuracy: Option<AccuracyKept>,
}

impl Tried {
    /// An attempt of the loop on the score.
    pub(crate) fn of_loop(number: u32, made: &Made, passes: bool) -> Self {
        Self::of(number, made, passes, Beside::default())
    }

    pub(super) fn of(number: u32, made: &Made, passes: bool, beside: Beside<'_>) -> Self {
        let report = &made.report;
        let figures = Figures {
            models: report.models.clone(),
            score: report.score,
            passes,
            utility: beside.accuracy.map_or(report.granularity, |a| a.relative),
            granularity: report.granularity,
            loss: report.loss,
            discernibility: beside.utility.map(|u| u.discernibility),
            suppressed: report.suppressed,
            smallest_group: report.smallest_group,
            accuracy: beside.accuracy,
            attacks: report.attacks.clone(),
        };
        let came = Came::Made(Box::new(figures));
        Self { number, settings: (&made.args).into(), options: options(&made.args), came }
    }

    /// An attempt that made nothing.
    pub(super) fn nothing(number: u32, args: &AnonymiseArgs, problem: String) -> Self {
        let came = Came::Nothing { problem };
        Self { number, settings: args.into(), options: options(args), came }
    }

    /// What was measured, where something was made.
    #[must_use]
    pub fn figures(&self) -> Option<&Figures> {
        match &self.came {
            Came::Made(figures) => Some(figures),
            Came::Nothing { .. } => None,
        }
    }
}

fn options(args: &AnonymiseArgs) -> Vec<String> {
    let mut said = crate::anonymise::settings(args);
    if args.suppression > 0.0 {
        said.push(format!("--suppression {}", args.suppression));
    }
    if args.local {
        said.push("--local".to_owned());
    }
    said
}
