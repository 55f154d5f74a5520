//! Work on a person's own plain files: no site, no account.

use salus_files::Verdict;
use salus_model::Class;

use crate::output::{Failure, Output, width};

/// Runs a command and prints its answer.
pub(crate) fn run(command: &salus_files::Command, output: &Output) -> Result<(), Failure> {
    let answer = command.run().map_err(Failure::of_files)?;
    output.print(&answer.json, |_| answer.text_within(width(std::io::stdout())));
    match answer.verdict() {
        Verdict::Passes => Ok(()),
        Verdict::Objected => Err(Failure::answered("it must not go out as it is", Class::Refused)),
    }
}
