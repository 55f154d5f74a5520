use std::io::Cursor;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use reqwest::Url;
use salus_crypto::OsEntropy;
use salus_model::{Clock, DatasetId, DatasetVersion, Entropy as _};
use salus_store::{EncryptionSettings, Lake, LakeError};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::config::{PullSource, Way};
use super::download::{ChannelReader, Download, Progress};
use super::error::PullError;
use super::export::{ExportLevel, ExportRequest, Waited};
use super::hook::Nudge;
use super::manifest::{FileKind, Manifest};
use super::origin::BaseUrl;
use super::report::{PullProgress, PullReport, Sum};
use super::seen::SeenIndex;
use super::sift::{Expected, Order, Sift};
use super::state::{Phase, PullFolder, State};
use super::wire::{Token, Wire, client};
use crate::fhir::{FHIR_DATASET, FhirFormat, FhirImporter, FhirReport, FhirSource};

/// How many files one piece of a pull may have.
const FILES_A_PIECE: usize = 64;
/// How often an export that expired or changed is begun anew.
const RESTARTS: u32 = 2;
/// How often it is looked whether the server still tells us of changes.
const SUBSCRIBED: Duration = Duration::from_secs(3600);
/// The least time between two pulls, however often the server knocks.
const BREATH: Duration = Duration::from_millis(500);
/// Bytes of pages that are taken in together.
const PAGES_BYTES: usize = 32 << 20;

/// Where pulled records go.
#[derive(Clone)]
pub struct PullInto {
    /// The lake.
    pub lake: Arc<Lake>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// How new datasets are encrypted.
    pub encryption: EncryptionSettings,
    /// Where it is kept how far pulls have come.
    pub folder: PullFolder,
}

/// Pulls from one server into one lake.
pub struct Puller {
    source: PullSource,
    into: PullInto,
    wire: Wire,
    index: Arc<SeenIndex>,
    importer: FhirImporter,
    nudge: Nudge,
    /// Where the server tells us of changes, when it is asked to.
    endpoint: Option<BaseUrl>,
}

type Heard<'p> = &'p mut (dyn FnMut(PullProgress) + Send);

impl Puller {
    /// Opens what is kept of earlier pulls; no other process can pull until this one ends.
    ///
    /// # Errors
    /// When another process pulls, or the folder does not open.
    pub async fn open(source: PullSource, into: PullInto) -> Result<Self, PullError> {
        let index = Arc::new(into.folder.index().await?);
        Self::with(source, into, index)
    }

    /// As [`Puller::open`] for several servers, which share what is kept.
    ///
    /// # Errors
    /// When another process pulls, or the folder does not open.
    pub async fn open_all(
        sources: Vec<PullSource>,
        into: &PullInto,
    ) -> Result<Vec<Self>, PullError> {
        let index = Arc::new(into.folder.index().await?);
        let one = |source| Self::with(source, into.clone(), Arc::clone(&index));
        sources.into_iter().map(one).collect()
    }

    fn with(
        mut source: PullSource,
        into: PullInto,
        index: Arc<SeenIndex>,
    ) -> Result<Self, PullError> {
        let http = client(&source.authorities)?;
        let credentials = std::mem::replace(&mut source.credentials, super::Credentials::None);
        let wire = Wire::new(
            http,
            source.base.clone(),
            source.trusted.clone(),
            credentials,
            source.pace,
            Arc::clone(&into.clock),
        );
        let clock = Arc::clone(&into.clock);
        let importer = FhirImporter::new(Arc::clone(&into.lake), clock, into.encryption);
        let (nudge, endpoint) = (Nudge::default(), None);
        Ok(Self { source, into, wire, index, importer, nudge, endpoint })
    }

    /// The same, told of changes at `endpoint` while it follows; whoever is knocked at there
    /// uses [`Puller::nudge`].
    #[must_use]
    pub fn told_at(self, endpoint: BaseUrl) -> Self {
        Self { endpoint: Some(endpoint), ..self }
    }

    /// What makes it begin its next pull now.
    #[must_use]
    pub fn nudge(&self) -> Nudge {
        self.nudge.clone()
    }

    pub(super) const fn wire(&self) -> &Wire {
        &self.wire
    }

    pub(super) const fn folder(&self) -> &PullFolder {
        &self.into.folder
    }

    /// The source.
    #[must_use]
    pub const fn source(&self) -> &PullSource {
        &self.source
    }

    /// Brings everything that is new since the last pull, going on where one was cut off.
    ///
    /// # Errors
    /// When the server refuses, or stays out of reach; what came before that is kept.
    pub async fn pull(
        &self,
        mut progress: impl FnMut(PullProgress) + Send,
    ) -> Result<PullReport, PullError> {
        self.match_lake().await?;
        let mut state = self.state().await?;
        let mut sum = Sum::default();
        let mut restarts = 0;
        loop {
            match self.attempt(&mut state, &mut sum, &mut progress).await {
                Ok(through) => return Ok(sum.report(self.source.name.clone(), through)),
                Err(PullError::Expired { .. } | PullError::Changed) if restarts < RESTARTS => {
                    restarts += 1;
                    tracing::info!(source = %self.source.name, "the export is begun anew");
                    self.drop_job(&mut state).await?;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Asks the server to tell us, now and then: it may have forgotten. Without it, and when it
    /// refuses, polling brings all the same.
    async fn stay_subscribed(&self, looked: &mut Option<Instant>) {
        let Some(endpoint) = &self.endpoint else { return };
        if looked.is_some_and(|at| at.elapsed() < SUBSCRIBED) {
            return;
        }
        *looked = Some(Instant::now());
        match self.subscribe(endpoint).await {
            Ok(0) => {}
            Ok(made) => {
                tracing::info!(source = %self.source.name, made, "the server tells of changes");
            }
            Err(error) => {
                let source = &self.source.name;
                tracing::warn!(%source, "{error}; it is asked again later, and polled meanwhile");
            }
        }
    }

    /// Pulls again and again, waiting in between until the server tells of a change or the time
    /// has come, until something fails that does not pass.
    pub async fn follow(
        &self,
        mut progress: impl FnMut(PullProgress) + Send,
        mut done: impl FnMut(Result<PullReport, &PullError>) + Send,
    ) -> PullError {
        let (mut failures, mut looked) = (0, None);
        loop {
            self.stay_subscribed(&mut looked).await;
            match self.pull(&mut progress).await {
                Ok(report) => {
                    failures = 0;
                    done(Ok(report));
                    // Knocks that come close together are one; none makes us pull without pause.
                    tokio::time::sleep(BREATH.min(self.source.every)).await;
                    tokio::select! {
                        () = tokio::time::sleep(self.source.every.saturating_sub(BREATH)) => {}
                        () = self.nudge.come() => {}
                    }
                }
                Err(error) if error.is_passing() => {
                    done(Err(&error));
                    // At least as patiently as when all is well.
                    let wait = self.source.pace.wait(failures, None).max(self.source.every);
                    failures += 1;
                    tokio::time::sleep(wait).await;
                }
                Err(error) => return error,
            }
        }
    }

    /// Forgets everything when the lake is not the one that the index belongs to.
    async fn match_lake(&self) -> Result<(), PullError> {
        let Some(kept) = self.index.lake()? else { return Ok(()) };
        let (number, digest) = kept.split_first_chunk::<8>().ok_or(PullError::Damaged)?;
        let number = u64::from_be_bytes(*number);
        let version = DatasetVersion::new(number).ok_or(PullError::Damaged)?;
        let dataset = DatasetId::new(FHIR_DATASET)?;
        let same = match self.into.lake.snapshot(&dataset, Some(version)).await {
            Ok(snapshot) => snapshot.digest().as_bytes().as_slice() == digest,
            Err(LakeError::NoDataset { .. }) => false,
            // Old versions are removed in time; a lake that has not come so far is another one.
            Err(LakeError::NoVersion { newest, .. }) => newest > version,
            Err(error) => return Err(error.into()),
        };
        if !same {
            tracing::warn!("the lake is not the one that was pulled into; all is pulled anew");
            self.index.clear()?;
        }
        Ok(())
    }

    async fn state(&self) -> Result<State, PullError> {
        let new = State::new(self.index.epoch()?, self.source.request());
        match self.into.folder.read(&self.source.name).await? {
            Some(kept) if kept.epoch == new.epoch && kept.request == new.request => Ok(kept),
            Some(mut kept) => {
                self.drop_job(&mut kept).await?;
                Ok(new)
            }
            None => Ok(new),
        }
    }

    async fn keep(&self, state: &State) -> Result<(), PullError> {
        self.into.folder.write(&self.source.name, state).await
    }

    /// Forgets the job of the moment, and tells the server.
    async fn drop_job(&self, state: &mut State) -> Result<(), PullError> {
        if let Some(status) = state.status().and_then(|status| Url::parse(status).ok()) {
            self.wire.cancel(&status).await;
        }
        state.phase = Phase::Idle;
        self.keep(state).await
    }

    async fn attempt(
        &self,
        state: &mut State,
        sum: &mut Sum,
        heard: Heard<'_>,
    ) -> Result<String, PullError> {
        let until = Instant::now() + self.source.pace.patience;
        loop {
            match state.phase.clone() {
                Phase::Idle => self.begin(state, sum).await?,
                Phase::Waiting { run, status } => {
                    let url = Url::parse(&status).map_err(|_| PullError::Damaged)?;
                    let said = |said: &str| heard(PullProgress::Waiting { said: said.to_owned() });
                    match self.wire.wait_for(&url, until, said).await? {
                        Waited::Gone => return Err(PullError::Expired { what: "the export" }),
                        Waited::Done(manifest) => {
                            let progress = vec![Progress::none(); manifest.files.len()];
                            state.phase = Phase::Files { run, status, manifest, progress };
                            self.keep(state).await?;
                        }
                    }
                }
                Phase::Files { run, status, manifest, progress } => {
                    self.files(state, (&run, &manifest, progress), sum, heard).await?;
                    if let Ok(status) = Url::parse(&status) {
                        self.wire.cancel(&status).await;
                    }
                    return self.finish(state, manifest.transaction_time).await;
                }
                Phase::Pages { began, .. } => {
                    self.pages(state, sum, heard).await?;
                    return self.finish(state, began).await;
                }
            }
        }
    }

    async fn finish(&self, state: &mut State, through: String) -> Result<String, PullError> {
        state.phase = Phase::Idle;
        state.since = Some(through.clone());
        self.keep(state).await?;
        Ok(through)
    }

    fn since(&self, state: &State) -> Option<String> {
        state.since.clone().or_else(|| self.source.since.map(|since| since.to_string()))
    }

    /// Starts an export, or a search where there is none.
    async fn begin(&self, state: &mut State, sum: &mut Sum) -> Result<(), PullError> {
        let mut run = [0; 16];
        OsEntropy.fill(&mut run)?;
        let run = format!("{:032x}", u128::from_be_bytes(run));
        let since = self.since(state);
        let needs_export = self.source.way == Way::Bulk || self.source.level != ExportLevel::System;
        let offer = if needs_export { None } else { Some(self.wire.offer().await?) };
        let offer = offer.filter(|offer| self.source.way == Way::Search || !offer.bulk);
        state.phase = match offer {
            None => {
                let types = self.source.types.iter().copied().collect();
                let level = &self.source.level;
                let request = ExportRequest { level, types, since: since.as_deref() };
                let status = self.wire.kick_off(&request).await?.into();
                Phase::Waiting { run, status }
            }
            Some(offer) => {
                let wanted =
                    |name: &&str| self.source.types.is_empty() || self.source.types.contains(name);
                let types: Vec<String> =
                    offer.types.iter().filter(|n| wanted(n)).map(|n| (*n).to_owned()).collect();
                if types.is_empty() {
                    return Err(PullError::NoWay);
                }
                let history = offer.history && since.is_some();
                if !offer.history {
                    sum.remarks.push(
                        "the server offers neither $export nor a history of the whole system: \
                         what is deleted there stays here"
                            .to_owned(),
                    );
                }
                Phase::Pages { run, began: offer.at, history, types, next: None }
            }
        };
        self.keep(state).await
    }

    /// Imports sources, keeps what was taken in, and counts the items of each source.
    async fn import(
        &self,
        sources: Vec<FhirSource>,
        sift: Sift,
        so_far: u64,
        heard: Heard<'_>,
        (files, of): (u64, Option<u64>),
    ) -> Result<(FhirReport, Vec<u64>), PullError> {
        let imported = self.importer.run_through(sources, sift, |now| {
            let records = so_far + now.accepted + now.unchanged + now.deleted + now.quarantined;
            heard(PullProgress::Taking { files: files + now.sources, of, records });
        });
        let (report, sift) = imported.await?;
        let dataset = DatasetId::new(FHIR_DATASET)?;
        let snapshot = self.into.lake.snapshot(&dataset, None).await?;
        let version = snapshot.manifest().version.number().to_be_bytes();
        let lake = [version.as_slice(), snapshot.digest().as_bytes()].concat();
        let items = sift.keep(&lake)?;
        Ok((report, items))
    }
}

/// One file's part of a piece.
struct Feed {
    file: usize,
    send: mpsc::Sender<std::io::Result<Bytes>>,
    ended: Arc<AtomicBool>,
}

impl Puller {
    /// Downloads and takes in the files of an export, piece by piece.
    async fn files(
        &self,
        state: &mut State,
        (run, manifest, mut progress): (&str, &Manifest, Vec<Progress>),
        sum: &mut Sum,
        heard: Heard<'_>,
    ) -> Result<(), PullError> {
        let mut open: Option<(usize, Download<'_>)> = None;
        loop {
            let left: Vec<usize> = (0..manifest.files.len())
                .filter(|at| progress.get(*at).is_some_and(|p| !p.done))
                .take(FILES_A_PIECE)
                .collect();
            if left.is_empty() {
                return Ok(());
            }
            let (sources, feeds, expected) = self.piece(manifest, &progress, &left);
            let index = Arc::clone(&self.index);
            let name = self.source.name.as_str();
            let sift = Sift::new(index, name, run, Order::Unordered, expected);
            let done = progress.iter().filter(|p| p.done).count() as u64;
            let of = Some(manifest.files.len() as u64);
            let mut ends: Vec<(usize, Download<'_>)> = Vec::new();
            let feeding = self.feed(feeds, manifest, &progress, open.take(), &mut ends);
            let importing = self.import(sources, sift, sum.records(), heard, (done, of));
            let (fed, imported) = tokio::join!(feeding, importing);
            // Why the bytes ended says more than that they did.
            fed?;
            let (report, items) = imported?;
            sum.add(report);
            for (at, mut download) in ends {
                let place = left.iter().position(|file| *file == at);
                let items = place.and_then(|place| items.get(place)).copied().unwrap_or(0);
                if let Some(slot) = progress.get_mut(at) {
                    *slot = download.progress(items);
                    if !slot.done {
                        open = Some((at, download));
                    }
                }
            }
            if let Phase::Files { progress: kept, .. } = &mut state.phase {
                kept.clone_from(&progress);
            }
            self.keep(state).await?;
        }
    }

    fn piece(
        &self,
        manifest: &Manifest,
        progress: &[Progress],
        left: &[usize],
    ) -> (Vec<FhirSource>, Vec<Feed>, Vec<Expected>) {
        let (mut sources, mut feeds, mut expected) = (Vec::new(), Vec::new(), Vec::new());
        for &file in left {
            let (Some(output), Some(progress)) = (manifest.files.get(file), progress.get(file))
            else {
                continue;
            };
            let (send, receive) = mpsc::channel(8);
            let ended = Arc::new(AtomicBool::new(false));
            let (format, resource_type, count) = match &output.kind {
                FileKind::Output(kind) => (FhirFormat::Ndjson, Some(kind.clone()), output.count),
                // Their counts are of Bundles or outcomes, by which nothing can be missed.
                FileKind::Deleted => (FhirFormat::Deletions, None, None),
                FileKind::Error => (FhirFormat::Outcomes, None, None),
            };
            expected.push(Expected {
                resource_type,
                count,
                lines_before: progress.lines,
                items_before: progress.items,
                ended: Arc::clone(&ended),
                items: 0,
            });
            let reader = Box::new(ChannelReader::new(receive));
            sources.push((output.name(file), format, reader as Box<dyn std::io::Read + Send>));
            feeds.push(Feed { file, send, ended });
        }
        (sources, feeds, expected)
    }

    /// Downloads files into their channels until a piece is full; `ends` gets those touched.
    async fn feed<'w>(
        &'w self,
        feeds: Vec<Feed>,
        manifest: &Manifest,
        progress: &[Progress],
        mut open: Option<(usize, Download<'w>)>,
        ends: &mut Vec<(usize, Download<'w>)>,
    ) -> Result<(), PullError> {
        let mut budget = self.source.limits.piece_bytes;
        for feed in feeds {
            if budget == 0 {
                return Ok(());
            }
            let known = open.take().filter(|(file, _)| *file == feed.file);
            let mut download = match known {
                Some((_, download)) => download,
                None => match self.download(manifest, progress, feed.file) {
                    Some(download) => download,
                    None => continue,
                },
            };
            match feed_one(&feed, &mut download, &mut budget).await {
                Ok(Fed::On) => ends.push((feed.file, download)),
                Ok(Fed::NobodyListens) => return Ok(()),
                Err(error) => {
                    // Without this the importer would take the piece for a whole one.
                    let _ = feed.send.send(Err(std::io::Error::other("the download failed"))).await;
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    fn download(
        &self,
        manifest: &Manifest,
        progress: &[Progress],
        file: usize,
    ) -> Option<Download<'_>> {
        let (output, progress) = (manifest.files.get(file)?, progress.get(file)?);
        let token = match manifest.requires_access_token {
            true => Token::Show,
            false => Token::Withhold,
        };
        let most = self.source.limits.file_bytes;
        Some(Download::new(&self.wire, output.url()?, token, manifest.origins(), most, progress))
    }
}

enum Fed {
    On,
    /// The import failed, and says why itself.
    NobodyListens,
}

/// Hands a file on to its end, or to the end of a line when the budget is used up.
async fn feed_one(
    feed: &Feed,
    download: &mut Download<'_>,
    budget: &mut u64,
) -> Result<Fed, PullError> {
    while let Some(mut bytes) = download.next().await? {
        if bytes.len() as u64 >= *budget {
            *budget = 0;
            // Without an end of line in sight the piece grows until there is one.
            if let Some(end) = bytes.iter().rposition(|byte| *byte == b'\n') {
                download.give_back(bytes.split_off(end + 1));
                download.handed_on(&bytes)?;
                let sent = feed.send.send(Ok(bytes)).await;
                return Ok(if sent.is_ok() { Fed::On } else { Fed::NobodyListens });
            }
        } else {
            *budget -= bytes.len() as u64;
        }
        download.handed_on(&bytes)?;
        if feed.send.send(Ok(bytes)).await.is_err() {
            return Ok(Fed::NobodyListens);
        }
    }
    feed.ended.store(true, Ordering::Release);
    Ok(Fed::On)
}

impl Puller {
    /// Reads pages of searches or of the history, and takes them in some at a time.
    async fn pages(
        &self,
        state: &mut State,
        sum: &mut Sum,
        heard: Heard<'_>,
    ) -> Result<(), PullError> {
        let since = self.since(state);
        let mut read = 0;
        loop {
            let Phase::Pages { run, history, types, next, .. } = state.phase.clone() else {
                return Ok(());
            };
            let Some(kind) = types.first().cloned() else { return Ok(()) };
            let first = match (&next, history, &since) {
                (Some(next), ..) => Url::parse(next).map_err(|_| PullError::Damaged)?,
                (None, true, Some(since)) => self.wire.history_url(since),
                (None, ..) => self.wire.search_url(&kind, since.as_deref()),
            };
            let what = if history { "history" } else { kind.as_str() };
            let from = read + 1;
            let (resources, deletions, next) = self.some_pages(first, &mut read).await?;
            let name = format!("{what}, pages {from} to {read}");
            let expected = |resource_type: Option<String>| Expected {
                resource_type,
                count: None,
                lines_before: 0,
                items_before: 0,
                ended: Arc::new(AtomicBool::new(true)),
                items: 0,
            };
            let order = if history { Order::NewestFirst } else { Order::Unordered };
            let index = Arc::clone(&self.index);
            // A search may bring other types along, as included ones.
            let expected = vec![expected(None), expected(None)];
            let sift = Sift::new(index, self.source.name.as_str(), &run, order, expected);
            let sources: Vec<FhirSource> = vec![
                (name.clone(), FhirFormat::Ndjson, Box::new(Cursor::new(resources))),
                (name, FhirFormat::Deletions, Box::new(Cursor::new(deletions))),
            ];
            let counts = (read, None);
            let (report, _) = self.import(sources, sift, sum.records(), heard, counts).await?;
            sum.add(report);
            if let Phase::Pages { types, next: kept, .. } = &mut state.phase {
                *kept = next.map(String::from);
                if kept.is_none() && history {
                    types.clear();
                } else if kept.is_none() {
                    types.remove(0);
                }
            }
            self.keep(state).await?;
        }
    }

    /// Pages until there are enough bytes of them, and where the next one is.
    async fn some_pages(
        &self,
        first: Url,
        read: &mut u64,
    ) -> Result<(Vec<u8>, Vec<u8>, Option<Url>), PullError> {
        let (mut resources, mut deletions) = (Vec::new(), Vec::new());
        let mut next = Some(first);
        while let Some(url) = next.take() {
            let page = self.wire.page(&url, &self.source.types).await?;
            *read += 1;
            resources.extend(page.resources);
            deletions.extend(page.deletions);
            next = page.next;
            if resources.len() + deletions.len() >= PAGES_BYTES {
                break;
            }
        }
        Ok((resources, deletions, next))
    }
}
