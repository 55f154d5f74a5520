"""DuckDB and pyarrow on encrypted files of their own making; one JSON question a line."""

import base64
import glob
import json
import os
import secrets
import sys
import time

import duckdb
import pyarrow
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pyarrow.parquet.encryption as pe

folder, plain = sys.argv[1], sys.argv[2]
files = sorted(glob.glob(os.path.join(plain, "*.parquet")))
columns = pq.read_schema(files[0]).names

# DuckDB: one key for the whole file, which is all that it offers. Its OpenSSL is an extension that
# is downloaded from elsewhere; without it, its own mbedTLS decrypts, and writes only when told that
# its randomness is no good, which a file made for measuring may be.
duck = duckdb.connect()
try:
    duck.execute("LOAD httpfs")
    cipher = "OpenSSL"
except duckdb.Error:
    duck.execute("SET force_mbedtls_unsafe = 'true'")
    cipher = "its own mbedTLS"
key = base64.b64encode(secrets.token_bytes(32)).decode()
duck.execute(f"PRAGMA add_parquet_key('key', '{key}')")
uniform = os.path.join(folder, "duckdb.parquet")
duck.execute(
    f"COPY (SELECT * FROM read_parquet('{plain}/*.parquet')) TO '{uniform}' "
    "(FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 262144, ENCRYPTION_CONFIG {footer_key: 'key'})"
)
duck.execute(
    f"CREATE VIEW observations AS SELECT * FROM read_parquet('{uniform}', "
    "encryption_config = {footer_key: 'key'})"
)


class Kms(pe.KmsClient):
    """Master keys in memory; wraps by a one-time pad under each, which costs nothing."""

    pads = {}

    def __init__(self, _config):
        super().__init__()

    def wrap_key(self, key_bytes, master):
        pad = self.pads.setdefault(master, secrets.token_bytes(32))
        return base64.b64encode(bytes(a ^ b for a, b in zip(key_bytes, pad)))

    def unwrap_key(self, wrapped, master):
        return bytes(a ^ b for a, b in zip(base64.b64decode(wrapped), self.pads[master]))


crypto = pe.CryptoFactory(Kms)
connection = pe.KmsConnectionConfig()
encryption = pe.EncryptionConfiguration(
    footer_key="footer", column_keys={f"key-{c}": [c] for c in columns}, data_key_length_bits=256
)
by_column = []
for number, name in enumerate(files):
    target = os.path.join(folder, f"pyarrow-{number}.parquet")
    table = pq.read_table(name)
    properties = crypto.file_encryption_properties(connection, encryption)
    with pq.ParquetWriter(
        target, table.schema, encryption_properties=properties, compression="zstd"
    ) as writer:
        writer.write_table(table, row_group_size=262144)
    by_column.append(target)
middle = f"obs-{len(files) * 1_000_000:012}"


def load(names):
    """The columns of every file."""
    tables = []
    for name in by_column:
        properties = crypto.file_decryption_properties(connection)
        tables.append(pq.ParquetFile(name, decryption_properties=properties).read(columns=names))
    return pyarrow.concat_tables(tables)


def with_pyarrow(what):
    """The same question, as a person would put it to pyarrow."""
    if what == "scan":
        table = load(columns)
        return [pc.max(table[c]) for c in columns]
    if what == "filter":
        table = load(["code", "value"])
        keep = pc.and_(pc.equal(table["code"], "8867-4"), pc.greater(table["value"], 100))
        return pc.mean(table.filter(keep)["value"])
    if what == "group by":
        return load(["code", "value"]).group_by("code").aggregate([("value", "mean"), ("value", "count")])
    # Row-group statistics first, as in the others.
    for name in by_column:
        file = pq.ParquetFile(name, decryption_properties=crypto.file_decryption_properties(connection))
        for group in range(file.metadata.num_row_groups):
            statistics = file.metadata.row_group(group).column(0).statistics
            if statistics is None or statistics.min <= middle <= statistics.max:
                table = file.read_row_group(group)
                found = table.filter(pc.equal(table["id"], middle))
                if found.num_rows:
                    return found
    return None


def answer(question):
    """Runs one and says what it took."""
    cpu, wall = time.process_time(), time.perf_counter()
    if question["peer"] == "duckdb":
        duck.execute(question["sql"]).to_arrow_table()
    else:
        with_pyarrow(question["what"])
    return {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}


print(json.dumps({"versions": f"DuckDB {duckdb.__version__} with {cipher}, pyarrow {pyarrow.__version__}"}), flush=True)
for line in sys.stdin:
    print(json.dumps(answer(json.loads(line))), flush=True)
