"""Writes the key material that pyarrow puts into and beside encrypted Parquet files.

Needs: pip install pyarrow cryptography
"""

import base64
import json
import pathlib
import re
import tempfile
from datetime import timedelta

import pyarrow as pa
import pyarrow.fs
import pyarrow.parquet as pq
import pyarrow.parquet.encryption as pe
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

MASTER_KEYS = {"kf": bytes([1] * 32), "kc1": bytes([2] * 32), "kc2": bytes([3] * 16)}
wrapped = []


class LocalKms(pe.KmsClient):
    """Wraps as parquet-java's InMemoryKMS does: AES-GCM with the master key's name as context."""

    def __init__(self, _config):
        pe.KmsClient.__init__(self)

    def wrap_key(self, key_bytes, name):
        wrapped.append({"masterKey": name, "key": key_bytes.hex()})
        nonce = bytes([len(wrapped)] * 12)
        sealed = AESGCM(MASTER_KEYS[name]).encrypt(nonce, key_bytes, name.encode())
        return base64.b64encode(nonce + sealed)

    def unwrap_key(self, text, name):
        raw = base64.b64decode(text)
        return AESGCM(MASTER_KEYS[name]).decrypt(raw[:12], raw[12:], name.encode())


table = pa.table({"a": [1, 2, 3], "b": ["x", "y", "z"], "c": [0.5, 1.5, 2.5]})
factory = pe.CryptoFactory(LocalKms)
connection = pe.KmsConnectionConfig()
out = {"pyarrow": pa.__version__, "master_keys": {k: v.hex() for k, v in MASTER_KEYS.items()}}

for name, double, internal, bits in [
    ("single_internal_128", False, True, 128),
    ("double_internal_128", True, True, 128),
    ("single_external_256", False, False, 256),
    ("double_external_256", True, False, 256),
]:
    wrapped.clear()
    config = pe.EncryptionConfiguration(
        footer_key="kf",
        column_keys={"kc1": ["a"], "kc2": ["b"]},
        plaintext_footer=True,
        double_wrapping=double,
        internal_key_material=internal,
        data_key_length_bits=bits,
        cache_lifetime=timedelta(minutes=5),
    )
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "t.parquet"
        kwargs = {} if internal else {
            "parquet_file_path": str(path), "filesystem": pa.fs.LocalFileSystem()
        }
        properties = factory.file_encryption_properties(connection, config, **kwargs)
        with pq.ParquetWriter(path, table.schema, encryption_properties=properties) as writer:
            writer.write_table(table)
        found = re.findall(rb'\{"[^{}]*PKMT1[^{}]*\}', path.read_bytes())
        beside = [p for p in pathlib.Path(folder).iterdir() if p != path]
        out[name] = {
            "metadata": list(dict.fromkeys(m.decode() for m in found)),
            "wrapped": list(wrapped),
            "beside": {p.name: p.read_text() for p in beside},
        }

path = pathlib.Path(__file__).with_name("material.json")
path.write_text(json.dumps(out, indent=1) + "\n")
