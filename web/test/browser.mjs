// What the journeys through a site's console share: a browser in which every page is checked by axe, no
// request may leave the origin and the content policy may not be broken once. With SALUS_SCREENSHOTS,
// pictures are kept there.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { readFile } from "node:fs/promises";
import path from "node:path";
import { chromium } from "playwright-core";

import { totp } from "./totp.mjs";

export const need = (name) => {
  const value = process.env[name];
  assert.ok(value, `${name} is not set`);
  return value;
};
const pictures = process.env.SALUS_SCREENSHOTS;
const axe = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

export const browser = await chromium.launch({
  executablePath: need("SALUS_CHROMIUM"),
  // Chromium's own sandbox refuses to run as root, as test machines do.
  args: process.getuid?.() === 0 ? ["--no-sandbox"] : [],
});

export const problems = [];
/** Whether the journey has taken the node away. */
let isAway = false;
export const away = (is) => {
  isAway = is;
};
/** Everything that left for a node, to be searched for what must not leave. */
export const sent = [];
/** Everything that the console's API answered, to be searched for what must not come. */
const answered = [];
/** The refusals that a journey asks for, each with a part of its path; where it names none, any of these. */
const refusals = [];
const USUAL = [400, 401, 403, 404];
export const refused = (status, part) => refusals.push([status, part]);
const isRefusal = (status, path) =>
  refusals.length === 0 || !path.includes("/v1/")
    ? USUAL.includes(status)
    : refusals.some(([one, part]) => one === status && path.includes(part));

/** What came from the console's API, as text; what a page left before it was read is asked for again. */
export async function answers(page) {
  const all = await Promise.all(answered);
  const missed = new Set(all.filter(({ text, method }) => text === null && method === "GET").map(({ url }) => url));
  for (const url of missed) all.push({ url, method: "GET", text: await (await page.request.get(url)).text() });
  return all.filter(({ text }) => text !== null);
}
export const LIGHT = { colorScheme: "light", viewport: { width: 1280, height: 900 } };
export const DARK = { colorScheme: "dark", viewport: { width: 1280, height: 900 } };
export const NARROW = { colorScheme: "light", viewport: { width: 390, height: 844 } };

export async function open(origin, options = LIGHT, state = undefined) {
  const context = await browser.newContext({
    baseURL: origin,
    reducedMotion: "reduce",
    // The site's own authority is in no browser's list; that its certificate holds is tested elsewhere.
    ignoreHTTPSErrors: true,
    acceptDownloads: true,
    ...(state === undefined ? {} : { storageState: state }),
    ...options,
  });
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
    sent.push(`${request.url()} ${JSON.stringify(request.headers())} ${request.postData() ?? ""}`);
  });
  page.on("response", (response) => {
    const { pathname } = new URL(response.url());
    if (!pathname.startsWith("/v1/")) return;
    const status = response.status();
    if (status >= 400 && !isRefusal(status, pathname)) problems.push(`${status} for ${response.url()} on ${page.url()}`);
    if (!pathname.startsWith("/v1/console/") || /event-stream/.test(response.headers()["content-type"] ?? "")) return;
    const [url, method] = [response.url(), response.request().method()];
    const text = response.text().then((text) => text, () => null);
    answered.push(text.then((text) => ({ url, method, text })));
  });
  page.on("pageerror", (error) => problems.push(`an error on ${page.url()}: ${error}`));
  page.on("console", (message) => {
    if (message.type() !== "error") return;
    // A refusal that the journey asks for is told by the browser too, and a node that it takes away.
    const status = Number(/status of (\d{3})/.exec(message.text())?.[1]);
    if (isRefusal(status, message.location().url)) return;
    if (isAway && /ERR_CONNECTION_REFUSED/.test(message.text())) return;
    problems.push(`the console said on ${page.url()}: ${message.text()}`);
  });
  return page;
}

/** Of the whole page, or of what lies over it and is all that can be reached. */
export async function accessible(page, what, part = undefined) {
  // By the protocol and not by a script element, which the content policy would refuse.
  await page.evaluate(axe);
  const found = await page.evaluate(async (part) => {
    const { violations } = await window.axe.run(part ?? document);
    return violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html).join(" ")}`);
  }, part);
  for (const violation of found) problems.push(`${what}: ${violation}`);
}

/** What lies between two parts of the page, and a little around it. */
async function around(page, [first, last]) {
  const [top, bottom] = [await first.boundingBox(), await last.boundingBox()];
  const [{ width }, room] = [page.viewportSize(), 16];
  return { x: 0, y: top.y - room, width, height: bottom.y + bottom.height - top.y + 2 * room };
}

/** Of the whole page, or of what lies between two parts of it. */
export async function picture(page, name, keep = true, parts = null) {
  // A page that is wider than the window is cut off for whoever reads it.
  const wider = await page.evaluate(
    () => document.documentElement.scrollWidth - document.documentElement.clientWidth,
  );
  if (wider > 0) problems.push(`${name} is ${wider} pixels wider than its window`);
  if (!pictures || !keep) return;
  // The head of the page sticks to where one has scrolled to.
  await page.evaluate(() => window.scrollTo(0, 0));
  const clip = parts === null ? {} : { clip: await around(page, parts) };
  await page.screenshot({ path: path.join(pictures, `site-${name}.png`), fullPage: true, ...clip });
}

export async function seen(page, name, keep = true, parts = null) {
  await page.waitForFunction(() => document.querySelector(".loading, .mark.checking") === null);
  await accessible(page, name);
  await picture(page, name, keep, parts);
}

export const heading = (page, name, options = {}) =>
  page.getByRole("heading", { name, exact: true }).waitFor(options);
export const button = (page, name, options = {}) => page.getByRole("button", { name, ...options });

export async function choose(page, label, option) {
  await page.getByRole("button", { name: label }).last().click();
  await page.getByRole("option", { name: option, exact: true }).click();
}

/** Takes an invitation up; gives the app's secret and the recovery codes where there are any. */
export async function accept(page, code, password, name = null) {
  await page.goto("/console");
  await heading(page, "Sign in");
  await button(page, "I have an invitation").click();
  await page.getByLabel("Invitation code").fill(code);
  await page.getByLabel("New password").fill(password);
  await page.getByLabel("The same again").fill(password);
  if (name !== null) await seen(page, `${name}-invitation`, false);
  await button(page, "Choose this password").click();
}

export async function enrol(page, name = null) {
  await heading(page, "Set up a second factor");
  await button(page, "Begin").click();
  await heading(page, "Scan this with the app");
  const secret = await page.locator(".once code").innerText();
  const recovery = await page.locator(".codes code").allInnerTexts();
  assert.equal(recovery.length, 10);
  if (name !== null) await seen(page, `${name}-second-factor`);
  await page.getByLabel("Code", { exact: true }).fill(totp(secret));
  await button(page, "Confirm").click();
  return { secret, recovery };
}
