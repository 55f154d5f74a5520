use std::path::Path;

use salus_keys::KeyState;
use salus_model::{DatasetId, KeyName};
use salus_node::Site;
use salus_node::operations::{Call, KeyChange, Reply};
use serde::Serialize;

use crate::output::{Failure, Output, table};

#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Every master key with its state and versions.
    List,
    /// Make a new version of a key, and wrap every data key under it anew; no data is rewritten.
    Rotate {
        /// The key.
        key: KeyName,
    },
    /// Refuse every use of a key until it is reinstated.
    Revoke {
        /// The key.
        key: KeyName,
    },
    /// Take a revocation back.
    Reinstate {
        /// The key.
        key: KeyName,
    },
    /// Destroy a key for ever. What it protects is lost, in every backup of the lake too.
    Shred {
        /// The key.
        key: KeyName,
        /// The key's name again, so that it is not done by accident.
        #[arg(long)]
        yes_destroy: KeyName,
    },
    /// Print what pyarrow and Spark need to read a dataset's files, or to write alike: keys of footer
    /// and columns, settings, and code to paste.
    ExportPolicy(super::keys_export::ExportArgs),
    /// Serve the key store as Vault's transit engine, for Spark, pyarrow and hvac.
    Serve(super::keys_serve::ServeArgs),
    /// Tokens for `keys serve`.
    #[command(subcommand)]
    Token(super::keys_serve::TokenCommand),
}

pub(crate) async fn run(command: Command, folder: &Path, output: &Output) -> Result<(), Failure> {
    let command = match command {
        Command::Token(command) => return super::keys_serve::tokens(command, folder, output),
        command => command,
    };
    let site = crate::site::open(folder).await?;
    match command {
        Command::Token(_) => Ok(()),
        Command::Serve(args) => super::keys_serve::serve(args, &site, output).await,
        Command::ExportPolicy(args) => super::keys_export::run(args, &site, output).await,
        Command::List => {
            let keys = site.keys.list().await?;
            output.print(&keys, |keys| {
                let row = |k: &salus_keys::KeyInfo| {
                    let state = match k.state {
                        KeyState::Active => "active",
                        KeyState::Revoked => "revoked",
                    };
                    let made = k.versions.last().map_or(String::new(), |v| v.created.to_string());
                    vec![k.name.to_string(), state.into(), k.versions.len().to_string(), made]
                };
                let rows: Vec<_> = keys.iter().map(row).collect();
                table(&["key", "state", "versions", "newest of"], &rows)
            });
            Ok(())
        }
        Command::Rotate { key } => change(&site, key, KeyChange::Rotate, output).await,
        Command::Revoke { key } => change(&site, key, KeyChange::Revoke, output).await,
        Command::Reinstate { key } => change(&site, key, KeyChange::Reinstate, output).await,
        Command::Shred { key, yes_destroy } => {
            if key != yes_destroy {
                return Err(Failure::request("--yes-destroy must repeat the key's name"));
            }
            change(&site, key, KeyChange::Shred, output).await
        }
    }
}

async fn change(
    site: &Site,
    key: KeyName,
    change: KeyChange,
    output: &Output,
) -> Result<(), Failure> {
    let Reply::Key(changed) = crate::site::ask(site, Call::Key { key, change }).await? else {
        return Err(crate::site::protocol());
    };
    let key = &changed.key;
    let seconds = site.config.keys.lifetime().duration().as_secs();
    match change {
        KeyChange::Rotate => {
            let datasets: Vec<&str> = changed.datasets.iter().map(DatasetId::as_str).collect();
            output.print(&changed, |r| {
                let mut said = format!(
                    "The key {} has version {}. {} files and {} sealed objects of {} are wrapped \
                     under it; no data was rewritten.",
                    r.key,
                    r.versions,
                    r.files,
                    r.objects,
                    if datasets.is_empty() { "no dataset".to_owned() } else { datasets.join(", ") }
                );
                if r.internal > 0 {
                    said.push_str(&format!(
                        "\n{} files keep their key material inside and were left as they are: \
                         they need the older versions of their keys until their rows are written \
                         anew.",
                        r.internal
                    ));
                }
                said
            });
            Ok(())
        }
        KeyChange::Revoke => done(
            output,
            format!(
                "The key {key} is revoked: nothing under it opens any more; where another process \
                 keeps it unwrapped, within {seconds} s."
            ),
        ),
        KeyChange::Reinstate => done(output, format!("The key {key} may be used again.")),
        KeyChange::Shred => {
            done(output, format!("The key {key} is destroyed. What it protected cannot be read."))
        }
    }
}

fn done(output: &Output, message: String) -> Result<(), Failure> {
    #[derive(Serialize)]
    struct Done {
        done: String,
    }
    output.print(&Done { done: message }, |d| d.done.clone());
    Ok(())
}
