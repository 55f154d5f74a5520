use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Paragraph, Row, Table, TableState, Tabs, Wrap};

use super::screen::{Open, Opened, Proof, Screen, Tab};
use crate::explorer::answers::{
    About, BlockDetail, BlockLine, Found, MemberLine, Outcome, Statistics, TransactionDetail,
    TransactionLine,
};

const ACCENT: Style = Style::new().fg(Color::Cyan);
const MUTED: Style = Style::new().fg(Color::DarkGray);
const ALERT: Style = Style::new().fg(Color::Red);
const CHOSEN: Style = Style::new().add_modifier(Modifier::REVERSED);

/// Draws the whole screen.
pub fn draw(frame: &mut Frame<'_>, screen: &mut Screen) {
    let parts = Layout::vertical([
        Constraint::Length(2),
        Constraint::Length(1),
        Constraint::Min(3),
        Constraint::Length(1),
    ]);
    let [head, tabs, body, foot] = parts.areas(frame.area());
    draw_head(frame, head, screen);
    let chosen = Tab::ALL.iter().position(|tab| *tab == screen.tab);
    let titles = Tab::ALL.map(Tab::title);
    frame.render_widget(Tabs::new(titles).select(chosen).highlight_style(ACCENT), tabs);
    match screen.opened.last_mut() {
        Some(opened) => draw_opened(frame, body, opened),
        None => draw_list(frame, body, screen),
    }
    draw_foot(frame, foot, screen);
}

fn draw_head(frame: &mut Frame<'_>, area: Rect, screen: &Screen) {
    let Some(overview) = &screen.overview else {
        return frame.render_widget(Paragraph::new("asking the validator…"), area);
    };
    let first = Line::from(vec![
        Span::styled("Salus ledger ", ACCENT),
        Span::raw(short(&overview.ledger)),
        Span::styled(format!("  {}", overview.kind), MUTED),
    ]);
    let seen = overview.observed.finality_p50_ms;
    let finality = seen.map_or_else(|| "–".to_owned(), |millis| format!("{millis} ms"));
    let second = format!(
        "block {}  ·  {} transactions  ·  quorum {} of {}  ·  finality here, half within {finality}",
        overview.height,
        overview.transactions,
        overview.quorum,
        overview.validators.len(),
    );
    frame.render_widget(Paragraph::new(vec![first, Line::raw(second)]), area);
}

fn draw_foot(frame: &mut Frame<'_>, area: Rect, screen: &Screen) {
    let line = match (&screen.typing, &screen.told) {
        (Some(typed), _) => {
            Line::from(vec![Span::styled("search ", ACCENT), typed.into(), "▏".into()])
        }
        (None, Some(told)) => Line::styled(told.clone(), ALERT),
        (None, None) => Line::styled(
            "↑↓ choose   Enter open   Esc back   Tab next list   / search   q leave",
            MUTED,
        ),
    };
    frame.render_widget(Paragraph::new(line), area);
}

fn draw_list(frame: &mut Frame<'_>, area: Rect, screen: &Screen) {
    match screen.tab {
        Tab::Blocks => draw_blocks(frame, area, &screen.blocks, screen.line),
        Tab::Kinds => draw_kinds(frame, area, screen.statistics.as_ref(), screen.line),
        Tab::Members => draw_members(frame, area, &screen.members, screen.line),
    }
}

fn table<const N: usize>(
    frame: &mut Frame<'_>,
    area: Rect,
    (title, names): (String, [&'static str; N]),
    rows: Vec<Row<'static>>,
    widths: [Constraint; N],
    line: usize,
) {
    let header = Row::new(names).style(MUTED);
    let block = Block::new().borders(Borders::TOP).border_style(MUTED).title(title);
    let table = Table::new(rows, widths).header(header).row_highlight_style(CHOSEN).block(block);
    let mut state = TableState::new().with_selected(line);
    frame.render_stateful_widget(table, area, &mut state);
}

fn draw_blocks(frame: &mut Frame<'_>, area: Rect, blocks: &[BlockLine], line: usize) {
    let row = |block: &BlockLine| {
        let kinds = if block.height == 0 { "genesis".into() } else { block.methods.join(", ") };
        Row::new([
            block.height.to_string(),
            time(&block.time),
            block.transactions.to_string(),
            block.votes.to_string(),
            kinds,
        ])
    };
    let names = ["block", "time, UTC", "txs", "votes", "kinds"];
    let widths = [
        Constraint::Length(9),
        Constraint::Length(19),
        Constraint::Length(5),
        Constraint::Length(5),
        Constraint::Min(10),
    ];
    let rows = blocks.iter().map(row).collect();
    table(frame, area, (" latest blocks ".into(), names), rows, widths, line);
}

fn draw_kinds(frame: &mut Frame<'_>, area: Rect, numbers: Option<&Statistics>, line: usize) {
    let kinds = numbers.map(|numbers| numbers.kinds.as_slice()).unwrap_or_default();
    let rows = kinds.iter().map(|kind| {
        Row::new([kind.name.clone(), kind.applied.to_string(), kind.refused.to_string()])
    });
    let widths = [Constraint::Min(24), Constraint::Length(10), Constraint::Length(10)];
    let names = ["kind", "applied", "refused"];
    let title = " transactions by kind ".to_owned();
    table(frame, area, (title, names), rows.collect(), widths, line);
}

fn draw_members(frame: &mut Frame<'_>, area: Rect, members: &[MemberLine], line: usize) {
    let rows = members.iter().map(|member| {
        let roles = member.roles.join(", ");
        let since = member.since.to_string();
        Row::new([member.id.clone(), member.standing.clone(), since, roles])
    });
    let widths =
        [Constraint::Min(18), Constraint::Length(12), Constraint::Length(9), Constraint::Min(20)];
    let names = ["member", "standing", "since", "roles"];
    table(frame, area, (" members ".into(), names), rows.collect(), widths, line);
}

fn draw_opened(frame: &mut Frame<'_>, area: Rect, opened: &mut Opened) {
    let line = opened.line;
    match &opened.open {
        Open::Block(block) => draw_block(frame, area, block, line),
        Open::Transactions(filter, lines) => {
            draw_transactions(frame, area, format!(" {filter} "), lines, line);
        }
        Open::Found(typed, found) => draw_found(frame, area, typed, found, line),
        Open::Transaction(detail, proof) => {
            opened.line = draw_transaction(frame, area, detail, proof, line);
        }
    }
}

fn draw_block(frame: &mut Frame<'_>, area: Rect, block: &BlockDetail, line: usize) {
    let [head, below] = Layout::vertical([Constraint::Length(4), Constraint::Min(2)]).areas(area);
    let members = block.votes.iter().map(|vote| vote.member.as_deref().unwrap_or("?"));
    let voters = members.collect::<Vec<_>>().join(", ");
    let votes = format!("votes   {} ({} needed): {voters}", block.votes.len(), block.quorum);
    let facts = vec![
        Line::styled(format!("Block {} of {} UTC", block.height, time(&block.time)), ACCENT),
        Line::raw(format!("hash    {}", block.block)),
        Line::raw(format!("history {} ({} transactions)", block.history_root, block.history_size)),
        Line::raw(votes),
    ];
    frame.render_widget(Paragraph::new(facts), head);
    draw_transactions(frame, below, " transactions ".into(), &block.transactions, line);
}

fn draw_transactions(
    frame: &mut Frame<'_>,
    area: Rect,
    title: String,
    lines: &[TransactionLine],
    line: usize,
) {
    let row = |line: &TransactionLine| {
        Row::new([
            line.height.to_string(),
            line.method.clone(),
            outcome(&line.outcome),
            line.about.iter().map(name).collect::<Vec<_>>().join("  "),
        ])
    };
    let widths = [
        Constraint::Length(9),
        Constraint::Length(26),
        Constraint::Length(22),
        Constraint::Min(10),
    ];
    let names = ["block", "kind", "outcome", "about"];
    table(frame, area, (title, names), lines.iter().map(row).collect(), widths, line);
}

fn draw_found(frame: &mut Frame<'_>, area: Rect, typed: &str, found: &[Found], line: usize) {
    if found.is_empty() {
        let text = format!("Nothing on this ledger has the height, hash, id or name '{typed}'.");
        return frame.render_widget(Paragraph::new(text).wrap(Wrap { trim: true }), area);
    }
    let row = |found: &Found| {
        Row::new([found.kind.clone(), found.id.clone(), found.hint.clone().unwrap_or_default()])
    };
    let widths = [Constraint::Length(12), Constraint::Min(30), Constraint::Min(12)];
    let names = ["kind", "id", "more"];
    let title = format!(" found for {typed} ");
    table(frame, area, (title, names), found.iter().map(row).collect(), widths, line);
}

/// Draws a text that scrolls, and gives the line at which it really begins.
fn draw_transaction(
    frame: &mut Frame<'_>,
    area: Rect,
    detail: &TransactionDetail,
    proof: &Proof,
    line: usize,
) -> usize {
    let text = text_of(detail, proof);
    let last = text.len().saturating_sub(usize::from(area.height));
    let from = line.min(last);
    let scroll = u16::try_from(from).unwrap_or(u16::MAX);
    frame.render_widget(Paragraph::new(text).scroll((scroll, 0)), area);
    from
}

fn text_of(detail: &TransactionDetail, proof: &Proof) -> Vec<Line<'static>> {
    let line = &detail.line;
    let proved = match proof {
        Proof::Verified { votes, path } => Line::styled(
            format!("✓ verified on this machine: {votes} votes, {path} hashes to what they signed"),
            ACCENT,
        ),
        Proof::None(reason) => Line::styled(format!("✗ not verified: {reason}"), ALERT),
    };
    let mut text = vec![
        Line::styled(format!("{}  {}", line.method, outcome(&line.outcome)), ACCENT),
        proved,
        Line::raw(format!("transaction  {}", line.id)),
        Line::raw(format!("block        {} of {} UTC", line.height, time(&line.time))),
        Line::raw(format!("place        {} in the history", line.history_index)),
    ];
    text.extend(detail.created.as_ref().map(|id| Line::raw(format!("created      {id}"))));
    for signer in &detail.signers {
        let who = signer.member.as_deref().unwrap_or("a person, pseudonymously");
        text.push(Line::raw(format!("signed by    {who}  {}", short(&signer.key))));
    }
    text.push(Line::raw(""));
    match &detail.content {
        Some(content) => fields(content, 0, &mut text),
        None => text.push(Line::styled("what it says was pruned on this validator", MUTED)),
    }
    text
}

/// One line per field, indented.
fn fields(value: &serde_json::Value, depth: usize, text: &mut Vec<Line<'static>>) {
    use serde_json::Value;
    let indent = "  ".repeat(depth);
    match value {
        Value::Object(inner) => {
            for (name, value) in inner {
                match value {
                    Value::Object(_) | Value::Array(_) => {
                        text.push(Line::styled(format!("{indent}{name}"), MUTED));
                        fields(value, depth + 1, text);
                    }
                    plain => text.push(Line::from(vec![
                        Span::styled(format!("{indent}{name}  "), MUTED),
                        Span::raw(word(plain)),
                    ])),
                }
            }
        }
        Value::Array(items) => {
            for item in items {
                match item {
                    Value::Object(_) | Value::Array(_) => {
                        text.push(Line::styled(format!("{indent}–"), MUTED));
                        fields(item, depth + 1, text);
                    }
                    plain => text.push(Line::raw(format!("{indent}{}", word(plain)))),
                }
            }
        }
        plain => text.push(Line::raw(format!("{indent}{}", word(plain)))),
    }
}

fn word(value: &serde_json::Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned)
}

fn outcome(outcome: &Outcome) -> String {
    match &outcome.rule {
        Some(rule) => format!("refused: {rule}"),
        None => outcome.word.clone(),
    }
}

fn name(about: &About) -> String {
    match about {
        About::Member { id } | About::Dataset { id } => id.clone(),
        About::Permit { id } => short(id),
    }
}

fn short(text: &str) -> String {
    match (text.get(..15), text.len()) {
        (Some(start), 24..) => format!("{start}…"),
        _ => text.to_owned(),
    }
}

fn time(text: &str) -> String {
    text.get(..19).unwrap_or(text).replace('T', " ")
}

#[cfg(test)]
mod tests;
