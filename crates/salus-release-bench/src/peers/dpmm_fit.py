"""Synthesises the Adult table with dpmm; prints CPU seconds.

usage: python dpmm_fit.py METHOD train.csv domain.json out.csv
"""
import json
import sys
import time
import warnings

import pandas as pd
from dpmm.pipelines import AIMPipeline, MSTPipeline

warnings.filterwarnings("ignore")
method, train, domain, out = sys.argv[1:]
table = pd.read_csv(train, sep=";")
for column in table.columns:
    if column != "age":
        table[column] = table[column].astype("category")
with open(domain) as file:
    domain = json.load(file)
kind = {"aim": AIMPipeline, "mst": MSTPipeline}[method]
start = time.process_time()
model = kind(epsilon=1.0, delta=1e-6, proc_epsilon=0.1)
model.fit(table, domain, random_state=7)
synthetic = model.generate(n_records=len(table), random_state=7)
spent = time.process_time() - start
synthetic["age"] = synthetic["age"].astype(float).round().astype(int)
synthetic.to_csv(out, sep=";", index=False)
print(f"{spent:.1f}")
