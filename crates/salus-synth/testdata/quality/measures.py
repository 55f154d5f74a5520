"""Association, propensity and train-on-synthetic-test-on-real, by scipy and scikit-learn."""

import csv
import json
import sys

import numpy as np
from scipy.stats import f_oneway
from scipy.stats.contingency import association, crosstab
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import OneHotEncoder


def table(path):
    with open(path, newline="") as file:
        rows = list(csv.reader(file))
    return rows[0], rows[1:]


def model():
    return LogisticRegression(C=1e4, max_iter=2000)


def auc(train, test, target, positive):
    features = [i for i in range(len(train[0])) if i != target]
    pick = lambda rows: [[row[i] for i in features] for row in rows]
    labels = lambda rows: np.array([row[target] == positive for row in rows])
    encoder = OneHotEncoder(handle_unknown="ignore").fit(pick(train + test))
    fitted = model().fit(encoder.transform(pick(train)), labels(train))
    return roc_auc_score(labels(test), fitted.decision_function(encoder.transform(pick(test))))


def propensity(real, synthetic):
    encoder = OneHotEncoder(handle_unknown="ignore").fit(real + synthetic)
    half = lambda odd: (
        real[odd::2] + synthetic[odd::2],
        np.array([False] * len(real[odd::2]) + [True] * len(synthetic[odd::2])),
    )
    (train, known), (test, asked) = half(0), half(1)
    fitted = model().fit(encoder.transform(train), known)
    scores = fitted.predict_proba(encoder.transform(test))[:, 1]
    return [roc_auc_score(asked, scores), float(np.mean((scores - asked.mean()) ** 2))]


names, real = table(sys.argv[1])
_, synthetic = table(sys.argv[2])
target = names.index(sys.argv[3])
# The last column is there for Pearson's r alone.
bare = lambda rows: [row[:-1] for row in rows]
column = lambda name: np.array([row[names.index(name)] for row in real])
ages = column("age").astype(float)
words = column("marital-status")
groups = [ages[words == word] for word in np.unique(words)]
f = f_oneway(*groups).statistic
between, within = len(groups) - 1, len(ages) - len(groups)
print(json.dumps({
    "auc": auc(bare(synthetic), bare(real), target, sys.argv[4]),
    "propensity": propensity(bare(real), bare(synthetic)),
    "cramer": association(crosstab(words, column("occupation")).count, method="cramer"),
    "ratio": float(np.sqrt(f * between / (f * between + within))),
    "pearson": float(np.corrcoef(ages, column("hours").astype(float))[0, 1]),
}))
