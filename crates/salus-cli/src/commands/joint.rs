//! `salus joint`: with whom a site answers jointly, and for whom it adds up shares.

use std::path::Path;

use salus_crypto::VerifyingKey;
use salus_crypto::hpke::RecipientPublicKey;
use salus_model::HolderId;
use salus_node::Config;
use salus_node::joint::JointTrust;
use serde::Serialize;

use crate::output::{Failure, Output, table};

#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Print this site's own keys: as a party, and as a holder.
    Keys,
    /// Trust a party not to collude with another: shares may be sealed to it.
    TrustParty {
        /// The organisation.
        party: HolderId,
        /// Its key, as its own `salus joint keys` prints it.
        #[arg(long)]
        key: RecipientPublicKey,
    },
    /// As a party, add up shares of this holder.
    TrustHolder {
        /// The holder.
        holder: HolderId,
        /// Its key, as its own `salus joint keys` prints it.
        #[arg(long)]
        key: VerifyingKey,
    },
    /// How many honest holders, this one among them, to rely on at least.
    Honest {
        /// How many.
        fewest: u32,
    },
    /// Trust a party or holder no more.
    Distrust {
        /// The organisation.
        name: HolderId,
    },
    /// Whom this site trusts.
    List,
}

/// This site's own keys.
#[derive(Serialize)]
struct Keys {
    party: String,
    holder: String,
}

fn changed(folder: &Path, change: impl FnOnce(&mut JointTrust)) -> Result<JointTrust, Failure> {
    Config::read(folder)?;
    let mut trust = JointTrust::read(folder)?;
    change(&mut trust);
    trust.write(folder)?;
    Ok(trust)
}

pub(crate) async fn run(command: Command, folder: &Path, output: &Output) -> Result<(), Failure> {
    let trust = match command {
        Command::Keys => {
            let site = crate::site::open(folder).await?;
            let party = site.joint_key().await?.public_key().to_string();
            let holder = site.authority.verifier().key().to_string();
            output.print(&Keys { party, holder }, |k| {
                format!("as a party   {}\nas a holder  {}", k.party, k.holder)
            });
            return Ok(());
        }
        Command::TrustParty { party, key } => changed(folder, |trust| {
            trust.parties.insert(party, key);
        })?,
        Command::TrustHolder { holder, key } => changed(folder, |trust| {
            trust.holders.insert(holder, key);
        })?,
        Command::Honest { fewest } => changed(folder, |trust| trust.fewest_honest = fewest)?,
        Command::Distrust { name } => {
            let known = JointTrust::read(folder)?;
            if !known.parties.contains_key(&name) && !known.holders.contains_key(&name) {
                return Err(Failure::request(format!("{name} is not trusted here")));
            }
            changed(folder, |trust| {
                trust.parties.remove(&name);
                trust.holders.remove(&name);
            })?
        }
        Command::List => JointTrust::read(folder)?,
    };
    output.print(&trust, |trust| {
        let party = |(name, key): (&HolderId, &RecipientPublicKey)| {
            vec!["party".to_owned(), name.to_string(), key.to_string()]
        };
        let holder = |(name, key): (&HolderId, &VerifyingKey)| {
            vec!["holder".to_owned(), name.to_string(), key.to_string()]
        };
        let mut rows: Vec<_> = trust.parties.iter().map(party).collect();
        rows.extend(trust.holders.iter().map(holder));
        format!(
            "{}\nrelies on {} honest holders at least; a node takes changes up when it starts",
            table(&["as", "organisation", "key"], &rows),
            trust.fewest_honest
        )
    });
    Ok(())
}
