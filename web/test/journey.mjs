// An auditor's way through the console, in a real browser against real validators.
//
// Every page is checked by axe in light and in dark; no request may leave the origin, and the
// content policy may not be broken once. With SALUS_SCREENSHOTS, pictures are kept there.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { readFile } from "node:fs/promises";
import path from "node:path";
import { chromium } from "playwright-core";

const need = (name) => {
  const value = process.env[name];
  assert.ok(value, `${name} is not set`);
  return value;
};
const origin = need("SALUS_ORIGIN");
const token = need("SALUS_TOKEN");
const release = need("SALUS_RELEASE");
const permit = need("SALUS_PERMIT");
const pictures = process.env.SALUS_SCREENSHOTS;
const receipt = `receipt-${release.slice(0, 32)}`;
const axe = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

const browser = await chromium.launch({
  executablePath: need("SALUS_CHROMIUM"),
  // Chromium's own sandbox refuses to run as root, as test machines do.
  args: process.getuid?.() === 0 ? ["--no-sandbox"] : [],
});

/** What the documentation shows; every other page is only checked. */
const KEPT = /^(sign-in|receipt-meaning|transaction-forged|no-permission|unreachable)-light$|^(overview|transaction|dataset)-(light|dark|narrow)$|^(receipt|permits)-(light|narrow)$/;

const problems = [];

async function open(options) {
  const context = await browser.newContext({ baseURL: origin, reducedMotion: "reduce", ...options });
  await context.addInitScript(() => {
    document.addEventListener("securitypolicyviolation", (event) => {
      console.error(`content policy: ${event.violatedDirective} ${event.blockedURI}`);
    });
  });
  const page = await context.newPage();
  page.on("request", (request) => {
    const url = new URL(request.url());
    const own = url.origin === origin || url.protocol === "blob:" || url.protocol === "data:";
    if (!own) problems.push(`a request left the origin: ${request.url()}`);
  });
  page.on("pageerror", (error) => problems.push(`an error on ${page.url()}: ${error}`));
  page.on("console", (message) => {
    if (message.type() !== "error") return;
    // A refusal that the journey asks for is told by the browser too.
    if (/status of 40[14]/.test(message.text())) return;
    problems.push(`the console said on ${page.url()}: ${message.text()}`);
  });
  return page;
}

async function accessible(page, what) {
  // By the protocol and not by a script element, which the content policy would refuse.
  await page.evaluate(axe);
  const found = await page.evaluate(async () => {
    const { violations } = await window.axe.run();
    return violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html).join(" ")}`);
  });
  for (const violation of found) problems.push(`${what}: ${violation}`);
}

async function picture(page, name) {
  // A page that is wider than the window is cut off for whoever reads it.
  const wider = await page.evaluate(
    () => document.documentElement.scrollWidth - document.documentElement.clientWidth,
  );
  if (wider > 0) problems.push(`${name} is ${wider} pixels wider than its window`);
  if (pictures && KEPT.test(name)) await page.screenshot({ path: path.join(pictures, `${name}.png`) });
}

const settled = async (page) => {
  await page.waitForFunction(() => document.querySelector(".loading, .mark.checking") === null);
};

async function signIn(page) {
  await page.goto("/");
  await page.getByRole("heading", { name: "Read the ledger" }).waitFor();
}

// What an auditor does, in light.
const page = await open({ colorScheme: "light", viewport: { width: 1280, height: 860 } });
await signIn(page);
await accessible(page, "sign-in");
await picture(page, "sign-in-light");
const field = page.getByLabel("Console token");
await field.fill("0".repeat(64));
await page.keyboard.press("Enter");
await page.getByText("This is not the token of this validator").waitFor();
await accessible(page, "sign-in refused");
await field.fill(token);
await page.keyboard.press("Enter");
await page.getByRole("heading", { name: "Overview" }).waitFor();

// The tail is live: a block that was committed after the page came is shown without reloading.
await page.getByText("live", { exact: true }).waitFor();
const newest = () => page.locator("table").first().locator("tbody tr th").first().innerText();
const before = await newest();
await page.waitForFunction(
  (old) => document.querySelector("table tbody tr th")?.textContent !== old,
  before,
);
await page.getByRole("button", { name: "Hold" }).click();
const held = await newest();
await page.waitForTimeout(1600);
assert.equal(await newest(), held, "a held list does not move");

// By keyboard alone: to the search, to a receipt, and into what its mark means.
await page.locator("a.skip").focus();
await page.keyboard.press("Tab");
await page.keyboard.press("Tab");
const tag = () => page.evaluate(() => document.activeElement?.tagName);
assert.equal(await tag(), "INPUT", "the search is the second stop after the way to the content");
await page.keyboard.type(receipt);
await page.keyboard.press("Enter");
await page.getByRole("heading", { name: "Search" }).waitFor();
const link = page.getByRole("main").getByRole("link").first();
await link.focus();
await page.keyboard.press("Enter");
await page.getByRole("heading", { name: "Receipt", exact: true }).waitFor();
await page.locator(".proof .mark.verified").waitFor();
const mark = page.locator(".strip .mark.verified");
await mark.locator("xpath=ancestor::button").focus();
await page.keyboard.press("Enter");
const dialog = page.getByRole("dialog");
await dialog.getByText("of 4 validators signed block").waitFor();
await accessible(page, "the mark's meaning");
await picture(page, "receipt-meaning-light");
await page.keyboard.press("Escape");
await dialog.waitFor({ state: "detached" });
const focused = () => page.evaluate(() => document.activeElement?.textContent);
assert.match((await focused()) ?? "", /verified here/, "the focus comes back");

// The receipt's file leaves for an offline check.
const [download] = await Promise.all([
  page.waitForEvent("download"),
  page.getByRole("button", { name: /Receipt file/ }).click(),
]);
assert.equal(download.suggestedFilename(), `${receipt}.cbor`);

// A filter by mouse, and the page before.
await page.goto("/transactions");
await settled(page);
await page.getByRole("button", { name: /Kind/ }).click();
await page.getByRole("option", { name: "Permit granted" }).click();
await page.waitForURL(/method=permits.grant/);
// The list before stays until the filtered one is there, and has such a row as well.
await page.waitForFunction(() => document.querySelectorAll("main tbody tr").length === 1);
await page.getByRole("rowheader", { name: "Permit granted" }).waitFor();
await page.goto("/transactions");
await page.getByRole("link", { name: "Older" }).click();
await page.waitForURL(/before=/);
await page.getByRole("link", { name: "First page" }).waitFor();

// A proof that was changed on its way is told, and so is a browser that cannot check.
await page.route("**/proof", async (route) => {
  const answer = await route.fetch();
  const body = await answer.body();
  body[body.length - 40] ^= 1;
  await route.fulfill({ response: answer, body });
});
await page.goto(`/transactions/${release}`);
await page.getByText("does not verify").waitFor();
await page.getByText("Do not rely on what this page says").waitFor();
await accessible(page, "a proof that failed");
await picture(page, "transaction-forged-light");
await page.unrouteAll({ behavior: "wait" });

// States that are no answer.
await page.goto("/search?q=nothing-like-this");
await page.getByText("Nothing on this ledger has this height").waitFor();
await page.goto("/blocks/99999999");
await page.getByRole("heading", { name: "Not on this ledger" }).waitFor();
await page.goto("/no/such/page");
await page.getByRole("heading", { name: "No such page" }).waitFor();
await page.route("**/v1/explorer/members?*", (route) => route.abort());
await page.goto("/members");
await page.getByRole("heading", { name: "cannot be reached" }).waitFor();
await accessible(page, "unreachable");
await picture(page, "unreachable-light");
problems.splice(0, problems.length, ...problems.filter((p) => !p.includes("ERR_FAILED")));
await page.unroute("**/v1/explorer/members?*");
await page.evaluate(() => sessionStorage.setItem("salus.token", "1".repeat(64)));
await page.goto("/permits");
await page.getByRole("heading", { name: "You may not read this" }).waitFor();
await accessible(page, "no permission");
await picture(page, "no-permission-light");
await page.context().close();

// Every page, in light and dark and on a narrow screen.
const PAGES = [
  ["overview", "/"],
  ["blocks", "/blocks"],
  ["block", "/blocks/3"],
  ["transactions", "/transactions"],
  ["transaction", `/transactions/${release}`],
  ["receipts", "/receipts"],
  ["receipt", `/receipts/${receipt}`],
  ["permits", "/permits"],
  ["permit", `/permits/${permit}`],
  ["datasets", "/datasets"],
  ["dataset", "/datasets/st-anna/signals"],
  ["members", "/members"],
  ["member", "/members/st-anna"],
  ["configuration", "/configuration"],
  ["search", "/search?q=st-"],
];
const LOOKS = [
  ["light", { colorScheme: "light", viewport: { width: 1280, height: 860 } }],
  ["dark", { colorScheme: "dark", viewport: { width: 1280, height: 860 } }],
  ["narrow", { colorScheme: "light", viewport: { width: 390, height: 844 } }],
];
for (const [look, options] of LOOKS) {
  const page = await open(options);
  await page.goto(`/#token=${token}`);
  await page.getByRole("heading", { name: "Overview" }).waitFor();
  assert.equal(new URL(page.url()).hash, "", "the token does not stay in the address");
  for (const [name, address] of PAGES) {
    await page.goto(address);
    await page.locator("h1").waitFor();
    await settled(page);
    if (name === "overview") await page.getByText("live", { exact: true }).waitFor();
    await accessible(page, `${name} (${look})`);
    await picture(page, `${name}-${look}`);
  }
  await page.context().close();
}

await browser.close();
assert.deepEqual(problems, []);
console.log(`${PAGES.length * LOOKS.length} pages without a violation`);
