//! A question over several holders: each noises its own numbers and charges its own account; the
//! answers are put together here (independent mode). What goes for both modes stands here too.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use salus_api::questions::Published;
use salus_dp::{Answer, PrivacyUnit};
use salus_ledger::DatasetRef;
use salus_ledger::contract::records::{Account, PermitRecord};
use salus_model::{Class, HolderId, MicroRho, PermitId};
use salus_node::permits::left;
use salus_node::{HolderLedger, Site};
use salus_private::several::{
    CombinedAnswer, HolderOutcome, MissingHolder, MissingReason, combine,
};
use salus_private::{Profile, Question};
use serde::Serialize;

use super::grounds::{account_of, as_epsilon, delta_of};
use super::holder::{Place, place};
use super::query::{
    Fetched, Ready, ReceiptPlace, RowShown, Wanted, fetch, get, grid, keep, rows_shown,
};
use crate::output::{Failure, Output};

/// What is asked of whom, before anybody is asked.
pub(crate) struct Several<'a> {
    pub(crate) site: &'a Site,
    pub(crate) ledger: &'a HolderLedger,
    pub(crate) folder: &'a Path,
    pub(crate) permit: PermitId,
    pub(crate) record: PermitRecord,
    pub(crate) datasets: Vec<DatasetRef>,
    /// The fewest holders that an answer is worth having of.
    pub(crate) fewest: usize,
}

/// A holder that can be asked.
pub(crate) struct Asked {
    pub(super) holder: HolderId,
    pub(super) dataset: DatasetRef,
    pub(super) place: Place,
    pub(super) profile: Profile,
    pub(super) account: Account,
    pub(super) question: Question,
}

/// Why a holder is not in an answer, in its own words too.
#[derive(Debug, Serialize)]
pub(crate) struct MissingShown {
    pub(crate) holder: HolderId,
    pub(super) reason: MissingReason,
    pub(super) said: String,
}

/// What one holder's part cost.
#[derive(Debug, Serialize)]
pub(crate) struct PartShown {
    pub(super) holder: HolderId,
    pub(super) epsilon_spent: f64,
    pub(super) epsilon_left: f64,
    /// Whether it gave this before, and gives it again for nothing.
    pub(super) repeated: bool,
    pub(super) receipt: ReceiptPlace,
}

/// How the holders' numbers came together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Mode {
    /// Each added its own noise, for itself.
    Independent,
    /// They added noise together, and nobody saw any one's numbers.
    Joint,
}

/// An answer over several holders.
#[derive(Debug, Serialize)]
pub(crate) struct SeveralShown {
    pub(crate) rows: Vec<RowShown>,
    pub(crate) mode: Mode,
    /// What the answer cost one of the persons, devices or hospitals that it is about, at most.
    pub(crate) epsilon_spent: f64,
    /// The least that is left at any of the holders.
    pub(crate) epsilon_left: f64,
    delta: f64,
    noise: Vec<Vec<salus_dp::Noise>>,
    interval: salus_dp::IntervalMethod,
    bias: salus_dp::Bias,
    pub(crate) repeated: bool,
    permit: String,
    dataset: String,
    pub(crate) holders: Vec<PartShown>,
    pub(crate) missing: Vec<MissingShown>,
    pub(crate) receipts: Vec<PathBuf>,
}

/// The reason for which a holder is missing, by the class of its failure.
fn reason(failure: &Failure) -> MissingReason {
    match failure.class() {
        Class::Unavailable => MissingReason::Unreachable,
        Class::Refused => MissingReason::Refused,
        Class::BadRequest | Class::Peer | Class::Corrupt | Class::Bug => MissingReason::Failed,
    }
}

pub(super) fn missing(holder: HolderId, failure: &Failure) -> MissingShown {
    MissingShown { holder, reason: reason(failure), said: failure.to_string() }
}

pub(super) fn holder_of(dataset: &DatasetRef) -> Result<HolderId, Failure> {
    HolderId::new(dataset.holder.as_str()).map_err(|e| Failure::request(e.to_string()))
}

/// No holder is left to ask: says of each why.
fn nobody(missing: &[MissingShown], wanted: usize, answered: usize) -> Failure {
    let each: Vec<String> =
        missing.iter().map(|m| format!("{}: {}", m.holder, m.said.trim_end_matches('.'))).collect();
    let said = format!(
        "{answered} holders answered, and {wanted} are the fewest that were asked for; {}",
        each.join("; ")
    );
    let refused = missing.iter().all(|m| m.reason == MissingReason::Refused);
    if refused && !missing.is_empty() { Failure::refused(said) } else { Failure::unavailable(said) }
}

impl Several<'_> {
    async fn one(&self, dataset: &DatasetRef, wanted: &Wanted) -> Result<Asked, Failure> {
        let holder = holder_of(dataset)?;
        let place = place(self.folder, &holder)?;
        let (published, account) = tokio::join!(
            get::<Published>(&place, self.ledger, "/v1/questions/profiles"),
            account_of(self.ledger, dataset)
        );
        let (published, account) = (published?, account?);
        let profile = published.profiles.get(&dataset.dataset).cloned().ok_or_else(|| {
            Failure::request(format!("{holder} takes no questions about {}", dataset.dataset))
        })?;
        let question = wanted.fitted(&profile, delta_of(&account)?)?;
        Ok(Asked { holder, dataset: dataset.clone(), place, profile, account, question })
    }

    /// Who can be asked, and who cannot and why. Nothing is asked yet, and nothing charged.
    pub(super) async fn asked(
        &self,
        wanted: &Wanted,
    ) -> Result<(Vec<Asked>, Vec<MissingShown>), Failure> {
        let found = self.datasets.iter().map(|dataset| self.one(dataset, wanted));
        let found = futures::future::join_all(found).await;
        let (mut asked, mut absent): (Vec<Asked>, _) = (Vec::new(), Vec::new());
        for (dataset, found) in self.datasets.iter().zip(found) {
            match found {
                Ok(one) if asked.first().is_none_or(|first| same_measure(first, &one)) => {
                    asked.push(one);
                }
                Ok(one) => absent.push(MissingShown {
                    holder: one.holder,
                    reason: MissingReason::OtherQuestion,
                    said: "its privacy profile has other bounds or domains for these columns"
                        .to_owned(),
                }),
                Err(failure) => absent.push(missing(holder_of(dataset)?, &failure)),
            }
        }
        if asked.len() < self.fewest.max(1) {
            return Err(nobody(&absent, self.fewest.max(1), asked.len()));
        }
        Ok((asked, absent))
    }

    pub(super) fn ready(&self, asked: &Asked, text: String) -> Ready<'_> {
        Ready {
            site: self.site,
            ledger: self.ledger,
            permit: self.permit.clone(),
            record: self.record.clone(),
            dataset: asked.dataset.clone(),
            text,
            place: asked.place.clone(),
        }
    }

    /// What one holder's part cost, and where its receipt is.
    pub(super) async fn part(
        &self,
        asked: &Asked,
        fetched: &Fetched,
    ) -> Result<PartShown, Failure> {
        let left = left(self.ledger, &self.permit, &asked.dataset).await?;
        let spent = fetched.answered.charges.values().map(|charge| match charge {
            salus_model::PrivacyCharge::Bounded(rho) => *rho,
            salus_model::PrivacyCharge::NotBounded => MicroRho::new(u64::MAX),
        });
        let spent = spent.max().unwrap_or(MicroRho::ZERO);
        Ok(PartShown {
            holder: asked.holder.clone(),
            epsilon_spent: as_epsilon(spent, &asked.account)?,
            epsilon_left: as_epsilon(left.left, &left.account)?,
            repeated: fetched.answered.charges.is_empty(),
            receipt: keep(self.site, self.ledger, (&fetched.verified, &fetched.receipt), None)?,
        })
    }

    pub(super) fn shown(
        &self,
        answer: Answer,
        mode: Mode,
        first: &Asked,
        holders: Vec<PartShown>,
        missing: Vec<MissingShown>,
    ) -> Result<SeveralShown, Failure> {
        let spent = holders.iter().map(|part| part.epsilon_spent);
        // Nobody's device stands in two hospitals; a patient may go to each of them.
        let epsilon_spent = match first.profile.schema.unit {
            PrivacyUnit::Patient if mode == Mode::Independent => spent.sum::<f64>(),
            _ => spent.fold(0.0, f64::max),
        };
        let names: Vec<&str> = holders.iter().map(|part| part.holder.as_str()).collect();
        Ok(SeveralShown {
            rows: rows_shown(answer.rows),
            mode,
            epsilon_spent,
            epsilon_left: holders.iter().map(|p| p.epsilon_left).fold(f64::INFINITY, f64::min),
            delta: delta_of(&first.account)?.probability(),
            noise: answer.noise,
            interval: answer.interval,
            bias: answer.bias,
            repeated: holders.iter().all(|part| part.repeated),
            permit: self.permit.to_string(),
            dataset: format!("{} of {}", first.dataset.dataset, names.join(", ")),
            receipts: holders.iter().map(|part| part.receipt.file.clone()).collect(),
            holders,
            missing,
        })
    }
}

/// Whether two holders' numbers may be added up: the same unit and bounds, and the same domains.
fn same_measure(one: &Asked, other: &Asked) -> bool {
    let (a, b) = (&one.profile.schema, &other.profile.schema);
    let Ok(plan) = one.question.plan(&one.profile) else { return false };
    let named = plan.columns();
    a.unit == b.unit
        && a.contribution == b.contribution
        && a.rows_per_unit == b.rows_per_unit
        && named.iter().all(|column| a.columns.get(column) == b.columns.get(column))
}

pub(super) fn text_of(question: &Question) -> Result<String, Failure> {
    serde_json::to_string(question).map_err(|e| Failure::request(e.to_string()))
}

/// Asks every holder, each for its own noisy numbers, and puts together what comes back.
pub(crate) async fn ask(several: &Several<'_>, wanted: &Wanted) -> Result<SeveralShown, Failure> {
    let (asked, mut absent) = several.asked(wanted).await?;
    let fetching = asked.iter().map(|one| async move {
        let ready = several.ready(one, text_of(&one.question)?);
        let fetched = fetch(&ready).await?;
        let answer: Answer = serde_json::from_slice(&fetched.opened)
            .map_err(|_| Failure::peer("its answer is in words of another version"))?;
        Ok::<_, Failure>((several.part(one, &fetched).await?, answer))
    });
    let fetched = futures::future::join_all(fetching).await;
    let (mut outcomes, mut parts) = (BTreeMap::new(), BTreeMap::new());
    for (one, fetched) in asked.iter().zip(fetched) {
        match fetched {
            Ok((part, answer)) => {
                outcomes.insert(one.holder.clone(), HolderOutcome::Answered(answer.released));
                parts.insert(one.holder.clone(), part);
            }
            Err(failure) => absent.push(missing(one.holder.clone(), &failure)),
        }
    }
    let first = asked.first().ok_or_else(|| Failure::corrupt("nobody was asked"))?;
    let plan = first.question.plan(&first.profile)?;
    if outcomes.len() < several.fewest.max(1) {
        return Err(nobody(&absent, several.fewest.max(1), outcomes.len()));
    }
    let CombinedAnswer { answer, holders, missing } = combine(&plan, outcomes, several.fewest)?;
    let left_out = |MissingHolder { holder, reason }| MissingShown {
        holder,
        reason,
        said: "its numbers do not fit the question".to_owned(),
    };
    absent.extend(missing.into_iter().map(left_out));
    let parts = holders.iter().filter_map(|holder| parts.remove(holder)).collect();
    several.shown(answer, Mode::Independent, first, parts, absent)
}

/// What a question over several holders costs, and its expected error.
#[derive(Serialize)]
struct ExplainedSeveral {
    mode: Mode,
    dataset: String,
    holders: Vec<HolderId>,
    missing: Vec<MissingShown>,
    epsilon: f64,
    epsilon_left: f64,
    delta: f64,
    /// Over one holder alone.
    expected_error: salus_dp::ExpectedError,
    /// How many times that is the error over all of them.
    error_factor: f64,
}

/// Tells cost and expected error; `joint` is the joint noise's factor over all, if it is joint.
pub(super) async fn explain(
    several: &Several<'_>,
    wanted: &Wanted,
    (mode, rows): (Mode, u64),
    factor: impl Fn(&Asked, usize) -> Result<f64, Failure>,
    output: &Output,
) -> Result<(), Failure> {
    let (asked, missing) = several.asked(wanted).await?;
    let first = asked.first().ok_or_else(|| Failure::corrupt("nobody can be asked"))?;
    let plan = first.question.plan(&first.profile)?;
    let mut least = f64::INFINITY;
    for one in &asked {
        let left = left(several.ledger, &several.permit, &one.dataset).await?;
        least = least.min(as_epsilon(left.left, &left.account)?);
    }
    let shown = ExplainedSeveral {
        mode,
        dataset: first.dataset.dataset.to_string(),
        holders: asked.iter().map(|one| one.holder.clone()).collect(),
        missing,
        epsilon: as_epsilon(plan.cost().rho, &first.account)?,
        epsilon_left: least,
        delta: delta_of(&first.account)?.probability(),
        expected_error: plan.expected_error(rows),
        error_factor: factor(first, several.datasets.len())?,
    };
    output.print(&shown, |s| {
        let names: Vec<&str> = s.holders.iter().map(HolderId::as_str).collect();
        format!(
            "Dataset  {} of {}\nCost     ε {:.4} at δ {:e} at each; one more answer may cost {:.4}\nError    {:.2} times that of one holder: {:?}{}\nNothing was asked, and nothing is charged.",
            s.dataset,
            names.join(", "),
            s.epsilon,
            s.delta,
            s.epsilon_left,
            s.error_factor,
            s.expected_error,
            absent(&s.missing)
        )
    });
    Ok(())
}

fn absent(missing: &[MissingShown]) -> String {
    let line = |m: &MissingShown| format!("\nMissing  {}: {}", m.holder, m.said);
    missing.iter().map(line).collect()
}

pub(crate) fn text(answer: &SeveralShown) -> String {
    let grid = grid(&answer.rows);
    let mode = match answer.mode {
        Mode::Independent => "each holder added its own noise",
        Mode::Joint => "joint: nobody saw any one holder's numbers",
    };
    let part = |p: &PartShown| {
        let spent =
            if p.repeated { "nothing".to_owned() } else { format!("ε {:.4}", p.epsilon_spent) };
        let (receipt, file) = (&p.receipt.says.receipt, p.receipt.file.display());
        format!("\nReceipt  {}: {spent}; {receipt}, verified\n         {file}", p.holder)
    };
    format!(
        "{grid}\n\nHolders  {} ({mode}){}\nSpent    ε {:.4} at δ {:e}; one more answer may cost ε {:.4}{}",
        answer.dataset,
        absent(&answer.missing),
        answer.epsilon_spent,
        answer.delta,
        answer.epsilon_left,
        answer.holders.iter().map(part).collect::<String>()
    )
}
