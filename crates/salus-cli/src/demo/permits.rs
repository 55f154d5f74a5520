//! The unattended tour's steps over hub, hospitals and ledger.

use std::path::Path;
use std::time::{Duration, Instant};

use salus_ledger::cbor;
use salus_ledger::genesis::{Genesis, MAX_GENESIS_BYTES};
use salus_ledger::proof::{TrustAnchor, verify_receipt};
use salus_model::PermitId;

use super::data::{self, PEOPLE, PLANTED, PLANTED_LITERAL};
use super::network::{HOSPITALS, Network};
use super::story::{Counted, terms};
use super::{Check, devices, holds};
use crate::commands::query::AnswerShown;
use crate::output::Failure;

/// Of how many people the opt-out is applied: their visits are many times the noise.
const OPTED_OUT: u32 = 400;

const fn all(epsilon: f64) -> Counted<'static> {
    Counted { by: None, of: None, epsilon }
}

fn estimate(answer: &AnswerShown) -> Result<(f64, f64), Failure> {
    let row = answer.rows.first().and_then(|r| r.estimate.zip(r.upper));
    let (value, upper) = row.ok_or_else(|| Failure::corrupt("the answer has no number"))?;
    Ok((value, upper - value))
}

/// An answer is right when it lies within four half widths of the truth, which one in 10^14 does
/// not.
fn near(answer: &AnswerShown, truth: f64) -> Result<String, Failure> {
    let (value, half) = estimate(answer)?;
    let said = format!("{value:.0} ± {half:.0}, exactly {truth:.0}");
    if (value - truth).abs() <= 4.0 * half { Ok(said) } else { Err(Failure::corrupt(said)) }
}

/// The answer has to be a refusal whose words name all of `wanted`.
fn refusal<T>(asked: Result<T, Failure>, wanted: &str) -> Result<((), String), Failure> {
    match asked {
        Ok(_) => Err(Failure::corrupt("it was answered and should have been refused")),
        Err(e) if e.to_string().contains(wanted) => Ok(((), e.to_string())),
        Err(e) => Err(Failure::corrupt(format!("the refusal does not name '{wanted}': {e}"))),
    }
}

fn genesis(path: &Path) -> Result<Genesis, Failure> {
    let bytes = std::fs::read(path)
        .map_err(|e| Failure::unavailable(format!("{}: {e}", path.display())))?;
    cbor::decode(&bytes, MAX_GENESIS_BYTES).map_err(|e| Failure::corrupt(e.to_string()))
}

pub(super) async fn steps(check: &mut Check<'_>, folder: &Path) -> Option<()> {
    let began = Instant::now();
    let (mut network, _) = check
        .step("start a ledger, a hub and three hospitals", async {
            let started = Network::start(folder).await?;
            Ok((started, "eleven processes, each with folder and keys of its own".to_owned()))
        })
        .await?;
    let Some(permit) = first_receipt(check, &network, began).await else {
        network.stop().await;
        return None;
    };
    let told = match refusals(check, &network, &permit).await {
        Some(()) => devices::steps(check, &network).await,
        None => None,
    };
    let told = match told {
        Some(()) => outages(check, &mut network, &permit).await,
        None => None,
    };
    network.stop().await;
    told?;
    check
        .step("find nothing personal with the validators", async {
            let mut looked = 0;
            for number in 1..=4 {
                looked += holds(
                    &folder.join(format!("ledger/val-{number:02}")),
                    &[PLANTED, PLANTED_LITERAL],
                )?;
            }
            looked += holds(&folder.join("logs"), &[PLANTED, PLANTED_LITERAL])?;
            Ok(((), format!("{looked} bytes looked through")))
        })
        .await
}

async fn first_receipt(
    check: &mut Check<'_>,
    network: &Network,
    began: Instant,
) -> Option<PermitId> {
    let permit = check
        .step("apply for a permit over three hospitals", async {
            let permit = network.apply(terms(&HOSPITALS, 3.0, 24 * 60 * 60)?).await?;
            Ok((permit.clone(), permit.to_string()))
        })
        .await?;
    check
        .step("refuse a question before it is granted", async {
            refusal(network.ask(&permit, "st-mary", all(0.5)).await, "not granted")
        })
        .await?;
    check
        .step("grant it, as the hub's officer", async {
            network.grant(&permit).await?;
            Ok(((), String::new()))
        })
        .await?;
    let answer = check
        .step("count visits under it, with noise and receipt", async {
            let answer = network.ask(&permit, "st-mary", all(0.5)).await?;
            let said = near(&answer, data::visits_without(0, 0))?;
            let after = began.elapsed().as_secs_f64();
            Ok((answer, format!("{said}; {after:.1} s from nothing to the first receipt")))
        })
        .await?;
    check
        .step("verify the receipt with the genesis alone", async {
            let anchor = TrustAnchor::from_genesis(&genesis(&network.ground.genesis())?)?;
            let path = &answer.receipt.file;
            let mut bytes = std::fs::read(path)
                .map_err(|e| Failure::unavailable(format!("{}: {e}", path.display())))?;
            let proved = verify_receipt(&bytes, &anchor)?;
            let columns: usize = proved.uses.iter().map(|used| used.columns.len()).sum();
            if proved.permit != permit {
                return Err(Failure::corrupt("it names another permit"));
            }
            // One bit in the middle, and nothing holds any more.
            let middle = bytes.len() / 2;
            if let Some(byte) = bytes.get_mut(middle) {
                *byte ^= 1;
            }
            match verify_receipt(&bytes, &anchor) {
                Ok(_) => Err(Failure::corrupt("an altered receipt verifies")),
                Err(_) => Ok((
                    (),
                    format!("{columns} column in block {}; altered, refused", proved.height),
                )),
            }
        })
        .await?;
    Some(permit)
}

async fn refusals(check: &mut Check<'_>, network: &Network, permit: &PermitId) -> Option<()> {
    check
        .step("repeat the same question for nothing", async {
            let answer = network.ask(permit, "st-mary", all(0.5)).await?;
            if !answer.repeated {
                return Err(Failure::corrupt("it was charged again"));
            }
            Ok(((), "the same answer".to_owned()))
        })
        .await?;
    check
        .step("refuse a column outside the permit", async {
            let outside = Counted { by: None, of: Some(("birth_year", "1950")), epsilon: 0.5 };
            refusal(
                network.ask(permit, "st-mary", outside).await,
                "does not cover column birth_year",
            )
        })
        .await?;
    check
        .step("ask about a word that no ward has", async {
            // A literal in a question that must turn up nowhere else.
            let of = Some(("ward", PLANTED_LITERAL));
            let asked =
                network.ask(permit, "st-mary", Counted { by: None, of, epsilon: 0.2 }).await;
            match asked {
                Ok(answer) => Ok(((), near(&answer, 0.0)?)),
                Err(e) if e.to_string().contains("ward") => Ok(((), e.to_string())),
                Err(e) => Err(e),
            }
        })
        .await?;
    check
        .step("refuse a permit that has expired", async {
            let short = network.apply(terms(&["st-mary"], 1.0, 2)?).await?;
            network.grant(&short).await?;
            tokio::time::sleep(Duration::from_millis(2_100)).await;
            refusal(network.ask(&short, "st-mary", all(0.1)).await, "expired")
        })
        .await?;
    check
        .step("refuse beyond the permit's budget", async {
            let small = network.permitted(&["st-mary"], 0.2).await?;
            refusal(network.ask(&small, "st-mary", all(0.4)).await, "budget")
        })
        .await?;
    check
        .step("count nobody who opted out", async {
            let people = (0..OPTED_OUT).map(|n| data::person(1, n)).collect();
            let epoch = network.opt_out("north-clinic", people).await?;
            let answer = network.ask(permit, "north-clinic", all(1.5)).await?;
            let said = near(&answer, data::visits_without(1, OPTED_OUT))?;
            let (value, half) = estimate(&answer)?;
            if value + 4.0 * half > data::visits_without(1, 0) {
                return Err(Failure::corrupt("the noise hides whether anybody was left out"));
            }
            Ok(((), format!("{said}; {OPTED_OUT} of {PEOPLE} opted out, epoch {epoch}")))
        })
        .await?;
    check
        .step("refuse after the officer revoked a permit", async {
            let brief = network.permitted(&["st-mary"], 1.0).await?;
            network.ask(&brief, "st-mary", all(0.3)).await?;
            network.revoke(&brief).await?;
            refusal(network.ask(&brief, "st-mary", all(0.2)).await, "revoked")
        })
        .await
}

async fn outages(check: &mut Check<'_>, network: &mut Network, permit: &PermitId) -> Option<()> {
    check
        .step("kill a validator, and go on", async {
            if let Some(victim) = network.validators.pop() {
                victim.kill()?;
            }
            let began = Instant::now();
            let answer = network.ask(permit, "lakeside", all(0.5)).await?;
            let said = near(&answer, data::visits_without(2, 0))?;
            Ok(((), format!("{said}, after {} ms", began.elapsed().as_millis())))
        })
        .await?;
    let before = check
        .step("kill all of them, and answer nothing", async {
            let tip = network.asking.client().last_block().await?;
            for validator in network.validators.drain(..) {
                validator.kill()?;
            }
            let asked = network.ask(permit, "lakeside", all(0.3)).await;
            let ((), said) = refusal(asked, "reached")?;
            Ok((tip.finality.header.height, said))
        })
        .await?;
    check
        .step("start them again, with all that was acknowledged", async {
            network.validators = network.ground.start_validators(1..=4).await?;
            let began = Instant::now();
            let answer = network.ask(permit, "lakeside", all(0.3)).await?;
            near(&answer, data::visits_without(2, 0))?;
            let took = began.elapsed().as_millis();
            let repeated = network.ask(permit, "st-mary", all(0.5)).await?;
            if !repeated.repeated {
                return Err(Failure::corrupt("what was paid for is forgotten"));
            }
            let tip = network.asking.client().last_block().await?;
            let now = tip.finality.header.height;
            if now <= before {
                return Err(Failure::corrupt(format!("block {now} after block {before}")));
            }
            Ok(((), format!("block {before} before, {now} now; answered after {took} ms")))
        })
        .await?;
    check
        .step("kill a hospital's node, and lose no answer", async {
            let place = HOSPITALS.iter().position(|h| *h == "st-mary").unwrap_or_default();
            network.hospitals.remove(place).kill()?;
            let node = network.ground.start_node("st-mary").await?;
            network.note_place("st-mary", &node)?;
            network.hospitals.insert(place, node);
            let repeated = network.ask(permit, "st-mary", all(0.5)).await?;
            if !repeated.repeated {
                return Err(Failure::corrupt("what was paid for is charged again"));
            }
            Ok(((), "the earlier answer came again for nothing".to_owned()))
        })
        .await
}
