//! The ways of releasing that are tried, from the least to the most that they change.

/// A way of recoding, with its steps.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Way {
    pub(super) name: &'static str,
    pub(super) suppression: f64,
    pub(super) recoding: Recoding,
}

/// How groups are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Recoding {
    /// One level for each column.
    FullDomain,
    /// Each group has its own levels.
    Local,
}

/// What has to hold, a step stricter than the one before.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Step {
    pub(super) k: u32,
    pub(super) l: Option<u32>,
    pub(super) t: Option<f64>,
}

const fn step(k: u32, l: Option<u32>, t: Option<f64>) -> Step {
    Step { k, l, t }
}

pub(super) const WAYS: [Way; 3] = [
    Way {
        name: "one level for each column, 5 % of the records suppressed at most",
        suppression: 0.05,
        recoding: Recoding::FullDomain,
    },
    Way { name: "levels of its own for each group", suppression: 0.0, recoding: Recoding::Local },
    Way {
        name: "one level for each column, nothing suppressed",
        suppression: 0.0,
        recoding: Recoding::FullDomain,
    },
];

/// Where no column is sensitive, groups grow.
const BY_SIZE: [Step; 5] = [
    step(3, None, None),
    step(5, None, None),
    step(10, None, None),
    step(20, None, None),
    step(50, None, None),
];

/// Where one is, groups also become more diverse, then alike.
const BY_DIVERSITY: [Step; 7] = [
    step(3, None, None),
    step(5, None, None),
    step(5, Some(2), None),
    step(10, Some(2), None),
    step(10, Some(3), None),
    step(10, Some(2), Some(0.3)),
    step(20, Some(2), Some(0.2)),
];

/// The steps of each way.
pub(super) const fn steps(sensitive: &[String]) -> &'static [Step] {
    if sensitive.is_empty() { &BY_SIZE } else { &BY_DIVERSITY }
}
