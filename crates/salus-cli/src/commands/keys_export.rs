//! `salus keys export-policy`: what pyarrow and Spark need to read a dataset's files.

use std::collections::BTreeMap;

use salus_model::{DatasetId, DatasetVersion};
use salus_store::{
    EncryptionSettings, FooterMode, KeyExport, Manifest, MaterialStorage, WrappingMode,
};
use serde::Serialize;

use crate::output::{Failure, Output};

const PYARROW: &str = include_str!("../templates/pyarrow_policy.py");
const SPARK: &str = include_str!("../templates/spark_policy.py");

#[derive(clap::Args)]
pub(crate) struct ExportArgs {
    /// The dataset.
    dataset: DatasetId,
    /// The address of the key store as Spark and pyarrow see it: `salus keys serve`, a Vault or an
    /// OpenBao.
    #[arg(long, default_value = "https://HOST:8200")]
    kms_url: String,
}

#[derive(Serialize)]
struct Exported {
    dataset: DatasetId,
    version: DatasetVersion,
    footer_key: String,
    column_keys: BTreeMap<String, Vec<String>>,
    kms_instance_url: String,
    encryption: EncryptionSettings,
    /// Settings for writing, as Parquet key tools name them.
    properties: BTreeMap<&'static str, String>,
    files: Vec<String>,
    pyarrow: String,
    spark: String,
}

fn properties(export: &KeyExport) -> BTreeMap<&'static str, String> {
    let EncryptionSettings { key_bits, wrapping, footer, material } = export.encryption;
    let bits = key_bits.bits().to_string();
    let plaintext_footer = footer == FooterMode::SignedPlaintext;
    let internally = material == MaterialStorage::Internal;
    BTreeMap::from([
        ("parquet.encryption.footer.key", export.footer.to_string()),
        ("parquet.encryption.column.keys", export.column_keys()),
        ("parquet.encryption.double.wrapping", (wrapping == WrappingMode::Double).to_string()),
        ("parquet.encryption.plaintext.footer", plaintext_footer.to_string()),
        ("parquet.encryption.key.material.store.internally", internally.to_string()),
        ("parquet.encryption.data.key.length.bits", bits.clone()),
        ("parquet.encryption.kek.length.bits", bits),
    ])
}

/// A value as Python writes it; JSON's texts, lists and objects of texts are Python's too.
fn python(value: &impl Serialize) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}

const fn python_bool(value: bool) -> &'static str {
    if value { "True" } else { "False" }
}

fn filled(template: &str, exported: &Exported) -> String {
    let EncryptionSettings { key_bits, wrapping, footer, material } = exported.encryption;
    let values = [
        ("@DATASET@", exported.dataset.to_string()),
        ("@VERSION@", exported.version.to_string()),
        ("@URL@", python(&exported.kms_instance_url)),
        ("@FILES@", python(&exported.files)),
        ("@FOOTER@", python(&exported.footer_key)),
        ("@COLUMN_KEYS@", python(&exported.column_keys)),
        ("@PLAINTEXT_FOOTER@", python_bool(footer == FooterMode::SignedPlaintext).to_owned()),
        ("@DOUBLE@", python_bool(wrapping == WrappingMode::Double).to_owned()),
        ("@INTERNAL@", python_bool(material == MaterialStorage::Internal).to_owned()),
        ("@BITS@", key_bits.bits().to_string()),
        ("@WRITE@", python(&exported.properties)),
    ];
    values.iter().fold(template.to_owned(), |text, (place, value)| text.replace(place, value))
}

fn exported(
    site: &salus_node::Site,
    manifest: &Manifest,
    kms_instance_url: String,
) -> Result<Exported, Failure> {
    let export = KeyExport::of(manifest)?;
    let names = |columns: &Vec<salus_model::ColumnPath>| {
        columns.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let dataset = &manifest.dataset;
    let mut exported = Exported {
        dataset: dataset.clone(),
        version: manifest.version,
        footer_key: export.footer.to_string(),
        column_keys: export.columns.iter().map(|(k, c)| (k.to_string(), names(c))).collect(),
        kms_instance_url,
        encryption: export.encryption,
        properties: properties(&export),
        files: manifest.files.iter().map(|f| site.lake.location(dataset, &f.name)).collect(),
        pyarrow: String::new(),
        spark: String::new(),
    };
    exported.pyarrow = filled(PYARROW, &exported);
    exported.spark = filled(SPARK, &exported);
    Ok(exported)
}

fn shown(exported: &Exported) -> String {
    let mut lines: Vec<String> =
        exported.properties.iter().map(|(name, value)| format!("{name} = {value}")).collect();
    lines.push(format!("parquet.encryption.kms.instance.url = {}", exported.kms_instance_url));
    lines.extend(exported.files.iter().map(|file| format!("file {file}")));
    format!(
        "{} version {}\n\n{}\n\
         Neither pyarrow nor Spark compares the AAD prefix in a file with its place, or leaves out \
         rows that later ones replace: what they read is what the files hold.\n\n\
         # pyarrow\n\n{}\n# Spark\n\n{}",
        exported.dataset,
        exported.version,
        lines.join("\n"),
        exported.pyarrow,
        exported.spark
    )
}

pub(crate) async fn run(
    args: ExportArgs,
    site: &salus_node::Site,
    output: &Output,
) -> Result<(), Failure> {
    let snapshot = site.lake.snapshot(&args.dataset, None).await?;
    let exported = exported(site, snapshot.manifest(), args.kms_url)?;
    output.print(&exported, shown);
    Ok(())
}
