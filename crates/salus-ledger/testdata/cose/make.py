"""Signs and verifies the wire-v1 vectors with cbor2 and cryptography, from RFC 9052 alone.

Usage: python make.py > expected.txt   (in this folder; needs cbor2 and cryptography)
"""
import hashlib
import pathlib

import cbor2
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

WIRE = pathlib.Path(__file__).resolve().parent.parent / "wire-v1"
KEY = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(b"hub").digest())
PUBLIC = KEY.public_key().public_bytes_raw()


def cose_sign(payload: bytes) -> bytes:
    """RFC 9052, section 4.1: one signer, EdDSA and the raw key as its id, both protected."""
    ledger = cbor2.loads(payload)["ledger"]
    protected = cbor2.dumps({1: -8, 4: PUBLIC}, canonical=True)
    aad = b"salus-ledger/transaction/v1\0" + ledger
    tbs = cbor2.dumps(["Signature", b"", protected, aad, payload])
    body = [b"", {}, payload, [[protected, {}, KEY.sign(tbs)]]]
    return cbor2.dumps(cbor2.CBORTag(98, body))


for name in ("permits.grant.cose", "accounts.release.cose", "members.revoke.cose", "market.post-order.cose"):
    payload = cbor2.loads((WIRE / name).read_bytes()).value[2]
    # The payload is in core deterministic form: cbor2's canonical writer gives the same bytes.
    assert cbor2.dumps(cbor2.loads(payload), canonical=True) == payload
    print(name, cose_sign(payload).hex())


def node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def check_receipt(file: dict) -> None:
    """RFC 9942, profile RFC9162_SHA256, and RFC 9162, section 2.1.3.2."""
    receipt = cbor2.loads(file["receipt"])
    assert receipt.tag == 18
    protected, unprotected, payload, signature = receipt.value
    header = cbor2.loads(protected)
    assert header[1] == -8 and header[395] == 1 and payload is None
    (proof,) = unprotected[396][-1]
    size, index, path = cbor2.loads(proof)
    entry = cbor2.dumps(file["entry"], canonical=True)
    at, last, root = index, size - 1, hashlib.sha256(b"\x00" + entry).digest()
    for sibling in path:
        assert last != 0
        if at & 1 or at == last:
            root = node(sibling, root)
            while at and not at & 1:
                at, last = at >> 1, last >> 1
        else:
            root = node(root, sibling)
        at, last = at >> 1, last >> 1
    assert last == 0 and root == file["finality"]["header"]["history"]
    tbs = cbor2.dumps(["Signature1", protected, b"", root])
    Ed25519PublicKey.from_public_bytes(header[4]).verify(signature, tbs)


check_receipt(cbor2.loads((WIRE / "receipt.cbor").read_bytes()))
print("# receipt.cbor-cose-verified-by-cryptography")
