use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::checkpoint::key_id;
use crate::words::PublicKey;

#[test]
fn key_ids_are_those_of_signed_notes() {
    // The Go checksum database's published key: name, key id, algorithm byte and key.
    let published = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8";
    let mut parts = published.splitn(3, '+');
    let (name, id) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let key = BASE64.decode(parts.next().unwrap_or_default()).unwrap_or_default();
    let Some((1, raw)) = key.split_first().map(|(algorithm, raw)| (*algorithm, raw)) else {
        panic!("an Ed25519 note key begins with 1");
    };
    let Ok(raw) = PublicKey::try_from(raw) else { panic!("32 bytes") };
    assert_eq!(hex::encode(key_id(name, 1, &raw)), id);
    // A cosignature's key id differs by its algorithm byte (C2SP tlog-cosignature).
    assert_ne!(key_id(name, 4, &raw), key_id(name, 1, &raw));
}
