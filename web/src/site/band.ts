/**
 * The line of a regression with the band in which the exact line lies, worked out from the released
 * moments as the node works out the intervals of slope and intercept (`salus-dp`, `answer.rs`): it
 * costs nothing more, since what was released is public to whoever has the answer.
 */

export interface Noise {
  mechanism: string;
  scale: number;
}

/** The released numbers of an answer, with the noise of each holder in each. */
export interface Released {
  values: { vector: number[] } | { groups: unknown };
  noise: Noise[][];
  sources: number;
}

/** Low and high in steps, and how many decimals a step has. */
export type Steps = readonly [low: number, high: number, decimals: number];

/** A place on the explaining axis, the line there, and between what the exact line lies. */
export interface Place {
  x: number;
  value: number;
  lower: number;
  upper: number;
}

export const DRAWS = 2_000;
const PLACES = 33;

/** Numbers that look random and are the same each time, so that a band does not move by itself. */
function uniform(): () => number {
  let state = 0x5a1;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return (((mixed ^ (mixed >>> 14)) >>> 0) + 0.5) / 2 ** 32;
  };
}

/** A draw of summed noise, continuous where the noise is discrete. */
function draw(terms: Noise[], random: () => number): number {
  return terms.reduce((sum, { mechanism, scale }) => {
    if (mechanism === "laplace") {
      const u = random() - 0.5;
      return sum - scale * Math.sign(u) * Math.log(Math.max(1 - 2 * Math.abs(u), 1e-300));
    }
    return sum + scale * Math.sqrt(-2 * Math.log(random())) * Math.cos(2 * Math.PI * random());
  }, 0);
}

/** Where the line is at each of some places, or none where no line is defined. */
type Line = (places: number[]) => number[];

function lineOf(moments: number[], x: Steps, y: Steps): Line | null {
  const [n = 0, sx = 0, sy = 0, sxx = 0, sxy = 0] = moments;
  if (n < 2) return null;
  const [mx, my] = [sx / n, sy / n];
  const spread = sxx / n - mx * mx;
  // Noise has swallowed the spread of x.
  if (spread <= 0) return null;
  const slope = (sxy / n - mx * my) / spread;
  // Moments are of twice the distance from the middle of the bounds, in steps.
  const [unitX, unitY] = [2 * 10 ** x[2], 2 * 10 ** y[2]];
  return (places) =>
    places.map((place) => (my + slope * (place * unitX - x[0] - x[1] - mx) + y[0] + y[1]) / unitY);
}

/**
 * The line over the whole of x's bounds. At each place by itself the exact line lies within the band
 * in 95 of 100 answers. None where the noise is larger than what would define a line.
 */
export function band(released: Released, x: Steps, y: Steps): Place[] | null {
  if (!("vector" in released.values) || released.noise.length !== 6) return null;
  const moments = released.values.vector;
  const central = lineOf(moments, x, y);
  if (moments.length !== 6 || central === null) return null;
  const [low, high] = [x[0] / 10 ** x[2], x[1] / 10 ** x[2]];
  const places = Array.from({ length: PLACES }, (_, at) => low + ((high - low) * at) / (PLACES - 1));
  const random = uniform();
  const drawn: number[][] = [];
  for (let n = 0; n < DRAWS; n += 1) {
    // What the exact moments may have been.
    const exact = moments.map((moment, at) => moment - draw(released.noise[at] ?? [], random));
    const line = lineOf(exact, x, y);
    if (line !== null) drawn.push(line(places));
  }
  if (drawn.length < DRAWS / 2) return null;
  const tail = Math.floor(drawn.length / 40);
  return central(places).map((value, at) => {
    const sorted = Float64Array.from(drawn, (line) => line[at] ?? value).sort();
    const lower = sorted[tail] ?? value;
    const upper = sorted[sorted.length - 1 - tail] ?? value;
    return { x: places[at] ?? low, value, lower: Math.min(lower, value), upper: Math.max(upper, value) };
  });
}
