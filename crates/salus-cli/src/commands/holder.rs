//! `salus holder`: the nodes that questions under permits go to.

use std::path::{Path, PathBuf};

use salus_model::HolderId;
use salus_node::Config;
pub(crate) use salus_node::holders::Place;
use salus_node::holders::Places;
use serde::Serialize;

use crate::output::{Failure, Output, table};

#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Note where a holder's node is, and what it is verified with.
    Add {
        /// The holder.
        holder: HolderId,
        /// Its node's address, such as https://st-mary.example.org:7080.
        #[arg(long)]
        url: String,
        /// The certificate that the node is verified with, as `salus node certificate` prints it.
        #[arg(long)]
        ca: PathBuf,
    },
    /// Forget a holder's node.
    Remove {
        /// The holder.
        holder: HolderId,
    },
    /// The holders' nodes.
    List,
}

/// Where a holder's node is.
pub(crate) fn place(folder: &Path, holder: &HolderId) -> Result<Place, Failure> {
    Ok(Places::read(folder)?.of(holder)?.clone())
}

/// Notes where a holder's node is.
pub(crate) fn add(folder: &Path, holder: HolderId, place: Place) -> Result<(), Failure> {
    let mut places = Places::read(folder)?;
    places.add(holder, place)?;
    Ok(places.write(folder)?)
}

#[derive(Serialize)]
struct Shown {
    holder: HolderId,
    url: String,
}

pub(crate) fn run(command: Command, folder: &Path, output: &Output) -> Result<(), Failure> {
    Config::read(folder)?;
    match command {
        Command::Add { holder, url, ca } => {
            let ca = std::fs::read_to_string(&ca)
                .map_err(|e| Failure::request(format!("{}: {e}", ca.display())))?;
            let url = url.trim_end_matches('/').to_owned();
            add(folder, holder.clone(), Place { url: url.clone(), ca })?;
            output.print(&Shown { holder, url }, |s| format!("{} is asked at {}", s.holder, s.url));
        }
        Command::Remove { holder } => {
            let mut places = Places::read(folder)?;
            if !places.remove(&holder) {
                return Err(Failure::request(format!("no node of {holder} is noted")));
            }
            places.write(folder)?;
            output.print(&holder, |holder| format!("{holder} is forgotten."));
        }
        Command::List => {
            let places = Places::read(folder)?;
            let shown = |(holder, place): (&HolderId, &Place)| Shown {
                holder: holder.clone(),
                url: place.url.clone(),
            };
            let list: Vec<Shown> = places.iter().map(shown).collect();
            output.print(&list, |list| {
                let row = |s: &Shown| vec![s.holder.to_string(), s.url.clone()];
                table(&["holder", "node"], &list.iter().map(row).collect::<Vec<_>>())
            });
        }
    }
    Ok(())
}
