//! PNG, read to its last byte.
//!
//! # Source
//! Portable Network Graphics (third edition), sections 5, 7, 8, 10 and 11.

use std::io::{self, BufReader, Read as _};

use flate2::Crc;
use flate2::bufread::ZlibDecoder;

use super::Picture;

/// The most pixels that are looked at.
pub(super) const MOST_PIXELS: u64 = 100_000_000;
/// The most pixels of a side.
pub(super) const MOST_SIDE: u32 = 65_535;
/// Surplus bytes are counted up to here.
const MOST_SURPLUS: u64 = 1 << 20;

const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";

/// Whether the bytes start like a PNG.
pub(super) fn is(bytes: &[u8]) -> bool {
    bytes.starts_with(SIGNATURE)
}

/// Counts what is no pixel, and not how pixels are shown.
pub(super) fn read(bytes: &[u8]) -> Picture {
    let Some((chunks, after)) = chunks(bytes) else { return Picture::Damaged };
    let Some(header) = chunks.first().and_then(Header::of) else { return Picture::Damaged };
    if header.too_large() {
        return Picture::TooLarge;
    }
    let (beside, data) = sorted(&chunks, &header);
    let Some(in_data) = unseen_in_data(&data, &header) else { return Picture::Damaged };
    let transparent = matches!(header.colour, 4 | 6) || chunks.iter().any(|c| c.kind == b"tRNS");
    let doubt = transparent.then_some(
        "it has transparent pixels, under which others may be that nobody sees; save it without",
    );
    Picture::Read { unseen: beside + in_data + after.len(), doubt }
}

/// A part of the file: its kind and what it holds.
struct Chunk<'b> {
    kind: &'b [u8; 4],
    data: &'b [u8],
    check: u32,
}

impl Chunk<'_> {
    /// Bytes of its sum that are none; a sum of zero is a sum that was not made.
    fn odd_sum(&self) -> usize {
        let mut sum = Crc::new();
        sum.update(self.kind);
        sum.update(self.data);
        if self.check == 0 || self.check == sum.sum() { 0 } else { 4 }
    }
}

/// The parts up to the last one, and what follows it; none where they do not fit the file.
fn chunks(bytes: &[u8]) -> Option<(Vec<Chunk<'_>>, &[u8])> {
    let (mut rest, mut found) = (bytes.strip_prefix(SIGNATURE)?, Vec::new());
    loop {
        let (length, after) = rest.split_first_chunk::<4>()?;
        let (kind, after) = after.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        let (data, after) = after.split_at_checked(length)?;
        let (check, after) = after.split_first_chunk::<4>()?;
        found.push(Chunk { kind, data, check: u32::from_be_bytes(*check) });
        if kind == b"IEND" {
            return Some((found, after));
        }
        rest = after;
    }
}

/// Bytes outside of what shows the picture, and the coded pixels joined.
fn sorted(chunks: &[Chunk<'_>], header: &Header) -> (usize, Vec<u8>) {
    let (mut unseen, mut parts) = (0, 0_usize);
    let mut data = Vec::new();
    let mut known: Vec<&[u8; 4]> = Vec::new();
    for chunk in chunks {
        unseen += chunk.odd_sum();
        if chunk.kind == b"IDAT" {
            parts += 1;
            data.extend_from_slice(chunk.data);
        } else if header.shows(chunk) && !known.contains(&chunk.kind) {
            known.push(chunk.kind);
        } else {
            unseen += chunk.data.len() + chunk.kind.len();
        }
    }
    // Where the pixels are cut into many parts, the lengths of these can say something.
    let usual = 16 + data.len() / 1024;
    (unseen + 4 * parts.saturating_sub(usual), data)
}

/// What the picture says of its pixels.
struct Header {
    width: u32,
    height: u32,
    depth: u8,
    colour: u8,
    interlaced: bool,
}

impl Header {
    fn of(chunk: &Chunk<'_>) -> Option<Self> {
        let data: &[u8; 13] = chunk.data.try_into().ok()?;
        let [w0, w1, w2, w3, h0, h1, h2, h3, depth, colour, compression, filter, interlace] = *data;
        let fits = match colour {
            0 => matches!(depth, 1 | 2 | 4 | 8 | 16),
            3 => matches!(depth, 1 | 2 | 4 | 8),
            2 | 4 | 6 => matches!(depth, 8 | 16),
            _ => false,
        };
        let known = chunk.kind == b"IHDR" && compression == 0 && filter == 0 && interlace < 2;
        let (width, height) =
            (u32::from_be_bytes([w0, w1, w2, w3]), u32::from_be_bytes([h0, h1, h2, h3]));
        let whole = fits && known && width > 0 && height > 0;
        whole.then_some(Self { width, height, depth, colour, interlaced: interlace == 1 })
    }

    fn too_large(&self) -> bool {
        let pixels = u64::from(self.width) * u64::from(self.height);
        pixels > MOST_PIXELS || self.width.max(self.height) > MOST_SIDE
    }

    /// Whether a chunk is of those that say how pixels are shown, and no longer than it may be.
    fn shows(&self, chunk: &Chunk<'_>) -> bool {
        let length = chunk.data.len();
        match chunk.kind {
            b"IHDR" => length == 13,
            b"IEND" => length == 0,
            // Of true colours it is a proposal that nobody sees.
            b"PLTE" => self.colour == 3 && (3..=768).contains(&length) && length.is_multiple_of(3),
            b"tRNS" => match self.colour {
                0 => length == 2,
                2 => length == 6,
                3 => length <= 256,
                _ => false,
            },
            b"cHRM" => length == 32,
            b"gAMA" | b"cICP" => length == 4,
            b"sBIT" => length <= 4,
            b"sRGB" => length == 1,
            b"bKGD" => length <= 6,
            b"pHYs" => length == 9,
            b"mDCV" => length == 24,
            b"cLLI" => length == 8,
            _ => false,
        }
    }

    /// Bytes of a row of so many pixels, with the one that says how it is filtered.
    fn row(&self, width: u32) -> usize {
        let channels = match self.colour {
            2 => 3,
            4 => 2,
            6 => 4,
            _ => 1,
        };
        let bits = u64::from(width) * channels * u64::from(self.depth);
        // At most 65,535 pixels of 64 bits.
        usize::try_from(bits.div_ceil(8)).unwrap_or(usize::MAX).saturating_add(1)
    }

    /// The rows as they are coded: how long, and how many of them.
    fn passes(&self) -> Vec<(usize, u32)> {
        // Where a pass starts, and its steps, across and down.
        const ADAM7: [[u32; 4]; 7] = [
            [0, 0, 8, 8],
            [4, 0, 8, 8],
            [0, 4, 4, 8],
            [2, 0, 4, 4],
            [0, 2, 2, 4],
            [1, 0, 2, 2],
            [0, 1, 1, 2],
        ];
        if !self.interlaced {
            return vec![(self.row(self.width), self.height)];
        }
        let pass = |[x, y, across, down]: [u32; 4]| {
            let width = self.width.saturating_sub(x).div_ceil(across);
            let height = self.height.saturating_sub(y).div_ceil(down);
            (width > 0 && height > 0).then(|| (self.row(width), height))
        };
        ADAM7.into_iter().filter_map(pass).collect()
    }
}

/// Bytes among the coded pixels that code none; none where pixels are missing or make no sense.
fn unseen_in_data(data: &[u8], header: &Header) -> Option<usize> {
    let mut pixels = BufReader::new(ZlibDecoder::new(data));
    let (mut row, mut whole) = (Vec::new(), 0_usize);
    for (length, rows) in header.passes() {
        row.resize(length, 0_u8);
        for _ in 0..rows {
            pixels.read_exact(&mut row).ok()?;
            // There are five filters.
            if row.first().is_none_or(|filter| *filter > 4) {
                return None;
            }
            whole = whole.saturating_add(length);
        }
    }
    let surplus = io::copy(&mut pixels.by_ref().take(MOST_SURPLUS), &mut io::sink()).ok()?;
    let used = usize::try_from(pixels.get_ref().total_in()).ok()?;
    let after = data.len().saturating_sub(used);
    // A stream may hold blocks of nothing; none that a program writes is much longer than its rows.
    let coded = data.len().saturating_sub(after);
    let padding = coded.saturating_sub(whole.saturating_add(whole / 64).saturating_add(1024));
    Some(usize::try_from(surplus).ok()?.saturating_add(after).saturating_add(padding))
}
