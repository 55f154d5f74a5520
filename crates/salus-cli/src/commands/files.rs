//! Work on a person's own plain files: no site, no account.

use salus_files::Verdict;
use salus_model::Class;

use crate::output::{Failure, Output};

/// Runs a command and prints its answer.
pub(crate) fn run(command: &salus_files::Command, output: &Output) -> Result<(), Failure> {
    let answer = command.run()?;
    output.print(&answer.json, |_| answer.text().to_owned());
    match answer.verdict() {
        Verdict::Passes => Ok(()),
        Verdict::Objected => Err(Failure::answered("it must not go out as it is", Class::Refused)),
    }
}
