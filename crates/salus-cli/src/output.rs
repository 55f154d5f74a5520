//! What a person or a script sees.

use std::error::Error;
use std::io::IsTerminal as _;
use std::os::fd::AsFd;
use std::process::ExitCode;

use salus_model::{Class, Classified};
use serde::Serialize;

/// A failed command: what to print, and the exit code.
#[derive(Debug)]
pub(crate) struct Failure {
    message: String,
    class: Class,
    code: u8,
    /// Whether the answer that is on its way already says so.
    answered: bool,
    /// What was tried in vain, and the message without the table of it.
    tried: Option<Box<Tried>>,
}

/// Attempts at a score that none of them reached.
#[derive(Debug)]
struct Tried {
    message: String,
    attempts: Vec<salus_files::Attempt>,
}

const fn code_of(class: Class) -> u8 {
    match class {
        Class::BadRequest => 2,
        Class::Refused => 3,
        Class::Unavailable | Class::Peer => 4,
        Class::Corrupt => 5,
        Class::Bug => 70,
    }
}

impl Failure {
    fn new(message: impl Into<String>, class: Class) -> Self {
        let message = message.into();
        Self { message, class, code: code_of(class), answered: false, tried: None }
    }

    /// A self-test that found something.
    pub(crate) fn self_test(message: impl Into<String>) -> Self {
        Self { code: 1, ..Self::new(message, Class::Corrupt) }
    }

    /// What the printed answer says already: scripts read one object, and the exit code.
    pub(crate) fn answered(message: impl Into<String>, class: Class) -> Self {
        Self { answered: true, ..Self::new(message, class) }
    }

    pub(crate) fn request(message: impl Into<String>) -> Self {
        Self::new(message, Class::BadRequest)
    }

    pub(crate) fn corrupt(message: impl Into<String>) -> Self {
        Self::new(message, Class::Corrupt)
    }

    pub(crate) fn unavailable(message: impl Into<String>) -> Self {
        Self::new(message, Class::Unavailable)
    }

    pub(crate) fn refused(message: impl Into<String>) -> Self {
        Self::new(message, Class::Refused)
    }

    /// Somebody else's program that broke its word.
    pub(crate) fn peer(message: impl Into<String>) -> Self {
        Self::new(message, Class::Peer)
    }

    /// Words that are no command, without how it is used, which help says.
    pub(crate) fn usage(error: &clap::Error) -> Self {
        use clap::error::ErrorKind;
        if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
            return Self::request("no command, or not all of it, was named; try --help");
        }
        let said = error.to_string();
        let what = said.split("\n\nUsage:").next().unwrap_or_default();
        let what = what.split("\n\nFor more information").next().unwrap_or_default();
        let parts = what.trim_start_matches("error: ").split("\n\n").map(|part| {
            part.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>()
        });
        let parts: Vec<String> = parts.map(|lines| lines.join(" ")).collect();
        Self::request(parts.join("; "))
    }

    /// What a command on plain files said; scripts get what it tried as an array.
    pub(crate) fn of_files(error: salus_files::FilesError) -> Self {
        let tried = error
            .attempts()
            .map(|(message, attempts)| Box::new(Tried { message, attempts: attempts.to_vec() }));
        Self { tried, ..error.into() }
    }

    /// What a node said, with the class that it named.
    pub(crate) fn told(message: impl Into<String>, class: &str) -> Self {
        Self::new(message, crate::commands::query::class(class))
    }

    /// A file that somebody showed, and that proves nothing: whoever relies on it has to stop.
    pub(crate) fn not_proved(what: String, why: &dyn Error) -> Self {
        Self::new(format!("{what}: {}", chain(why)), Class::Refused)
    }

    /// Who has to act.
    pub(crate) const fn class(&self) -> Class {
        self.class
    }

    /// The same failure, told of somebody among several.
    pub(crate) fn of(self, whom: &str) -> Self {
        Self { message: format!("{whom}: {}", self.message), ..self }
    }

    const fn class_word(&self) -> &'static str {
        match self.class {
            Class::BadRequest => "bad-request",
            Class::Refused => "refused",
            Class::Unavailable => "unavailable",
            Class::Peer => "peer",
            Class::Corrupt => "corrupt",
            Class::Bug => "bug",
        }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

/// The error's sentence and those of its causes, each once.
fn chain(error: &dyn Error) -> String {
    let mut said = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let sentence = error.to_string();
        if !said.contains(&sentence) {
            said = format!("{said}: {sentence}");
        }
        cause = error.source();
    }
    said
}

impl<E: Classified + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::new(chain(&error), error.class())
    }
}

/// Whether somebody reads the standard output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reader {
    There,
    Gone,
}

/// Prints a line. `println!` panics where the reader has gone, as `head` does when it has enough.
fn say(line: &str) -> Reader {
    use std::io::Write as _;
    let mut out = std::io::stdout().lock();
    match writeln!(out, "{line}").and_then(|()| out.flush()) {
        Ok(()) => Reader::There,
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Reader::Gone,
        Err(error) => {
            eprintln!("salus: the standard output cannot be written: {error}");
            std::process::exit(i32::from(UNWRITABLE));
        }
    }
}

/// The exit code when the answer cannot be written, as where the disk is full.
const UNWRITABLE: u8 = 4;

/// Text for people or JSON for scripts.
pub(crate) struct Output {
    json: bool,
}

impl Output {
    pub(crate) const fn new(json: bool) -> Self {
        Self { json }
    }

    pub(crate) const fn is_json(&self) -> bool {
        self.json
    }

    /// Says beside the answer what whoever asked should know.
    pub(crate) fn warn(words: &str) {
        eprintln!("salus: {words}");
    }

    /// Whether to show progress: to a person at a terminal only.
    pub(crate) fn shows_progress(&self) -> bool {
        !self.json && std::io::stderr().is_terminal()
    }

    /// Prints a value, as JSON or by `text`.
    pub(crate) fn print<T: Serialize>(&self, value: &T, text: impl FnOnce(&T) -> String) {
        let said = if self.json {
            serde_json::to_string_pretty(value).unwrap_or_default()
        } else {
            text(value).trim_end().to_owned()
        };
        // What was done is done, whether or not somebody still reads of it.
        let _ = say(&said);
    }

    /// Prints one of many values as soon as it is there: a line of JSON, or text.
    pub(crate) fn line<T: Serialize>(&self, value: &T, text: impl FnOnce(&T) -> String) {
        let said = if self.json {
            serde_json::to_string(value).unwrap_or_default()
        } else {
            text(value).trim_end().to_owned()
        };
        // More would come: without a reader there is nothing left to do.
        if say(&said) == Reader::Gone {
            std::process::exit(0);
        }
    }

    pub(crate) fn failure(&self, failure: &Failure) -> ExitCode {
        #[derive(Serialize)]
        struct Said<'a> {
            error: &'a str,
            class: &'static str,
            #[serde(skip_serializing_if = "Option::is_none")]
            attempts: Option<&'a [salus_files::Attempt]>,
        }
        if self.json {
            let tried = failure.tried.as_ref();
            let said = Said {
                error: tried.map_or(failure.message.as_str(), |tried| tried.message.as_str()),
                class: failure.class_word(),
                attempts: tried.map(|tried| tried.attempts.as_slice()),
            };
            if !failure.answered {
                let _ = say(&serde_json::to_string_pretty(&said).unwrap_or_default());
            }
        } else {
            let mut said = format!("salus: {}", failure.message);
            if std::io::stderr().is_terminal() {
                said = salus_files::laid_out(&said, width(std::io::stderr()));
            }
            eprintln!("{said}");
        }
        ExitCode::from(failure.code)
    }
}

/// How long lines may be for who reads them there: as wide as the terminal is, else as `COLUMNS`
/// says.
pub(crate) fn width(there: impl AsFd) -> usize {
    let terminal = rustix::termios::tcgetwinsize(there).ok().map(|size| size.ws_col);
    width_of(terminal, std::env::var("COLUMNS").ok().as_deref())
}

/// Neither so short that tables fall apart, nor longer than people read with ease.
fn width_of(terminal: Option<u16>, columns: Option<&str>) -> usize {
    const USUAL: usize = 80;
    const LEAST: usize = 60;
    const MOST: usize = 100;
    let known = terminal.map(usize::from).filter(|columns| *columns > 0);
    let told = || columns?.trim().parse::<usize>().ok().filter(|columns| *columns > 0);
    known.or_else(told).unwrap_or(USUAL).clamp(LEAST, MOST)
}

/// Rows with aligned columns under a header.
pub(crate) fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = header.iter().map(|h| h.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |cells: Vec<&str>| {
        let padded = cells.iter().zip(&widths).map(|(c, w)| format!("{c:<w$}"));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    let mut lines = vec![line(header.to_vec())];
    lines.extend(rows.iter().map(|row| line(row.iter().map(String::as_str).collect())));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::width_of;

    #[test]
    fn lines_are_as_long_as_the_terminal_within_what_is_read_well() {
        assert_eq!(width_of(Some(72), Some("90")), 72);
        assert_eq!(width_of(Some(20), None), 60);
        assert_eq!(width_of(Some(300), None), 100);
        // A terminal that does not know, or none.
        assert_eq!(width_of(Some(0), Some("90")), 90);
        assert_eq!(width_of(None, Some(" 70 ")), 70);
        for unknown in [None, Some(""), Some("wide"), Some("0"), Some("-5")] {
            assert_eq!(width_of(None, unknown), 80, "{unknown:?}");
        }
    }
}
