"""k and delta of SafePub by exact binomial tails (scipy)."""
import numpy as np
from scipy.stats import binom
def delta_of(k,eps,beta):
    gamma=(np.exp(eps)-1+beta)/np.exp(eps)
    n=int(np.ceil(k/gamma-1)); d=0
    while True:
        d=max(d,binom.sf(np.floor(n*gamma),n,beta))
        bound=np.exp(-n*(gamma*np.log(gamma/beta)-(gamma-beta)))
        if d>=bound: return d
        n+=1
for eps in [0.1,0.25,0.5,0.75,np.log(2),1.0,np.log(3),1.25,1.5,2.0]:
    beta=1-np.exp(-eps)
    for delta in [1e-4,1e-5,1e-6]:
        k=1
        while delta_of(k,eps,beta)>delta: k+=1
        print(f"{eps:.6f} {delta:g} beta {beta:.6f} k {k} delta_k {delta_of(k,eps,beta):.6e}")
