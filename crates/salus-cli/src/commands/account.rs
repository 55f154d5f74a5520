//! `salus account`: the people who sign in at the site's console.

use std::path::Path;
use std::sync::Arc;

use salus_accounts::{
    Account, AccountRole, AccountState, Accounts, Authority, Invitation, LoginName, NewAccount,
};
use salus_ledger::PublicKey;
use salus_model::{MemberId, Timestamp};
use salus_node::{Site, Vouching};
use serde::Serialize;

use crate::output::{Failure, Output, table};

#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Make an account; its person chooses the password with the code that is shown once.
    Create {
        /// What the person types to sign in.
        login: LoginName,
        /// How the person is called on screen.
        #[arg(long)]
        name: String,
        /// What the person is here for: administrator, researcher, steward, technician or auditor.
        #[arg(long)]
        role: AccountRole,
        /// The organisation to which the person belongs; the site's own by default.
        #[arg(long)]
        member: Option<MemberId>,
        /// On a ledger, the organisation's key there, as 64 hexadecimal digits; the site's own by
        /// default.
        #[arg(long, value_parser = ledger_key)]
        key: Option<PublicKey>,
    },
    /// Every account with its role and state.
    List,
    /// Change what an account may do; its sessions end.
    Role {
        /// The account.
        login: LoginName,
        /// The new role.
        role: AccountRole,
    },
    /// Bind an account's role to its organisation's key on the ledger, which has to allow the role.
    Bind {
        /// The account.
        login: LoginName,
        /// The key, as 64 hexadecimal digits; the site's own by default.
        #[arg(long, value_parser = ledger_key)]
        key: Option<PublicKey>,
    },
    /// Give a person a new code, who lost the first or forgot the password.
    Reset {
        /// The account.
        login: LoginName,
        /// Take the second factor away too, which was lost.
        #[arg(long)]
        factor: bool,
    },
    /// Close an account for good.
    Revoke {
        /// The account.
        login: LoginName,
    },
}

fn ledger_key(text: &str) -> Result<PublicKey, String> {
    serde_json::from_value(serde_json::Value::String(text.to_owned())).map_err(|e| e.to_string())
}

#[derive(Serialize)]
struct Invited {
    login: LoginName,
    role: AccountRole,
    code: String,
    expires: Timestamp,
}

#[derive(Serialize)]
struct Done {
    login: LoginName,
    done: &'static str,
}

/// The accounts with what a change to them has to be checked against.
struct Office {
    accounts: Accounts,
    vouching: Option<Vouching>,
    own: MemberId,
}

impl Office {
    async fn open(site: &Site) -> Result<Self, Failure> {
        let vouching = match &site.config.ledger {
            None => None,
            Some(_) => {
                let ledger = Arc::new(site.ledger().await?);
                Some(Vouching::new(ledger, Arc::clone(&site.clock)))
            }
        };
        let own = MemberId::new(site.config.holder.as_str())
            .map_err(|e| Failure::request(e.to_string()))?;
        Ok(Self { accounts: site.accounts().await?, vouching, own })
    }

    async fn find(&self, login: &LoginName) -> Result<Account, Failure> {
        let all = self.accounts.list(Authority::Operator).await?;
        all.into_iter()
            .find(|account| account.login == *login)
            .ok_or_else(|| Failure::request(format!("there is no account '{login}'")))
    }

    /// Binds an account to a key on the ledger, where the site is on one.
    async fn bind(&self, account: &Account, key: Option<PublicKey>) -> Result<(), Failure> {
        let Some(vouching) = &self.vouching else {
            return match key {
                None => Ok(()),
                Some(_) => Err(Failure::request("this site is on no ledger, so there is no key")),
            };
        };
        let (own, own_key) = vouching.own();
        let key = match key {
            Some(key) => key,
            None if *own == account.member => own_key,
            None => {
                let member = &account.member;
                return Err(Failure::request(format!(
                    "say with --key which key of {member} on the ledger vouches for the role"
                )));
            }
        };
        let bound = vouching.bind(account, key).await?;
        Ok(self.accounts.bind(Authority::Operator, &account.id, Some(&bound)).await?)
    }

    async fn create(&self, new: NewAccount, key: Option<PublicKey>) -> Result<Invitation, Failure> {
        let invitation = self.accounts.invite(Authority::Operator, new).await?;
        if let Err(refused) = self.bind(&invitation.account, key).await {
            // One that the ledger does not vouch for is of no use, and its name would be taken.
            self.accounts.withdraw(&invitation).await?;
            return Err(refused);
        }
        Ok(invitation)
    }
}

pub(crate) async fn run(command: Command, folder: &Path, output: &Output) -> Result<(), Failure> {
    let site = crate::site::open(folder).await?;
    let office = Office::open(&site).await?;
    let accounts = &office.accounts;
    match command {
        Command::Create { login, name, role, member, key } => {
            let member = member.unwrap_or_else(|| office.own.clone());
            let new = NewAccount { login, name, role, member };
            invited(&office.create(new, key).await?, output);
        }
        Command::List => list(&accounts.list(Authority::Operator).await?, output),
        Command::Role { login, role } => {
            let account = office.find(&login).await?;
            let key = account.bound.map(|bound| bound.key);
            accounts.change_role(Authority::Operator, &account.id, role).await?;
            office.bind(&Account { role, ..account }, key).await?;
            done(login, "changed; its sessions have ended", output);
        }
        Command::Bind { login, key } => {
            office.bind(&office.find(&login).await?, key).await?;
            done(login, "bound", output);
        }
        Command::Reset { login, factor } => {
            let account = office.find(&login).await?;
            if factor {
                accounts.remove_factor(Authority::Operator, &account.id).await?;
            }
            invited(&accounts.invite_again(Authority::Operator, &account.id).await?, output);
        }
        Command::Revoke { login } => {
            let account = office.find(&login).await?;
            accounts.revoke(Authority::Operator, &account.id).await?;
            done(login, "closed; its sessions have ended", output);
        }
    }
    Ok(())
}

fn done(login: LoginName, done: &'static str, output: &Output) {
    output.print(&Done { login, done }, |d| format!("{} is {}.", d.login, d.done));
}

fn invited(invitation: &Invitation, output: &Output) {
    let shown = Invited {
        login: invitation.account.login.clone(),
        role: invitation.account.role,
        code: invitation.code.expose().clone(),
        expires: invitation.expires,
    };
    output.print(&shown, |i| {
        format!(
            "{} ({}) chooses a password with this code, at /console/ of the node, until {}:\n{}",
            i.login, i.role, i.expires, i.code
        )
    });
}

fn list(accounts: &[Account], output: &Output) {
    output.print(&accounts, |accounts| {
        let row = |a: &Account| {
            let state = match a.state {
                AccountState::Invited => "invited",
                AccountState::Active => "active",
                AccountState::Revoked => "closed",
            };
            let factor = if a.second_factor { "yes" } else { "no" };
            let bound = a.bound.map_or("–".to_owned(), |b| b.key.to_string());
            vec![
                a.login.to_string(),
                a.role.to_string(),
                a.member.to_string(),
                state.to_owned(),
                factor.to_owned(),
                bound,
            ]
        };
        let rows: Vec<_> = accounts.iter().map(row).collect();
        table(&["login", "role", "organisation", "state", "second factor", "ledger key"], &rows)
    });
}
