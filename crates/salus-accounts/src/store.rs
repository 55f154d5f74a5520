use std::path::{Path, PathBuf};

use salus_crypto::Digest;
use salus_ledger::PublicKey;
use salus_model::{Class, Classified, MemberId, Secret, Timestamp};
use sqlx::any::{AnyConnectOptions, AnyPoolOptions, AnyRow};
use sqlx::{Any, AnyConnection, AnyPool, Row as _};

use crate::account::{Account, AccountId, AccountRole, AccountState, Bound, LoginName};
use crate::events::{Event, EventKind};
use crate::limit::Tries;
use crate::password::Kept;
use crate::session::Strength;
use crate::{AccountError, password};

/// Where accounts are kept.
#[derive(Debug)]
pub enum Database {
    /// A file of SQLite, made with mode 0600 when it is not there.
    Sqlite(PathBuf),
    /// A database of PostgreSQL, by its URL, which may have a password.
    Postgres(Secret<String>),
}

/// The database cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file cannot be made or is open to others.
    #[error("the database of accounts {path} cannot be used")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Others may read it.
    #[error("{path} can be read by others; take their rights away: chmod 600 {path}")]
    Readable {
        /// The file.
        path: PathBuf,
    },
    /// The database refuses.
    #[error("the database of accounts does not answer")]
    Database(#[from] sqlx::Error),
    /// It was written by a newer program.
    #[error(
        "the database of accounts has version {found}; this program knows {SCHEMA_VERSION}: update it"
    )]
    Newer {
        /// Its version.
        found: i64,
    },
    /// No hash to compare unknown names with.
    #[error("accounts cannot be opened")]
    Hash(#[from] password::HashFailed),
    /// The thread that hashes is gone.
    #[error("the program is stopping")]
    Stopping,
}

impl Classified for OpenError {
    fn class(&self) -> Class {
        match self {
            Self::Readable { .. } | Self::Newer { .. } => Class::Refused,
            _ => Class::Unavailable,
        }
    }
}

const SCHEMA_VERSION: i64 = 1;
/// How exactly the last use of a session is kept, in microseconds.
const MARKED_EVERY: i64 = 20_000_000;

/// Text and whole numbers alone, so that one schema serves both databases. Empty text is absence.
const SCHEMA: &[&str] = &[
    "CREATE TABLE IF NOT EXISTS salus_schema (version BIGINT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS account (
        id TEXT PRIMARY KEY, login TEXT NOT NULL UNIQUE, name TEXT NOT NULL, role TEXT NOT NULL,
        member TEXT NOT NULL, ledger_key TEXT NOT NULL, certificate TEXT NOT NULL,
        state TEXT NOT NULL, password TEXT NOT NULL, totp TEXT NOT NULL, totp_pending TEXT NOT NULL,
        totp_step BIGINT NOT NULL, created BIGINT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS recovery (
        digest TEXT PRIMARY KEY, account TEXT NOT NULL, pending BIGINT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS session (
        digest TEXT PRIMARY KEY, account TEXT NOT NULL, strength TEXT NOT NULL,
        used BIGINT NOT NULL, expires BIGINT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS invitation (
        digest TEXT PRIMARY KEY, account TEXT NOT NULL, expires BIGINT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS tries (
        name TEXT PRIMARY KEY, failures BIGINT NOT NULL, next BIGINT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS event (
        number BIGINT PRIMARY KEY, at BIGINT NOT NULL, account TEXT NOT NULL, by_account TEXT NOT NULL,
        kind TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS asked (
        number BIGINT PRIMARY KEY, at BIGINT NOT NULL, account TEXT NOT NULL, permit TEXT NOT NULL,
        dataset TEXT NOT NULL, sealed TEXT NOT NULL, outcome TEXT NOT NULL, deal TEXT NOT NULL,
        receipt TEXT NOT NULL, micro_rho BIGINT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS guard (id BIGINT PRIMARY KEY, count BIGINT NOT NULL)",
    "INSERT INTO guard (id, count) VALUES (1, 0) ON CONFLICT (id) DO NOTHING",
];

fn prepare_file(path: &Path) -> Result<(), OpenError> {
    use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
    let io = |source| OpenError::File { path: path.to_owned(), source };
    let file = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(io)?;
    let mode = file.metadata().map_err(io)?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(OpenError::Readable { path: path.to_owned() });
    }
    Ok(())
}

/// A file's URL, in which no character of its path says anything but itself.
fn file_url(path: &Path) -> String {
    use std::os::unix::ffi::OsStrExt as _;
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'.' | b'_' | b'-');
    let bytes = path.as_os_str().as_bytes().iter();
    let text: String = bytes
        .map(|&b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") })
        .collect();
    format!("sqlite://{text}")
}

pub(crate) async fn open(database: &Database) -> Result<AnyPool, OpenError> {
    sqlx::any::install_default_drivers();
    let (url, connections) = match database {
        Database::Sqlite(path) => {
            prepare_file(path)?;
            // One connection: SQLite has one writer, and waiting in the pool is fairer than retries.
            (file_url(path), 1)
        }
        Database::Postgres(url) => (url.expose().clone(), 8),
    };
    let options: AnyConnectOptions = url.parse()?;
    let sqlite = matches!(database, Database::Sqlite(_));
    let pool = AnyPoolOptions::new()
        .max_connections(connections)
        .after_connect(move |connection, _| {
            Box::pin(async move {
                if sqlite {
                    for pragma in ["PRAGMA journal_mode = WAL", "PRAGMA synchronous = FULL"] {
                        sqlx::query(pragma).execute(&mut *connection).await?;
                    }
                }
                Ok(())
            })
        })
        .connect_with(options)
        .await?;
    let mut transaction = pool.begin().await?;
    if !sqlite {
        // Two programs that begin at once would both make the tables.
        sqlx::query("SELECT pg_advisory_xact_lock(8315173)").execute(&mut *transaction).await?;
    }
    for statement in SCHEMA {
        sqlx::query(*statement).execute(&mut *transaction).await?;
    }
    let row = sqlx::query("SELECT MAX(version) AS version FROM salus_schema")
        .fetch_one(&mut *transaction)
        .await?;
    match row.try_get::<Option<i64>, _>("version")? {
        None => {
            sqlx::query("INSERT INTO salus_schema (version) VALUES ($1)")
                .bind(SCHEMA_VERSION)
                .execute(&mut *transaction)
                .await?;
        }
        Some(found) if found > SCHEMA_VERSION => return Err(OpenError::Newer { found }),
        Some(_) => {}
    }
    transaction.commit().await?;
    Ok(pool)
}

/// An account with what only this crate sees.
pub(crate) struct Stored {
    pub(crate) account: Account,
    pub(crate) password: Option<Kept>,
    pub(crate) totp: String,
    pub(crate) totp_pending: String,
    pub(crate) totp_step: i64,
}

fn time(row: &AnyRow, column: &'static str) -> Result<Timestamp, AccountError> {
    Timestamp::from_micros(row.try_get::<i64, _>(column)?)
        .map_err(|_| AccountError::CorruptField { what: column })
}

fn text(row: &AnyRow, column: &'static str) -> Result<String, AccountError> {
    Ok(row.try_get::<String, _>(column)?)
}

fn id(row: &AnyRow, column: &'static str) -> Result<AccountId, AccountError> {
    Ok(AccountId::try_from(text(row, column)?)?)
}

fn stored(row: &AnyRow) -> Result<Stored, AccountError> {
    let (key, certificate) = (text(row, "ledger_key")?, text(row, "certificate")?);
    let bound = match key.as_str() {
        "" => None,
        hex => Some(Bound {
            key: PublicKey::new(*digest(hex, "ledger_key")?.as_bytes()),
            certificate: digest(&certificate, "certificate")?,
        }),
    };
    let password = Some(text(row, "password")?).filter(|hash| !hash.is_empty()).map(Kept::stored);
    let totp = text(row, "totp")?;
    let member = MemberId::new(text(row, "member")?);
    Ok(Stored {
        account: Account {
            id: id(row, "id")?,
            login: LoginName::new(&text(row, "login")?)?,
            name: text(row, "name")?,
            role: text(row, "role")?.parse::<AccountRole>()?,
            member: member.map_err(|_| AccountError::CorruptField { what: "member" })?,
            bound,
            state: text(row, "state")?.parse::<AccountState>()?,
            second_factor: !totp.is_empty(),
            created: time(row, "created")?,
        },
        password,
        totp,
        totp_pending: text(row, "totp_pending")?,
        totp_step: row.try_get("totp_step")?,
    })
}

fn digest(hex: &str, what: &'static str) -> Result<Digest, AccountError> {
    let mut bytes = [0; 32];
    hex::decode_to_slice(hex, &mut bytes).map_err(|_| AccountError::CorruptField { what })?;
    Ok(Digest::from_bytes(bytes))
}

pub(crate) fn hexed(digest: &Digest) -> String {
    hex::encode(digest.as_bytes())
}

/// The statements, on one connection, which is mostly a transaction's.
pub(crate) struct Rows<'c>(pub(crate) &'c mut AnyConnection);

impl Rows<'_> {
    /// Makes transactions that call this follow one another, on either database.
    pub(crate) async fn one_at_a_time(&mut self) -> Result<(), AccountError> {
        sqlx::query("UPDATE guard SET count = count + 1 WHERE id = 1")
            .execute(&mut *self.0)
            .await?;
        Ok(())
    }

    async fn one(
        &mut self,
        query: sqlx::query::Query<'_, Any, sqlx::any::AnyArguments>,
    ) -> Result<Option<Stored>, AccountError> {
        query.fetch_optional(&mut *self.0).await?.as_ref().map(stored).transpose()
    }

    pub(crate) async fn by_login(
        &mut self,
        login: &LoginName,
    ) -> Result<Option<Stored>, AccountError> {
        self.one(
            sqlx::query("SELECT * FROM account WHERE login = $1").bind(login.as_str().to_owned()),
        )
        .await
    }

    pub(crate) async fn by_id(&mut self, id: &AccountId) -> Result<Stored, AccountError> {
        self.one(sqlx::query("SELECT * FROM account WHERE id = $1").bind(id.as_str().to_owned()))
            .await?
            .ok_or_else(|| AccountError::NoAccount { id: id.clone() })
    }

    pub(crate) async fn all(&mut self) -> Result<Vec<Account>, AccountError> {
        let rows =
            sqlx::query("SELECT * FROM account ORDER BY login").fetch_all(&mut *self.0).await?;
        rows.iter().map(|row| Ok(stored(row)?.account)).collect()
    }

    pub(crate) async fn insert(&mut self, account: &Account) -> Result<(), AccountError> {
        let made = sqlx::query(
            "INSERT INTO account (id, login, name, role, member, ledger_key, certificate, state, \
             password, totp, totp_pending, totp_step, created) \
             VALUES ($1, $2, $3, $4, $5, '', '', $6, '', '', '', 0, $7)",
        )
        .bind(account.id.as_str().to_owned())
        .bind(account.login.as_str().to_owned())
        .bind(account.name.clone())
        .bind(account.role.as_str())
        .bind(account.member.as_str().to_owned())
        .bind(account.state.as_str())
        .bind(account.created.as_micros())
        .execute(&mut *self.0)
        .await;
        match made {
            Err(sqlx::Error::Database(e)) if e.is_unique_violation() => {
                Err(AccountError::Taken { login: account.login.clone() })
            }
            made => made.map(|_| ()).map_err(AccountError::from),
        }
    }

    /// Removes an account that was never used, with what hangs on it; false when it was used.
    pub(crate) async fn remove_unused(&mut self, id: &AccountId) -> Result<bool, AccountError> {
        let done = sqlx::query("DELETE FROM account WHERE id = $1 AND state = 'invited'")
            .bind(id.as_str().to_owned())
            .execute(&mut *self.0)
            .await?;
        self.end_invitations(id).await?;
        Ok(done.rows_affected() == 1)
    }

    /// Sets one text of an account.
    pub(crate) async fn set(
        &mut self,
        id: &AccountId,
        field: Field,
        value: &str,
    ) -> Result<(), AccountError> {
        let statement = match field {
            Field::Password => "UPDATE account SET password = $1 WHERE id = $2",
            Field::Role => "UPDATE account SET role = $1 WHERE id = $2",
            Field::State => "UPDATE account SET state = $1 WHERE id = $2",
            Field::Totp => "UPDATE account SET totp = $1, totp_pending = '' WHERE id = $2",
            Field::TotpPending => "UPDATE account SET totp_pending = $1 WHERE id = $2",
        };
        let done = sqlx::query(statement)
            .bind(value.to_owned())
            .bind(id.as_str().to_owned())
            .execute(&mut *self.0)
            .await?;
        if done.rows_affected() == 0 {
            return Err(AccountError::NoAccount { id: id.clone() });
        }
        Ok(())
    }

    /// Binds a role to a key on the ledger, or takes that away.
    pub(crate) async fn bind(
        &mut self,
        id: &AccountId,
        bound: Option<&Bound>,
    ) -> Result<(), AccountError> {
        let done =
            sqlx::query("UPDATE account SET ledger_key = $1, certificate = $2 WHERE id = $3")
                .bind(bound.map(|b| b.key.to_string()).unwrap_or_default())
                .bind(bound.map(|b| hexed(&b.certificate)).unwrap_or_default())
                .bind(id.as_str().to_owned())
                .execute(&mut *self.0)
                .await?;
        if done.rows_affected() == 0 {
            return Err(AccountError::NoAccount { id: id.clone() });
        }
        Ok(())
    }

    /// Takes a step as used; false when it or a later one was used already.
    pub(crate) async fn use_step(
        &mut self,
        id: &AccountId,
        step: i64,
    ) -> Result<bool, AccountError> {
        let done =
            sqlx::query("UPDATE account SET totp_step = $1 WHERE id = $2 AND totp_step < $3")
                .bind(step)
                .bind(id.as_str().to_owned())
                .bind(step)
                .execute(&mut *self.0)
                .await?;
        Ok(done.rows_affected() == 1)
    }

    pub(crate) async fn replace_recovery(
        &mut self,
        id: &AccountId,
        digests: &[Digest],
    ) -> Result<(), AccountError> {
        sqlx::query("DELETE FROM recovery WHERE account = $1 AND pending = 1")
            .bind(id.as_str().to_owned())
            .execute(&mut *self.0)
            .await?;
        for digest in digests {
            sqlx::query("INSERT INTO recovery (digest, account, pending) VALUES ($1, $2, 1)")
                .bind(hexed(digest))
                .bind(id.as_str().to_owned())
                .execute(&mut *self.0)
                .await?;
        }
        Ok(())
    }

    pub(crate) async fn confirm_recovery(&mut self, id: &AccountId) -> Result<(), AccountError> {
        self.forget_recovery(id, 0).await?;
        sqlx::query("UPDATE recovery SET pending = 0 WHERE account = $1")
            .bind(id.as_str().to_owned())
            .execute(&mut *self.0)
            .await?;
        Ok(())
    }

    pub(crate) async fn forget_recovery(
        &mut self,
        id: &AccountId,
        pending: i64,
    ) -> Result<(), AccountError> {
        sqlx::query("DELETE FROM recovery WHERE account = $1 AND pending = $2")
            .bind(id.as_str().to_owned())
            .bind(pending)
            .execute(&mut *self.0)
            .await?;
        Ok(())
    }

    /// Uses a recovery code up; false when there is no such one.
    pub(crate) async fn use_recovery(
        &mut self,
        id: &AccountId,
        digest: &Digest,
    ) -> Result<bool, AccountError> {
        let done =
            sqlx::query("DELETE FROM recovery WHERE digest = $1 AND account = $2 AND pending = 0")
                .bind(hexed(digest))
                .bind(id.as_str().to_owned())
                .execute(&mut *self.0)
                .await?;
        Ok(done.rows_affected() == 1)
    }

    pub(crate) async fn insert_session(
        &mut self,
        session: &Digest,
        id: &AccountId,
        strength: Strength,
        used: Timestamp,
        expires: Timestamp,
    ) -> Result<(), AccountError> {
        sqlx::query(
            "INSERT INTO session (digest, account, strength, used, expires) \
             VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(hexed(session))
        .bind(id.as_str().to_owned())
        .bind(strength.as_str())
        .bind(used.as_micros())
        .bind(expires.as_micros())
        .execute(&mut *self.0)
        .await?;
        Ok(())
    }

    /// A session's account, strength and end, when it was used since `idle`; marks it as used.
    pub(crate) async fn use_session(
        &mut self,
        session: &Digest,
        idle: Timestamp,
        now: Timestamp,
    ) -> Result<Option<(AccountId, Strength, Timestamp)>, AccountError> {
        let row = sqlx::query(
            "SELECT account, strength, used, expires FROM session \
             WHERE digest = $1 AND used >= $2 AND expires > $3",
        )
        .bind(hexed(session))
        .bind(idle.as_micros())
        .bind(now.as_micros())
        .fetch_optional(&mut *self.0)
        .await?;
        let Some(row) = row else { return Ok(None) };
        // A page asks many things at once; the disk need not hear of each.
        if now.micros_since(time(&row, "used")?) >= MARKED_EVERY {
            sqlx::query("UPDATE session SET used = $1 WHERE digest = $2")
                .bind(now.as_micros())
                .bind(hexed(session))
                .execute(&mut *self.0)
                .await?;
        }
        let strength = Strength::stored(&text(&row, "strength")?);
        Ok(Some((id(&row, "account")?, strength, time(&row, "expires")?)))
    }

    pub(crate) async fn end_session(&mut self, session: &Digest) -> Result<(), AccountError> {
        sqlx::query("DELETE FROM session WHERE digest = $1")
            .bind(hexed(session))
            .execute(&mut *self.0)
            .await?;
        Ok(())
    }

    pub(crate) async fn end_sessions(&mut self, id: &AccountId) -> Result<(), AccountError> {
        sqlx::query("DELETE FROM session WHERE account = $1")
            .bind(id.as_str().to_owned())
            .execute(&mut *self.0)
            .await?;
        Ok(())
    }

    /// An invitation takes the place of an earlier one of the same account.
    pub(crate) async fn insert_invitation(
        &mut self,
        invitation: &Digest,
        id: &AccountId,
        expires: Timestamp,
    ) -> Result<(), AccountError> {
        self.end_invitations(id).await?;
        sqlx::query("INSERT INTO invitation (digest, account, expires) VALUES ($1, $2, $3)")
            .bind(hexed(invitation))
            .bind(id.as_str().to_owned())
            .bind(expires.as_micros())
            .execute(&mut *self.0)
            .await?;
        Ok(())
    }

    pub(crate) async fn end_invitations(&mut self, id: &AccountId) -> Result<(), AccountError> {
        sqlx::query("DELETE FROM invitation WHERE account = $1")
            .bind(id.as_str().to_owned())
            .execute(&mut *self.0)
            .await?;
        Ok(())
    }

    pub(crate) async fn invited(
        &mut self,
        invitation: &Digest,
        now: Timestamp,
    ) -> Result<Option<AccountId>, AccountError> {
        let row = sqlx::query("SELECT account FROM invitation WHERE digest = $1 AND expires > $2")
            .bind(hexed(invitation))
            .bind(now.as_micros())
            .fetch_optional(&mut *self.0)
            .await?;
        row.as_ref().map(|row| id(row, "account")).transpose()
    }

    pub(crate) async fn tries(
        &mut self,
        name: &Digest,
        now: Timestamp,
    ) -> Result<Tries, AccountError> {
        let row = sqlx::query("SELECT failures, next FROM tries WHERE name = $1")
            .bind(hexed(name))
            .fetch_optional(&mut *self.0)
            .await?;
        let Some(row) = row else { return Ok(Tries::none(now)) };
        let failures = u32::try_from(row.try_get::<i64, _>("failures")?).unwrap_or(u32::MAX);
        Ok(Tries::stored(failures, time(&row, "next")?))
    }

    pub(crate) async fn set_tries(
        &mut self,
        name: &Digest,
        tries: Tries,
    ) -> Result<(), AccountError> {
        sqlx::query(
            "INSERT INTO tries (name, failures, next) VALUES ($1, $2, $3) \
             ON CONFLICT (name) DO UPDATE SET failures = excluded.failures, next = excluded.next",
        )
        .bind(hexed(name))
        .bind(i64::from(tries.failures()))
        .bind(tries.next().as_micros())
        .execute(&mut *self.0)
        .await?;
        Ok(())
    }

    pub(crate) async fn forget_tries(&mut self, name: &Digest) -> Result<(), AccountError> {
        sqlx::query("DELETE FROM tries WHERE name = $1")
            .bind(hexed(name))
            .execute(&mut *self.0)
            .await?;
        Ok(())
    }

    /// Removes what has no meaning any more.
    pub(crate) async fn sweep(
        &mut self,
        now: Timestamp,
        idle: Timestamp,
        forgotten: Timestamp,
    ) -> Result<(), AccountError> {
        sqlx::query("DELETE FROM session WHERE expires <= $1 OR used < $2")
            .bind(now.as_micros())
            .bind(idle.as_micros())
            .execute(&mut *self.0)
            .await?;
        sqlx::query("DELETE FROM invitation WHERE expires <= $1")
            .bind(now.as_micros())
            .execute(&mut *self.0)
            .await?;
        // Tries under names that nobody has say nothing after a while, and anybody can make them.
        sqlx::query("DELETE FROM event WHERE account = $1 AND at < $2")
            .bind(AccountId::nobody().as_str().to_owned())
            .bind(forgotten.as_micros())
            .execute(&mut *self.0)
            .await?;
        sqlx::query("DELETE FROM tries WHERE next < $1")
            .bind(forgotten.as_micros())
            .execute(&mut *self.0)
            .await?;
        Ok(())
    }

    /// Appends a question to the history, sealed; callers hold [`Rows::one_at_a_time`].
    pub(crate) async fn insert_asked(&mut self, asked: &SealedAsked) -> Result<(), AccountError> {
        sqlx::query(
            "INSERT INTO asked (number, at, account, permit, dataset, sealed, outcome, deal, \
             receipt, micro_rho) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        )
        .bind(asked.number)
        .bind(asked.at.as_micros())
        .bind(asked.account.as_str().to_owned())
        .bind(asked.permit.clone())
        .bind(asked.dataset.clone())
        .bind(asked.sealed.clone())
        .bind(asked.outcome.clone())
        .bind(asked.deal.clone())
        .bind(asked.receipt.clone())
        .bind(asked.micro_rho)
        .execute(&mut *self.0)
        .await?;
        Ok(())
    }

    pub(crate) async fn next_asked(&mut self) -> Result<i64, AccountError> {
        let row = sqlx::query("SELECT COALESCE(MAX(number), 0) + 1 AS next FROM asked")
            .fetch_one(&mut *self.0)
            .await?;
        Ok(row.try_get("next")?)
    }

    /// How a question ended.
    pub(crate) async fn end_asked(
        &mut self,
        number: i64,
        (outcome, deal, receipt, micro_rho): (&str, &str, &str, i64),
    ) -> Result<(), AccountError> {
        sqlx::query(
            "UPDATE asked SET outcome = $1, deal = $2, receipt = $3, micro_rho = $4 \
             WHERE number = $5",
        )
        .bind(outcome.to_owned())
        .bind(deal.to_owned())
        .bind(receipt.to_owned())
        .bind(micro_rho)
        .bind(number)
        .execute(&mut *self.0)
        .await?;
        Ok(())
    }

    pub(crate) async fn asked(
        &mut self,
        account: Option<&AccountId>,
        before: i64,
        most: i64,
    ) -> Result<Vec<SealedAsked>, AccountError> {
        let query = match account {
            None => {
                sqlx::query("SELECT * FROM asked WHERE number < $1 ORDER BY number DESC LIMIT $2")
                    .bind(before)
                    .bind(most)
            }
            Some(account) => sqlx::query(
                "SELECT * FROM asked WHERE number < $1 AND account = $2 \
                 ORDER BY number DESC LIMIT $3",
            )
            .bind(before)
            .bind(account.as_str().to_owned())
            .bind(most),
        };
        let rows = query.fetch_all(&mut *self.0).await?;
        rows.iter()
            .map(|row| {
                Ok(SealedAsked {
                    number: row.try_get("number")?,
                    at: time(row, "at")?,
                    account: id(row, "account")?,
                    permit: text(row, "permit")?,
                    dataset: text(row, "dataset")?,
                    sealed: text(row, "sealed")?,
                    outcome: text(row, "outcome")?,
                    deal: text(row, "deal")?,
                    receipt: text(row, "receipt")?,
                    micro_rho: row.try_get("micro_rho")?,
                })
            })
            .collect()
    }

    /// Appends to the history; callers hold [`Rows::one_at_a_time`].
    pub(crate) async fn record(
        &mut self,
        at: Timestamp,
        account: &AccountId,
        by: &AccountId,
        kind: EventKind,
    ) -> Result<(), AccountError> {
        sqlx::query(
            "INSERT INTO event (number, at, account, by_account, kind) \
             SELECT COALESCE(MAX(number), 0) + 1, $1, $2, $3, $4 FROM event",
        )
        .bind(at.as_micros())
        .bind(account.as_str().to_owned())
        .bind(by.as_str().to_owned())
        .bind(kind.as_str())
        .execute(&mut *self.0)
        .await?;
        Ok(())
    }

    pub(crate) async fn events(
        &mut self,
        account: Option<&AccountId>,
        before: i64,
        most: i64,
    ) -> Result<Vec<Event>, AccountError> {
        let query = match account {
            None => {
                sqlx::query("SELECT * FROM event WHERE number < $1 ORDER BY number DESC LIMIT $2")
                    .bind(before)
                    .bind(most)
            }
            Some(account) => sqlx::query(
                "SELECT * FROM event WHERE number < $1 AND account = $2 \
                 ORDER BY number DESC LIMIT $3",
            )
            .bind(before)
            .bind(account.as_str().to_owned())
            .bind(most),
        };
        let rows = query.fetch_all(&mut *self.0).await?;
        rows.iter()
            .map(|row| {
                let kind = EventKind::stored(&text(row, "kind")?);
                Ok(Event {
                    number: row.try_get("number")?,
                    at: time(row, "at")?,
                    account: id(row, "account")?,
                    by: id(row, "by_account")?,
                    kind: kind.ok_or(AccountError::CorruptField { what: "kind" })?,
                })
            })
            .collect()
    }
}

/// A question of the history as it is kept.
pub(crate) struct SealedAsked {
    pub(crate) number: i64,
    pub(crate) at: Timestamp,
    pub(crate) account: AccountId,
    pub(crate) permit: String,
    pub(crate) dataset: String,
    pub(crate) sealed: String,
    pub(crate) outcome: String,
    pub(crate) deal: String,
    pub(crate) receipt: String,
    pub(crate) micro_rho: i64,
}

/// A text of an account that can be set.
#[derive(Clone, Copy)]
pub(crate) enum Field {
    Password,
    Role,
    State,
    Totp,
    TotpPending,
}
