//! `salus ledger propose|endorse|submit`: what the members decide together.
//!
//! A proposal is a signed transaction in a file. It goes from one member to the next, each adds a
//! signature, and the last hands it in; the ledger says whether they are enough.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use salus_ledger::call::{
    ActivateContract, AdmitMember, BindKey, Call, PublishCrl, RevokeKey, RevokeMember,
    SetMemberRoles,
};
use salus_ledger::contract::{Contract, ContractVersion};
use salus_ledger::policy::Role;
use salus_ledger::transaction::{MAX_TRANSACTION_BYTES, SignedTransaction};
use salus_ledger::{Height, Opaque, PublicKey};
use salus_model::MemberId;
use salus_node::HolderLedger;
use salus_node::proposals::{Proposal, key};
use serde::Serialize;

use super::config::ConfigureArgs;
use super::found::{certificates, read_request, role};
use super::verify::read;
use crate::output::{Failure, Output};

#[derive(clap::Args)]
pub(crate) struct ProposeArgs {
    #[command(subcommand)]
    change: Change,
    /// The file for the proposal, which others endorse.
    #[arg(long, global = true, default_value = "proposal.cose")]
    out: PathBuf,
    /// For how many blocks it may be handed in.
    #[arg(long, global = true, default_value_t = 1000)]
    blocks: u64,
}

#[derive(clap::Subcommand)]
enum Change {
    /// Admit an organisation, by the request that `salus ledger request` wrote for it.
    Admit {
        /// The request.
        request: PathBuf,
    },
    /// Change what an organisation may do; its keys keep those of their roles that are left.
    SetRoles {
        /// The organisation.
        member: MemberId,
        /// A role; repeat.
        #[arg(long = "role", required = true, value_parser = role)]
        roles: Vec<Role>,
    },
    /// End a membership.
    RevokeMember {
        /// The organisation.
        member: MemberId,
    },
    /// Bind a member's new keys to its new certificate, by the request that it wrote for them.
    BindKey {
        /// The request.
        request: PathBuf,
    },
    /// End one key of a member.
    RevokeKey {
        /// The key, in hexadecimal.
        #[arg(value_parser = key)]
        key: PublicKey,
    },
    /// Publish an authority's revocation list.
    PublishCrl {
        /// The list, as DER.
        file: PathBuf,
        /// The authority's certificate with its intermediates, as PEM, where it is no root.
        #[arg(long)]
        issuer: Option<PathBuf>,
    },
    /// Change who validates, who decides, which authorities count, or a limit.
    Configure(#[command(flatten)] Box<ConfigureArgs>),
    /// Let a contract's next rules decide from a block on; its present version takes a plan back.
    Activate {
        /// The contract.
        #[arg(value_parser = contract)]
        contract: Contract,
        /// The version of its rules.
        #[arg(value_parser = version)]
        version: ContractVersion,
        /// The block from which they decide.
        #[arg(long)]
        at: u64,
    },
}

fn contract(word: &str) -> Result<Contract, String> {
    Contract::ALL.into_iter().find(|c| c.as_str() == word).ok_or_else(|| {
        let words = Contract::ALL.map(Contract::as_str);
        format!("'{word}' is no contract; use {}", words.join(", "))
    })
}

fn version(word: &str) -> Result<ContractVersion, String> {
    let number = word.parse().ok().filter(|number| *number > 0);
    number
        .map(ContractVersion::new)
        .ok_or_else(|| format!("'{word}' is no version; they count from 1"))
}

impl Change {
    async fn call(self, ledger: &HolderLedger) -> Result<Call, Failure> {
        Ok(match self {
            Self::Admit { request } => read_request(&request)?.into(),
            Self::SetRoles { member, roles } => {
                SetMemberRoles { member, roles: roles.into_iter().collect::<BTreeSet<_>>() }.into()
            }
            Self::RevokeMember { member } => RevokeMember { member }.into(),
            Self::BindKey { request } => {
                let AdmitMember { member, mut keys, .. } = read_request(&request)?;
                let none = || Failure::request("the request has not exactly one key");
                let key = keys.pop().filter(|_| keys.is_empty()).ok_or_else(none)?;
                BindKey { member, key }.into()
            }
            Self::RevokeKey { key } => RevokeKey { key }.into(),
            Self::PublishCrl { file, issuer } => {
                let crl = Opaque::new(read(&file, MAX_TRANSACTION_BYTES)?);
                let issuer = issuer.map(|path| certificates(&path)).transpose()?;
                PublishCrl { crl, issuer: issuer.unwrap_or_default() }.into()
            }
            Self::Configure(args) => args.call(&ledger.config().await?)?.into(),
            Self::Activate { contract, version, at } => {
                ActivateContract { contract, version, at: Height::new(at) }.into()
            }
        })
    }
}

#[derive(Serialize)]
struct ProposalShown {
    #[serde(flatten)]
    says: Proposal,
    file: PathBuf,
}

impl ProposalShown {
    fn of(signed: &SignedTransaction, ledger: &HolderLedger, file: &Path) -> Self {
        Self { says: Proposal::of(signed, ledger), file: file.to_owned() }
    }

    fn print(&self, output: &Output) {
        output.print(self, |p| {
            format!(
                "Proposal   {} ({})\nSigned by  {}\nUntil      block {}\nFile       {}\n{}",
                p.says.method,
                p.says.transaction,
                p.says.signed_by.join(", "),
                p.says.last_block,
                p.file.display(),
                serde_json::to_string_pretty(&p.says.content).unwrap_or_default()
            )
        });
    }
}

fn write(path: &Path, signed: &SignedTransaction) -> Result<(), Failure> {
    std::fs::write(path, signed.as_bytes())
        .map_err(|e| Failure::unavailable(format!("{}: {e}", path.display())))
}

pub(super) async fn propose(
    args: ProposeArgs,
    site: &Path,
    output: &Output,
) -> Result<(), Failure> {
    if args.out.exists() {
        return Err(Failure::request(format!("{} is there already", args.out.display())));
    }
    let ledger = crate::site::open(site).await?.ledger().await?;
    let call = args.change.call(&ledger).await?;
    let signed = ledger.signed_for(call, &[], args.blocks).await?;
    write(&args.out, &signed)?;
    ProposalShown::of(&signed, &ledger, &args.out).print(output);
    Ok(())
}

pub(super) async fn endorse(file: &Path, site: &Path, output: &Output) -> Result<(), Failure> {
    let bytes = read(file, MAX_TRANSACTION_BYTES)?;
    let ledger = crate::site::open(site).await?.ledger().await?;
    let signed = ledger
        .endorse(&bytes)
        .map_err(|e| Failure::not_proved(format!("{} is not endorsed", file.display()), &e))?;
    write(file, &signed)?;
    ProposalShown::of(&signed, &ledger, file).print(output);
    Ok(())
}

#[derive(Serialize)]
struct Submitted {
    transaction: String,
    method: &'static str,
    block: u64,
}

pub(super) async fn submit(file: &Path, site: &Path, output: &Output) -> Result<(), Failure> {
    let bytes = read(file, MAX_TRANSACTION_BYTES)?;
    let ledger = crate::site::open(site).await?.ledger().await?;
    let signed = SignedTransaction::from_bytes(&bytes, ledger.client().ledger())
        .map_err(|e| Failure::not_proved(format!("{} is not handed in", file.display()), &e))?;
    let recorded = ledger.hand_in(&signed).await?;
    let submitted = Submitted {
        transaction: signed.id().to_string(),
        method: signed.transaction().call().method().as_str(),
        block: recorded.entry.height.get(),
    };
    output.print(&submitted, |s| format!("{} took effect in block {}.", s.method, s.block));
    Ok(())
}
