//! A document as one HTML file that needs nothing else.

use std::fmt::Write as _;

use super::{Block, INTERVAL_HEADER, IntervalRow, Page};
use crate::text::percent;

impl Page {
    /// The document as HTML.
    pub(crate) fn html(&self) -> String {
        let mut body = format!(
            "<header><p class=\"kind\">{}</p><h1>{}</h1></header>",
            escape(&self.kind),
            escape(&self.title)
        );
        let mut open = false;
        for block in &self.blocks {
            if matches!(block, Block::Heading(_) | Block::Score { .. } | Block::Break) && open {
                body.push_str("</section>");
                open = false;
            }
            if !open && !matches!(block, Block::Score { .. } | Block::Break) {
                body.push_str("<section>");
                open = true;
            }
            write(&mut body, block);
        }
        if open {
            body.push_str("</section>");
        }
        let title = format!("{}: {}", escape(&self.title), escape(&self.kind).to_lowercase());
        format!(
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
             <title>{title}</title><style>{STYLE}</style></head>\
             <body><main>{body}</main></body></html>\n"
        )
    }
}

fn write(body: &mut String, block: &Block) {
    match block {
        Block::Heading(title) => {
            let _ = write!(body, "<h2>{}</h2>", escape(title));
        }
        Block::Paragraph(text) => {
            let lines: Vec<String> = text.lines().map(escape).collect();
            let _ = write!(body, "<p>{}</p>", lines.join("<br>"));
        }
        Block::Score { number, words } => {
            let _ = write!(
                body,
                "<section class=\"score\"><p class=\"number\"><strong>{}</strong>\
                 <span>of 100</span></p><p>{}</p></section>",
                escape(number),
                escape(words)
            );
        }
        Block::List(items) => {
            let items: String = items.iter().map(|i| format!("<li>{}</li>", escape(i))).collect();
            let _ = write!(body, "<ul>{items}</ul>");
        }
        Block::Choices(items) => {
            let items: String = items.iter().map(|i| format!("<li>{}</li>", escape(i))).collect();
            let _ = write!(body, "<ol type=\"A\">{items}</ol>");
        }
        Block::Pairs(rows) => {
            let pair =
                |(w, v): &(String, String)| format!("<dt>{}</dt><dd>{}</dd>", escape(w), escape(v));
            let rows: String = rows.iter().map(pair).collect();
            let _ = write!(body, "<dl>{rows}</dl>");
        }
        Block::Table { header, rows } => body.push_str(&table(header, rows)),
        Block::Intervals(rows) => body.push_str(&intervals(rows)),
        Block::Break => body.push_str("<hr>"),
    }
}

/// A text that means nothing to a browser or an XML reader.
pub(crate) fn escape(text: &str) -> String {
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

fn table(header: &[String], rows: &[Vec<String>]) -> String {
    let head: String =
        header.iter().map(|h| format!("<th scope=\"col\">{}</th>", escape(h))).collect();
    let body: String = rows
        .iter()
        .map(|row| {
            let cells: String = row.iter().map(|c| format!("<td>{}</td>", escape(c))).collect();
            format!("<tr>{cells}</tr>")
        })
        .collect();
    format!("<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>")
}

/// Each rate with its interval drawn from 0 to 100 %.
fn intervals(lines: &[IntervalRow]) -> String {
    let mut rows = String::new();
    for line in lines {
        let called = escape(&line.name);
        match &line.measured {
            Ok(m) => {
                let (x, width) = (100.0 * m.low, (100.0 * (m.high - m.low)).max(0.6));
                let mark = if m.leak { "leak" } else { "clear" };
                let (low, high) = (percent(m.low), percent(m.high));
                let _ = write!(
                    rows,
                    "<tr class=\"{mark}\"><td>{called}</td><td class=\"n\">{}</td>\
                     <td><svg viewBox=\"0 0 100 8\" preserveAspectRatio=\"none\" role=\"img\" \
                     aria-label=\"from {low} to {high}\"><rect class=\"track\" width=\"100\" \
                     height=\"8\"/><rect class=\"span\" x=\"{x:.2}\" width=\"{width:.2}\" \
                     height=\"8\"/></svg><small>{low} to {high}</small></td>\
                     <td class=\"n\">{}</td></tr>",
                    percent(m.risk),
                    escape(&m.counts),
                );
            }
            Err(reason) => {
                let _ = write!(
                    rows,
                    "<tr class=\"not-run\"><td>{called}</td><td class=\"n\">–</td>\
                     <td colspan=\"2\">not run: {}</td></tr>",
                    escape(reason)
                );
            }
        }
    }
    let head: String =
        INTERVAL_HEADER.iter().map(|h| format!("<th scope=\"col\">{h}</th>")).collect();
    format!("<table class=\"attacks\"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>")
}

const STYLE: &str = "\
:root{--ink:#16202b;--soft:#5a6775;--line:#d9dfe5;--accent:#0b6e6e;--warn:#b3261e;--paper:#fff}\
*{box-sizing:border-box}body{margin:0;background:#f2f4f6;color:var(--ink);\
font:15px/1.5 system-ui,-apple-system,'Segoe UI',Roboto,sans-serif}\
main{max-width:54rem;margin:2rem auto;padding:2.5rem 3rem;background:var(--paper);\
border:1px solid var(--line);border-radius:6px}\
.kind{margin:0;color:var(--accent);font-weight:600;letter-spacing:.02em}\
h1{margin:.1rem 0 1rem;font-size:1.9rem;line-height:1.2}\
h2{margin:0 0 .6rem;font-size:1.05rem}section{margin-top:1.8rem}section p{margin:0 0 .6rem}hr{border:0;border-top:1px solid var(--line);break-after:page}\
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
