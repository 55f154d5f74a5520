//! `salus genome`: allele frequencies of a group, attacked before they are published.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use crate::{Folder, json, refusal, text};

fn real() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/vcf/1kg_chr1_part.vcf.gz")
}

/// Names of the file's samples.
fn samples() -> Vec<String> {
    use std::io::Read as _;
    let mut all = String::new();
    let file = std::fs::File::open(real()).unwrap();
    flate2::read::GzDecoder::new(file).read_to_string(&mut all).unwrap();
    let header = all.lines().find(|l| l.starts_with("#CHROM")).unwrap();
    header.split('\t').skip(9).map(str::to_owned).collect()
}

/// People at many independent sites, as a VCF file; `a` to be members, `b` strangers, `c` control.
fn independent(folder: &Folder, sites: usize) -> PathBuf {
    let mut state = 5u64;
    let mut below = |n: u64| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % n
    };
    let mut vcf =
        "##fileformat=VCFv4.3\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT".to_owned();
    for (group, n) in [("a", 40), ("b", 40), ("c", 160)] {
        for i in 0..n {
            write!(vcf, "\t{group}{i}").unwrap();
        }
    }
    for site in 0..sites {
        let frequency = 5 + below(45);
        write!(vcf, "\n1\t{}\t.\tA\tG\t.\t.\t.\tGT", 100 + site).unwrap();
        for _ in 0..240 {
            let (x, y) = (u8::from(below(100) < frequency), u8::from(below(100) < frequency));
            write!(vcf, "\t{x}|{y}").unwrap();
        }
    }
    folder.write("g.vcf", vcf + "\n")
}

fn list(folder: &Folder, name: &str, group: &str, n: usize) -> PathBuf {
    let names: Vec<String> = (0..n).map(|i| format!("{group}{i}")).collect();
    folder.write(name, names.join("\n"))
}

#[test]
fn frequencies_of_thousands_of_sites_tell_who_is_in_the_group_and_few_do_not() {
    let folder = Folder::new();
    let genotypes = independent(&folder, 3_000);
    let members = list(&folder, "members", "a", 40);
    let control = list(&folder, "control", "c", 160);
    let base =
        ["genome", text(&genotypes), "--members", text(&members), "--control", text(&control)];
    let all = json(&base);
    println!("{}", all["words"]);
    assert_eq!(all["attacks"][0]["leak"], true);
    assert!(all["score"].as_f64().unwrap() < 20.0);
    let few = json(&[base.as_slice(), &["--most-sites", "3"]].concat());
    println!("{}", few["words"]);
    assert_eq!((&few["attacks"][0]["leak"], &few["sites"]), (&false.into(), &3.into()));
    // Rounding weakens it little.
    let rounded = json(&[base.as_slice(), &["--decimals", "2"]].concat());
    assert_eq!(rounded["attacks"][0]["leak"], true);
    let out = folder.path("f.csv");
    let said = refusal(&[base.as_slice(), &["--least-score", "50", "--out", text(&out)]].concat());
    assert!(said.contains("below 50") && !out.exists(), "{said}");
}

#[test]
fn frequencies_of_others_clear_the_members() {
    let folder = Folder::new();
    let genotypes = independent(&folder, 3_000);
    let (members, strangers, control) = (
        list(&folder, "members", "a", 40),
        list(&folder, "strangers", "b", 40),
        list(&folder, "control", "c", 160),
    );
    let published = folder.path("f.csv");
    json(&[
        "genome",
        text(&genotypes),
        "--members",
        text(&strangers),
        "--control",
        text(&control),
        "--out",
        text(&published),
    ]);
    // Each run draws its control group anew and errs in at most one of twenty: more than two of five
    // flag people who are not in the data once in 800 times.
    let flagged = (0..5)
        .filter(|_| {
            let answer = json(&[
                "genome",
                text(&genotypes),
                "--members",
                text(&members),
                "--control",
                text(&control),
                "--frequencies",
                text(&published),
            ]);
            println!("{}", answer["words"]);
            assert_eq!(answer["sites"], 3_000);
            answer["attacks"][0]["leak"] == true
        })
        .count();
    assert!(flagged <= 2, "{flagged} of 5 runs flag strangers");
}

#[test]
fn real_genotypes_are_read_and_their_summary_written() {
    let folder = Folder::new();
    let all = samples();
    let members = folder.write("members", all[..50].join("\n"));
    let out = folder.path("f.csv");
    let answer = json(&[
        "genome",
        text(&real()),
        "--members",
        text(&members),
        "--least-copies",
        "10",
        "--decimals",
        "3",
        "--out",
        text(&out),
    ]);
    println!("{} of {} sites: {}", answer["sites"], answer["notes"], answer["words"]);
    assert_eq!((&answer["members"], &answer["control"]), (&50.into(), &200.into()));
    let written = std::fs::read_to_string(&out).unwrap();
    assert_eq!(written.lines().count() as u64, answer["sites"].as_u64().unwrap() + 1);
    assert!(written.starts_with("chromosome,position,reference,alternative,frequency\n1,1"));
    for line in written.lines().skip(1) {
        let frequency: f64 = line.rsplit(',').next().unwrap().parse().unwrap();
        // Ten copies of 100 alleles.
        assert!((0.1..=0.9).contains(&frequency), "{line}");
    }
    let wrong = folder.write("wrong", "NOBODY1\n");
    let said = refusal(&["genome", text(&real()), "--members", text(&wrong)]);
    assert!(said.contains("entry 1 is not among the genotypes") && !said.contains("NOBODY1"));
    let both = refusal(&[
        "genome",
        text(&real()),
        "--members",
        text(&members),
        "--control",
        text(&members),
    ]);
    assert!(both.contains("nobody can be both"), "{both}");
}
