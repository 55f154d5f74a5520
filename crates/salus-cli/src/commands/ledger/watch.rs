//! `salus ledger watch`: every block as it becomes final.

use std::path::Path;

use salus_ledger::Height;
use salus_ledger::block::FinalBlock;
use salus_ledger::transaction::Envelope;
use serde::Serialize;

use crate::commands::node::{StopWith, stopped};
use crate::output::{Failure, Output};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Begin after this block; 0 begins with the first.
    #[arg(long)]
    after: Option<u64>,
    /// Stop after so many blocks.
    #[arg(long)]
    blocks: Option<u64>,
}

#[derive(Serialize)]
struct Line {
    block: u64,
    time: String,
    transactions: Vec<TransactionShown>,
}

#[derive(Serialize)]
struct TransactionShown {
    transaction: String,
    method: &'static str,
}

fn line(block: &FinalBlock) -> Line {
    let shown = block.block.transactions.iter().filter_map(|bytes| {
        let envelope = Envelope::from_bytes(bytes.as_bytes()).ok()?;
        Some(TransactionShown {
            transaction: envelope.id().to_string(),
            method: envelope.transaction().call().method().as_str(),
        })
    });
    let header = &block.block.header;
    Line {
        block: header.height.get(),
        time: header.time.to_string(),
        transactions: shown.collect(),
    }
}

fn text(line: &Line) -> String {
    let mut shown = format!("{:>8}  {}", line.block, line.time);
    for transaction in &line.transactions {
        let id: String = transaction.transaction.chars().take(16).collect();
        shown = format!("{shown}\n          {:<24} {id}…", transaction.method);
    }
    shown
}

pub(super) async fn run(args: Args, folder: &Path, output: &Output) -> Result<(), Failure> {
    let site = crate::site::open(folder).await?;
    let ledger = site.ledger().await?;
    let client = ledger.client();
    let after = match args.after {
        Some(after) => after,
        None => client.last_block().await?.finality.header.height.get(),
    };
    let (mut from, mut left) = (client.following(Height::new(after)).await?, args.blocks);
    let watching = async {
        while left != Some(0) {
            let (block, next) = client.next_block(&from).await?;
            output.line(&line(&block), text);
            left = left.map(|left| left - 1);
            from = next;
        }
        Ok::<(), Failure>(())
    };
    tokio::select! {
        watched = watching => watched,
        stopped = stopped(StopWith::Signal) => stopped,
    }
}
