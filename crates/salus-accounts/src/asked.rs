use salus_crypto::OsEntropy;
use salus_crypto::aead::{Aad, AeadKey};
use salus_model::{Class, MicroRho, PermitId, Timestamp};
use serde::Serialize;

use crate::AccountError;
use crate::account::{AccountId, AccountRole};
use crate::accounts::Accounts;
use crate::authority::Authority;
use crate::session::Standing;
use crate::store::{Rows, SealedAsked};

/// A question that somebody is about to ask.
#[derive(Debug, Clone)]
pub struct Asking<'a> {
    /// Under which permit.
    pub permit: &'a PermitId,
    /// Of whose dataset, as `HOLDER/DATASET`.
    pub dataset: &'a str,
    /// The question's text.
    pub question: &'a str,
}

/// How a question ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "ended")]
pub enum Outcome {
    /// It was sent, and nothing came back yet, or nobody was there to write it down.
    Sent,
    /// It was answered.
    Answered {
        /// Under which deal.
        deal: String,
        /// The receipt.
        receipt: String,
        /// What it cost; nothing when an earlier answer was repeated.
        micro_rho: MicroRho,
    },
    /// It was not answered.
    Failed {
        /// By what kind of reason.
        class: &'static str,
    },
}

/// A question of the history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Asked {
    /// Its place, from 1.
    pub number: i64,
    /// When.
    pub at: Timestamp,
    /// Who asked.
    pub account: AccountId,
    /// Under which permit.
    pub permit: String,
    /// Of whose dataset.
    pub dataset: String,
    /// The question's text.
    pub question: String,
    /// How it ended.
    pub outcome: Outcome,
}

/// A question that was written down and is on its way.
#[derive(Debug)]
pub struct Pending {
    number: i64,
}

const CLASSES: [(Class, &str); 6] = [
    (Class::BadRequest, "bad-request"),
    (Class::Refused, "refused"),
    (Class::Peer, "peer"),
    (Class::Corrupt, "corrupt"),
    (Class::Unavailable, "unavailable"),
    (Class::Bug, "bug"),
];

fn bound(number: i64, account: &AccountId) -> Aad {
    Aad::new("salus.account.asked.v1", &[&number.to_be_bytes(), account.as_str().as_bytes()])
}

impl Outcome {
    fn word(&self) -> &str {
        match self {
            Self::Sent => "sent",
            Self::Answered { .. } => "answered",
            Self::Failed { class } => class,
        }
    }

    fn stored(row: &SealedAsked) -> Result<Self, AccountError> {
        match row.outcome.as_str() {
            "sent" => Ok(Self::Sent),
            "answered" => Ok(Self::Answered {
                deal: row.deal.clone(),
                receipt: row.receipt.clone(),
                micro_rho: MicroRho::new(u64::try_from(row.micro_rho).unwrap_or(u64::MAX)),
            }),
            word => match CLASSES.iter().find(|(_, known)| *known == word) {
                Some(&(_, class)) => Ok(Self::Failed { class }),
                None => Err(AccountError::CorruptField { what: "outcome" }),
            },
        }
    }

    /// A question that failed for a reason of this kind.
    #[must_use]
    pub fn failed(of: Class) -> Self {
        let found = CLASSES.iter().find(|(class, _)| *class == of);
        Self::Failed { class: found.map_or("bug", |&(_, word)| word) }
    }
}

impl Accounts {
    /// Writes a question down, before it is sent: what was asked is known even when the program
    /// stops in between.
    ///
    /// # Privacy
    /// The question's text may name what its writer looks for; it is sealed under the site's key.
    ///
    /// # Errors
    /// When the person is no researcher, or the database does not answer; then nothing is asked.
    pub async fn ask(&self, by: &Standing, asking: &Asking<'_>) -> Result<Pending, AccountError> {
        let account = Authority::from(by).full()?;
        if by.account.role != AccountRole::Researcher {
            return Err(AccountError::NotResearcher);
        }
        let mut transaction = self.alone().await?;
        let mut rows = Rows(&mut transaction);
        let number = rows.next_asked().await?;
        let sealed = self
            .key
            .seal(&mut OsEntropy, &bound(number, &account), asking.question.as_bytes())
            .map_err(AccountError::Seal)?;
        rows.insert_asked(&SealedAsked {
            number,
            at: self.clock.now(),
            account,
            permit: asking.permit.to_string(),
            dataset: asking.dataset.to_owned(),
            sealed: hex::encode(sealed),
            outcome: Outcome::Sent.word().to_owned(),
            deal: String::new(),
            receipt: String::new(),
            micro_rho: 0,
        })
        .await?;
        transaction.commit().await?;
        Ok(Pending { number })
    }

    /// Writes down how a question ended.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn ended(&self, asked: Pending, outcome: &Outcome) -> Result<(), AccountError> {
        let (deal, receipt, micro_rho) = match outcome {
            Outcome::Answered { deal, receipt, micro_rho } => (
                deal.as_str(),
                receipt.as_str(),
                i64::try_from(micro_rho.get()).unwrap_or(i64::MAX),
            ),
            Outcome::Sent | Outcome::Failed { .. } => ("", "", 0),
        };
        let mut transaction = self.alone().await?;
        Rows(&mut transaction)
            .end_asked(asked.number, (outcome.word(), deal, receipt, micro_rho))
            .await?;
        Ok(transaction.commit().await?)
    }

    /// The questions before number `before`, latest first: everybody's for administrators and
    /// auditors, one's own for others.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn asked(
        &self,
        by: impl Into<Authority<'_>>,
        before: Option<i64>,
        most: u16,
    ) -> Result<Vec<Asked>, AccountError> {
        let own = by.into().only()?;
        let mut connection = self.pool.acquire().await?;
        let rows = Rows(&mut connection)
            .asked(own.as_ref(), before.unwrap_or(i64::MAX), most.into())
            .await?;
        rows.iter().map(|row| opened(&self.key, row)).collect()
    }
}

fn opened(key: &AeadKey, row: &SealedAsked) -> Result<Asked, AccountError> {
    let damaged = AccountError::CorruptField { what: "question" };
    let Ok(sealed) = hex::decode(&row.sealed) else { return Err(damaged) };
    let Ok(text) = key.open(&bound(row.number, &row.account), &sealed) else { return Err(damaged) };
    let Ok(question) = String::from_utf8(text.to_vec()) else { return Err(damaged) };
    Ok(Asked {
        number: row.number,
        at: row.at,
        account: row.account.clone(),
        permit: row.permit.clone(),
        dataset: row.dataset.clone(),
        question,
        outcome: Outcome::stored(row)?,
    })
}
