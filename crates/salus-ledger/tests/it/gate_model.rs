//! The release gate against a small reference model: sets of names, no state tree, no signatures.

use std::cell::Cell;
use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use salus_ledger::block::Outcome;
use salus_ledger::call::{Release, RevokeKey, SetReviewRule, SubmitForReview};
use salus_ledger::invariant::invariants;
use salus_ledger::query;
use salus_ledger::review::{Independence, ReviewRule, ReviewRuleForm, Verdict};
use salus_ledger::{ResultHash, ReviewId};
use salus_model::PermitId;

use crate::ca::signer;
use crate::reviews::Stage;
use crate::world::{ANNA, HUB, hash, rule_of};

/// Two of the hub and two of the hospital; the hub's first key is never taken away.
const REVIEWERS: [&str; 4] = [HUB, "officer", "reviewer", "second reviewer"];
const PERSONS: [&str; 2] = ["ada", "ben"];

#[derive(Debug, Clone)]
enum Step {
    Submit {
        permit: usize,
        result: usize,
        supersedes: Option<usize>,
    },
    Decide {
        review: usize,
        who: usize,
        approve: bool,
    },
    Revoke {
        who: usize,
    },
    Rule {
        reviewers: u8,
        members: bool,
    },
    Out {
        review: usize,
        permit: usize,
        result: usize,
        named: [bool; 4],
    },
    /// As a holder does that looks first: what the review is of, on all who approved.
    OutAsReviewed {
        review: usize,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let (two, three, four) = (0..2_usize, 0..3_usize, 0..4_usize);
    let review = 0..3_usize;
    prop_oneof![
        3 => (two.clone(), three.clone(), proptest::option::weighted(0.3, review.clone()))
            .prop_map(|(permit, result, supersedes)| Step::Submit { permit, result, supersedes }),
        14 => (review.clone(), four, prop::bool::weighted(0.9))
            .prop_map(|(review, who, approve)| Step::Decide { review, who, approve }),
        1 => (1..4_usize).prop_map(|who| Step::Revoke { who }),
        1 => (1..4_u8, any::<bool>()).prop_map(|(reviewers, members)| Step::Rule { reviewers, members }),
        2 => (review.clone(), two, three, any::<[bool; 4]>())
            .prop_map(|(review, permit, result, named)| Step::Out { review, permit, result, named }),
        5 => review.prop_map(|review| Step::OutAsReviewed { review }),
    ]
}

#[derive(Debug, Clone)]
struct Asked {
    permit: usize,
    result: usize,
    waits: bool,
    said: [Option<bool>; 4],
}

impl Asked {
    fn refused(&self) -> bool {
        self.said.contains(&Some(false))
    }
}

/// The rules, written from the documentation and not from the contract.
#[derive(Debug, Default)]
struct Model {
    reviews: Vec<Asked>,
    revoked: [bool; 4],
    reviewers: u8,
    members: bool,
    released: u64,
}

impl Model {
    /// Whether the step takes effect, and its effect; none where it names no review that there is.
    fn apply(&mut self, step: &Step) -> Option<bool> {
        Some(match *step {
            Step::Submit { permit, result, supersedes } => {
                if let Some(old) = supersedes {
                    let old = self.reviews.get(old)?;
                    if !old.waits || old.permit != permit {
                        return Some(false);
                    }
                }
                let beside = self.reviews.iter().enumerate().filter(|(at, asked)| {
                    asked.waits && asked.permit == permit && Some(*at) != supersedes
                });
                let stands = beside.clone().any(|(_, a)| a.refused() || a.result == result);
                if !stands {
                    if let Some(old) = supersedes {
                        self.reviews[old].waits = false;
                    }
                    let said = [None; 4];
                    self.reviews.push(Asked { permit, result, waits: true, said });
                }
                !stands
            }
            Step::Decide { review, who, approve } => {
                let asked = self.reviews.get_mut(review)?;
                let new = asked.waits && !self.revoked[who] && asked.said[who] != Some(approve);
                if new {
                    asked.said[who] = Some(approve);
                }
                new
            }
            Step::Revoke { who } => !std::mem::replace(&mut self.revoked[who], true),
            Step::Rule { reviewers, members } => {
                (self.reviewers, self.members) = (reviewers, members);
                true
            }
            Step::Out { review, permit, result, named } => {
                let asked = self.reviews.get(review)?.clone();
                let (permit_of, result_of) = (asked.permit, asked.result);
                let good = |who: usize| asked.said[who] == Some(true) && !self.revoked[who];
                let named: Vec<usize> = (0..4).filter(|who| named[*who]).collect();
                let different: BTreeSet<usize> =
                    named.iter().map(|who| if self.members { who / 2 } else { *who }).collect();
                let fits = asked.waits
                    && (permit_of, result_of) == (permit, result)
                    && !asked.refused()
                    && named.iter().all(|who| good(*who))
                    && different.len() >= usize::from(self.reviewers.max(2));
                if fits {
                    self.reviews[review].waits = false;
                    self.released += 1;
                }
                fits
            }
            Step::OutAsReviewed { review } => {
                let Asked { permit, result, said, .. } = *self.reviews.get(review)?;
                let named = [0, 1, 2, 3].map(|who| said[who] == Some(true) && !self.revoked[who]);
                return self.apply(&Step::Out { review, permit, result, named });
            }
        })
    }
}

struct Real {
    stage: Stage,
    permits: [PermitId; 2],
    ids: Vec<ReviewId>,
}

impl Real {
    fn new() -> Self {
        let mut stage = Stage::new();
        let terms = stage.world.terms(&[(&stage.data, 10)]);
        let permits = [stage.permit.clone(), stage.world.permit(PERSONS[1], terms)];
        Self { stage, permits, ids: Vec::new() }
    }

    fn release(&self, permit: usize, result: usize) -> Release {
        Release {
            actor: signer(PERSONS[permit]).public_key(),
            permit: self.permits[permit].clone(),
            result: ResultHash::new(hash(&format!("result {result}"))),
            ..self.stage.release("any")
        }
    }

    fn run(&mut self, step: &Step, model: &Model) -> Option<Outcome> {
        let world = |real: &mut Self, call: salus_ledger::call::Call, by: &str| {
            real.stage.world.run(call, &[by])
        };
        Some(match *step {
            Step::Submit { permit, result, supersedes } => {
                let mut ask = Stage::asked(&self.release(permit, result));
                if let Some(old) = supersedes {
                    ask.supersedes = [*self.ids.get(old)?].into();
                }
                let (id, outcome) = world(self, SubmitForReview { ..ask }.into(), ANNA);
                if outcome == Outcome::Applied {
                    self.ids.push(id.review());
                }
                outcome
            }
            Step::Decide { review, who, approve } => {
                let verdict = if approve { Verdict::Approve } else { Verdict::Refuse };
                let who = REVIEWERS[who];
                let call = Stage::says(*self.ids.get(review)?, who, verdict);
                world(self, call.into(), who).1
            }
            Step::Revoke { who } => {
                let by = if who < 2 { HUB } else { ANNA };
                let key = signer(REVIEWERS[who]).public_key();
                world(self, RevokeKey { key }.into(), by).1
            }
            Step::Rule { reviewers, members } => {
                let independence = if members { Independence::Members } else { Independence::Keys };
                let form = ReviewRuleForm { reviewers, independence, least_score: None };
                let rule = Some(ReviewRule::new(form).unwrap());
                let dataset = self.stage.data.clone();
                world(self, SetReviewRule { dataset, rule }.into(), ANNA).1
            }
            Step::Out { review, permit, result, named } => {
                let id = *self.ids.get(review)?;
                let named: Vec<&str> = (0..4).filter(|w| named[*w]).map(|w| REVIEWERS[w]).collect();
                let call = Stage::out(&self.release(permit, result), id, &named);
                world(self, call.into(), ANNA).1
            }
            Step::OutAsReviewed { review } => {
                let Asked { permit, result, said, .. } = *model.reviews.get(review)?;
                let named = [0, 1, 2, 3].map(|who| said[who] == Some(true) && !model.revoked[who]);
                return self.run(&Step::Out { review, permit, result, named }, model);
            }
        })
    }
}

/// Gives how many releases went out.
fn check(steps: &[Step]) -> Result<u64, TestCaseError> {
    let (mut real, mut model) = (Real::new(), Model::default());
    for (at, step) in steps.iter().enumerate() {
        let outcome = real.run(step, &model);
        let expected = model.apply(step);
        if let (Some(outcome), Some(expected)) = (&outcome, expected) {
            let applied = *outcome == Outcome::Applied;
            prop_assert_eq!(applied, expected, "step {} {:?}: {}", at, step, rule_of(outcome));
        }
        prop_assert_eq!(outcome.is_some(), expected.is_some(), "step {} {:?}", at, step);
        let account = query::account(&real.stage.world.store, &real.stage.data).unwrap().unwrap();
        prop_assert_eq!(account.not_bounded, model.released);
        for (permit, id) in real.permits.iter().enumerate() {
            let waiting = query::reviews_waiting(&real.stage.world.store, id).unwrap();
            let of = |asked: &&Asked| asked.waits && asked.permit == permit;
            let wanted = model.reviews.iter().filter(of).count();
            prop_assert_eq!(waiting.unwrap_or_default().len(), wanted);
        }
    }
    invariants(&real.stage.world.store, real.stage.world.tip())
        .map_err(|e| TestCaseError::fail(e.to_string()))?;
    Ok(model.released)
}

#[test]
fn the_gate_does_what_the_reference_model_does() {
    let (released, config) = (Cell::new(0), Config { cases: 64, ..Config::default() });
    let steps = proptest::collection::vec(step(), 10..80);
    let result = TestRunner::new(config).run(&steps, |steps| {
        released.set(released.get() + check(&steps)?);
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("{error}"));
    println!("{} releases went out over all cases", released.get());
    // 24 to 44 in the runs that were looked at.
    assert!(released.get() > 0, "no steps pass the gate, so that nothing was compared");
}
