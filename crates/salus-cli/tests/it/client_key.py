"""Makes a client's P-384 key with an independent library.

Usage: client_key.py FOLDER KID    writes key.pem and jwks.json
"""

import base64
import json
import os
import sys

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec


def write(name, data):
    path = os.path.join(sys.argv[1], name)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(data)


def coordinate(value):
    return base64.urlsafe_b64encode(value.to_bytes(48, "big")).rstrip(b"=").decode()


key = ec.generate_private_key(ec.SECP384R1())
plain = serialization.NoEncryption()
form = serialization.PrivateFormat.PKCS8
write("key.pem", key.private_bytes(serialization.Encoding.PEM, form, plain))
numbers = key.public_key().public_numbers()
jwk = {"kty": "EC", "crv": "P-384", "kid": sys.argv[2], "use": "sig"}
jwk |= {"x": coordinate(numbers.x), "y": coordinate(numbers.y)}
write("jwks.json", json.dumps({"keys": [jwk]}).encode())
