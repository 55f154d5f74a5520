//! A ledger among organisations that have certificates: each makes its keys and a request, the
//! founders put the requests together into a genesis, and each goes on with its own keys.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use salus_crypto::OsEntropy;
use salus_crypto::passphrase::GuessCost;
use salus_ledger::call::AdmitMember;
use salus_ledger::config::{ConfigForm, PlatformConfig, Validator};
use salus_ledger::contract::Contract;
use salus_ledger::genesis::{Genesis, NetworkKind};
use salus_ledger::policy::{Expression, Policy, Role};
use salus_ledger::{Nonce, Opaque, PublicKey, cbor, query};
use salus_model::{Clock as _, Entropy as _, MemberId};
use salus_node::membership::Enrolment;
use salus_node::{SystemClock, read_secret, write_private};
use salus_validator::dev::DEV_LIMITS;
use salus_validator::store::Store;
use salus_validator::{Folder, Peer, ValidatorConfig};
use serde::Serialize;

use super::recover::{Unfinished, configuration, restore};
use super::verify::read;
use crate::output::{Failure, Output};
use crate::passphrase::Asking;

const MAX_REQUEST_BYTES: usize = 256 * 1024;
const MAX_KEYS_BYTES: usize = 256 * 1024;

#[derive(clap::Args)]
pub(crate) struct RequestArgs {
    /// The organisation's name on the ledger; a holder's site has the same.
    member: MemberId,
    /// A role: administrator, officer, treasurer, holder, worker, research, validator, auditor;
    /// repeat.
    #[arg(long = "role", required = true, value_parser = role)]
    roles: Vec<Role>,
    /// The organisation's certificate with its intermediates, as PEM.
    #[arg(long)]
    certificate: PathBuf,
    /// The certificate's key, PKCS#8 as PEM, which its owner alone may read.
    #[arg(long)]
    key: PathBuf,
    /// The folder for MEMBER.keys, which stays here, and MEMBER.request, which is public.
    #[arg(long, default_value = ".")]
    out: PathBuf,
}

#[derive(clap::Args)]
pub(crate) struct FoundArgs {
    /// A first member's request; repeat. Those with the role validator order the ledger.
    #[arg(long = "request", required = true)]
    requests: Vec<PathBuf>,
    /// A certificate authority whose certificates count, as PEM; repeat.
    #[arg(long = "root", required = true)]
    roots: Vec<PathBuf>,
    /// How many administrators have to agree on members and configuration.
    #[arg(long)]
    agree: u16,
    /// The genesis to write; everybody gets it, and compares its hash.
    #[arg(long, default_value = "genesis.cbor")]
    out: PathBuf,
}

#[derive(clap::Args)]
pub(crate) struct InitArgs {
    /// The folder to make.
    folder: PathBuf,
    /// The validator's own MEMBER.keys; removed once its keys are in the folder.
    #[arg(long)]
    keys: PathBuf,
    /// What the ledger begins with.
    #[arg(long)]
    genesis: PathBuf,
    /// Where validators reach this one.
    #[arg(long)]
    listen: SocketAddr,
    /// Where members reach it, over HTTPS with mutual TLS.
    #[arg(long)]
    api: SocketAddr,
    /// Another validator, as NAME@HOST:PORT; repeat. The genesis, or the snapshot, has its key.
    #[arg(long = "peer", value_parser = peer)]
    peers: Vec<(MemberId, SocketAddr)>,
    /// Go on from a snapshot of `salus ledger snapshot`, with keys that never validated before.
    #[arg(long)]
    snapshot: Option<PathBuf>,
}

pub(super) fn role(word: &str) -> Result<Role, String> {
    Role::ALL.into_iter().find(|r| r.as_str() == word).ok_or_else(|| {
        let words: Vec<&str> = Role::ALL.iter().map(|r| r.as_str()).collect();
        format!("'{word}' is no role; use {}", words.join(", "))
    })
}

pub(super) fn peer(text: &str) -> Result<(MemberId, SocketAddr), String> {
    let (name, address) = text.split_once('@').ok_or("write NAME@HOST:PORT")?;
    let address = address.parse().map_err(|_| format!("'{address}' is no address with a port"))?;
    Ok((MemberId::new(name).map_err(|e| e.to_string())?, address))
}

/// A request as `salus ledger request` writes it.
pub(super) fn read_request(path: &Path) -> Result<AdmitMember, Failure> {
    let bytes = read(path, MAX_REQUEST_BYTES)?;
    cbor::decode(&bytes, MAX_REQUEST_BYTES)
        .map_err(|e| Failure::request(format!("{} is no request: {e}", path.display())))
}

/// The other validators of a genesis, where they were said to listen: each one of them.
pub(super) fn peers(
    genesis: &Genesis,
    own: &PublicKey,
    named: Vec<(MemberId, SocketAddr)>,
) -> Result<Vec<Peer>, Failure> {
    let seats = &genesis.config.form().validators;
    if !seats.iter().any(|seat| seat.key == *own) {
        return Err(Failure::request(format!("the genesis has no validator with the key {own}")));
    }
    let peers = found_at(seats.iter().filter(|seat| seat.key != *own), named)?;
    if peers.len() + 1 < seats.len() {
        let told = format!(
            "the genesis has {} validators; name each other one with --peer NAME@HOST:PORT",
            seats.len()
        );
        return Err(Failure::request(told));
    }
    Ok(peers)
}

/// The validators of a ledger that runs already, where they were said to listen: each one that is
/// not of the newcomer's own organisation, whose lost validator may be what it stands in for.
fn peers_of_others(
    config: &PlatformConfig,
    member: &MemberId,
    named: Vec<(MemberId, SocketAddr)>,
) -> Result<Vec<Peer>, Failure> {
    let seats = &config.form().validators;
    let others = seats.iter().filter(|seat| seat.member != *member).count();
    let own = named.iter().filter(|(name, _)| name == member).count();
    let peers = found_at(seats.iter(), named)?;
    if peers.len() < others + own {
        let told = format!(
            "{others} other validators order this ledger; name each one with --peer NAME@HOST:PORT"
        );
        return Err(Failure::request(told));
    }
    Ok(peers)
}

fn found_at<'a>(
    seats: impl Iterator<Item = &'a Validator> + Clone,
    named: Vec<(MemberId, SocketAddr)>,
) -> Result<Vec<Peer>, Failure> {
    let mut peers: Vec<Peer> = Vec::new();
    for (name, address) in named {
        let mut others = seats.clone().filter(|seat| seat.member == name);
        // An organisation with several validators names each of them once.
        let seat = others.find(|seat| peers.iter().all(|peer| peer.key != seat.key));
        let none = || Failure::request(format!("the ledger has no other validator of {name}"));
        peers.push(Peer { key: seat.ok_or_else(none)?.key, address });
    }
    Ok(peers)
}

fn io(path: &Path) -> impl Fn(std::io::Error) -> Failure {
    move |e| Failure::unavailable(format!("{}: {e}", path.display()))
}

/// The certificates of a PEM file.
pub(super) fn certificates(path: &Path) -> Result<Vec<Opaque>, Failure> {
    let text = read(path, MAX_KEYS_BYTES)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let found = found.map_err(|e| Failure::request(format!("{}: {e}", path.display())))?;
    if found.is_empty() {
        return Err(Failure::request(format!("{} holds no certificate as PEM", path.display())));
    }
    Ok(found.into_iter().map(|der| Opaque::new(der.to_vec())).collect())
}

#[derive(Serialize)]
struct Requested {
    member: String,
    keys: PathBuf,
    request: PathBuf,
}

pub(super) fn request(args: RequestArgs, output: &Output) -> Result<(), Failure> {
    let chain = certificates(&args.certificate)?;
    let key = read_secret(&args.key)?;
    let enrolment = Enrolment::new(args.member.clone(), chain, &key)?;
    let roles: BTreeSet<Role> = args.roles.into_iter().collect();
    let asked = enrolment.request(&roles)?;
    let (keys, request) = (
        args.out.join(format!("{}.keys", args.member)),
        args.out.join(format!("{}.request", args.member)),
    );
    if keys.exists() {
        return Err(Failure::request(format!("{} is there already", keys.display())));
    }
    let passphrase = super::passphrase_of("passphrase for the keys", Asking::New)?;
    let sealed = enrolment.seal(&passphrase, GuessCost::RFC_9106_SECOND)?;
    write_private(&keys, &sealed).map_err(io(&keys))?;
    let bytes = cbor::encode(&asked).map_err(|e| Failure::corrupt(e.to_string()))?;
    std::fs::write(&request, bytes).map_err(io(&request))?;
    let made = Requested { member: args.member.to_string(), keys, request };
    output.print(&made, |m| {
        format!(
            "{} stays here, sealed.\nSend {} to the founders of the ledger.",
            m.keys.display(),
            m.request.display()
        )
    });
    Ok(())
}

#[derive(Serialize)]
struct Founded {
    ledger: String,
    members: Vec<String>,
    validators: usize,
    genesis: PathBuf,
}

pub(super) fn found(args: FoundArgs, output: &Output) -> Result<(), Failure> {
    if args.out.exists() {
        return Err(Failure::request(format!("{} is there already", args.out.display())));
    }
    let members: Result<Vec<AdmitMember>, Failure> =
        args.requests.iter().map(|path| read_request(path)).collect();
    let members = members?;
    let mut roots = Vec::new();
    for path in &args.roots {
        roots.extend(certificates(path)?);
    }
    let governance = Expression::Quorum { k: args.agree, role: Role::Administrator };
    let form = ConfigForm {
        version: 0,
        roots,
        validators: members.iter().flat_map(salus_validator::channels::seats).collect(),
        governance: Policy::new(governance).map_err(|e| Failure::request(e.to_string()))?,
        policies: BTreeMap::new(),
        limits: DEV_LIMITS,
        review: None,
    };
    let mut nonce = [0; 16];
    OsEntropy.fill(&mut nonce).map_err(|e| Failure::unavailable(e.to_string()))?;
    let genesis = Genesis {
        nonce: Nonce::new(nonce),
        kind: NetworkKind::Production,
        time: SystemClock.now(),
        config: PlatformConfig::new(form).map_err(|e| Failure::request(e.to_string()))?,
        members,
        contracts: Contract::newest_rules(),
    };
    let founded = genesis.found()?;
    let bytes = cbor::encode(&genesis).map_err(|e| Failure::corrupt(e.to_string()))?;
    std::fs::write(&args.out, bytes).map_err(io(&args.out))?;
    let shown = Founded {
        ledger: founded.ledger.to_string(),
        members: genesis.members.iter().map(|m| m.member.to_string()).collect(),
        validators: genesis.config.form().validators.len(),
        genesis: args.out,
    };
    output.print(&shown, |f| {
        format!(
            "Ledger {} with {} validators, of {}.\nGive {} to each of them; the ledger's name is its hash: compare it.",
            f.ledger,
            f.validators,
            f.members.join(", "),
            f.genesis.display()
        )
    });
    Ok(())
}

#[derive(Serialize)]
struct Initialised {
    folder: PathBuf,
    ledger: String,
    api: String,
    key: String,
    block: u64,
}

/// What a validator's folder is made of; the keys that were in one place are in another then.
pub(super) fn init(args: InitArgs, output: &Output) -> Result<(), Failure> {
    if args.folder.exists() {
        return Err(Failure::request(format!("{} is there already", args.folder.display())));
    }
    let genesis = super::verify::trusted(Some(&args.genesis), Path::new("."))?;
    let ledger = genesis.ledger_id().map_err(|e| Failure::corrupt(e.to_string()))?;
    let passphrase = super::passphrase_of("passphrase of the keys", Asking::Known)?;
    let Enrolment { identity, member } =
        Enrolment::open(&passphrase, &read(&args.keys, MAX_KEYS_BYTES)?)?;
    let own = identity.signer().public_key();
    let unfinished = Unfinished::new(&args.folder);
    let folder = Folder::at(&args.folder);
    let (peers, block) = match &args.snapshot {
        None => (peers(&genesis, &own, args.peers)?, 0),
        Some(snapshot) => {
            std::fs::create_dir_all(&args.folder).map_err(io(&args.folder))?;
            let store = restore(snapshot, &folder.database(), &ledger)?;
            let config = configuration(&store)?;
            never_voted(&genesis, &store, &own)?;
            (peers_of_others(&config, &member, args.peers)?, store.view().tip().height.get())
        }
    };
    let config = ValidatorConfig {
        listen: args.listen,
        api: args.api,
        keep_blocks: None,
        explorer: None,
        peers,
    };
    let cost = GuessCost::RFC_9106_SECOND;
    folder.create(&config, &identity, &genesis, &passphrase, cost, &mut OsEntropy)?;
    std::fs::remove_file(&args.keys).map_err(io(&args.keys))?;
    unfinished.finished();
    let made = Initialised {
        folder: args.folder,
        ledger: ledger.to_string(),
        api: format!("https://{}", args.api),
        key: own.to_string(),
        block,
    };
    output.print(&made, |m| {
        format!(
            "A validator of {} from block {} on, for members at {}.\nKey {}\nRun it with: salus ledger serve {}",
            m.ledger,
            m.block,
            m.api,
            m.key,
            m.folder.display()
        )
    });
    Ok(())
}

/// A key's votes are remembered in its folder alone: from a snapshot it could vote twice.
fn never_voted(genesis: &Genesis, store: &Store, own: &PublicKey) -> Result<(), Failure> {
    let mut configs = vec![genesis.config.clone(), configuration(store)?];
    for version in 0..configuration(store)?.form().version {
        let past = query::past_config(store.view(), version);
        configs.extend(past.map_err(|e| Failure::corrupt(e.to_string()))?);
    }
    if configs.iter().any(|config| config.validator_keys().contains(own)) {
        return Err(Failure::refused(format!(
            "the key {own} has validated this ledger; what it voted for is not in a snapshot. \
             Make new keys with `salus ledger request`, and have them configured once their folder \
             is made"
        )));
    }
    Ok(())
}
