//! One section of `docs/benchmarks.md`, between marks, the others left alone.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

/// Puts `text` between the marks of `name`, at the end of the file when they are not there yet.
pub(crate) fn write(name: &str, title: &str, text: &str) -> Result<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/benchmarks.md");
    let known = fs::read_to_string(&path).unwrap_or_else(|_| "# Benchmarks\n".to_owned());
    let (open, close) = (format!("<!-- {name} -->"), format!("<!-- /{name} -->"));
    let section = format!("{open}\n## {title}\n\n{text}\n{close}\n");
    let whole = match (known.find(&open), known.find(&close)) {
        (Some(from), Some(to)) if from < to => {
            let rest = known.get(to + close.len()..).unwrap_or_default();
            let rest = rest.strip_prefix('\n').unwrap_or(rest);
            format!("{}{section}{rest}", known.get(..from).unwrap_or_default())
        }
        _ => format!("{}\n{section}", known.trim_end().to_owned() + "\n"),
    };
    fs::write(&path, whole).with_context(|| format!("{} cannot be written", path.display()))
}
