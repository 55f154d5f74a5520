//! What the demo's hospitals keep: visits of people who do not exist.

use std::fmt::Write as _;
use std::sync::Arc;

use salus_ingest::tabular::{Importer, LineFormat, SchemaFile, Source};
use salus_node::{PROFILES_FILE, Site};
use salus_store::EncryptionSettings;

use crate::output::Failure;

/// People of each hospital.
pub(super) const PEOPLE: u32 = 2000;
/// A word that stands in every made-up name and id, to look for it where it must not be.
pub(super) const PLANTED: &str = "Plantedperson";
/// Letters that a literal in a question has, to look for it too.
pub(super) const PLANTED_LITERAL: &str = "Plantedward";

const SCHEMA: &str = r#"
dataset = "visits"
subject = "patient_id"
[[column]]
name = "patient_id"
type = "text"
class = "identifiers"
required = true
[[column]]
name = "family_name"
type = "text"
class = "identifiers"
[[column]]
name = "sex"
type = "text"
class = "clinical"
values = ["female", "male"]
[[column]]
name = "birth_year"
type = "integer"
class = "clinical"
min = 1900
max = 2030
[[column]]
name = "ward"
type = "text"
class = "clinical"
[[column]]
name = "diagnosis"
type = "text"
class = "clinical"
"#;

const PROFILE: &str = r#"# What the steward states publicly, so that answers under permits need not look at the rows.
[visits]
unit_column = "patient_id"
unit = "patient"
contribution = [3, 3]          # at most three visits of one person count, in one ward too
rows_per_unit = "many"

[visits.columns]
sex = { category = ["female", "male"] }
ward = { category = ["cardiology", "medicine", "neurology", "surgery"] }
diagnosis = { category = ["E11", "I10", "I48", "J45", "other"] }
birth_year = { number = [1900, 2030, 0] }
"#;

const WARDS: [&str; 4] = ["cardiology", "medicine", "neurology", "surgery"];
const DIAGNOSES: [&str; 5] = ["I10", "E11", "J45", "I48", "other"];

/// A number that follows from another, spread evenly; the same on every machine.
const fn mixed(n: u32) -> u32 {
    let mut x = n.wrapping_mul(0x9E37_79B9) ^ 0x85EB_CA6B;
    x ^= x >> 15;
    x = x.wrapping_mul(0x2C1B_3C6D);
    x ^= x >> 12;
    x = x.wrapping_mul(0x297A_2D39);
    x ^ (x >> 15)
}

fn pick<const N: usize>(of: [&'static str; N], by: u32) -> &'static str {
    let size = u32::try_from(N).unwrap_or(1).max(1);
    of.get((by % size) as usize).copied().unwrap_or_default()
}

/// A person of a hospital.
pub(super) fn person(hospital: u32, number: u32) -> String {
    format!("{PLANTED}-{hospital}-{number}")
}

/// How many visits each person has: one to three.
const fn visits_of(hospital: u32, number: u32) -> u32 {
    1 + mixed(hospital * 7919 + number) % 3
}

fn visits(hospital: u32) -> String {
    let mut csv = "patient_id,family_name,sex,birth_year,ward,diagnosis\n".to_owned();
    for number in 0..PEOPLE {
        let base = mixed(hospital.wrapping_mul(1_000_003).wrapping_add(number));
        let sex = if base.is_multiple_of(2) { "female" } else { "male" };
        let year = 1930 + base % 80;
        for visit in 0..visits_of(hospital, number) {
            let chance = mixed(base ^ visit.wrapping_mul(97));
            // Cardiology is the larger ward of the first hospital.
            let ward = pick(WARDS, if chance % 5 == 4 { hospital } else { chance });
            let diagnosis = pick(DIAGNOSES, chance >> 8);
            // A string takes all that is written to it.
            let _ = writeln!(
                csv,
                "{},{PLANTED}name{number},{sex},{year},{ward},{diagnosis}",
                person(hospital, number)
            );
        }
    }
    csv
}

/// The visits of some of the people, for those who compare a count with the truth.
pub(super) fn visits_without(hospital: u32, opted_out: u32) -> f64 {
    f64::from((opted_out..PEOPLE).map(|number| visits_of(hospital, number)).sum::<u32>())
}

/// Imports a hospital's visits, and puts the privacy profile beside them.
pub(super) async fn load(site: &Site, hospital: u32) -> Result<u64, Failure> {
    let schema = SchemaFile::parse(SCHEMA)?;
    let importer = Importer::new(Arc::clone(&site.lake), schema, EncryptionSettings::STRICT);
    let lines = Box::new(std::io::Cursor::new(visits(hospital)));
    let source = Source::Lines(lines, LineFormat::Csv { delimiter: b',' });
    let report = importer.run("visits.csv", source, |_| ()).await?;
    if report.quarantined > 0 {
        return Err(Failure::corrupt(format!("{} visits were quarantined", report.quarantined)));
    }
    let path = site.folder.join(PROFILES_FILE);
    std::fs::write(&path, PROFILE)
        .map_err(|e| Failure::unavailable(format!("{}: {e}", path.display())))?;
    Ok(report.accepted)
}
