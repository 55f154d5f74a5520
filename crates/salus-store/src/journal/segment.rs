//! One segment's file, read from front to end.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use salus_crypto::Digest;
use zeroize::Zeroizing;

use super::frame::{FRAME_HEADER_BYTES, Header, MARK, SEGMENT_HEAD_BYTES, SegmentSeal, extended};
use super::{Damage, JournalError, MAX_FRAME_BYTES};

/// Read in one go, so that a long segment of small frames does not change threads at each.
const READ_BYTES: usize = 1024 * 1024;

/// The records of one commit.
pub(super) struct Frame {
    pub(super) first: u64,
    pub(super) records: Vec<Zeroizing<Vec<u8>>>,
}

/// How a segment's bytes end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// With a whole frame, or with the segment's head.
    Whole,
    /// With this many bytes of a frame that was never acknowledged.
    Torn(u64),
}

/// Reads the frames of a segment, and checks that each follows the one before.
pub(super) struct SegmentReader {
    path: PathBuf,
    file: BufReader<File>,
    seal: SegmentSeal,
    segment: u64,
    /// Where reading ends: the file's length, or what is known to be on the disk.
    length: u64,
    pub(super) offset: u64,
    pub(super) next: u64,
    pub(super) chain: Digest,
}

pub(super) fn segment_path(folder: &Path, first: u64) -> PathBuf {
    folder.join(format!("{first:020}.journal"))
}

pub(super) fn key_path(folder: &Path, first: u64) -> PathBuf {
    folder.join(format!("{first:020}.key"))
}

impl SegmentReader {
    /// Opens a segment and checks its head; `length` bounds what is read of it.
    pub(super) fn open(
        folder: &Path,
        (segment, length): (u64, Option<u64>),
        seal: SegmentSeal,
    ) -> Result<Self, JournalError> {
        let path = segment_path(folder, segment);
        let failed = |source| JournalError::Read { path: path.clone(), source };
        let mut file = BufReader::new(File::open(&path).map_err(failed)?);
        let found = file.get_ref().metadata().map_err(failed)?.len();
        let mut head = Vec::with_capacity(SEGMENT_HEAD_BYTES);
        (&mut file).take(SEGMENT_HEAD_BYTES as u64).read_to_end(&mut head).map_err(failed)?;
        let chain = seal.open_head(&head).ok_or(JournalError::Corrupt {
            segment,
            offset: 0,
            damage: Damage::Head,
        })?;
        let offset = SEGMENT_HEAD_BYTES as u64;
        let length = length.map_or(found, |length| length.min(found));
        Ok(Self { path, file, seal, segment, length, offset, next: segment, chain })
    }

    pub(super) const fn segment(&self) -> u64 {
        self.segment
    }

    pub(super) fn into_seal(self) -> SegmentSeal {
        self.seal
    }

    /// The next frames, about a mebibyte of them; none at the end, with how it ends.
    pub(super) fn read_some(&mut self) -> Result<(Vec<Frame>, Option<Ending>), JournalError> {
        let (mut frames, start) = (Vec::new(), self.offset);
        while self.offset - start < READ_BYTES as u64 {
            if self.offset >= self.length {
                return Ok((frames, Some(Ending::Whole)));
            }
            match self.read_frame()? {
                Some(frame) => frames.push(frame),
                None => return Ok((frames, Some(Ending::Torn(self.length - self.offset)))),
            }
        }
        Ok((frames, None))
    }

    fn corrupt(&self, damage: Damage) -> JournalError {
        JournalError::Corrupt { segment: self.segment, offset: self.offset, damage }
    }

    fn read(&mut self, bytes: usize) -> Result<Vec<u8>, JournalError> {
        let mut found = vec![0; bytes];
        let failed = |source| JournalError::Read { path: self.path.clone(), source };
        self.file.read_exact(&mut found).map_err(failed)?;
        Ok(found)
    }

    /// The frame at the present offset; none when a crash tore it.
    fn read_frame(&mut self) -> Result<Option<Frame>, JournalError> {
        let left = usize::try_from(self.length - self.offset).unwrap_or(usize::MAX);
        if left < FRAME_HEADER_BYTES {
            return Ok(None);
        }
        let header = self.read(FRAME_HEADER_BYTES)?;
        let Some(header) = self.seal.open_header(&header) else {
            return self.damaged_header(left).map(|()| None);
        };
        if header.first != self.next {
            return Err(self.corrupt(Damage::Order));
        }
        let whole = FRAME_HEADER_BYTES + header.body_bytes;
        if left < whole {
            return Ok(None);
        }
        let body = self.read(header.body_bytes)?;
        match self.seal.open_body(&header, self.chain, &body) {
            Some(records) => Ok(Some(self.accept(header, &body, records))),
            // The next commit is written only when the one before is on the disk.
            None if left == whole => Ok(None),
            None => Err(self.corrupt(Damage::Body)),
        }
    }

    fn accept(&mut self, header: Header, body: &[u8], records: Vec<Zeroizing<Vec<u8>>>) -> Frame {
        self.chain = extended(self.chain, &header, body);
        self.next += u64::from(header.records);
        self.offset += (FRAME_HEADER_BYTES + header.body_bytes) as u64;
        Frame { first: header.first, records }
    }

    /// Tells a header that a crash tore from one that was damaged later.
    ///
    /// Only one commit at a time is under way, so a torn frame is the last, and no longer than a
    /// frame can be: a genuine header behind it, or more bytes, prove that it was whole once.
    fn damaged_header(&mut self, left: usize) -> Result<(), JournalError> {
        if left > MAX_FRAME_BYTES {
            return Err(self.corrupt(Damage::Header));
        }
        let failed = |source| JournalError::Read { path: self.path.clone(), source };
        self.file.seek(SeekFrom::Start(self.offset)).map_err(failed)?;
        let rest = self.read(left)?;
        let genuine = |at: usize| {
            let bytes = rest.get(at..at.saturating_add(FRAME_HEADER_BYTES));
            bytes.is_some_and(|bytes| self.seal.open_header(bytes).is_some())
        };
        let marks = rest.windows(MARK.len()).enumerate().filter(|(_, bytes)| **bytes == MARK);
        match marks.map(|(at, _)| at).find(|&at| genuine(at)) {
            Some(_) => Err(self.corrupt(Damage::Header)),
            None => Ok(()),
        }
    }
}
