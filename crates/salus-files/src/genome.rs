//! `salus genome`: who can be told from published allele frequencies.

mod vcf;

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use clap::Args;
use cpu_time::ProcessTime;
use salus_deid::attack::{Frequencies, allele_frequencies};
use salus_model::Entropy;
use serde::Serialize;

use crate::Answer;
use crate::error::FilesError;
use crate::evidence::{AttackLine, Evidence};
use crate::file::{Encoding, check_outputs, given, read_text, write_bytes};
use crate::text::{count, notes, pairs};

use vcf::Variants;

/// Attacks a group's allele frequencies before they are published, or writes them.
#[derive(Debug, Clone, Args)]
pub struct GenomeArgs {
    /// Genotypes of the group and of others: VCF, plain or gzipped.
    pub genotypes: PathBuf,
    /// A file with the names of the group's samples, one in each line.
    #[arg(long)]
    pub members: PathBuf,
    /// A file with the names of samples who are not in the group; all others if not given.
    #[arg(long)]
    pub control: Option<PathBuf>,
    /// Frequencies as they are published: a table with columns chromosome, position, reference,
    /// alternative, frequency. Without it they are computed from the members.
    #[arg(long)]
    pub frequencies: Option<PathBuf>,
    /// Sites with fewer copies of the rarer allele among the members are left out.
    #[arg(long, default_value_t = 0)]
    pub least_copies: u32,
    /// Frequencies are rounded to that many decimals.
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=9))]
    pub decimals: Option<u8>,
    /// At most so many sites, spread evenly over the file.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub most_sites: Option<u32>,
    /// Attempts on members and as many on control people.
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub attempts: u32,
    /// Refuse to write frequencies whose score is below this.
    #[arg(long)]
    pub least_score: Option<f64>,
    /// The file for the frequencies.
    #[arg(long, conflicts_with = "frequencies")]
    pub out: Option<PathBuf>,
}

/// What `salus genome` answers.
#[derive(Debug, Clone, Serialize)]
pub struct GenomeReport {
    /// People in the group.
    pub members: u64,
    /// People who are not.
    pub control: u64,
    /// Sites whose frequencies are published.
    pub sites: u64,
    /// 100 · (1 − the upper bound of risk).
    pub score: Option<f64>,
    /// The attack.
    pub attacks: Vec<AttackLine>,
    /// The result in words.
    pub words: String,
    /// Processor time of the attack in milliseconds.
    pub cpu_ms: f64,
    /// The file written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub out: Option<PathBuf>,
    /// What to note.
    pub notes: Vec<String>,
}

/// Attacks, and writes what may be published.
///
/// # Errors
/// When a file cannot be read, a sample is not in it, or the score is too low; nothing is written
/// then.
pub fn run(args: &GenomeArgs, entropy: &mut dyn Entropy) -> Result<Answer, FilesError> {
    check_outputs(
        &[
            Some(("the genotypes", args.genotypes.as_path())),
            Some(("--members", args.members.as_path())),
            given("--control", args.control.as_deref()),
        ],
        &[given("--out", args.out.as_deref())],
    )?;
    let members = names(&args.members)?;
    let control = args.control.as_ref().map(|path| names(path)).transpose()?;
    let mut variants = Variants::read(&args.genotypes)?;
    let inside = variants.samples(&members, &args.members)?;
    let outside = match &control {
        Some(control) => {
            let own = args.control.as_deref().unwrap_or(Path::new("--control"));
            variants.samples(control, own)?
        }
        None => {
            let inside: HashSet<usize> = inside.iter().copied().collect();
            (0..variants.people()).filter(|i| !inside.contains(i)).collect()
        }
    };
    if let Some(both) = outside.iter().find(|i| inside.contains(i)) {
        return Err(FilesError::option(format!(
            "--control: sample {} of the file is a member too; nobody can be both",
            both + 1
        )));
    }
    if inside.len() < 2 || outside.len() < 4 {
        return Err(FilesError::option(
            "the attack needs at least two members and four people who are not",
        ));
    }
    let mut noted = Vec::new();
    let published = published(args, &mut variants, &inside, &mut noted)?;
    let start = ProcessTime::now();
    let (group, others) = (variants.genotypes(&inside), variants.genotypes(&outside));
    let report = allele_frequencies(&published, &group, &others, args.attempts as usize, entropy)?;
    let evidence = Evidence::of(report);
    let report = GenomeReport {
        members: inside.len() as u64,
        control: outside.len() as u64,
        sites: published.0.len() as u64,
        score: evidence.score,
        attacks: evidence.attacks.clone(),
        words: evidence.words.clone(),
        cpu_ms: start.elapsed().as_secs_f64() * 1_000.0,
        out: args.out.clone(),
        notes: noted,
    };
    if let Some(least) = args.least_score
        && report.score.is_none_or(|score| score < least)
    {
        return Err(FilesError::Threshold(format!(
            "the score is {}, below {least}: nothing was written. {} Publish fewer sites \
             (--most-sites), or those of a larger group; rounding (--decimals) helps little",
            report.score.map_or("unknown".to_owned(), |s| format!("{s:.1}")),
            evidence.words
        )));
    }
    if let Some(out) = &args.out {
        write_bytes(out, variants.table(&published).as_bytes())?;
    }
    let rows = [
        ("members", count(report.members)),
        ("control people", count(report.control)),
        ("sites", count(report.sites)),
        ("score", report.score.map_or("none".to_owned(), |s| format!("{s:.1} of 100"))),
        (
            "written to",
            report.out.as_ref().map_or("nothing".to_owned(), |p| p.display().to_string()),
        ),
    ];
    let text = format!(
        "Allele frequencies\n{}\n\nAttacks\n{}\n\n{}{}",
        pairs(&rows),
        evidence.text(),
        evidence.words,
        notes(&report.notes)
    );
    Answer::new(&report, text)
}

fn names(path: &Path) -> Result<Vec<String>, FilesError> {
    let text = read_text(path, Encoding::Utf8)?;
    let found: Vec<String> =
        text.lines().map(str::trim).filter(|l| !l.is_empty()).map(str::to_owned).collect();
    if found.is_empty() {
        return Err(FilesError::option(format!("{}: no line names a sample", path.display())));
    }
    Ok(found)
}

/// The frequencies that would be published; leaves the other sites out of `variants`.
fn published(
    args: &GenomeArgs,
    variants: &mut Variants,
    members: &[usize],
    noted: &mut Vec<String>,
) -> Result<Frequencies, FilesError> {
    if let Some(path) = &args.frequencies {
        let all = variants.sites();
        let (found, unknown) = variants.given(path)?;
        if unknown > 0 {
            noted.push(format!("{unknown} published sites are not among the genotypes"));
        }
        if found.is_empty() {
            return Err(FilesError::option(format!(
                "--frequencies: none of the {all} sites of the genotypes is in {}",
                path.display()
            )));
        }
        let keep: Vec<usize> = found.iter().map(|(site, _)| *site).collect();
        variants.keep(&keep);
        return Ok(Frequencies(found.into_iter().map(|(_, frequency)| frequency).collect()));
    }
    let all = variants.sites();
    let mut keep: Vec<usize> =
        (0..all).filter(|&site| variants.rarer(site, members) >= args.least_copies).collect();
    if let Some(most) = args.most_sites {
        let step = keep.len().div_ceil(most as usize).max(1);
        keep = keep.into_iter().step_by(step).collect();
    }
    if keep.is_empty() {
        return Err(FilesError::option(
            "--least-copies leaves no site: allow rarer alleles, or take a larger group",
        ));
    }
    if keep.len() < all {
        noted.push(format!("{} of {all} sites are left out", all - keep.len()));
    }
    variants.keep(&keep);
    let mut exact = variants.genotypes(members).frequencies();
    if let Some(decimals) = args.decimals {
        let scale = 10f64.powi(decimals.into());
        for frequency in &mut exact.0 {
            *frequency = (*frequency * scale).round() / scale;
        }
    }
    Ok(exact)
}
