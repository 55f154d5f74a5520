//! Standing questions: charged with the first answer, counted with every later one.

use std::collections::BTreeSet;

use salus_model::{JobId, MicroRho, PrivacyCharge};

use super::accounts::{AccountRefusal, charged, check_release, record_receipt, release_now};
use super::records::StandingRecord;
use super::{Context, Stop};
use crate::call::{RecordTick, Release, Reserved, Tick};
use crate::state::{StateError, slot};
use crate::words::DatasetRef;

/// Records one answer: the first is charged, the later ones are counted.
pub(super) fn tick(call: &RecordTick, cx: &mut Context<'_, '_>) -> Result<(), Stop> {
    let release = &call.release;
    match &call.tick {
        Tick::First { ticks: 0 } => Err(AccountRefusal::NoTicks.into()),
        Tick::First { .. } if release.has_unbounded_use() => {
            Err(AccountRefusal::TickUnbounded.into())
        }
        Tick::First { ticks } => {
            let job = cx.tx.job().map_err(|e| StateError::Tree { reason: e.to_string() })?;
            release_now(release, cx)?;
            let (permit, charges) = (release.permit.clone(), charged(release));
            let record = StandingRecord { permit, charges, ticks: *ticks, done: 1 };
            Ok(cx.view.write(&slot::standing(&job), &record)?)
        }
        Tick::Next { job, number } => {
            check_release(release, cx)?;
            let mut record = standing(job, release, cx)?;
            let expected = record.done.saturating_add(1);
            if expected > record.ticks {
                let (job, ticks) = (job.clone(), record.ticks);
                return Err(AccountRefusal::TicksOver { job, ticks }.into());
            }
            if *number != expected {
                return Err(AccountRefusal::TickOrder { job: job.clone(), expected }.into());
            }
            record.done = expected;
            cx.view.write(&slot::standing(job), &record)?;
            record_receipt(release, cx)
        }
    }
}

/// The standing question that a later answer belongs to.
fn standing(job: &JobId, release: &Release, cx: &Context<'_, '_>) -> Result<StandingRecord, Stop> {
    let found = cx.view.read(&slot::standing(job))?;
    let datasets = |charges: &[Reserved]| -> BTreeSet<DatasetRef> {
        charges.iter().map(|amount| amount.dataset.clone()).collect()
    };
    let used = charged(release);
    let record = found
        .filter(|record| record.permit == release.permit)
        .filter(|record| datasets(&record.charges) == datasets(&used))
        .ok_or_else(|| AccountRefusal::NotStanding { job: job.clone() })?;
    let free = PrivacyCharge::Bounded(MicroRho::ZERO);
    match used.into_iter().find(|amount| amount.charge != free) {
        Some(amount) => Err(AccountRefusal::TickCharged { dataset: amount.dataset }.into()),
        None => Ok(record),
    }
}
