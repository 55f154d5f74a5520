// A data steward in the release studio, in a real browser against a real node on a real ledger: from
// opening a dataset to a published table, with all that can come between.

import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";

import {
  accept,
  accessible,
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
  seen,
  sent,
} from "./browser.mjs";

const hospital = need("SALUS_HOSPITAL");
const planted = need("SALUS_PLANTED");
const people = Number(need("SALUS_PEOPLE"));
const LONG = { timeout: 120_000 };

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
assert.ok((await forest.locator("tbody tr").count()) >= 5);
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
const tries = page.getByRole("region", { name: "Tries" }).last().locator("tbody tr");
await tries.first().waitFor(LONG);
await page.waitForFunction(() => document.querySelectorAll("tr.best, .decision h3").length > 0, null, LONG);
await heading(page, /^Try \d+ is recommended$/, LONG);
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
await heading(page, "Before and after", LONG);
const trial = page.getByRole("region", { name: "Rehearsal" });
const rehearsed = await scoreOf(trial);
assert.ok(rehearsed > raw && rehearsed >= 70, `${rehearsed} after ${raw}`);
const compared = page.getByRole("region", { name: "Attacks before and after" });
await seen(page, "release-rehearsed", true, [method, compared]);

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
await heading(page, "stays_synthetic is published", LONG);
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
}
await page.getByRole("region", { name: "Published from it" }).getByRole("rowheader", { name: /^stays_synthetic/ }).waitFor();
await page.locator(".decision .id[title^=receipt]").click();
await heading(page, "Receipt");
await page.goBack();
await heading(page, "stays_synthetic is published", LONG);
await button(page, "Put it away").click();

// Below what is asked for, it is charged and withheld, and the page says so.
await ask("100");
await page.getByRole("textbox", { name: "Name of the new dataset" }).fill("stays_withheld");
await page.waitForFunction(() => !document.querySelector("pre.sql")?.textContent?.includes("stays_synthetic"));
await button(page, "Publish…").click();
await button(dialog, "Charge it and publish").click();
await heading(page, "Withheld", LONG);
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
await page.goto("/console/releases/nothing_here");
await heading(page, "Not at this site");
await accessible(page, "a dataset that is not there");

// A study that the node has forgotten, a node that is away, a policy that says no.
await page.route("**/v1/console/studies/*", (route) =>
  route.fulfill({ status: 404, json: { error: "there is no such study", class: "bad-request" } }),
);
await page.goto("/console/releases/stays");
await heading(risk, "The node has forgotten this");
await accessible(page, "a study that was forgotten");
await page.unroute("**/v1/console/studies/*");
away(true);
await page.route("**/v1/console/releases/stays", (route) => route.abort("connectionrefused"));
await page.goto("/console/releases/stays");
await heading(page, "The node cannot be reached");
await accessible(page, "a studio without its node");
await page.unroute("**/v1/console/releases/stays");
away(false);
const withheld = { error: "the site's policies do not let the role steward see it", class: "refused", reason: "policy" };
await page.route("**/v1/console/releases/stays", (route) => route.fulfill({ status: 403, json: withheld }));
await page.goto("/console/releases/stays");
await heading(page, "You may not read this");
await accessible(page, "a studio that is withheld");
await page.unroute("**/v1/console/releases/stays");

// No value of a record came to the browser, nor was one asked for.
await page.goto("/console/releases/stays");
await heading(page, "Before and after", LONG);
assert.ok(!(await page.content()).includes(planted), "a record stands on the page");
assert.ok(!sent.some((one) => one.includes(planted)), "a record was asked for");
await page.context().close();
await browser.close();
assert.deepEqual(problems, []);
console.log(`the studio, ${sent.length} requests, no violation`);
