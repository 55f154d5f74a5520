//! What opens a key store: from the environment, from a file, or asked for.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use salus_crypto::passphrase::Passphrase;
use salus_model::Secret;
use salus_node::{KeyStoreConfig, Unlock, read_secret};

use crate::output::Failure;

/// Whether a new passphrase is wanted, which is asked for twice.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asking {
    Known,
    New,
}

/// Where a secret is looked for, in this order, before it is asked for.
struct Sought<'a> {
    what: &'static str,
    variable: &'static str,
    file_variable: &'static str,
    file: Option<&'a PathBuf>,
}

const PASSPHRASE: Sought<'static> = Sought {
    what: "passphrase of the key store",
    variable: "SALUS_PASSPHRASE",
    file_variable: "SALUS_PASSPHRASE_FILE",
    file: None,
};

/// A passphrase that belongs to something else than a key store, found in the same places.
pub(crate) fn find(what: &'static str, asking: Asking) -> Result<Secret<String>, Failure> {
    Sought { what, ..PASSPHRASE }.find(Path::new("."), asking)
}

/// The passphrase of a membership file, which whoever made it told apart from the site's own.
pub(crate) fn member_file(asking: Asking) -> Result<Passphrase, Failure> {
    let sought = Sought {
        what: "passphrase of the membership file",
        variable: "SALUS_MEMBER_PASSPHRASE",
        file_variable: "SALUS_MEMBER_PASSPHRASE_FILE",
        file: None,
    };
    Ok(Passphrase::new(sought.find(Path::new("."), asking)?)?)
}

/// What opens the configured key store.
pub(crate) fn unlock(
    config: &KeyStoreConfig,
    folder: &Path,
    asking: Asking,
) -> Result<Unlock, Failure> {
    match config {
        KeyStoreConfig::Local { .. } => {
            let text = PASSPHRASE.find(folder, asking)?;
            Ok(Unlock::Passphrase(Passphrase::new(text)?))
        }
        KeyStoreConfig::Pkcs11 { pin_file, .. } => {
            let sought = Sought {
                what: "PIN of the hardware token",
                variable: "SALUS_PIN",
                file_variable: "SALUS_PIN_FILE",
                file: pin_file.as_ref(),
            };
            Ok(Unlock::Pin(sought.find(folder, Asking::Known)?))
        }
        KeyStoreConfig::Vault { token_file, .. } => {
            let sought = Sought {
                what: "token of the key server",
                variable: "SALUS_VAULT_TOKEN",
                file_variable: "SALUS_VAULT_TOKEN_FILE",
                file: token_file.as_ref(),
            };
            Ok(Unlock::Token(sought.find(folder, Asking::Known)?))
        }
    }
}

impl Sought<'_> {
    fn find(&self, folder: &Path, asking: Asking) -> Result<Secret<String>, Failure> {
        if let Ok(text) = std::env::var(self.variable) {
            return Ok(Secret::new(text));
        }
        if let Some(path) = std::env::var_os(self.file_variable) {
            return Ok(read_secret(Path::new(&path))?);
        }
        match self.file {
            Some(file) => Ok(read_secret(&folder.join(file))?),
            None => self.ask(asking),
        }
    }

    fn ask(&self, asking: Asking) -> Result<Secret<String>, Failure> {
        if !std::io::stdin().is_terminal() {
            let (variable, file) = (self.variable, self.file_variable);
            let remedy = format!("no {}: set {variable} or {file}", self.what);
            return Err(Failure::request(remedy));
        }
        let prompt = |text: &str| {
            rpassword::prompt_password(text)
                .map(Secret::new)
                .map_err(|e| Failure::unavailable(format!("the {} cannot be read: {e}", self.what)))
        };
        let mut question = format!("{}: ", self.what);
        if let Some(first) = question.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        let first = prompt(&question)?;
        if asking == Asking::New && prompt("The same again: ")? != first {
            return Err(Failure::request("the two differ"));
        }
        Ok(first)
    }
}
