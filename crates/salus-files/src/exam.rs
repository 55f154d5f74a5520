//! `salus exam`: questions for teaching, from a synthetic cohort, different for each student.
//!
//! # Privacy
//! Everything on a sheet comes from a fitted private model: the cohort is sampled from it here, so
//! that no real record can get in by mistake, and sampling costs nothing. The sheet says the ε that
//! the model was fitted with.

mod cohort;
mod draw;
mod export;
mod kinds;
mod question;
mod register;
mod rules;
mod sheet;

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use salus_model::{Clock, Entropy};
use serde::Serialize;

use crate::Answer;
use crate::error::FilesError;
use crate::file::{Named, Staged, check_outputs, given};
use crate::text::{bound, count, notes, pairs};

use cohort::Cohort;
use draw::Draws;
use kinds::Maker;
use question::Question;
use register::Register;
use rules::Rules;

/// Makes exam sheets from a model that `salus synthesise --model` wrote.
#[derive(Debug, Clone, Args)]
pub struct ExamArgs {
    /// The model; the cohort is sampled from it.
    pub model: PathBuf,
    /// A file with the students, one in each line; or say --sheets.
    #[arg(long, conflicts_with = "sheets")]
    pub students: Option<PathBuf>,
    /// How many sheets, where students are not named.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    pub sheets: Option<u16>,
    /// Questions on each sheet.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u8).range(1..=100))]
    pub questions: u8,
    /// Patients in the cohort.
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(200..=100_000))]
    pub cohort: u32,
    /// Rules of medicine that some questions ask about (TOML); docs/plain-files.md shows some.
    #[arg(long)]
    pub rules: Option<PathBuf>,
    /// The register of questions ever given, kept over the years; made if it does not exist.
    #[arg(long)]
    pub register: PathBuf,
    /// The title on the sheets.
    #[arg(long, default_value = "Exam")]
    pub title: String,
    /// What to write.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "pdf,gift,qti")]
    pub formats: Vec<ExamFormat>,
    /// The folder for the sheets; made if it does not exist. Sheets that are there are replaced.
    #[arg(long)]
    pub out: PathBuf,
}

/// How sheets are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ExamFormat {
    /// A sheet for print for each student, and one with all answers.
    Pdf,
    /// Moodle's GIFT, a file for each student.
    Gift,
    /// A QTI 3 package with a test for each student.
    Qti,
}

/// What `salus exam` answers.
#[derive(Debug, Clone, Serialize)]
pub struct ExamReport {
    /// Sheets written.
    pub sheets: u64,
    /// Questions on all sheets, each another.
    pub questions: u64,
    /// Questions by kind.
    pub kinds: std::collections::BTreeMap<&'static str, u64>,
    /// Questions that had been given before and were drawn anew.
    pub met_again: u64,
    /// Questions in the register now.
    pub registered: u64,
    /// ε that the cohort's model was fitted with.
    pub epsilon: f64,
    /// Its δ.
    pub delta: f64,
    /// Files written.
    pub files: Vec<PathBuf>,
    /// What to note.
    pub notes: Vec<String>,
}

/// One student's questions.
pub(crate) struct Sheet {
    pub(crate) number: usize,
    pub(crate) student: String,
    pub(crate) questions: Vec<Question>,
}

/// Makes the sheets.
///
/// # Errors
/// When a file cannot be read or written, the model has too few columns to ask about, or the cohort
/// yields no more questions that were never given.
pub fn run(
    args: &ExamArgs,
    clock: &dyn Clock,
    entropy: &mut dyn Entropy,
) -> Result<Answer, FilesError> {
    args.check_places()?;
    let mut staged = Staged::default();
    staged.folder(&args.out)?;
    let students = students(args)?;
    let mut draws = Draws::new(entropy)?;
    let cohort = Cohort::sample(&args.model, args.cohort as usize, &mut draws)?;
    let rules = args.rules.as_ref().map(|path| Rules::read(path, &cohort)).transpose()?;
    let mut register = Register::open(&args.register)?;
    let maker = Maker::new(&cohort, rules.as_ref())?;
    let mut sheets = Vec::with_capacity(students.len());
    for (i, student) in students.into_iter().enumerate() {
        let questions = (0..args.questions)
            .map(|at| maker.fresh(usize::from(at), &mut register, &mut draws))
            .collect::<Result<Vec<_>, _>>()?;
        sheets.push(Sheet { number: i + 1, student, questions });
    }
    stage(args, &sheets, &cohort, clock, &mut staged)?;
    let files: Vec<PathBuf> = staged.places().map(Path::to_path_buf).collect();
    let read = [args.read().as_slice(), &[args.kept()]].concat();
    files.iter().try_for_each(|path| check_outputs(&read, &[Some(("--out", path.as_path()))]))?;
    // Once a question is on paper it has been given: the register goes first, when the sheets are
    // as good as written.
    let met_again = register.met_again();
    let registered = register.store(clock)?;
    staged.persist()?;
    let report = report(args, &sheets, &cohort, (met_again, registered), files);
    let rows = [
        ("sheets", count(report.sheets)),
        ("questions", format!("{}, each another", count(report.questions))),
        ("given before, drawn anew", count(report.met_again)),
        ("in the register", count(report.registered)),
        ("cohort", format!("synthetic, {}", bound(report.epsilon, report.delta))),
        ("written to", args.out.display().to_string()),
    ];
    let text = format!("Exam\n{}{}", pairs(&rows), notes(&report.notes));
    Answer::new(&report, text)
}

fn students(args: &ExamArgs) -> Result<Vec<String>, FilesError> {
    let Some(path) = &args.students else {
        let Some(sheets) = args.sheets else {
            return Err(FilesError::option(
                "say whom the sheets are for: --students with a file of their names, or --sheets \
                 with a number",
            ));
        };
        return Ok((1..=sheets).map(|i| format!("Sheet {i}")).collect());
    };
    let text = crate::file::read_text(path, crate::Encoding::Utf8)?;
    let found: Vec<String> =
        text.lines().map(str::trim).filter(|l| !l.is_empty()).map(str::to_owned).collect();
    if found.is_empty() {
        return Err(FilesError::option(format!(
            "--students {}: no line names one",
            path.display()
        )));
    }
    Ok(found)
}

impl ExamArgs {
    /// The files that are read.
    fn read(&self) -> [Option<Named<'_>>; 3] {
        [
            Some(("the model", self.model.as_path())),
            given("--students", self.students.as_deref()),
            given("--rules", self.rules.as_deref()),
        ]
    }

    /// The file that is read and written.
    fn kept(&self) -> Option<Named<'_>> {
        Some(("--register", self.register.as_path()))
    }

    /// Looks at the places of what is written, before any work.
    fn check_places(&self) -> Result<(), FilesError> {
        check_outputs(&self.read(), &[self.kept()])?;
        if self.out.exists() && !self.out.is_dir() {
            return Err(FilesError::option(format!(
                "--out {} is no folder, and there are many sheets: name a folder",
                self.out.display()
            )));
        }
        Ok(())
    }
}

/// Writes the sheets beside their places.
fn stage(
    args: &ExamArgs,
    sheets: &[Sheet],
    cohort: &Cohort,
    clock: &dyn Clock,
    staged: &mut Staged,
) -> Result<(), FilesError> {
    let wants = |format| args.formats.contains(&format);
    let print = sheet::Print { title: &args.title, cohort, made: clock.now() };
    for sheet in sheets {
        let name = format!("{:03}", sheet.number);
        if wants(ExamFormat::Pdf) {
            let path = args.out.join(format!("{name}.pdf"));
            staged.add(&path, &print.questions(sheet).pdf()?)?;
        }
        if wants(ExamFormat::Gift) {
            let text = export::gift(&args.title, sheet, cohort);
            staged.add(&args.out.join(format!("{name}.gift")), text.as_bytes())?;
        }
    }
    if wants(ExamFormat::Pdf) {
        staged.add(&args.out.join("answers.pdf"), &print.answers(sheets).pdf()?)?;
    }
    if wants(ExamFormat::Qti) {
        let folder = args.out.join("qti");
        for part in ["items", "tests"] {
            staged.folder(&folder.join(part))?;
        }
        for (name, text) in export::qti(&args.title, sheets, cohort) {
            staged.add(&folder.join(name), text.as_bytes())?;
        }
    }
    Ok(())
}

fn report(
    args: &ExamArgs,
    sheets: &[Sheet],
    cohort: &Cohort,
    (met_again, registered): (u64, u64),
    files: Vec<PathBuf>,
) -> ExamReport {
    let mut kinds = std::collections::BTreeMap::new();
    for question in sheets.iter().flat_map(|s| &s.questions) {
        *kinds.entry(question.kind).or_insert(0) += 1;
    }
    let mut notes = Vec::new();
    if args.rules.is_none() {
        notes
            .push("without --rules there are questions about the cohort's numbers only".to_owned());
    }
    ExamReport {
        sheets: sheets.len() as u64,
        questions: sheets.iter().map(|s| s.questions.len() as u64).sum(),
        kinds,
        met_again,
        registered,
        epsilon: cohort.epsilon,
        delta: cohort.delta,
        files,
        notes,
    }
}
