//! A question that several holders answer jointly: shares go to parties that do not collude, and
//! the sums that come back together are the noisy total.

use std::collections::BTreeSet;

use salus_api::joint::{Checked, RevealedBefore};
use salus_crypto::Digest;
use salus_crypto::hpke::RecipientPublicKey;
use salus_dp::joint::{JointPlan, JointRule, Share};
use salus_dp::{PrivacyUnit, Spend};
use salus_ledger::proof::Fact;
use salus_model::{HolderId, JobId, MicroRho};
use salus_node::HolderLedger;
use salus_node::joint::JointTrust;
use salus_private::Question;
use salus_private::joint::{Gathering, Invitation, JointQuestion, SealedShare};

use super::grounds::{account_of, delta_of};
use super::holder::{Place, place};
use super::query::{Wanted, fetch, post};
use super::several::{
    Asked, MissingShown, Mode, Several, SeveralShown, holder_of, missing, text_of,
};
use crate::output::Failure;

/// How a joint answer is wanted.
#[derive(Debug, Clone)]
pub(crate) struct Together {
    /// The parties, by name; all that the site trusts when none is named.
    pub(super) parties: Vec<HolderId>,
    /// How many holders may fail.
    pub(super) may_fail: Option<u32>,
    /// A public bound on the rows of all.
    pub(super) most_rows: u64,
}

/// A party that sums are asked of.
struct PartyAt {
    name: HolderId,
    place: Place,
    key: RecipientPublicKey,
}

impl Together {
    /// All parties that the site trusts, and one holder of three or more may fail.
    pub(crate) const fn usual() -> Self {
        Self { parties: Vec::new(), may_fail: None, most_rows: 1_000_000_000 }
    }

    fn parties(&self, several: &Several<'_>) -> Result<Vec<PartyAt>, Failure> {
        let trust = JointTrust::read(several.folder)?;
        let named: Vec<HolderId> = if self.parties.is_empty() {
            trust.parties.keys().cloned().collect()
        } else {
            self.parties.clone()
        };
        if named.iter().collect::<BTreeSet<_>>().len() < 2 {
            return Err(Failure::request(
                "a joint answer needs two parties or more that do not collude; note each with: \
                 salus joint trust-party NAME --key KEY and salus holder add NAME --url https://… --ca FILE",
            ));
        }
        named
            .into_iter()
            .map(|name| {
                let key = trust.parties.get(&name).cloned().ok_or_else(|| {
                    Failure::request(format!(
                        "the key of party {name} is not noted: salus joint trust-party {name} --key KEY"
                    ))
                })?;
                Ok(PartyAt { place: place(several.folder, &name)?, name, key })
            })
            .collect()
    }

    fn may_fail(&self, holders: usize) -> u32 {
        // One of three or more: the error is then at most 1.22 times that of one central dataset.
        self.may_fail.unwrap_or(u32::from(holders >= 3))
    }

    fn unit_holders(asked: &Asked, holders: usize) -> u32 {
        match asked.profile.schema.unit {
            PrivacyUnit::Patient => u32::try_from(holders).unwrap_or(u32::MAX),
            PrivacyUnit::Device | PrivacyUnit::Hospital => 1,
        }
    }

    /// How many times the error of one holder's own answer the joint one has.
    pub(super) fn factor(&self, asked: &Asked, holders: usize) -> Result<f64, Failure> {
        let count = u32::try_from(holders).unwrap_or(u32::MAX);
        let unit_holders = Self::unit_holders(asked, holders);
        let rule = JointRule::new(count, self.may_fail(holders), unit_holders, self.most_rows)?;
        let plan = JointPlan::new(asked.question.plan(&asked.profile)?, rule)?;
        Ok(plan.error_factor() * f64::from(unit_holders))
    }
}

/// The question as all holders get it, priced in the unit of the accounts. It depends on what the
/// ledger says of all of them and not on who can be reached: so it is the same when it is asked again.
async fn common(
    several: &Several<'_>,
    first: &Asked,
    wanted: &Wanted,
) -> Result<Question, Failure> {
    let mut least: Option<MicroRho> = None;
    for dataset in &several.datasets {
        let delta = delta_of(&account_of(several.ledger, dataset).await?)?;
        let cost = wanted.fitted(&first.profile, delta)?.plan(&first.profile)?.cost().rho;
        least = Some(least.map_or(cost, |least| least.min(cost)));
    }
    Ok(Question { spend: Spend::Rho(least.unwrap_or(MicroRho::ZERO)), ..first.question.clone() })
}

/// Tells a round by what is asked: the same question over the same versions and opt-out epochs is
/// the same round, which nobody pays twice.
async fn round(several: &Several<'_>, text: &str) -> Result<JobId, Failure> {
    let mut facts = Vec::new();
    for dataset in &several.datasets {
        facts.extend([Fact::Dataset(dataset.clone()), Fact::OptOuts(dataset.holder.clone())]);
    }
    let state = several.ledger.state(&facts).await?;
    let mut seen = Vec::new();
    for dataset in &several.datasets {
        let version = state.dataset(dataset)?.map_or(0, |d| d.version.number());
        let epoch = state.opt_outs(&dataset.holder)?.map_or(0, |list| list.epoch);
        seen.extend_from_slice(dataset.holder.as_str().as_bytes());
        seen.extend_from_slice(&version.to_be_bytes());
        seen.extend_from_slice(&epoch.to_be_bytes());
    }
    let permit = several.permit.as_str().as_bytes();
    let digest = Digest::of_parts("salus joint round v1", &[permit, text.as_bytes(), &seen]);
    let name: String = digest.to_string().chars().take(40).collect();
    JobId::new(format!("r-{name}")).map_err(|e| Failure::corrupt(e.to_string()))
}

/// Asks every holder for shares, every party for its sum, and adds the sums up.
pub(crate) async fn ask(
    several: &Several<'_>,
    wanted: &Wanted,
    together: &Together,
) -> Result<SeveralShown, Failure> {
    let parties = together.parties(several)?;
    let (asked, mut absent) = several.asked(wanted).await?;
    let first = asked.first().ok_or_else(|| Failure::corrupt("nobody is asked"))?;
    let question = common(several, first, wanted).await?;
    let text = text_of(&question)?;
    // Whoever cannot be reached now is invited too: it may be back when this is asked again, and
    // the others' shares have to be for the same invitation then.
    let count = several.datasets.len();
    let invitation = Invitation {
        round: round(several, &text).await?,
        question: Question::digest(&text),
        holders: several.datasets.iter().map(holder_of).collect::<Result<_, _>>()?,
        dishonest: together.may_fail(count),
        unit_holders: Together::unit_holders(first, count),
        most_rows: together.most_rows,
        parties: parties.iter().map(|party| party.key.clone()).collect(),
    };
    let before = revealed(several.ledger, &parties, &invitation).await?;
    let asking = JointQuestion { joint: invitation.clone(), question: text };
    let asking = serde_json::to_string(&asking).map_err(|e| Failure::request(e.to_string()))?;
    // Where a sum is known already, those that are not in it would pay for nothing.
    let asking = &asking;
    let of = |one: &&Asked| before.as_ref().is_none_or(|there| there.contains(&one.holder));
    let fetching = asked.iter().filter(of).map(|one| async move {
        let ready = several.ready(one, asking.clone());
        let fetched = async {
            let fetched = fetch(&ready).await?;
            let shares: Vec<SealedShare> = serde_json::from_slice(&fetched.opened)
                .map_err(|_| Failure::peer("its shares are in words of another version"))?;
            Ok::<_, Failure>((several.part(one, &fetched).await?, shares))
        };
        (one.holder.clone(), fetched.await)
    });
    let mut gathering = Gathering::new(invitation);
    let mut parts = Vec::new();
    for (holder, fetched) in futures::future::join_all(fetching).await {
        match fetched {
            Ok((part, shares)) => match gathering.give(&holder, shares) {
                Ok(()) => parts.push(part),
                Err(refused) => absent.push(missing(holder, &refused.into())),
            },
            Err(failure) => {
                gathering.fail(&holder);
                absent.push(missing(holder, &failure));
            }
        }
    }
    let left_out = asked.iter().filter(|one| !of(one));
    absent.extend(left_out.map(|one| MissingShown {
        holder: one.holder.clone(),
        reason: salus_private::several::MissingReason::Unreachable,
        said: "it was away when this was answered first; the same answer comes again".to_owned(),
    }));
    absent.iter().for_each(|one| gathering.fail(&one.holder));
    let sums = sums(several.ledger, (&parties, &mut gathering, &mut absent)).await?;
    let answer = gathering.total(question.plan(&first.profile)?, &sums)?.answer();
    let given: BTreeSet<HolderId> = gathering.given().cloned().collect();
    parts.retain(|part| given.contains(&part.holder));
    several.shown(answer, Mode::Joint, first, parts, absent)
}

/// Whose shares are in the sum that parties revealed for this invitation before, if any did.
async fn revealed(
    ledger: &HolderLedger,
    parties: &[PartyAt],
    invitation: &Invitation,
) -> Result<Option<BTreeSet<HolderId>>, Failure> {
    let asking = parties.iter().map(|party| {
        post::<RevealedBefore>(&party.place, ledger, "/v1/joint/revealed", invitation)
    });
    let mut before = None;
    for (party, told) in parties.iter().zip(futures::future::join_all(asking).await) {
        let told = told.map_err(|e| e.of(&format!("party {}", party.name)))?;
        before = before.or(told.holders);
    }
    Ok(before)
}

/// The parties' sums, once each of them has said that every share is well.
async fn sums(
    ledger: &HolderLedger,
    (parties, gathering, absent): (&[PartyAt], &mut Gathering, &mut Vec<MissingShown>),
) -> Result<Vec<Share>, Failure> {
    'checking: loop {
        for (party, number) in parties.iter().zip(0u8..) {
            let wanted =
                gathering.wanted(number).map_err(|refused| too_few(refused.into(), absent))?;
            let checked: Checked = post(&party.place, ledger, "/v1/joint/check", &wanted)
                .await
                .map_err(|e| e.of(&format!("party {}", party.name)))?;
            if let Some(holder) = checked.not_its_own {
                gathering.fail(&holder);
                let said = format!("party {} does not believe its share", party.name);
                absent.push(missing(holder, &Failure::peer(said)));
                continue 'checking;
            }
        }
        break;
    }
    let asking = parties.iter().zip(0u8..).map(|(party, number)| {
        let wanted = gathering.wanted(number);
        async move {
            let wanted = wanted.map_err(Failure::from)?;
            let sum = post::<Share>(&party.place, ledger, "/v1/joint/sums", &wanted).await;
            sum.map_err(|e| e.of(&format!("party {}", party.name)))
        }
    });
    futures::future::join_all(asking).await.into_iter().collect()
}

/// Why there is no joint answer, holder by holder, and what asking again costs.
fn too_few(failure: Failure, absent: &[MissingShown]) -> Failure {
    let each: Vec<String> =
        absent.iter().map(|m| format!("{}: {}", m.holder, m.said.trim_end_matches('.'))).collect();
    let said = format!(
        "{failure}; {}; nothing was revealed, and asking again costs nothing where it was charged",
        each.join("; ")
    );
    if absent.iter().all(|m| m.reason == salus_private::several::MissingReason::Refused) {
        Failure::refused(said)
    } else {
        Failure::unavailable(said)
    }
}
