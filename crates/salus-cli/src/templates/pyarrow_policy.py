"""Reads the files of @DATASET@ with pyarrow, and writes alike; master keys stay in their store.

Needs: pip install pyarrow hvac
SALUS_KMS_TOKEN is a token of the key store, SALUS_KMS_URL its address where it is another than
below, SALUS_KMS_CA a PEM file with the certificates to trust there instead of the public ones.
"""

import base64
import os

import hvac
import pyarrow as pa
import pyarrow.fs
import pyarrow.parquet as pq
import pyarrow.parquet.encryption as pe

KMS_URL = os.environ.get("SALUS_KMS_URL", @URL@)
KMS_TOKEN = os.environ["SALUS_KMS_TOKEN"]
KMS_CA = os.environ.get("SALUS_KMS_CA", True)
# The files of version @VERSION@; others in their folder belong to other versions.
FILES = @FILES@


class TransitKms(pe.KmsClient):
    """Wraps and unwraps keys by Vault's transit engine."""

    def __init__(self, config):
        pe.KmsClient.__init__(self)
        client = hvac.Client(
            url=config.kms_instance_url, token=config.key_access_token, verify=KMS_CA
        )
        self.transit = client.secrets.transit

    def wrap_key(self, key, name):
        plaintext = base64.b64encode(key).decode()
        return self.transit.encrypt_data(name=name, plaintext=plaintext)["data"]["ciphertext"]

    def unwrap_key(self, wrapped, name):
        text = wrapped.decode() if isinstance(wrapped, bytes) else wrapped
        answer = self.transit.decrypt_data(name=name, ciphertext=text)
        return base64.b64decode(answer["data"]["plaintext"])


CONNECTION = pe.KmsConnectionConfig(kms_instance_url=KMS_URL, key_access_token=KMS_TOKEN)
FACTORY = pe.CryptoFactory(TransitKms)


def beside(path):
    """Where external key material lies: beside the file."""
    return {"parquet_file_path": str(path), "filesystem": pyarrow.fs.LocalFileSystem()}


def read(path, columns=None):
    """The file's rows; without a key, every column but those under it can be named."""
    keys = FACTORY.file_decryption_properties(
        CONNECTION, pe.DecryptionConfiguration(), **beside(path)
    )
    return pq.ParquetFile(path, decryption_properties=keys).read(columns=columns)


def write(table, path):
    """A file that is encrypted as the dataset's own are."""
    how = pe.EncryptionConfiguration(
        footer_key=@FOOTER@,
        column_keys=@COLUMN_KEYS@,
        plaintext_footer=@PLAINTEXT_FOOTER@,
        double_wrapping=@DOUBLE@,
        internal_key_material=@INTERNAL@,
        data_key_length_bits=@BITS@,
    )
    keys = FACTORY.file_encryption_properties(CONNECTION, how, **beside(path))
    with pq.ParquetWriter(path, table.schema, encryption_properties=keys) as writer:
        writer.write_table(table)


if __name__ == "__main__":
    for path in FILES:
        print(path, read(path).num_rows, "rows")
