//! `salus ledger channel`: a ledger of some members among themselves.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use salus_crypto::OsEntropy;
use salus_crypto::passphrase::GuessCost;
use salus_ledger::call::AdmitMember;
use salus_ledger::channel::{Charter, MAX_CHARTER_BYTES};
use salus_ledger::{Nonce, Signer, cbor};
use salus_model::{Clock as _, Entropy as _, MemberId};
use salus_node::membership::Membership;
use salus_node::{SystemClock, write_private};
use salus_validator::{Folder, ValidatorConfig, channels};
use serde::Serialize;

use super::verify::{read, trusted};
use super::{found, passphrase_of};
use crate::output::{Failure, Output, table};
use crate::passphrase::{self, Asking};

#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Draft a channel: who is in it, under the rules of the ledger on which they met.
    Draft(DraftArgs),
    /// Agree to a channel with this site's key, or with a validator's; writes it into the charter.
    Agree(AgreeArgs),
    /// Say who is in a channel, and who has agreed to it.
    Show {
        /// The charter's file.
        charter: PathBuf,
        /// Write what the channel begins with into this file: all that verification needs.
        #[arg(long)]
        genesis: Option<PathBuf>,
    },
    /// Lay the channel out beside a validator; the one that runs takes it up within seconds.
    Join(JoinArgs),
    /// Write a membership file with which another site of this member enters the channel.
    Membership(MembershipArgs),
}

#[derive(clap::Args)]
pub(crate) struct DraftArgs {
    /// A first member of the ledger that is to be in the channel; repeat. Those that validate the
    /// ledger validate the channel.
    #[arg(long = "member", required_unless_present = "requests")]
    members: Vec<MemberId>,
    /// The request of a member that the ledger admitted later; repeat.
    #[arg(long = "request")]
    requests: Vec<PathBuf>,
    /// What the ledger began with on which they met; by default that of the site.
    #[arg(long)]
    genesis: Option<PathBuf>,
    /// The charter to write; it goes from member to member until all have agreed.
    #[arg(long, default_value = "channel.charter")]
    out: PathBuf,
}

#[derive(clap::Args)]
pub(crate) struct AgreeArgs {
    /// The charter's file.
    charter: PathBuf,
    /// Agree with the key of this validator's folder, in place of the site's.
    #[arg(long)]
    validator: Option<PathBuf>,
    /// Another copy of the charter, whose consents are taken over; repeat.
    #[arg(long = "with")]
    copies: Vec<PathBuf>,
}

#[derive(clap::Args)]
pub(crate) struct JoinArgs {
    /// The validator's folder.
    folder: PathBuf,
    /// The charter's file, with the consent of every member.
    charter: PathBuf,
    /// Where the channel's validators reach this one.
    #[arg(long)]
    listen: SocketAddr,
    /// Where the channel's members reach it, over HTTPS with mutual TLS.
    #[arg(long)]
    api: SocketAddr,
    /// Another validator of the channel, as NAME@HOST:PORT; repeat. The charter has its key.
    #[arg(long = "peer", value_parser = found::peer)]
    peers: Vec<(MemberId, SocketAddr)>,
}

#[derive(clap::Args)]
pub(crate) struct MembershipArgs {
    /// The charter's file.
    charter: PathBuf,
    /// Where a validator of the channel serves members, such as https://10.0.0.1:7543; repeat.
    #[arg(long = "validator", required = true)]
    validators: Vec<String>,
    /// The file to write, sealed with a passphrase.
    #[arg(long)]
    out: PathBuf,
}

pub(super) async fn run(command: Command, site: &Path, output: &Output) -> Result<(), Failure> {
    match command {
        Command::Draft(args) => draft(args, site, output),
        Command::Agree(args) => agree(args, site, output).await,
        Command::Show { charter, genesis } => show(&charter, genesis.as_deref(), output),
        Command::Join(args) => join(args, output),
        Command::Membership(args) => membership(args, site, output).await,
    }
}

fn open(path: &Path) -> Result<Charter, Failure> {
    let bytes = read(path, MAX_CHARTER_BYTES)?;
    Charter::from_bytes(&bytes)
        .map_err(|e| Failure::request(format!("{} is no charter: {e}", path.display())))
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    std::fs::write(path, bytes)
        .map_err(|e| Failure::unavailable(format!("{}: {e}", path.display())))
}

#[derive(Serialize)]
struct Shown {
    channel: String,
    parent: String,
    validators: usize,
    members: Vec<MemberShown>,
}

#[derive(Serialize)]
struct MemberShown {
    member: String,
    agreed: bool,
}

impl Shown {
    fn of(charter: &Charter) -> Result<Self, Failure> {
        let agreed = charter.agreed()?;
        let members = charter.genesis.members.iter().map(|founder| MemberShown {
            member: founder.member.to_string(),
            agreed: agreed.contains(&founder.member),
        });
        let channel = charter.genesis.ledger_id().map_err(|e| Failure::corrupt(e.to_string()))?;
        Ok(Self {
            channel: channel.to_string(),
            parent: charter.parent.to_string(),
            validators: charter.genesis.config.form().validators.len(),
            members: members.collect(),
        })
    }

    fn print(&self, output: &Output) {
        output.print(self, |shown| {
            let word = |agreed| if agreed { "has agreed" } else { "has not agreed yet" };
            let row = |m: &MemberShown| vec![m.member.clone(), word(m.agreed).to_owned()];
            let rows: Vec<_> = shown.members.iter().map(row).collect();
            format!(
                "Channel     {}\nMet on      {}\nValidators  {}\n{}",
                shown.channel,
                shown.parent,
                shown.validators,
                table(&["member", ""], &rows)
            )
        });
    }
}

fn draft(args: DraftArgs, site: &Path, output: &Output) -> Result<(), Failure> {
    if args.out.exists() {
        return Err(Failure::request(format!("{} is there already", args.out.display())));
    }
    let parent = trusted(args.genesis.as_deref(), site)?;
    let later: Result<Vec<AdmitMember>, Failure> =
        args.requests.iter().map(|path| found::read_request(path)).collect();
    let mut nonce = [0; 16];
    OsEntropy.fill(&mut nonce).map_err(|e| Failure::unavailable(e.to_string()))?;
    let members: BTreeSet<MemberId> = args.members.into_iter().collect();
    let (nonce, now) = (Nonce::new(nonce), SystemClock.now());
    let genesis = channels::draft(&parent, &members, later?, now, nonce)?;
    genesis.found()?;
    let ledger = parent.ledger_id().map_err(|e| Failure::corrupt(e.to_string()))?;
    let charter = Charter::new(ledger, genesis);
    write(&args.out, &charter.to_bytes()?)?;
    Shown::of(&charter)?.print(output);
    Ok(())
}

/// With which key, and on which ledger: nobody agrees by mistake to a channel of another ledger's
/// members.
async fn hand(args: &AgreeArgs, site: &Path) -> Result<(Signer, salus_ledger::LedgerId), Failure> {
    let (identity, genesis) = match &args.validator {
        Some(path) => {
            let (folder, what) = (Folder::at(path), "passphrase of the validator's keys");
            (folder.open(&passphrase_of(what, Asking::Known)?)?, folder.genesis()?)
        }
        None => {
            let site = crate::site::open(site).await?;
            let Membership { identity, genesis, .. } = site.membership().await?;
            (identity, genesis)
        }
    };
    let ledger = genesis.ledger_id().map_err(|e| Failure::corrupt(e.to_string()))?;
    Ok((identity.signer(), ledger))
}

async fn agree(args: AgreeArgs, site: &Path, output: &Output) -> Result<(), Failure> {
    let mut charter = open(&args.charter)?;
    charter.agreed()?;
    for copy in &args.copies {
        charter = charter.with_consents_of(open(copy)?)?;
    }
    let (signer, ledger) = hand(&args, site).await?;
    if charter.parent != ledger {
        return Err(Failure::request(format!(
            "the charter is of members of ledger {}, this is {ledger}",
            charter.parent
        )));
    }
    let own = signer.public_key();
    if !charter.genesis.members.iter().any(|m| m.keys.iter().any(|key| key.key == own)) {
        return Err(Failure::request("the channel has no member with this key"));
    }
    let charter = charter.agree(&signer)?;
    write(&args.charter, &charter.to_bytes()?)?;
    Shown::of(&charter)?.print(output);
    Ok(())
}

fn show(path: &Path, genesis: Option<&Path>, output: &Output) -> Result<(), Failure> {
    let charter = open(path)?;
    let shown = Shown::of(&charter)?;
    if let Some(genesis) = genesis {
        let bytes = cbor::encode(&charter.genesis).map_err(|e| Failure::corrupt(e.to_string()))?;
        write(genesis, &bytes)?;
    }
    shown.print(output);
    Ok(())
}

#[derive(Serialize)]
struct Joined {
    channel: String,
    folder: PathBuf,
    api: String,
}

fn join(args: JoinArgs, output: &Output) -> Result<(), Failure> {
    let charter = open(&args.charter)?;
    let shown = Shown::of(&charter)?;
    if let Some(missing) = shown.members.iter().find(|m| !m.agreed) {
        return Err(Failure::refused(format!("{} has not agreed yet", missing.member)));
    }
    let parent = Folder::at(&args.folder);
    let passphrase = passphrase_of("passphrase of the validator's keys", Asking::Known)?;
    let own = parent.open(&passphrase)?.signer().public_key();
    let peers = found::peers(&charter.genesis, &own, args.peers)?;
    let config = ValidatorConfig {
        listen: args.listen,
        api: args.api,
        keep_blocks: None,
        explorer: None,
        peers,
    };
    let cost = GuessCost::RFC_9106_SECOND;
    let folder = channels::join(&parent, &charter, &config, &passphrase, cost, &mut OsEntropy)?;
    let joined = Joined {
        channel: shown.channel,
        folder: folder.path().to_owned(),
        api: format!("https://{}", args.api),
    };
    output.print(&joined, |j| {
        format!(
            "Channel {} lies in {}.\nThe validator that runs takes it up within seconds, and serves its members at {}.",
            j.channel,
            j.folder.display(),
            j.api
        )
    });
    Ok(())
}

#[derive(Serialize)]
struct Written {
    member: String,
    channel: String,
    file: PathBuf,
}

async fn membership(args: MembershipArgs, site: &Path, output: &Output) -> Result<(), Failure> {
    if args.out.exists() {
        return Err(Failure::request(format!("{} is there already", args.out.display())));
    }
    let charter = open(&args.charter)?;
    let site = crate::site::open(site).await?;
    let Membership { member, identity, .. } = site.membership().await?;
    let own = identity.signer().public_key();
    if !charter.genesis.members.iter().any(|m| m.keys.iter().any(|key| key.key == own)) {
        return Err(Failure::request(format!("{member} is not in the channel")));
    }
    let channel = charter.genesis.ledger_id().map_err(|e| Failure::corrupt(e.to_string()))?;
    let (genesis, validators) = (charter.genesis, args.validators);
    let membership = Membership { member: member.clone(), genesis, identity, validators };
    let passphrase = passphrase::member_file(Asking::New)?;
    let sealed = membership.seal(&passphrase, GuessCost::RFC_9106_SECOND)?;
    write_private(&args.out, &sealed)
        .map_err(|e| Failure::unavailable(format!("{}: {e}", args.out.display())))?;
    let written =
        Written { member: member.to_string(), channel: channel.to_string(), file: args.out };
    output.print(&written, |w| {
        format!(
            "{} enters channel {} with: salus ledger join {} --site FOLDER",
            w.member,
            w.channel,
            w.file.display()
        )
    });
    Ok(())
}
