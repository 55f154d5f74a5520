use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use salus_model::{Purpose, RoleName};
use salus_node::clients::{Client, ClientId, ClientKey, Clients, Registrations};
use salus_node::{Config, SystemClock};
use serde::Serialize;

use super::sql::purpose;
use crate::output::{Failure, Output, table};

#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Let a program sign in with its own key (SMART Backend Services), in some roles.
    Add {
        /// Its id; the access log has it as `client:` with the id.
        id: ClientId,
        /// Its public keys: a JSON Web Key Set or a single key, RS384 or ES384.
        #[arg(long)]
        jwks: PathBuf,
        /// A role that it acts in; repeat for more.
        #[arg(long, required = true)]
        role: Vec<RoleName>,
        /// What for: treatment, payment or operations.
        #[arg(long, default_value = "operations", value_parser = purpose)]
        purpose: Purpose,
        /// What it is told that it may do; its roles decide.
        #[arg(long, default_value = "system/*.rs")]
        scope: String,
    },
    /// Take a program's access away, at once.
    Remove {
        /// Its id.
        id: ClientId,
    },
    /// Every program that may sign in.
    List,
}

/// The site's clients, for its node.
pub(crate) fn clients(folder: &Path) -> Result<Clients, Failure> {
    Ok(Clients::open(folder, Arc::new(SystemClock))?)
}

#[derive(Serialize)]
struct Shown {
    id: ClientId,
    roles: BTreeSet<RoleName>,
    purpose: Purpose,
    scope: String,
    keys: Vec<String>,
}

fn shown(client: Client) -> Shown {
    let keys = client.keys.iter().map(|key| key.kid().to_owned()).collect();
    let Client { id, roles, purpose, scope, .. } = client;
    Shown { id, roles, purpose, scope, keys }
}

pub(crate) fn run(command: Command, folder: &Path, output: &Output) -> Result<(), Failure> {
    Config::read(folder)?;
    let known = Registrations::new(folder);
    match command {
        Command::Add { id, jwks, role, purpose, scope } => {
            let text = std::fs::read_to_string(&jwks)
                .map_err(|e| Failure::request(format!("{}: {e}", jwks.display())))?;
            let keys = ClientKey::from_jwks(&text)?;
            let client = Client { id, roles: role.into_iter().collect(), purpose, scope, keys };
            known.register(client.clone())?;
            output.print(&shown(client), |c| {
                format!("{} may sign in with: {}", c.id, c.keys.join(", "))
            });
        }
        Command::Remove { id } => {
            known.remove(&id)?;
            output.print(&id, |id| format!("{id} may no longer sign in."));
        }
        Command::List => {
            let list: Vec<Shown> = known.list()?.into_iter().map(shown).collect();
            output.print(&list, |list| {
                let row = |c: &Shown| {
                    let roles: Vec<&str> = c.roles.iter().map(RoleName::as_str).collect();
                    let (purpose, keys) = (c.purpose.to_string(), c.keys.join(", "));
                    vec![c.id.to_string(), roles.join(", "), purpose, c.scope.clone(), keys]
                };
                let rows: Vec<_> = list.iter().map(row).collect();
                table(&["client", "roles", "purpose", "scope", "keys"], &rows)
            });
        }
    }
    Ok(())
}
