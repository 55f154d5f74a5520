//! Joint against independent answers: error and time, beside one central dataset.

use std::time::{Duration, Instant};

use anyhow::Result;
use salus_crypto::OsEntropy;
use salus_dp::joint::{JointPlan, JointRule, Share};
use salus_dp::{Mechanism, Noised, Plan, Query, Spend, UnitKey, plan};
use salus_model::MicroRho;

use super::{ms, schema};
use crate::measure::median;
use crate::report::Report;

const RHO: MicroRho = MicroRho::new(5_000);
/// Devices of each hospital; the error does not depend on it.
const DEVICES: u32 = 1_000;

fn count() -> Result<Plan> {
    Ok(plan(&Query::Count, &schema()?, Spend::Rho(RHO), Mechanism::Gaussian)?)
}

fn fill(partial: &mut salus_dp::Partial) -> Result<()> {
    for device in 0..DEVICES {
        partial.observe(UnitKey::new(device.into()), &[])?;
    }
    Ok(())
}

fn central(hospitals: u32) -> Result<i128> {
    let plan = count()?;
    let mut partial = plan.partial();
    (0..hospitals).try_for_each(|_| fill(&mut partial))?;
    Ok(plan.execute(partial)?.numbers()[0])
}

fn independent(hospitals: u32) -> Result<i128> {
    let answers: Result<Vec<Noised>> = (0..hospitals)
        .map(|_| {
            let plan = count()?;
            let mut partial = plan.partial();
            fill(&mut partial)?;
            Ok(plan.execute(partial)?)
        })
        .collect();
    Ok(Noised::combine(answers?)?.numbers()[0])
}

fn joint(hospitals: u32) -> Result<i128> {
    // One may fail.
    let rule = JointRule::new(hospitals, 1, 1, 1_000_000)?;
    let mut parties: Vec<Vec<Share>> = vec![Vec::new(); 2];
    for _ in 0..hospitals {
        let mine = JointPlan::new(count()?, rule)?;
        let mut partial = mine.partial();
        fill(&mut partial)?;
        for share in mine.contribute(partial, 2, &mut OsEntropy)? {
            parties[usize::from(share.party())].push(share);
        }
    }
    let sums: Result<Vec<Share>, _> = parties.into_iter().map(Share::sum).collect();
    Ok(JointPlan::new(count()?, rule)?.open(&sums?)?.numbers()[0])
}

#[allow(clippy::cast_precision_loss, reason = "counts of thousands")]
pub(super) fn measure(runs: usize, out: &mut Report) -> Result<()> {
    let sigma = (1.0 / (2.0 * 0.005f64)).sqrt();
    let mut rows = Vec::new();
    for hospitals in [3u32, 10] {
        let exact = i128::from(hospitals * DEVICES);
        type Mode = fn(u32) -> Result<i128>;
        let modes: [(&str, Mode); 3] =
            [("central", central), ("joint, one may fail", joint), ("independent", independent)];
        for (mode, once) in modes {
            let (mut squares, mut took) = (0.0, Vec::<Duration>::new());
            for _ in 0..runs {
                let began = Instant::now();
                let found = once(hospitals)?;
                took.push(began.elapsed());
                squares += ((found - exact) as f64).powi(2);
            }
            let error = (squares / runs as f64).sqrt();
            rows.push(vec![
                format!("{hospitals} hospitals, {mode}"),
                format!("{error:.2}"),
                format!("{:.3}", error / sigma),
                ms(median(&took)),
            ]);
        }
    }
    out.say(&format!(
        "A count at ρ = 0.005 over {DEVICES} devices at each hospital, {runs} runs: root mean squared \
         error, beside that of one central dataset in closed form ({sigma:.2}), and the time of all \
         parts one after the other, without network and ledger. The goal for joint is 1.3."
    ));
    out.table(&["mode", "error", "times central", "ms"], &rows);
    Ok(())
}
