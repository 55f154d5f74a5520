//! `salus ledger serve`: the validator of a folder, with those of its channels.

use std::path::PathBuf;
use std::time::Duration;

use salus_validator::channels::Host;
use salus_validator::{Folder, Validator};
use serde::Serialize;

use super::passphrase_of;
use crate::commands::node::{StopWith, stopped};
use crate::output::{Failure, Output};
use crate::passphrase::Asking;

/// How long a channel that was joined waits until it is taken up.
const LOOK: Duration = Duration::from_secs(2);

#[derive(Serialize)]
struct Serving {
    validator: String,
    key: String,
    height: u64,
    /// Where a browser on this machine reaches the console.
    console: Option<String>,
}

impl Serving {
    fn of(validator: &Validator) -> Self {
        Self {
            validator: format!("https://{}", validator.api()),
            key: validator.key().to_string(),
            height: validator.handle().status().height.get(),
            console: validator.console().map(|address| format!("http://{address}")),
        }
    }
}

#[derive(Serialize)]
struct ChannelServed {
    channel: String,
    validator: String,
}

/// Tells of the channels that are new.
fn tell(host: &Host, new: impl Fn(&salus_ledger::LedgerId) -> bool, output: &Output) {
    for (ledger, validator) in host.channels().filter(|(ledger, _)| new(ledger)) {
        let served = ChannelServed {
            channel: ledger.to_string(),
            validator: format!("https://{}", validator.api()),
        };
        output.line(&served, |s| format!("Channel    {} at {}", s.channel, s.validator));
    }
}

fn blocking(e: tokio::task::JoinError) -> Failure {
    Failure::unavailable(e.to_string())
}

pub(super) async fn run(folder: PathBuf, with: StopWith, output: &Output) -> Result<(), Failure> {
    let passphrase = passphrase_of("passphrase of the validator's keys", Asking::Known)?;
    // It starts threads of its own and waits for them.
    let started = tokio::task::spawn_blocking(move || Host::start(&Folder::at(folder), passphrase));
    let mut host = started.await.map_err(blocking)??;
    output.print(&Serving::of(host.main()), |s| {
        let console = s
            .console
            .as_ref()
            .map(|url| format!("\nConsole    {url} with the token in the folder's console.token"));
        format!(
            "Validator  {}\nKey        {}\nBlock      {}{}\nCtrl-C stops it.",
            s.validator,
            s.key,
            s.height,
            console.unwrap_or_default()
        )
    });
    tell(&host, |_| true, output);
    let mut stop = std::pin::pin!(stopped(with));
    loop {
        tokio::select! {
            stopped = &mut stop => {
                stopped?;
                return tokio::task::spawn_blocking(move || host.stop()).await.map_err(blocking);
            }
            () = tokio::time::sleep(LOOK) => {}
        }
        let looked = tokio::task::spawn_blocking(move || {
            let new = host.take_up_channels();
            (host, new)
        });
        let (looked, new) = looked.await.map_err(blocking)?;
        host = looked;
        tell(&host, |ledger| new.contains(ledger), output);
    }
}
