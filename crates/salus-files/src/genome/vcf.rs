//! Genotypes in the Variant Call Format.
//!
//! # Source
//! "The Variant Call Format Specification", version 4.3, sections 1.5 and 1.6: the tab-separated
//! lines and the GT field, which is all that allele frequencies need. Of several alternative
//! alleles the first is counted.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read};
use std::path::Path;

use flate2::read::MultiGzDecoder;
use salus_deid::attack::{Dosage, Genotypes};

use crate::error::FilesError;
use crate::file::{Format, Source};

/// A line longer than this is no line of a VCF file.
const LONGEST_LINE: u64 = 64 << 20;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Site {
    chromosome: String,
    position: String,
    reference: String,
    alternative: String,
}

/// The sites of a file with everybody's dosage of the alternative allele.
pub(super) struct Variants {
    samples: Vec<String>,
    sites: Vec<Site>,
    /// By site, then by sample.
    dosages: Vec<Vec<Dosage>>,
}

impl Variants {
    /// Reads a file, plain or gzipped.
    pub(super) fn read(path: &Path) -> Result<Self, FilesError> {
        let failed = || FilesError::file(path, "the genotypes cannot be read");
        let mut file = BufReader::new(File::open(path).map_err(failed())?);
        let zipped = file.fill_buf().map_err(failed())?.starts_with(&[0x1F, 0x8B]);
        let bytes: Box<dyn Read> =
            if zipped { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) };
        let mut reader = BufReader::with_capacity(1 << 20, bytes);
        let mut found = Self { samples: Vec::new(), sites: Vec::new(), dosages: Vec::new() };
        let mut line = String::new();
        let mut number = 0;
        loop {
            line.clear();
            let read = reader.by_ref().take(LONGEST_LINE).read_line(&mut line).map_err(failed())?;
            if read == 0 {
                break;
            }
            number += 1;
            found.line(line.trim_end_matches(['\n', '\r'])).map_err(|what| {
                FilesError::option(format!("{}, line {number}: {what}", path.display()))
            })?;
        }
        if found.sites.is_empty() {
            let what = "there is no site with genotypes; is this a VCF file?";
            return Err(FilesError::option(format!("{}: {what}", path.display())));
        }
        Ok(found)
    }

    fn line(&mut self, line: &str) -> Result<(), &'static str> {
        if line.starts_with("##") || line.is_empty() {
            return Ok(());
        }
        let mut fields = line.split('\t');
        if line.starts_with("#CHROM") {
            self.samples = fields.skip(9).map(str::to_owned).collect();
            return Ok(());
        }
        if self.samples.is_empty() {
            return Err("the line with the samples' names (#CHROM…) does not stand before it");
        }
        let mut next = || fields.next().ok_or("a VCF line has at least ten fields between tabs");
        let (chromosome, position) = (next()?, next()?);
        next()?;
        let (reference, alternative) = (next()?, next()?);
        for _ in 0..3 {
            next()?;
        }
        let format = next()?;
        let Some(place) = format.split(':').position(|key| key == "GT") else { return Ok(()) };
        let dosages: Vec<Dosage> = fields
            .map(|sample| sample.split(':').nth(place).map_or(Ok(None), dosage))
            .collect::<Result<_, _>>()?;
        if dosages.len() != self.samples.len() {
            return Err("there are not as many genotypes as samples");
        }
        self.sites.push(Site {
            chromosome: chromosome.to_owned(),
            position: position.to_owned(),
            reference: reference.to_owned(),
            alternative: alternative.split(',').next().unwrap_or_default().to_owned(),
        });
        self.dosages.push(dosages);
        Ok(())
    }

    pub(super) fn people(&self) -> usize {
        self.samples.len()
    }

    pub(super) fn sites(&self) -> usize {
        self.sites.len()
    }

    /// Where the samples of a list stand.
    pub(super) fn samples(&self, names: &[String], list: &Path) -> Result<Vec<usize>, FilesError> {
        let known: HashMap<&str, usize> =
            self.samples.iter().enumerate().map(|(i, name)| (name.as_str(), i)).collect();
        let mut found = Vec::with_capacity(names.len());
        for (line, name) in names.iter().enumerate() {
            // The message names the line, not the person.
            let at = known.get(name.as_str()).ok_or_else(|| {
                FilesError::option(format!(
                    "{}: the sample of entry {} is not among the genotypes",
                    list.display(),
                    line + 1
                ))
            })?;
            if found.contains(at) {
                return Err(FilesError::option(format!(
                    "{}: the sample of entry {} stands there twice",
                    list.display(),
                    line + 1
                )));
            }
            found.push(*at);
        }
        Ok(found)
    }

    /// Copies of the rarer allele among some people.
    pub(super) fn rarer(&self, site: usize, people: &[usize]) -> u32 {
        let dosages = self.dosages.get(site).map(Vec::as_slice).unwrap_or_default();
        let called = people.iter().filter_map(|p| dosages.get(*p).copied().flatten());
        let (copies, all) = called.fold((0u32, 0u32), |(c, n), d| (c + u32::from(d), n + 2));
        copies.min(all - copies)
    }

    /// Leaves all other sites out.
    pub(super) fn keep(&mut self, sites: &[usize]) {
        let pick =
            |site: &usize| Some((self.sites.get(*site)?.clone(), self.dosages.get(*site)?.clone()));
        let (sites, dosages) = sites.iter().filter_map(pick).unzip();
        (self.sites, self.dosages) = (sites, dosages);
    }

    /// Some people's genotypes.
    pub(super) fn genotypes(&self, people: &[usize]) -> Genotypes {
        let person =
            |p: &usize| self.dosages.iter().map(|site| site.get(*p).copied().flatten()).collect();
        Genotypes { people: people.iter().map(person).collect() }
    }

    /// Frequencies that a table states for sites of this file, and how many it states for others.
    pub(super) fn given(&self, path: &Path) -> Result<(Vec<(usize, f64)>, usize), FilesError> {
        const COLUMNS: [&str; 5] =
            ["chromosome", "position", "reference", "alternative", "frequency"];
        let source = Source::read(path, &Format::default())?;
        source.require("--frequencies", &COLUMNS.map(str::to_owned))?;
        let columns = COLUMNS
            .iter()
            .map(|name| Ok(source.table.column(name)?))
            .collect::<Result<Vec<_>, FilesError>>()?;
        let known: HashMap<&Site, usize> =
            self.sites.iter().enumerate().map(|(i, site)| (site, i)).collect();
        let (mut found, mut unknown) = (Vec::new(), 0);
        for row in 0..source.table.rows() {
            let text =
                |c: usize| columns.get(c).and_then(|c| c.value(row)).unwrap_or_default().to_owned();
            let frequency: f64 = text(4).replace(',', ".").parse().unwrap_or(f64::NAN);
            if !(0.0..=1.0).contains(&frequency) {
                return Err(FilesError::option(format!(
                    "{}, record {}: a frequency lies between 0 and 1",
                    path.display(),
                    row + 1
                )));
            }
            let site = Site {
                chromosome: text(0),
                position: text(1),
                reference: text(2),
                alternative: text(3),
            };
            match known.get(&site) {
                Some(at) => found.push((*at, frequency)),
                None => unknown += 1,
            }
        }
        Ok((found, unknown))
    }

    /// The sites with their frequencies as a table.
    pub(super) fn table(&self, frequencies: &salus_deid::attack::Frequencies) -> String {
        let mut csv = "chromosome,position,reference,alternative,frequency\n".to_owned();
        for (site, frequency) in self.sites.iter().zip(&frequencies.0) {
            let Site { chromosome, position, reference, alternative } = site;
            let _ = writeln!(csv, "{chromosome},{position},{reference},{alternative},{frequency}");
        }
        csv
    }
}

/// Copies of the first alternative allele: `0|1` has one. A haploid call counts twice, as a man's
/// X chromosome does in frequencies.
fn dosage(genotype: &str) -> Result<Dosage, &'static str> {
    let mut alleles = genotype.split(['|', '/']);
    let one = |text: &str| match text {
        "." => Ok(None),
        _ => match text.parse::<u16>() {
            Ok(allele) => Ok(Some(u8::from(allele == 1))),
            Err(_) => Err("a genotype is written as 0|1, 1/1 or ./."),
        },
    };
    let first = one(alleles.next().unwrap_or("."))?;
    let second = match alleles.next() {
        Some(text) => one(text)?,
        None => first,
    };
    if alleles.next().is_some() {
        return Err("a genotype has at most two alleles");
    }
    Ok(first.zip(second).map(|(a, b)| a + b))
}

#[cfg(test)]
mod tests;
