"""Uses the endpoint as a program that knows Vault would: with hvac, unchanged."""

import base64
import sys

import hvac
from hvac.exceptions import Forbidden, InvalidPath, InvalidRequest

url, root, reader, revoked = sys.argv[1:]
KEY = "observations.clinical"


def b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def refused(kind, call, *args, **kwargs):
    try:
        call(*args, **kwargs)
    except kind as error:
        return str(error)
    raise SystemExit(f"{call.__name__} {args} {kwargs} was not refused with {kind.__name__}")


client = hvac.Client(url=url, token=root)
assert client.is_authenticated()
assert client.sys.read_health_status(method="GET")["initialized"]
me = client.auth.token.lookup_self()["data"]
assert me["policies"] == ["test-policy"] and 0 < me["ttl"] <= 3600, me
transit = client.secrets.transit

assert transit.list_keys()["data"]["keys"] == [KEY]
read = transit.read_key(name=KEY)["data"]
assert read["type"] == "aes256-gcm96" and read["latest_version"] == 1 and read["keys"]["1"] > 0, read

one = transit.encrypt_data(name=KEY, plaintext=b64(b"sixteen byte key"))["data"]
assert one["ciphertext"].startswith("vault:v1:") and one["key_version"] == 1, one
two = transit.encrypt_data(
    name=KEY, plaintext=b64(b"sixteen byte key"), associated_data=b64(b"row 7")
)["data"]["ciphertext"]

transit.rotate_key(name=KEY)
assert transit.read_key(name=KEY)["data"]["latest_version"] == 2
plain = transit.decrypt_data(name=KEY, ciphertext=one["ciphertext"])["data"]["plaintext"]
assert base64.b64decode(plain) == b"sixteen byte key"
anew = transit.rewrap_data(name=KEY, ciphertext=one["ciphertext"])["data"]["ciphertext"]
assert anew.startswith("vault:v2:"), anew
assert transit.decrypt_data(name=KEY, ciphertext=anew)["data"]["plaintext"] == plain

opened = transit.decrypt_data(name=KEY, ciphertext=two, associated_data=b64(b"row 7"))
assert opened["data"]["plaintext"] == plain
for other in (None, b64(b"row 8")):
    refused(InvalidRequest, transit.decrypt_data, name=KEY, ciphertext=two, associated_data=other)

batch = transit.encrypt_data(
    name=KEY, plaintext=None, batch_input=[{"plaintext": b64(b"a")}, {"plaintext": b64(b"b")}]
)["data"]["batch_results"]
results = transit.decrypt_data(
    name=KEY, ciphertext=None, batch_input=[{"ciphertext": item["ciphertext"]} for item in batch]
)["data"]["batch_results"]
assert [base64.b64decode(item["plaintext"]) for item in results] == [b"a", b"b"]

for bits in (128, 256, 512):
    made = transit.generate_data_key(name=KEY, key_type="plaintext", bits=bits)["data"]
    assert len(base64.b64decode(made["plaintext"])) == bits // 8
    opened = transit.decrypt_data(name=KEY, ciphertext=made["ciphertext"])["data"]["plaintext"]
    assert opened == made["plaintext"]
made = transit.generate_data_key(name=KEY, key_type="wrapped")["data"]
assert "plaintext" not in made and made["ciphertext"].startswith("vault:v2:")

transit.create_key(name="short-lived")
lost = transit.encrypt_data(name="short-lived", plaintext=b64(b"x"))["data"]["ciphertext"]
refused(InvalidRequest, transit.delete_key, name="short-lived")
transit.update_key_configuration(name="short-lived", deletion_allowed=True)
transit.delete_key(name="short-lived")
refused(InvalidPath, transit.read_key, name="short-lived")
refused(InvalidRequest, transit.decrypt_data, name="short-lived", ciphertext=lost)

refused(InvalidRequest, transit.create_key, name="e", exportable=True)
refused(InvalidRequest, transit.encrypt_data, name="nowhere", plaintext=b64(b"x"))
refused(InvalidPath, transit.read_key, name="nowhere")
refused(InvalidPath, transit.export_key, name=KEY, key_type="encryption-key")
refused(InvalidPath, transit.backup_key, name=KEY)

limited = hvac.Client(url=url, token=reader).secrets.transit
limited.encrypt_data(name=KEY, plaintext=b64(b"x"))
said = refused(Forbidden, limited.decrypt_data, name=KEY, ciphertext=one["ciphertext"])
assert "permission denied" in said
refused(Forbidden, limited.rotate_key, name=KEY)
refused(Forbidden, limited.read_key, name="patients.clinical")

for token in (revoked, "hvs.nobody"):
    gone = hvac.Client(url=url, token=token)
    assert not gone.is_authenticated()
    refused(Forbidden, gone.secrets.transit.read_key, name=KEY)

print("every hvac call answered as Vault does")
