//! The bytes of a segment: a sealed head, then frames, each the records of one commit.
//!
//! Version 1 of a segment is `salus journal 1\n | head | frame…`.
//! - The head is an envelope of the first position (8 bytes) and the chain before it (32 bytes).
//! - A frame is `mark (4) | header envelope | body envelope`. The header holds the body's length
//!   (4), the first record's position (8) and the number of records (4), and is bound to its
//!   segment. The body holds each record behind its length (4), and is bound to the
//!   positions and to the chain of everything before it.
//!
//! The header is sealed apart from the body so that a length that was tampered with is told from
//! a frame that a crash tore: a torn frame has a whole, genuine header or none at all.

use salus_crypto::aead::{Aad, AeadKey, OVERHEAD_BYTES, SealFailed};
use salus_crypto::{Digest, OsEntropy};
use salus_model::HolderId;
use zeroize::Zeroizing;

use super::JournalName;

pub(super) const MAGIC: &[u8] = b"salus journal 1\n";
pub(super) const MARK: [u8; 4] = *b"SJ1\x96";
const HEAD_BYTES: usize = 8 + 32;
const HEADER_BYTES: usize = 4 + 8 + 4;
/// What a segment begins with.
pub(super) const SEGMENT_HEAD_BYTES: usize = MAGIC.len() + OVERHEAD_BYTES + HEAD_BYTES;
/// What a frame begins with.
pub(super) const FRAME_HEADER_BYTES: usize = MARK.len() + OVERHEAD_BYTES + HEADER_BYTES;

/// Whose journal it is.
#[derive(Debug, Clone)]
pub(super) struct Owner {
    pub(super) holder: HolderId,
    pub(super) name: JournalName,
}

/// Seals and opens what one segment consists of.
pub(super) struct SegmentSeal {
    owner: Owner,
    segment: u64,
    key: AeadKey,
}

/// What a genuine header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) body_bytes: usize,
    pub(super) first: u64,
    pub(super) records: u32,
}

/// The chain before the first record of a journal.
pub(super) fn genesis(owner: &Owner) -> Digest {
    let parts = [owner.holder.as_str().as_bytes(), owner.name.as_str().as_bytes()];
    Digest::of_parts("salus journal genesis v1", &parts)
}

/// The chain after a frame.
pub(super) fn extended(chain: Digest, header: &Header, body: &[u8]) -> Digest {
    let first = header.first.to_be_bytes();
    Digest::of_parts("salus journal chain v1", &[chain.as_bytes(), &first, body])
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

impl SegmentSeal {
    pub(super) const fn new(owner: Owner, segment: u64, key: AeadKey) -> Self {
        Self { owner, segment, key }
    }

    fn aad(&self, domain: &'static str, parts: &[&[u8]]) -> Aad {
        let segment = self.segment.to_be_bytes();
        let (holder, name) = (self.owner.holder.as_str(), self.owner.name.as_str());
        let own = [holder.as_bytes(), name.as_bytes(), &segment];
        Aad::new(domain, &[own.as_slice(), parts].concat())
    }

    /// What a new segment begins with, when `chain` is the chain before it.
    pub(super) fn seal_head(&self, chain: Digest) -> Result<Vec<u8>, SealFailed> {
        let head = [self.segment.to_be_bytes().as_slice(), chain.as_bytes()].concat();
        let sealed =
            self.key.seal(&mut OsEntropy, &self.aad("salus journal head v1", &[]), &head)?;
        Ok([MAGIC, &sealed].concat())
    }

    /// The chain before the segment; none when the head is not genuine.
    pub(super) fn open_head(&self, bytes: &[u8]) -> Option<Digest> {
        let sealed = bytes.strip_prefix(MAGIC)?;
        let head = self.key.open(&self.aad("salus journal head v1", &[]), sealed).ok()?;
        let first = u64::from_be_bytes(array(&head, 0)?);
        (first == self.segment).then(|| array(&head, 8).map(Digest::from_bytes))?
    }

    fn body_aad(&self, first: u64, records: u32, chain: Digest) -> Aad {
        let (first, records) = (first.to_be_bytes(), records.to_be_bytes());
        self.aad("salus journal body v1", &[&first, &records, chain.as_bytes()])
    }

    /// The frame of these records, and the chain after it.
    pub(super) fn seal_frame<'r>(
        &self,
        (first, chain): (u64, Digest),
        records: impl Iterator<Item = &'r [u8]>,
    ) -> Result<(Vec<u8>, Digest), SealFailed> {
        let mut plaintext = Zeroizing::new(Vec::new());
        let mut count = 0_u32;
        for record in records {
            let length = u32::try_from(record.len()).map_err(|_| SealFailed::TooLong)?;
            plaintext.extend_from_slice(&length.to_be_bytes());
            plaintext.extend_from_slice(record);
            count += 1;
        }
        let aad = self.body_aad(first, count, chain);
        let body = self.key.seal(&mut OsEntropy, &aad, &plaintext)?;
        let body_bytes = u32::try_from(body.len()).map_err(|_| SealFailed::TooLong)?;
        let header = Header { body_bytes: body.len(), first, records: count };
        let plain_header = [
            body_bytes.to_be_bytes().as_slice(),
            &first.to_be_bytes(),
            count.to_be_bytes().as_slice(),
        ]
        .concat();
        let aad = self.aad("salus journal header v1", &[]);
        let sealed_header = self.key.seal(&mut OsEntropy, &aad, &plain_header)?;
        let chain = extended(chain, &header, &body);
        Ok(([MARK.as_slice(), &sealed_header, &body].concat(), chain))
    }

    /// A frame's header; none when it was not written in this segment.
    pub(super) fn open_header(&self, bytes: &[u8]) -> Option<Header> {
        let sealed = bytes.strip_prefix(&MARK)?;
        let aad = self.aad("salus journal header v1", &[]);
        let header = self.key.open(&aad, sealed).ok()?;
        Some(Header {
            body_bytes: usize::try_from(u32::from_be_bytes(array(&header, 0)?)).ok()?,
            first: u64::from_be_bytes(array(&header, 4)?),
            records: u32::from_be_bytes(array(&header, 12)?),
        })
    }

    /// A frame's records; none when the body is not the one that was written behind `chain`.
    pub(super) fn open_body(
        &self,
        header: &Header,
        chain: Digest,
        body: &[u8],
    ) -> Option<Vec<Zeroizing<Vec<u8>>>> {
        let aad = self.body_aad(header.first, header.records, chain);
        let plaintext = self.key.open(&aad, body).ok()?;
        let mut rest = plaintext.as_slice();
        let mut records = Vec::new();
        while let Some((length, after)) = rest.split_first_chunk::<4>() {
            let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
            let (record, after) = after.split_at_checked(length)?;
            records.push(Zeroizing::new(record.to_vec()));
            rest = after;
        }
        (rest.is_empty() && records.len() == header.records as usize).then_some(records)
    }
}
