use std::sync::Arc;

use salus_crypto::aead::{Aad, AeadKey};
use salus_crypto::{Digest, OsEntropy, PseudonymKey};
use salus_model::{Clock, Entropy as _, MemberId, Secret, Timestamp};
use sqlx::{Any, AnyPool, Transaction};
use tokio::sync::Semaphore;

use crate::AccountError;
use crate::account::{Account, AccountId, AccountRole, AccountState, Bound, LoginName};
use crate::authority::Authority;
use crate::events::{Event, EventKind};
use crate::password::{Kept, Password};
use crate::second::{self, Enrolment, Second};
use crate::session::{SessionRules, SessionToken, SignedIn, Standing, Strength};
use crate::store::{self, Database, Field, OpenError, Rows, Stored};

const INVITATION_PREFIX: &str = "salus_i_";
const DAY: i64 = 24 * 60 * 60 * 1_000_000;
/// How many passwords are hashed at a time; each takes 19 MiB.
const HASHED_AT_A_TIME: usize = 4;

/// An account to be made.
#[derive(Debug, Clone)]
pub struct NewAccount {
    /// What the person will type.
    pub login: LoginName,
    /// How the person is called on screen.
    pub name: String,
    /// What the person is here for.
    pub role: AccountRole,
    /// The organisation to which the person belongs.
    pub member: MemberId,
}

/// An account that was made, and the code by which its person chooses a password; shown once.
#[derive(Debug)]
pub struct Invitation {
    /// The account.
    pub account: Account,
    /// The code.
    pub code: Secret<String>,
    /// Until when it holds.
    pub expires: Timestamp,
}

/// A try to sign in.
#[derive(Debug)]
pub struct SignIn {
    /// The name as typed.
    pub login: String,
    /// The password as typed.
    pub password: Secret<String>,
    /// The second factor, when one was given.
    pub second: Option<Second>,
}

/// The accounts of one site.
pub struct Accounts {
    pub(crate) pool: AnyPool,
    pub(crate) key: AeadKey,
    names: PseudonymKey,
    pub(crate) clock: Arc<dyn Clock>,
    rules: SessionRules,
    nobody: Kept,
    hashing: Semaphore,
}

impl std::fmt::Debug for Accounts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Accounts")
    }
}

impl Accounts {
    /// Opens the accounts in `database`; `key` is the site's own, and is needed every time.
    ///
    /// # Errors
    /// When the database does not answer, was written by a newer program, or is a file that others
    /// can read.
    pub async fn open(
        database: &Database,
        key: &AeadKey,
        clock: Arc<dyn Clock>,
        rules: SessionRules,
    ) -> Result<Self, OpenError> {
        let pool = store::open(database).await?;
        let names = key.derive_key(&Aad::new("salus.account.names.v1", &[]));
        let nobody = tokio::task::spawn_blocking(|| Kept::of_nobody(&mut OsEntropy))
            .await
            .map_err(|_| OpenError::Stopping)??;
        Ok(Self {
            pool,
            key: key.derive_key(&Aad::new("salus.account.seal.v1", &[])),
            names: PseudonymKey::from_secret(Secret::new(*names.secret().expose())),
            clock,
            rules,
            nobody,
            hashing: Semaphore::new(HASHED_AT_A_TIME),
        })
    }

    /// Makes the first account, an administrator's; later ones are invited by administrators.
    ///
    /// # Errors
    /// When there is an account already.
    pub async fn found(
        &self,
        login: LoginName,
        name: String,
        member: MemberId,
    ) -> Result<Invitation, AccountError> {
        let mut transaction = self.alone().await?;
        if !Rows(&mut transaction).all().await?.is_empty() {
            return Err(AccountError::NotTheFirst);
        }
        let new = NewAccount { login, name, role: AccountRole::Administrator, member };
        let invitation = self.make(&mut transaction, new, &AccountId::operator()).await?;
        transaction.commit().await?;
        Ok(invitation)
    }

    /// Makes an account and a code for its person.
    ///
    /// # Errors
    /// When the caller is no administrator, or the login name is taken.
    pub async fn invite(
        &self,
        by: impl Into<Authority<'_>>,
        new: NewAccount,
    ) -> Result<Invitation, AccountError> {
        let by = by.into().administrator()?;
        let mut transaction = self.alone().await?;
        let invitation = self.make(&mut transaction, new, &by).await?;
        transaction.commit().await?;
        Ok(invitation)
    }

    /// Takes back an account that nobody has used yet, name and all.
    ///
    /// # Errors
    /// When its code was used already.
    pub async fn withdraw(&self, invitation: &Invitation) -> Result<(), AccountError> {
        let mut transaction = self.alone().await?;
        let mut rows = Rows(&mut transaction);
        if !rows.remove_unused(&invitation.account.id).await? {
            return Err(AccountError::NoInvitation);
        }
        Ok(transaction.commit().await?)
    }

    /// Gives a person a new code, for one who lost the first or forgot the password. Its use sets
    /// a new password and ends all sessions; the second factor stays.
    ///
    /// # Errors
    /// When the caller is no administrator, or the account is unknown or closed.
    pub async fn invite_again(
        &self,
        by: impl Into<Authority<'_>>,
        id: &AccountId,
    ) -> Result<Invitation, AccountError> {
        let by = by.into().administrator()?;
        let mut transaction = self.alone().await?;
        let account = Rows(&mut transaction).by_id(id).await?.account;
        if account.state == AccountState::Revoked {
            return Err(AccountError::NoAccount { id: id.clone() });
        }
        let invitation = self.code_for(&mut transaction, account, &by).await?;
        transaction.commit().await?;
        Ok(invitation)
    }

    async fn make(
        &self,
        transaction: &mut Transaction<'static, Any>,
        new: NewAccount,
        by: &AccountId,
    ) -> Result<Invitation, AccountError> {
        let account = Account {
            id: AccountId::generate(&mut OsEntropy)?,
            login: new.login,
            name: new.name.chars().filter(|c| !c.is_control()).take(128).collect(),
            role: new.role,
            member: new.member,
            bound: None,
            state: AccountState::Invited,
            second_factor: false,
            created: self.clock.now(),
        };
        Rows(&mut *transaction).insert(&account).await?;
        self.code_for(transaction, account, by).await
    }

    async fn code_for(
        &self,
        transaction: &mut Transaction<'static, Any>,
        account: Account,
        by: &AccountId,
    ) -> Result<Invitation, AccountError> {
        let mut bytes = zeroize::Zeroizing::new([0; 32]);
        OsEntropy.fill(&mut *bytes)?;
        let code = Secret::new(format!("{INVITATION_PREFIX}{}", hex::encode(*bytes)));
        let now = self.clock.now();
        let expires = now.saturating_add_micros(self.rules.invitation_micros);
        let mut rows = Rows(&mut *transaction);
        rows.insert_invitation(&invitation_digest(&code), &account.id, expires).await?;
        rows.record(now, &account.id, by, EventKind::Invited).await?;
        Ok(Invitation { account, code, expires })
    }

    /// Takes up an invitation: sets the password and signs in.
    ///
    /// # Errors
    /// When the code is not valid any more, or the password is not accepted; the code stays good
    /// for another password.
    pub async fn accept(
        &self,
        code: &Secret<String>,
        password: &Secret<String>,
    ) -> Result<SignedIn, AccountError> {
        let digest = invitation_digest(code);
        let mut connection = self.pool.acquire().await?;
        let id = Rows(&mut connection).invited(&digest, self.clock.now()).await?;
        let id = id.ok_or(AccountError::NoInvitation)?;
        let account = Rows(&mut connection).by_id(&id).await?.account;
        drop(connection);
        let kept = self.keep(&account, password).await?;

        let mut transaction = self.alone().await?;
        let now = self.clock.now();
        let mut rows = Rows(&mut transaction);
        // Another may have used the code while this one was hashing.
        if rows.invited(&digest, now).await?.as_ref() != Some(&id) {
            return Err(AccountError::NoInvitation);
        }
        let stored = rows.by_id(&id).await?;
        if stored.account.state == AccountState::Revoked {
            return Err(AccountError::NoInvitation);
        }
        rows.end_invitations(&id).await?;
        rows.end_sessions(&id).await?;
        rows.set(&id, Field::Password, kept.as_str()).await?;
        rows.set(&id, Field::State, AccountState::Active.as_str()).await?;
        rows.forget_tries(&self.tried(stored.account.login.as_str())).await?;
        rows.record(now, &id, &id, EventKind::Accepted).await?;
        if stored.account.second_factor {
            // The code replaces the password alone; a lost factor is another matter.
            transaction.commit().await?;
            return Err(AccountError::CodeWanted);
        }
        let account = Account { state: AccountState::Active, ..stored.account };
        let signed_in = self.begin(&mut transaction, account, Second::NONE).await?;
        transaction.commit().await?;
        Ok(signed_in)
    }

    /// Signs in.
    ///
    /// # Errors
    /// [`AccountError::Refused`] for a wrong name, password or code; [`AccountError::CodeWanted`]
    /// when the password is right and a code is missing; [`AccountError::Wait`] after too many
    /// tries, whether the name exists or not.
    ///
    /// # Cost
    /// One hash, for known and unknown names alike.
    pub async fn sign_in(&self, sign_in: SignIn) -> Result<SignedIn, AccountError> {
        let login = LoginName::new(&sign_in.login).ok();
        let spelled = login.as_ref().map_or(sign_in.login.as_str(), LoginName::as_str);
        let name = self.tried(spelled);
        self.count_try(&name).await?;

        let known = match &login {
            Some(login) => {
                let mut connection = self.pool.acquire().await?;
                Rows(&mut connection).by_login(login).await?
            }
            None => None,
        };
        let usable = known.filter(|stored| stored.account.state == AccountState::Active);
        let kept = usable.as_ref().and_then(|stored| stored.password.clone());
        let fits = self.fits(kept.as_ref(), &sign_in.password).await?;
        let Some(stored) = usable else {
            // The same writing to the disk as for a name that exists, which would be heard.
            self.note_failure(&AccountId::nobody()).await?;
            return Err(AccountError::Refused);
        };
        if !fits || kept.is_none() {
            self.note_failure(&stored.account.id).await?;
            return Err(AccountError::Refused);
        }

        let mut transaction = self.alone().await?;
        // As it is now: it may have been closed, or its password changed, while this was hashing.
        let now_stored = Rows(&mut transaction).by_id(&stored.account.id).await?;
        if now_stored.account.state != AccountState::Active || now_stored.password != kept {
            return Err(AccountError::Refused);
        }
        let shown =
            self.second_factor(&mut transaction, &now_stored, sign_in.second.as_ref()).await;
        let shown = match shown {
            Ok(shown) => shown,
            Err(AccountError::Refused) => {
                transaction.rollback().await?;
                self.note_failure(&stored.account.id).await?;
                return Err(AccountError::Refused);
            }
            // The password was right: asking for the code is no failed try.
            Err(AccountError::CodeWanted) => {
                let mut rows = Rows(&mut transaction);
                let tries = rows.tries(&name, self.clock.now()).await?;
                rows.set_tries(&name, tries.give_back()).await?;
                transaction.commit().await?;
                return Err(AccountError::CodeWanted);
            }
            Err(other) => return Err(other),
        };
        let mut rows = Rows(&mut transaction);
        rows.forget_tries(&name).await?;
        rows.record(self.clock.now(), &stored.account.id, &stored.account.id, EventKind::SignedIn)
            .await?;
        let signed_in = self.begin(&mut transaction, now_stored.account, shown).await?;
        transaction.commit().await?;
        Ok(signed_in)
    }

    /// Whose session a token is; counts as a use of it.
    ///
    /// # Errors
    /// When there is no such session, it has ended, or the account is closed.
    pub async fn who(&self, token: &SessionToken) -> Result<Standing, AccountError> {
        let now = self.clock.now();
        let idle = now.saturating_add_micros(-self.rules.idle_micros);
        let mut connection = self.pool.acquire().await?;
        let mut rows = Rows(&mut connection);
        let found = rows.use_session(&token.digest(), idle, now).await?;
        let (id, strength, expires) = found.ok_or(AccountError::NoSession)?;
        let account = rows.by_id(&id).await?.account;
        if account.state != AccountState::Active {
            return Err(AccountError::NoSession);
        }
        Ok(Standing { account, strength, expires })
    }

    /// Ends a session; one that is not there has ended.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn sign_out(&self, token: &SessionToken) -> Result<(), AccountError> {
        let mut connection = self.pool.acquire().await?;
        Rows(&mut connection).end_session(&token.digest()).await
    }

    /// Begins to set up a second factor; nothing changes before [`Accounts::confirm_enrolment`].
    ///
    /// # Errors
    /// When there is one already, or the database or the source of randomness does not answer.
    pub async fn enrol(&self, of: &Standing) -> Result<Enrolment, AccountError> {
        let account = &of.account;
        // Whoever got hold of a session must not make it last by a factor of their own.
        if account.second_factor {
            return Err(AccountError::FactorSet);
        }
        let enrolment =
            Enrolment::generate(&mut OsEntropy, &self.key, &account.id, account.login.as_str())?;
        let mut transaction = self.alone().await?;
        let mut rows = Rows(&mut transaction);
        rows.set(&account.id, Field::TotpPending, &enrolment.sealed).await?;
        rows.replace_recovery(&account.id, &enrolment.recovery_digests).await?;
        transaction.commit().await?;
        Ok(enrolment)
    }

    /// Makes the second factor count, once a code of it is right; every other session ends.
    ///
    /// # Errors
    /// When the code is wrong or nothing was begun.
    pub async fn confirm_enrolment(
        &self,
        of: &Standing,
        code: &Secret<String>,
    ) -> Result<SignedIn, AccountError> {
        let id = &of.account.id;
        self.count_try(&self.tried(of.account.login.as_str())).await?;
        let now = self.clock.now();
        let mut transaction = self.alone().await?;
        let mut rows = Rows(&mut transaction);
        let stored = rows.by_id(id).await?;
        if stored.totp_pending.is_empty() {
            return Err(AccountError::Refused);
        }
        let step = second::step_of_code(&self.key, id, &stored.totp_pending, code, 0, now)?;
        let step = step.ok_or(AccountError::Refused)?;
        rows.set(id, Field::Totp, &stored.totp_pending).await?;
        rows.use_step(id, step).await?;
        rows.confirm_recovery(id).await?;
        rows.end_sessions(id).await?;
        rows.forget_tries(&self.tried(of.account.login.as_str())).await?;
        rows.record(now, id, id, EventKind::Enrolled).await?;
        let account = Account { second_factor: true, ..stored.account };
        let signed_in = self.begin(&mut transaction, account, Second::SHOWN).await?;
        transaction.commit().await?;
        Ok(signed_in)
    }

    /// Changes one's own password; every session ends and a new one begins.
    ///
    /// # Errors
    /// When the present password is wrong, or the new one is not accepted.
    pub async fn change_password(
        &self,
        of: &Standing,
        present: &Secret<String>,
        new: &Secret<String>,
    ) -> Result<SignedIn, AccountError> {
        Authority::from(of).full()?;
        let id = &of.account.id;
        let name = self.tried(of.account.login.as_str());
        self.count_try(&name).await?;
        let mut connection = self.pool.acquire().await?;
        let before = Rows(&mut connection).by_id(id).await?.password;
        drop(connection);
        if !self.fits(before.as_ref(), present).await? {
            self.note_failure(id).await?;
            return Err(AccountError::Refused);
        }
        let kept = self.keep(&of.account, new).await?;
        let mut transaction = self.alone().await?;
        let mut rows = Rows(&mut transaction);
        let stored = rows.by_id(id).await?;
        if stored.password != before {
            return Err(AccountError::Raced);
        }
        rows.set(id, Field::Password, kept.as_str()).await?;
        rows.end_sessions(id).await?;
        rows.end_invitations(id).await?;
        rows.forget_tries(&name).await?;
        rows.record(self.clock.now(), id, id, EventKind::PasswordChanged).await?;
        let signed_in = self.begin(&mut transaction, stored.account, Second::SHOWN).await?;
        transaction.commit().await?;
        Ok(signed_in)
    }

    /// Changes an account's role; its sessions end.
    ///
    /// # Errors
    /// When the caller is no administrator, or the account is the last one.
    pub async fn change_role(
        &self,
        by: impl Into<Authority<'_>>,
        id: &AccountId,
        role: AccountRole,
    ) -> Result<(), AccountError> {
        let by = by.into().administrator()?;
        let mut transaction = self.alone().await?;
        if role != AccountRole::Administrator {
            not_the_last(&mut transaction, id).await?;
        }
        let mut rows = Rows(&mut transaction);
        rows.set(id, Field::Role, role.as_str()).await?;
        // The organisation vouched for the former role.
        rows.bind(id, None).await?;
        rows.end_sessions(id).await?;
        rows.record(self.clock.now(), id, &by, EventKind::RoleChanged).await?;
        Ok(transaction.commit().await?)
    }

    /// Binds an account's role to a key of its organisation on the ledger; none takes it away.
    ///
    /// That the key is on the ledger, the organisation's and good for the role is the caller's to
    /// prove; the ledger's contracts check it again for each transaction.
    ///
    /// # Errors
    /// When the caller is no administrator or the account is unknown.
    pub async fn bind(
        &self,
        by: impl Into<Authority<'_>>,
        id: &AccountId,
        bound: Option<&Bound>,
    ) -> Result<(), AccountError> {
        let by = by.into().administrator()?;
        let mut transaction = self.alone().await?;
        let mut rows = Rows(&mut transaction);
        rows.bind(id, bound).await?;
        rows.record(self.clock.now(), id, &by, EventKind::Bound).await?;
        Ok(transaction.commit().await?)
    }

    /// Takes a lost second factor away; the sessions end, and the role may demand a new one.
    ///
    /// # Errors
    /// When the caller is no administrator or the account is unknown.
    pub async fn remove_factor(
        &self,
        by: impl Into<Authority<'_>>,
        id: &AccountId,
    ) -> Result<(), AccountError> {
        let by = by.into().administrator()?;
        let mut transaction = self.alone().await?;
        let mut rows = Rows(&mut transaction);
        rows.set(id, Field::Totp, "").await?;
        rows.forget_recovery(id, 0).await?;
        rows.forget_recovery(id, 1).await?;
        rows.end_sessions(id).await?;
        rows.record(self.clock.now(), id, &by, EventKind::FactorRemoved).await?;
        Ok(transaction.commit().await?)
    }

    /// Closes an account for good; its sessions and invitations end at once.
    ///
    /// # Errors
    /// When the caller is no administrator, or the account is the last one.
    pub async fn revoke(
        &self,
        by: impl Into<Authority<'_>>,
        id: &AccountId,
    ) -> Result<(), AccountError> {
        let by = by.into().administrator()?;
        let mut transaction = self.alone().await?;
        not_the_last(&mut transaction, id).await?;
        let mut rows = Rows(&mut transaction);
        rows.set(id, Field::State, AccountState::Revoked.as_str()).await?;
        rows.set(id, Field::Password, "").await?;
        rows.end_sessions(id).await?;
        rows.end_invitations(id).await?;
        rows.record(self.clock.now(), id, &by, EventKind::Revoked).await?;
        Ok(transaction.commit().await?)
    }

    /// Every account, by login name.
    ///
    /// # Errors
    /// When the caller is neither administrator nor auditor.
    pub async fn list(&self, by: impl Into<Authority<'_>>) -> Result<Vec<Account>, AccountError> {
        by.into().overseer()?;
        let mut connection = self.pool.acquire().await?;
        Rows(&mut connection).all().await
    }

    /// The history before number `before`, latest first: of every account for administrators and
    /// auditors, of one's own for others.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn history(
        &self,
        by: impl Into<Authority<'_>>,
        before: Option<i64>,
        most: u16,
    ) -> Result<Vec<Event>, AccountError> {
        let own = by.into().only()?;
        let mut connection = self.pool.acquire().await?;
        Rows(&mut connection).events(own.as_ref(), before.unwrap_or(i64::MAX), most.into()).await
    }

    /// Puts on record what an administrator is about to do for the organisation.
    ///
    /// # Errors
    /// When the caller is no administrator, or the database does not answer; it is not to be done
    /// then.
    pub async fn note(
        &self,
        by: impl Into<Authority<'_>>,
        kind: EventKind,
    ) -> Result<(), AccountError> {
        let by = by.into().administrator()?;
        let mut transaction = self.alone().await?;
        Rows(&mut transaction).record(self.clock.now(), &by, &by, kind).await?;
        Ok(transaction.commit().await?)
    }

    /// Removes sessions, invitations and waits that have ended; to be called now and then.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn sweep(&self) -> Result<(), AccountError> {
        let now = self.clock.now();
        let idle = now.saturating_add_micros(-self.rules.idle_micros);
        let mut transaction = self.alone().await?;
        Rows(&mut transaction).sweep(now, idle, now.saturating_add_micros(-DAY)).await?;
        Ok(transaction.commit().await?)
    }

    /// A transaction that follows every other one begun here.
    pub(crate) async fn alone(&self) -> Result<Transaction<'static, Any>, AccountError> {
        let mut transaction = self.pool.begin().await?;
        Rows(&mut transaction).one_at_a_time().await?;
        Ok(transaction)
    }

    /// What a name is counted under; names that do not exist are not kept in plaintext.
    fn tried(&self, spelled: &str) -> Digest {
        self.names.of_parts("salus.account.tries.v1", &[spelled.as_bytes()])
    }

    async fn count_try(&self, name: &Digest) -> Result<(), AccountError> {
        let now = self.clock.now();
        let mut transaction = self.alone().await?;
        let mut rows = Rows(&mut transaction);
        let counted = rows.tries(name, now).await?.count(now);
        let tries = counted.map_err(|until| AccountError::Wait { until })?;
        rows.set_tries(name, tries).await?;
        Ok(transaction.commit().await?)
    }

    async fn note_failure(&self, id: &AccountId) -> Result<(), AccountError> {
        let mut transaction = self.alone().await?;
        Rows(&mut transaction).record(self.clock.now(), id, id, EventKind::Failed).await?;
        Ok(transaction.commit().await?)
    }

    async fn fits(
        &self,
        kept: Option<&Kept>,
        typed: &Secret<String>,
    ) -> Result<bool, AccountError> {
        let kept = kept.unwrap_or(&self.nobody).clone();
        let typed = Password::typed(typed);
        let _permit = self.hashing.acquire().await.map_err(|_| AccountError::Stopping)?;
        tokio::task::spawn_blocking(move || kept.fits(&typed))
            .await
            .map_err(|_| AccountError::Stopping)
    }

    async fn keep(&self, account: &Account, chosen: &Secret<String>) -> Result<Kept, AccountError> {
        let about = [account.login.to_string(), account.name.clone(), account.member.to_string()];
        let chosen = Secret::new(chosen.expose().clone());
        let _permit = self.hashing.acquire().await.map_err(|_| AccountError::Stopping)?;
        // Guessing at a long password takes a core for a moment too.
        let kept = tokio::task::spawn_blocking(move || {
            let about = about.each_ref().map(String::as_str);
            let password = Password::chosen(&chosen, &about)?;
            Ok::<_, AccountError>(Kept::new(&mut OsEntropy, &password)?)
        });
        kept.await.map_err(|_| AccountError::Stopping)?
    }

    /// Whether a second factor was shown; refused when it is wrong or missing.
    async fn second_factor(
        &self,
        transaction: &mut Transaction<'static, Any>,
        stored: &Stored,
        second: Option<&Second>,
    ) -> Result<bool, AccountError> {
        if stored.totp.is_empty() {
            return Ok(Second::NONE);
        }
        let id = &stored.account.id;
        let now = self.clock.now();
        let mut rows = Rows(&mut *transaction);
        let good = match second {
            None => return Err(AccountError::CodeWanted),
            Some(Second::Code(code)) => {
                let step =
                    second::step_of_code(&self.key, id, &stored.totp, code, stored.totp_step, now)?;
                match step {
                    Some(step) => rows.use_step(id, step).await?,
                    None => false,
                }
            }
            Some(Second::Recovery(code)) => {
                let used =
                    rows.use_recovery(id, &second::recovery_digest(id, code.expose())).await?;
                if used {
                    rows.record(now, id, id, EventKind::RecoveryUsed).await?;
                }
                used
            }
        };
        if good { Ok(Second::SHOWN) } else { Err(AccountError::Refused) }
    }

    async fn begin(
        &self,
        transaction: &mut Transaction<'static, Any>,
        account: Account,
        second_shown: bool,
    ) -> Result<SignedIn, AccountError> {
        let missing = account.role.wants_second_factor() && !account.second_factor && !second_shown;
        let strength = if missing { Strength::Enrolment } else { Strength::Full };
        let token = SessionToken::generate(&mut OsEntropy)?;
        let now = self.clock.now();
        let expires = now.saturating_add_micros(self.rules.longest_micros);
        Rows(&mut *transaction)
            .insert_session(&token.digest(), &account.id, strength, now, expires)
            .await?;
        Ok(SignedIn { token, standing: Standing { account, strength, expires } })
    }
}

impl Second {
    const NONE: bool = false;
    const SHOWN: bool = true;
}

fn invitation_digest(code: &Secret<String>) -> Digest {
    Digest::of_parts("salus.account.invitation.v1", &[code.expose().trim().as_bytes()])
}

/// Refuses when `id` is the only administrator who can still sign in.
async fn not_the_last(
    transaction: &mut Transaction<'static, Any>,
    id: &AccountId,
) -> Result<(), AccountError> {
    let others = Rows(&mut *transaction).all().await?;
    let mut left = others.iter().filter(|account| {
        account.role == AccountRole::Administrator
            && account.state == AccountState::Active
            && account.id != *id
    });
    if left.next().is_none()
        && others.iter().any(|a| a.id == *id && a.role == AccountRole::Administrator)
    {
        return Err(AccountError::LastAdministrator);
    }
    Ok(())
}
