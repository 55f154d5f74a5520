use std::collections::BTreeMap;

use salus_ledger::call::Method;
use salus_ledger::contract::Contract;
use salus_ledger::{BlockHash, DatasetRef, Height, PublicKey, TxId};
use salus_model::{MemberId, PermitId};

use super::{
    APPLIED, COUNTS, HASHES, IDS, Index, KEYS, POSTINGS, REFUSED, SUBJECTS, Subject, Tag, damaged,
    posting, read_subjects,
};
use crate::store::{StoreError, failed};

/// How often a page looks something up before it ends early.
pub const MOST_SEEKS: usize = 20_000;

const READ: &str = "read the index";

/// Which transactions are wanted: all that fit every condition.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Of this kind.
    pub method: Option<Method>,
    /// Decided by this contract.
    pub contract: Option<Contract>,
    /// Signed by this organisation, or naming it.
    pub member: Option<MemberId>,
    /// About this dataset.
    pub dataset: Option<DatasetRef>,
    /// About this permit.
    pub permit: Option<PermitId>,
    /// With this outcome.
    pub outcome: Option<Tally>,
    /// Of one of the lists that the index keeps beside.
    pub list: Option<List>,
}

/// The lists that the index keeps of what took effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum List {
    /// Applications for permits.
    Applications,
    /// Releases.
    Releases,
}

impl List {
    const fn tag(self) -> Tag {
        match self {
            Self::Applications => Tag::Application,
            Self::Releases => Tag::Release,
        }
    }
}

/// Whether a transaction took effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tally {
    /// It did.
    Applied,
    /// A rule refused it.
    Refused,
}

impl Filter {
    fn lists(&self) -> Vec<Vec<u8>> {
        let outcome = self.outcome.map(|outcome| match outcome {
            Tally::Applied => APPLIED,
            Tally::Refused => REFUSED,
        });
        [
            self.list.map(|list| posting(list.tag(), "")),
            self.permit.as_ref().map(|permit| posting(Tag::Permit, permit.as_str())),
            self.dataset.as_ref().map(|dataset| posting(Tag::Dataset, &dataset.to_string())),
            self.member.as_ref().map(|member| posting(Tag::Member, member.as_str())),
            self.method.map(|method| posting(Tag::Method, method.as_str())),
            self.contract.map(|contract| posting(Tag::Contract, contract.as_str())),
            outcome.map(|word| posting(Tag::Outcome, word)),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

/// Places in the history, newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The places.
    pub places: Vec<u64>,
    /// Where the next page begins, unless this was the last.
    pub next: Option<u64>,
    /// How often something was looked up for it.
    pub seeks: usize,
}

impl Index {
    /// At most `limit` transactions before a place in the history that fit, newest first.
    ///
    /// # Errors
    /// When the database fails.
    ///
    /// # Cost
    /// See [the module](super).
    pub fn page(&self, filter: &Filter, before: u64, limit: usize) -> Result<Page, StoreError> {
        let lists = filter.lists();
        let Some(mut wanted) = before.checked_sub(1) else { return Ok(Page::EMPTY) };
        if lists.is_empty() {
            return Ok(every(wanted, limit));
        }
        let read = self.read()?;
        let postings = read.open_table(POSTINGS).map_err(failed(READ))?;
        let (mut places, mut seeks) = (Vec::new(), 0);
        loop {
            let mut agreed = wanted;
            for list in &lists {
                seeks += 1;
                let end = [list.as_slice(), &agreed.to_be_bytes()].concat();
                let mut range =
                    postings.range(list.as_slice()..=end.as_slice()).map_err(failed(READ))?;
                let Some(found) = range.next_back() else {
                    return Ok(Page { places, next: None, seeks });
                };
                let (key, ()) = found.map(|(key, _)| (key, ())).map_err(failed(READ))?;
                let place = key.value().last_chunk::<8>().ok_or_else(damaged)?;
                agreed = u64::from_be_bytes(*place);
            }
            // Agreed by all only when none went below where the round began.
            if agreed == wanted {
                places.push(agreed);
                let Some(next) = agreed.checked_sub(1) else {
                    return Ok(Page { places, next: None, seeks });
                };
                wanted = next;
            } else {
                wanted = agreed;
            }
            if places.len() >= limit || seeks >= MOST_SEEKS {
                return Ok(Page { places, next: Some(wanted + 1), seeks });
            }
        }
    }

    /// What a transaction is about, by its place in the history; nothing when its content was
    /// pruned before the index was made.
    ///
    /// # Errors
    /// When the database fails.
    pub fn subjects(&self, place: u64) -> Result<Vec<Subject>, StoreError> {
        let read = self.read()?;
        let table = read.open_table(SUBJECTS).map_err(failed(READ))?;
        let stored = table.get(place).map_err(failed(READ))?;
        stored.map_or_else(|| Ok(Vec::new()), |stored| read_subjects(stored.value()))
    }

    /// At most `limit` transactions whose ids begin so, with their places in the history.
    ///
    /// # Errors
    /// When the database fails.
    pub fn transactions_like(
        &self,
        digits: &str,
        limit: usize,
    ) -> Result<Vec<(TxId, u64)>, StoreError> {
        let read = self.read()?;
        let table = read.open_table(IDS).map_err(failed(READ))?;
        let mut found = Vec::new();
        for line in table.range(first_of(digits).as_slice()..).map_err(failed(READ))? {
            let (id, place) = line.map_err(failed(READ))?;
            if found.len() >= limit || !hex::encode(id.value()).starts_with(digits) {
                break;
            }
            found.push((TxId::try_from(id.value()).map_err(|_| damaged())?, place.value()));
        }
        Ok(found)
    }

    /// At most `limit` blocks whose hashes begin so, with their heights.
    ///
    /// # Errors
    /// When the database fails.
    pub fn blocks_like(
        &self,
        digits: &str,
        limit: usize,
    ) -> Result<Vec<(BlockHash, Height)>, StoreError> {
        let read = self.read()?;
        let table = read.open_table(HASHES).map_err(failed(READ))?;
        let mut found = Vec::new();
        for line in table.range(first_of(digits).as_slice()..).map_err(failed(READ))? {
            let (hash, height) = line.map_err(failed(READ))?;
            if found.len() >= limit || !hex::encode(hash.value()).starts_with(digits) {
                break;
            }
            let hash = BlockHash::try_from(hash.value()).map_err(|_| damaged())?;
            found.push((hash, Height::new(height.value())));
        }
        Ok(found)
    }

    /// The keys that were ever bound to a member.
    ///
    /// # Errors
    /// When the database fails.
    pub fn keys_of(&self, member: &MemberId) -> Result<Vec<PublicKey>, StoreError> {
        let read = self.read()?;
        let table = read.open_table(KEYS).map_err(failed(READ))?;
        let prefix = [member.as_str().as_bytes(), &[0]].concat();
        let mut keys = Vec::new();
        for line in table.range(prefix.as_slice()..).map_err(failed(READ))? {
            let (line, _) = line.map_err(failed(READ))?;
            let Some(key) = line.value().strip_prefix(prefix.as_slice()) else { break };
            keys.push(PublicKey::try_from(key).map_err(|_| damaged())?);
        }
        Ok(keys)
    }

    /// How many transactions of each kind, by outcome: `permits.grant applied` and so on.
    ///
    /// # Errors
    /// When the database fails.
    pub fn totals(&self) -> Result<BTreeMap<String, u64>, StoreError> {
        self.counts(b"m")
    }

    /// How often each rule refused a transaction.
    ///
    /// # Errors
    /// When the database fails.
    pub fn refusals(&self) -> Result<BTreeMap<String, u64>, StoreError> {
        self.counts(b"r")
    }

    /// How many transactions of each kind and outcome on one day, counted from 1970-01-01.
    ///
    /// # Errors
    /// When the database fails.
    pub fn day(&self, day: u32) -> Result<BTreeMap<String, u64>, StoreError> {
        self.counts(&[b"d".as_slice(), &day.to_be_bytes()].concat())
    }

    fn counts(&self, prefix: &[u8]) -> Result<BTreeMap<String, u64>, StoreError> {
        let read = self.read()?;
        let table = read.open_table(COUNTS).map_err(failed(READ))?;
        let mut counts = BTreeMap::new();
        for line in table.range(prefix..).map_err(failed(READ))? {
            let (key, count) = line.map_err(failed(READ))?;
            let Some(name) = key.value().strip_prefix(prefix) else { break };
            counts.insert(String::from_utf8_lossy(name).into_owned(), count.value());
        }
        Ok(counts)
    }
}

impl Page {
    const EMPTY: Self = Self { places: Vec::new(), next: None, seeks: 0 };
}

/// Without a condition every place fits.
fn every(last: u64, limit: usize) -> Page {
    let count = (limit as u64).min(last.saturating_add(1));
    let places: Vec<u64> = (0..count).map(|step| last - step).collect();
    let next = (last + 1).checked_sub(count).filter(|next| *next > 0);
    Page { places, next, seeks: 0 }
}

/// The smallest bytes whose digits begin so.
fn first_of(digits: &str) -> Vec<u8> {
    let even =
        if digits.len().is_multiple_of(2) { digits.to_owned() } else { format!("{digits}0") };
    hex::decode(even).unwrap_or_default()
}
