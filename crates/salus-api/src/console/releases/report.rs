//! What was measured, as the studio shows it.
//!
//! # Privacy
//! These types name what may be told: fields that a report has beside them are not handed on.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One attack: what it achieved, or why it could not run.
#[derive(Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ReleaseAttack")]
pub(super) struct AttackShown {
    /// Its name, such as `singling-out-univariate`, `linkability`, `inference` or `membership`.
    attack: String,
    /// The column that was guessed, where it guesses one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
    /// The share of members exposed by being in the data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    risk: Option<f64>,
    /// Where that lies, jointly over all attacks and tries at 95 %.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    interval: Option<[f64; 2]>,
    /// Attempts on members; as many were made on control people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    attempts: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    successes: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    control_successes: Option<u64>,
    /// Whether members are exposed beyond what chance explains.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    leak: Option<bool>,
    /// Why it could not run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    not_run: Option<String>,
}

/// What to change next, and why.
#[derive(Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ReleaseAdjustment")]
pub(super) struct AdjustmentShown {
    /// As an option of `salus anonymise`.
    option: String,
    why: String,
}

/// An attempt that has ended.
#[derive(Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ReleaseTried")]
pub(super) struct TriedShown {
    number: u32,
    settings: SettingsShown,
    /// The same as options of `salus anonymise`.
    options: Vec<String>,
    #[serde(default)]
    models: Vec<String>,
    /// None when no attack could run, or nothing was made.
    score: Option<f64>,
    #[serde(default)]
    passes: bool,
    /// What it is still good for, by the purpose: 1 is untouched.
    utility: Option<f64>,
    granularity: Option<f64>,
    loss: Option<f64>,
    discernibility: Option<f64>,
    suppressed: Option<u64>,
    smallest_group: Option<u64>,
    accuracy: Option<AccuracyShown>,
    #[serde(default)]
    attacks: Vec<AttackShown>,
    /// Why nothing was made.
    problem: Option<String>,
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ReleaseSettings")]
struct SettingsShown {
    k: Option<u32>,
    l: Option<f64>,
    t: Option<f64>,
    suppression: f64,
    local: bool,
}

/// How often a classifier of the target is right.
#[derive(Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ReleaseAccuracy")]
struct AccuracyShown {
    /// By always guessing the most frequent value.
    baseline: f64,
    /// Trained on the dataset as it is.
    input: f64,
    /// Trained on the release.
    output: f64,
    /// How much of the gain over the baseline the release keeps.
    relative: f64,
}

/// What was found of a dataset as it is.
#[derive(Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Assessed")]
pub(super) struct AssessedShown {
    roles: Vec<RoleShown>,
    risk: RiskShown,
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ReleaseRole")]
struct RoleShown {
    column: String,
    /// `identifier`, `quasi`, `sensitive` or `other`.
    role: String,
    why: String,
    /// Different values; none for a column that was not read.
    distinct: Option<u64>,
    /// Different values for each record: 1 tells everybody apart.
    distinction: Option<f64>,
    /// Records without a value.
    missing: Option<u64>,
}

/// As `salus risk --json` says it.
#[derive(Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ReleaseRisk")]
struct RiskShown {
    records: u64,
    quasi_identifiers: Vec<String>,
    classes: u64,
    average_risk: f64,
    highest_risk: f64,
    records_at_highest_risk: f64,
    sample_unique: f64,
    population_unique: Option<f64>,
    population_estimator: Option<String>,
    telling_columns: Vec<TellingShown>,
    attacks: Vec<AttackShown>,
    score: Option<f64>,
    next: Option<AdjustmentShown>,
    notes: Vec<String>,
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "TellingColumns")]
struct TellingShown {
    columns: Vec<String>,
    distinction: f64,
}

/// What went through the whole chain, as `salus release --json` says it.
#[derive(Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ReleaseReport")]
pub(super) struct ReportShown {
    purpose: String,
    assessment: AssessmentShown,
    anonymised: Option<AnonymisedShown>,
    synthesised: Option<SynthesisedShown>,
    volume: Option<VolumeShown>,
    enough: Option<bool>,
    augmented: Option<AugmentedShown>,
    unbiased: Option<UnbiasedShown>,
    attacks: Vec<AttackShown>,
    score: Option<f64>,
    records: u64,
    notes: Vec<String>,
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ReleaseAssessment")]
struct AssessmentShown {
    records: u64,
    average_risk: f64,
    sample_unique: f64,
    score: Option<f64>,
    volume: Option<VolumeShown>,
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ReleaseAnonymised")]
struct AnonymisedShown {
    records: u64,
    quasi_identifiers: Vec<String>,
    models: Vec<String>,
    loss: f64,
    granularity: f64,
    /// By column; none where groups have their own.
    levels: Option<BTreeMap<String, u8>>,
    suppressed: u64,
    checked: u64,
    combinations: Option<u64>,
    optimal: bool,
    cpu_ms: f64,
    smallest_group: u64,
    average_risk: f64,
    score: Option<f64>,
    attacks: Vec<AttackShown>,
    notes: Vec<String>,
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ReleaseSynthesised")]
struct SynthesisedShown {
    records: u64,
    method: String,
    epsilon_spent: f64,
    delta: f64,
    micro_rho: u64,
    quality: f64,
    similarity: SimilarityShown,
    cpu_ms: f64,
    left_out: Vec<String>,
    score: Option<f64>,
    attacks: Vec<AttackShown>,
    notes: Vec<String>,
}

/// How alike released and real records are in single columns, pairs and triples: 1 is alike.
#[derive(Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ReleaseSimilarity")]
struct SimilarityShown {
    one: f64,
    two: f64,
    three: Option<f64>,
}

/// How well a target is learnt, by the number of records.
#[derive(Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ReleaseVolume")]
struct VolumeShown {
    records: u64,
    /// Balanced accuracy of a learner that knows nothing.
    chance: f64,
    curve: Vec<CurvePointShown>,
    /// What the last doubling of the records gained.
    gain: f64,
    gain_error: Option<f64>,
    /// The rarest first; one that is not public has a number in place of its name.
    classes: Vec<ClassShown>,
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "LearningCurvePoint")]
struct CurvePointShown {
    records: u64,
    accuracy: f64,
    error: Option<f64>,
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ReleaseClass")]
struct ClassShown {
    class: String,
    records: u64,
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ReleaseAugmented")]
struct AugmentedShown {
    added: u64,
    records: u64,
    for_rare_classes: u64,
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ReleaseUnbiased")]
struct UnbiasedShown {
    method: String,
    before: BiasShown,
    after: BiasShown,
    #[serde(default)]
    weights: Vec<WeightShown>,
    #[serde(default)]
    thresholds: Vec<ThresholdShown>,
    #[serde(default)]
    repaired: Vec<RepairedShown>,
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ReleaseBias")]
struct BiasShown {
    /// One that is not public has a number in place of its name.
    groups: Vec<GroupShown>,
    /// Difference in the rate of favourable outcomes: 0 is fair.
    statistical_parity: f64,
    /// Ratio of those rates: 1 is fair.
    disparate_impact: f64,
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ReleaseGroup")]
struct GroupShown {
    group: String,
    records: f64,
    /// The rate of favourable outcomes.
    favourable: f64,
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ReleaseWeight")]
struct WeightShown {
    group: String,
    favourable: f64,
    unfavourable: f64,
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ReleaseThreshold")]
struct ThresholdShown {
    group: String,
    threshold: f64,
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ReleaseRepaired")]
struct RepairedShown {
    column: String,
    gap_before: f64,
    gap_after: f64,
}
