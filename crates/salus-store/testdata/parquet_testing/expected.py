"""Prints what pyarrow reads from the fixtures, as the JSON in expected.json.

Run: python expected.py > expected.json   (pyarrow==26.0.1, cryptography for the wrapped keys)
"""

import base64
import json
import pathlib

import pyarrow as pa
import pyarrow.fs
import pyarrow.parquet as pq
import pyarrow.parquet.encryption as pe
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

HERE = pathlib.Path(__file__).parent
KEYS = {"kf": b"0123456789012345", "kc1": b"1234567890123450", "kc2": b"1234567890123451"}


class InMemoryKms(pe.KmsClient):
    """As parquet-java's test class of that name: wraps locally, with the key's name as context."""

    def __init__(self, _config):
        pe.KmsClient.__init__(self)

    def unwrap_key(self, wrapped, name):
        sealed = base64.b64decode(wrapped)
        return AESGCM(KEYS[name]).decrypt(sealed[:12], sealed[12:], name.encode())


def values(column):
    kind = column.type
    if pa.types.is_time32(kind):
        return column.cast(pa.int32()).to_pylist()
    if pa.types.is_timestamp(kind):
        return column.cast(pa.int64()).to_pylist()
    if pa.types.is_binary(kind) or pa.types.is_fixed_size_binary(kind):
        return [None if v is None else v.hex() for v in column.to_pylist()]
    return column.to_pylist()


def table(found):
    return {name: values(found.column(name)) for name in found.column_names}


uniform = HERE / "uniform_encryption.parquet.encrypted"
properties = pe.create_decryption_properties(footer_key=KEYS["kf"])
tables = {uniform.name: table(pq.read_table(uniform, decryption_properties=properties))}

java = HERE / "external_key_material_java.parquet.encrypted"
factory = pe.CryptoFactory(InMemoryKms)
properties = factory.file_decryption_properties(
    pe.KmsConnectionConfig(), pe.DecryptionConfiguration(), str(java), pyarrow.fs.LocalFileSystem()
)
tables[java.name] = table(pq.ParquetFile(java, decryption_properties=properties).read())
print(json.dumps(tables))
