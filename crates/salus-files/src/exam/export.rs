//! Sheets for learning platforms: GIFT and QTI 3.
//!
//! # Source
//! Moodle, "GIFT format"; 1EdTech, "Question and Test Interoperability 3.0", Assessment, Section
//! and Item Information Model, and its XML binding.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::Sheet;
use super::cohort::Cohort;
use super::question::Question;
use crate::page::{escape, letter};

/// A text in which nothing speaks to GIFT.
fn gift_text(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '~' | '=' | '#' | '{' | '}' | ':' | '\\' => {
                safe.push('\\');
                safe.push(c);
            }
            '\n' | '\r' => safe.push_str("<br>"),
            c if c.is_control() => safe.push(' '),
            c => safe.push(c),
        }
    }
    safe
}

fn html_table((header, rows): &(Vec<String>, Vec<Vec<String>>)) -> String {
    let cells = |name: &str, cells: &[String]| {
        let all = cells.iter().map(|c| format!("<{name}>{}</{name}>", escape(c)));
        format!("<tr>{}</tr>", all.collect::<String>())
    };
    let body: String = rows.iter().map(|row| cells("td", row)).collect();
    format!("<table><thead>{}</thead><tbody>{body}</tbody></table>", cells("th", header))
}

fn html(question: &Question) -> String {
    let table = question.table.as_ref().map(html_table).unwrap_or_default();
    format!("<p>{}</p>{table}<p>{}</p>", escape(&question.vignette), escape(&question.ask))
}

/// A sheet as GIFT.
pub(super) fn gift(title: &str, sheet: &Sheet, cohort: &Cohort) -> String {
    let mut text = format!("// {}\n// {}\n\n", title.replace('\n', " "), cohort.origin());
    for (i, question) in sheet.questions.iter().enumerate() {
        let name = format!("{}-{:02} {}", sheet.number, i + 1, question.identifier());
        let _ = writeln!(text, "::{}::[html]{} {{", gift_text(&name), gift_text(&html(question)));
        for (c, choice) in question.choices.iter().enumerate() {
            let mark = if c == question.right { '=' } else { '~' };
            let (said, why) = (escape(&choice.text), escape(&choice.why));
            let _ = writeln!(text, "{mark}{}#{}", gift_text(&said), gift_text(&why));
        }
        let _ = writeln!(text, "####{}\n}}\n", gift_text(&escape(&question.explanation)));
    }
    text
}

const ITEM: &str = "http://www.imsglobal.org/xsd/imsqtiasi_v3p0";
const SCHEMA: &str = "https://purl.imsglobal.org/spec/qti/v3p0/schema/xsd/imsqti_asiv3p0_v1p0.xsd";
const PACKAGE: &str = "http://www.imsglobal.org/xsd/qti/qtiv3p0/imscp_v1p1";

/// A QTI 3 package: names of its files and what is in them.
pub(super) fn qti(title: &str, sheets: &[Sheet], cohort: &Cohort) -> Vec<(String, String)> {
    let mut files = Vec::new();
    let mut resources = String::new();
    let mut items: BTreeSet<String> = BTreeSet::new();
    for sheet in sheets {
        let test = format!("tests/{:03}.xml", sheet.number);
        let _ = write!(
            resources,
            "<resource identifier=\"t{:03}\" type=\"imsqti_test_xmlv3p0\" href=\"{test}\">\
             <file href=\"{test}\"/>",
            sheet.number
        );
        for question in &sheet.questions {
            let _ = write!(resources, "<dependency identifierref=\"{}\"/>", question.identifier());
        }
        resources.push_str("</resource>\n");
        for question in &sheet.questions {
            let id = question.identifier();
            let path = format!("items/{id}.xml");
            if items.insert(id.clone()) {
                let _ = writeln!(
                    resources,
                    "<resource identifier=\"{id}\" type=\"imsqti_item_xmlv3p0\" href=\"{path}\">\
                     <file href=\"{path}\"/></resource>"
                );
                files.push((path, item(question)));
            }
        }
        files.push((test, assessment(title, sheet, cohort)));
    }
    let manifest = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<manifest xmlns=\"{PACKAGE}\" \
         identifier=\"exam\"><metadata><schema>QTI Package</schema>\
         <schemaversion>3.0.0</schemaversion></metadata><organizations/>\
         <resources>\n{resources}</resources></manifest>\n"
    );
    files.push(("imsmanifest.xml".to_owned(), manifest));
    files
}

fn root(name: &str, identifier: &str, title: &str, more: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<{name} xmlns=\"{ITEM}\" \
         xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" \
         xsi:schemaLocation=\"{ITEM} {SCHEMA}\" identifier=\"{identifier}\" title=\"{}\"{more}>\n",
        escape(title)
    )
}

fn item(question: &Question) -> String {
    let more = " adaptive=\"false\" time-dependent=\"false\" xml:lang=\"en\"";
    let mut xml = root("qti-assessment-item", &question.identifier(), &question.ask, more);
    let _ = writeln!(
        xml,
        "<qti-response-declaration identifier=\"RESPONSE\" cardinality=\"single\" \
         base-type=\"identifier\"><qti-correct-response><qti-value>{}</qti-value>\
         </qti-correct-response></qti-response-declaration>\n\
         <qti-outcome-declaration identifier=\"SCORE\" cardinality=\"single\" base-type=\"float\">\
         <qti-default-value><qti-value>0</qti-value></qti-default-value>\
         </qti-outcome-declaration>\n\
         <qti-outcome-declaration identifier=\"FEEDBACK\" cardinality=\"single\" \
         base-type=\"identifier\"/>",
        letter(question.right)
    );
    let table = question.table.as_ref().map(html_table).unwrap_or_default();
    let _ = writeln!(
        xml,
        "<qti-item-body><p>{}</p>{table}\n<qti-choice-interaction \
         response-identifier=\"RESPONSE\" shuffle=\"false\" max-choices=\"1\">\
         <qti-prompt>{}</qti-prompt>",
        escape(&question.vignette),
        escape(&question.ask)
    );
    for (i, choice) in question.choices.iter().enumerate() {
        let _ = writeln!(
            xml,
            "<qti-simple-choice identifier=\"{}\">{}</qti-simple-choice>",
            letter(i),
            escape(&choice.text)
        );
    }
    xml.push_str("</qti-choice-interaction></qti-item-body>\n");
    xml.push_str(
        "<qti-response-processing><qti-response-condition><qti-response-if><qti-match>\
         <qti-variable identifier=\"RESPONSE\"/><qti-correct identifier=\"RESPONSE\"/></qti-match>\
         <qti-set-outcome-value identifier=\"SCORE\"><qti-base-value base-type=\"float\">1\
         </qti-base-value></qti-set-outcome-value></qti-response-if></qti-response-condition>\
         <qti-set-outcome-value identifier=\"FEEDBACK\"><qti-base-value base-type=\"identifier\">\
         explanation</qti-base-value></qti-set-outcome-value></qti-response-processing>\n",
    );
    let _ = writeln!(
        xml,
        "<qti-modal-feedback outcome-identifier=\"FEEDBACK\" identifier=\"explanation\" \
         show-hide=\"show\"><qti-content-body><p>{}</p></qti-content-body></qti-modal-feedback>\n\
         </qti-assessment-item>",
        escape(&question.explanation)
    );
    xml
}

fn assessment(title: &str, sheet: &Sheet, cohort: &Cohort) -> String {
    let name = format!("{title}: {}", sheet.student);
    let mut xml = root("qti-assessment-test", &format!("t{:03}", sheet.number), &name, "");
    let _ = writeln!(
        xml,
        "<qti-test-part identifier=\"part\" navigation-mode=\"nonlinear\" \
         submission-mode=\"simultaneous\"><qti-assessment-section identifier=\"section\" \
         title=\"{}\" visible=\"true\"><qti-rubric-block use=\"instructions\" \
         view=\"candidate\"><qti-content-body><p>{}</p></qti-content-body></qti-rubric-block>",
        escape(title),
        escape(&cohort.origin())
    );
    for (i, question) in sheet.questions.iter().enumerate() {
        let _ = writeln!(
            xml,
            "<qti-assessment-item-ref identifier=\"i{:02}\" href=\"../items/{}.xml\"/>",
            i + 1,
            question.identifier()
        );
    }
    xml.push_str("</qti-assessment-section></qti-test-part></qti-assessment-test>\n");
    xml
}
