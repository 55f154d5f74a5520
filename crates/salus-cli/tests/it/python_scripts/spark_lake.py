"""One Spark session that reads lake files of several modes, and writes encrypted ones.

Arguments: javac; the key store client's Java source; a folder to work in; the plain file; a token
without `lake.quasi`; then exported policies. What it writes lies in `<folder>/out/<mode>`.
"""

import importlib.util
import os
import pathlib
import subprocess
import sys

import pyspark

javac, source, folder, plain, limited, *policies = sys.argv[1:]
folder = pathlib.Path(folder)
classes = folder / "classes"
classes.mkdir()
jars = pathlib.Path(pyspark.__path__[0]) / "jars" / "*"
subprocess.run([javac, "-cp", str(jars), "-d", str(classes), source], check=True)
os.environ["SALUS_KMS_CLASSES"] = str(classes)
os.environ["SPARK_LOCAL_IP"] = "127.0.0.1"
os.environ["PYSPARK_SUBMIT_ARGS"] = (
    "--master local[2] --driver-memory 1g --conf spark.ui.enabled=false "
    f"--conf spark.sql.warehouse.dir={folder / 'warehouse'} pyspark-shell"
)


def policy(path):
    spec = importlib.util.spec_from_file_location("policy", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


COLUMNS = ["id", "codings", "tags", "address", "pulse", "note"]
TOKEN = "parquet.encryption.key.access.token"


def rows(frame):
    return sorted(frame.select(*COLUMNS).collect(), key=lambda row: int(row["id"][1:]))


modules = {pathlib.Path(path).stem: policy(path) for path in policies}
spark = next(iter(modules.values())).spark
spark.sparkContext.setLogLevel("OFF")
original = spark.read.parquet(plain)
expected = rows(original)
assert len(expected) == 500 and expected[3]["codings"][1]["value"] == 31, expected[3]

for name, module in modules.items():
    found = spark.read.parquet(*module.FILES)
    assert found.schema.simpleString() == original.schema.simpleString(), found.schema
    assert rows(found) == expected, name
    assert found.where("address.city = 'city-1'").count() == 152, name

    without = spark.read.option(TOKEN, limited).parquet(*module.FILES)
    for columns in (["id", "pulse"], ["tags", "note"], ["address.zip"]):
        readable = without.select(*columns).collect()
        assert sorted(map(str, readable)) == sorted(map(str, original.select(*columns).collect()))
    for column in ("address.city", "codings", "address"):
        try:
            without.select(column).collect()
        except Exception as error:
            assert "permission denied for the key lake.quasi" in str(error), (name, column, error)
        else:
            raise SystemExit(f"{name}: {column} was read without its key")

    out = folder / "out" / name
    original.coalesce(1).write.options(**module.WRITE).parquet(str(out))
    again = spark.read.parquet(str(out))
    assert rows(again) == expected, name
    try:
        spark.read.option(TOKEN, limited).parquet(str(out)).select("address.city").collect()
    except Exception as error:
        assert "permission denied" in str(error), (name, error)
    else:
        raise SystemExit(f"{name}: Spark wrote address.city without encryption")

# One key for footer and columns alike.
out = folder / "out" / "uniform"
uniform = {"parquet.encryption.uniform.key": "lake.clinical"}
original.coalesce(1).write.options(**uniform).parquet(str(out))
spark.stop()
print(f"{len(modules)} datasets read and written by Spark")
