use salus_ledger::block::{HistoryEntry, Outcome};
use salus_ledger::config::quorum;
use salus_ledger::{BlockHash, Height};

use super::{damaged, transactions};
use crate::explorer::answers::{BlockDetail, BlockLine, BlockPage, VoteLine};
use crate::explorer::index::{Index, member_of};
use crate::proof::ProvedBlock;
use crate::store::{StoreError, View};

pub(in crate::explorer) fn line(view: &View, height: Height) -> Result<BlockLine, StoreError> {
    let header = view.header(height)?.ok_or(StoreError::NoBlock { height })?;
    let entries = entries_of(view, height)?;
    let mut methods: Vec<String> =
        entries.iter().map(|entry| entry.method.as_str().to_owned()).collect();
    methods.sort();
    methods.dedup();
    let refused = entries.iter().filter(|entry| entry.outcome != Outcome::Applied).count();
    let votes = view.finality(height)?.map_or(0, |finality| finality.certificate.votes.len());
    Ok(BlockLine {
        height: height.get(),
        block: header.hash().map_err(damaged("block"))?.to_string(),
        time: header.time.to_string(),
        transactions: entries.len() as u64,
        refused: refused as u64,
        votes: votes as u64,
        methods,
    })
}

fn entries_of(view: &View, height: Height) -> Result<Vec<HistoryEntry>, StoreError> {
    // Of a snapshot's own block the headers before are missing, and so is where it begins.
    match view.entries_of(height) {
        Err(StoreError::NoBlock { .. }) if height == view.base()? => Ok(Vec::new()),
        other => other,
    }
}

pub(in crate::explorer) fn page(
    view: &View,
    before: Option<u64>,
    limit: usize,
) -> Result<BlockPage, StoreError> {
    let end = before.unwrap_or(u64::MAX).min(view.tip().height.get().saturating_add(1));
    let first = view.base()?.get().max(end.saturating_sub(limit as u64));
    let items = (first..end).rev().map(|height| line(view, Height::new(height)));
    let items = items.collect::<Result<Vec<_>, _>>()?;
    let next = (first > view.base()?.get() && !items.is_empty()).then_some(first);
    Ok(BlockPage { items, next })
}

/// A block by its height or its hash.
pub(in crate::explorer) fn find(view: &View, name: &str) -> Result<Option<Height>, StoreError> {
    if let Ok(height) = name.parse::<u64>()
        && name.len() < 20
    {
        let height = Height::new(height);
        return Ok(view.header(height)?.map(|_| height));
    }
    let hash = hex::decode(name).ok().and_then(|bytes| BlockHash::try_from(bytes.as_slice()).ok());
    hash.map_or(Ok(None), |hash| view.height_of(&hash))
}

pub(in crate::explorer) fn detail(
    view: &View,
    index: &Index,
    height: Height,
) -> Result<BlockDetail, StoreError> {
    let header = view.header(height)?.ok_or(StoreError::NoBlock { height })?;
    let entries = entries_of(view, height)?;
    let first = header.history_size - entries.len() as u64;
    let lines = (first..).zip(&entries).map(|(at, entry)| transactions::line(index, at, entry));
    let transactions = lines.collect::<Result<Vec<_>, _>>()?;
    let deciding = view.handovers_before(height)?.pop().map(|handover| handover.config);
    let deciding = match deciding {
        Some(config) => config,
        None => view.genesis()?.config,
    };
    Ok(BlockDetail {
        height: height.get(),
        block: header.hash().map_err(damaged("block"))?.to_string(),
        parent: header.parent.to_string(),
        time: header.time.to_string(),
        transactions_root: header.transactions.to_string(),
        history_size: header.history_size,
        history_root: header.history.to_string(),
        state_root: header.state.to_string(),
        receipts_root: header.receipts.to_string(),
        configuration: header.config.to_string(),
        votes: votes(view, height)?,
        quorum: quorum(deciding.form().validators.len()) as u64,
        pruned: height != Height::GENESIS && view.transactions(height)?.is_none(),
        transactions,
    })
}

fn votes(view: &View, height: Height) -> Result<Vec<VoteLine>, StoreError> {
    let Some(finality) = view.finality(height)? else { return Ok(Vec::new()) };
    let mut votes = Vec::new();
    for key in finality.certificate.votes.keys() {
        let member = member_of(view, key)?.map(|member| member.to_string());
        votes.push(VoteLine { key: key.to_string(), member });
    }
    Ok(votes)
}

/// A final block with the way to its validators.
pub(in crate::explorer) fn proved(
    view: &View,
    height: Height,
) -> Result<Option<ProvedBlock>, StoreError> {
    let Some(finality) = view.finality(height)? else { return Ok(None) };
    Ok(Some(ProvedBlock { finality, handovers: view.handovers_before(height)? }))
}
