use serde::{Deserialize, Serialize};

use crate::estimate::Measured;
use crate::marginal::Scope;
use crate::random::Random;

/// Each short code's codes with their weights.
type Groups = Vec<Vec<(u16, f64)>>;

/// Rare codes of each attribute taken together, and how they are told apart again.
///
/// # Privacy
/// Made from noisy one-way counts alone.
///
/// # Source
/// McKenna, Miklau, Sheldon 2021, "Winning the NIST Contest", section 4.3.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Compression {
    /// For each attribute, each code's short code.
    short: Vec<Vec<u16>>,
    /// For each attribute, each short code's codes with their weights.
    long: Vec<Groups>,
}

impl Compression {
    /// Keeps codes whose noisy count is above three standard errors; the others become one.
    pub(crate) fn of(one_way: &[Measured]) -> Self {
        let (mut short, mut long) = (Vec::new(), Vec::new());
        for m in one_way {
            let common = |i: usize| {
                let (count, precision) = (m.counts.get(i), m.precision.get(i));
                count.zip(precision).is_some_and(|(c, p)| *c >= 3.0 / p.sqrt())
            };
            let rare: Vec<usize> = (0..m.counts.len()).filter(|i| !common(*i)).collect();
            let merge = rare.len() > 1;
            let mut codes = Vec::new();
            let mut groups = Groups::new();
            let mut rest = None;
            for (i, count) in m.counts.iter().enumerate() {
                let member = (i as u16, count.max(0.0) + 1e-3);
                let group = if merge && !common(i) {
                    *rest.get_or_insert_with(|| {
                        groups.push(Vec::new());
                        groups.len() - 1
                    })
                } else {
                    groups.push(Vec::new());
                    groups.len() - 1
                };
                if let Some(slot) = groups.get_mut(group) {
                    slot.push(member);
                }
                codes.push(group as u16);
            }
            short.push(codes);
            long.push(groups);
        }
        Self { short, long }
    }

    /// ln of the share that each code has of its short code.
    pub(crate) fn log_shares(&self, attribute: usize, codes: &[u16]) -> Vec<f64> {
        let logs: Vec<f64> = self
            .short
            .get(attribute)
            .into_iter()
            .flatten()
            .enumerate()
            .map(|(code, short)| {
                let members = self.long.get(attribute).and_then(|l| l.get(usize::from(*short)));
                let members = members.map_or(&[] as &[(u16, f64)], Vec::as_slice);
                let all: f64 = members.iter().map(|(_, w)| w).sum();
                let own = members.iter().find(|(c, _)| usize::from(*c) == code);
                own.map_or(0.0, |(_, w)| (w / all).max(1e-30).ln())
            })
            .collect();
        codes.iter().map(|c| logs.get(usize::from(*c)).copied().unwrap_or(0.0)).collect()
    }

    /// For each attribute, each code's short code.
    pub(crate) fn short_codes(&self) -> &[Vec<u16>] {
        &self.short
    }

    pub(crate) fn sizes(&self) -> Vec<usize> {
        self.long.iter().map(Vec::len).collect()
    }

    pub(crate) fn columns(&self, columns: &[Vec<u16>]) -> Vec<Vec<u16>> {
        let compress = |(column, short): (&Vec<u16>, &Vec<u16>)| {
            column.iter().map(|c| short.get(usize::from(*c)).copied().unwrap_or(0)).collect()
        };
        columns.iter().zip(&self.short).map(compress).collect()
    }

    /// One-way measurements over the short codes.
    pub(crate) fn measured(&self, one_way: &[Measured]) -> Vec<Measured> {
        let sizes = self.sizes();
        one_way
            .iter()
            .zip(&self.long)
            .map(|(m, groups)| {
                let mut counts: Vec<f64> = Vec::with_capacity(groups.len());
                let mut precision: Vec<f64> = Vec::with_capacity(groups.len());
                for group in groups {
                    let of = |table: &[f64]| -> Vec<f64> {
                        group
                            .iter()
                            .filter_map(|(c, _)| table.get(usize::from(*c)))
                            .copied()
                            .collect()
                    };
                    counts.push(of(&m.counts).iter().sum());
                    precision.push(1.0 / of(&m.precision).iter().map(|p| 1.0 / p).sum::<f64>());
                }
                let potential = vec![0.0; counts.len()];
                Measured {
                    scope: Scope::new(m.scope.attrs.clone(), &sizes),
                    counts,
                    precision,
                    potential,
                }
            })
            .collect()
    }

    /// Whether the tables belong to attributes of these sizes.
    pub(crate) fn fits(&self, sizes: &[usize]) -> bool {
        let whole = |((short, long), size): ((&Vec<u16>, &Groups), &usize)| {
            short.len() == *size
                && short.iter().all(|s| usize::from(*s) < long.len())
                && long.iter().all(|g| !g.is_empty())
                && long.iter().flatten().all(|(c, w)| usize::from(*c) < *size && *w > 0.0)
        };
        self.short.len() == sizes.len()
            && self.long.len() == sizes.len()
            && self.short.iter().zip(&self.long).zip(sizes).all(whole)
    }

    /// A short code's possible codes.
    pub(crate) fn codes(&self, attribute: usize, short: usize) -> &[(u16, f64)] {
        self.long.get(attribute).and_then(|g| g.get(short)).map_or(&[], Vec::as_slice)
    }

    /// Draws a code of a short code among those that `allowed` admits.
    pub(crate) fn expand(
        &self,
        attribute: usize,
        short: u16,
        allowed: Option<&[bool]>,
        random: &mut Random,
    ) -> u16 {
        let fits = |code: u16| allowed.is_none_or(|a| a.get(usize::from(code)) == Some(&true));
        let codes = self.codes(attribute, short.into());
        let total: f64 = codes.iter().filter(|(c, _)| fits(*c)).map(|(_, w)| w).sum();
        let mut at = random.unit() * total;
        let mut last = 0;
        for (code, weight) in codes.iter().filter(|(c, _)| fits(*c)) {
            last = *code;
            at -= weight;
            if at < 0.0 {
                break;
            }
        }
        last
    }
}
