//! JPEG, by its segments: the coded pixels are not decoded.
//!
//! # Source
//! ITU-T T.81, annex B; ITU-T T.871 for JFIF.

use super::Picture;

/// Whether the bytes start like a JPEG.
pub(super) fn is(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\xff\xd8\xff")
}

/// Counts what is in none of the segments that a picture needs.
pub(super) fn read(bytes: &[u8]) -> Picture {
    match unseen(bytes) {
        Some(unseen) => Picture::Read {
            unseen,
            doubt: Some(
                "its coded pixels were not decoded, and may hold more than is seen; save it as PNG \
                 to have it checked whole",
            ),
        },
        None => Picture::Damaged,
    }
}

/// What has been read of a picture so far.
#[derive(Default)]
struct Seen {
    jfif: bool,
    adobe: bool,
    frame: bool,
    restart: bool,
    scan: bool,
    quantisation: usize,
    huffman: usize,
}

fn unseen(bytes: &[u8]) -> Option<usize> {
    let (mut rest, mut unseen) = (bytes.get(2..)?, 0_usize);
    let mut seen = Seen::default();
    loop {
        let [0xff, marker, after @ ..] = rest else { return None };
        match *marker {
            // A fill byte before a marker.
            0xff => {
                unseen += 1;
                rest = rest.get(1..)?;
            }
            // The end of the image, and its start, which comes once.
            0xd9 => return (seen.frame && seen.scan).then_some(unseen + after.len()),
            0xd8 => return None,
            // Of no use outside of a scan.
            0x01 | 0xd0..=0xd7 => {
                unseen += 2;
                rest = after;
            }
            marker => {
                let (length, _) = after.split_first_chunk::<2>()?;
                let length = usize::from(u16::from_be_bytes(*length));
                unseen += seen.beyond(marker, after.get(2..length)?);
                rest = after.get(length..)?;
                if marker == 0xda {
                    rest = after_scan(rest)?;
                }
            }
        }
    }
}

impl Seen {
    /// Bytes of a segment that are not needed to show the picture.
    fn beyond(&mut self, marker: u8, segment: &[u8]) -> usize {
        // Marker and length count where the segment as a whole is not needed.
        let all = segment.len() + 4;
        match marker {
            0xe0 if segment.len() == 14 && segment.starts_with(b"JFIF\0") => {
                once(&mut self.jfif, all)
            }
            0xee if segment.len() == 12 && segment.starts_with(b"Adobe") => {
                once(&mut self.adobe, all)
            }
            0xc0..=0xc2 => {
                let components = usize::from(segment.get(5).copied().unwrap_or(0)).min(4);
                let more = segment.len().saturating_sub(6 + 3 * components);
                once(&mut self.frame, all).max(more)
            }
            0xdd if segment.len() == 2 => once(&mut self.restart, all),
            0xda => {
                self.scan = true;
                let components = usize::from(segment.first().copied().unwrap_or(0)).min(4);
                segment.len().saturating_sub(4 + 2 * components)
            }
            0xdb => tables(segment, (&mut self.quantisation, 4), |table| {
                Some(if *table.first()? < 16 { 65 } else { 129 })
            }),
            0xc4 => tables(segment, (&mut self.huffman, 8), |table| {
                let codes = table.get(1..17)?.iter().map(|n| usize::from(*n)).sum::<usize>();
                (codes <= 256).then_some(17 + codes)
            }),
            _ => all,
        }
    }
}

/// Nothing where it is the first of its kind, all of it otherwise.
const fn once(known: &mut bool, all: usize) -> usize {
    let again = *known;
    *known = true;
    if again { all } else { 0 }
}

/// Bytes of a segment that are no table, or one beyond the most that a picture needs.
fn tables(
    mut segment: &[u8],
    (known, most): (&mut usize, usize),
    length: impl Fn(&[u8]) -> Option<usize>,
) -> usize {
    // A segment without any table says nothing but that it is there.
    let mut beyond = if segment.is_empty() { 4 } else { 0 };
    while !segment.is_empty() {
        let Some((table, after)) = length(segment).and_then(|n| segment.split_at_checked(n)) else {
            return beyond + segment.len();
        };
        *known += 1;
        if *known > most {
            beyond += table.len();
        }
        segment = after;
    }
    beyond
}

/// What follows the coded pixels: from the next marker on that is none of theirs.
fn after_scan(bytes: &[u8]) -> Option<&[u8]> {
    let ends =
        |pair: &[u8]| matches!(pair, [0xff, next] if !matches!(next, 0 | 0xd0..=0xd7 | 0xff));
    let at = bytes.windows(2).position(ends)?;
    bytes.get(at..)
}
