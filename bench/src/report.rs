//! The table that a person sees and the one in the documentation: the same.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

const HEAD: &str = "\
# Benchmarks

Every section is written by the command that it names, on the machine that it names. Ratios are
medians over alternating pairs, with the middle half of them; times are medians.
";

/// A section of the report: sentences and tables, in order.
pub(crate) struct Report {
    name: &'static str,
    text: String,
}

impl Report {
    /// A section that begins with the command and the machine.
    pub(crate) fn begin(name: &'static str, title: &str) -> Self {
        let mut text = format!("## {title}\n\n");
        let _ = writeln!(text, "`cargo xtask bench {name}` on {}.", machine());
        print!("{text}");
        Self { name, text }
    }

    /// A sentence or more.
    pub(crate) fn say(&mut self, sentence: &str) {
        let said = format!("\n{sentence}\n");
        print!("{said}");
        self.text.push_str(&said);
    }

    /// A table; the columns after the first are numbers.
    pub(crate) fn table(&mut self, head: &[&str], rows: &[Vec<String>]) {
        let width = |i: usize| {
            let cells = rows.iter().filter_map(|r| r.get(i)).map(|c| c.chars().count());
            cells.chain([head[i].chars().count(), 3]).max().unwrap_or(3)
        };
        let widths: Vec<usize> = (0..head.len()).map(width).collect();
        let line = |cells: &mut dyn Iterator<Item = &str>| {
            let mut out = String::from("|");
            for (i, (cell, width)) in cells.zip(&widths).enumerate() {
                let pad = " ".repeat(width - cell.chars().count());
                let (before, after) = if i == 0 { ("", pad.as_str()) } else { (pad.as_str(), "") };
                let _ = write!(out, " {before}{cell}{after} |");
            }
            out + "\n"
        };
        let mut text = format!("\n{}|", line(&mut head.iter().copied()));
        for (i, width) in widths.iter().enumerate() {
            let dashes = "-".repeat(width - 1);
            let _ = write!(text, " {dashes}{} |", if i == 0 { "-" } else { ":" });
        }
        text.push('\n');
        for row in rows {
            text.push_str(&line(&mut row.iter().map(String::as_str)));
        }
        print!("{text}");
        self.text.push_str(&text);
    }

    /// Puts the section into the file, in place of its last edition.
    pub(crate) fn write(&self, file: &Path) -> Result<()> {
        let (from, to) =
            (format!("<!-- {}: -->\n", self.name), format!("<!-- :{} -->\n", self.name));
        let old = fs::read_to_string(file).unwrap_or_else(|_| HEAD.to_owned());
        let section = format!("{from}{}{to}", self.text);
        let new = match (old.find(&from), old.find(&to)) {
            (Some(a), Some(b)) => format!("{}{section}{}", &old[..a], &old[b + to.len()..]),
            _ => format!("{old}\n{section}"),
        };
        fs::write(file, new).with_context(|| format!("{} cannot be written", file.display()))?;
        println!("\nWritten to {}.", file.display());
        Ok(())
    }
}

fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let field = |file: &str, name: &str| {
        let text = fs::read_to_string(file).unwrap_or_default();
        let line = text.lines().find(|l| l.starts_with(name)).map(str::to_owned);
        line.and_then(|l| l.split_once(':').map(|(_, v)| v.trim().to_owned())).unwrap_or_default()
    };
    let memory = field("/proc/meminfo", "MemTotal");
    let kib: u64 = memory.split(' ').next().and_then(|n| n.parse().ok()).unwrap_or(0);
    let model = field("/proc/cpuinfo", "model name");
    format!("{cores} cores ({model}), {} GiB", kib / (1 << 20))
}
