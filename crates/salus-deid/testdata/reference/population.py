"""Population uniqueness of Adult (raw, 9 columns) by independent solvers."""
import csv,collections,numpy as np
from scipy.optimize import minimize, fsolve, root
from scipy.special import gammaln, digamma
from scipy.stats import hypergeom
import sys
rows=list(csv.reader(open(sys.argv[1]),delimiter=';'))[1:]
c=collections.Counter(collections.Counter(map(tuple,rows)).values())
n=sum(k*v for k,v in c.items());u=sum(c.values())
js=np.array(sorted(c));s=np.array([c[j] for j in js])
def nll(p):
    t,a=np.exp(p[0]),1/(1+np.exp(-p[1]))
    i=np.arange(1,u);m=np.arange(1,n)
    L=np.log(t+i*a).sum()-np.log(t+m).sum()
    L+=(s*(gammaln(js-a)-gammaln(1-a))).sum()
    return -L
r=minimize(nll,[np.log(u),0.],method='Nelder-Mead',options=dict(xatol=1e-11,fatol=1e-9,maxiter=20000,maxfev=40000))
t,a=np.exp(r.x[0]),1/(1+np.exp(-r.x[1]))
print('n',n,'u',u,'c1',c[1],'theta',t,'alpha',a)
for N in [60324,100000,1000000,310000000]:
    f=n/N
    pit=np.exp(gammaln(t+1)-gammaln(t+a)+a*np.log(N))/N
    temp=sum(s[i]/u*hypergeom(N,js[i],n).pmf(1) for i in range(len(js)))
    p=c[1]/u*hypergeom(N,1,n).pmf(1)/temp
    zay=c[1]*p/f/N
    A=(js*f*f*(1-f*f)**(js-1)*s).sum();B=((1-f)**js*((1+f)**js-1)*s).sum()
    C=((1-f)**js*s).sum();D=(js*f*(1-f)**(js-1)*s).sum()
    K=u+c[1]*A/B*(C/D)**2
    def eq(p):
        al,be=np.exp(p[0]),1/(1+np.exp(-p[1]))
        g=(1-f)*(1-be);r_=1-g
        return [np.log(K*f*(be/r_)**al*(al*g/r_+1))-np.log(c[1]), np.log(K*al*be**al*f*f*(1-be)/(2*r_**(al+2))*(2-(1-al)*g))-np.log(c[2])]
    snb=None
    for st in [(-2,-2),(0,0),(-1,-5),(1,2)]:
        q=root(eq,st,tol=1e-12)
        if q.success and max(abs(np.array(eq(q.x))))<1e-8:
            al,be=np.exp(q.x[0]),1/(1+np.exp(-q.x[1])); snb=K*be**al/N;break
    print(N,'pitman',pit,'zayatz',zay,'snb',snb,'K',K)
