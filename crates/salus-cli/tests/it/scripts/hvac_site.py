"""Uses `salus keys serve` with hvac, unchanged, over TLS."""

import base64
import sys

import hvac
from hvac.exceptions import Forbidden

url, authority, token, narrow, revoked = sys.argv[1:]


def b64(raw):
    return base64.b64encode(raw).decode()


def refused(call, **kwargs):
    try:
        call(**kwargs)
    except Forbidden:
        return
    raise SystemExit(f"{call.__name__} {kwargs} was not refused")


client = hvac.Client(url=url, token=token, verify=authority)
assert client.is_authenticated()
transit = client.secrets.transit
transit.create_key(name="spark.clinical", key_type="aes256-gcm96")
one = transit.encrypt_data(name="spark.clinical", plaintext=b64(b"sixteen byte key"))
wrapped = one["data"]["ciphertext"]
assert wrapped.startswith("vault:v1:"), wrapped
transit.rotate_key(name="spark.clinical")
anew = transit.rewrap_data(name="spark.clinical", ciphertext=wrapped)["data"]["ciphertext"]
assert anew.startswith("vault:v2:"), anew
for text in (wrapped, anew):
    plain = transit.decrypt_data(name="spark.clinical", ciphertext=text)["data"]["plaintext"]
    assert base64.b64decode(plain) == b"sixteen byte key"

other = hvac.Client(url=url, token=narrow, verify=authority).secrets.transit
other.encrypt_data(name="spark.clinical", plaintext=b64(b"x"))
refused(other.decrypt_data, name="spark.clinical", ciphertext=anew)
refused(other.read_key, name="site.keys")
assert not hvac.Client(url=url, token=revoked, verify=authority).is_authenticated()
gone = hvac.Client(url=url, token=revoked, verify=authority).secrets.transit
refused(gone.encrypt_data, name="spark.clinical", plaintext=b64(b"x"))
print("hvac is served as by Vault")
