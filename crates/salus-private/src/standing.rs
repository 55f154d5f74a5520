//! A count that is followed over time for one charge: how it is asked, counted and remembered.
//!
//! ```text
//! StandingQuestion ──each time──▶ who passes now ──against Memory──▶ change ──▶ StandingCount ──▶ Followed
//! ```
//!
//! Every answer is a request of its own under the permit, with opt-outs, receipt and seal as every
//! answer has them; only the charge is the first one's alone. The ledger counts the answers, so that
//! a holder's old copy of what it remembers cannot give one of them twice with other noise.
//!
//! # Privacy
//! All answers together lose what the first was charged, for the profile's unit, who is in the count
//! or not and turns at most `turns` times; who has used these up stays as it was. The memory holds
//! who was counted, under a keyed hash; it leaves the computation sealed under the holder's key.
//!
//! # Source
//! The mechanism is [`salus_dp::standing`]'s.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::Hasher as _;

use arrow::array::{Array as _, AsArray as _, BooleanArray, RecordBatch};
use salus_crypto::aead::{Aad, AeadKey};
use salus_crypto::{Digest, OsEntropy};
use salus_dp::standing::{Changes, StandingCount, StandingError};
use salus_dp::{Cost, Estimate, ExpectedError, Mechanism, Noise, Query, RowsPerUnit};
use salus_ledger::{Opaque, cbor};
use salus_model::{
    DatasetVersion, Entropy as _, HolderId, JobId, MicroRho, PermitId, PrivacyCharge, Timestamp,
};
use salus_spine::{KeepError, KeptState, Priced, Secondary, Unreleased};
use salus_store::{ReadSession, TableSource};
use serde::{Deserialize, Serialize};
use siphasher::sip128::{Hasher128 as _, SipHasher13};
use zeroize::Zeroizing;

use crate::compute::{ComputeError, each_batch};
use crate::desk::Reply;
use crate::outbox::SignedRelease;
use crate::predicate::{Predicate, as_texts, column};
use crate::profile::Profile;
use crate::question::{Prepared, Question, QuestionError};

/// The most units that one standing count remembers.
pub const MOST_UNITS: usize = 1_000_000;
/// The most answers of one standing question; each repeats those before it.
pub const MOST_TICKS: u32 = 10_000;
/// The most turns of one unit that noise is made for.
pub const MOST_TURNS: u32 = 1_000;
/// A remembered unit: 16 bytes of its hash, 4 of its turns and whether it is counted.
const UNIT_BYTES: usize = 20;
const MAX_RECORD_BYTES: usize = 256 << 20;

/// For how long, and for how restless units, a count is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StandingTerms {
    /// How many answers the charge is for.
    pub ticks: u32,
    /// How often one unit may come into the count or leave it.
    pub turns: u32,
}

/// A question whose answer is followed; its text is what the person signs, each time the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StandingQuestion {
    /// For how long.
    pub standing: StandingTerms,
    /// The question, as it would be asked once: a count of units.
    pub question: String,
}

impl StandingQuestion {
    /// The question itself.
    ///
    /// # Errors
    /// Names line and column of what is wrong.
    pub fn inner(&self) -> Result<Question, QuestionError> {
        Question::parse(&self.question)
    }

    pub(crate) fn following(
        &self,
        question: &Question,
        profile: &Profile,
    ) -> Result<Following, QuestionError> {
        let rho = question.plan(profile)?.cost().rho;
        let asked = (&question.query, question.mechanism);
        Following::of(self.standing, asked, profile.schema.rows_per_unit, rho)
    }
}

/// One answer of a standing question.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Its number, from 1.
    pub tick: u32,
    /// The dataset's version that was counted.
    pub version: DatasetVersion,
    /// When, by the holder's clock.
    pub at: Timestamp,
    /// The count, with its 95 % interval.
    pub estimate: Estimate,
}

/// What the asker gets: the newest answer, and all before it again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Followed {
    /// What the question said.
    pub terms: StandingTerms,
    /// The answers so far, the newest last.
    pub series: Vec<Point>,
    /// The noise of each number that the estimates are sums of.
    pub noise: Noise,
    /// What the first answer was charged for all of them.
    pub cost: Cost,
}

/// How a prepared question is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Following {
    pub(crate) terms: StandingTerms,
    rho: MicroRho,
}

impl Following {
    /// Checks that what is asked can be followed at that price.
    pub(crate) fn of(
        terms: StandingTerms,
        (query, mechanism): (&Query, Mechanism),
        rows_per_unit: RowsPerUnit,
        rho: MicroRho,
    ) -> Result<Self, QuestionError> {
        let counts_units = match query {
            Query::DistinctUnits => true,
            Query::Count => rows_per_unit == RowsPerUnit::One,
            _ => false,
        };
        if !counts_units || mechanism != Mechanism::Gaussian {
            return Err(QuestionError::NotFollowed);
        }
        if !(1..=MOST_TICKS).contains(&terms.ticks) || !(1..=MOST_TURNS).contains(&terms.turns) {
            return Err(QuestionError::StandingTerms);
        }
        let following = Self { terms, rho };
        following.start()?;
        Ok(following)
    }

    fn start(&self) -> Result<StandingCount, StandingError> {
        let StandingTerms { ticks, turns } = self.terms;
        StandingCount::start(u64::from(ticks), Changes::Turns(turns), self.rho)
    }

    pub(crate) fn expected_error(&self) -> ExpectedError {
        let error = self.start().map(|count| count.worst_error());
        error.unwrap_or(ExpectedError::Value {
            standard_error: f64::INFINITY,
            half_width: f64::INFINITY,
        })
    }
}

/// What the holder remembers of one unit that was ever counted.
#[derive(Clone, Copy)]
struct Unit {
    counted: bool,
    turns: u32,
}

/// What the holder remembers between answers; as sensitive as the rows.
struct Memory {
    head: Head,
    units: HashMap<u128, Unit>,
}

/// All of it but the units, which are many.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    count: StandingCount,
    key: [u8; 16],
    series: Vec<Point>,
}

impl Memory {
    fn begin(following: Following) -> Result<Self, ComputeError> {
        let mut key = [0; 16];
        OsEntropy.fill(&mut key)?;
        let count = following.start().map_err(ComputeError::Standing)?;
        let head = Head { count, key, series: Vec::new() };
        Ok(Self { head, units: HashMap::new() })
    }

    /// The head's length, the head, the units.
    fn to_bytes(&self) -> Result<Zeroizing<Vec<u8>>, ComputeError> {
        let head = Zeroizing::new(serde_json::to_vec(&self.head).map_err(ComputeError::Answer)?);
        let length = head.len() as u64;
        let mut bytes =
            Zeroizing::new(Vec::with_capacity(8 + head.len() + self.units.len() * UNIT_BYTES));
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(&head);
        for (name, unit) in &self.units {
            let word = unit.turns << 1 | u32::from(unit.counted);
            bytes.extend_from_slice(&name.to_be_bytes());
            bytes.extend_from_slice(&word.to_be_bytes());
        }
        Ok(bytes)
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (length, rest) = bytes.split_first_chunk::<8>()?;
        let length = usize::try_from(u64::from_be_bytes(*length)).ok()?;
        let (head, units) = rest.split_at_checked(length)?;
        let (units, []) = units.as_chunks::<UNIT_BYTES>() else { return None };
        let unit = |chunk: &[u8; UNIT_BYTES]| {
            let (name, word) = chunk.split_first_chunk::<16>()?;
            let word = u32::from_be_bytes(*word.first_chunk()?);
            Some((u128::from_be_bytes(*name), Unit { counted: word & 1 == 1, turns: word >> 1 }))
        };
        let units = units.iter().map(unit).collect::<Option<_>>()?;
        Some(Self { head: serde_json::from_slice(head).ok()?, units })
    }
}

/// Turns every unit that came or left, as far as it may; returned is by how much the count changed.
fn turn(units: &mut HashMap<u128, Unit>, present: &HashSet<u128>, most: u32) -> i64 {
    let mut change = 0;
    for (name, unit) in units.iter_mut() {
        let now = present.contains(name);
        if now != unit.counted && unit.turns < most {
            *unit = Unit { counted: now, turns: unit.turns + 1 };
            change += if now { 1 } else { -1 };
        }
    }
    for name in present {
        units.entry(*name).or_insert_with(|| {
            change += 1;
            Unit { counted: true, turns: 1 }
        });
    }
    change
}

/// Where a tick begins: with what, when, and under which key it is remembered.
pub(crate) struct Tick<'a> {
    pub(crate) before: Option<KeptState>,
    pub(crate) holder: &'a HolderId,
    pub(crate) name: Digest,
    pub(crate) key: &'a AeadKey,
    pub(crate) version: DatasetVersion,
    pub(crate) at: Timestamp,
}

/// Who passes the filter in a batch.
struct Present {
    filter: Option<Predicate>,
    unit: salus_model::ColumnPath,
    key: Zeroizing<[u8; 16]>,
}

impl Present {
    fn of(&self, batch: &RecordBatch, found: &mut HashSet<u128>) -> Result<(), ComputeError> {
        let passes = match &self.filter {
            Some(filter) => filter.passes(batch).map_err(ComputeError::Arrow)?,
            None => BooleanArray::from(vec![true; batch.num_rows()]),
        };
        let units = column(batch, Some(&self.unit)).and_then(|array| as_texts(&array));
        let units = units.map_err(ComputeError::Arrow)?;
        let units = units.as_string::<i32>();
        for row in 0..batch.num_rows() {
            if passes.value(row) && units.is_valid(row) {
                let mut hasher = SipHasher13::new_with_key(&self.key);
                hasher.write(units.value(row).as_bytes());
                found.insert(hasher.finish128().as_u128());
            }
        }
        Ok(())
    }
}

impl Prepared {
    /// Counts once more, and remembers who was counted.
    ///
    /// # Privacy
    /// As the module says; the first tick carries the price, a later one none.
    ///
    /// # Errors
    /// When the dataset cannot be read, no noise can be drawn, too many units are to be remembered,
    /// or the memory was altered; nothing has moved then.
    pub(crate) async fn tick(
        self,
        following: Following,
        session: ReadSession<Secondary>,
        partitions: usize,
        tick: Tick<'_>,
    ) -> Result<(Unreleased<Priced<Vec<u8>>, Secondary>, KeptState), ComputeError> {
        let dataset = self.dataset.clone();
        let computed = session
            .compute(|mut tables| async move {
                let source = tables
                    .remove(&dataset)
                    .ok_or(ComputeError::NotOpen { dataset: dataset.clone() })?;
                self.count(following, source, partitions, tick).await
            })
            .await;
        Ok(KeptState::part(computed.transpose()?))
    }

    async fn count(
        self,
        following: Following,
        source: TableSource,
        partitions: usize,
        tick: Tick<'_>,
    ) -> Result<(Priced<Vec<u8>>, KeptState), ComputeError> {
        let Tick { before, holder, name, key, version, at } = tick;
        let is_first = before.is_none();
        let mut memory = match before {
            Some(kept) => {
                let opened = kept.open(holder, &name, key).map_err(ComputeError::Memory)?;
                Memory::from_bytes(&opened).ok_or(ComputeError::MemoryForm)?
            }
            None => Memory::begin(following)?,
        };
        let projection = self.projection(&source)?;
        let dataset = self.dataset.clone();
        let reader = Present {
            filter: self.filter,
            unit: self.unit_column,
            key: Zeroizing::new(memory.head.key),
        };
        let mut present = HashSet::new();
        each_batch(&source, &projection, partitions, |batch| {
            reader.of(batch, &mut present)?;
            if present.len() > MOST_UNITS {
                return Err(ComputeError::TooManyUnits);
            }
            Ok(())
        })
        .await?;
        let change = turn(&mut memory.units, &present, following.terms.turns);
        if memory.units.len() > MOST_UNITS {
            return Err(ComputeError::TooManyUnits);
        }
        let head = &mut memory.head;
        let estimate = head.count.tick(change).map_err(ComputeError::Standing)?;
        let number = u32::try_from(head.count.at()).unwrap_or(u32::MAX);
        head.series.push(Point { tick: number, version, at, estimate });
        let followed = Followed {
            terms: following.terms,
            series: head.series.clone(),
            noise: head.count.noise(),
            cost: head.count.cost(),
        };
        let value = serde_json::to_vec(&followed).map_err(ComputeError::Answer)?;
        let kept = KeptState::seal(&memory.to_bytes()?, holder, &name, key, &mut OsEntropy);
        let kept = kept.map_err(ComputeError::Memory)?;
        let rho = if is_first { followed.cost.rho } else { MicroRho::ZERO };
        let charges = BTreeMap::from([(dataset, PrivacyCharge::Bounded(rho))]);
        Ok((Priced { value, charges }, kept))
    }
}

/// An answer that was computed, and may be on the ledger or not.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Pending {
    /// What was asked, by whom, of which version at which opt-out epoch.
    pub(crate) memory: Digest,
    pub(crate) request: Digest,
    pub(crate) state: Opaque,
    /// The held result, under the holder's key.
    pub(crate) held: Opaque,
    pub(crate) signed: SignedRelease,
}

/// The answer that was given last.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Last {
    pub(crate) memory: Digest,
    pub(crate) request: Digest,
    pub(crate) reply: Reply,
}

/// How far a standing question has come, as it lies on the disk.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Record {
    /// The job that the first answer began on the ledger.
    pub(crate) job: Option<JobId>,
    /// Answers given.
    pub(crate) done: u32,
    pub(crate) state: Option<Opaque>,
    pub(crate) last: Option<Last>,
    pub(crate) pending: Option<Pending>,
}

/// What a person's standing question goes by.
pub(crate) fn name(permit: &PermitId, question: &Digest) -> Digest {
    Digest::of_parts(
        "salus standing question v1",
        &[permit.as_str().as_bytes(), question.as_bytes()],
    )
}

fn aad(holder: &HolderId, name: &Digest) -> Aad {
    Aad::new("salus standing record v1", &[holder.as_str().as_bytes(), name.as_bytes()])
}

impl Record {
    pub(crate) fn seal(
        &self,
        holder: &HolderId,
        name: &Digest,
        key: &AeadKey,
    ) -> Result<Vec<u8>, KeepError> {
        Ok(key.seal(&mut OsEntropy, &aad(holder, name), &cbor::encode(self)?)?)
    }

    pub(crate) fn open(
        bytes: &[u8],
        holder: &HolderId,
        name: &Digest,
        key: &AeadKey,
    ) -> Result<Self, KeepError> {
        Ok(cbor::decode(&key.open(&aad(holder, name), bytes)?, MAX_RECORD_BYTES)?)
    }

    /// What is true once the pending answer is on the ledger.
    pub(crate) fn advanced(self, reply: Reply) -> Self {
        let Some(Pending { memory, request, state, signed, .. }) = self.pending else {
            return self;
        };
        Self {
            // None in practice: the id of a transaction is always a valid name.
            job: self.job.or_else(|| signed.transaction.job().ok()),
            done: self.done.saturating_add(1),
            state: Some(state),
            last: Some(Last { memory, request, reply }),
            pending: None,
        }
    }
}

#[cfg(test)]
mod tests;
