"""Writes and reads encrypted Parquet with pyarrow, its master keys behind the endpoint."""

import base64
import datetime
import json
import pathlib
import re
import sys

import hvac
import pyarrow as pa
import pyarrow.fs
import pyarrow.parquet as pq
import pyarrow.parquet.encryption as pe

url, token, limited, folder = sys.argv[1:]
folder = pathlib.Path(folder)


class VaultKms(pe.KmsClient):
    """A key store client as one would write it for Vault's transit engine."""

    def __init__(self, config):
        pe.KmsClient.__init__(self)
        client = hvac.Client(url=config.kms_instance_url, token=config.key_access_token)
        self.transit = client.secrets.transit

    def wrap_key(self, key_bytes, name):
        plaintext = base64.b64encode(key_bytes).decode()
        return self.transit.encrypt_data(name=name, plaintext=plaintext)["data"]["ciphertext"]

    def unwrap_key(self, wrapped, name):
        text = wrapped.decode() if isinstance(wrapped, bytes) else wrapped
        answer = self.transit.decrypt_data(name=name, ciphertext=text)
        return base64.b64decode(answer["data"]["plaintext"])


def connection(access):
    return pe.KmsConnectionConfig(kms_instance_url=url, key_access_token=access)


table = pa.table({"name": ["ann", "bob"], "glucose": [5.1, 6.2], "at": [1, 2]})
local = pa.fs.LocalFileSystem()
written = []
for internal in (True, False):
    for double in (True, False):
        factory = pe.CryptoFactory(VaultKms)
        path = folder / f"t-{internal}-{double}.parquet"
        beside = {} if internal else {"parquet_file_path": str(path), "filesystem": local}
        config = pe.EncryptionConfiguration(
            footer_key="obs.footer",
            column_keys={"obs.identifiers": ["name"], "obs.clinical": ["glucose", "at"]},
            plaintext_footer=True,
            double_wrapping=double,
            internal_key_material=internal,
            data_key_length_bits=256,
        )
        properties = factory.file_encryption_properties(connection(token), config, **beside)
        with pq.ParquetWriter(path, table.schema, encryption_properties=properties) as writer:
            writer.write_table(table)

        def read(access, columns=None):
            fresh = pe.CryptoFactory(VaultKms)
            reading = pe.DecryptionConfiguration(cache_lifetime=datetime.timedelta(minutes=1))
            keys = fresh.file_decryption_properties(connection(access), reading, **beside)
            file = pq.ParquetFile(path, decryption_properties=keys)
            return file.read(columns=columns)

        assert read(token).equals(table)
        # Without the key of the names: the other columns, and not that one.
        assert read(limited, ["glucose", "at"]).equals(table.select(["glucose", "at"]))
        try:
            read(limited, ["name"])
        except (PermissionError, OSError, hvac.exceptions.Forbidden) as error:
            assert "permission denied" in str(error), error
        else:
            raise SystemExit("a column was read without its key")

        found = re.findall(rb'\{"[^{}]*PKMT1[^{}]*\}', path.read_bytes())
        material = path.with_name(f"_KEY_MATERIAL_FOR_{path.name}.json")
        written.append({
            "file": path.name,
            "internal": internal,
            "double": double,
            "metadata": sorted({m.decode() for m in found}),
            "beside": {material.name: material.read_text()} if material.exists() else {},
        })
print(json.dumps(written))
