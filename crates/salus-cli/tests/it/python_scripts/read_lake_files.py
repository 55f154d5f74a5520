"""Compares lake files, read by the code that `keys export-policy` prints, with the plain rows.

Arguments: the plain file; a token without `<prefix>.quasi`; folders with an exported policy each.
"""

import importlib.util
import os
import pathlib
import sys

import pyarrow.parquet as pq

plain, limited, *policies = sys.argv[1:]
NAMES = ["id", "codings", "tags", "address", "pulse", "note"]
expected = pq.read_table(plain).to_pylist()
# Leaves under the key that the limited token lacks, and what can be read without it.
REFUSED = ["codings.list.element.value", "address.city", "codings", "address"]
READABLE = ["id", "tags", "pulse", "note", "address.zip", "codings.list.element.system"]


def policy(path, token):
    os.environ["SALUS_KMS_TOKEN"] = token
    spec = importlib.util.spec_from_file_location("policy", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def rows(found):
    assert found.column_names == NAMES, found.column_names
    return sorted(found.to_pylist(), key=lambda row: int(row["id"][1:]))


full = os.environ["SALUS_KMS_TOKEN"]
for path in policies:
    path = pathlib.Path(path)
    module = policy(path, full)
    assert len(module.FILES) == 1, module.FILES
    file = module.FILES[0]
    assert rows(module.read(file)) == rows(pq.read_table(plain)), path

    without = policy(path, limited)
    for column in READABLE:
        found = without.read(file, [column])
        wanted = pq.ParquetFile(plain).read(columns=[column])
        assert found.to_pylist() == wanted.to_pylist(), (path, column)
    for column in REFUSED:
        try:
            without.read(file, [column])
        except Exception as error:
            assert "permission denied" in str(error), (path, column, error)
        else:
            raise SystemExit(f"{path}: {column} was read without its key")

    # And a file that the policy's own code writes is read again by it.
    again = path.with_suffix(".again.parquet")
    module.write(pq.read_table(plain), again)
    assert rows(module.read(again)) == rows(pq.read_table(plain)), again
    try:
        without.read(again, ["address.city"])
    except Exception as error:
        assert "permission denied" in str(error), error
    else:
        raise SystemExit(f"{again}: written without encryption")
print(f"{len(policies)} datasets read as written")
