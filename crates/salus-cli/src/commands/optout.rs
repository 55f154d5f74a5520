//! `salus optout`: who is not read for secondary use.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use salus_node::operations::{Call, OptOutChange, OptOutsShown, Reply};

use crate::output::{Failure, Output};

#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// These people are not read for secondary use from now on.
    Add(People),
    /// These people may be read again.
    Withdraw(People),
    /// Everybody on the list.
    List,
}

#[derive(clap::Args)]
pub(crate) struct People {
    /// The people's ids, as the datasets have them. Others on this machine can see a command's
    /// words while it runs: --from keeps the ids out of them.
    people: Vec<String>,
    /// A file with one id a line; - reads them from the standard input.
    #[arg(long)]
    from: Option<PathBuf>,
}

impl People {
    fn named(self) -> Result<Vec<String>, Failure> {
        let mut people = self.people;
        if let Some(path) = self.from {
            let failed = |e| Failure::request(format!("{} cannot be read: {e}", path.display()));
            let mut text = String::new();
            if path.as_os_str() == "-" {
                std::io::stdin().read_to_string(&mut text).map_err(failed)?;
            } else {
                text = std::fs::read_to_string(&path).map_err(failed)?;
            }
            people.extend(text.lines().map(str::trim).filter(|l| !l.is_empty()).map(str::to_owned));
        }
        if people.is_empty() {
            return Err(Failure::request("name at least one person, or a file with --from"));
        }
        Ok(people)
    }
}

pub(crate) async fn run(command: Command, folder: &Path, output: &Output) -> Result<(), Failure> {
    let (change, done) = match command {
        Command::Add(people) => (OptOutChange::Add(people.named()?), "opted out"),
        Command::Withdraw(people) => (OptOutChange::Withdraw(people.named()?), "may be read again"),
        Command::List => (OptOutChange::List, ""),
    };
    let listing = matches!(change, OptOutChange::List);
    let site = crate::site::open(folder).await?;
    let Reply::OptOuts(shown) = crate::site::ask(&site, Call::OptOuts(change)).await? else {
        return Err(crate::site::protocol());
    };
    if listing {
        output.print(&shown, |s| {
            let mut lines = vec![format!("Epoch {}, {} people:", s.epoch, s.people.len())];
            lines.extend(s.people.iter().map(|person| format!("  {person}")));
            lines.join("\n")
        });
        return Ok(());
    }
    // Who is on the list is told where it is asked for, and nowhere by the way.
    let shown = OptOutsShown { people: Vec::new(), ..shown };
    output.print(&serde_json::json!({ "epoch": shown.epoch, "changed": shown.changed }), |_| {
        format!("{} people {done}; the ledger is at opt-out epoch {}.", shown.changed, shown.epoch)
    });
    Ok(())
}
