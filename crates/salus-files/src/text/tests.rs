use super::{
    bound, columns, columns_in_use, counted, decimals, epsilon, laid_out, list, notes, pairs,
};

fn cells(rows: &[&[&str]]) -> Vec<Vec<String>> {
    rows.iter().map(|row| row.iter().map(|cell| (*cell).to_owned()).collect()).collect()
}

fn widest(text: &str) -> usize {
    text.lines().map(|line| line.chars().count()).max().unwrap_or(0)
}

/// The text without the places where it is broken.
fn words(text: &str) -> Vec<&str> {
    text.split_whitespace().collect()
}

#[test]
fn numbers_stand_on_the_right_also_those_below_nothing() {
    let rows = cells(&[
        &["parity", "-0.17469", "0.0–3.4 %", "0"],
        &["impact", "–", "<0.1 %", "1; 0.8 is usual"],
    ]);
    let said = columns(&["measure", "before", "interval", "fair"], &rows);
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(
        lines,
        [
            "  measure    before   interval  fair",
            "  -------  --------  ---------  ---------------",
            "  parity   -0.17469  0.0–3.4 %  0",
            "  impact          –     <0.1 %  1; 0.8 is usual",
        ]
    );
}

#[test]
fn columns_in_which_nothing_stands_are_left_out() {
    let rows = cells(&[&["1", "", "85.9"], &["2", "", "none"]]);
    let said = columns_in_use(&["attempt", "ε charged", "score"], &rows);
    assert_eq!(said.lines().next(), Some("  attempt  score"));
    assert!(said.ends_with("        2   none"), "{said}");
}

#[test]
fn a_value_with_the_end_of_a_line_in_it_does_not_end_its_row() {
    let said = columns(&["ward"], &cells(&[&["a\nb"], &["c"]]));
    assert_eq!(said, "  ward\n  ----\n  a b\n  c");
}

#[test]
fn a_table_that_is_too_wide_breaks_headings_then_words_and_never_numbers() {
    let name = "linking two files, all nearest kept";
    let rows = cells(&[
        &["singling out by several values", "98.2 %", "96.4–100.0 %", "340", "68", "yes"],
        &[name, "92.4 %", "89.2–95.6 %", "1,705", "94", "no"],
    ]);
    let header = ["attack", "risk", "95 % interval", "hits", "hits on control", "leak found"];
    let said = columns(&header, &rows);
    assert!(widest(&said) > 80);
    assert_eq!(laid_out(&said, widest(&said)), said);
    // With a heading broken there is room for every attack.
    let fitted = laid_out(&said, 90);
    assert!(widest(&fitted) <= 90 && fitted.contains(name), "{fitted}");
    assert!(!fitted.contains("hits on control"), "{fitted}");
    assert!(widest(&laid_out(&said, 80)) <= 80);
    let narrow = laid_out(&said, 60);
    assert!(widest(&narrow) <= 60, "{narrow}");
    for number in ["96.4–100.0 %", "89.2–95.6 %", "1,705"] {
        assert!(narrow.contains(number), "{narrow}");
    }
    // Numbers end where their column does, and what is broken goes on below, behind more room.
    let end = |part: &str| {
        let line = narrow.lines().find(|line| line.contains(part));
        line.and_then(|line| line.find(part).map(|at| line[..at + part.len()].chars().count()))
    };
    assert_eq!(end("98.2 %"), end("92.4 %"));
    assert!(narrow.contains("\n    files, all"), "{narrow}");
    let (mut before, mut after) = (words(&said), words(&narrow));
    before.retain(|word| !word.starts_with("--"));
    after.retain(|word| !word.starts_with("--"));
    before.sort_unstable();
    after.sort_unstable();
    assert_eq!(before, after);
}

#[test]
fn long_lines_go_on_under_what_they_began_with() {
    let long = "a sentence that goes on and on until nobody would read it to its end any more";
    let said = format!(
        "{}\n\n{long}\n\n{}{}\n  12. {long}",
        pairs(&[("records", "1".to_owned()), ("holds", long.to_owned())]),
        list(&[long.to_owned()]),
        notes(&[long.to_owned()]),
    );
    let fitted = laid_out(&said, 60);
    assert!(widest(&fitted) <= 60, "{fitted}");
    assert_eq!(words(&fitted), words(&said));
    let after = |start: &str| {
        let mut lines = fitted.lines().skip_while(|line| !line.starts_with(start));
        let next = lines.nth(1).unwrap_or_default();
        next.len() - next.trim_start().len()
    };
    assert_eq!(after("  holds"), 11);
    assert_eq!(after("a sentence"), 0);
    assert_eq!(after("  - "), 4);
    assert_eq!(after("  ! "), 4);
    assert_eq!(after("  12. "), 6);
    // What is short stays as it is.
    assert_eq!(laid_out(&said, 200), said);
}

#[test]
fn paths_and_commands_stay_whole_and_nothing_steers_the_terminal() {
    let command = format!("Next, for this:\n  salus anonymise {}--out o.csv", "--k 5 ".repeat(20));
    assert_eq!(laid_out(&command, 60), command);
    let path = format!("/data/{}/out.csv", "folder".repeat(20));
    let said = laid_out(&pairs(&[("written to", path.clone())]), 60);
    assert!(said.contains(&path), "{said}");
    assert_eq!(laid_out("a \u{1b}[31mred\tward", 60), "a  [31mred ward");
}

#[test]
fn a_percent_sign_stays_with_its_number() {
    let said = laid_out(&"right on 81.7 % of them, ".repeat(12), 60);
    assert!(said.lines().all(|line| !line.starts_with('%')), "{said}");
}

#[test]
fn any_text_is_laid_out_at_any_width() {
    let odd = ["", "\n\n", "  ", "  --", "  --  --", "x\n  --", "x\n  --  ---\n  1", "–  – –"];
    for text in odd {
        for width in [0, 1, 2, 60] {
            let _ = laid_out(text, width);
        }
    }
}

#[test]
fn losses_and_counts_are_read_at_a_glance() {
    assert_eq!(epsilon(1.0), "1.0000");
    assert_eq!(epsilon(1e9), "1,000,000,000");
    assert_eq!(epsilon(1e30), "1e30");
    assert_eq!(epsilon(0.000_05), "5e-5");
    assert_eq!(bound(0.5, 1e-5 * 3.0), "ε = 0.5000 at δ = 3.00e-5");
    assert_eq!(bound(0.5, 1e-6), "ε = 0.5000 at δ = 1e-6");
    assert_eq!(decimals(-1e-17), "0.00000");
    assert_eq!(decimals(-0.174_69), "-0.17469");
    assert_eq!(counted(1, "small cell", "small cells"), "1 small cell");
    assert_eq!(counted(2_000, "record", "records"), "2,000 records");
}
