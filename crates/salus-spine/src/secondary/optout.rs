use salus_crypto::Digest;
use salus_ledger::OptOutRoot;
use salus_ledger::proof::{EvidenceError, ProvenState};
use salus_model::{
    Class, Classified, DatasetId, Entropy, EntropyFailed, IdError, MemberId, Secret,
};

use crate::rows::{RowLimits, RowRestriction, SubjectSet, bare};
use crate::scope::Scope;

/// A holder's list of the people who opted out of secondary use, at one epoch.
///
/// The list and its salt stay with the holder; the ledger has the epoch's root.
pub struct OptOutList {
    epoch: u64,
    salt: Secret<[u8; 32]>,
    subjects: SubjectSet,
}

impl OptOutList {
    /// The list of a holder that has published none: nobody opted out, epoch 0.
    #[must_use]
    pub fn none() -> Self {
        Self { epoch: 0, salt: Secret::new([0; 32]), subjects: SubjectSet::new([]) }
    }

    /// A list for the epoch after `previous`, with a new salt.
    ///
    /// # Errors
    /// When no salt can be drawn.
    pub fn after(
        previous: u64,
        people: impl IntoIterator<Item = String>,
        entropy: &mut dyn Entropy,
    ) -> Result<Self, EntropyFailed> {
        let mut salt = [0; 32];
        entropy.fill(&mut salt)?;
        Ok(Self::stored(previous.saturating_add(1), Secret::new(salt), people))
    }

    /// A list as the holder stored it.
    #[must_use]
    pub fn stored(
        epoch: u64,
        salt: Secret<[u8; 32]>,
        people: impl IntoIterator<Item = String>,
    ) -> Self {
        let people = people.into_iter().map(|person| bare(&person).to_owned());
        Self { epoch, salt, subjects: SubjectSet::new(people) }
    }

    /// The epoch.
    #[must_use]
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The salt, for storing it.
    #[must_use]
    pub const fn salt(&self) -> &Secret<[u8; 32]> {
        &self.salt
    }

    /// How many people opted out.
    #[must_use]
    pub fn len(&self) -> usize {
        self.subjects.len()
    }

    /// Whether nobody opted out.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.subjects.is_empty()
    }

    /// Whether this person opted out.
    #[must_use]
    pub fn contains(&self, person: &str) -> bool {
        self.subjects.contains(bare(person))
    }

    /// What the ledger has of it.
    ///
    /// # Privacy
    /// Salted with 256 bits, so that neither the list nor its length can be guessed from it.
    #[must_use]
    pub fn root(&self) -> OptOutRoot {
        let digest = Digest::of_parts(
            "salus opt-out list v1",
            &[self.salt.expose(), &self.epoch.to_be_bytes(), self.subjects.digest().as_bytes()],
        );
        OptOutRoot::new(*digest.as_bytes())
    }
}

/// Why opt-outs cannot be bound to a scan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OptOutsRefused {
    /// The list is of another epoch than the ledger's.
    #[error(
        "the ledger is at opt-out epoch {current}, the list is of epoch {list}; fetch or publish it first"
    )]
    OtherEpoch {
        /// The ledger's epoch.
        current: u64,
        /// The list's.
        list: u64,
    },
    /// The list is not the one that was published.
    #[error("the opt-out list is not the one that was published as epoch {epoch}; restore it")]
    OtherList {
        /// The epoch.
        epoch: u64,
    },
    /// The evidence does not speak of the holder's list.
    #[error(transparent)]
    Evidence(#[from] EvidenceError),
    /// An id that is none, which is a bug.
    #[error(transparent)]
    Id(#[from] IdError),
}

impl Classified for OptOutsRefused {
    fn class(&self) -> Class {
        match self {
            Self::OtherEpoch { .. } => Class::Unavailable,
            Self::OtherList { .. } => Class::Corrupt,
            Self::Evidence(e) => e.class(),
            Self::Id(_) => Class::Bug,
        }
    }
}

/// The opt-outs of the ledger's present epoch, ready to be bound to a scan.
#[derive(Debug)]
pub struct OptOutsApplied {
    scope: Scope,
    epoch: u64,
    limits: Vec<(DatasetId, RowLimits)>,
}

impl OptOutsApplied {
    /// Binds the holder's list to the datasets of a use, once it is the one on the ledger.
    ///
    /// # Errors
    /// When the list is of another epoch, or is not what was published as that epoch.
    pub fn bind(
        scope: Scope,
        list: &OptOutList,
        state: &ProvenState,
        datasets: impl IntoIterator<Item = DatasetId>,
    ) -> Result<Self, OptOutsRefused> {
        let published = state.opt_outs(&MemberId::new(scope.holder().as_str())?)?;
        let current = published.as_ref().map_or(0, |p| p.epoch);
        if list.epoch != current {
            return Err(OptOutsRefused::OtherEpoch { current, list: list.epoch });
        }
        if published.is_some_and(|p| p.root != list.root()) {
            return Err(OptOutsRefused::OtherList { epoch: current });
        }
        let limit = || RowLimits { rules: Vec::new(), opted_out: Some(list.subjects.clone()) };
        let limits = datasets.into_iter().map(|dataset| (dataset, limit())).collect();
        Ok(Self { scope, epoch: current, limits })
    }

    pub(crate) const fn epoch(&self) -> u64 {
        self.epoch
    }
}

impl RowRestriction for OptOutsApplied {
    fn scope(&self) -> &Scope {
        &self.scope
    }

    fn into_limits(self) -> Vec<(DatasetId, RowLimits)> {
        self.limits
    }
}
