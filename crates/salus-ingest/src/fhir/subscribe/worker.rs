//! What tells one subscriber.

use std::collections::BTreeSet;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use salus_fhir::subscription::{NotificationPayload, SubscriptionRequest};
use salus_fhir::{ResourceId, ResourceKey};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::task::JoinHandle;

use super::kept::{Kept, SubscriptionStatus};
use super::send::{Heard, SendError, Target};
use super::{Candidates, Shared, StandingError, SubscribeError};
use crate::fhir::pull::Pace;
use crate::fhir::repository::{ChangeMark, Changed};

/// Resources that are read for one subscriber at a time.
const BATCH: usize = 100;
/// A mark that moved without anything to tell is written down this often.
const WRITE_MARK: Duration = Duration::from_secs(60);
/// How often an end that has come is noticed at the latest.
const LOOK: Duration = Duration::from_secs(30);

/// Why a round of telling failed; the sentence is shown to the subscriber.
#[derive(Debug, thiserror::Error)]
enum RoundError {
    #[error("{0}")]
    Endpoint(String),
    #[error(transparent)]
    Send(#[from] SendError),
    #[error(transparent)]
    Standing(#[from] StandingError),
}

/// Starts to tell the subscriber of a subscription.
pub(super) fn start(shared: &Arc<Shared>, id: ResourceId) -> JoinHandle<()> {
    let (changes, shared) = (shared.repository.changes(), Arc::downgrade(shared));
    tokio::spawn(async move {
        let mut worker = Worker {
            shared,
            id,
            changes,
            pending: BTreeSet::new(),
            reached: None,
            failures: 0,
            told: false,
            written: Instant::now(),
        };
        if let Err(error) = worker.run().await {
            tracing::error!(subscription = %worker.id, %error, "its subscriber is told no more");
        }
    })
}

struct Worker {
    /// Weak, so that subscriptions end with their last owner.
    shared: Weak<Shared>,
    id: ResourceId,
    changes: Receiver<Arc<Changed>>,
    /// What changed and has not been looked at.
    pending: BTreeSet<ResourceKey>,
    /// Up to where changes have been seen once nothing is pending; none when that has to be
    /// found out from the mark.
    reached: Option<ChangeMark>,
    failures: u32,
    /// Whether something was told since the mark was written.
    told: bool,
    written: Instant,
}

enum Next {
    GoOn,
    Stop,
}

impl Worker {
    async fn run(&mut self) -> Result<(), SubscribeError> {
        loop {
            let Some(shared) = self.shared.upgrade() else { return Ok(()) };
            let Some(kept) = shared.kept.lock().get(&self.id).cloned() else { return Ok(()) };
            if kept.status == SubscriptionStatus::Off {
                return Ok(());
            }
            let Some(request) = kept.request(shared.clock.now()) else {
                // Its end has come; everything else was checked when it came.
                return self.turn_off(&shared).await;
            };
            let round = self.round(&shared, &kept, &request).await;
            if let Next::Stop = self.settle(&shared, &kept, round).await? {
                return Ok(());
            }
            drop(shared);
            if self.failures == 0 && !self.listen().await {
                return Ok(());
            }
        }
    }

    async fn turn_off(&self, shared: &Shared) -> Result<(), SubscribeError> {
        shared.change(&self.id, |kept| kept.status = SubscriptionStatus::Off).await
    }

    /// Tells everything that is pending.
    async fn round(
        &mut self,
        shared: &Shared,
        kept: &Kept,
        request: &SubscriptionRequest,
    ) -> Result<Heard, RoundError> {
        // The holder may have taken the origin off the list since.
        let url = shared.endpoint(&request.endpoint).map_err(RoundError::Endpoint)?;
        let target = Target::new(url, &request.headers, shared.pace.answer)?;
        if self.reached.is_none() {
            let since = shared.repository.changed_since(kept.mark).await;
            let (changed, mark) = since.map_err(|_| StandingError::Unavailable)?;
            self.pending.extend(changed);
            self.reached = Some(mark);
        }
        // Nobody is told before they have answered; nor again before they answer again.
        if kept.status != SubscriptionStatus::Active
            && target.ping(&shared.http).await? == Heard::Gone
        {
            return Ok(Heard::Gone);
        }
        while !self.pending.is_empty() {
            let batch: Vec<ResourceKey> = self.pending.iter().take(BATCH).cloned().collect();
            let keys = shared.repository.touched(&request.query, &batch);
            if !keys.is_empty()
                && self.tell(shared, kept, request, &target, keys).await? == Heard::Gone
            {
                return Ok(Heard::Gone);
            }
            for key in &batch {
                self.pending.remove(key);
            }
        }
        Ok(Heard::Yes)
    }

    async fn tell(
        &mut self,
        shared: &Shared,
        kept: &Kept,
        request: &SubscriptionRequest,
        target: &Target,
        keys: Vec<ResourceKey>,
    ) -> Result<Heard, RoundError> {
        let query = request.query.clone();
        let candidates = Candidates { subscription: self.id.clone(), query, keys };
        let found = shared.standing.matching(&kept.subscriber, candidates).await?;
        if found.is_empty() {
            return Ok(Heard::Yes);
        }
        self.told = true;
        if request.payload == NotificationPayload::Empty {
            return Ok(target.ping(&shared.http).await?);
        }
        for stored in found {
            if target.put(&shared.http, &stored).await? == Heard::Gone {
                return Ok(Heard::Gone);
            }
            // Not once more when a later one of the batch fails.
            self.pending.remove(&stored.key);
        }
        Ok(Heard::Yes)
    }

    /// Keeps what became of a round, and waits when it failed.
    async fn settle(
        &mut self,
        shared: &Shared,
        kept: &Kept,
        round: Result<Heard, RoundError>,
    ) -> Result<Next, SubscribeError> {
        match round {
            Ok(Heard::Gone) => {
                tracing::info!(subscription = %self.id, "its endpoint wants no more");
                self.turn_off(shared).await?;
                return Ok(Next::Stop);
            }
            Ok(Heard::Yes) => {
                self.failures = 0;
                let mark = self.reached.unwrap_or(kept.mark);
                let moved = mark != kept.mark;
                let due = self.told || self.written.elapsed() >= WRITE_MARK;
                if kept.status != SubscriptionStatus::Active || (moved && due) {
                    let active = |kept: &mut Kept| {
                        kept.status = SubscriptionStatus::Active;
                        kept.error = None;
                        kept.mark = mark;
                    };
                    shared.change(&self.id, active).await?;
                    (self.told, self.written) = (false, Instant::now());
                }
            }
            Err(error) => {
                self.failures = self.failures.saturating_add(1);
                let class = match &error {
                    RoundError::Endpoint(_) => "address",
                    RoundError::Send(_) => "endpoint",
                    RoundError::Standing(_) => "standing",
                };
                tracing::warn!(subscription = %self.id, class, "not told; tried again");
                if self.failures >= shared.pace.failures && kept.error.is_none() {
                    let said = error.to_string();
                    let failed = |kept: &mut Kept| {
                        kept.status = SubscriptionStatus::Error;
                        kept.error = Some(said);
                    };
                    shared.change(&self.id, failed).await?;
                }
                let pace =
                    Pace { first: shared.pace.first, most: shared.pace.most, ..Pace::CONSIDERATE };
                tokio::time::sleep(pace.wait(self.failures - 1, None)).await;
            }
        }
        Ok(Next::GoOn)
    }

    /// Waits for changes, takes all there are, or looks up after a while; false when there will
    /// be none any more.
    async fn listen(&mut self) -> bool {
        match tokio::time::timeout(LOOK, self.changes.recv()).await {
            Err(_) => return true,
            Ok(Ok(changed)) => self.take(&changed),
            Ok(Err(RecvError::Lagged(_))) => self.reached = None,
            Ok(Err(RecvError::Closed)) => return false,
        }
        loop {
            match self.changes.try_recv() {
                Ok(changed) => self.take(&changed),
                Err(TryRecvError::Empty) => return true,
                Err(TryRecvError::Lagged(_)) => self.reached = None,
                Err(TryRecvError::Closed) => return false,
            }
        }
    }

    fn take(&mut self, changed: &Changed) {
        self.pending.extend(changed.keys.iter().cloned());
        // Where some were missed, the mark tells what they were.
        if let Some(reached) = &mut self.reached {
            *reached = changed.mark;
        }
    }
}
