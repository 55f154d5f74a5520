//! `salus ledger config`, and `propose configure`: who validates, who governs, what is limited.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use salus_ledger::call::{ChangeConfig, Method};
use salus_ledger::config::{ConfigForm, PlatformConfig, Validator};
use salus_ledger::policy::{Expression, Policy, Role};
use salus_ledger::review::{Independence, ReviewRule, ReviewRuleForm, ReviewScore};
use salus_ledger::{Opaque, PublicKey};
use salus_model::MemberId;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

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

pub(super) fn key(text: &str) -> Result<PublicKey, String> {
    let bytes = hex::decode(text).map_err(|e| format!("the key is no hexadecimal: {e}"))?;
    PublicKey::try_from(bytes.as_slice()).map_err(|e| e.to_string())
}

fn seat(text: &str) -> Result<Validator, String> {
    let (member, of_it) = text.split_once(':').ok_or("write MEMBER:KEY")?;
    Ok(Validator { member: MemberId::new(member).map_err(|e| e.to_string())?, key: key(of_it)? })
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
    /// The proposal, on the configuration that it changes: it is refused when another change comes
    /// first.
    pub(super) fn call(&self, current: &PlatformConfig) -> Result<ChangeConfig, Failure> {
        let mut form = current.form().clone();
        self.change_validators(&mut form)?;
        self.change_roots(&mut form)?;
        self.change_policies(&mut form)?;
        self.change_limits(&mut form);
        self.change_review(&mut form)?;
        if form == *current.form() {
            return Err(wrong("nothing would change; see `salus ledger propose configure --help`"));
        }
        form.version += 1;
        let base = current.hash().map_err(|e| Failure::corrupt(e.to_string()))?;
        let config = PlatformConfig::new(form).map_err(|e| wrong(e.to_string()))?;
        Ok(ChangeConfig { base, config })
    }

    fn change_validators(&self, form: &mut ConfigForm) -> Result<(), Failure> {
        let alone = form.validators.len() == 1;
        for key in &self.remove_validator {
            let before = form.validators.len();
            form.validators.retain(|seat| seat.key != *key);
            if form.validators.len() == before {
                return Err(wrong(format!("no validator has the key {key}")));
            }
        }
        for seat in &self.add_validator {
            if form.validators.iter().any(|known| known.key == seat.key) {
                return Err(wrong(format!("{} validates already", seat.key)));
            }
            form.validators.insert(seat.clone());
        }
        // One validator orders without asking anybody, and has nothing to hand over with.
        if alone != (form.validators.len() == 1) {
            return Err(wrong(
                "a ledger of one validator stays one, and one of several never becomes one; \
                 found a new ledger among all of them",
            ));
        }
        Ok(())
    }

    fn change_roots(&self, form: &mut ConfigForm) -> Result<(), Failure> {
        for path in &self.remove_root {
            for root in certificates(path)? {
                let known = form.roots.iter().position(|known| *known == root);
                let none = || wrong(format!("{} is no authority of this ledger", path.display()));
                form.roots.remove(known.ok_or_else(none)?);
            }
        }
        for path in &self.add_root {
            for root in certificates(path)? {
                if !form.roots.contains(&root) {
                    form.roots.push(root);
                }
            }
        }
        Ok(())
    }

    fn change_policies(&self, form: &mut ConfigForm) -> Result<(), Failure> {
        if let Some(k) = self.agree {
            let quorum = Expression::Quorum { k, role: Role::Administrator };
            form.governance = Policy::new(quorum).map_err(|e| wrong(e.to_string()))?;
        }
        for method in &self.no_require {
            let none = || wrong(format!("nothing is required for {}", method.as_str()));
            form.policies.remove(method).ok_or_else(none)?;
        }
        form.policies.extend(self.require.iter().cloned());
        Ok(())
    }

    fn change_review(&self, form: &mut ConfigForm) -> Result<(), Failure> {
        if self.reviewers.is_none() && self.reviewers_of.is_none() && self.least_score.is_none() {
            return Ok(());
        }
        let old = form.review.unwrap_or(ReviewRule::STANDARD);
        let rule = ReviewRule::new(ReviewRuleForm {
            reviewers: self.reviewers.unwrap_or(old.reviewers()),
            independence: self.reviewers_of.unwrap_or(old.independence()),
            least_score: self.least_score.or(old.least_score()),
        })?;
        form.review = Some(rule);
        Ok(())
    }

    fn change_limits(&self, form: &mut ConfigForm) {
        let limits = &mut form.limits;
        limits.block_bytes = self.block_bytes.unwrap_or(limits.block_bytes);
        limits.block_transactions = self.block_transactions.unwrap_or(limits.block_transactions);
        limits.lifetime_blocks = self.lifetime_blocks.unwrap_or(limits.lifetime_blocks);
        if let Some(millis) = self.clock_skew_ms {
            limits.clock_skew_micros = i64::from(millis) * 1000;
        }
    }
}

#[derive(Serialize)]
struct ValidatorShown {
    member: String,
    key: String,
}

#[derive(Serialize)]
struct ConfigShown {
    version: u64,
    validators: Vec<ValidatorShown>,
    governance: String,
    policies: BTreeMap<&'static str, String>,
    /// SHA-256 of each authority's certificate.
    roots: Vec<String>,
    block_bytes: u32,
    block_transactions: u32,
    lifetime_blocks: u64,
    clock_skew_ms: i64,
    /// How many have to approve what goes out without a bound.
    reviewers: u8,
    reviewers_of: &'static str,
    least_score: Option<u8>,
}

impl ConfigShown {
    fn of(config: &PlatformConfig) -> Self {
        let form = config.form();
        let review = form.review.unwrap_or(ReviewRule::STANDARD);
        let fingerprint = |root: &Opaque| hex::encode(Sha256::digest(root.as_bytes()));
        let seat = |seat: &Validator| ValidatorShown {
            member: seat.member.to_string(),
            key: seat.key.to_string(),
        };
        Self {
            version: form.version,
            validators: form.validators.iter().map(seat).collect(),
            governance: form.governance.to_string(),
            policies: form.policies.iter().map(|(m, p)| (m.as_str(), p.to_string())).collect(),
            roots: form.roots.iter().map(fingerprint).collect(),
            block_bytes: form.limits.block_bytes,
            block_transactions: form.limits.block_transactions,
            lifetime_blocks: form.limits.lifetime_blocks,
            clock_skew_ms: form.limits.clock_skew_micros / 1000,
            reviewers: review.reviewers(),
            reviewers_of: review.independence().as_str(),
            least_score: review.least_score().map(ReviewScore::get),
        }
    }

    fn text(&self) -> String {
        let row = |seat: &ValidatorShown| vec![seat.member.clone(), seat.key.clone()];
        let rows: Vec<_> = self.validators.iter().map(row).collect();
        let mut lines = vec![
            format!("Configuration {}\n", self.version),
            table(&["validator of", "key"], &rows),
            String::new(),
            format!("Decided by   {}", self.governance),
        ];
        let least = self.least_score.map_or(String::new(), |s| format!(" and a score of {s}"));
        lines.push(format!(
            "Release gate {} reviewers with different {}{least}",
            self.reviewers, self.reviewers_of
        ));
        lines.extend(self.policies.iter().map(|(method, who)| format!("{method:<12} {who} too")));
        lines.extend(self.roots.iter().map(|root| format!("Authority    SHA-256 {root}")));
        lines.push(format!(
            "Limits       {} transactions and {} bytes a block; a transaction waits {} blocks; \
             clocks agree within {} ms",
            self.block_transactions, self.block_bytes, self.lifetime_blocks, self.clock_skew_ms
        ));
        lines.join("\n")
    }
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
    output.print(&ConfigShown::of(&wanted), ConfigShown::text);
    Ok(())
}

#[cfg(test)]
mod tests;
