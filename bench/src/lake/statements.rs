//! Whole statements: Salus with grants, encryption and access log; stock DataFusion on plaintext;
//! DuckDB on a uniformly encrypted file; pyarrow on a column-encrypted one.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use datafusion::prelude::{ParquetReadOptions, SessionConfig, SessionContext};
use salus_crypto::OsEntropy;
use salus_crypto::passphrase::{GuessCost, Passphrase};
use salus_model::{DatasetId, Entropy as _, HolderId, KeyClass, Purpose, Secret};
use salus_node::{Config, ListenConfig, Operator, Site};
use salus_query::{AccessToken, Gateway, Limits, Request};
use salus_store::{DatasetSpec, EncryptionSettings, KeyChoice, KeyPolicy};

use super::peers::Peers;
use super::{observations, row};
use crate::measure::{Pairs, Spent};
use crate::report::Report;

/// What is asked of everybody; `{id}` is a row in the middle.
const STATEMENTS: &[(&str, &str)] = &[
    (
        "scan",
        "SELECT count(*), max(id), max(patient_id), max(code), max(effective), sum(value), \
         max(unit), max(status) FROM observations",
    ),
    (
        "filter",
        "SELECT count(*), avg(value) FROM observations WHERE code = '8867-4' AND value > 100",
    ),
    ("group by", "SELECT code, count(*), avg(value) FROM observations GROUP BY code ORDER BY code"),
    ("point lookup", "SELECT * FROM observations WHERE id = '{id}'"),
];

const MEMORY_BYTES: usize = 4 << 30;

fn limits(partitions: NonZeroUsize) -> Limits {
    Limits {
        memory_bytes: MEMORY_BYTES,
        time: std::time::Duration::from_secs(600),
        rows: 1_000_000,
        statement_bytes: 65_536,
        nesting: 50,
        partitions,
        at_once: partitions,
    }
}

async fn lake(folder: &Path, plain: &[PathBuf], partitions: NonZeroUsize) -> Result<Gateway> {
    let listen = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    let listen = ListenConfig { http: listen, postgres: listen, flight: listen };
    let mut random = [0; 24];
    OsEntropy.fill(&mut random)?;
    let word = hex::encode(random);
    let passphrase = || Passphrase::new(Secret::new(word.clone()));
    let config = Config::embedded(HolderId::new("bench")?, listen);
    Site::init(folder, &config, passphrase()?, GuessCost::OWASP_MINIMUM).await?;
    let site = Site::open(folder, passphrase()?, GuessCost::OWASP_MINIMUM).await?;
    let dataset = DatasetId::new("observations")?;
    let classes = [
        ("id", KeyClass::Identifiers),
        ("patient_id", KeyClass::Identifiers),
        ("code", KeyClass::Clinical),
        ("effective", KeyClass::Quasi),
        ("value", KeyClass::Clinical),
        ("unit", KeyClass::Clinical),
        ("status", KeyClass::Clinical),
    ];
    let rules = classes.map(|(name, class)| (name.to_owned(), KeyChoice::Class(class)));
    let spec = DatasetSpec {
        dataset: dataset.clone(),
        schema: observations::schema(),
        subject: None,
        identity: None,
        policy: KeyPolicy::new(rules),
        encryption: EncryptionSettings::STRICT,
    };
    site.lake.create(spec).await?;
    let mut writer = site.lake.append(&dataset).await?;
    for path in plain {
        let file = std::fs::File::open(path)?;
        let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(file)?
            .build()?;
        for batch in reader {
            writer.write(&batch?).await?;
        }
        // The same cut into files as on the other side.
        writer.flush().await?;
    }
    writer.publish().await?;
    let audit = site.open_audit().await?;
    let operator = Operator::new("bench".parse()?, "steward".parse()?, Purpose::Operations);
    Ok(site.gateway(Arc::new(operator), audit, limits(partitions))?)
}

async fn plaintext(folder: &Path, partitions: usize) -> Result<SessionContext> {
    let context =
        SessionContext::new_with_config(SessionConfig::new().with_target_partitions(partitions));
    let folder = folder.to_str().context("the folder's name is no text")?;
    context.register_parquet("observations", folder, ParquetReadOptions::default()).await?;
    Ok(context)
}

async fn ours(gateway: &Gateway, sql: &str) -> Result<usize> {
    let request = Request { sql: sql.to_owned(), role: None, parameters: Vec::new() };
    Ok(gateway.answer(&AccessToken::new(String::new()), request).await?.rows())
}

async fn stock(context: &SessionContext, sql: &str) -> Result<usize> {
    let batches = context.sql(sql).await?.collect().await?;
    Ok(batches.iter().map(arrow::array::RecordBatch::num_rows).sum())
}

/// Measures.
pub(crate) async fn compare(
    folder: &Path,
    plain: &[PathBuf],
    pairs: usize,
    out: &mut Report,
) -> Result<()> {
    let partitions = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let gateway = lake(&folder.join("site"), plain, partitions).await?;
    let plaintext = plaintext(&folder.join("plain"), partitions.get()).await?;
    let mut peers = Peers::start(folder, &folder.join("plain"))?;
    let middle = plain.len() * 1_000_000;
    let (mut cpu, mut walls) = (Vec::new(), Vec::new());
    for &(what, sql) in STATEMENTS {
        let sql = sql.replace("{id}", &observations::id(middle));
        let mut against = [Pairs::default(), Pairs::default(), Pairs::default()];
        let mut wall = [Pairs::default(), Pairs::default(), Pairs::default()];
        // Once for nothing: everybody's files are in memory then.
        ours(&gateway, &sql).await?;
        stock(&plaintext, &sql).await?;
        peers.duckdb(&sql)?;
        peers.pyarrow(what)?;
        for _ in 0..pairs {
            let (rows, salus) = Spent::on_async(ours(&gateway, &sql)).await?;
            let (others, datafusion) = Spent::on_async(stock(&plaintext, &sql)).await?;
            anyhow::ensure!(rows == others, "{what}: {rows} rows here, {others} there");
            let duckdb = peers.duckdb(&sql)?;
            let pyarrow = peers.pyarrow(what)?;
            for (i, other) in [datafusion, duckdb, pyarrow].into_iter().enumerate() {
                against[i].push(salus.cpu, other.cpu);
                wall[i].push(salus.wall, other.wall);
            }
        }
        for (rows, measured) in [(&mut cpu, against), (&mut walls, wall)] {
            for (peer, pairs) in
                ["DataFusion, plaintext", "DuckDB, encrypted", "pyarrow, encrypted"]
                    .into_iter()
                    .zip(&measured)
            {
                rows.push(row(&format!("{what}: {peer}"), pairs));
            }
        }
    }
    let head = ["statement: peer", "Salus s", "peer s", "ratio", "middle half"];
    out.say("### Whole statements, Salus encrypted by column, with grant and access log");
    out.say(&format!("{}. Processor time:", peers.versions));
    out.table(&head, &cpu);
    out.say("Time on the wall:");
    out.table(&head, &walls);
    Ok(())
}
