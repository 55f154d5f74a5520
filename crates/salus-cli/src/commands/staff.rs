use std::path::Path;
use std::sync::Arc;

use salus_model::{Purpose, RoleName, StaffId};
use salus_node::{Config, Staff, SystemClock};
use serde::Serialize;

use super::sql::purpose;
use crate::output::{Failure, Output, table};

const STAFF_FILE: &str = "staff.toml";
const DAY_MICROS: i64 = 24 * 60 * 60 * 1_000_000;

#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Make a token for a person; it is shown once and not kept.
    Issue {
        /// The person.
        staff: StaffId,
        /// A role that they may act in; repeat for more.
        #[arg(long, required = true)]
        role: Vec<RoleName>,
        /// What for: treatment, payment or operations.
        #[arg(long, default_value = "treatment", value_parser = purpose)]
        purpose: Purpose,
        /// For how many days it holds.
        #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u16).range(1..=366))]
        days: u16,
    },
    /// Take all tokens of a person away.
    Revoke {
        /// The person.
        staff: StaffId,
    },
    /// Everybody who has a token.
    List,
}

/// The site's staff.
pub(crate) fn staff(folder: &Path) -> Staff {
    Staff::new(folder.join(STAFF_FILE), Arc::new(SystemClock))
}

#[derive(Serialize)]
struct Issued {
    staff: StaffId,
    token: String,
}

#[derive(Serialize)]
struct Revoked {
    staff: StaffId,
    tokens: usize,
}

pub(crate) fn run(command: Command, folder: &Path, output: &Output) -> Result<(), Failure> {
    Config::read(folder)?;
    let known = staff(folder);
    match command {
        Command::Issue { staff, role, purpose, days } => {
            let roles = role.into_iter().collect();
            let token = known.issue(staff.clone(), roles, purpose, DAY_MICROS * i64::from(days))?;
            output.print(&Issued { staff, token }, |i| {
                format!("Token of {} for {days} days, shown this once:\n{}", i.staff, i.token)
            });
        }
        Command::Revoke { staff } => {
            let tokens = known.revoke(&staff)?;
            output.print(&Revoked { staff, tokens }, |r| {
                format!("{} tokens of {} are void.", r.tokens, r.staff)
            });
        }
        Command::List => output.print(&known.list()?, |list| {
            let row = |m: &salus_node::StaffMember| {
                let roles: Vec<&str> = m.roles.iter().map(RoleName::as_str).collect();
                let purpose = m.purpose.to_string();
                vec![m.staff.to_string(), roles.join(", "), purpose, m.expires.to_string()]
            };
            let rows: Vec<_> = list.iter().map(row).collect();
            table(&["staff", "roles", "purpose", "until"], &rows)
        }),
    }
    Ok(())
}
