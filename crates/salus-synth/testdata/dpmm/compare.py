"""Scores dpmm's models on the adult table by the measures of salus_synth::quality.

python compare.py mst|aim ../../../../testdata/adult/adult_arx_30162x9.csv
"""

import itertools
import resource
import sys

import numpy as np
import pandas as pd
from dpmm.pipelines import AIMPipeline, MSTPipeline
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import OneHotEncoder

method, path = sys.argv[1:]
table = pd.read_csv(path, sep=";")
for column in table.columns.drop("age"):
    table[column] = table[column].astype("category")
fold = np.arange(len(table)) % 5
train, test = (table[part].reset_index(drop=True) for part in (fold != 4, fold == 4))
domain = {
    c: {"lower": 17, "upper": 96} if c == "age" else {"categories": list(table[c].cat.categories)}
    for c in table.columns
}

if method == "aim":
    pipeline = AIMPipeline(epsilon=1, delta=1e-6, n_jobs=1)
else:
    pipeline = MSTPipeline(epsilon=1, delta=1e-6)
pipeline.fit(train, domain, random_state=1)
made = pipeline.generate(len(train), random_state=1)
cpu = sum(
    resource.getrusage(who).ru_utime
    for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
)


def similarity(order):
    a, b = train.copy(), made.copy()
    for part in (a, b):
        part["age"] = (part["age"].astype(float) - 17) // 8
    a, b = a.astype(str), b.astype(str)
    scores = []
    for columns in itertools.combinations(table.columns, order):
        x, y = (p.groupby(list(columns)).size() / len(p) for p in (a, b))
        both = pd.concat([x, y], axis=1).fillna(0)
        scores.append(1 - (both[0] - both[1]).abs().sum() / 2)
    return np.mean(scores)


inputs = [c for c in table.columns if c != "salary-class"]
coder = OneHotEncoder(handle_unknown="ignore").fit(pd.concat([train, made])[inputs].astype(str))


def auc(part):
    model = LogisticRegression(max_iter=500)
    model.fit(coder.transform(part[inputs].astype(str)), part["salary-class"].astype(str) == ">50K")
    scores = model.predict_proba(coder.transform(test[inputs].astype(str)))[:, 1]
    return roc_auc_score(test["salary-class"].astype(str) == ">50K", scores)


one, two, three = (similarity(order) for order in (1, 2, 3))
print(
    f"{method}: quality {(one + two) / 2:.4f} (1-way {one:.4f}, 2-way {two:.4f}, 3-way {three:.4f}), "
    f"AUC {auc(made):.4f}, real {auc(train):.4f}, CPU {cpu:.1f} s"
)
