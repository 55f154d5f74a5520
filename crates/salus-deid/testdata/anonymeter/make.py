"""Risks that anonymeter measures on the Adult thirds; prints findings.csv.

usage: python make.py path/to/adult_arx_30162x9.csv > findings.csv
"""
import sys
import warnings

import numpy as np
import pandas as pd
from anonymeter.evaluators import InferenceEvaluator, LinkabilityEvaluator, SinglingOutEvaluator

warnings.filterwarnings("ignore")
np.random.seed(2026)
CONFIDENCE = 0.995
ATTACKS = 2000

table = pd.read_csv(sys.argv[1], sep=";")
real, control, others = (table.iloc[r::3].reset_index(drop=True) for r in range(3))
n = len(others)
copies = others.copy()
copies.iloc[: n // 10] = real.iloc[np.arange(n // 10) * 7].values
releases = {"independent": others, "copies": copies, "verbatim": real.copy()}

print("release,attack,risk,lower,upper")
for name, released in releases.items():
    single = SinglingOutEvaluator(
        ori=real, syn=released, control=control, n_attacks=ATTACKS, n_cols=6
    )
    single.evaluate(mode="multivariate")
    columns = list(table.columns)
    guess = InferenceEvaluator(
        ori=real,
        syn=released,
        control=control,
        aux_cols=[c for c in columns if c != "salary-class"],
        secret="salary-class",
        n_attacks=ATTACKS,
    )
    guess.evaluate(n_jobs=1)
    link = LinkabilityEvaluator(
        ori=real,
        syn=released,
        control=control,
        aux_cols=(columns[:4], columns[4:]),
        n_attacks=ATTACKS,
        n_neighbors=1,
    )
    link.evaluate(n_jobs=1)
    for attack, evaluator in [
        ("singling-out-multivariate", single),
        ("inference", guess),
        ("linkability", link),
    ]:
        risk = evaluator.risk(confidence_level=CONFIDENCE)
        print(f"{name},{attack},{risk.value:.6f},{risk.ci[0]:.6f},{risk.ci[1]:.6f}")
