//! A site with nested datasets, and its keys served by the real `salus keys serve`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use salus_crypto::passphrase::{GuessCost, Passphrase};
use salus_ingest::tabular::{ImportError, Importer, SchemaFile, Source};
use salus_model::Secret;
use salus_store::{EncryptionSettings, ParquetSource, SourceKeys, StoreMasterKeys};
use salus_testkit::{Server, Venv};

use crate::site::Site;

/// The rows' schema; `lake.quasi` protects a part of `codings` and a part of `address`.
pub(crate) const SCHEMA: &str = r#"
dataset = "DATASET"
ENCRYPTION

[[column]]
name = "id"
type = "text"
class = "key:lake.identifiers"
[[column]]
name = "codings"
type = "list"
class = "key:lake.clinical"
[column.item]
type = "struct"
field = [
  { name = "system", type = "text" },
  { name = "value", type = "integer", class = "key:lake.quasi" },
]
[[column]]
name = "tags"
type = "map"
class = "key:lake.freetext"
key = { type = "text" }
value = { type = "list", item = { type = "number" } }
[[column]]
name = "address"
type = "struct"
class = "key:lake.identifiers"
field = [
  { name = "city", type = "text", class = "key:lake.quasi" },
  { name = "zip", type = "integer" },
]
[[column]]
name = "pulse"
type = "integer"
class = "key:lake.clinical"
[[column]]
name = "note"
type = "text"
class = "key:lake.freetext"
"#;

/// How a dataset is encrypted, in the words of schema files.
#[derive(Clone, Copy)]
pub(crate) struct Mode {
    pub(crate) bits: u16,
    pub(crate) wrapping: &'static str,
    pub(crate) footer: &'static str,
    pub(crate) material: &'static str,
}

impl Mode {
    pub(crate) fn all() -> Vec<Self> {
        let mut all = Vec::new();
        for bits in [128, 256] {
            for wrapping in ["single", "double"] {
                for footer in ["encrypted", "signed-plaintext"] {
                    for material in ["external", "internal"] {
                        all.push(Self { bits, wrapping, footer, material });
                    }
                }
            }
        }
        all
    }

    pub(crate) fn dataset(&self) -> String {
        let Self { bits, wrapping, footer, material } = self;
        format!("{wrapping}-{material}-{footer}-{bits}")
    }

    pub(crate) fn schema(&self, dataset: &str) -> SchemaFile {
        let Self { bits, wrapping, footer, material } = self;
        let encryption = format!(
            "[encryption]\nkey_bits = {bits}\nwrapping = \"{wrapping}\"\nfooter = \"{footer}\"\n\
             material = \"{material}\""
        );
        let text = SCHEMA.replace("DATASET", dataset).replace("ENCRYPTION", &encryption);
        SchemaFile::parse(&text).unwrap()
    }
}

/// The site, opened by the test itself, beside the served keys.
pub(crate) struct World {
    pub(crate) site: Site,
    pub(crate) open: salus_node::Site,
    pub(crate) url: String,
    server: Server,
}

impl World {
    pub(crate) async fn new() -> Self {
        let site = Site::new();
        let phrase = Passphrase::new(Secret::new("correct horse battery".to_owned())).unwrap();
        let folder = site.path("site");
        let open = salus_node::Site::open(&folder, phrase, GuessCost::OWASP_MINIMUM).await.unwrap();
        let mut server = Server::spawn(site.command(&["keys", "serve", "--listen", "127.0.0.1:0"]));
        let url = address(&mut server);
        Self { site, open, url, server }
    }

    /// Stops the server, which holds the access log that other commands write as well; what it
    /// printed until then.
    pub(crate) fn stop(&mut self) -> String {
        self.server.kill();
        self.server.printed()
    }

    pub(crate) fn ca(&self) -> PathBuf {
        self.site.path("site/ca.pem")
    }

    /// A token for these keys, to read and write files.
    pub(crate) fn token(&self, keys: &[&str]) -> String {
        let mut words = vec!["keys", "token", "issue", "tests"];
        words.extend(["--operations", "encrypt,decrypt,read"]);
        words.extend(keys.iter().flat_map(|keys| ["--keys", keys]));
        let token = self.site.json(&words)["token"].as_str().unwrap().to_owned();
        // Running servers follow within a second.
        std::thread::sleep(Duration::from_millis(1500));
        token
    }

    pub(crate) async fn create_keys(&self, prefix: &str) {
        for class in ["footer", "identifiers", "quasi", "clinical", "freetext"] {
            let key = format!("{prefix}.{class}").parse().unwrap();
            self.open.keys.create(&key).await.unwrap();
        }
    }

    pub(crate) async fn import(&self, schema: SchemaFile, path: &Path) -> Result<u64, ImportError> {
        let keys = StoreMasterKeys::new(Arc::clone(&self.open.keys));
        let keys = SourceKeys::KeyTools(Arc::new(keys));
        let source = ParquetSource::open(path, &keys, None).await.unwrap();
        let lake = Arc::clone(&self.open.lake);
        let importer = Importer::new(lake, schema, EncryptionSettings::STRICT);
        let report =
            importer.run("rows.parquet", Source::Parquet(Box::new(source)), |_| ()).await?;
        assert_eq!(report.quarantined, 0, "{report:?}");
        Ok(report.accepted)
    }

    /// Exports a dataset's policy; where the code for pyarrow or Spark was put.
    pub(crate) fn export(&self, dataset: &str, program: &str) -> PathBuf {
        let words = ["keys", "export-policy", dataset, "--kms-url", &self.url];
        let exported = self.site.json(&words);
        let path = self.site.path(&format!("{dataset}-{program}.py"));
        std::fs::write(&path, exported[program].as_str().unwrap()).unwrap();
        path
    }

    /// Runs a script with the endpoint in its environment.
    pub(crate) async fn python(
        &self,
        packages: &'static [&'static str],
        script: &'static str,
        token: &str,
        args: Vec<String>,
        more: Vec<(&'static str, String)>,
    ) -> String {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/python_scripts");
        let (url, token, ca) = (self.url.clone(), token.to_owned(), self.ca());
        let work = move || {
            Venv::with(packages).run(dir.join(script), |command| {
                command
                    .args(args)
                    .env("SALUS_KMS_URL", url)
                    .env("SALUS_KMS_TOKEN", token)
                    .env("SALUS_KMS_CA", ca)
                    .envs(more);
            })
        };
        tokio::task::spawn_blocking(work).await.unwrap()
    }
}

/// The address that the server says it listens at.
fn address(server: &mut Server) -> String {
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        let printed = server.printed();
        let found = printed.split_whitespace().find_map(|word| word.strip_suffix("/v1/transit"));
        if let Some(url) = found {
            return url.to_owned();
        }
        assert!(Instant::now() < until, "keys serve does not say where it listens: {printed}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
