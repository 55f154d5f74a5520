"""Writes vectors.json: what each Salus format must look like, by independent implementations.

Needs: pip install argon2-cffi cryptography
"""

import hashlib
import json
import pathlib

from argon2.low_level import Type, hash_secret_raw
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat


def framed(*parts: bytes) -> bytes:
    return b"".join(len(p).to_bytes(8, "big") + p for p in parts)


def counting(n: int) -> bytes:
    """The bytes that the tests' fixed entropy gives first."""
    return bytes(range(n))


out = {}

out["digest_of_parts"] = hashlib.sha256(framed(b"test/domain", b"one", b"", b"three")).hexdigest()

key = bytes([7] * 32)
aad = framed(b"test/domain", b"part")
out["aead_v1"] = (
    b"\x01" + counting(12) + AESGCM(key).encrypt(counting(12), b"a plaintext", b"\x01" + aad)
).hex()
out["derived_v1"] = HKDF(hashes.SHA256(), 32, b"salus/hkdf/v1", aad).derive(key).hex()

signer = Ed25519PrivateKey.from_private_bytes(key)
message = b"salus/ed25519/v1\0" + framed(b"test/domain") + b"a message"
out["verifying_key"] = signer.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw).hex()
out["signature_v1"] = signer.sign(message).hex()

memory_kib, passes, lanes = 19456, 2, 1
random = counting(28)
header = b"SALUSPW1" + b"".join(n.to_bytes(4, "big") for n in (memory_kib, passes, lanes)) + random
stretched = hash_secret_raw(
    "correct horse".encode(), random[:16], passes, memory_kib, lanes, 32, Type.ID
)
sealed = AESGCM(stretched).encrypt(random[16:], b"a plaintext", header + b"test/purpose")
out["passphrase_v1"] = (header + sealed).hex()

path = pathlib.Path(__file__).with_name("vectors.json")
path.write_text(json.dumps(out, indent=2) + "\n")
