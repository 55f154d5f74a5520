//! Version 1 of every format, byte for byte as independent implementations make it.

use salus_crypto::aead::{Aad, AeadKey, derive_key};
use salus_crypto::hpke::{RecipientKey, RecipientPublicKey};
use salus_crypto::passphrase::{self, GuessCost, Passphrase};
use salus_crypto::{Digest, DigestHasher, SigningKey};
use salus_model::Secret;

use crate::Counting;

fn reference(name: &str) -> String {
    let text = include_str!("../../testdata/reference/vectors.json");
    let vectors: serde_json::Value = serde_json::from_str(text).unwrap();
    vectors.get(name).and_then(|v| v.as_str()).unwrap().to_owned()
}

fn aad() -> Aad {
    Aad::new("test/domain", &[b"part"])
}

#[test]
fn digests() {
    // FIPS 180-4 example "abc".
    let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!(Digest::of(b"abc").to_string(), abc);
    assert_eq!(abc.parse(), Ok(Digest::of(b"abc")));
    let mut hasher = DigestHasher::new();
    hasher.update(b"a");
    hasher.update(b"bc");
    assert_eq!(hasher.finish(), Digest::of(b"abc"));
    let parts: [&[u8]; 3] = [b"one", b"", b"three"];
    let digest = Digest::of_parts("test/domain", &parts);
    assert_eq!(digest.to_string(), reference("digest_of_parts"));
    let json = serde_json::to_string(&digest).unwrap();
    assert_eq!(serde_json::from_str::<Digest>(&json).unwrap(), digest);
}

#[test]
fn parts_cannot_be_cut_elsewhere() {
    let digest = |parts: &[&[u8]]| Digest::of_parts("d", parts);
    assert_ne!(digest(&[b"ab", b"c"]), digest(&[b"a", b"bc"]));
    assert_ne!(digest(&[b"abc"]), digest(&[b"abc", b""]));
    assert_ne!(Digest::of_parts("d", &[b"x"]), Digest::of_parts("e", &[b"x"]));
    assert_ne!(Digest::of_parts("d", &[b"x"]), Digest::of_parts("dx", &[]));
}

#[test]
fn envelopes_and_derived_keys() {
    let key = AeadKey::from_secret(Secret::new([7; 32]));
    let envelope = key.seal(&mut Counting(0), &aad(), b"a plaintext").unwrap();
    assert_eq!(hex::encode(&envelope), reference("aead_v1"));
    assert_eq!(envelope.len(), 11 + salus_crypto::aead::OVERHEAD_BYTES);
    assert_eq!(*key.open(&aad(), &envelope).unwrap(), b"a plaintext");
    let derived = derive_key(&Secret::new([7; 32]), &aad());
    assert_eq!(hex::encode(derived.secret().expose()), reference("derived_v1"));
}

#[test]
fn signatures() {
    let key = SigningKey::from_secret(&Secret::new([7; 32]));
    assert_eq!(key.verifying_key().to_string(), reference("verifying_key"));
    let signature = key.sign("test/domain", b"a message");
    assert_eq!(hex::encode(signature.to_bytes()), reference("signature_v1"));
    let json = serde_json::to_string(&(key.verifying_key(), signature)).unwrap();
    let (verifying, signature): (salus_crypto::VerifyingKey, salus_crypto::Signature) =
        serde_json::from_str(&json).unwrap();
    assert_eq!(verifying.verify("test/domain", b"a message", &signature), Ok(()));
    assert!(!format!("{key:?}").contains(&hex::encode([7; 8])));
}

#[test]
fn passphrase_containers() {
    let passphrase = Passphrase::new(Secret::new("correct horse".to_owned())).unwrap();
    let container = passphrase::seal(
        &mut Counting(0),
        &passphrase,
        GuessCost::OWASP_MINIMUM,
        "test/purpose",
        b"a plaintext",
    )
    .unwrap();
    assert_eq!(hex::encode(&container), reference("passphrase_v1"));
    let opened = passphrase::open(&passphrase, "test/purpose", &container).unwrap();
    assert_eq!(*opened, b"a plaintext");
}

#[test]
fn messages_to_a_recipient() {
    let key = RecipientKey::generate(&mut Counting(9)).unwrap();
    let again = RecipientKey::from_secret(&key.to_secret()).unwrap();
    assert_eq!(again.public_key(), key.public_key());
    let json = serde_json::to_string(&key.public_key()).unwrap();
    let public: RecipientPublicKey = serde_json::from_str(&json).unwrap();
    let message = public.seal(&mut Counting(1), &aad(), b"beside", b"a result").unwrap();
    assert_eq!(*again.open(&aad(), b"beside", &message).unwrap(), b"a result");
}
