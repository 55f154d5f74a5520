//! Files that cannot be of one attack: on those it would find nothing, which looks like safety.

use salus_deid::attack::{COUNT, Overlap};

use super::AttackArgs;
use crate::error::FilesError;
use crate::file::Source;
use crate::text::{count, counted};

/// Fewer control people tell little of what chance does.
const FEWEST: u64 = 20;
/// Column names in a message, at most.
const MOST_NAMES: usize = 12;

/// The files of an attack.
pub(super) struct Inputs<'a> {
    pub(super) args: &'a AttackArgs,
    pub(super) real: &'a Source,
    pub(super) control: &'a Source,
    pub(super) released: &'a Source,
    pub(super) earlier: &'a [Source],
    pub(super) population: Option<&'a Source>,
    pub(super) aggregates: &'a [Source],
}

impl Inputs<'_> {
    /// What to note of files that belong together.
    ///
    /// # Errors
    /// When one has nothing to do with the others, or the control people are the real ones.
    pub(super) fn check(&self, control_people: u64) -> Result<Vec<String>, FilesError> {
        self.same_file()?;
        let people = |name: &str| {
            let has = |source: &Source| source.table.column(name).is_ok();
            has(self.real) && has(self.control) && self.args.person.as_deref() != Some(name)
        };
        let of_release = |name: &str| people(name) && self.released.table.column(name).is_ok();
        shared(self.released, "--released", "--real and --control", &people)?;
        let mut noted = self.overlap()?;
        if control_people < FEWEST {
            let noun = if self.args.person.is_some() {
                ("person", "people")
            } else {
                ("record", "records")
            };
            noted.push(format!(
                "WARNING: --control has {}: fewer than {FEWEST} tell little of what chance does, \
                 and every interval is wide; give more people who are not in the data",
                counted(control_people, noun.0, noun.1)
            ));
        }
        if let Some(file) = self.population {
            let others = "--real, --control and --released";
            let names = shared(file, "--population", others, &of_release)?;
            noted.push(used("--population", file, &names));
        }
        for file in self.earlier {
            let names = shared(file, "--earlier", "--real and --control", &people)?;
            noted.push(used("--earlier", file, &names));
        }
        for file in self.aggregates {
            if file.table.column(COUNT).is_err() {
                return Err(FilesError::option(format!(
                    "--aggregates {}: there is no column '{COUNT}': a table of counts has columns \
                     that people have, and their number in '{COUNT}'; its columns are {}",
                    file.path.display(),
                    listed(&names_of(file))
                )));
            }
            let counts = |name: &str| name != COUNT && people(name);
            let names = shared(file, "--aggregates", "--real and --control", &counts)?;
            noted.push(used("--aggregates", file, &names));
        }
        Ok(noted)
    }

    /// Refuses one file for both sides.
    fn same_file(&self) -> Result<(), FilesError> {
        let (real, control) = (&self.real.path, &self.control.path);
        let same = match (real.canonicalize(), control.canonicalize()) {
            (Ok(real), Ok(control)) => real == control,
            _ => false,
        };
        if !same && self.real.table != self.control.table {
            return Ok(());
        }
        let what = if same { "is the file of --real" } else { "holds the same records as --real" };
        Err(FilesError::option(format!(
            "--control {} {what}: nothing is known of a release by comparing people with \
             themselves. Give people of the same population who are not in the data",
            control.display()
        )))
    }

    /// Refuses control people who are in the data beyond what chance explains, and counts others.
    fn overlap(&self) -> Result<Vec<String>, FilesError> {
        let (real, control) = (&self.real.table, &self.control.table);
        let found = Overlap::of(real, control, self.args.person.as_deref())?;
        if found.control == 0 {
            return Ok(Vec::new());
        }
        let (whose, all) = match self.args.person {
            Some(_) => ("people have a record that is", "people"),
            None => ("records are", "records"),
        };
        let many = count(found.control);
        if !found.beyond_chance {
            return Ok(vec![format!(
                "{many} of the control {whose} among the real ones as well, by all columns that \
                 both files have: chance does that where records are made of few values; otherwise \
                 check that nobody of the control group is in the data"
            )]);
        }
        let why = match found.pairs {
            0 => "both files have each of them equally often".to_owned(),
            pairs => format!(
                "of {} that just two {all} have, {} are one on each side",
                counted(pairs, "combination of values", "combinations of values"),
                count(found.across)
            ),
        };
        Err(FilesError::option(format!(
            "--control {}: {many} of its {whose} in --real {} as well, by all columns that both \
             have, and chance does not explain it: {why}. Nothing is known of a release by \
             comparing with people who are in it: give people who are not in the data. If both \
             files are parts of one, divide it by lot",
            self.control.path.display(),
            self.real.path.display(),
        )))
    }
}

fn names_of(file: &Source) -> Vec<&str> {
    file.table.columns().iter().map(|c| c.name()).collect()
}

/// The columns of a file that an attack can use, which are not none.
fn shared<'f>(
    file: &'f Source,
    option: &str,
    others: &str,
    used: &dyn Fn(&str) -> bool,
) -> Result<Vec<&'f str>, FilesError> {
    let own = names_of(file);
    let names: Vec<&str> = own.iter().copied().filter(|name| used(name)).collect();
    if names.is_empty() {
        return Err(FilesError::option(format!(
            "{option} {}: no column is in {others} as well, so that no attack can use it; its \
             columns are {}. Give a table about the same people, with columns of the same names",
            file.path.display(),
            listed(&own)
        )));
    }
    Ok(names)
}

fn used(option: &str, file: &Source, names: &[&str]) -> String {
    format!("{option} {}: attacks use its columns {}", file.path.display(), listed(names))
}

fn listed(names: &[&str]) -> String {
    let first = names.iter().take(MOST_NAMES).copied().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(MOST_NAMES) {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}
