use crate::AccountError;
use crate::account::{AccountId, AccountRole};
use crate::session::{Standing, Strength};

/// In whose name accounts are looked at or changed.
#[derive(Debug, Clone, Copy)]
pub enum Authority<'a> {
    /// Somebody who signed in.
    Session(&'a Standing),
    /// Whoever opened the site itself, with its key: nothing here could be kept from them.
    Operator,
}

impl<'a> From<&'a Standing> for Authority<'a> {
    fn from(standing: &'a Standing) -> Self {
        Self::Session(standing)
    }
}

impl Authority<'_> {
    /// Who acts, when the second factor that the role demands was shown.
    pub(crate) fn full(self) -> Result<AccountId, AccountError> {
        match self {
            Self::Operator => Ok(AccountId::operator()),
            Self::Session(of) => match of.strength {
                Strength::Full => Ok(of.account.id.clone()),
                Strength::Enrolment => Err(AccountError::EnrolFirst { role: of.account.role }),
            },
        }
    }

    pub(crate) fn administrator(self) -> Result<AccountId, AccountError> {
        let id = self.full()?;
        match self.role() {
            None | Some(AccountRole::Administrator) => Ok(id),
            Some(_) => Err(AccountError::NotAdministrator),
        }
    }

    /// Who reads what concerns everybody.
    pub(crate) fn overseer(self) -> Result<AccountId, AccountError> {
        let id = self.full()?;
        match self.role() {
            None | Some(AccountRole::Administrator | AccountRole::Auditor) => Ok(id),
            Some(AccountRole::Researcher | AccountRole::Steward | AccountRole::Technician) => {
                Err(AccountError::NotAdministrator)
            }
        }
    }

    /// The one account whose history may be read; none when it is everybody's.
    pub(crate) fn only(self) -> Result<Option<AccountId>, AccountError> {
        let id = self.full()?;
        Ok(self.overseer().is_err().then_some(id))
    }

    const fn role(self) -> Option<AccountRole> {
        match self {
            Self::Operator => None,
            Self::Session(of) => Some(of.account.role),
        }
    }
}
