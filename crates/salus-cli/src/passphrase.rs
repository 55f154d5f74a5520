//! The key store's passphrase: from the environment, from a file, or asked for.

use std::io::IsTerminal as _;

use salus_crypto::passphrase::Passphrase;
use salus_model::Secret;

use crate::output::Failure;

const VARIABLE: &str = "SALUS_PASSPHRASE";
const FILE_VARIABLE: &str = "SALUS_PASSPHRASE_FILE";

/// Whether a new passphrase is wanted, which is asked for twice.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asking {
    Known,
    New,
}

pub(crate) fn passphrase(asking: Asking) -> Result<Passphrase, Failure> {
    let text = match std::env::var(VARIABLE) {
        Ok(text) => text,
        Err(_) => match std::env::var_os(FILE_VARIABLE) {
            Some(path) => {
                let text = std::fs::read_to_string(&path).map_err(|e| {
                    Failure::request(format!("{FILE_VARIABLE} names {}: {e}", path.display()))
                })?;
                text.trim_end_matches(['\r', '\n']).to_owned()
            }
            None => ask(asking)?,
        },
    };
    Ok(Passphrase::new(Secret::new(text))?)
}

fn ask(asking: Asking) -> Result<String, Failure> {
    if !std::io::stdin().is_terminal() {
        let remedy = format!("no passphrase: set {VARIABLE} or {FILE_VARIABLE}");
        return Err(Failure::request(remedy));
    }
    let prompt = |text: &str| {
        rpassword::prompt_password(text)
            .map_err(|e| Failure::unavailable(format!("the passphrase cannot be read: {e}")))
    };
    let first = prompt("Passphrase of the key store: ")?;
    if asking == Asking::New && prompt("The same again: ")? != first {
        return Err(Failure::request("the two passphrases differ"));
    }
    Ok(first)
}
