//! `salus holder`: the nodes that questions under permits go to.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use salus_model::HolderId;
use salus_node::{Config, write_private};
use serde::{Deserialize, Serialize};

use crate::output::{Failure, Output, table};

const FILE: &str = "holders.toml";

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
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Place {
    pub(crate) url: String,
    /// What the node is verified with, as PEM.
    pub(crate) ca: String,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(transparent)]
struct Places(BTreeMap<HolderId, Place>);

fn read(folder: &Path) -> Result<Places, Failure> {
    let path = folder.join(FILE);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Places::default()),
        Err(e) => return Err(Failure::unavailable(format!("{}: {e}", path.display()))),
    };
    toml::from_str(&text).map_err(|e| Failure::request(format!("{}: {e}", path.display())))
}

fn write(folder: &Path, places: &Places) -> Result<(), Failure> {
    let path = folder.join(FILE);
    let text = toml::to_string(places).map_err(|e| Failure::corrupt(e.to_string()))?;
    write_private(&path, text.as_bytes())
        .map_err(|e| Failure::unavailable(format!("{}: {e}", path.display())))
}

/// Where a holder's node is.
pub(crate) fn place(folder: &Path, holder: &HolderId) -> Result<Place, Failure> {
    read(folder)?.0.remove(holder).ok_or_else(|| {
        Failure::request(format!(
            "nobody has said where the node of {holder} is: salus holder add {holder} --url https://… --ca FILE"
        ))
    })
}

/// Notes where a holder's node is.
pub(crate) fn add(folder: &Path, holder: HolderId, place: Place) -> Result<(), Failure> {
    let https = place.url.starts_with("https://");
    if !https {
        return Err(Failure::request(format!("'{}' is no https address", place.url)));
    }
    reqwest::Certificate::from_pem(place.ca.as_bytes())
        .map_err(|_| Failure::request("the file with --ca holds no certificate as PEM"))?;
    let mut places = read(folder)?;
    places.0.insert(holder, place);
    write(folder, &places)
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
            let mut places = read(folder)?;
            if places.0.remove(&holder).is_none() {
                return Err(Failure::request(format!("no node of {holder} is noted")));
            }
            write(folder, &places)?;
            output.print(&holder, |holder| format!("{holder} is forgotten."));
        }
        Command::List => {
            let list: Vec<Shown> = read(folder)?
                .0
                .into_iter()
                .map(|(holder, place)| Shown { holder, url: place.url })
                .collect();
            output.print(&list, |list| {
                let row = |s: &Shown| vec![s.holder.to_string(), s.url.clone()];
                table(&["holder", "node"], &list.iter().map(row).collect::<Vec<_>>())
            });
        }
    }
    Ok(())
}
