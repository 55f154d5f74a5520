use std::collections::BTreeSet;

use salus_model::{Purpose, RoleName, StaffId};
use salus_query::{AccessToken, AuthenticationFailed, Authenticator, StaffIdentity};

/// The person at the site's own command line.
///
/// Whoever holds the key store's passphrase can read everything; the roles keep an operator from
/// doing so by accident, and the access log names the operating system's account.
pub struct Operator(StaffIdentity);

impl Operator {
    /// The operator with this account, acting in one role.
    #[must_use]
    pub fn new(staff: StaffId, role: RoleName, purpose: Purpose) -> Self {
        Self(StaffIdentity { staff, roles: BTreeSet::from([role]), purpose })
    }
}

#[async_trait::async_trait]
impl Authenticator for Operator {
    async fn authenticate(&self, _: &AccessToken) -> Result<StaffIdentity, AuthenticationFailed> {
        Ok(self.0.clone())
    }
}
