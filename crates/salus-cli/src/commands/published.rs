//! `salus published`: the tables that holders have released, which need no permit.

use std::path::{Path, PathBuf};

use salus_api::published::Released;
use salus_crypto::Digest;
use salus_dp::{Delta, epsilon_from_rho};
use salus_files::release::Kind;
use salus_ledger::DatasetRef;
use salus_ledger::call::ArtefactKind;
use salus_ledger::proof::{Fact, GatePassed, verify_receipt};
use salus_model::{HolderId, PrivacyCharge};
use salus_node::holders::Place;
use salus_node::operations::{Call, Reply};
use salus_node::published::{PublishedDataset, PublishedFile, artefact_commitment};
use salus_node::{HolderLedger, write_private};
use serde::Serialize;

use super::grounds::dataset_ref;
use super::holder::place;
use crate::output::{Failure, Output, table};

#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// What this site has released, or another holder.
    List {
        /// The holder; this site if not given.
        #[arg(long)]
        holder: Option<HolderId>,
    },
    /// Fetch a released table, and verify that it is the one that its holder put on the ledger.
    Fetch {
        /// The table: HOLDER/DATASET.
        #[arg(value_parser = dataset_ref)]
        dataset: DatasetRef,
        /// The file for the records, as CSV.
        #[arg(long)]
        out: PathBuf,
        /// The file for the certificate (PDF for .pdf, else HTML).
        #[arg(long)]
        certificate: Option<PathBuf>,
    },
}

pub(crate) async fn run(command: Command, folder: &Path, output: &Output) -> Result<(), Failure> {
    let site = crate::site::open(folder).await?;
    match command {
        Command::List { holder: None } => {
            let Reply::Published(all) = crate::site::ask(&site, Call::Published).await? else {
                return Err(crate::site::protocol());
            };
            output.print(&all, |all| listed(all));
        }
        Command::List { holder: Some(holder) } => {
            let ledger = site.ledger().await?;
            let place = place(folder, &holder)?;
            let all = super::query::get::<Released>(&place, &ledger, "/v1/published").await?;
            output.print(&all.datasets, |all| listed(all));
        }
        Command::Fetch { dataset, out, certificate } => {
            let ledger = site.ledger().await?;
            let fetched = fetch(folder, &ledger, &dataset, &out, certificate.as_deref()).await?;
            output.print(&fetched, |f| {
                format!(
                    "{} records of {} are in {}: those that were put on the ledger.\nThe receipt is \
                     of this release: {}.",
                    f.published.records,
                    f.published.dataset,
                    f.out.display(),
                    loss(&f.published)
                )
            });
        }
    }
    Ok(())
}

fn loss(published: &PublishedDataset) -> String {
    match published.epsilon {
        Some(epsilon) => {
            format!("ε = {epsilon:.4} at δ = 1e-{}", published.delta_exponent.get())
        }
        None => "no privacy bound, approved by the release gate".to_owned(),
    }
}

fn listed(all: &[PublishedDataset]) -> String {
    let row = |p: &PublishedDataset| {
        let columns: Vec<&str> = p.columns.iter().map(|c| c.name.as_str()).collect();
        vec![
            p.dataset.to_string(),
            p.source.to_string(),
            format!("{:?}", p.kind).to_lowercase(),
            p.records.to_string(),
            loss(p),
            columns.join(", "),
        ]
    };
    let header = ["dataset", "made from", "kind", "records", "privacy loss", "columns"];
    table(&header, &all.iter().map(row).collect::<Vec<_>>())
}

#[derive(Serialize)]
struct Fetched {
    published: PublishedDataset,
    out: PathBuf,
    certificate: Option<PathBuf>,
    verified: bool,
}

/// A file of a holder's publication, as bytes.
async fn file(
    (place, holder): (&Place, &HolderId),
    ledger: &HolderLedger,
    path: String,
) -> Result<Vec<u8>, Failure> {
    let said = place.ask(ledger, (holder, &path), None).await?;
    match said.status {
        200 => Ok(said.body),
        404 => Err(Failure::request(format!("{holder} has not published it"))),
        status => Err(Failure::unavailable(format!("the node of {holder} answers {status}"))),
    }
}

async fn fetch(
    folder: &Path,
    ledger: &HolderLedger,
    wanted: &DatasetRef,
    out: &Path,
    certificate: Option<&Path>,
) -> Result<Fetched, Failure> {
    let holder =
        HolderId::new(wanted.holder.as_str()).map_err(|e| Failure::request(e.to_string()))?;
    let place = place(folder, &holder)?;
    let all = super::query::get::<Released>(&place, ledger, "/v1/published").await?;
    let published = all.datasets.into_iter().find(|p| p.dataset == wanted.dataset);
    let published = published
        .ok_or_else(|| Failure::request(format!("{holder} has published no {}", wanted.dataset)))?;
    let at = |name: &str| format!("/v1/published/{}/{name}", wanted.dataset);
    let (from, csv) = ((&place, &holder), at("records.csv"));
    let csv = file(from, ledger, csv).await?;
    if Digest::of(&csv) != published.sha256 {
        return Err(Failure::refused("the records are not those that the holder announces"));
    }
    let receipt = file(from, ledger, at("receipt.cbor")).await?;
    check_receipt(ledger, wanted, &published, &receipt)?;
    check_artefact(ledger, wanted, &published, &csv).await?;
    let failed =
        |path: &Path, e: &std::io::Error| Failure::unavailable(format!("{}: {e}", path.display()));
    if let Some(path) = certificate {
        let pdf = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("pdf"));
        let (name, kind) = match pdf {
            true => ("certificate.pdf", PublishedFile::Pdf),
            false => ("certificate.html", PublishedFile::Html),
        };
        let bytes = file(from, ledger, at(name)).await?;
        if published.files.get(kind.suffix()) != Some(&Digest::of(&bytes)) {
            return Err(Failure::refused(
                "the certificate is not the one that was put on the ledger with the records",
            ));
        }
        write_private(path, &bytes).map_err(|e| failed(path, &e))?;
    }
    write_private(out, &csv).map_err(|e| failed(out, &e))?;
    let certificate = certificate.map(Path::to_owned);
    Ok(Fetched { published, out: out.to_owned(), certificate, verified: true })
}

/// The holder cannot announce another loss than the one that the ledger has booked.
fn check_receipt(
    ledger: &HolderLedger,
    wanted: &DatasetRef,
    published: &PublishedDataset,
    receipt: &[u8],
) -> Result<(), Failure> {
    let verified = verify_receipt(receipt, ledger.anchor())
        .map_err(|e| Failure::not_proved("the receipt proves nothing".to_owned(), &e))?;
    let source = DatasetRef { holder: wanted.holder.clone(), dataset: published.source.clone() };
    let booked = verified.uses.iter().find(|used| used.dataset == source);
    let charge = match published.micro_rho {
        Some(rho) => PrivacyCharge::Bounded(rho),
        None => PrivacyCharge::NotBounded,
    };
    let is_of_it = verified.receipt == published.receipt && verified.permit == published.permit;
    if !is_of_it || booked.is_none_or(|used| used.charge != charge) {
        return Err(Failure::refused(
            "the receipt is for another release than the one that the holder announces",
        ));
    }
    check_epsilon(published)?;
    let reviewed = match &verified.gate {
        Some(GatePassed::Reviewed(reviewed)) => Some(reviewed),
        _ => None,
    };
    let unreviewed = charge == PrivacyCharge::NotBounded && reviewed.is_none();
    if unreviewed || published.review.as_ref() != reviewed {
        return Err(Failure::refused(
            "the receipt names another review than the one that the holder announces, or none",
        ));
    }
    Ok(())
}

/// The ε that people read follows from the charge that was booked, whatever its holder announces.
fn check_epsilon(published: &PublishedDataset) -> Result<(), Failure> {
    let delta = Delta::new(10f64.powi(-i32::from(published.delta_exponent.get())))
        .map_err(|e| Failure::corrupt(e.to_string()))?;
    let booked = published.micro_rho.map(|rho| epsilon_from_rho(rho, delta).get());
    let is_it = match (published.epsilon, booked) {
        (Some(announced), Some(booked)) => (announced - booked).abs() <= 1e-6 * booked,
        (None, None) => true,
        _ => false,
    };
    if is_it {
        return Ok(());
    }
    let words = match booked {
        Some(epsilon) => format!("ε = {epsilon:.4} at δ = 1e-{}", published.delta_exponent.get()),
        None => "no bound".to_owned(),
    };
    Err(Failure::refused(format!(
        "the holder announces another ε than follows from the charge on the receipt: {words}"
    )))
}

/// The table is the one that was committed to on the ledger when it was released: a holder cannot
/// put another in its place afterwards.
async fn check_artefact(
    ledger: &HolderLedger,
    wanted: &DatasetRef,
    published: &PublishedDataset,
    csv: &[u8],
) -> Result<(), Failure> {
    let artefact = published
        .artefact
        .ok_or_else(|| Failure::refused("the holder names no artefact on the ledger"))?;
    let state = ledger.state(&[Fact::Artefact(artefact)]).await?;
    let record = state.artefact(&artefact)?.ok_or_else(|| {
        Failure::refused(format!("there is no artefact {artefact} on the ledger"))
    })?;
    let salt = hex::decode(&published.salt).ok().and_then(|s| <[u8; 32]>::try_from(s).ok());
    let commitment =
        salt.map(|salt| artefact_commitment(&salt, &Digest::of(csv), &published.files));
    if commitment != Some(record.commitment) {
        return Err(Failure::refused(format!(
            "the records are not those that were put on the ledger as artefact {artefact}: the \
             table was changed after its release"
        )));
    }
    let kind = match record.kind {
        ArtefactKind::AnonymisedSet => published.kind == Kind::Anonymised,
        ArtefactKind::SyntheticSet => published.kind == Kind::Synthetic,
        ArtefactKind::Model => false,
    };
    if record.owner != wanted.holder || record.receipt != published.receipt || !kind {
        return Err(Failure::refused(format!(
            "artefact {artefact} is of another release than the one that the holder announces"
        )));
    }
    match record.withdrawn {
        None => Ok(()),
        Some(at) => Err(Failure::refused(format!("its holder withdrew the table in block {at}"))),
    }
}
