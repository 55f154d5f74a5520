//! `salus ledger verify`: what a receipt, a checkpoint or an export proves. No network is used.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use salus_dp::{Delta, epsilon_from_rho};
use salus_ledger::call::AttestationRef;
use salus_ledger::genesis::{Genesis, MAX_GENESIS_BYTES, NetworkKind};
use salus_ledger::proof::{
    CheckpointTrust, GatePassed, MAX_RECEIPT_BYTES, SignedCheckpoint, TrustAnchor, VerifiedReceipt,
    WitnessName, verify_receipt,
};
use salus_ledger::{PublicKey, cbor};
use salus_model::PrivacyCharge;
use salus_node::Config;
use salus_node::membership::GENESIS_FILE;
use serde::Serialize;

use crate::output::{Failure, Output};

#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Say what a receipt proves: under which permit, which columns, at what charge, when.
    Receipt {
        /// The receipt's file.
        file: PathBuf,
        /// What the ledger began with; by default that of the site.
        #[arg(long)]
        genesis: Option<PathBuf>,
        /// The sealed answer that the receipt is said to be for.
        #[arg(long, requires = "salt")]
        answer: Option<PathBuf>,
        /// The salt that came with the answer, in hexadecimal.
        #[arg(long, requires = "answer")]
        salt: Option<String>,
    },
    /// Check a checkpoint: validators' signatures, and witnesses' where wanted.
    Checkpoint {
        /// The checkpoint's file (a C2SP signed note).
        file: PathBuf,
        /// What the ledger began with; by default that of the site.
        #[arg(long)]
        genesis: Option<PathBuf>,
        /// A witness that is trusted, as NAME=KEY in hexadecimal; repeat.
        #[arg(long = "witness", value_parser = witness)]
        witnesses: Vec<(WitnessName, PublicKey)>,
        /// How many of them have to have cosigned.
        #[arg(long, default_value_t = 0)]
        threshold: usize,
    },
    /// Walk through an exported ledger, block by block.
    Export {
        /// The file that `salus ledger export` wrote.
        file: PathBuf,
        /// What the ledger began with; by default that of the site.
        #[arg(long)]
        genesis: Option<PathBuf>,
    },
}

fn witness(text: &str) -> Result<(WitnessName, PublicKey), String> {
    let (name, key) = text.split_once('=').ok_or("write NAME=KEY")?;
    let name = WitnessName::new(name).map_err(|e| e.to_string())?;
    let bytes = hex::decode(key).map_err(|e| format!("the key is no hexadecimal: {e}"))?;
    let key = PublicKey::try_from(bytes.as_slice()).map_err(|e| e.to_string())?;
    Ok((name, key))
}

/// Reads a file that nobody may make larger than what is wanted of it.
pub(super) fn read(path: &Path, most: usize) -> Result<Vec<u8>, Failure> {
    let shown = path.display();
    let size = std::fs::metadata(path)
        .map_err(|e| Failure::request(format!("{shown} cannot be read: {e}")))?
        .len();
    if size > most as u64 {
        return Err(Failure::request(format!("{shown} has {size} bytes; {most} are the most")));
    }
    std::fs::read(path).map_err(|e| Failure::request(format!("{shown} cannot be read: {e}")))
}

/// What is trusted: the genesis that was named, or that of the site.
pub(super) fn trusted(named: Option<&Path>, site: &Path) -> Result<Genesis, Failure> {
    let path = match named {
        Some(path) => path.to_owned(),
        None if Config::is_site(site) => {
            let folder = Config::read(site)?.ledger.map(|ledger| ledger.folder);
            let none = || {
                Failure::request(
                    "this site is on no ledger; name what the ledger began with: --genesis FILE",
                )
            };
            site.join(folder.ok_or_else(none)?).join(GENESIS_FILE)
        }
        None => {
            return Err(Failure::request(
                "name what the ledger began with, and get it from somebody whom you trust: \
                 --genesis FILE",
            ));
        }
    };
    let bytes = read(&path, MAX_GENESIS_BYTES)?;
    cbor::decode(&bytes, MAX_GENESIS_BYTES)
        .map_err(|e| Failure::request(format!("{} is no genesis: {e}", path.display())))
}

pub(super) fn run(command: Command, site: &Path, output: &Output) -> Result<(), Failure> {
    match command {
        Command::Receipt { file, genesis, answer, salt } => {
            let genesis = trusted(genesis.as_deref(), site)?;
            receipt(&file, &genesis, answer.zip(salt), output)
        }
        Command::Checkpoint { file, genesis, witnesses, threshold } => {
            let genesis = trusted(genesis.as_deref(), site)?;
            checkpoint(&file, &genesis, witnesses, threshold, output)
        }
        Command::Export { file, genesis } => {
            let genesis = trusted(genesis.as_deref(), site)?;
            super::export::verify(&file, &genesis, output)
        }
    }
}

/// What a receipt proves, for scripts and people.
#[derive(Debug, Serialize)]
pub(crate) struct ReceiptShown {
    verified: bool,
    pub(crate) receipt: String,
    ledger: String,
    demonstration: bool,
    pub(crate) block: u64,
    time: String,
    pub(crate) permit: String,
    pseudonym: String,
    uses: Vec<UseShown>,
    code: String,
    computed: &'static str,
    gate: Option<GateShown>,
    result: String,
    answer: Option<&'static str>,
}

/// How it passed the release gate.
#[derive(Debug, Serialize)]
struct GateShown {
    /// The review; none under the first rules, where one officer signed.
    review: Option<String>,
    /// The reviewers' keys.
    approvals: Vec<String>,
}

fn gate(passed: &GatePassed) -> GateShown {
    match passed {
        GatePassed::SignedOff(_) => GateShown { review: None, approvals: Vec::new() },
        GatePassed::Reviewed(reviewed) => GateShown {
            review: Some(reviewed.review.to_string()),
            approvals: reviewed.approvals.iter().map(ToString::to_string).collect(),
        },
    }
}

#[derive(Debug, Serialize)]
struct UseShown {
    holder: String,
    dataset: String,
    version: u64,
    columns: Vec<String>,
    optout_epoch: u64,
    charge_rho: Option<f64>,
    /// ε at δ = 10⁻⁶, to compare charges by.
    charge_epsilon: Option<f64>,
}

pub(crate) fn shown(verified: &VerifiedReceipt, genesis: &Genesis) -> ReceiptShown {
    let delta = Delta::new(1e-6).ok();
    let uses = verified.uses.iter().map(|used| {
        let rho = match used.charge {
            PrivacyCharge::Bounded(rho) => Some(rho),
            PrivacyCharge::NotBounded => None,
        };
        UseShown {
            holder: used.dataset.holder.to_string(),
            dataset: used.dataset.dataset.to_string(),
            version: used.version.number(),
            columns: used.columns.iter().map(|c| c.as_str().to_owned()).collect(),
            optout_epoch: used.optout_epoch,
            charge_rho: rho.map(|rho| rho.get() as f64 / 1e6),
            charge_epsilon: rho.zip(delta).map(|(rho, delta)| epsilon_from_rho(rho, delta).get()),
        }
    });
    ReceiptShown {
        verified: true,
        receipt: verified.receipt.to_string(),
        ledger: verified.ledger.to_string(),
        demonstration: genesis.kind == NetworkKind::Demonstration,
        block: verified.height.get(),
        time: verified.time.to_string(),
        permit: verified.permit.to_string(),
        pseudonym: verified.pseudonym.to_string(),
        uses: uses.collect(),
        code: verified.code.to_string(),
        computed: match verified.attestation {
            AttestationRef::Premises => "on the holder's premises",
            AttestationRef::Evidence(_) => "elsewhere, under attestation evidence",
        },
        gate: verified.gate.as_ref().map(gate),
        result: verified.result.to_string(),
        answer: None,
    }
}

pub(crate) fn text(r: &ReceiptShown) -> String {
    let mut lines = vec![
        format!("Verified    {}", r.receipt),
        format!(
            "Ledger      {}{}",
            r.ledger,
            if r.demonstration { " (a demonstration)" } else { "" }
        ),
        format!("When        {} in block {}", r.time, r.block),
        format!("Permit      {}", r.permit),
        format!("By          {} (a key for this permit alone)", r.pseudonym),
    ];
    for used in &r.uses {
        lines.push(format!(
            "Used        {}/{} version {}, opt-outs of epoch {}",
            used.holder, used.dataset, used.version, used.optout_epoch
        ));
        lines.push(format!("Columns     {}", used.columns.join(", ")));
        lines.push(match (used.charge_rho, used.charge_epsilon) {
            (Some(rho), Some(epsilon)) => {
                format!("Charged     ρ {rho:.6} (alone: ε {epsilon:.3} at δ 10⁻⁶)")
            }
            _ => "Charged     without a bound".to_owned(),
        });
    }
    lines.push(format!("Computed    {}, by code {}", r.computed, r.code));
    if let Some(gate) = &r.gate {
        lines.push(match &gate.review {
            None => "Gate        signed off by an officer, under the first rules".to_owned(),
            Some(review) => format!("Gate        review {review} was approved"),
        });
        lines.extend(gate.approvals.iter().map(|key| format!("Approved    by {key}")));
    }
    lines.push(format!("Result      {} (salted hash)", r.result));
    lines.extend(r.answer.iter().map(|answer| format!("Answer      {answer}")));
    lines.join("\n")
}

fn receipt(
    file: &Path,
    genesis: &Genesis,
    answer: Option<(PathBuf, String)>,
    output: &Output,
) -> Result<(), Failure> {
    let bytes = read(file, MAX_RECEIPT_BYTES)?;
    let anchor = TrustAnchor::from_genesis(genesis)?;
    let verified = verify_receipt(&bytes, &anchor)
        .map_err(|e| Failure::not_proved(format!("{} proves nothing", file.display()), &e))?;
    let mut shown = shown(&verified, genesis);
    if let Some((path, salt)) = answer {
        let message = read(&path, 64 * 1024 * 1024)?;
        let salt = hex::decode(salt.trim()).ok().and_then(|salt| <[u8; 32]>::try_from(salt).ok());
        let salt = salt.ok_or_else(|| Failure::request("a salt has 64 hexadecimal digits"))?;
        if salus_spine::result_hash(&salt, &message) != verified.result {
            let told = format!("the receipt is not for the answer in {}", path.display());
            return Err(Failure::refused(told));
        }
        shown.answer = Some("is the one that the receipt is for");
    }
    output.print(&shown, text);
    Ok(())
}

#[derive(Serialize)]
struct CheckpointShown {
    verified: bool,
    ledger: String,
    transactions: u64,
    root: String,
    validators: usize,
    witnesses_wanted: usize,
}

fn checkpoint(
    file: &Path,
    genesis: &Genesis,
    witnesses: Vec<(WitnessName, PublicKey)>,
    threshold: usize,
    output: &Output,
) -> Result<(), Failure> {
    let refused = |e: &salus_ledger::proof::CheckpointError| {
        Failure::not_proved(format!("{} proves nothing", file.display()), e)
    };
    let text = String::from_utf8(read(file, 64 * 1024)?)
        .map_err(|_| Failure::request(format!("{} is no text", file.display())))?;
    let signed = SignedCheckpoint::from_text(&text).map_err(|e| refused(&e))?;
    let validators = genesis.config.validator_keys();
    let ledger = genesis.ledger_id().map_err(|e| Failure::corrupt(e.to_string()))?;
    let witnesses: BTreeMap<_, _> = witnesses.into_iter().collect();
    let trust = CheckpointTrust { ledger, validators, witnesses, threshold };
    let verified = signed.verify(&trust).map_err(|e| refused(&e))?;
    let signed_by = signed.signed_by(&trust.validators).map_err(|e| refused(&e))?;
    let shown = CheckpointShown {
        verified: true,
        ledger: verified.ledger.to_string(),
        transactions: verified.size,
        root: verified.root.to_string(),
        validators: signed_by.len(),
        witnesses_wanted: threshold,
    };
    output.print(&shown, |s| {
        format!(
            "Verified      signed by {} validators, cosigned by at least {} trusted witnesses\n\
             Ledger        {}\nTransactions  {}\nRoot          {}",
            s.validators, s.witnesses_wanted, s.ledger, s.transactions, s.root
        )
    });
    Ok(())
}
