//! What the members of a ledger decide together: a proposal is a signed transaction that goes from
//! one to the next, and each looks at what it would change before signing.

use std::collections::BTreeMap;

use salus_ledger::call::{Call, ChangeConfig, Method};
use salus_ledger::config::{ConfigError, ConfigForm, PlatformConfig, Validator};
use salus_ledger::policy::{Expression, Policy, PolicyError, Role};
use salus_ledger::review::{
    Independence, ReviewRule, ReviewRuleError, ReviewRuleForm, ReviewScore,
};
use salus_ledger::transaction::{SignedTransaction, TransactionError};
use salus_ledger::{Opaque, PublicKey};
use salus_model::{Class, Classified, MemberId};
use salus_private::LedgerRefused;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::ledger::HolderLedger;

/// Why there is no such proposal.
#[derive(Debug, thiserror::Error)]
pub enum ProposalError {
    /// It says what holds already.
    #[error("nothing would change")]
    Unchanged,
    /// A validator that is none.
    #[error("no validator has the key {0}")]
    NoValidator(PublicKey),
    /// A validator that is one already.
    #[error("{0} validates already")]
    Validates(PublicKey),
    /// One validator orders without asking anybody, and has nothing to hand over with.
    #[error(
        "a ledger of one validator stays one, and one of several never becomes one; found a new \
         ledger among all of them"
    )]
    Alone,
    /// An authority that is none.
    #[error("the authority with SHA-256 {0} is none of this ledger")]
    NoRoot(String),
    /// A requirement that is none.
    #[error("nothing is required for {}", .0.as_str())]
    NotRequired(Method),
    /// A policy that cannot be.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// A rule of review that cannot be.
    #[error(transparent)]
    Review(#[from] ReviewRuleError),
    /// A configuration that cannot be.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The configuration in force cannot be named.
    #[error("the configuration in force cannot be read: {0}")]
    Current(String),
    /// It is no transaction of this ledger, or a signature on it is forged.
    #[error("this is no proposal for this ledger, or a signature on it is forged")]
    Transaction(#[from] TransactionError),
    /// The ledger refused, or is out of reach.
    #[error(transparent)]
    Ledger(#[from] LedgerRefused),
}

impl Classified for ProposalError {
    fn class(&self) -> Class {
        match self {
            Self::Current(_) => Class::Corrupt,
            Self::Transaction(_) => Class::BadRequest,
            Self::Ledger(e) => e.class(),
            _ => Class::BadRequest,
        }
    }
}

/// What differs from the configuration in force; everything else stays.
#[derive(Debug, Clone, Default)]
pub struct ConfigChange {
    /// Keys that shall order and vote.
    pub add_validators: Vec<Validator>,
    /// Keys that shall order and vote no more.
    pub remove_validators: Vec<PublicKey>,
    /// How many administrators have to agree from then on.
    pub agree: Option<u16>,
    /// Certificate authorities that shall count, as DER.
    pub add_roots: Vec<Opaque>,
    /// Certificate authorities that shall count no more, as DER.
    pub remove_roots: Vec<Opaque>,
    /// Who has to sign a method beside those whom its contract names.
    pub require: Vec<(Method, Policy)>,
    /// Methods for which nobody beside those has to sign any more.
    pub no_require: Vec<Method>,
    /// The most bytes of one block's transactions.
    pub block_bytes: Option<u32>,
    /// The most transactions of one block.
    pub block_transactions: Option<u32>,
    /// How many blocks ahead a transaction's last block may lie.
    pub lifetime_blocks: Option<u64>,
    /// How far a block's time may lie ahead of a validator's clock, in milliseconds.
    pub clock_skew_ms: Option<u32>,
    /// How many reviewers have to approve what goes out without a bound.
    pub reviewers: Option<u8>,
    /// Who counts as a different reviewer.
    pub reviewers_of: Option<Independence>,
    /// The least score of the automatic checks that may go out.
    pub least_score: Option<ReviewScore>,
}

fn fingerprint(root: &Opaque) -> String {
    hex::encode(Sha256::digest(root.as_bytes()))
}

impl ConfigChange {
    /// The proposal, on the configuration that it changes: it is refused when another change comes
    /// first.
    ///
    /// # Errors
    /// Names what cannot be.
    pub fn call(&self, current: &PlatformConfig) -> Result<ChangeConfig, ProposalError> {
        let mut form = current.form().clone();
        self.change_validators(&mut form)?;
        self.change_roots(&mut form)?;
        self.change_policies(&mut form)?;
        self.change_limits(&mut form);
        self.change_review(&mut form)?;
        if form == *current.form() {
            return Err(ProposalError::Unchanged);
        }
        form.version += 1;
        let base = current.hash().map_err(|e| ProposalError::Current(e.to_string()))?;
        Ok(ChangeConfig { base, config: PlatformConfig::new(form)? })
    }

    fn change_validators(&self, form: &mut ConfigForm) -> Result<(), ProposalError> {
        let alone = form.validators.len() == 1;
        for key in &self.remove_validators {
            let before = form.validators.len();
            form.validators.retain(|seat| seat.key != *key);
            if form.validators.len() == before {
                return Err(ProposalError::NoValidator(*key));
            }
        }
        for seat in &self.add_validators {
            if form.validators.iter().any(|known| known.key == seat.key) {
                return Err(ProposalError::Validates(seat.key));
            }
            form.validators.insert(seat.clone());
        }
        if alone == (form.validators.len() == 1) { Ok(()) } else { Err(ProposalError::Alone) }
    }

    fn change_roots(&self, form: &mut ConfigForm) -> Result<(), ProposalError> {
        for root in &self.remove_roots {
            let known = form.roots.iter().position(|known| known == root);
            form.roots.remove(known.ok_or_else(|| ProposalError::NoRoot(fingerprint(root)))?);
        }
        for root in &self.add_roots {
            if !form.roots.contains(root) {
                form.roots.push(root.clone());
            }
        }
        Ok(())
    }

    fn change_policies(&self, form: &mut ConfigForm) -> Result<(), ProposalError> {
        if let Some(k) = self.agree {
            form.governance = Policy::new(Expression::Quorum { k, role: Role::Administrator })?;
        }
        for method in &self.no_require {
            form.policies.remove(method).ok_or(ProposalError::NotRequired(*method))?;
        }
        form.policies.extend(self.require.iter().cloned());
        Ok(())
    }

    fn change_review(&self, form: &mut ConfigForm) -> Result<(), ProposalError> {
        if self.reviewers.is_none() && self.reviewers_of.is_none() && self.least_score.is_none() {
            return Ok(());
        }
        let old = form.review.unwrap_or(ReviewRule::STANDARD);
        form.review = Some(ReviewRule::new(ReviewRuleForm {
            reviewers: self.reviewers.unwrap_or(old.reviewers()),
            independence: self.reviewers_of.unwrap_or(old.independence()),
            least_score: self.least_score.or(old.least_score()),
        })?);
        Ok(())
    }

    fn change_limits(&self, form: &mut ConfigForm) {
        let limits = &mut form.limits;
        limits.block_bytes = self.block_bytes.unwrap_or(limits.block_bytes);
        limits.block_transactions = self.block_transactions.unwrap_or(limits.block_transactions);
        limits.lifetime_blocks = self.lifetime_blocks.unwrap_or(limits.lifetime_blocks);
        if let Some(millis) = self.clock_skew_ms {
            limits.clock_skew_micros = i64::from(millis) * 1000;
        }
    }
}

/// A validator as people read it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ValidatorShown {
    /// Its organisation.
    pub member: String,
    /// Its key.
    pub key: String,
}

/// A configuration as people read it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ConfigShown {
    /// How many came before it.
    pub version: u64,
    /// Who orders and votes.
    pub validators: Vec<ValidatorShown>,
    /// Who decides on members, configuration and contracts.
    pub governance: String,
    /// Who else has to sign, method by method.
    pub policies: BTreeMap<&'static str, String>,
    /// SHA-256 of each authority's certificate.
    pub roots: Vec<String>,
    /// The most bytes of one block's transactions.
    pub block_bytes: u32,
    /// The most transactions of one block.
    pub block_transactions: u32,
    /// How many blocks ahead a transaction's last block may lie.
    pub lifetime_blocks: u64,
    /// How far a block's time may lie ahead of a validator's clock.
    pub clock_skew_ms: i64,
    /// How many have to approve what goes out without a bound.
    pub reviewers: u8,
    /// Who counts as a different reviewer.
    pub reviewers_of: &'static str,
    /// The least score of the automatic checks that may go out.
    pub least_score: Option<u8>,
}

impl ConfigShown {
    /// As people read it.
    #[must_use]
    pub fn of(config: &PlatformConfig) -> Self {
        let form = config.form();
        let review = form.review.unwrap_or(ReviewRule::STANDARD);
        let seat = |seat: &Validator| ValidatorShown {
            member: seat.member.to_string(),
            key: seat.key.to_string(),
        };
        Self {
            version: form.version,
            validators: form.validators.iter().map(seat).collect(),
            governance: form.governance.to_string(),
            policies: form.policies.iter().map(|(m, p)| (m.as_str(), p.to_string())).collect(),
            roots: form.roots.iter().map(fingerprint).collect(),
            block_bytes: form.limits.block_bytes,
            block_transactions: form.limits.block_transactions,
            lifetime_blocks: form.limits.lifetime_blocks,
            clock_skew_ms: form.limits.clock_skew_micros / 1000,
            reviewers: review.reviewers(),
            reviewers_of: review.independence().as_str(),
            least_score: review.least_score().map(ReviewScore::get),
        }
    }

    /// Every setting by name, for comparing two configurations.
    fn settings(&self) -> BTreeMap<String, String> {
        let mut all = BTreeMap::from([
            ("decided by".to_owned(), self.governance.clone()),
            ("bytes a block".to_owned(), self.block_bytes.to_string()),
            ("transactions a block".to_owned(), self.block_transactions.to_string()),
            ("blocks that a transaction waits".to_owned(), self.lifetime_blocks.to_string()),
            ("clocks agree within (ms)".to_owned(), self.clock_skew_ms.to_string()),
            ("reviewers of a release".to_owned(), self.reviewers.to_string()),
            ("reviewers with different".to_owned(), self.reviewers_of.to_owned()),
        ]);
        let least =
            self.least_score.map(|s| ("least score of a release".to_owned(), s.to_string()));
        all.extend(least);
        let seats =
            self.validators.iter().map(|v| (format!("validator {}", v.key), v.member.clone()));
        all.extend(seats);
        let least =
            self.least_score.map(|s| ("least score of a release".to_owned(), s.to_string()));
        all.extend(least);
        all.extend(self.policies.iter().map(|(m, who)| (format!("{m} also needs"), who.clone())));
        all.extend(self.roots.iter().map(|r| (format!("authority {r}"), "counts".to_owned())));
        all
    }
}

/// One setting that a proposal changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Which.
    pub setting: String,
    /// What it is; none when it is new.
    pub before: Option<String>,
    /// What it would be; none when it would be gone.
    pub after: Option<String>,
}

/// What differs between two configurations, setting by setting.
#[must_use]
pub fn differences(before: &PlatformConfig, after: &PlatformConfig) -> Vec<Difference> {
    let (before, mut after) =
        (ConfigShown::of(before).settings(), ConfigShown::of(after).settings());
    let mut found = Vec::new();
    for (setting, was) in before {
        let is = after.remove(&setting);
        if is.as_ref() != Some(&was) {
            found.push(Difference { setting, before: Some(was), after: is });
        }
    }
    let new = |(setting, is)| Difference { setting, before: None, after: Some(is) };
    found.extend(after.into_iter().map(new));
    found
}

/// A proposal as whoever is asked to sign it reads it.
#[derive(Debug, Clone, Serialize)]
pub struct Proposal {
    /// Its transaction.
    pub transaction: String,
    /// What it would do.
    pub method: &'static str,
    /// What it says, as the ledger would carry it.
    pub content: serde_json::Value,
    /// The last block in which it may be handed in.
    pub last_block: u64,
    /// Which members have signed; those who joined after the founding go by their keys.
    pub signed_by: Vec<String>,
}

impl Proposal {
    /// What a signed transaction would do.
    #[must_use]
    pub fn of(signed: &SignedTransaction, ledger: &HolderLedger) -> Self {
        let call = signed.transaction().call();
        let name = |key: &PublicKey| {
            let members = ledger.genesis().members.iter();
            let found = members.clone().find(|m| m.keys.iter().any(|k| k.key == *key));
            found.map_or_else(|| key.to_string(), |member| member.member.to_string())
        };
        Self {
            transaction: signed.id().to_string(),
            method: call.method().as_str(),
            content: serde_json::to_value(call).unwrap_or_default(),
            last_block: signed.transaction().last().get(),
            signed_by: signed.keys().iter().map(name).collect(),
        }
    }

    /// What it would change of the configuration in force, and whether it was made for that one;
    /// nothing for a proposal about anything else.
    #[must_use]
    pub fn changes(
        signed: &SignedTransaction,
        current: &PlatformConfig,
    ) -> Option<(Vec<Difference>, bool)> {
        let Call::ChangeConfig(change) = signed.transaction().call() else { return None };
        let fits = current.hash().is_ok_and(|hash| hash == change.base);
        Some((differences(current, &change.config), fits))
    }
}

/// The members that a seat's text names, as MEMBER:KEY.
///
/// # Errors
/// A sentence that says what is wrong.
pub fn seat(text: &str) -> Result<Validator, String> {
    let (member, of_it) = text.split_once(':').ok_or("write MEMBER:KEY")?;
    Ok(Validator { member: MemberId::new(member).map_err(|e| e.to_string())?, key: key(of_it)? })
}

/// A public key in hexadecimal.
///
/// # Errors
/// A sentence that says what is wrong.
pub fn key(text: &str) -> Result<PublicKey, String> {
    let bytes = hex::decode(text).map_err(|e| format!("the key is no hexadecimal: {e}"))?;
    PublicKey::try_from(bytes.as_slice()).map_err(|e| e.to_string())
}
