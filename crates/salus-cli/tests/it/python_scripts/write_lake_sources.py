"""Writes nested rows as a plain Parquet file, and encrypted by pyarrow in each of its ways."""

import base64
import itertools
import os
import pathlib
import sys

import hvac
import pyarrow as pa
import pyarrow.fs
import pyarrow.parquet as pq
import pyarrow.parquet.encryption as pe

folder = pathlib.Path(sys.argv[1])
ROWS = 500


class TransitKms(pe.KmsClient):
    def __init__(self, config):
        pe.KmsClient.__init__(self)
        self.transit = hvac.Client(
            url=config.kms_instance_url,
            token=config.key_access_token,
            verify=os.environ["SALUS_KMS_CA"],
        ).secrets.transit

    def wrap_key(self, key, name):
        plaintext = base64.b64encode(key).decode()
        return self.transit.encrypt_data(name=name, plaintext=plaintext)["data"]["ciphertext"]

    def unwrap_key(self, wrapped, name):
        raise SystemExit("writing unwraps nothing")


def record(row):
    coding = lambda n: {"system": None if n == 2 else f"s{row}", "value": row * 10 + n}
    return {
        "id": f"p{row}",
        "codings": None if row % 7 == 0 else [coding(n) for n in range(row % 4)],
        "tags": None if row % 5 == 0 else [(f"k{n}", [n / 4, None]) for n in range(row % 3)],
        "address": None if row % 11 == 0 else {"city": f"city-{row % 3}", "zip": row},
        "pulse": None if row % 13 == 0 else 60 + row % 40,
        "note": "" if row % 2 else None,
    }


schema = pa.schema(
    [
        ("id", pa.string()),
        ("codings", pa.list_(pa.struct([("system", pa.string()), ("value", pa.int64())]))),
        ("tags", pa.map_(pa.string(), pa.list_(pa.float64()))),
        ("address", pa.struct([("city", pa.string()), ("zip", pa.int64())])),
        ("pulse", pa.int64()),
        ("note", pa.string()),
    ]
)
table = pa.Table.from_pylist([record(row) for row in range(ROWS)], schema=schema)
pq.write_table(table, folder / "plain.parquet", row_group_size=128)

connection = pe.KmsConnectionConfig(
    kms_instance_url=os.environ["SALUS_KMS_URL"], key_access_token=os.environ["SALUS_KMS_TOKEN"]
)
factory = pe.CryptoFactory(TransitKms)
for double, internal, plaintext_footer in itertools.product((True, False), repeat=3):
    for bits in (128, 256):
        words = ["double" if double else "single", "internal" if internal else "external"]
        words += ["signed" if plaintext_footer else "encrypted", str(bits)]
        path = folder / f"{'-'.join(words)}.parquet"
        how = pe.EncryptionConfiguration(
            footer_key="foreign.footer",
            column_keys={
                "foreign.identifiers": ["id", "address.zip"],
                "foreign.quasi": ["codings.list.element.value", "address.city"],
                "foreign.clinical": ["codings.list.element.system", "pulse"],
                "foreign.freetext": [
                    "tags.key_value.key",
                    "tags.key_value.value.list.element",
                    "note",
                ],
            },
            plaintext_footer=plaintext_footer,
            double_wrapping=double,
            internal_key_material=internal,
            data_key_length_bits=bits,
        )
        beside = {"parquet_file_path": str(path), "filesystem": pyarrow.fs.LocalFileSystem()}
        properties = factory.file_encryption_properties(connection, how, **beside)
        with pq.ParquetWriter(path, schema, encryption_properties=properties) as writer:
            writer.write_table(table, row_group_size=200)
