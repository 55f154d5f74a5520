use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use salus_crypto::passphrase::GuessCost;
use salus_model::HolderId;
use salus_node::{
    AuditConfig, Config, KeepDays, KeyStoreConfig, LakeConfig, ListenConfig, RevocationDelay, Site,
    TlsConfig,
};
use serde::Serialize;

use crate::output::{Failure, Output};
use crate::passphrase::{Asking, unlock};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The holder's id, such as st-mary.
    #[arg(long)]
    holder: HolderId,
    /// Where FHIR and SQL over HTTP listen.
    #[arg(long, default_value = "127.0.0.1:7080")]
    http: SocketAddr,
    /// Where the PostgreSQL wire listens.
    #[arg(long, default_value = "127.0.0.1:7432")]
    postgres: SocketAddr,
    /// Where Flight SQL listens.
    #[arg(long, default_value = "127.0.0.1:7433")]
    flight: SocketAddr,
    #[command(flatten)]
    keys: KeysArgs,
    #[command(flatten)]
    lake: LakeArgs,
    #[command(flatten)]
    tls: TlsArgs,
    /// For how many days access records are kept; a year is the least.
    #[arg(long, default_value_t = 366)]
    audit_keep_days: u32,
}

#[derive(clap::Args)]
#[command(next_help_heading = "Key store")]
struct KeysArgs {
    /// Where master keys live.
    #[arg(long, value_enum, default_value = "local")]
    keys: KeysKind,
    /// How soon a revocation made elsewhere takes effect at the latest; 0 asks at every use.
    #[arg(long, default_value_t = 60)]
    revocation_seconds: u64,
    /// The PKCS#11 module's shared library.
    #[arg(long, required_if_eq("keys", "pkcs11"))]
    module: Option<PathBuf>,
    /// The hardware token's label.
    #[arg(long, required_if_eq("keys", "pkcs11"))]
    token_label: Option<String>,
    /// A file with the token's PIN, mode 600; else SALUS_PIN, or it is asked for.
    #[arg(long)]
    pin_file: Option<PathBuf>,
    /// The key server's address.
    #[arg(long, required_if_eq("keys", "vault"))]
    vault_address: Option<String>,
    /// Where its transit engine is mounted.
    #[arg(long, default_value = "transit")]
    vault_mount: String,
    /// The namespace, where the server has any.
    #[arg(long)]
    vault_namespace: Option<String>,
    /// A file with the server's token, mode 600; else SALUS_VAULT_TOKEN, or it is asked for.
    #[arg(long)]
    vault_token_file: Option<PathBuf>,
    /// Certificate authorities to trust for it in place of the public ones, as PEM.
    #[arg(long)]
    vault_ca: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum KeysKind {
    Local,
    Pkcs11,
    Vault,
}

#[derive(clap::Args)]
#[command(next_help_heading = "Lake")]
struct LakeArgs {
    /// Where datasets lie. Journals and the access log stay in the site's folder.
    #[arg(long, value_enum, default_value = "local")]
    lake: LakeKind,
    /// The bucket.
    #[arg(long, required_if_eq("lake", "s3"))]
    s3_bucket: Option<String>,
    /// Below which prefix of the bucket.
    #[arg(long, default_value = "")]
    s3_prefix: String,
    /// The region.
    #[arg(long, default_value = "us-east-1")]
    s3_region: String,
    /// The endpoint of a store that is not Amazon's.
    #[arg(long)]
    s3_endpoint: Option<String>,
    /// A TOML file with access_key_id and secret_access_key, mode 600; else AWS_ACCESS_KEY_ID and
    /// AWS_SECRET_ACCESS_KEY in the environment.
    #[arg(long)]
    s3_credentials_file: Option<PathBuf>,
    /// Certificate authorities to trust for it besides the public ones, as PEM.
    #[arg(long)]
    s3_ca: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum LakeKind {
    Local,
    S3,
}

#[derive(clap::Args)]
#[command(next_help_heading = "Certificates")]
struct TlsArgs {
    /// A DNS name or address by which clients reach this node; repeat for more.
    #[arg(long)]
    tls_name: Vec<String>,
    /// A certificate chain from elsewhere, as PEM, in place of the site's own authority.
    #[arg(long, requires = "tls_key", conflicts_with = "tls_name")]
    tls_certificate: Option<PathBuf>,
    /// Its private key, mode 600.
    #[arg(long, requires = "tls_certificate")]
    tls_key: Option<PathBuf>,
}

/// As a path that holds from any folder, since the configuration's own paths start at the site's.
fn absolute(path: PathBuf) -> Result<PathBuf, Failure> {
    std::path::absolute(&path).map_err(|e| Failure::request(format!("{}: {e}", path.display())))
}

fn absolutes(path: Option<PathBuf>) -> Result<Option<PathBuf>, Failure> {
    path.map(absolute).transpose()
}

fn wanted<T>(value: Option<T>, flag: &str) -> Result<T, Failure> {
    value.ok_or_else(|| Failure::request(format!("{flag} is missing")))
}

impl KeysArgs {
    fn config(self, default: KeyStoreConfig) -> Result<KeyStoreConfig, Failure> {
        let delay = RevocationDelay::try_from(self.revocation_seconds)?;
        Ok(match (self.keys, default) {
            (KeysKind::Pkcs11, _) => KeyStoreConfig::Pkcs11 {
                module: absolute(wanted(self.module, "--module")?)?,
                token_label: wanted(self.token_label, "--token-label")?,
                pin_file: absolutes(self.pin_file)?,
                revocation_seconds: delay,
            },
            (KeysKind::Vault, _) => KeyStoreConfig::Vault {
                address: wanted(self.vault_address, "--vault-address")?,
                mount: self.vault_mount,
                namespace: self.vault_namespace,
                token_file: absolutes(self.vault_token_file)?,
                ca_file: absolutes(self.vault_ca)?,
                revocation_seconds: delay,
            },
            (KeysKind::Local, KeyStoreConfig::Local { file, .. }) => {
                KeyStoreConfig::Local { file, revocation_seconds: delay }
            }
            (KeysKind::Local, other) => other,
        })
    }
}

impl LakeArgs {
    fn config(self, default: LakeConfig) -> Result<LakeConfig, Failure> {
        match self.lake {
            LakeKind::Local => Ok(default),
            LakeKind::S3 => Ok(LakeConfig::S3 {
                bucket: wanted(self.s3_bucket, "--s3-bucket")?,
                prefix: self.s3_prefix,
                region: self.s3_region,
                endpoint: self.s3_endpoint,
                credentials_file: absolutes(self.s3_credentials_file)?,
                ca_file: absolutes(self.s3_ca)?,
            }),
        }
    }
}

impl TlsArgs {
    fn config(self) -> Result<TlsConfig, Failure> {
        match (self.tls_certificate, self.tls_key) {
            (Some(certificate), Some(key)) => {
                Ok(TlsConfig::Files { certificate: absolute(certificate)?, key: absolute(key)? })
            }
            _ => Ok(TlsConfig::SiteAuthority { names: self.tls_name }),
        }
    }
}

#[derive(Serialize)]
struct Made {
    site: String,
    holder: HolderId,
    keys: &'static str,
    lake: &'static str,
}

pub(crate) async fn run(args: Args, folder: &Path, output: &Output) -> Result<(), Failure> {
    let Args { holder, http, postgres, flight, keys, lake, tls, audit_keep_days } = args;
    let embedded = Config::embedded(holder.clone(), ListenConfig { http, postgres, flight });
    let config = Config {
        keys: keys.config(embedded.keys)?,
        lake: lake.config(embedded.lake)?,
        tls: tls.config()?,
        audit: AuditConfig { keep_days: KeepDays::try_from(audit_keep_days)? },
        ..embedded
    };
    if Config::is_site(folder) {
        let held = format!("{} holds a site already", folder.display());
        return Err(Failure::request(held));
    }
    std::fs::create_dir_all(folder)
        .map_err(|e| Failure::unavailable(format!("{}: {e}", folder.display())))?;
    let unlock = unlock(&config.keys, folder, Asking::New)?;
    Site::init(folder, &config, unlock, GuessCost::RFC_9106_SECOND).await?;
    let made = Made {
        site: folder.display().to_string(),
        holder,
        keys: match config.keys {
            KeyStoreConfig::Local { .. } => "local",
            KeyStoreConfig::Pkcs11 { .. } => "pkcs11",
            KeyStoreConfig::Vault { .. } => "vault",
        },
        lake: match config.lake {
            LakeConfig::Local { .. } => "local",
            LakeConfig::S3 { .. } => "s3",
        },
    };
    output.print(&made, |made| {
        let keep = match made.keys {
            "local" => format!(
                "The key store is {}'s alone: keep {}/keys and the passphrase apart from backups \
                 of {1}/lake.",
                made.holder, made.site
            ),
            _ => "Its keys never leave their store; back that up as its maker says.".to_owned(),
        };
        let journals = match made.lake {
            "s3" => format!(
                "Datasets lie in the bucket; journals and the access log in {}, on this disk.\n",
                made.site
            ),
            _ => String::new(),
        };
        format!(
            "Site of {} made in {}.\n{keep}\n{journals}\
             Next: salus import <file> --dataset <name>, then salus sql \"SELECT …\"",
            made.holder, made.site
        )
    });
    Ok(())
}
