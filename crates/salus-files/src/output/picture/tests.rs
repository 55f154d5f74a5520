#![allow(clippy::unwrap_used)]

use std::io::Write as _;
use std::path::Path;

use flate2::Compression;
use flate2::write::ZlibEncoder;

use crate::output::{CheckVerdict, OutputCheck, OutputKind, check};

fn form(bytes: &[u8]) -> OutputCheck {
    let checks = check((Path::new("plot"), bytes), &OutputKind::Plot, &[]).unwrap().checks;
    let of = |name: &str| checks.iter().find(|c| c.check == name).unwrap().clone();
    assert_eq!(of("what is seen").verdict, CheckVerdict::NotChecked);
    of("form")
}

fn form_of(bytes: &[u8]) -> CheckVerdict {
    form(bytes).verdict
}

fn chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let length = u32::try_from(data.len()).unwrap().to_be_bytes();
    [&length[..], kind, data, &[0; 4]].concat()
}

fn deflated(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// What a picture says of itself: its sides, its depth and colours, and whether it is interlaced.
fn header(sides: [u32; 2], [depth, colour, interlaced]: [u8; 3]) -> Vec<u8> {
    let [width, height] = sides.map(u32::to_be_bytes);
    chunk(b"IHDR", &[&width[..], &height, &[depth, colour, 0, 0, interlaced]].concat())
}

fn whole(parts: &[Vec<u8>]) -> Vec<u8> {
    [&b"\x89PNG\r\n\x1a\n"[..], &parts.concat(), &chunk(b"IEND", &[])].concat()
}

/// Grey pixels, four by four: rows of a filter and four bytes.
const ROWS: [u8; 20] = [0; 20];

fn grey() -> Vec<u8> {
    header([4, 4], [8, 0, 0])
}

fn png(more: &[Vec<u8>], after: &[u8]) -> Vec<u8> {
    let parts = [&[grey(), chunk(b"IDAT", &deflated(&ROWS))][..], more].concat();
    [whole(&parts), after.to_vec()].concat()
}

fn of_data(data: &[u8]) -> CheckVerdict {
    form_of(&whole(&[grey(), chunk(b"IDAT", data)]))
}

#[test]
fn what_hides_in_a_png_beside_its_pixels_is_found() {
    assert_eq!(form_of(&png(&[], &[])), CheckVerdict::Passes);
    let signed = chunk(b"tEXt", b"Software\0Matplotlib version3.9");
    assert_eq!(form_of(&png(&[signed], &[])), CheckVerdict::Look);
    assert_eq!(form_of(&png(&[chunk(b"zTXt", &[7; 5000])], &[])), CheckVerdict::Objects);
    assert_eq!(form_of(&png(&[chunk(b"saLu", &[7; 5000])], &[])), CheckVerdict::Objects);
    assert_eq!(form_of(&png(&[], &[7; 5000])), CheckVerdict::Objects, "after its end");
    let whole = png(&[], &[]);
    assert_eq!(form_of(&whole[..whole.len() - 6]), CheckVerdict::Objects, "cut short");
}

#[test]
fn parts_that_say_how_pixels_are_shown_hold_no_more_than_that() {
    for kind in [b"cHRM", b"gAMA", b"sBIT", b"sRGB", b"cICP", b"bKGD", b"pHYs", b"mDCV", b"cLLI"] {
        assert_eq!(form_of(&png(&[chunk(kind, &[7; 5000])], &[])), CheckVerdict::Objects);
    }
    assert_eq!(form_of(&png(&[chunk(b"pHYs", &[7; 9])], &[])), CheckVerdict::Passes);
    let again: Vec<Vec<u8>> = (0..300).map(|_| chunk(b"gAMA", &[7; 4])).collect();
    assert_eq!(form_of(&png(&again, &[])), CheckVerdict::Objects, "more than once");
    // Grey pixels have no palette, and only those of a palette need one.
    assert_eq!(form_of(&png(&[chunk(b"PLTE", &[7; 768])], &[])), CheckVerdict::Look);
    let coloured = |palette: usize| {
        let (palette, data) = (chunk(b"PLTE", &vec![7; palette]), chunk(b"IDAT", &deflated(&ROWS)));
        form_of(&whole(&[header([4, 4], [8, 3, 0]), palette, data]))
    };
    assert_eq!(coloured(768), CheckVerdict::Passes);
    assert_eq!(coloured(3 * 1000), CheckVerdict::Objects);
    // Sums that are none, four bytes each.
    let mut odd = chunk(b"pHYs", &[7; 9]);
    let length = odd.len();
    odd[length - 4..].copy_from_slice(b"Anna");
    assert_eq!(form_of(&png(&[odd], &[])), CheckVerdict::Look);
}

#[test]
fn coded_pixels_are_as_many_as_the_header_says() {
    assert_eq!(of_data(&deflated(&ROWS)), CheckVerdict::Passes);
    let more = [&ROWS[..], &[7; 5000]].concat();
    assert_eq!(of_data(&deflated(&more)), CheckVerdict::Objects, "beyond the last row");
    assert_eq!(of_data(&deflated(&more[..40])), CheckVerdict::Look);
    let after = [deflated(&ROWS), vec![7; 5000]].concat();
    assert_eq!(of_data(&after), CheckVerdict::Objects, "after the stream");
    assert_eq!(of_data(&deflated(&ROWS[..19])), CheckVerdict::Objects, "too few");
    assert_eq!(of_data(&[1; 50]), CheckVerdict::Objects, "no stream");
    assert_eq!(of_data(&deflated(&[9; 20])), CheckVerdict::Objects, "no such filter");
    // Blocks of nothing, each of five bytes.
    let blocks = [0, 0, 0, 0xff, 0xff].repeat(600);
    let last = [&[1, 20, 0, 0xeb, 0xff][..], &ROWS].concat();
    // Adler-32 of twenty zeros.
    let stream = [&[0x78, 0x01][..], &blocks, &last, &[0, 20, 0, 1]].concat();
    assert_eq!(of_data(&stream), CheckVerdict::Objects, "padding");
    // The stream in parts is the same stream.
    let data = deflated(&ROWS);
    let (one, two) = data.split_at(5);
    let parts = [grey(), chunk(b"IDAT", one), chunk(b"IDAT", two)];
    assert_eq!(form_of(&whole(&parts)), CheckVerdict::Passes);
}

#[test]
fn other_colours_and_interlaced_pictures_have_their_own_number_of_bytes() {
    let of = |sides, form, bytes: usize| {
        let data = chunk(b"IDAT", &deflated(&vec![0; bytes]));
        form_of(&whole(&[header(sides, form), data]))
    };
    // Five bits are one byte.
    assert_eq!(of([5, 3], [1, 0, 0], 6), CheckVerdict::Passes);
    assert_eq!(of([5, 3], [8, 2, 0], 48), CheckVerdict::Passes);
    // The passes of Adam7 that have pixels: 4, 4, 4, 10, 14 and 16 bytes.
    assert_eq!(of([5, 3], [8, 2, 1], 52), CheckVerdict::Passes);
    assert_eq!(of([5, 3], [8, 2, 1], 51), CheckVerdict::Objects);
    // Under transparent pixels there may be others.
    assert_eq!(of([5, 3], [8, 6, 0], 63), CheckVerdict::Look);
    // No such colours, no such interlacing, no pixels, and more than anybody plots.
    assert_eq!(of([5, 3], [8, 5, 0], 63), CheckVerdict::Objects);
    assert_eq!(of([5, 3], [8, 2, 2], 52), CheckVerdict::Objects);
    assert_eq!(of([0, 3], [8, 2, 0], 3), CheckVerdict::Objects);
    for sides in [[20_000, 20_000], [u32::MAX, u32::MAX], [70_000, 1]] {
        let data = chunk(b"IDAT", &deflated(&ROWS));
        let found = form(&whole(&[header(sides, [8, 0, 0]), data]));
        assert_eq!(found.verdict, CheckVerdict::Objects);
        assert!(found.words.contains("save it smaller"), "{found:?}");
    }
}

fn segment(marker: u8, data: &[u8]) -> Vec<u8> {
    let stated = u16::try_from(data.len() + 2).unwrap().to_be_bytes();
    [&[0xff, marker][..], &stated, data].concat()
}

fn table(length: usize) -> Vec<u8> {
    segment(0xdb, &vec![0; length])
}

fn jfif() -> Vec<u8> {
    segment(0xe0, b"JFIF\0\x01\x02\0\0\x01\0\x01\0\0")
}

fn jpeg(more: &[u8], after: &[u8]) -> Vec<u8> {
    let codes = [&[0, 1][..], &[0; 15], &[5]].concat();
    let parts = [
        jfif(),
        table(65),
        segment(0xc0, &[8, 0, 1, 0, 1, 1, 1, 0x11, 0]),
        segment(0xc4, &codes),
        more.to_vec(),
        segment(0xda, &[1, 1, 0, 0, 63, 0]),
    ];
    let scan = [1, 2, 0xff, 0, 3, 0xff, 0xd0, 4];
    [&[0xff, 0xd8][..], &parts.concat(), &scan, &[0xff, 0xd9], after].concat()
}

#[test]
fn what_hides_in_a_jpeg_beside_its_pixels_is_found_and_its_pixels_are_never_vouched_for() {
    let plain = form(&jpeg(&[], &[]));
    assert_eq!(plain.verdict, CheckVerdict::Look);
    assert!(plain.words.contains("not decoded") && plain.words.contains("PNG"), "{plain:?}");
    assert!(!plain.words.contains("bytes"), "{plain:?}");
    assert_eq!(form_of(&jpeg(&segment(0xfe, &[7; 40]), &[])), CheckVerdict::Look);
    for (hidden, what) in [
        (segment(0xe1, &[7; 4000]), "of an application"),
        (segment(0xf0, &[7; 4000]), "reserved"),
        (segment(0xcc, &[7; 4000]), "arithmetic coding"),
        (segment(0xda, &[7; 4000]), "a scan's header"),
        (jfif().repeat(80), "JFIF again"),
        (table(65).repeat(20), "tables beyond four"),
        (table(65 * 20), "tables in one segment"),
        (segment(0xc4, &[0; 17 * 80]), "codes"),
        (segment(0xdd, &[7; 4000]), "restarts"),
        (segment(0xc0, &[7; 4000]), "a second frame"),
        ([0xff, 0xd0].repeat(800), "restarts outside of a scan"),
        (vec![0xff; 4000], "fill bytes"),
    ] {
        assert_eq!(form_of(&jpeg(&hidden, &[])), CheckVerdict::Objects, "{what}");
    }
    assert_eq!(form_of(&jpeg(&[], &[7; 4000])), CheckVerdict::Objects);
    assert_eq!(form_of(&jpeg(&[], &[])[..20]), CheckVerdict::Objects);
    let nothing = [0xff, 0xd8, 0xff, 0xd9];
    assert_eq!(form_of(&nothing), CheckVerdict::Objects);
}

#[test]
fn other_forms_are_for_a_person_or_refused() {
    assert_eq!(form_of(b"%PDF-1.7 ..."), CheckVerdict::Look);
    let svg = check((Path::new("plot.svg"), b"<svg/>"), &OutputKind::Plot, &[]).unwrap_err();
    assert!(svg.to_string().contains("holds every point"), "{svg}");
}
