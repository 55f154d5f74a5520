#![allow(clippy::unwrap_used)]

use ratatui::Terminal;
use ratatui::backend::TestBackend;

use super::draw;
use crate::explorer::answers::{BlockLine, Outcome, TransactionDetail, TransactionLine};
use crate::explorer::terminal::{Ask, Got, Key, Proof, Screen};

fn shown(screen: &mut Screen) -> String {
    let mut terminal = Terminal::new(TestBackend::new(100, 20)).unwrap();
    terminal.draw(|frame| draw(frame, screen)).unwrap();
    terminal.backend().to_string()
}

fn block(height: u64) -> BlockLine {
    BlockLine {
        height,
        block: format!("{height:064x}"),
        time: "2026-11-20T16:00:00.000000Z".into(),
        transactions: 1,
        refused: 0,
        votes: 3,
        methods: vec!["permits.grant".into()],
    }
}

fn transaction(id: &str) -> TransactionDetail {
    TransactionDetail {
        line: TransactionLine {
            id: id.into(),
            history_index: 4,
            height: 5,
            time: "2026-11-20T16:00:00.000000Z".into(),
            method: "permits.grant".into(),
            outcome: Outcome { word: "applied".into(), rule: None },
            about: Vec::new(),
        },
        index: 0,
        block: "00".repeat(32),
        envelope: "11".repeat(32),
        last: Some(9),
        signers: Vec::new(),
        content: Some(serde_json::json!({ "permit": "permit-1", "list": [{ "deep": 7 }] })),
        created: None,
    }
}

#[test]
fn a_new_block_comes_first_and_the_chosen_line_stays() {
    let mut screen = Screen::new();
    screen.take(Got::Blocks(vec![block(2), block(1)]));
    assert_eq!(screen.press(Key::Down), None);
    screen.take(Got::NewBlock(block(3)));
    screen.take(Got::NewBlock(block(3)));
    assert_eq!(screen.press(Key::Enter), Some(Ask::Block(1)), "the same one, a line lower");
    let text = shown(&mut screen);
    let heights: Vec<&str> = text.lines().filter(|line| line.contains("permits.grant")).collect();
    assert_eq!(heights.len(), 3, "{text}");
    assert!(heights[0].trim_start_matches('"').starts_with('3'), "{text}");
}

#[test]
fn a_proof_that_failed_is_not_shown_as_one_that_held() {
    let mut screen = Screen::new();
    let proof = Proof::Verified { votes: 3, path: 6 };
    screen.take(Got::Transaction(Box::new(transaction("ab")), proof));
    let text = shown(&mut screen);
    assert!(text.contains("✓ verified on this machine: 3 votes, 6 hashes"), "{text}");
    assert!(text.contains("permit  permit-1") && text.contains("deep  7"), "{text}");
    let proof = Proof::None("the votes do not make the block final".into());
    screen.take(Got::Transaction(Box::new(transaction("cd")), proof));
    let text = shown(&mut screen);
    assert!(text.contains("✗ not verified: the votes do not"), "{text}");
    assert!(!text.contains('✓'), "{text}");
}

#[test]
fn letters_search_while_typing_and_leave_otherwise() {
    let mut screen = Screen::new();
    screen.press(Key::Letter('/'));
    for letter in "qq".chars() {
        assert_eq!(screen.press(Key::Letter(letter)), None);
    }
    screen.press(Key::Backspace);
    assert!(shown(&mut screen).contains("search q"));
    assert_eq!(screen.press(Key::Enter), Some(Ask::Search("q".into())));
    assert_eq!(screen.press(Key::Letter('q')), Some(Ask::Leave));
}

#[test]
fn scrolling_beyond_the_end_stays_at_the_end() {
    let mut screen = Screen::new();
    let mut long = transaction("ab");
    let lines: Vec<String> = (0..40).map(|number| format!("column{number}")).collect();
    long.content = Some(serde_json::json!({ "columns": lines }));
    screen.take(Got::Transaction(Box::new(long), Proof::Verified { votes: 1, path: 0 }));
    for _ in 0..50 {
        screen.press(Key::PageDown);
    }
    assert!(shown(&mut screen).contains("column39"));
    screen.press(Key::Up);
    let text = shown(&mut screen);
    assert!(text.contains("column38") && !text.contains("column39"), "one line up: {text}");
}
