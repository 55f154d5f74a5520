//! Published vectors whose inputs the public functions do not take in this raw form.
#![allow(clippy::unwrap_used)]

use ed25519_dalek::Signer as _;
use hpke::{Deserializable as _, Serializable as _};
use salus_model::{Entropy, EntropyFailed, Secret};

use crate::{EntropyRng, SigningKey};

fn unhex(text: &str) -> Vec<u8> {
    hex::decode(text).unwrap()
}

struct Fixed(Vec<u8>);

impl Entropy for Fixed {
    fn fill(&mut self, buffer: &mut [u8]) -> Result<(), EntropyFailed> {
        if self.0.len() < buffer.len() {
            return Err(EntropyFailed);
        }
        let rest = self.0.split_off(buffer.len());
        buffer.copy_from_slice(&self.0);
        self.0 = rest;
        Ok(())
    }
}

/// RFC 8032, section 7.1, tests 1 to 3: seed, public key, message, signature.
const RFC_8032: [[&str; 4]; 3] = [
    [
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
    ],
    [
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ],
    [
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
    ],
];

#[test]
fn ed25519_gives_the_signatures_of_rfc_8032() {
    for [seed, public, message, signature] in RFC_8032 {
        let key = SigningKey::from_secret(&Secret::new(unhex(seed).try_into().unwrap()));
        assert_eq!(key.verifying_key().to_string(), public);
        let raw = key.0.sign(&unhex(message));
        assert_eq!(hex::encode(raw.to_bytes()), signature);
        assert!(key.verifying_key().0.verify_strict(&unhex(message), &raw).is_ok());
    }
}

#[test]
fn hkdf_gives_the_keys_of_rfc_5869() {
    // Appendix A.1 and A.2: input key, salt, info, output.
    let long = |from: u8| (from..from + 80).collect::<Vec<u8>>();
    let info_2: Vec<u8> = (0xb0..=0xff).collect();
    let cases = [
        (
            vec![0x0b; 22],
            (0..=0x0c).collect(),
            unhex("f0f1f2f3f4f5f6f7f8f9"),
            "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865",
        ),
        (
            long(0),
            long(0x60),
            info_2,
            "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e590e09da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87",
        ),
    ];
    for (parent, salt, info, expected) in cases {
        let mut out = vec![0; expected.len() / 2];
        crate::aead::hkdf(&salt, &parent, &info, &mut out);
        assert_eq!(hex::encode(out), expected);
    }
}

#[test]
fn hpke_gives_the_message_of_rfc_9180_a_2() {
    let info = unhex("4f6465206f6e2061204772656369616e2055726e");
    let aad = unhex("436f756e742d30");
    let plaintext = unhex("4265617574792069732074727574682c20747275746820626561757479");
    let private = unhex("8057991eef8f1f1af18f4a9491d16a1ce333f695d4db8e38da75975c4478e0fb");
    let encapped = "1afa08d3dec047a643885163f1180476fa7ddb54c6a8029ea33f95796bf2ac4a";
    let ciphertext = "1c5250d8034ec2b784ba2cfd69dbdb8af406cfe3ff938e131f0def8c8b60b4db21993c62ce81883d2dd1b51a28";
    // ikmE of the vector: the sender's ephemeral key is derived from the first bytes drawn.
    let ikm = unhex("909a9b35d3dc4713a5e72a4da274b55d3d3821a37e5d099e74a647db583a904b");

    let key = crate::hpke::RecipientKey::from_secret(&Secret::new(
        private.as_slice().try_into().unwrap(),
    ))
    .unwrap();
    let public = key.public_key();
    assert_eq!(
        public.to_string(),
        "4310ee97d88cc1f088a5576c77ab0cf5c3ac797f3d95139c6c84b5429c59662a"
    );
    let (enc, ct) =
        crate::hpke::seal_parts(&mut Fixed(ikm), &public.0, &info, &aad, &plaintext).unwrap();
    assert_eq!(hex::encode(&enc), encapped);
    assert_eq!(hex::encode(&ct), ciphertext);
    let opened = crate::hpke::open_parts(&key.0, &info, &aad, &enc, &ct).unwrap();
    assert_eq!(*opened, plaintext);
}

#[test]
fn a_source_that_fails_yields_no_result() {
    type Kem = hpke::kem::X25519HkdfSha256;
    let drawn = EntropyRng::draw(&mut Fixed(vec![1; 8]), |rng| {
        let key = <Kem as hpke::Kem>::gen_keypair_with_rng(rng).0;
        <Kem as hpke::Kem>::PrivateKey::from_bytes(&key.to_bytes()).is_ok()
    });
    assert_eq!(drawn, Err(EntropyFailed));
    // A caller that samples until a value fits must still come to an end.
    let drawn =
        EntropyRng::draw(
            &mut Fixed(vec![]),
            |rng| {
                while rand_core::RngCore::next_u32(rng) % 7 != 3 {}
            },
        );
    assert_eq!(drawn, Err(EntropyFailed));
}
