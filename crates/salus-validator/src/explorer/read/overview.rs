use std::collections::{BTreeMap, BTreeSet};

use salus_ledger::config::{PlatformConfig, quorum};
use salus_ledger::contract::Contract;
use salus_ledger::genesis::NetworkKind;
use salus_ledger::{Height, query};
use salus_model::Timestamp;

use super::damaged;
use crate::api::fingerprint;
use crate::clock;
use crate::driver::Frozen;
use crate::explorer::Explorer;
use crate::explorer::answers::{
    Configuration, ConfigurationLine, ContractChange, ContractLine, Count, Day, Observed, Overview,
    PolicyLine, SignerLine, Statistics, ValidatorLine,
};
use crate::explorer::index::Index;
use crate::store::{StoreError, View};
use crate::validator::warning_text;

/// How many configurations are listed.
const MOST_CONFIGURATIONS: usize = 100;
const DAY: i64 = 86_400_000_000;

pub(in crate::explorer) fn overview(
    explorer: &Explorer,
    view: &View,
) -> Result<Overview, StoreError> {
    let tip = view.tip();
    let config = query::config(view).map_err(damaged("configuration"))?;
    let config = config.ok_or(StoreError::Damaged { what: "configuration" })?;
    let progress = explorer.index.progress()?;
    let warnings = query::warnings(view, clock::now()).map_err(damaged("members"))?;
    Ok(Overview {
        ledger: tip.ledger.to_string(),
        kind: match explorer.genesis.kind {
            NetworkKind::Production => "production".into(),
            NetworkKind::Demonstration => "demonstration".into(),
        },
        height: tip.height.get(),
        block: tip.hash().map_err(damaged("block"))?.to_string(),
        time: tip.time.to_string(),
        transactions: tip.history_size,
        indexed: progress.next.get().saturating_sub(1),
        content_from: progress.content_from.get(),
        configuration: config.form().version,
        quorum: quorum(config.form().validators.len()) as u64,
        validators: validators(view, &config)?,
        warnings: warnings.iter().map(warning_text).collect(),
        observed: observed(explorer),
    })
}

fn validators(view: &View, config: &PlatformConfig) -> Result<Vec<ValidatorLine>, StoreError> {
    let finality = view.finality(view.tip().height)?;
    let voted: BTreeSet<_> =
        finality.iter().flat_map(|finality| finality.certificate.votes.keys()).collect();
    let listed = config.form().validators.iter().map(|validator| ValidatorLine {
        member: validator.member.to_string(),
        key: validator.key.to_string(),
        voted_last: voted.contains(&validator.key),
    });
    Ok(listed.collect())
}

fn observed(explorer: &Explorer) -> Observed {
    let (status, seen) = (explorer.handle.status(), explorer.seen());
    Observed {
        waiting: status.waiting as u64,
        frozen: status.frozen == Frozen::Yes,
        blocks: seen.blocks(),
        finality_p50_ms: seen.percentile(50),
        finality_p95_ms: seen.percentile(95),
    }
}

pub(in crate::explorer) fn configuration(view: &View) -> Result<Configuration, StoreError> {
    let genesis = view.genesis()?;
    let handovers = view.handovers_before(view.tip().height.next())?;
    let mut history = Vec::new();
    for handover in handovers.iter().rev().take(MOST_CONFIGURATIONS) {
        let header = &handover.finality.header;
        history.push(configuration_line(&handover.config, header.height, header.time)?);
    }
    if history.len() < MOST_CONFIGURATIONS {
        history.push(configuration_line(&genesis.config, Height::GENESIS, genesis.time)?);
    }
    let next = view.tip().height.next();
    let mut contracts = Vec::new();
    for contract in Contract::ALL {
        let schedule = query::schedule(view, contract).map_err(damaged("contract"))?;
        let version = schedule.as_ref().map_or(1, |schedule| schedule.at(next).get());
        let changes = schedule.iter().flat_map(|schedule| &schedule.from);
        contracts.push(ContractLine {
            contract: contract.as_str().to_owned(),
            version: u64::from(version),
            schedule: changes
                .map(|(from, version)| ContractChange {
                    from: from.get(),
                    version: u64::from(version.get()),
                })
                .collect(),
        });
    }
    Ok(Configuration { history, contracts })
}

fn configuration_line(
    config: &PlatformConfig,
    height: Height,
    time: Timestamp,
) -> Result<ConfigurationLine, StoreError> {
    let form = config.form();
    let validators = form.validators.iter().map(|validator| SignerLine {
        key: validator.key.to_string(),
        member: Some(validator.member.to_string()),
    });
    let policies = form.policies.iter().map(|(method, policy)| PolicyLine {
        method: method.as_str().to_owned(),
        policy: policy.to_string(),
    });
    Ok(ConfigurationLine {
        version: form.version,
        hash: config.hash().map_err(damaged("configuration"))?.to_string(),
        height: height.get(),
        time: time.to_string(),
        validators: validators.collect(),
        quorum: quorum(form.validators.len()) as u64,
        governance: form.governance.to_string(),
        policies: policies.collect(),
        authorities: form.roots.iter().map(|r| fingerprint(r.as_bytes()).to_string()).collect(),
        block_bytes: u64::from(form.limits.block_bytes),
        block_transactions: u64::from(form.limits.block_transactions),
        lifetime_blocks: form.limits.lifetime_blocks,
        clock_skew_micros: form.limits.clock_skew_micros.unsigned_abs(),
    })
}

/// From lines such as `permits.grant applied` to one count per kind, the most frequent first.
fn kinds(lines: &BTreeMap<String, u64>) -> Vec<Count> {
    let mut counts: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for (line, count) in lines {
        let (name, word) = line.split_once(' ').unwrap_or((line, "applied"));
        let entry = counts.entry(name).or_default();
        if word == "applied" { entry.0 += count } else { entry.1 += count }
    }
    let named = |(name, (applied, refused)): (&str, (u64, u64))| Count {
        name: name.to_owned(),
        applied,
        refused,
    };
    let mut counts: Vec<Count> = counts.into_iter().map(named).collect();
    counts.sort_by_key(|count| std::cmp::Reverse(count.applied + count.refused));
    counts
}

pub(in crate::explorer) fn statistics(
    view: &View,
    index: &Index,
    days: u32,
) -> Result<Statistics, StoreError> {
    let today = view.tip().time.as_micros().div_euclid(DAY);
    let mut listed = Vec::new();
    for back in 0..i64::from(days) {
        let Ok(day) = u32::try_from(today - back) else { break };
        let kinds = kinds(&index.day(day)?);
        if kinds.is_empty() {
            continue;
        }
        let start = Timestamp::from_micros(i64::from(day) * DAY).unwrap_or(Timestamp::EPOCH);
        listed.push(Day {
            day: start.to_string().chars().take(10).collect(),
            applied: kinds.iter().map(|count| count.applied).sum(),
            refused: kinds.iter().map(|count| count.refused).sum(),
            kinds,
        });
    }
    let rules = index.refusals()?.into_iter();
    let mut rules: Vec<Count> =
        rules.map(|(name, refused)| Count { name, applied: 0, refused }).collect();
    rules.sort_by_key(|count| std::cmp::Reverse(count.refused));
    Ok(Statistics { kinds: kinds(&index.totals()?), rules, days: listed })
}
