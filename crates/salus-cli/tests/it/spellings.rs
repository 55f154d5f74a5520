//! Every way in which a number is written, and everything that a message holds once it is unpacked.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::Value as Json;

/// One way in which a number is written.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Spelling {
    pub(crate) name: &'static str,
    pub(crate) bytes: Vec<u8>,
}

/// The field of Prio3's counts and sums (draft-irtf-cfrg-vdaf-08, section 6.1), 2³² · 4294967295 + 1.
const FIELD_64: i128 = 0xffff_ffff_0000_0001;
/// The field of Prio3's vectors, 2⁶⁶ · 4611686018427387897 + 1.
const FIELD_128: u128 = 4_611_686_018_427_387_897 * (1 << 66) + 1;

/// Digits are found between what are no digits; bytes anywhere.
fn is_text(name: &str) -> bool {
    name.starts_with("decimal")
}

fn varint(mut number: u128) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = (number & 0x7f) as u8;
        number >>= 7;
        bytes.push(if number > 0 { low | 0x80 } else { low });
        if number == 0 {
            return bytes;
        }
    }
}

/// The number as CBOR's integer, in its shortest form and in the longest.
fn cbor(number: i128) -> Vec<Vec<u8>> {
    let (major, argument) = if number < 0 { (0x20, -1 - number) } else { (0x00, number) };
    let long = u64::try_from(argument).ok().map(|n| (27, n.to_be_bytes().to_vec()));
    let middle = u32::try_from(argument).ok().map(|n| (26, n.to_be_bytes().to_vec()));
    let forms = [long, middle].into_iter().flatten();
    forms.map(|(kind, bytes)| [&[major | kind], bytes.as_slice()].concat()).collect()
}

/// Every way in which a number is written, of four bytes and more.
pub(crate) fn spellings(number: i128) -> Vec<Spelling> {
    let mut all: Vec<(&'static str, Vec<u8>)> = vec![("decimal", number.to_string().into_bytes())];
    if let Ok(n) =
        u32::try_from(number).map(u32::to_le_bytes).or(i32::try_from(number).map(i32::to_le_bytes))
    {
        all.push(("four bytes, little end first", n.to_vec()));
        all.push(("four bytes, big end first", n.iter().rev().copied().collect()));
    }
    if let Ok(n) = i64::try_from(number) {
        all.push(("eight bytes, little end first", n.to_le_bytes().to_vec()));
        all.push(("eight bytes, big end first", n.to_be_bytes().to_vec()));
        all.push(("float, little end first", (n as f64).to_le_bytes().to_vec()));
        all.push(("float, big end first", (n as f64).to_be_bytes().to_vec()));
    }
    all.push(("sixteen bytes, little end first", number.to_le_bytes().to_vec()));
    all.push(("sixteen bytes, big end first", number.to_be_bytes().to_vec()));
    all.extend(cbor(number).into_iter().map(|bytes| ("CBOR", bytes)));
    if number >= 0 {
        all.push(("varint", varint(number.unsigned_abs())));
    }
    let zigzag = ((number << 1) ^ (number >> 127)).cast_unsigned();
    all.push(("zigzag varint", varint(zigzag)));
    if number < 0 {
        all.push(("decimal of its two's complement", number.cast_unsigned().to_string().into()));
        let field = (FIELD_64 + number) as u64;
        all.push(("element of Field64", field.to_le_bytes().to_vec()));
        let field = FIELD_128 - number.unsigned_abs();
        all.push(("element of Field128", field.to_le_bytes().to_vec()));
    }
    let spelled = all.into_iter().map(|(name, bytes)| Spelling { name, bytes });
    spelled.filter(|s| s.bytes.len() >= 4 || is_text(s.name)).collect()
}

/// The ways in which a fraction is written.
pub(crate) fn fraction(number: f64) -> Vec<Spelling> {
    let all = [
        ("decimal fraction", number.to_string().into_bytes()),
        ("float, little end first", number.to_le_bytes().to_vec()),
        ("float, big end first", number.to_be_bytes().to_vec()),
    ];
    all.into_iter().map(|(name, bytes)| Spelling { name, bytes }).collect()
}

impl Spelling {
    /// Whether it stands in these bytes.
    pub(crate) fn stands_in(&self, bytes: &[u8]) -> bool {
        self.place_in(bytes).is_some()
    }

    /// Where it stands first in these bytes, with some that stand around it.
    pub(crate) fn place_in<'b>(&self, bytes: &'b [u8]) -> Option<&'b [u8]> {
        let length = self.bytes.len();
        // A short number among letters is a piece of a hexadecimal text, whoever it is of.
        let part =
            |byte: &u8| byte.is_ascii_digit() || (length < 8 && byte.is_ascii_alphanumeric());
        let before = |at: usize| at.checked_sub(1).and_then(|at| bytes.get(at));
        let first = self.bytes.first()?;
        let places = bytes.iter().enumerate().filter(|(_, byte)| *byte == first);
        let mut places = places.filter(|(at, _)| bytes[*at..].starts_with(&self.bytes));
        let place = places.find(|(at, _)| {
            // "12." may end a sentence, and "12.0" be the number itself.
            let begins = before(*at).is_none_or(|byte| !part(byte) && *byte != b'.');
            let ends = bytes.get(at + length).is_none_or(|byte| !part(byte));
            !is_text(self.name) || (begins && ends)
        });
        let (at, _) = place?;
        Some(&bytes[at.saturating_sub(40)..(at + length + 40).min(bytes.len())])
    }
}

/// A message, and whatever is packed in it: hexadecimal and Base64 texts, arrays of bytes, JSON in
/// texts, as deep as they go.
pub(crate) fn unpacked(message: &[u8]) -> Vec<Vec<u8>> {
    let mut all = vec![message.to_vec()];
    if let Ok(json) = serde_json::from_slice::<Json>(message) {
        unpack(&json, &mut all);
    }
    all
}

fn unpack(json: &Json, all: &mut Vec<Vec<u8>>) {
    match json {
        Json::String(text) => {
            let forms = [hex::decode(text).ok(), STANDARD.decode(text).ok()];
            let forms = forms.into_iter().chain([URL_SAFE_NO_PAD.decode(text).ok()]).flatten();
            forms.filter(|bytes| bytes.len() >= 4).for_each(|bytes| all.push(bytes));
            // A number in quotes was found in the message itself.
            if text.starts_with(['{', '[', '"']) {
                all.extend(unpacked(text.as_bytes()));
            }
        }
        Json::Array(entries) => {
            let byte = |entry: &Json| entry.as_u64().and_then(|n| u8::try_from(n).ok());
            let bytes: Option<Vec<u8>> = entries.iter().map(byte).collect();
            match bytes.filter(|bytes| bytes.len() >= 4) {
                Some(bytes) => all.extend(unpacked(&bytes)),
                None => entries.iter().for_each(|entry| unpack(entry, all)),
            }
        }
        Json::Object(fields) => fields.values().for_each(|value| unpack(value, all)),
        Json::Number(_) | Json::Bool(_) | Json::Null => {}
    }
}

#[test]
fn every_spelling_is_found_wherever_it_is_packed() {
    let number = 412_345_678_i128;
    let known = [
        ("decimal", &b"412345678"[..]),
        ("four bytes, little end first", &[0x4e, 0xe5, 0x93, 0x18]),
        ("CBOR", &[0x1a, 0x18, 0x93, 0xe5, 0x4e]),
        ("varint", &[0xce, 0xca, 0xcf, 0xc4, 0x01]),
    ];
    for (name, bytes) in known {
        let wanted = Spelling { name, bytes: bytes.to_vec() };
        assert!(spellings(number).contains(&wanted), "{wanted:?}");
    }
    for number in [number, -number, 14_000_000_000_000_003, -5_000_000_001] {
        for spelling in spellings(number) {
            let bytes = [b" ".as_slice(), &spelling.bytes, b" "].concat();
            let inner = serde_json::json!({ "inner": hex::encode(&bytes) }).to_string();
            for message in [
                serde_json::json!({ "deep": [1, { "hex": hex::encode(&bytes) }] }),
                serde_json::json!({ "base64": STANDARD.encode(&bytes) }),
                serde_json::json!({ "url": URL_SAFE_NO_PAD.encode(&bytes) }),
                serde_json::json!({ "bytes": bytes }),
                serde_json::json!({ "inner": inner }),
            ] {
                let message = message.to_string();
                let found = unpacked(message.as_bytes()).iter().any(|b| spelling.stands_in(b));
                assert!(found, "{spelling:?} in {message}");
            }
            let short = Spelling { name: "decimal", bytes: b"376".to_vec() };
            assert!(!short.stands_in(b"{\"key\":\"f9e376ab\",\"n\":3761}"));
            assert!(short.stands_in(b"{\"n\":376}") && short.stands_in(b"376"));
            let others = unpacked(br#"{"n":412345679,"m":9412345678,"f":0.412345678}"#);
            assert!(!others.iter().any(|b| spelling.stands_in(b)), "{spelling:?}");
        }
    }
}
