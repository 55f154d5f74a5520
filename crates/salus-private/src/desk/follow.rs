//! Answers of standing questions: charged once, counted by the ledger, remembered between.

use std::collections::BTreeMap;

use salus_crypto::{Digest, OsEntropy};
use salus_ledger::Opaque;
use salus_ledger::call::Tick as Step;
use salus_model::DatasetVersion;
use salus_spine::{Held, KeptState, PermitChecked, Secondary, seal_result};

use super::{Admitted, Desk, DeskError, LedgerRefused, Reply, input};
use crate::question::Prepared;
use crate::standing::{Following, Pending, Record, Tick, name};

impl Desk {
    /// The next answer of a standing question, or the last one again where nothing has changed.
    ///
    /// What was computed lies on the disk before the ledger hears of it, together with what is to
    /// be remembered then. So a crash at any point leads to one of two states: the ledger has the
    /// answer, and it is handed out when asked for; or it never will, and its noise is forgotten.
    pub(super) async fn follow(
        &self,
        permit: PermitChecked<Secondary>,
        prepared: Prepared,
        admitted: Admitted,
        (following, (request, question)): (Following, (Digest, Digest)),
    ) -> Result<Reply, DeskError> {
        let name = name(&admitted.permit, &question);
        let turn = self.turn(&name);
        let _mine = turn.lock().await;
        let mut record = self.settled(&name).await?;
        if let Some(last) = &record.last {
            if last.request == request {
                return Err(DeskError::Replayed);
            }
            if last.memory == admitted.memory {
                return Ok(Reply { charges: BTreeMap::new(), ..last.reply.clone() });
            }
        }
        let memory = admitted.memory;
        let (held, state, read) =
            self.count(permit, (prepared, admitted), following, (name, &record)).await?;
        let step = match &record.job {
            None => Step::First { ticks: following.terms.ticks },
            Some(job) => Step::Next { job: job.clone(), number: record.done.saturating_add(1) },
        };
        let wanted = held.receipt_wanted(&read, None)?;
        let signed = self.parts.ledger.sign_tick(step, wanted).await?;
        let kept = Opaque::new(held.keep(&self.parts.keeping, &mut OsEntropy)?);
        let state = Opaque::new(state.into_bytes());
        let pending = Pending { memory, request, state, held: kept, signed: signed.clone() };
        record.pending = Some(pending);
        // On the disk first: from the next line on the ledger may have it.
        self.write(&name, &record).await?;
        match self.parts.ledger.record(&signed).await {
            Ok(receipt) => {
                let reply = self.cleared(held, receipt, memory)?;
                self.write(&name, &record.advanced(reply.clone())).await?;
                Ok(reply)
            }
            Err(refused @ LedgerRefused::Rule { .. }) => {
                record.pending = None;
                self.write(&name, &record).await?;
                Err(refused.into())
            }
            Err(unavailable) => Err(unavailable.into()),
        }
    }

    async fn count(
        &self,
        permit: PermitChecked<Secondary>,
        (prepared, admitted): (Prepared, Admitted),
        following: Following,
        (name, record): (Digest, &Record),
    ) -> Result<
        (Held<salus_spine::SealedResult, Secondary>, KeptState, salus_spine::InputRead),
        DeskError,
    > {
        let key_release = self.key_release(permit, &admitted)?;
        let versions = admitted.versions;
        let session = self.parts.lake.open_at(key_release, &versions).await?;
        let read = input(&session.versions())?;
        let before = record.state.clone().map(|s| KeptState::from_bytes(s.as_bytes().to_vec()));
        let tick = Tick {
            before,
            holder: self.parts.lake.holder(),
            name,
            key: &self.parts.keeping,
            version: counted(&versions),
            at: self.parts.clock.now(),
        };
        let (computed, state) =
            prepared.tick(following, session, self.parts.partitions, tick).await?;
        Ok((seal_result(computed, &mut OsEntropy)?, state, read))
    }

    /// How far the question has come, after an answer that a crash or the ledger left in between.
    async fn settled(&self, name: &Digest) -> Result<Record, DeskError> {
        let holder = self.parts.lake.holder();
        let found = self.parts.standing.get(name).await.map_err(DeskError::Outbox)?;
        let mut record = match found {
            Some(bytes) => Record::open(&bytes, holder, name, &self.parts.keeping)?,
            None => Record::default(),
        };
        let Some(pending) = &record.pending else { return Ok(record) };
        let held = Held::resume(pending.held.as_bytes(), holder, &self.parts.keeping)?;
        match self.parts.ledger.resume(&pending.signed).await {
            Ok(Some(receipt)) => {
                let reply = self.cleared(held, receipt, pending.memory)?;
                record = record.advanced(reply);
            }
            // Never on the ledger, so nobody saw it: the next count begins where this one did.
            Ok(None) | Err(LedgerRefused::Rule { .. }) => record.pending = None,
            Err(unavailable) => return Err(unavailable.into()),
        }
        self.write(name, &record).await?;
        Ok(record)
    }

    async fn write(&self, name: &Digest, record: &Record) -> Result<(), DeskError> {
        let sealed = record.seal(self.parts.lake.holder(), name, &self.parts.keeping)?;
        self.parts.standing.put(name, &sealed).await.map_err(DeskError::Outbox)
    }
}

/// The version that is counted; there is one dataset.
fn counted(versions: &BTreeMap<salus_model::DatasetId, DatasetVersion>) -> DatasetVersion {
    versions.values().copied().max().unwrap_or(DatasetVersion::FIRST)
}
