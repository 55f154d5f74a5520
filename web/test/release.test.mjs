// The release studio's plan: what the node is sent, and what stands in its way.

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
const { application, command, gaps, list, planOf, summary, unfit, unnamed } = await server.ssrLoadModule("/src/site/release/plan.ts");
const { first, suggested, taken } = await server.ssrLoadModule("/src/site/release/draft.ts");
const { percent, score, scoreWords, verdict } = await server.ssrLoadModule("/src/site/release/words.ts");

const DRAFT = {
  treatments: {
    patient_id: "identifier",
    sex: "quasi",
    age: "quasi",
    ward: "other",
    diagnosis: "sensitive",
    note: "left-out",
  },
  way: "anonymise",
  k: 5,
  l: 3,
  t: null,
  suppression: 0.05,
  local: false,
  adjusts: false,
  method: "aim",
  epsilon: 1,
  rows: null,
  volume: null,
  augmentTo: null,
  unbias: null,
  purpose: "teach students",
  name: "stays_open",
  leastScore: 80,
};
const column = (name, key_class, kind, more = {}) => ({ name, kind: "text", key_class, domain: { kind }, readable: true, ...more });
const COLUMNS = [
  column("patient_id", "identifiers", "none"),
  column("sex", "quasi", "category"),
  column("age", "quasi", "number"),
  column("ward", "clinical", "category"),
  column("diagnosis", "clinical", "open"),
  column("note", "freetext", "open", { readable: false }),
];

test("a plan reads no identifier and nothing that is left out", () => {
  const plan = planOf(DRAFT);
  assert.deepEqual(plan.columns, ["sex", "age", "ward", "diagnosis"]);
  assert.deepEqual(plan.anonymise, {
    "quasi-identifiers": ["sex", "age"],
    sensitive: ["diagnosis"],
    k: 5,
    l: 3,
    suppression: 0.05,
  });
  assert.equal(plan.synthesise, undefined);
  const whole = JSON.stringify(plan);
  assert.ok(!whole.includes("patient_id") && !whole.includes("note"), whole);
});

test("every choice of the form is in the plan, under the names of plan.toml", () => {
  const plan = planOf({
    ...DRAFT,
    way: "synthesise",
    rows: 1500,
    purpose: " teach students\n",
    volume: { target: "ward", gain: 0.002, leastPerClass: 400 },
    augmentTo: 12000,
    unbias: { by: ["sex"], column: "ward", value: " >50", method: "reweigh" },
  });
  assert.deepEqual(plan, {
    purpose: "teach students",
    columns: ["sex", "age", "ward", "diagnosis"],
    synthesise: { method: "aim", epsilon: 1, rows: 1500 },
    volume: { target: "ward", gain: 0.002, "least-per-class": 400 },
    augment: { to: 12000 },
    unbias: { sensitive: ["sex"], favourable: "ward=>50", method: "reweigh" },
    publish: { dataset: "stays_open", "least-score": 80 },
  });
  const { anonymise } = planOf({ ...DRAFT, l: null, t: 0.2, local: true, adjusts: true });
  assert.deepEqual(anonymise, {
    "quasi-identifiers": ["sex", "age"],
    sensitive: ["diagnosis"],
    k: 5,
    t: 0.2,
    local: true,
    "until-score": 80,
    "most-attempts": 8,
  });
  assert.equal(command("stays", null), "salus release stays --plan plan.toml --permit permit-…");
  assert.equal(
    summary(DRAFT),
    "Records anonymised with k = 5, l = 3, at most 5\u00a0% suppressed: sex, age, ward and diagnosis.",
  );
});

test("what nobody has judged yet is protected, and a suggestion moves no choice", () => {
  const outset = { dataset: "stays", person: "patient_id", account: { releases: "dp-only" }, columns: COLUMNS };
  const begun = first(outset);
  assert.deepEqual(begun.treatments, {
    patient_id: "identifier",
    sex: "quasi",
    age: "quasi",
    ward: "quasi",
    diagnosis: "quasi",
    note: "left-out",
  });
  assert.equal(begun.way, "synthesise");
  const role = (column, role) => ({ column, role });
  const roles = [role("sex", "quasi"), role("ward", "other"), role("diagnosis", "sensitive"), role("unknown", "other")];
  const chosen = { ...begun, treatments: { ...begun.treatments, ward: "left-out" } };
  assert.deepEqual(suggested(chosen, { roles }, begun).treatments, {
    ...begun.treatments,
    ward: "left-out",
    diagnosis: "sensitive",
  });
  const settings = { k: 10, l: 2, t: null, suppression: 0, local: true };
  const next = taken({ ...begun, adjusts: true }, { settings });
  assert.deepEqual([next.way, next.k, next.l, next.t, next.local, next.adjusts], ["anonymise", 10, 2, null, true, false]);
});

test("what stands in the way is said before anything is tried", () => {
  assert.deepEqual(gaps(DRAFT, COLUMNS), []);
  const nothing = { ...DRAFT, treatments: { sex: "left-out" } };
  assert.equal(gaps(nothing, COLUMNS).length, 3);
  const bare = { ...DRAFT, treatments: { sex: "quasi" } };
  assert.match(gaps(bare, COLUMNS)[0], /and l-diversity protects those alone/);
  assert.match(gaps({ ...bare, l: null, t: 0.2 }, COLUMNS)[0], /and t-closeness protects/);
  assert.deepEqual(gaps({ ...bare, l: null }, COLUMNS), []);
  // Found from its values, a domain would cost a part of δ that accounts do not book.
  assert.match(gaps({ ...DRAFT, way: "synthesise" }, COLUMNS)[0], /^diagnosis has no public domain/);
  const volume = { target: "patient_id", gain: 0.002, leastPerClass: 1 };
  assert.equal(gaps({ ...DRAFT, volume }, COLUMNS).length, 1);
  const unbias = { by: ["note"], column: "ward", value: "surgery", method: "reweigh" };
  assert.deepEqual(gaps({ ...DRAFT, unbias }, COLUMNS), ["Bias can be mended by columns of the release alone."]);
  assert.equal(gaps({ ...DRAFT, unbias: { ...unbias, by: [], value: " " } }, COLUMNS).length, 2);
});

test("a release has a purpose and a name of its own", () => {
  assert.deepEqual(unnamed(DRAFT, ["stays"]), []);
  assert.deepEqual(unnamed(DRAFT, ["stays", "stays_open"]), ["There is a dataset stays_open already."]);
  assert.equal(unnamed({ ...DRAFT, purpose: " ", name: "Stays" }, []).length, 2);
});

test("a permit has to cover columns, kind and cost", () => {
  const permit = {
    columns: ["patient_id", "sex", "age", "ward", "diagnosis"],
    epsilon_left: 2,
    releases: "gate-allowed",
    state: "granted",
    usable: true,
    why_not: null,
  };
  const why = (draft, terms) => unfit(draft, { ...permit, ...terms }, "patient_id");
  assert.equal(why(DRAFT, {}), null);
  assert.match(why(DRAFT, { releases: "dp-only" }), /no bound/);
  const private_ = { ...DRAFT, way: "synthesise" };
  assert.equal(why(private_, { releases: "dp-only" }), null);
  assert.match(why({ ...private_, epsilon: 2.5 }, {}), /Less ε is left/);
  // Whose a record is has to be read, and is not published.
  assert.equal(why(DRAFT, { columns: ["sex", "age", "ward", "diagnosis"] }), "It does not cover patient_id.");
  assert.equal(why(DRAFT, { usable: false, why_not: "it was not granted yet" }), "It was not granted yet.");
  const typed = application(private_, "st-mary", "stays", "patient_id");
  assert.equal(typed, "salus permit apply --ground st-mary/stays:patient_id,sex,age,ward,diagnosis:1");
  assert.match(application(DRAFT, "st-mary", "stays", "patient_id"), / --allow-gate$/);
});

test("figures never flatter", () => {
  assert.deepEqual([score(79.96), score(79.96, 80), score(79.94, 80), score(80, 80)], ["80.0", "79.9", "79.9", "80.0"]);
  assert.equal(percent(0.0001), "under 0.1\u00a0%");
  assert.equal(percent(0.9999), "over 99.9\u00a0%");
  assert.deepEqual([percent(0), percent(1), percent(0.1234)], ["0\u00a0%", "100\u00a0%", "12.3\u00a0%"]);
  assert.match(scoreWords(83), /at most 17\s% of the people/);
  assert.match(scoreWords(0, 3), /^3 people are in it as they are/);
  assert.match(scoreWords(null), /nothing is known/);
  assert.deepEqual(verdict(79.96, 80), { passes: false, words: "below 80" });
  assert.equal(verdict(80, 80).passes, true);
  assert.equal(verdict(null, 80).passes, false);
  assert.equal(list(["a", "b", "c"]), "a, b and c");
});
