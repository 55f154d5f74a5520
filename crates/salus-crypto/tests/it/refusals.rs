//! Every control, tried from the wrong side.

use salus_crypto::aead::{self, Aad, AeadKey};
use salus_crypto::hpke::{self, RecipientKey, RecipientPublicKey};
use salus_crypto::passphrase::{
    self, GuessCost, OpenRefused, Passphrase, StretchedPassphrase, Unsuitable,
};
use salus_crypto::{OsEntropy, SignatureRefused, SigningKey, VerifyingKey};
use salus_model::{Entropy as _, EntropyFailed, Secret};

use crate::{Counting, Dead};

fn phrase(text: &str) -> Passphrase {
    Passphrase::new(Secret::new(text.to_owned())).unwrap()
}

/// Every way to change one bit or cut the end, which none of the formats may survive.
fn damaged(bytes: &[u8]) -> impl Iterator<Item = Vec<u8>> + '_ {
    let flipped = (0..bytes.len() * 8).map(|bit| {
        let mut changed = bytes.to_vec();
        changed[bit / 8] ^= 1 << (bit % 8);
        changed
    });
    flipped.chain((0..bytes.len()).map(|n| bytes[..n].to_vec()))
}

#[test]
fn the_operating_systems_bytes_differ() {
    let (mut a, mut b) = ([0u8; 32], [0u8; 32]);
    OsEntropy.fill(&mut a).unwrap();
    OsEntropy.fill(&mut b).unwrap();
    assert_ne!(a, b);
    assert_ne!(a, [0; 32]);
}

#[test]
fn an_envelope_opens_with_its_key_context_and_bytes_only() {
    let key = AeadKey::generate(&mut OsEntropy).unwrap();
    let aad = Aad::new("test", &[b"dataset", b"1"]);
    let envelope = key.seal(&mut OsEntropy, &aad, b"plaintext").unwrap();
    assert!(key.open(&aad, &envelope).is_ok());
    for changed in damaged(&envelope) {
        assert_eq!(key.open(&aad, &changed), Err(aead::OpenRefused));
    }
    for other in [
        Aad::new("other", &[b"dataset", b"1"]),
        Aad::new("test", &[b"dataset1"]),
        Aad::new("test", &[]),
    ] {
        assert_eq!(key.open(&other, &envelope), Err(aead::OpenRefused));
    }
    let other = AeadKey::generate(&mut OsEntropy).unwrap();
    assert_eq!(other.open(&aad, &envelope), Err(aead::OpenRefused));
    assert_eq!(key.derive_key(&aad).open(&aad, &envelope), Err(aead::OpenRefused));
    assert_eq!(key.seal(&mut Dead, &aad, b"x"), Err(aead::SealFailed::Entropy(EntropyFailed)));
}

#[test]
fn a_signature_holds_for_its_key_domain_and_message_only() {
    let key = SigningKey::generate(&mut OsEntropy).unwrap();
    let public = key.verifying_key();
    let signature = key.sign("test/a", b"message");
    assert_eq!(public.verify("test/a", b"message", &signature), Ok(()));
    assert_eq!(public.verify("test/b", b"message", &signature), Err(SignatureRefused));
    assert_eq!(public.verify("test/", b"amessage", &signature), Err(SignatureRefused));
    assert_eq!(public.verify("test/a", b"massage", &signature), Err(SignatureRefused));
    let other = SigningKey::generate(&mut OsEntropy).unwrap().verifying_key();
    assert_eq!(other.verify("test/a", b"message", &signature), Err(SignatureRefused));
    for changed in damaged(&signature.to_bytes()) {
        if let Ok(bytes) = <&[u8; 64]>::try_from(changed.as_slice()) {
            let changed = salus_crypto::Signature::from_bytes(bytes);
            assert_eq!(public.verify("test/a", b"message", &changed), Err(SignatureRefused));
        }
    }
}

#[test]
fn points_of_small_order_are_no_keys() {
    // The identity and the point of order two: each verifies one signature over anything.
    let mut identity = [0; 32];
    identity[0] = 1;
    assert!(VerifyingKey::from_bytes(&identity).is_err());
    assert!(VerifyingKey::from_bytes(&[0; 32]).is_err());
    assert!("zz".parse::<VerifyingKey>().is_err());
    // HPKE refuses them when a shared secret comes out as zero (RFC 9180, section 7.1.4).
    let refused = RecipientPublicKey::from_bytes(&[0; 32])
        .map(|key| key.seal(&mut OsEntropy, &Aad::new("test", &[]), b"", b"x").is_err());
    assert!(matches!(refused, Ok(true) | Err(_)), "{refused:?}");
}

#[test]
fn a_message_opens_for_its_recipient_and_context_only() {
    let key = RecipientKey::generate(&mut OsEntropy).unwrap();
    let info = Aad::new("test/result", &[b"deal"]);
    let message = key.public_key().seal(&mut OsEntropy, &info, b"beside", b"result").unwrap();
    assert_eq!(*key.open(&info, b"beside", &message).unwrap(), b"result");
    assert_eq!(key.open(&info, b"", &message), Err(hpke::OpenRefused));
    let elsewhere = Aad::new("test/result", &[b"other"]);
    assert_eq!(key.open(&elsewhere, b"beside", &message), Err(hpke::OpenRefused));
    let other = RecipientKey::generate(&mut OsEntropy).unwrap();
    assert_eq!(other.open(&info, b"beside", &message), Err(hpke::OpenRefused));
    // The top bit of an X25519 key has no meaning, so its flip may open; no other byte may.
    for (at, changed) in damaged(&message).enumerate() {
        if at != 32 * 8 + 7 {
            assert_eq!(key.open(&info, b"beside", &changed), Err(hpke::OpenRefused), "{at}");
        }
    }
    assert!(key.public_key().seal(&mut Dead, &info, b"", b"x").is_err());
}

#[test]
fn a_container_opens_with_its_passphrase_purpose_and_bytes_only() {
    let cost = GuessCost::OWASP_MINIMUM;
    let container =
        passphrase::seal(&mut Counting(3), &phrase("correct horse"), cost, "keys", b"x").unwrap();
    let open = |text: &str, purpose, bytes: &[u8]| {
        passphrase::open(&phrase(text), purpose, bytes).map(|plain| plain.to_vec())
    };
    assert_eq!(open("correct horse", "keys", &container), Ok(b"x".to_vec()));
    assert_eq!(open("correct house", "keys", &container), Err(OpenRefused::Refused));
    assert_eq!(open("correct horse", "journal", &container), Err(OpenRefused::Refused));
    for at in [20, 36, 48, container.len() - 1] {
        let mut changed = container.clone();
        changed[at] ^= 1;
        assert_eq!(open("correct horse", "keys", &changed), Err(OpenRefused::Refused), "{at}");
    }
    for n in 0..48 {
        assert_eq!(open("correct horse", "keys", &container[..n]), Err(OpenRefused::NotAContainer));
    }
}

#[test]
fn a_header_cannot_lower_or_explode_the_cost() {
    let cost = GuessCost::OWASP_MINIMUM;
    let container =
        passphrase::seal(&mut Counting(3), &phrase("correct horse"), cost, "keys", b"x").unwrap();
    for (at, number) in [(8, 8u32), (12, 1), (8, u32::MAX), (12, 1 << 20), (16, 0), (16, 1 << 20)] {
        let mut changed = container.clone();
        changed[at..at + 4].copy_from_slice(&number.to_be_bytes());
        let refused = passphrase::open(&phrase("correct horse"), "keys", &changed);
        assert!(matches!(refused, Err(OpenRefused::Cost(_))), "{at} {number} {refused:?}");
    }
    assert!(matches!(GuessCost::new(7_168, 4, 1), Err(Unsuitable::TooCheap { .. })));
    assert!(GuessCost::new(7_168, 5, 1).is_ok());
    assert!(GuessCost::new(47_104, 1, 1).is_ok());
    let short = Passphrase::new(Secret::new("seven77".to_owned()));
    assert!(matches!(short, Err(Unsuitable::TooShort { found: 7 })));
}

#[test]
fn the_bare_form_opens_with_its_key_context_and_bytes_only() {
    let key = AeadKey::generate(&mut OsEntropy).unwrap();
    let sealed = aead::seal_bare(&mut OsEntropy, &key, b"context", b"key").unwrap();
    assert_eq!(sealed.len(), 12 + 3 + 16);
    assert_eq!(*aead::open_bare(&key, b"context", &sealed).unwrap(), b"key");
    assert_eq!(aead::open_bare(&key, b"", &sealed), Err(aead::OpenRefused));
    for changed in damaged(&sealed) {
        assert_eq!(aead::open_bare(&key, b"context", &changed), Err(aead::OpenRefused));
    }
}

#[test]
fn a_stretched_passphrase_opens_what_fits_it_only() {
    let phrase = phrase("correct horse");
    let mut entropy = Counting(3);
    let cost = GuessCost::OWASP_MINIMUM;
    let one = StretchedPassphrase::generate(&mut entropy, &phrase, cost).unwrap();
    let two = StretchedPassphrase::generate(&mut entropy, &phrase, cost).unwrap();
    let first = one.seal(&mut entropy, "keys", b"x").unwrap();
    let second = one.seal(&mut entropy, "keys", b"x").unwrap();
    assert_ne!(first, second, "two containers of one key share a nonce");
    for container in [&first, &second] {
        assert!(one.fits(container) && !two.fits(container));
        assert_eq!(one.open("keys", container).unwrap().as_slice(), b"x");
        assert_eq!(passphrase::open(&phrase, "keys", container).unwrap().as_slice(), b"x");
        assert_eq!(two.open("keys", container), Err(OpenRefused::Refused));
        assert_eq!(one.open("other", container), Err(OpenRefused::Refused));
    }
    assert!(!one.fits(&first[..20]) && one.open("keys", &first[..20]).is_err());
    let again = StretchedPassphrase::of_container(&phrase, &second).unwrap();
    assert!(again.fits(&first) && again.cost() == cost);
    assert!(!format!("{again:?}").contains("key: ["), "{again:?}");
}
