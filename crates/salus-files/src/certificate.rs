//! A certificate of a release: what was done to it, what holds, what attacks achieved.

use std::fmt::Write as _;
use std::path::Path;

use salus_crypto::Digest;
use salus_model::Timestamp;

use crate::error::FilesError;
use crate::evidence::{AttackResult, Evidence};
use crate::file::write_bytes;
use crate::text::{count, percent};

/// What a certificate says.
pub(crate) struct Certificate<'a> {
    /// `Anonymised table`, `Synthetic table`.
    pub(crate) title: &'a str,
    /// When it was made.
    pub(crate) made: Timestamp,
    /// The released file's name.
    pub(crate) file: &'a Path,
    /// The released file's bytes.
    pub(crate) released: &'a [u8],
    /// What holds: privacy models, or ε and δ.
    pub(crate) holds: Vec<String>,
    /// Parameters, as pairs.
    pub(crate) parameters: Vec<(&'static str, String)>,
    /// What the release is still good for, as pairs.
    pub(crate) utility: Vec<(&'static str, String)>,
    /// A header and rows about columns, if there is something to say.
    pub(crate) columns: Option<(Vec<&'static str>, Vec<Vec<String>>)>,
    /// The attacks, if any were run.
    pub(crate) evidence: Option<&'a Evidence>,
    /// How the attacks were set up.
    pub(crate) setting: &'a str,
    /// What to note.
    pub(crate) notes: &'a [String],
}

impl Certificate<'_> {
    /// Writes the certificate as a page that needs nothing else.
    pub(crate) fn write(&self, path: &Path) -> Result<(), FilesError> {
        write_bytes(path, self.html().as_bytes())
    }

    fn html(&self) -> String {
        let mut body = String::new();
        let file = self.file.file_name().map(|n| n.to_string_lossy()).unwrap_or_default();
        let made = self.made.to_string();
        let day = made.get(..10).unwrap_or(&made);
        let _ = write!(
            body,
            "<header><p class=\"kind\">Certificate of release</p><h1>{}</h1>\
             <dl class=\"facts\"><dt>File</dt><dd>{}</dd><dt>SHA-256</dt>\
             <dd><code>{}</code></dd><dt>Made</dt><dd>{}</dd></dl></header>",
            escape(self.title),
            escape(&file),
            fingerprint(self.released),
            escape(day),
        );
        self.score(&mut body);
        section(&mut body, "What holds", &list(&self.holds));
        section(&mut body, "Parameters", &pairs(&self.parameters));
        section(&mut body, "What the data are still good for", &pairs(&self.utility));
        if let Some((header, rows)) = &self.columns {
            section(&mut body, "Columns", &table(header, rows));
        }
        if let Some(evidence) = self.evidence {
            let setting = format!("<p>{}</p>", escape(self.setting));
            section(&mut body, "Attacks", &(setting + &attacks(evidence)));
        }
        if !self.notes.is_empty() {
            section(&mut body, "To note", &list(self.notes));
        }
        section(&mut body, "What this does not say", LIMITS);
        let title = escape(self.title);
        format!(
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
             <title>{title}: certificate of release</title><style>{STYLE}</style></head>\
             <body><main>{body}</main></body></html>\n"
        )
    }

    fn score(&self, body: &mut String) {
        let (number, words) = match self.evidence {
            Some(Evidence { score: Some(score), words, .. }) => {
                (format!("{score:.1}"), words.as_str())
            }
            Some(evidence) => ("–".to_owned(), evidence.words.as_str()),
            None => ("–".to_owned(), "No attack was run on this release."),
        };
        let _ = write!(
            body,
            "<section class=\"score\"><p class=\"number\"><strong>{number}</strong>\
             <span>of 100</span></p><p>{}</p></section>",
            escape(words)
        );
    }
}

const LIMITS: &str = "<p>The score is evidence and no proof: it says what the listed attacks \
achieved, and another attack may achieve more. Models such as k-anonymity bound what this one \
release says to somebody who knows the quasi-identifiers; they do not add up over several releases \
of the same people. A bound that does is ε of differential privacy, where it is stated above. \
Whoever links the release with other data is responsible for what comes of it.</p>";

fn fingerprint(bytes: &[u8]) -> String {
    let hex = Digest::of(bytes).to_string();
    let mut said = String::new();
    for (i, part) in hex.as_bytes().chunks(8).enumerate() {
        if i > 0 {
            said.push(' ');
        }
        said.push_str(&String::from_utf8_lossy(part));
    }
    said
}

fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c if c.is_control() => safe.push(' '),
            c => safe.push(c),
        }
    }
    safe
}

fn section(body: &mut String, title: &str, content: &str) {
    let _ = write!(body, "<section><h2>{}</h2>{content}</section>", escape(title));
}

fn list(items: &[String]) -> String {
    let items: String = items.iter().map(|i| format!("<li>{}</li>", escape(i))).collect();
    format!("<ul>{items}</ul>")
}

fn pairs(rows: &[(&str, String)]) -> String {
    let rows: String = rows
        .iter()
        .map(|(word, value)| format!("<dt>{}</dt><dd>{}</dd>", escape(word), escape(value)))
        .collect();
    format!("<dl>{rows}</dl>")
}

fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let head: String = header.iter().map(|h| format!("<th>{}</th>", escape(h))).collect();
    let body: String = rows
        .iter()
        .map(|row| {
            let cells: String = row.iter().map(|c| format!("<td>{}</td>", escape(c))).collect();
            format!("<tr>{cells}</tr>")
        })
        .collect();
    format!("<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>")
}

/// Each attack with its interval drawn from 0 to 100 %.
fn attacks(evidence: &Evidence) -> String {
    let mut rows = String::new();
    for line in &evidence.attacks {
        let mut called = escape(line.attack.name());
        if let Some(secret) = &line.secret {
            let _ = write!(called, " of {}", escape(secret));
        }
        match &line.result {
            AttackResult::Ran {
                risk,
                interval: [low, high],
                attempts,
                successes,
                control_successes,
                leak,
            } => {
                let (x, width) = (100.0 * low, (100.0 * (high - low)).max(0.6));
                let mark = if *leak { "leak" } else { "clear" };
                let _ = write!(
                    rows,
                    "<tr class=\"{mark}\"><td>{called}</td><td class=\"n\">{}</td>\
                     <td><svg viewBox=\"0 0 100 8\" preserveAspectRatio=\"none\" role=\"img\" \
                     aria-label=\"from {} to {}\"><rect class=\"track\" width=\"100\" height=\"8\"/>\
                     <rect class=\"span\" x=\"{x:.2}\" width=\"{width:.2}\" height=\"8\"/></svg>\
                     <small>{} to {}</small></td><td class=\"n\">{} / {} of {}</td></tr>",
                    percent(*risk),
                    percent(*low),
                    percent(*high),
                    percent(*low),
                    percent(*high),
                    count(*successes),
                    count(*control_successes),
                    count(*attempts),
                );
            }
            AttackResult::NotRun { not_run } => {
                let _ = write!(
                    rows,
                    "<tr class=\"not-run\"><td>{called}</td><td class=\"n\">–</td>\
                     <td colspan=\"2\">not run: {}</td></tr>",
                    escape(not_run)
                );
            }
        }
    }
    format!(
        "<table class=\"attacks\"><thead><tr><th>Attack</th><th>Risk</th>\
         <th>Interval, 95 % over all attacks</th><th>Hits / on control</th></tr></thead>\
         <tbody>{rows}</tbody></table>"
    )
}

const STYLE: &str = "\
:root{--ink:#16202b;--soft:#5a6775;--line:#d9dfe5;--accent:#0b6e6e;--warn:#b3261e;--paper:#fff}\
*{box-sizing:border-box}body{margin:0;background:#f2f4f6;color:var(--ink);\
font:15px/1.5 system-ui,-apple-system,'Segoe UI',Roboto,sans-serif}\
main{max-width:54rem;margin:2rem auto;padding:2.5rem 3rem;background:var(--paper);\
border:1px solid var(--line);border-radius:6px}\
.kind{margin:0;color:var(--accent);font-weight:600;letter-spacing:.02em}\
h1{margin:.1rem 0 1rem;font-size:1.9rem;line-height:1.2}\
h2{margin:0 0 .6rem;font-size:1.05rem}section{margin-top:1.8rem}\
dl{display:grid;grid-template-columns:minmax(9rem,max-content) 1fr;gap:.25rem 1.5rem;margin:0}\
dt{color:var(--soft)}dd{margin:0;overflow-wrap:anywhere}code{font-size:.85em}\
ul{margin:0;padding-left:1.2rem}\
.score{display:flex;gap:1.5rem;align-items:center;padding:1.1rem 1.4rem;\
border:1px solid var(--line);border-left:5px solid var(--accent);border-radius:4px}\
.score p{margin:0}.number{flex:none;text-align:center}\
.number strong{display:block;font-size:2.6rem;line-height:1;font-variant-numeric:tabular-nums}\
.number span{color:var(--soft);font-size:.85rem}\
table{width:100%;border-collapse:collapse;font-size:.93em}\
th{text-align:left;color:var(--soft);font-weight:600;border-bottom:2px solid var(--line)}\
th,td{padding:.35rem .8rem .35rem 0;vertical-align:top}\
td{border-bottom:1px solid var(--line)}.n{white-space:nowrap;font-variant-numeric:tabular-nums}\
svg{display:block;width:100%;min-width:9rem;height:.5rem;margin-top:.45rem}\
.track{fill:#e7ebef}.span{fill:var(--accent)}.leak .span{fill:var(--warn)}\
.leak td:first-child{color:var(--warn);font-weight:600}small{color:var(--soft)}\
.not-run td{color:var(--soft)}\
@media(max-width:40rem){main{margin:0;padding:1.2rem;border:0}dl{grid-template-columns:1fr}\
dt{margin-top:.4rem}.score{flex-direction:column;align-items:flex-start}}\
@media print{body{background:none;font-size:11px}main{margin:0;padding:0;border:0;max-width:none}\
section{break-inside:avoid}@page{margin:18mm}}";
