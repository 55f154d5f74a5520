"""Reference values for zCDP accounting, from dp-accounting, opendp and mpmath."""

import json

import dp_accounting
import mpmath
import numpy

import opendp.prelude as dp
from dp_accounting import pld, rdp

mpmath.mp.dps = 40
dp.enable_features("contrib")

RHOS = [1e-6, 2.5e-5, 1e-3, 0.01, 0.05, 0.1, 0.5, 1.0, 2.5, 10.0, 50.0]
DELTAS = [1e-12, 1e-9, 1e-6, 1e-5, 1e-3, 0.01]


def exact_epsilon(rho, delta):
    """Proposition 12 of Canonne, Kamath, Steinke 2020, minimised over the order."""
    rho, delta = mpmath.mpf(rho), mpmath.mpf(delta)

    def at(t):
        a = 1 + mpmath.e**t
        return rho * a + mpmath.log(1 - 1 / a) + (-mpmath.log(delta) - mpmath.log(a)) / (a - 1)

    low, high = mpmath.mpf(-20), mpmath.mpf(40)
    for _ in range(400):
        third = (high - low) / 3
        if at(low + third) < at(high - third):
            high -= third
        else:
            low += third
    return max(mpmath.mpf(0), at((low + high) / 2))


def opendp_epsilon(rho, delta):
    space = dp.atom_domain(T=int), dp.absolute_distance(T=int)
    gaussian = dp.m.make_gaussian(*space, scale=float(1 / (2 * rho) ** 0.5))
    return dp.c.make_zCDP_to_approxDP(gaussian).map(1).epsilon(delta)


def dp_accounting_epsilon(rho, delta):
    orders = 1 + numpy.exp(numpy.linspace(-8, 14, 20_000))
    accountant = rdp.RdpAccountant(orders)
    accountant.compose(dp_accounting.GaussianDpEvent(1 / (2 * rho) ** 0.5))
    return accountant.get_epsilon(delta)


def gaussian_epsilon(rho, delta):
    """The Gaussian mechanism's own ε, which no conversion from zCDP may undercut."""
    loss = pld.privacy_loss_mechanism.GaussianPrivacyLoss(1 / (2 * rho) ** 0.5)
    low, high = 0.0, 1e4
    for _ in range(200):
        middle = (low + high) / 2
        if loss.get_delta_for_epsilon(middle) > delta:
            low = middle
        else:
            high = middle
    return high


conversions = [
    {
        "rho": rho,
        "delta": delta,
        "exact": float(exact_epsilon(rho, delta)),
        "opendp": opendp_epsilon(rho, delta),
        "dp_accounting": dp_accounting_epsilon(rho, delta),
        "gaussian": gaussian_epsilon(rho, delta),
    }
    for rho in RHOS
    for delta in DELTAS
]

# The worst case of pure DP, randomised response: sup over orders of D/order, by RDP.
pure = []
for eps in [0.01, 0.1, 0.5, 1.0, 2.0, 5.0]:
    e = mpmath.mpf(eps)

    def at(t):
        a = 1 + mpmath.e**t
        inside = (mpmath.e ** (a * e) + mpmath.e ** ((1 - a) * e)) / (1 + mpmath.e**e)
        return mpmath.log(inside) / (a - 1) / a

    sup = max(at(mpmath.mpf(t) / 10) for t in range(-200, 60))
    pure.append({"epsilon": eps, "rho": float(sup), "bun_steinke": eps * eps / 2})

# The noise itself, summed with 40 digits.
noise = []
for scale in [0.25, 0.5, 1.0, 1.7, 3.0, 10.0, 64.0]:
    s = mpmath.mpf(scale)
    span = int(40 * scale) + 40
    for name, weight in [
        ("gaussian", lambda x: mpmath.e ** (-mpmath.mpf(x) ** 2 / (2 * s * s))),
        ("laplace", lambda x: mpmath.e ** (-abs(mpmath.mpf(x)) / s)),
    ]:
        w = {x: weight(x) for x in range(-span, span + 1)}
        total = sum(w.values())
        noise.append(
            {
                "mechanism": name,
                "scale": scale,
                "variance": float(sum(x * x * p for x, p in w.items()) / total),
                "pmf": [float(w[x] / total) for x in range(0, 6)],
                "tail_at": int(2 * scale) + 1,
                "tail": float(sum(p for x, p in w.items() if x >= int(2 * scale) + 1) / total),
            }
        )

print(
    json.dumps(
        {
            "versions": {
                "opendp": "0.16.0",
                "dp_accounting": "0.6.0",
                "mpmath": mpmath.__version__,
            },
            "conversions": conversions,
            "pure": pure,
            "noise": noise,
        },
        indent=1,
    )
)
