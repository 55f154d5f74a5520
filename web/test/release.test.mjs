// The release studio's plan: what the node is sent, and what stands in its way.

import assert from "node:assert/strict";
import { after, test } from "node:test";
import { createElement } from "react";
import { renderToStaticMarkup } from "react-dom/server";
import { createServer } from "vite";

const server = await createServer({
  configFile: false,
  logLevel: "error",
  server: { middlewareMode: true, hmr: false, ws: false },
  appType: "custom",
});
after(() => server.close());
// Pages ask where they are; the tests are at a site.
globalThis.window = { location: { origin: "https://node.example", pathname: "/console/releases/stays" } };
const { application, command, gaps, list, planOf, summary, unfit, unnamed } = await server.ssrLoadModule("/src/site/release/plan.ts");
const { adviceOf } = await server.ssrLoadModule("/src/site/release/plan.ts");
const { first, reconciled, suggested, taken } = await server.ssrLoadModule("/src/site/release/draft.ts");
const { percent, score, scoreWords, verdict } = await server.ssrLoadModule("/src/site/release/words.ts");
const { isOtherRehearsal, isOtherRelease, isOtherSearch, leastAsked, planWords } = await server.ssrLoadModule("/src/site/release/made.ts");
const { isGone, unseen } = await server.ssrLoadModule("/src/site/release/poll.ts");
const { again } = await server.ssrLoadModule("/src/ui/retry.ts");
const { Answer } = await server.ssrLoadModule("/src/ui/states.tsx");
const { Progress } = await server.ssrLoadModule("/src/site/release/progress.tsx");
const { Outcome, WithoutAccount } = await server.ssrLoadModule("/src/site/release/publish.tsx");
const { Refusal } = await server.ssrLoadModule("/src/site/api.ts");

/** What a person reads of a part of a page. */
const read = (part, properties) =>
  renderToStaticMarkup(createElement(part, properties))
    .replace(/<!--.*?-->/g, "")
    .replace(/<[^>]+>/g, " ")
    .replace(/&#x27;/g, "'")
    .replace(/\s+/g, " ")
    .trim();

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
  // The site's policies may well let stewards read it.
  column("note", "freetext", "open"),
  column("phone", "identifiers", "none"),
  column("genome", null, "none"),
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
    phone: "identifier",
    genome: "left-out",
  });
  assert.ok(!["note", "phone", "genome"].some((name) => planOf(begun).columns.includes(name)));
  const unreadable = COLUMNS.map((one) => (one.name === "ward" ? { ...one, readable: false } : one));
  assert.equal(first({ ...outset, columns: unreadable }).treatments.ward, "left-out");
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

test("a form that was kept is one of the dataset as it is now", () => {
  const outset = { dataset: "stays", person: "patient_id", account: null, columns: COLUMNS };
  const kept = {
    ...first(outset),
    treatments: { ...DRAFT.treatments, note: "quasi", gone: "sensitive", ward: "other" },
    volume: { target: "ward", gain: 0.002, leastPerClass: 100 },
    unbias: { by: ["sex", "ward", "gone"], column: "ward", value: "surgery", method: "reweigh" },
    k: 7,
  };
  // Since then a policy withholds the ward, a column is gone, and one has come.
  const columns = [
    ...COLUMNS.map((one) => (one.name === "ward" ? { ...one, readable: false } : one)),
    column("region", "quasi", "category"),
  ];
  const now = reconciled(kept, { ...outset, columns });
  assert.deepEqual(now.treatments, {
    patient_id: "identifier",
    sex: "quasi",
    age: "quasi",
    ward: "left-out",
    diagnosis: "sensitive",
    note: "left-out",
    phone: "left-out",
    genome: "left-out",
    region: "left-out",
  });
  assert.deepEqual(planOf(now).columns, ["sex", "age", "diagnosis"]);
  assert.equal(now.k, 7);
  assert.deepEqual([now.volume.target, now.unbias.by, now.unbias.column], ["", ["sex"], ""]);
  // Each of these can be mended in the form.
  assert.equal(gaps({ ...now, volume: null, unbias: null }, columns).length, 0);
  // What has not changed stays, and twice is as good as once.
  const same = reconciled({ ...kept, treatments: DRAFT.treatments, volume: null, unbias: null }, outset);
  assert.deepEqual(same.treatments, { ...DRAFT.treatments, phone: "left-out", genome: "left-out" });
  assert.deepEqual(reconciled(now, { ...outset, columns }), now);
});

test("a result is told from one of other settings, and judged by the score that was asked for then", () => {
  // As the node tells it: in another order, and without what was not said.
  const told = JSON.parse(JSON.stringify(planOf({ ...DRAFT, leastScore: 70 })));
  told.columns.reverse();
  const asked = { rehearse: { plan: { publish: told.publish, ...told, volume: null } } };
  const form = { ...DRAFT, leastScore: 70 };
  assert.equal(leastAsked(asked), 70);
  assert.equal(isOtherRehearsal(asked, form), false);
  assert.equal(isOtherRehearsal(asked, { ...form, name: "another", purpose: "sell it" }), false, "neither is measured");
  for (const other of [{ leastScore: 90 }, { k: 6 }, { t: 0.2 }, { local: true }, { treatments: { ...DRAFT.treatments, ward: "left-out" } }]) {
    assert.equal(isOtherRehearsal(asked, { ...form, ...other }), true, JSON.stringify(other));
  }
  assert.equal(planWords(planOf(form)), "k = 5, l = 3, at most 5\u00a0% suppressed, least score 70");
  const release = { release: { plan: planOf(form), permit: "permit-1" } };
  assert.equal(isOtherRelease(release, form), false);
  assert.equal(isOtherRelease(release, { ...form, name: "another" }), true, "another name is another release");
  const wish = { purpose: "train", target: "ward" };
  const search = { advise: JSON.parse(JSON.stringify(adviceOf(form, wish))) };
  assert.equal(isOtherSearch(search, form, wish), false);
  assert.equal(isOtherSearch(search, form, { purpose: "statistics", target: "ward" }), true);
  assert.equal(isOtherSearch(search, { ...form, treatments: { ...DRAFT.treatments, age: "other" } }, wish), true);
  assert.equal(isOtherSearch(asked, form, wish), true);
});

test("why a study cannot be seen is said, and asked again only where that helps", () => {
  const refused = (status, words) => new Refusal(status, words, "");
  assert.equal(unseen(null), null);
  assert.equal(unseen(refused(404, "there is no such study")), null);
  assert.equal(isGone(refused(404, "there is no such study")), true);
  assert.deepEqual(unseen(new TypeError("Failed to fetch")), { words: "The node cannot be reached; trying again.", isTrying: true });
  for (const status of [502, 503, 504]) assert.equal(unseen(refused(status, "later")).isTrying, true);
  for (const [status, begins] of [[401, /^Sign in again/], [403, /^You may not see this/], [500, /^The node could not tell/]]) {
    const { words, isTrying } = unseen(refused(status, "the reason"));
    assert.match(words, begins);
    assert.match(words, /The reason\.$/);
    assert.equal(isTrying, false);
  }
  assert.deepEqual([502, 503, 500, 403].map((status) => again(0, refused(status, ""))), [true, true, false, false]);
  assert.deepEqual([again(0, new TypeError()), again(2, new TypeError()), again(2, refused(503, ""))], [true, false, false]);
});

test("what was read stays on the page when a later look fails", () => {
  const query = (more) => ({ data: undefined, error: null, isPending: false, isError: false, refetch: () => undefined, ...more });
  const shown = (more) => read(Answer, { query: query(more), children: (data) => createElement("p", null, data) });
  const busy = new Refusal(503, "the ledger is away", "");
  assert.equal(shown({ data: "the desk" }), "the desk");
  const old = shown({ data: "the desk", error: busy, isError: true });
  assert.match(old, /the desk$/);
  assert.match(old, /^This could not be brought up to date\. The ledger is away\./);
  assert.match(shown({ error: busy, isError: true }), /^The node could not answer/);
  assert.equal(shown({ isPending: true }), "");
});

const running = (more) => ({
  kind: "release",
  study: null,
  isRunning: false,
  isLost: false,
  unseen: null,
  trouble: null,
  stopTrouble: null,
  repeat: () => undefined,
  ...more,
});
const study = (state, more) => ({ kind: "release", state, stage: "charging", seconds: 3, problem: null, ...more });
const progress = (more) => read(Progress, { running: running(more), onAway: () => undefined });

test("a release that failed may have been charged, and can be given again as it was", () => {
  const failed = progress({ study: study("failed", { problem: { error: "the ledger went away", class: "unavailable" } }) });
  assert.match(failed, /The ledger went away\./);
  assert.match(failed, /may have been charged.* is not charged again/);
  assert.match(failed, /Give the same release again/);
  assert.match(progress({ isLost: true }), /may have been charged.*Give the same release again/);
  assert.doesNotMatch(progress({ isLost: true, repeat: null }), /Give the same release again/);
  // Of a rehearsal nothing of that is true.
  const other = progress({ kind: "rehearse", study: study("failed", { kind: "rehearse" }) });
  assert.doesNotMatch(other, /charged/);
  assert.match(progress({ kind: "rehearse", isLost: true }), /Nothing was released or charged/);
});

test("a study that goes on is shown, whatever could not be done to it", () => {
  const moving = study("running", { kind: "advise" });
  const stopped = progress({ kind: "advise", study: moving, isRunning: true, stopTrouble: "It goes on: no." });
  assert.match(stopped, /Charging\. 3 s .*Stop It goes on: no\.$/);
  const away = unseen(new TypeError());
  assert.match(progress({ kind: "advise", study: moving, unseen: away }), /Charging\..*cannot be reached; trying again/);
  // After a reload there is nothing else to show.
  assert.equal(progress({ unseen: away }), "The node cannot be reached; trying again.");
  const broken = unseen(new Refusal(500, "the node cannot answer", ""));
  assert.match(progress({ unseen: broken }), /could not tell how far it is.*Look again Put it away$/);
  assert.match(progress({ study: moving, unseen: broken }), /could not tell how far it is/);
});

test("an account is opened only where there is surely none", () => {
  const said = (why) => read(WithoutAccount, { dataset: "stays", why, onLook: () => undefined });
  const command_ = /salus dataset share/;
  assert.match(said({ kind: "not-shared" }), command_);
  assert.match(said({ kind: "not-shared" }), /neither can be changed later/);
  const unknown = said({ kind: "unknown", why: "the ledger cannot be reached: timed out" });
  assert.doesNotMatch(unknown, command_);
  assert.match(unknown, /The ledger could not be asked The ledger cannot be reached: timed out\..*Look again$/);
  for (const other of [{ kind: "no-ledger" }, null]) assert.doesNotMatch(said(other), command_);
});

test("an outcome says when the form has moved on", () => {
  const asked = { release: { plan: planOf(DRAFT), permit: "permit-1" } };
  const withheld = { outcome: { withheld: { words: "the score is below 80" } }, charged: null, permit: "permit-1" };
  const shown = (draft) =>
    read(Outcome, { study: { asked }, released: withheld, draft, release: running({ forget: () => undefined }), isBusy: false });
  assert.doesNotMatch(shown(DRAFT), /other settings/);
  assert.match(shown({ ...DRAFT, k: 9 }), /Made with other settings than the form has now/);
});
