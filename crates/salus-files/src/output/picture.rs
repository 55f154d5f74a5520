//! Pictures of results: whether there is more in them than is seen.

mod jpeg;
mod png;

use super::{CheckVerdict, OutputCheck};
use crate::text::count;

/// As much as a program writes of itself into a picture.
const SIGNED: usize = 1024;

/// What reading a picture came to.
enum Picture {
    /// Its parts do not fit each other.
    Damaged,
    /// It states more pixels than are looked at.
    TooLarge,
    /// It was read to its end.
    Read {
        /// Bytes that are no pixels, and not how they are shown.
        unseen: usize,
        /// What else a person should know.
        doubt: Option<&'static str>,
    },
}

/// The check of a picture's form; none where it is neither PNG nor JPEG.
pub(super) fn form(bytes: &[u8]) -> Option<OutputCheck> {
    if png::is(bytes) {
        return Some(check("PNG", &png::read(bytes)));
    }
    jpeg::is(bytes).then(|| check("JPEG", &jpeg::read(bytes)))
}

fn check(form: &str, picture: &Picture) -> OutputCheck {
    let (verdict, words) = match picture {
        Picture::Damaged => {
            (CheckVerdict::Objects, "it is damaged, or hides its structure".to_owned())
        }
        Picture::TooLarge => {
            let (most, side) = (count(png::MOST_PIXELS), count(u64::from(png::MOST_SIDE)));
            let words = format!(
                "it states more than {most} pixels, or a side of more than {side}; save it smaller"
            );
            (CheckVerdict::Objects, words)
        }
        Picture::Read { unseen: 0, doubt: None } => {
            (CheckVerdict::Passes, "pixels and nothing else".to_owned())
        }
        Picture::Read { unseen, doubt } => with_doubt(*unseen, *doubt),
    };
    OutputCheck::new("form", verdict, format!("{form}: {words}"))
}

fn with_doubt(unseen: usize, doubt: Option<&str>) -> (CheckVerdict, String) {
    let bytes = count(unseen as u64);
    let (verdict, found) = match unseen {
        0 => (CheckVerdict::Look, None),
        n if n <= SIGNED => (
            CheckVerdict::Look,
            Some(format!("{bytes} bytes of text or metadata beside the pixels")),
        ),
        _ => (
            CheckVerdict::Objects,
            Some(format!("{bytes} bytes that nobody sees beside the pixels")),
        ),
    };
    let words: Vec<String> = found.into_iter().chain(doubt.map(str::to_owned)).collect();
    (verdict, words.join("; "))
}

#[cfg(test)]
mod tests;
