//! What a person or a script sees.

use std::error::Error;
use std::io::IsTerminal as _;
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
        Self { message: message.into(), class, code: code_of(class), answered: false }
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
        }
        if self.json {
            let said = Said { error: &failure.message, class: failure.class_word() };
            if !failure.answered {
                let _ = say(&serde_json::to_string_pretty(&said).unwrap_or_default());
            }
        } else {
            eprintln!("salus: {}", failure.message);
        }
        ExitCode::from(failure.code)
    }
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
