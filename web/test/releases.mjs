// A data steward in the release studio, in a real browser against a real node on a real ledger: from
// opening a dataset to a published table, with all that can come between.

import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";

import {
  accept,
  accessible,
  answers,
  away,
  browser,
  button,
  choose,
  DARK,
  enrol,
  heading,
  LIGHT,
  NARROW,
  need,
  open,
  problems,
  refused,
  seen,
  sent,
} from "./browser.mjs";

const hospital = need("SALUS_HOSPITAL");
const planted = need("SALUS_PLANTED");
const people = Number(need("SALUS_PEOPLE"));
/** For what computes: the machine may be busy with other tests. */
const LONG = { timeout: 300_000 };

// Nobody has signed in yet; and a plan is read while it is being filled in.
refused(401, "/v1/console/session");
refused(400, "/plan");
// The explorer has nothing under some ids.
refused(404, "/v1/explorer/");

/** Headings under which a study can end, one way or another. */
const ENDS = [
  "Withheld",
  "Waits for reviewers",
  "Refused by a reviewer",
  "The release was not finished",
  "The node has forgotten this",
  "How far it is cannot be seen",
  "None of them passes",
];

/** Waits for the end that is wanted; any other ends the journey at once, with what the page says. */
async function comesTo(page, wanted) {
  const good = page.getByRole("heading", { name: wanted, exact: true });
  const others = ENDS.filter((one) => one !== wanted).join("|");
  const bad = page.getByRole("heading", { name: new RegExp(`^(${others})$`) }).or(page.locator(".trouble"));
  const said = () => page.getByRole("main").innerText();
  try {
    await good.or(bad).first().waitFor(LONG);
  } catch (error) {
    throw new Error(`'${wanted}' did not come, and nothing else did; the page says:\n${await said()}`, { cause: error });
  }
  if ((await good.count()) > 0) return;
  throw new Error(`'${await bad.first().innerText()}' came in place of '${wanted}'; the page says:\n${await said()}`);
}

const page = await open(hospital);
await accept(page, need("SALUS_HOSPITAL_CODE"), "velvet moss harbour nine");
await enrol(page);

// From the datasets, or from the menu.
await heading(page, "Own datasets");
await page.getByRole("link", { name: "stays", exact: true }).click();
await heading(page, "stays");
await page.getByRole("main").getByRole("link", { name: "Release studio" }).click();
await heading(page, "Release stays");
await page.getByRole("link", { name: "Release studio", exact: true }).first().click();
await heading(page, "Release studio");
await page.getByRole("rowheader", { name: "stays", exact: true }).waitFor();
await seen(page, "releases", false);
await page.getByRole("link", { name: "stays", exact: true }).click();
await heading(page, "Risk as the records are");
await seen(page, "release-first", false);

// The raw risk, begun by the keyboard.
await page.getByText("says whose a record is, and is never published").waitFor();
const role = async (column) => (await button(page, `Role of ${column}`).innerText()).split("\n")[0].trim();
await button(page, "Measure the risk").focus();
await page.keyboard.press("Enter");
await page.getByText("You may leave this page and come back.").waitFor();
await accessible(page, "a study that is running");
assert.equal(await page.evaluate(() => document.activeElement?.textContent), "Measure the risk", "the focus is lost");
await button(page, "Measure again").waitFor(LONG);
await page.getByText("as suggested").first().waitFor();
assert.equal(await role("sex"), "Quasi-identifier");
const title = page.locator("h1");
const risk = page.getByRole("region", { name: "Risk of the records as they are" });
const figure = async (name) => {
  const text = await risk.locator(".figures > div").filter({ hasText: name }).locator("dd").first().innerText();
  return Number(text.replace(/[^0-9.]/g, ""));
};
assert.equal(await figure("Records"), people);
const unique = await figure("Unique");
assert.ok(unique > 50, `${unique} % are unique`);
const scoreOf = async (part) => Number((await part.locator(".score .large").innerText()).match(/^[0-9.]+/)[0]);
const raw = await scoreOf(risk);
assert.ok(raw < 60, `the records as they are score ${raw}`);
const forest = page.getByRole("region", { name: "Attacks on the records as they are" }).last();
await forest.locator("tbody tr").nth(4).waitFor();
await button(forest, "Linking two files").click();
await page.getByRole("dialog").getByText("joins them through the release").waitFor();
await accessible(page, "what an attack does");
await page.keyboard.press("Escape");
await button(page, "Role", { exact: true }).first().click();
await page.getByRole("dialog").getByText("Names a person by itself").waitFor();
await accessible(page, "what the roles mean");
await page.keyboard.press("Escape");
await seen(page, "release-risk", true, [title, forest]);

// Other roles: what changes is measured again.
await choose(page, "Role of admitted", "Left out");
// Its values were read just now, and are nobody's business.
await choose(page, "Role of town", "Left out");
await page.getByText("The roles have changed since").waitFor();
await choose(page, "Role of ward", "Quasi-identifier");
await choose(page, "Role of outcome", "Sensitive");
await button(page, "Measure again").click();
await page.getByText("You may leave this page and come back.").waitFor();
await page.getByText("You may leave this page and come back.").waitFor({ state: "detached", ...LONG });
assert.ok((await figure("Unique")) < unique, "fewer columns leave as many unique");

// The best for statistics, try by try; the first search is stopped.
const least = page.getByRole("textbox", { name: "Least score" });
const ask = async (score) => {
  await least.fill(score);
  await least.press("Tab");
};
// So much that many are tried, had it not been stopped at once.
await ask("92");
await button(page, "Find the best").click();
await button(page, "Stop").click();
await page.getByText("Stopped. Nothing was released.").waitFor(LONG);
await accessible(page, "a search that was stopped");
await ask("70");
await button(page, "Search again").click();
await page.getByText("Stopped. Nothing was released.").waitFor({ state: "detached" });
const tries = page.getByRole("region", { name: "Tries" }).last().locator("tbody tr");
await tries.first().waitFor(LONG);
await comesTo(page, /^Try \d+ is recommended$/);
assert.equal(await page.locator("tr.best").count(), 1);
assert.ok((await tries.count()) >= 3);
const best = await page.locator("tr.best td").first().innerText();
const method = page.getByRole("region", { name: "Method" });
await seen(page, "release-tries", true, [method, page.getByRole("region", { name: "Tries" }).last()]);
await button(page, "Take its settings").click();
assert.equal(await page.evaluate(() => document.activeElement?.id), "method", "the form is where one goes on");
const size = page.getByRole("textbox", { name: "Group size k" });
assert.ok(best.startsWith(`k = ${await size.inputValue()},`), `${best} was taken`);
await seen(page, "release-settings", false);

// Rehearsed, with larger groups: before and after, beside each other. Nothing is charged.
await size.fill("10");
await size.press("Tab");
await choose(page, /Recoding/, "The same levels for all records");
await choose(page, /Suppression/, /^5\s% of the records$/);
await button(page, "Rehearse").click();
await comesTo(page, "Before and after");
const trial = page.getByRole("region", { name: "Rehearsal" });
const rehearsed = await scoreOf(trial);
assert.ok(rehearsed > raw && rehearsed >= 70, `${rehearsed} after ${raw}`);
const compared = page.getByRole("region", { name: "Attacks before and after" });
await seen(page, "release-rehearsed", true, [method, compared]);

// A result of other settings is marked, and judged by the score that it was made for.
const marked = page.getByText("Made with other settings than the form has now");
assert.equal(await marked.count(), 0);
await ask("99");
await marked.first().waitFor();
assert.match(await trial.locator(".score .large").innerText(), /at or above 70/);
await accessible(page, "a result of other settings");
await ask("70");
await marked.first().waitFor({ state: "detached" });

// Bias and volume beside it.
await button(page, /^Large enough to train on/).click();
await page.getByText("Judge the release by a learning curve").click();
await button(page, /^Bias between groups/).click();
await page.getByText("Mend it before publishing").click();
await page.getByText("Choose the columns by which nobody should fare worse.").first().waitFor();
await page.getByRole("checkbox", { name: "sex" }).check({ force: true });
await choose(page, /Outcome/, "outcome");
await choose(page, /Good for a person/, "home");
await accessible(page, "volume and bias");
await button(page, "Rehearse again").click();
await page.getByRole("rowheader", { name: "Disparate impact" }).waitFor(LONG);
await page.getByRole("rowheader", { name: "Balanced accuracy" }).waitFor();
await accessible(page, "a rehearsal with volume and bias");
await page.getByText("Mend it before publishing").click();
await page.getByText("Judge the release by a learning curve").click();

// A synthesis is not rehearsed for nothing; its price is said, and it is charged and published.
await button(page, "Synthesise", { exact: true }).click();
await page.getByText("A synthesis cannot be rehearsed").waitFor();
await choose(page, "Model", /^MST/);
await page.getByLabel("Synthetic records").fill("1500");
await ask("20");
await page.getByText("Say what the release is for").waitFor();
assert.ok(await button(page, "Publish…").isDisabled());
await page.getByRole("textbox", { name: "What the release is for" }).fill("teach students what a ward's stays look like");
await page.getByRole("textbox", { name: "Name of the new dataset" }).fill("stays");
await page.getByText("There is a dataset stays already.").waitFor();
await page.getByRole("textbox", { name: "Name of the new dataset" }).fill("stays_synthetic");
await page.getByText("It costs at most").waitFor();
await page.getByText("The same from the command line").click();
const text = page.getByLabel("plan.toml");
await page.waitForFunction(() => /stays_synthetic/.test(document.querySelector("pre.sql")?.textContent ?? ""));
await seen(page, "release-publish", true, [method, page.locator(".plan")]);
await writeFile(need("SALUS_PLAN"), await text.innerText());
await button(page, "Publish…").click();
const dialog = page.getByRole("dialog");
await dialog.getByText("ε 1").first().waitFor();
await accessible(page, "what a release costs");
await button(dialog, "Charge it and publish").click();
await page.getByText("It goes on when you leave this page.").waitFor();
assert.equal(await button(page, "Stop").count(), 0, "a release goes on");
// Left and come back to: it is the same one.
await page.goto("/console/holdings");
await heading(page, "Own datasets");
await page.goto("/console/releases/stays");
await comesTo(page, "stays_synthetic is published");
await seen(page, "release-published", true, [page.getByRole("heading", { name: "Publish", exact: true }), page.locator(".plan")]);
for (const [name, type] of [
  ["Certificate (HTML)", "text/html"],
  ["Certificate (PDF)", "application/pdf"],
  ["Records (CSV)", "text/csv"],
]) {
  const link = page.getByRole("link", { name: new RegExp(`^${name.replace(/[()]/g, "\\$&")} of stays_synthetic`) }).first();
  const got = await page.request.get(await link.getAttribute("href"));
  assert.equal(got.status(), 200, name);
  assert.ok(got.headers()["content-type"].startsWith(type), `${name} is ${got.headers()["content-type"]}`);
  assert.ok(!(await got.text()).includes(planted), `a record stands in ${name}`);
}
await page.getByRole("region", { name: "Published from it" }).getByRole("rowheader", { name: /^stays_synthetic/ }).waitFor();
await page.locator(".decision .id[title^=receipt]").click();
await heading(page, "Receipt");
await page.goBack();
await comesTo(page, "stays_synthetic is published");
await button(page, "Put it away").click();

// Below what is asked for, it is charged and withheld, and the page says so.
await ask("100");
await page.getByRole("textbox", { name: "Name of the new dataset" }).fill("stays_withheld");
await page.waitForFunction(() => !document.querySelector("pre.sql")?.textContent?.includes("stays_synthetic"));
await button(page, "Publish…").click();
await button(dialog, "Charge it and publish").click();
await comesTo(page, "Withheld");
await page.getByText("was charged").waitFor();
await accessible(page, "a release that is withheld");
await button(page, "Put it away").click();

// In dark, and on a narrow screen; what was measured is still there.
await button(page, "Anonymise", { exact: true }).click();
for (const [look, options] of [["dark", DARK], ["narrow", NARROW]]) {
  await page.emulateMedia({ colorScheme: options.colorScheme, reducedMotion: "reduce" });
  await page.setViewportSize(options.viewport);
  await page.goto("/console/releases/stays");
  await heading(page, "Before and after", LONG);
  await seen(page, `release-${look}`);
}
await page.emulateMedia({ colorScheme: "light", reducedMotion: "reduce" });
await page.setViewportSize(LIGHT.viewport);

// A dataset that is not on the ledger, and one that no permit names: each page says what helps.
await page.goto("/console/releases/beds");
await button(page, "Anonymise", { exact: true }).click();
await heading(page, "beds is not on the ledger");
await page.getByText("salus dataset share beds").waitFor();
await seen(page, "release-no-account", false);
await page.goto("/console/releases/visits");
await button(page, "Synthesise", { exact: true }).click();
await heading(page, "No permit names this dataset");
await page.getByText("salus permit apply --ground st-mary/visits:").waitFor();
await accessible(page, "a dataset that no permit names");
refused(404, "/releases/nothing_here");
await page.goto("/console/releases/nothing_here");
await heading(page, "Not at this site");
await accessible(page, "a dataset that is not there");

// A ledger that does not answer: no account is opened for that.
const outset = "**/v1/console/releases/stays";
await page.route(outset, async (route) => {
  const response = await route.fetch();
  const json = await response.json();
  const why = "the ledger cannot be reached: timed out";
  await route.fulfill({ response, json: { ...json, account: null, permits: [], no_account: { kind: "unknown", why } } });
});
await page.goto("/console/releases/stays");
await heading(page, "The ledger could not be asked");
assert.equal(await page.getByText("salus dataset share").count(), 0);
await accessible(page, "a ledger that does not answer");
// Whatever is being answered is answered first.
await page.unrouteAll({ behavior: "wait" });
await button(page, "Look again").click();
await page.getByRole("heading", { name: "The ledger could not be asked" }).waitFor({ state: "detached" });

// A later look that fails leaves the desk as it is.
refused(503, "/releases/stays");
await page.route(outset, (route) => route.fulfill({ status: 503, json: { error: "the node is busy", class: "unavailable" } }));
// What was read just now is not looked at again.
await page.waitForTimeout(2_500);
await page.evaluate(() => window.dispatchEvent(new Event("visibilitychange")));
await page.getByText("This could not be brought up to date").waitFor();
await heading(page, "Before and after");
await accessible(page, "a desk that is not up to date");
await page.unroute(outset);
await button(page, "Try again").click();
await page.getByText("This could not be brought up to date").waitFor({ state: "detached" });

// A study that the node has forgotten, one that cannot be seen, a node that is away, a policy that says no.
refused(404, "/v1/console/studies/");
await page.route("**/v1/console/studies/*", (route) =>
  route.fulfill({ status: 404, json: { error: "there is no such study", class: "bad-request" } }),
);
await page.goto("/console/releases/stays");
await heading(risk, "The node has forgotten this");
await accessible(page, "a study that was forgotten");
await page.unroute("**/v1/console/studies/*");
refused(500, "/v1/console/studies/");
await page.route("**/v1/console/studies/*", (route) =>
  route.fulfill({ status: 500, json: { error: "the node cannot answer", class: "bug" } }),
);
await page.goto("/console/releases/stays");
await heading(risk, "How far it is cannot be seen");
await accessible(page, "a study that cannot be seen");
await page.unroute("**/v1/console/studies/*");
await button(risk, "Look again").click();
await button(page, "Measure again").waitFor();
away(true);
await page.route("**/v1/console/releases/stays", (route) => route.abort("connectionrefused"));
await page.goto("/console/releases/stays");
await heading(page, "The node cannot be reached");
await accessible(page, "a studio without its node");
await page.unroute("**/v1/console/releases/stays");
away(false);
const withheld = { error: "the site's policies do not let the role steward see it", class: "refused", reason: "policy" };
refused(403, "/releases/stays");
await page.route("**/v1/console/releases/stays", (route) => route.fulfill({ status: 403, json: withheld }));
await page.goto("/console/releases/stays");
await heading(page, "You may not read this");
await accessible(page, "a studio that is withheld");
await page.unroute("**/v1/console/releases/stays");

// No value of a record came to the browser, nor was one asked for.
await page.goto("/console/releases/stays");
await heading(page, "Before and after", LONG);
assert.ok(!(await page.content()).includes(planted), "a record stands on the page");
const came = await answers(page);
assert.ok(came.some(({ url, text }) => url.includes("/studies/") && text.includes('"town"')), "no study read the town");
for (const { url, text } of came) assert.ok(!text.includes(planted), `a record came from ${url}`);
assert.ok(!sent.some((one) => one.includes(planted)), "a record was asked for");
await page.context().close();
await browser.close();
assert.deepEqual(problems, []);
console.log(`the studio, ${sent.length} requests, ${came.length} answers searched, no violation`);
