"""Writes a Parquet file of nested columns in many row groups, and its rows as JSON lines."""

import datetime
import decimal
import json
import pathlib
import sys

import pyarrow as pa
import pyarrow.parquet as pq

folder = pathlib.Path(sys.argv[1])
ROWS = 10_000
start = datetime.datetime(2024, 2, 28, 23, 59, 59, 500_000, tzinfo=datetime.timezone.utc)


def coding(row, n):
    return {"system": f"s{n}", "value": None if (row + n) % 5 == 0 else row * 10 + n}


def record(row):
    return {
        "patient": f"p{row % 97}",
        "codings": None if row % 7 == 0 else [coding(row, n) for n in range(row % 4)],
        "tags": None if row % 11 == 0 else [(f"k{n}", [n / 2, None]) for n in range(row % 3)],
        "address": None if row % 13 == 0 else {"city": "Delft" if row % 2 else None, "zip": row},
        "when": start + datetime.timedelta(seconds=row),
        "small": row % 128,
        "price": decimal.Decimal(row) / 4,
    }


schema = pa.schema(
    [
        ("patient", pa.string()),
        ("codings", pa.list_(pa.struct([("system", pa.large_string()), ("value", pa.int32())]))),
        ("tags", pa.map_(pa.string(), pa.list_(pa.float32()))),
        ("address", pa.struct([("city", pa.dictionary(pa.int8(), pa.string())), ("zip", pa.uint16())])),
        ("when", pa.timestamp("ns", "Europe/Amsterdam")),
        ("small", pa.int8()),
        ("price", pa.decimal128(12, 2)),
    ]
)
records = [record(row) for row in range(ROWS)]
table = pa.Table.from_pylist(records, schema=schema)
pq.write_table(table, folder / "stays.parquet", row_group_size=777)

with open(folder / "expected.ndjson", "w") as out:
    for row in records:
        row["tags"] = None if row["tags"] is None else dict(row["tags"])
        row["when"] = int((row["when"] - datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)) / datetime.timedelta(microseconds=1))
        row["price"] = float(row["price"])
        out.write(json.dumps(row) + "\n")

bad = pa.table(
    {
        "patient": ["ann", "bob", None, "dan"],
        "readings": pa.array([[1, 2], [2**63], [3], None], pa.list_(pa.uint64())),
        "ratio": [0.5, 1.0, 2.0, float("nan")],
    }
)
pq.write_table(bad, folder / "bad.parquet")
