"""Reads the files of @DATASET@ with Spark, and writes alike; master keys stay in their store.

Needs: pip install pyspark, and VaultTransitKms.java of Salus's examples/spark, compiled with Spark's
own jars, as a folder or jar that SALUS_KMS_CLASSES names. SALUS_KMS_TOKEN is a token of the key
store, SALUS_KMS_URL its address where it is another than below, SALUS_KMS_CA a PEM file with the
certificates to trust there instead of the public ones.
"""

import os

from pyspark.sql import SparkSession

# The files of version @VERSION@; others in their folder belong to other versions.
FILES = @FILES@

SETTINGS = {
    "parquet.crypto.factory.class": "org.apache.parquet.crypto.keytools.PropertiesDrivenCryptoFactory",
    "parquet.encryption.kms.client.class": "org.salus.interop.VaultTransitKms",
    "parquet.encryption.kms.instance.url": os.environ.get("SALUS_KMS_URL", @URL@),
    "parquet.encryption.key.access.token": os.environ["SALUS_KMS_TOKEN"],
    "salus.kms.ca.file": os.environ.get("SALUS_KMS_CA", ""),
}
# For writing: df.write.options(**WRITE).parquet(folder)
WRITE = @WRITE@

builder = SparkSession.builder.config(
    "spark.driver.extraClassPath", os.environ["SALUS_KMS_CLASSES"]
).config("spark.executor.extraClassPath", os.environ["SALUS_KMS_CLASSES"])
for name, value in SETTINGS.items():
    builder = builder.config("spark.hadoop." + name, value)
spark = builder.getOrCreate()

if __name__ == "__main__":
    print(spark.read.parquet(*FILES).count(), "rows")
