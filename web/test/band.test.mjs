// The band of a regression: what it covers, and that it is the one of the node's intervals.

import assert from "node:assert/strict";
import { after, test } from "node:test";
import { createServer } from "vite";

const server = await createServer({
  configFile: false,
  logLevel: "error",
  server: { middlewareMode: true, hmr: false, ws: false },
  appType: "custom",
});
after(() => server.close());
const { band } = await server.ssrLoadModule("/src/site/band.ts");

/** Numbers of a generator of its own, so that the band's are not checked against themselves. */
let state = 20261121n;
const uniform = () => {
  state = (state * 6364136223846793005n + 1442695040888963407n) & 0xffffffffffffffffn;
  return (Number(state >> 11n) + 0.5) / 2 ** 53;
};
const normal = () => Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform());

const X = [0, 110, 0];
const Y = [0, 600, 1];

/** Exact moments of rows around y = 2 + 0.3 x, as the node adds them up. */
function moments(rows) {
  const sums = [0, 0, 0, 0, 0, 0];
  for (let n = 0; n < rows; n += 1) {
    const x = 30 + ((n * 37) % 61);
    const y = Math.round(10 * (2 + 0.3 * x + (((n * 53) % 41) - 20) / 10));
    const [a, b] = [2 * x - X[0] - X[1], 2 * y - Y[0] - Y[1]];
    [1, a, b, a * a, a * b, b * b].forEach((moment, at) => (sums[at] += moment));
  }
  return sums;
}

/** The exact line at `place`, by ordinary least squares in the columns' own units. */
function exactly(sums, place) {
  const [n, sx, sy, sxx, sxy] = sums;
  const slope = (n * sxy - sx * sy) / (n * sxx - sx * sx);
  const centred = 2 * place - X[0] - X[1];
  return (sy / n + slope * (centred - sx / n) + Y[0] + Y[1]) / 20;
}

const scales = [20, 2_000, 12_000, 240_000, 1_300_000, 7_000_000];
const noise = scales.map((scale) => [{ mechanism: "gaussian", scale }]);
const released = (vector, terms = noise) => ({ values: { vector }, noise: terms, sources: 1 });

test("without noise the band is the line of ordinary least squares", () => {
  const sums = moments(2_000);
  const still = scales.map(() => [{ mechanism: "gaussian", scale: 1e-9 }]);
  const places = band(released(sums, still), X, Y);
  assert.equal(places.length, 33);
  assert.equal(places[0].x, 0);
  assert.equal(places[32].x, 110);
  for (const { x, value, lower, upper } of places) {
    assert.ok(Math.abs(value - exactly(sums, x)) < 1e-6, `${x}: ${value}`);
    assert.ok(upper - lower < 1e-6);
  }
});

test("at each place the exact line lies within in 95 of 100 answers", () => {
  const sums = moments(2_000);
  const runs = 250;
  const covered = new Array(33).fill(0);
  for (let run = 0; run < runs; run += 1) {
    const noisy = sums.map((sum, at) => Math.round(sum + scales[at] * normal()));
    band(released(noisy), X, Y).forEach(({ x, lower, upper }, at) => {
      const exact = exactly(sums, x);
      if (lower <= exact && exact <= upper) covered[at] += 1;
    });
  }
  // Binomial of 250 at 0.95 has a deviation of 0.0138: three of them to either side, which a place
  // leaves once in 370; the 33 places of a line, which has two degrees of freedom, are not 33 tries.
  const shares = covered.map((hits) => hits / runs);
  const [least, most] = [0.95 - 3 * 0.0138, 0.95 + 3 * 0.0138];
  console.log(`n=${runs} least=${Math.min(...shares)} most=${Math.max(...shares)} bounds=${least}..${most}`);
  for (const share of shares) assert.ok(share > least && share < most, `${shares}`);
});

test("noise of several holders adds up, and Laplace is drawn as such", () => {
  const sums = moments(2_000);
  const wide = (terms) => {
    const [first] = band(released(sums, terms), X, Y);
    return first.upper - first.lower;
  };
  const alone = wide(noise);
  const four = wide(noise.map(([one]) => [one, one, one, one]));
  assert.ok(Math.abs(four / alone - 2) < 0.2, `${four} beside ${alone}`);
  // The middle 95 % of a Laplace lie within 3.00 b, those of a Gaussian within 1.96 σ.
  const only = (mechanism) =>
    wide(scales.map((scale, at) => [{ mechanism, scale: at === 2 ? scale : 1e-9 }]));
  const ratio = only("laplace") / only("gaussian");
  assert.ok(Math.abs(ratio - 3.0 / 1.96) < 0.12, `${ratio}`);
});

test("where the noise is larger than the spread there is no line", () => {
  const drowned = scales.map(() => [{ mechanism: "gaussian", scale: 1e12 }]);
  assert.equal(band(released(moments(2_000), drowned), X, Y), null);
  assert.equal(band(released([1, 0, 0, 0, 0, 0]), X, Y), null);
  assert.equal(band({ values: { groups: [] }, noise, sources: 1 }, X, Y), null);
});
