//! `salus ledger dev`: a network for development, whose genesis says so for ever.

use std::path::{Path, PathBuf};

use salus_crypto::passphrase::{GuessCost, Passphrase};
use salus_ledger::policy::{Expression, Policy, Role};
use salus_model::{Clock as _, MemberId};
use salus_node::membership::Membership;
use salus_node::{SystemClock, write_private};
use salus_validator::dev::DevNetwork;
use serde::Serialize;

use crate::output::{Failure, Output, table};
use crate::passphrase::Asking;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many validators: 1, or 4 and more to go on while one is away.
    #[arg(default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=32))]
    validators: u8,
    /// Where the folders go.
    #[arg(long, default_value = "salus-ledger")]
    folder: PathBuf,
    /// A member with its roles, such as hub:administrator,officer or st-mary:holder; repeat.
    #[arg(long = "member", required = true, value_parser = member)]
    members: Vec<Member>,
}

#[derive(Debug, Clone)]
pub(crate) struct Member {
    pub(crate) name: String,
    pub(crate) roles: Vec<Role>,
}

pub(crate) fn member(text: &str) -> Result<Member, String> {
    let (name, roles) = text.split_once(':').ok_or("write NAME:ROLE,ROLE")?;
    MemberId::new(name).map_err(|e| e.to_string())?;
    let role = |word: &str| {
        Role::ALL.into_iter().find(|r| r.as_str() == word).ok_or_else(|| {
            let words: Vec<&str> = Role::ALL.iter().map(|r| r.as_str()).collect();
            format!("'{word}' is no role; use {}", words.join(", "))
        })
    };
    let roles: Result<Vec<Role>, String> = roles.split(',').map(role).collect();
    Ok(Member { name: name.to_owned(), roles: roles? })
}

#[derive(Serialize)]
struct Made {
    ledger: String,
    validators: Vec<MadeValidator>,
    members: Vec<PathBuf>,
    genesis: PathBuf,
}

#[derive(Serialize)]
struct MadeValidator {
    folder: PathBuf,
    url: String,
}

fn io(path: &Path) -> impl Fn(std::io::Error) -> Failure {
    move |e| Failure::unavailable(format!("{}: {e}", path.display()))
}

/// A network that is laid out, with its members' places on it.
pub(crate) struct Laid {
    ledger: String,
    validators: Vec<MadeValidator>,
    genesis: PathBuf,
    pub(crate) memberships: Vec<Membership>,
}

/// Lays a network out below a folder: validators and genesis. The members' places are handed back.
pub(crate) fn lay_out(
    validators: u8,
    folder: &Path,
    members: &[Member],
    passphrase: &Passphrase,
    cost: GuessCost,
) -> Result<Laid, Failure> {
    let governance = Expression::Quorum { k: 1, role: Role::Administrator };
    let governance = Policy::new(governance).map_err(|e| Failure::request(e.to_string()))?;
    let named: Vec<(&str, &[Role])> =
        members.iter().map(|m| (m.name.as_str(), m.roles.as_slice())).collect();
    let network = DevNetwork::new(usize::from(validators), &named, governance, SystemClock.now())?;
    std::fs::create_dir_all(folder).map_err(io(folder))?;
    let folders = network.lay_out(folder, passphrase, cost)?;
    let mut made = Vec::new();
    for validator in &folders {
        let url = format!("https://{}", validator.config()?.api);
        made.push(MadeValidator { folder: validator.path().to_owned(), url });
    }
    let urls: Vec<String> = made.iter().map(|v| v.url.clone()).collect();
    let ledger = network.genesis.ledger_id().map_err(|e| Failure::corrupt(e.to_string()))?;
    let bytes = salus_ledger::cbor::encode(&network.genesis)
        .map_err(|e| Failure::corrupt(e.to_string()))?;
    let genesis = folder.join("genesis.cbor");
    std::fs::write(&genesis, bytes).map_err(io(&genesis))?;
    let mut memberships = Vec::new();
    for (name, identity) in network.members {
        let member = MemberId::new(&name).map_err(|e| Failure::request(e.to_string()))?;
        let (genesis, validators) = (network.genesis.clone(), urls.clone());
        memberships.push(Membership { member, genesis, identity, validators });
    }
    Ok(Laid { ledger: ledger.to_string(), validators: made, genesis, memberships })
}

/// Lays a network out below a folder, with a membership file for each member.
fn make(
    validators: u8,
    folder: &Path,
    members: &[Member],
    passphrase: &Passphrase,
    cost: GuessCost,
) -> Result<Made, Failure> {
    let place = folder.join("members");
    if place.exists() {
        let told = format!("{} holds a ledger already; choose another folder", folder.display());
        return Err(Failure::request(told));
    }
    let laid = lay_out(validators, folder, members, passphrase, cost)?;
    std::fs::create_dir_all(&place).map_err(io(&place))?;
    let mut files = Vec::new();
    for membership in &laid.memberships {
        let file = place.join(format!("{}.member", membership.member));
        write_private(&file, &membership.seal(passphrase, cost)?).map_err(io(&file))?;
        files.push(file);
    }
    let Laid { ledger, validators, genesis, .. } = laid;
    Ok(Made { ledger, validators, members: files, genesis })
}

pub(super) fn run(args: Args, output: &Output) -> Result<(), Failure> {
    let passphrase = super::passphrase_of("passphrase for all folders and files", Asking::New)?;
    let cost = GuessCost::RFC_9106_SECOND;
    let made = make(args.validators, &args.folder, &args.members, &passphrase, cost)?;
    output.print(&made, |made| {
        let row = |v: &MadeValidator| {
            vec![v.url.clone(), format!("salus ledger serve {}", v.folder.display())]
        };
        let rows: Vec<_> = made.validators.iter().map(row).collect();
        let mut lines = vec![
            format!("Ledger {}, for development only.", made.ledger),
            table(&["validator", "run it with"], &rows),
            String::new(),
            "Each member's site joins with its file:".to_owned(),
        ];
        let join = |file: &PathBuf| format!("  salus ledger join {} --site FOLDER", file.display());
        lines.extend(made.members.iter().map(join));
        lines.push(format!(
            "\nWhoever verifies offline needs {} and nothing else.",
            made.genesis.display()
        ));
        lines.join("\n")
    });
    Ok(())
}
