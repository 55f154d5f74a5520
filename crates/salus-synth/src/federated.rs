//! One private synthesiser of several holders, who pool no rows.
//!
//! ```text
//! coordinator                         each holder
//! Federation::new ──Ask (one-way)──▶ Ask::answer(its table) ──Reply (noisy)──▶ Federation::take
//!                 ──Ask (a tree) ──▶ Ask::answer            ──Reply (noisy)──▶ Federation::take
//!                                                                             └▶ Model
//! ```
//!
//! Marginals of all rows are the sums of the holders' marginals, and so are noisy ones: their
//! variances add up.
//!
//! **Invariant:** what leaves a holder is noisy before it leaves; the coordinator sees nothing else
//! and needs not be trusted with more.
//!
//! # Privacy
//! Each holder's replies are [`Federation::cost`]-zCDP for a person with all rows at that holder:
//! half of ρ for the one-way marginals, half for those of the tree, divided evenly. Which tree is
//! asked for depends on the noisy one-way marginals and on what the coordinator knows publicly, so
//! choosing it costs nothing. A person with rows at several holders is protected by the sum of what
//! those holders are charged. Rows per person are bounded by each holder's table.
//!
//! # Source
//! The tree is that of McKenna, Miklau and Sheldon 2021 (MST) but for its choice, which here takes
//! no look at rows: each holder's rows are never seen together, and a choice by noisy scores of all
//! pairs costs each holder more than the tree gains at usual ρ. The caller names pairs that are
//! known to belong together; the others are chained in the order of the attributes.

use std::collections::BTreeMap;
use std::sync::Arc;

use salus_dp::{Cost, measure_counts};
use salus_model::{Class, Classified, MicroRho};
use serde::{Deserialize, Serialize};

use crate::attribute::Attribute;
use crate::compression::Compression;
use crate::estimate::{Measured, total};
use crate::fit::{FitError, MOST_MARGINAL_CELLS, Method, finish};
use crate::marginal::Scope;
use crate::model::{Inner, Model};
use crate::table::Table;

/// Why holders could not fit together.
#[derive(Debug, thiserror::Error)]
pub enum FederationError {
    /// Attributes, ρ or pairs that make no model.
    #[error("{0}")]
    Setup(&'static str),
    /// A table with other attributes than those agreed on.
    #[error("the table has other attributes than the holders agreed on")]
    OtherAttributes,
    /// A reply that answers something else, comes twice, or has other tables.
    #[error("the reply of holder {holder} does not answer what was asked: {why}")]
    Reply {
        /// Which holder, counted from 1.
        holder: usize,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A holder's rows could not be measured.
    #[error(transparent)]
    Fit(#[from] FitError),
}

impl Classified for FederationError {
    fn class(&self) -> Class {
        match self {
            Self::Setup(_) | Self::OtherAttributes => Class::BadRequest,
            Self::Reply { .. } => Class::Peer,
            Self::Fit(e) => e.class(),
        }
    }
}

/// What the coordinator asks of each holder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ask {
    version: u8,
    round: u8,
    attributes: Vec<Attribute>,
    /// Sets of attributes by position.
    scopes: Vec<Vec<usize>>,
    /// Of each marginal.
    rho: MicroRho,
    /// Codes that rare values are taken together into, by attribute; empty in the first round.
    short: Vec<Vec<u16>>,
}

/// What a holder answers: noisy marginals.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reply {
    version: u8,
    round: u8,
    counts: Vec<Vec<i64>>,
    /// The variance of the noise of each count, by marginal.
    variances: Vec<f64>,
}

impl Reply {
    /// Which round it answers, counted from 1.
    #[must_use]
    pub const fn round(&self) -> u8 {
        self.round
    }
}

impl Ask {
    /// What this costs a holder.
    #[must_use]
    pub fn cost(&self) -> Cost {
        Cost::of_rho(MicroRho::new(self.rho.get().saturating_mul(self.scopes.len() as u64)))
    }

    /// The attributes that are asked about.
    #[must_use]
    pub fn attributes(&self) -> &[Attribute] {
        &self.attributes
    }

    /// Which round it is, counted from 1.
    #[must_use]
    pub const fn round(&self) -> u8 {
        self.round
    }

    /// What is asked, whatever it is called and at whatever ρ: attributes, sets of them by position,
    /// and the codes that rare values are taken together into. Who asks for the same again is to
    /// get the same answer, for two answers have different noise.
    #[must_use]
    pub fn asked(&self) -> (&[Attribute], &[Vec<usize>], &[Vec<u16>]) {
        (&self.attributes, &self.scopes, &self.short)
    }

    /// Measures a holder's own table.
    ///
    /// # Privacy
    /// [`Ask::cost`]-zCDP; the noise is drawn here.
    ///
    /// # Errors
    /// When the table has other attributes, the question makes no sense or asks for more than
    /// 4,194,304 counts, or noise is lacking.
    pub fn answer(&self, table: &Table) -> Result<Reply, FederationError> {
        if self.version != 1 || table.attributes() != self.attributes.as_slice() {
            return Err(FederationError::OtherAttributes);
        }
        let codes: Vec<usize> = self.attributes.iter().map(Attribute::size).collect();
        let sensible = self.scopes.iter().all(|s| {
            (1..=2).contains(&s.len())
                && s.iter().all(|a| *a < codes.len())
                && s.first() != s.get(1)
        });
        let shortens =
            self.short.is_empty()
                || (self.short.len() == codes.len()
                    && self.short.iter().zip(&codes).all(|(s, n)| {
                        s.len() == *n && s.iter().all(|code| usize::from(*code) < *n)
                    }));
        if !sensible || !shortens {
            return Err(FederationError::Setup("the question does not fit the attributes"));
        }
        let sizes = self.sizes(&codes);
        let scopes: Vec<Scope> =
            self.scopes.iter().map(|attrs| Scope::new(attrs.clone(), &sizes)).collect();
        roomy(&scopes)?;
        let columns = self.shortened(table);
        let mut reply =
            Reply { version: 1, round: self.round, counts: Vec::new(), variances: Vec::new() };
        for scope in &scopes {
            let noisy = measure_counts(&scope.count(&columns), table.rows_per_unit, self.rho)
                .map_err(FitError::from)?;
            let whole = |n: &i128| i64::try_from(*n).unwrap_or(i64::MAX);
            reply.counts.push(noisy.counts.iter().map(whole).collect());
            reply.variances.push(noisy.noise.variance().max(1e-3));
        }
        Ok(reply)
    }

    /// How many codes each attribute has where rare ones are taken together.
    fn sizes(&self, codes: &[usize]) -> Vec<usize> {
        if self.short.is_empty() {
            return codes.to_vec();
        }
        let size = |s: &Vec<u16>| s.iter().copied().max().map_or(1, |m| usize::from(m) + 1);
        self.short.iter().map(size).collect()
    }

    fn shortened(&self, table: &Table) -> Vec<Vec<u16>> {
        if self.short.is_empty() {
            return table.columns.clone();
        }
        table
            .columns
            .iter()
            .zip(&self.short)
            .map(|(column, short)| {
                let of = |c: &u16| short.get(usize::from(*c)).copied().unwrap_or(0);
                column.iter().map(of).collect()
            })
            .collect()
    }
}

/// Refuses marginals that a holder has no room for.
fn roomy(scopes: &[Scope]) -> Result<(), FederationError> {
    let cells = scopes.iter().fold(0usize, |all, scope| all.saturating_add(scope.cells()));
    if cells <= MOST_MARGINAL_CELLS {
        return Ok(());
    }
    Err(FederationError::Setup(
        "the question asks for more than 4,194,304 counts: give columns fewer values or bins, or \
         other pairs",
    ))
}

/// What the coordinator knows between the rounds.
enum Stage {
    OneWay,
    Tree { one_way: Vec<Measured>, compression: Compression },
}

/// What comes after the replies of a round.
#[derive(Debug)]
pub enum Next {
    /// Another round.
    Ask(Ask),
    /// The model.
    Done(Box<Model>),
}

/// The coordinator's side.
pub struct Federation {
    attributes: Arc<[Attribute]>,
    holders: usize,
    rho: MicroRho,
    pairs: Vec<[usize; 2]>,
    stage: Stage,
    replies: BTreeMap<usize, Reply>,
}

impl Federation {
    /// Agrees on attributes, on ρ of each holder, and on pairs of attributes that are known to
    /// belong together; returns the first question.
    ///
    /// # Errors
    /// When there is no holder, fewer than two attributes, too small a ρ, or pairs that make a
    /// circle.
    pub fn new(
        attributes: Vec<Attribute>,
        holders: usize,
        rho: MicroRho,
        pairs: &[[usize; 2]],
    ) -> Result<(Self, Ask), FederationError> {
        let n = attributes.len();
        if holders == 0 || !(2..=64).contains(&n) {
            return Err(FederationError::Setup("it takes a holder and 2 to 64 attributes"));
        }
        if rho.get() / 20 < n as u64 {
            return Err(FederationError::Setup("at least 20 µρ are needed for each attribute"));
        }
        let pairs = tree(n, pairs)?;
        let one_way = Ask {
            version: 1,
            round: 1,
            attributes: attributes.clone(),
            scopes: (0..n).map(|a| vec![a]).collect(),
            rho: MicroRho::new(rho.get() / 2 / n as u64),
            short: Vec::new(),
        };
        let own = Self {
            attributes: attributes.into(),
            holders,
            rho,
            pairs,
            stage: Stage::OneWay,
            replies: BTreeMap::new(),
        };
        Ok((own, one_way))
    }

    /// The most that each holder is charged.
    #[must_use]
    pub const fn cost(&self) -> Cost {
        Cost::of_rho(self.rho)
    }

    /// Takes a holder's reply; once all have replied, says what comes next.
    ///
    /// # Errors
    /// When the reply is not one to the present question, or the holder's second one, which changes
    /// nothing; and when the pairs have too many values together to be asked about.
    pub fn take(&mut self, holder: usize, reply: Reply) -> Result<Option<Next>, FederationError> {
        let refuse = |why| FederationError::Reply { holder: holder + 1, why };
        let scopes = self.scopes();
        let round = if matches!(self.stage, Stage::OneWay) { 1 } else { 2 };
        if holder >= self.holders {
            return Err(refuse("there is no such holder"));
        }
        if reply.version != 1 || reply.round != round {
            return Err(refuse("it belongs to another round"));
        }
        let fits = reply.counts.len() == scopes.len()
            && reply.variances.len() == scopes.len()
            && reply.variances.iter().all(|v| v.is_finite() && *v > 0.0)
            && reply.counts.iter().zip(&scopes).all(|(c, s)| c.len() == s.cells());
        if !fits {
            return Err(refuse("its tables have another shape"));
        }
        if self.replies.contains_key(&holder) {
            return Err(refuse("it replied already"));
        }
        self.replies.insert(holder, reply);
        if self.replies.len() < self.holders {
            return Ok(None);
        }
        let measured = summed(&scopes, &std::mem::take(&mut self.replies));
        self.advance(measured).map(Some)
    }

    /// The marginals of the present round.
    fn scopes(&self) -> Vec<Scope> {
        match &self.stage {
            Stage::OneWay => {
                let sizes: Vec<usize> = self.attributes.iter().map(Attribute::size).collect();
                (0..sizes.len()).map(|a| Scope::new(vec![a], &sizes)).collect()
            }
            Stage::Tree { compression, .. } => {
                let sizes = compression.sizes();
                self.pairs.iter().map(|p| Scope::new(p.to_vec(), &sizes)).collect()
            }
        }
    }

    fn advance(&mut self, measured: Vec<Measured>) -> Result<Next, FederationError> {
        match std::mem::replace(&mut self.stage, Stage::OneWay) {
            Stage::OneWay => {
                let compression = Compression::of(&measured);
                let ask = Ask {
                    version: 1,
                    round: 2,
                    attributes: self.attributes.to_vec(),
                    scopes: self.pairs.iter().map(|p| p.to_vec()).collect(),
                    rho: MicroRho::new(self.rho.get() / 2 / self.pairs.len() as u64),
                    short: compression.short_codes().to_vec(),
                };
                let one_way = compression.measured(&measured);
                self.stage = Stage::Tree { one_way, compression };
                roomy(&self.scopes())?;
                Ok(Next::Ask(ask))
            }
            Stage::Tree { mut one_way, compression } => {
                let rows = total(&one_way);
                one_way.extend(measured);
                let graph = finish(one_way, &compression.sizes());
                Ok(Next::Done(Box::new(Model::new(
                    self.attributes.to_vec(),
                    Method::Mst,
                    self.cost(),
                    rows,
                    compression,
                    Inner::Graph(graph),
                ))))
            }
        }
    }
}

/// Sums of what the holders measured; the variances add up.
fn summed(scopes: &[Scope], replies: &BTreeMap<usize, Reply>) -> Vec<Measured> {
    scopes
        .iter()
        .enumerate()
        .map(|(i, scope)| {
            let mut counts = vec![0.0; scope.cells()];
            let mut variance = 0.0;
            for reply in replies.values() {
                for (sum, own) in counts.iter_mut().zip(reply.counts.get(i).into_iter().flatten()) {
                    *sum += *own as f64;
                }
                variance += reply.variances.get(i).copied().unwrap_or(0.0);
            }
            Measured::new(scope.clone(), counts, variance)
        })
        .collect()
}

/// The named pairs, completed to a tree by chaining what they leave apart.
fn tree(attributes: usize, named: &[[usize; 2]]) -> Result<Vec<[usize; 2]>, FederationError> {
    let mut group: Vec<usize> = (0..attributes).collect();
    let mut pairs = Vec::with_capacity(attributes - 1);
    let mut join = |a: usize, b: usize| {
        let (Some(&from), Some(&to)) = (group.get(a), group.get(b)) else { return false };
        if from == to {
            return false;
        }
        group.iter_mut().filter(|g| **g == from).for_each(|g| *g = to);
        pairs.push([a.min(b), a.max(b)]);
        true
    };
    for [a, b] in named {
        if !join(*a, *b) {
            return Err(FederationError::Setup("the pairs name no attribute, or make a circle"));
        }
    }
    for a in 1..attributes {
        join(a - 1, a);
    }
    Ok(pairs)
}
