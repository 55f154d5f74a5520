#![allow(clippy::unwrap_used)]

use super::{Variants, dosage};

#[test]
fn genotypes_are_counted_as_the_specification_writes_them() {
    for (text, copies) in [
        ("0|0", Some(0)),
        ("0/1", Some(1)),
        ("1|1", Some(2)),
        ("./.", None),
        (".|1", None),
        ("1", Some(2)),
        ("0|2", Some(0)),
        ("1|2", Some(1)),
    ] {
        assert_eq!(dosage(text), Ok(copies), "{text}");
    }
    for wrong in ["0|1|1", "a/b", "-1/0"] {
        assert!(dosage(wrong).is_err(), "{wrong}");
    }
}

fn read(text: &str) -> Result<Variants, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("g.vcf");
    std::fs::write(&path, text).unwrap();
    Variants::read(&path).map_err(|e| e.to_string())
}

#[test]
fn lines_are_read_and_wrong_ones_named() {
    let head =
        "##fileformat=VCFv4.3\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\tA\tB\n";
    let line = "1\t100\trs1\tA\tG,T\t.\t.\t.\tDP:GT\t7:0|1\t9:1|1\n";
    let found = read(&format!("{head}{line}")).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!((found.people(), found.sites()), (2, 1));
    assert_eq!(found.genotypes(&[1, 0]).people, [[Some(2)], [Some(1)]]);
    assert_eq!(found.rarer(0, &[0, 1]), 1);
    let refused = |text: String| read(&text).err().unwrap();
    assert!(refused(line.to_owned()).contains("line 1: the line with the samples"));
    assert!(refused(format!("{head}1\t100\n")).contains("line 3: a VCF line has at least ten"));
    assert!(
        refused(format!("{head}{}", line.replace("\t9:1|1", ""))).contains("as many genotypes")
    );
    assert!(refused(head.to_owned()).contains("no site with genotypes"));
}
