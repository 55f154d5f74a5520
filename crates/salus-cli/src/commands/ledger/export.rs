//! A ledger in a file: the genesis, the changes of validators, and every block with its votes.
//!
//! The file is `SALUSLX1`, then pieces, each a length (u32, big-endian) and CBOR: the genesis, the
//! list of handovers, then final blocks from the first on.

use std::io::{BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use salus_ledger::block::{FinalBlock, MAX_ENCODED_BLOCK_BYTES};
use salus_ledger::genesis::{Genesis, MAX_GENESIS_BYTES};
use salus_ledger::proof::{FinalityProof, Handover, TrustAnchor};
use salus_ledger::{BlockHash, Height, cbor};
use serde::Serialize;

use crate::output::{Failure, Output};

const MAGIC: &[u8; 8] = b"SALUSLX1";
const MAX_HANDOVERS_BYTES: usize = 64 * 1024 * 1024;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The file to write; there must be none.
    file: PathBuf,
}

#[derive(Serialize)]
struct Walked {
    ledger: String,
    blocks: u64,
    transactions: u64,
    file: PathBuf,
}

fn io(path: &Path) -> impl Fn(std::io::Error) -> Failure {
    move |e| Failure::unavailable(format!("{}: {e}", path.display()))
}

fn piece(to: &mut impl Write, bytes: &[u8]) -> std::io::Result<()> {
    let length = u32::try_from(bytes.len()).map_err(std::io::Error::other)?;
    to.write_all(&length.to_be_bytes())?;
    to.write_all(bytes)
}

pub(super) async fn run(args: Args, folder: &Path, output: &Output) -> Result<(), Failure> {
    let site = crate::site::open(folder).await?;
    let ledger = site.ledger().await?;
    let client = ledger.client();
    let bug = |e: salus_ledger::cbor::CborError| Failure::corrupt(e.to_string());
    let tip = client.last_block().await?;
    let last = tip.finality.header.height;
    let staged = args.file.with_extension("part");
    if args.file.exists() {
        let told = format!("{} is there already; name another file", args.file.display());
        return Err(Failure::request(told));
    }
    let failed = io(&staged);
    let mut to = BufWriter::new(std::fs::File::create(&staged).map_err(&failed)?);
    to.write_all(MAGIC).map_err(&failed)?;
    piece(&mut to, &cbor::encode(ledger.genesis()).map_err(bug)?).map_err(&failed)?;
    piece(&mut to, &cbor::encode(&tip.handovers).map_err(bug)?).map_err(&failed)?;
    let (mut from, mut transactions) = (client.beginning(), 0);
    while from.height() < last {
        let (block, next) = client.next_block(&from).await?;
        transactions = block.block.header.history_size;
        piece(&mut to, &block.to_bytes().map_err(bug)?).map_err(&failed)?;
        from = next;
    }
    let file = to.into_inner().map_err(|e| failed(e.into_error()))?;
    file.sync_all().map_err(&failed)?;
    std::fs::rename(&staged, &args.file).map_err(io(&args.file))?;
    let walked = Walked {
        ledger: client.ledger().to_string(),
        blocks: last.get(),
        transactions,
        file: args.file,
    };
    output.print(&walked, |w| {
        format!(
            "{} blocks with {} transactions, each verified, are in {}",
            w.blocks,
            w.transactions,
            w.file.display()
        )
    });
    Ok(())
}

fn next_piece(from: &mut impl Read, most: usize) -> Result<Option<Vec<u8>>, String> {
    let mut length = [0; 4];
    match from.read(&mut length).map_err(|e| e.to_string())? {
        0 => return Ok(None),
        4 => {}
        n => {
            let rest = length.get_mut(n..).unwrap_or_default();
            from.read_exact(rest).map_err(|_| "it ends in the middle of a piece".to_owned())?;
        }
    }
    let length = u32::from_be_bytes(length) as usize;
    if length > most {
        return Err(format!("a piece has {length} bytes; {most} are the most"));
    }
    let mut bytes = vec![0; length];
    from.read_exact(&mut bytes).map_err(|_| "it ends in the middle of a piece".to_owned())?;
    Ok(Some(bytes))
}

/// The walk through an export: each block on the one before, each final under the validators of
/// its time.
struct Walk {
    anchor: TrustAnchor,
    handovers: Vec<Handover>,
    before: Option<BlockHash>,
    height: Height,
    transactions: u64,
}

impl Walk {
    fn step(&mut self, bytes: &[u8]) -> Result<(), String> {
        let block: FinalBlock =
            cbor::decode(bytes, MAX_ENCODED_BLOCK_BYTES).map_err(|e| e.to_string())?;
        let header = block.block.header.clone();
        let height = header.height;
        let wanted = self.height.next();
        if height != wanted {
            return Err(format!("block {wanted} is missing: {height} stands in its place"));
        }
        if self.before.is_some_and(|before| before != header.parent) {
            return Err(format!("block {height} does not follow the block before it"));
        }
        if !block.block.is_whole() {
            return Err(format!("the transactions of block {height} are not those in its header"));
        }
        let finality = FinalityProof { header: header.clone(), certificate: block.certificate };
        finality.verify(&self.anchor).map_err(|e| format!("block {height}: {e}"))?;
        let change = self.handovers.iter().find(|h| h.finality.header.height == height);
        if let Some(handover) = change {
            self.anchor = self.anchor.follow(handover).map_err(|e| e.to_string())?;
        }
        self.before = Some(header.hash().map_err(|e| e.to_string())?);
        self.transactions = header.history_size;
        self.height = height;
        Ok(())
    }
}

pub(super) fn verify(path: &Path, genesis: &Genesis, output: &Output) -> Result<(), Failure> {
    let told = |said: String| Failure::refused(format!("{}: {said}", path.display()));
    let file = std::fs::File::open(path)
        .map_err(|e| Failure::request(format!("{} cannot be read: {e}", path.display())))?;
    let mut from = BufReader::new(file);
    let mut magic = [0; 8];
    if from.read_exact(&mut magic).is_err() || magic != *MAGIC {
        return Err(Failure::request(format!("{} is no exported ledger", path.display())));
    }
    let short = || told("it ends before its first block".to_owned());
    let own = next_piece(&mut from, MAX_GENESIS_BYTES).map_err(told)?.ok_or_else(short)?;
    let own: Genesis = cbor::decode(&own, MAX_GENESIS_BYTES).map_err(|e| told(e.to_string()))?;
    let id = |genesis: &Genesis| genesis.ledger_id().map_err(|e| Failure::corrupt(e.to_string()));
    let (found, wanted) = (id(&own)?, id(genesis)?);
    if found != wanted {
        return Err(told(format!("it is of ledger {found}, trusted is {wanted}")));
    }
    let handovers = next_piece(&mut from, MAX_HANDOVERS_BYTES).map_err(told)?.ok_or_else(short)?;
    let handovers =
        cbor::decode(&handovers, MAX_HANDOVERS_BYTES).map_err(|e| told(e.to_string()))?;
    let mut walk = Walk {
        anchor: TrustAnchor::from_genesis(genesis)?,
        handovers,
        before: None,
        height: Height::GENESIS,
        transactions: 0,
    };
    while let Some(block) = next_piece(&mut from, MAX_ENCODED_BLOCK_BYTES).map_err(told)? {
        walk.step(&block).map_err(told)?;
    }
    let walked = Walked {
        ledger: wanted.to_string(),
        blocks: walk.height.get(),
        transactions: walk.transactions,
        file: path.to_owned(),
    };
    output.print(&walked, |w| {
        format!(
            "Verified: {} blocks with {} transactions of ledger {}, each final and on the one before.",
            w.blocks, w.transactions, w.ledger
        )
    });
    Ok(())
}
