//! `salus ledger config`, and `propose configure`: who validates, who governs, what is limited.

use std::path::{Path, PathBuf};

use salus_ledger::call::{ChangeConfig, Method};
use salus_ledger::config::{PlatformConfig, Validator};
use salus_ledger::policy::{Expression, Policy};
use salus_ledger::review::{Independence, ReviewScore};
use salus_ledger::{Opaque, PublicKey};
use salus_node::proposals::{ConfigChange, ConfigShown, ProposalError, ValidatorShown, key, seat};

use super::found::{certificates, role};
use crate::output::{Failure, Output, table};

/// What differs from the configuration in force; everything else stays.
#[derive(clap::Args)]
pub(super) struct ConfigureArgs {
    /// A key that shall order and vote, as MEMBER:KEY; its member has bound it with the role
    /// validator; repeat.
    #[arg(long, value_name = "MEMBER:KEY", value_parser = seat)]
    add_validator: Vec<Validator>,
    /// A key that shall order and vote no more; repeat.
    #[arg(long, value_name = "KEY", value_parser = key)]
    remove_validator: Vec<PublicKey>,
    /// How many administrators have to agree on members and configuration from then on.
    #[arg(long, value_name = "K")]
    agree: Option<u16>,
    /// A certificate authority whose certificates shall count, as PEM; repeat.
    #[arg(long, value_name = "PEM")]
    add_root: Vec<PathBuf>,
    /// A certificate authority whose certificates shall count no more, as PEM; repeat.
    #[arg(long, value_name = "PEM")]
    remove_root: Vec<PathBuf>,
    /// Who has to sign a method beside those whom its contract names, as METHOD=K:ROLE; repeat.
    #[arg(long, value_name = "METHOD=K:ROLE", value_parser = requirement)]
    require: Vec<(Method, Policy)>,
    /// A method for which nobody beside those has to sign any more; repeat.
    #[arg(long, value_name = "METHOD", value_parser = method)]
    no_require: Vec<Method>,
    /// The most bytes of one block's transactions.
    #[arg(long, value_name = "BYTES")]
    block_bytes: Option<u32>,
    /// The most transactions of one block.
    #[arg(long, value_name = "COUNT")]
    block_transactions: Option<u32>,
    /// How many blocks ahead a transaction's last block may lie.
    #[arg(long, value_name = "BLOCKS")]
    lifetime_blocks: Option<u64>,
    /// How far a block's time may lie ahead of a validator's clock, in milliseconds.
    #[arg(long, value_name = "MS")]
    clock_skew_ms: Option<u32>,
    /// How many reviewers have to approve what goes out without a bound, of any dataset.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u8).range(1..=8))]
    reviewers: Option<u8>,
    /// Who counts as a different reviewer: another key, or another organisation.
    #[arg(long, value_name = "keys|members", value_parser = independence)]
    reviewers_of: Option<Independence>,
    /// The least score of the automatic checks that may go out, 0 to 100.
    #[arg(long, value_name = "POINTS", value_parser = crate::commands::gate::score)]
    least_score: Option<ReviewScore>,
}

fn independence(word: &str) -> Result<Independence, String> {
    let all = [Independence::Keys, Independence::Members];
    let found = all.into_iter().find(|of| of.as_str() == word);
    found.ok_or_else(|| "write keys or members".to_owned())
}

fn method(word: &str) -> Result<Method, String> {
    Method::ALL.iter().copied().find(|m| m.as_str() == word).ok_or_else(|| {
        let words: Vec<&str> = Method::ALL.iter().map(|m| m.as_str()).collect();
        format!("'{word}' is no method; use one of {}", words.join(", "))
    })
}

fn requirement(text: &str) -> Result<(Method, Policy), String> {
    let form = "write METHOD=K:ROLE, such as permits.grant=2:officer";
    let (word, quorum) = text.split_once('=').ok_or(form)?;
    let (k, of) = quorum.split_once(':').ok_or(form)?;
    let k = k.parse().map_err(|_| form)?;
    let policy = Policy::new(Expression::Quorum { k, role: role(of)? });
    Ok((method(word)?, policy.map_err(|e| e.to_string())?))
}

fn wrong(what: impl Into<String>) -> Failure {
    Failure::request(what)
}

impl ConfigureArgs {
    /// The proposal, on the configuration that it changes.
    pub(super) fn call(self, current: &PlatformConfig) -> Result<ChangeConfig, Failure> {
        let change = ConfigChange {
            add_validators: self.add_validator,
            remove_validators: self.remove_validator,
            agree: self.agree,
            add_roots: authorities(&self.add_root)?,
            remove_roots: authorities(&self.remove_root)?,
            require: self.require,
            no_require: self.no_require,
            block_bytes: self.block_bytes,
            block_transactions: self.block_transactions,
            lifetime_blocks: self.lifetime_blocks,
            clock_skew_ms: self.clock_skew_ms,
            reviewers: self.reviewers,
            reviewers_of: self.reviewers_of,
            least_score: self.least_score,
        };
        change.call(current).map_err(|e| match e {
            ProposalError::Unchanged => {
                wrong("nothing would change; see `salus ledger propose configure --help`")
            }
            other => wrong(other.to_string()),
        })
    }
}

fn authorities(files: &[PathBuf]) -> Result<Vec<Opaque>, Failure> {
    let all: Vec<_> = files.iter().map(|path| certificates(path)).collect::<Result<_, _>>()?;
    Ok(all.into_iter().flatten().collect())
}

fn text(shown: &ConfigShown) -> String {
    let row = |seat: &ValidatorShown| vec![seat.member.clone(), seat.key.clone()];
    let rows: Vec<_> = shown.validators.iter().map(row).collect();
    let mut lines = vec![
        format!("Configuration {}\n", shown.version),
        table(&["validator of", "key"], &rows),
        String::new(),
        format!("Decided by   {}", shown.governance),
    ];
    let least = shown.least_score.map_or(String::new(), |s| format!(" and a score of {s}"));
    lines.push(format!(
        "Release gate {} reviewers with different {}{least}",
        shown.reviewers, shown.reviewers_of
    ));
    lines.extend(shown.policies.iter().map(|(method, who)| format!("{method:<12} {who} too")));
    lines.extend(shown.roots.iter().map(|root| format!("Authority    SHA-256 {root}")));
    lines.push(format!(
        "Limits       {} transactions and {} bytes a block; a transaction waits {} blocks; clocks \
         agree within {} ms",
        shown.block_transactions, shown.block_bytes, shown.lifetime_blocks, shown.clock_skew_ms
    ));
    lines.join("\n")
}

pub(super) async fn show(
    version: Option<u64>,
    site: &Path,
    output: &Output,
) -> Result<(), Failure> {
    let ledger = crate::site::open(site).await?.ledger().await?;
    let current = ledger.config().await?;
    let wanted = match version {
        Some(version) if version != current.form().version => {
            let past = ledger.client().config(Some(version)).await?;
            past.ok_or_else(|| wrong(format!("the ledger never had a configuration {version}")))?
        }
        _ => current,
    };
    output.print(&ConfigShown::of(&wanted), text);
    Ok(())
}

#[cfg(test)]
mod tests;
