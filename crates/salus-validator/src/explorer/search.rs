//! From what a person typed or pasted to what it may be.

use salus_ledger::call::Method;
use salus_model::{Class, Classified};

use super::answers::{Found, SearchAnswer};
use super::index::Index;
use crate::store::{StoreError, View};

const MOST: usize = 20;
const LONGEST: usize = 128;
/// Fewer digits would find whatever comes first.
const FEWEST_DIGITS: usize = 4;

/// Why nothing is searched for.
#[derive(Debug, thiserror::Error)]
pub(super) enum SearchError {
    #[error("type at most {LONGEST} characters")]
    TooLong,
    #[error("the ledger cannot be searched")]
    Store(#[from] StoreError),
}

impl Classified for SearchError {
    fn class(&self) -> Class {
        match self {
            Self::TooLong => Class::BadRequest,
            Self::Store(error) => error.class(),
        }
    }
}

pub(super) fn search(view: &View, index: &Index, typed: &str) -> Result<SearchAnswer, SearchError> {
    let text = typed.trim();
    if text.len() > LONGEST {
        return Err(SearchError::TooLong);
    }
    let mut items = Vec::new();
    if text.is_empty() {
        return Ok(SearchAnswer { items });
    }
    items.extend(height(view, text)?);
    let digits = text.to_ascii_lowercase();
    let created = digits.rsplit_once('-').map(|(kind, digits)| (kind.to_owned(), digits));
    match created {
        Some((kind, digits)) if is_hash(digits) && is_created(&kind) => {
            items.extend(things(view, index, &kind, digits)?);
        }
        _ if is_hash(&digits) => items.extend(hashes(view, index, &digits)?),
        _ => {}
    }
    items.extend(names(view, b"member/", "member", text)?);
    items.extend(names(view, b"dataset/", "dataset", text)?);
    Ok(SearchAnswer { items })
}

fn is_hash(digits: &str) -> bool {
    (FEWEST_DIGITS..=64).contains(&digits.len()) && digits.chars().all(|c| c.is_ascii_hexdigit())
}

fn is_created(kind: &str) -> bool {
    matches!(kind, "permit" | "receipt" | "job" | "deal")
}

fn height(view: &View, text: &str) -> Result<Option<Found>, StoreError> {
    let Ok(height) = text.parse::<u64>() else { return Ok(None) };
    let header = view.header(salus_ledger::Height::new(height))?;
    let hash = header.and_then(|header| header.hash().ok());
    Ok(hash.map(|hash| Found {
        kind: "block".into(),
        id: height.to_string(),
        hint: Some(hash.to_string()),
    }))
}

fn hashes(view: &View, index: &Index, digits: &str) -> Result<Vec<Found>, StoreError> {
    let mut items = Vec::new();
    for (id, place) in index.transactions_like(digits, MOST)? {
        let method = view.entries(place, 1)?.first().map(|entry| entry.method.as_str().to_owned());
        items.push(Found { kind: "transaction".into(), id: id.to_string(), hint: method });
    }
    for (hash, height) in index.blocks_like(digits, MOST)? {
        let (id, hint) = (height.to_string(), Some(hash.to_string()));
        items.push(Found { kind: "block".into(), id, hint });
    }
    Ok(items)
}

/// What transactions created: its id has the first half of theirs.
fn things(view: &View, index: &Index, kind: &str, digits: &str) -> Result<Vec<Found>, StoreError> {
    let mut items = Vec::new();
    // The id has 32 digits of the transaction's 64.
    for (id, place) in index.transactions_like(digits.get(..32).unwrap_or(digits), MOST)? {
        let Some(method) = view.entries(place, 1)?.first().map(|entry| entry.method) else {
            continue;
        };
        let created = match (kind, method) {
            ("permit", Method::ApplyForPermit) => id.permit().ok().map(|id| id.to_string()),
            ("receipt", method) if method.is_release() => {
                id.receipt().ok().map(|id| id.to_string())
            }
            // Jobs and deals have no page of their own.
            ("job", Method::Reserve) | ("deal", Method::OpenDeal) => {
                let (id, hint) = (id.to_string(), Some(method.as_str().to_owned()));
                items.push(Found { kind: "transaction".into(), id, hint });
                continue;
            }
            _ => None,
        };
        items.extend(created.map(|id| Found { kind: kind.to_owned(), id, hint: None }));
    }
    Ok(items)
}

fn names(view: &View, prefix: &[u8], kind: &str, text: &str) -> Result<Vec<Found>, StoreError> {
    let wanted = [prefix, text.as_bytes()].concat();
    let mut items = Vec::new();
    for (key, _) in view.page(&wanted, None, MOST)? {
        let name = key.get(prefix.len()..).unwrap_or_default();
        let id = String::from_utf8_lossy(name).into_owned();
        items.push(Found { kind: kind.to_owned(), id, hint: None });
    }
    Ok(items)
}
