// What each role does in the console of a site: administrator, officer, researcher, steward,
// technician and auditor, in a real browser against real nodes on a real ledger.
//
// Every page is checked by axe in light and in dark.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";

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
  picture,
  problems,
  seen,
  sent,
} from "./browser.mjs";

const uni = need("SALUS_UNI");
const hub = need("SALUS_HUB");
const hospital = need("SALUS_HOSPITAL");
const permit = need("SALUS_PERMIT");
const keyCode = need("SALUS_KEY_CODE");
const keyFile = need("SALUS_KEY_FILE");

// The administrator: invites people, gives them roles, sees what happens.
const PASSWORDS = ["granite lamp ferry plum", "copper walnut tram eleven", "velvet moss harbour nine"];
let page = await open(uni);
await page.goto("/console");
await heading(page, "Sign in");
await seen(page, "sign-in");
await page.getByLabel("Name").fill("h.lind");
await page.getByLabel("Password").fill("something else entirely");
await page.keyboard.press("Enter");
await page.getByText("Name, password or code is wrong.").waitFor();
await accessible(page, "sign-in refused");
await accept(page, need("SALUS_UNI_CODE"), "aaaaaaaaaaaa", "administrator");
await page.getByText("This password is easily guessed").waitFor();
await page.getByLabel("New password").fill(PASSWORDS[0]);
await page.getByLabel("The same again").fill(PASSWORDS[0]);
await button(page, "Choose this password").click();
const factor = await enrol(page, "administrator");
await heading(page, "Users and roles");

async function invite(name, login, role) {
  await button(page, "Invite a person").click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("Name").fill(name);
  await dialog.getByLabel("Signs in as").fill(login);
  await choose(page, "Role", role);
  if (role === "Researcher") await seen(page, "invite", false);
  await button(dialog, "Make the invitation").click();
  const code = await dialog.locator(".once code").innerText();
  if (role === "Researcher") await seen(page, "invitation");
  await button(dialog, "Done").click();
  return code;
}
const researcherCode = await invite("Ana Silva", "a.silva", "Researcher");
const auditorCode = await invite("Tom Weiss", "t.weiss", "Auditor");
// A university has no stewards of data: the ledger does not vouch for that.
await button(page, "Invite a person").click();
await page.getByRole("dialog").getByLabel("Name").fill("Nobody");
await page.getByRole("dialog").getByLabel("Signs in as").fill("nobody");
await choose(page, "Role", "Data steward");
await button(page, "Make the invitation").click();
await page.getByText("has none of the roles that a steward needs").waitFor();
await accessible(page, "a role that the ledger refuses");
await page.keyboard.press("Escape");
await page.getByRole("dialog").waitFor({ state: "detached" });
await page.getByRole("rowheader", { name: "Ana Silva" }).waitFor();
await seen(page, "accounts");
await button(page, "Change a.silva").click();
await page.getByRole("menuitem", { name: "Close the account…" }).waitFor();
await accessible(page, "an account's menu", "[role=menu]");
await page.keyboard.press("Escape");
await page.goto("/console/studio");
await heading(page, "Not for your role");
await seen(page, "not-for-your-role");
// Proposes another configuration of the ledger; alone her organisation decides nothing.
await page.getByRole("link", { name: "Proposals" }).click();
await heading(page, "Propose another configuration");
const waits = page.getByLabel("Blocks that a transaction waits, at most");
await waits.fill("0");
await page.getByText("A whole number from 1 on, or nothing to leave it.").waitFor();
await accessible(page, "a proposal that cannot be");
assert.ok(await button(page, "Make the proposal").isDisabled());
await waits.fill("1234");
await seen(page, "proposals", false);
await button(page, "Make the proposal").click();
await heading(page, "What it would change");
const changes = page.getByRole("region", { name: "What it would change" }).locator("tbody tr");
await changes.first().waitFor();
assert.equal(await changes.count(), 1);
await changes.getByText("1234").waitFor();
await button(page, "Hand it in…").click();
await button(page.getByRole("dialog"), "Hand it in").click();
await page.getByRole("dialog").getByText("governance policy").waitFor();
await accessible(page, "a proposal that too few signed");
await page.keyboard.press("Escape");
await page.getByRole("dialog").waitFor({ state: "detached" });
const [download] = await Promise.all([page.waitForEvent("download"), button(page, "Download").click()]);
const proposal = await readFile(await download.path());
// Out, and in again with the second factor.
await button(page, "Sign out").click();
await heading(page, "Sign in");
await page.getByLabel("Name").fill("h.lind");
await page.getByLabel("Password").fill(PASSWORDS[0]);
await button(page, "Continue").click();
await heading(page, "Second factor");
await seen(page, "second-factor", false);
await page.getByLabel("Code", { exact: true }).fill("000000");
await button(page, "Sign in").click();
await page.getByText("Name, password or code is wrong.").waitFor();
await button(page, "Use a recovery code").click();
await page.getByLabel("Recovery code").fill(factor.recovery[0]);
await button(page, "Sign in").click();
await heading(page, "Users and roles");
await page.context().close();

// The hub's administrator: sees what the university wants before signing it, and hands it in.
page = await open(hub);
await accept(page, need("SALUS_HUB_ADMINISTRATOR_CODE"), PASSWORDS[1]);
await enrol(page);
await page.getByRole("link", { name: "Proposals" }).click();
const openFile = async (buffer) => {
  const [choosing] = await Promise.all([
    page.waitForEvent("filechooser"),
    button(page, "Choose the file…").click(),
  ]);
  await choosing.setFiles({ name: "proposal.cose", mimeType: "application/cose", buffer });
};
const bent = Buffer.from(proposal);
bent[bent.length - 1] ^= 1;
await openFile(bent);
await page.getByText("no proposal for this ledger, or a signature on it is forged").waitFor();
await accessible(page, "a proposal that was altered on its way");
await openFile(proposal);
await page.getByText("This site has not signed it.").waitFor();
await page.getByText("1234").waitFor();
await seen(page, "proposal");
await page.emulateMedia({ colorScheme: "dark", reducedMotion: "reduce" });
await accessible(page, "a proposal (dark)");
await page.setViewportSize(NARROW.viewport);
await picture(page, "proposal-narrow", false);
await page.setViewportSize(LIGHT.viewport);
await page.emulateMedia({ colorScheme: "light", reducedMotion: "reduce" });
await button(page, "Endorse…").click();
await accessible(page, "the endorsement");
await button(page.getByRole("dialog"), /^Sign it/).click();
await page.getByText("This site has signed it.").waitFor();
await button(page, "Hand it in…").click();
await button(page.getByRole("dialog"), "Hand it in").click();
await heading(page, "It is in force");
await seen(page, "proposal-in-force", false);
await button(page, "To the proposals").click();
await page.getByText("Now: 1,234 blocks").waitFor();
await openFile(proposal);
await page.getByText("Another change has come before this one").waitFor();
assert.equal(await button(page, "Endorse…").count(), 0);
await page.context().close();

// The hub's officer: reads an application and grants it.
page = await open(hub);
await accept(page, need("SALUS_HUB_CODE"), PASSWORDS[0]);
await enrol(page);
await heading(page, "Own datasets");
// The hub has no devices of its own, and says how some come.
await page.getByRole("link", { name: "Devices", exact: true }).click();
await heading(page, "No device has reported yet");
await seen(page, "devices-none", false);
await page.goto("/console/permits");
await page.getByRole("main").getByRole("link", { name: /^permit-/ }).first().click();
await heading(page, "Permit");
await page.getByText("It waits for the decision of an officer").waitFor();
await seen(page, "permit-decision");
await button(page, "Grant…").click();
await accessible(page, "the grant");
await button(page.getByRole("dialog"), "Grant it").click();
await page.getByText("in force").waitFor();
await page.context().close();

// The researcher: takes the key in, asks by mouse and in SQL, sees what it cost.
page = await open(uni);
await accept(page, researcherCode, PASSWORDS[1]);
await heading(page, "Query studio");
await heading(page, "Begin with your permit’s key");
await seen(page, "studio-first");
const takeKey = async (code) => {
  const [choosing] = await Promise.all([
    page.waitForEvent("filechooser"),
    button(page, /Choose the file|\.json/).click(),
  ]);
  await choosing.setFiles(keyFile);
  await page.getByLabel("Its code").fill(code);
  await button(page, "Take the key in").click();
};
await takeKey("00000-00000-00000-00000-00000-0");
await page.getByText("The code does not open this file").waitFor();
await accessible(page, "a wrong code");
await takeKey(keyCode.toLowerCase());
await heading(page, "Question");
// The keys are there, and no script reads them.
const kept = await page.evaluate(async () => {
  const opening = indexedDB.open("salus-permit-keys");
  const database = await new Promise((done) => (opening.onsuccess = () => done(opening.result)));
  const all = database.transaction("keys").objectStore("keys").getAll();
  const [key] = await new Promise((done) => (all.onsuccess = () => done(all.result)));
  const tries = [key.sign, key.open.privateKey].map((secret) =>
    crypto.subtle.exportKey("pkcs8", secret).then(
      () => "exported",
      () => "refused",
    ),
  );
  return Promise.all(tries);
});
assert.deepEqual(kept, ["refused", "refused"]);

// The expected error stands there before anything is asked, and follows the price.
await page.getByText("± ").first().waitFor();
const expected = async () => {
  await page.waitForFunction(() => document.querySelector(".expected")?.getAttribute("aria-busy") === "false");
  return (await page.locator(".expected .figure").innerText()).trim();
};
const before = await expected();
await page.getByRole("slider").focus();
for (let n = 0; n < 4; n += 1) await page.keyboard.press("ArrowLeft");
await page.waitForFunction((old) => !document.querySelector(".expected .figure")?.textContent?.includes(old), before);
const after = await expected();
const size = (text) => Number(text.replace(/[^0-9.]/g, ""));
assert.ok(size(after) > size(before), `${after} for less, ${before} for more`);
for (let n = 0; n < 4; n += 1) await page.keyboard.press("ArrowRight");
await choose(page, "What", "Rows in each group");
await choose(page, "Column", "ward");
await page.getByText("SELECT ward, count(*) FROM vitals GROUP BY ward").waitFor();
await expected();
await seen(page, "studio-question");

const ask = async (what) => {
  await page.waitForFunction(() => {
    const ask = [...document.querySelectorAll("button.primary")].find((one) => one.textContent?.startsWith("Ask for"));
    return ask !== undefined && !ask.hasAttribute("data-disabled");
  });
  await button(page, /^Ask for/).click();
  await page.waitForFunction(
    (old) => {
      const link = document.querySelector(".strip .id[title^=receipt]");
      return link !== null && link.getAttribute("title") !== old;
    },
    what,
    { timeout: 60_000 },
  );
  await page.locator(".strip .mark.verified").waitFor();
  return page.locator(".strip .id[title^=receipt]").getAttribute("title");
};
const first = await ask("none");
await seen(page, "studio-answer");
const rows = page.getByRole("region", { name: "Estimates" }).locator("tbody tr");
await rows.nth(4).waitFor();
assert.equal(await rows.count(), 5);
const surgery = await rows.filter({ hasText: "surgery" }).locator("td").first().innerText();
// 3,000 patients, of whom those of three remainders of seven are in surgery.
assert.ok(Math.abs(size(surgery) - 1285) < 250, surgery);
// Wards do not follow each other: a line from one to the next would say nothing.
assert.equal(await button(page, "As a line").count(), 0);
const exported = async (item) => {
  await button(page, "Export").click();
  const [download] = await Promise.all([
    page.waitForEvent("download"),
    page.getByRole("menuitem", { name: item }).click(),
  ]);
  return readFile(await download.path());
};
const csv = (await exported("Figures (CSV)")).toString();
assert.match(csv, /ward,what,estimate,lower_95,upper_95,standard_error\r\n/);
assert.match(csv, /surgery,count,/);
const svg = (await exported("Vectors (SVG)")).toString();
assert.ok(svg.startsWith("<svg") && svg.includes("surgery"), svg.slice(0, 200));
// On a page of its own, since the console's content policy forbids the styles that are in it.
const elsewhere = await browser.newPage();
const broken = await elsewhere.evaluate(
  (text) => new DOMParser().parseFromString(text, "image/svg+xml").querySelector("parsererror")?.textContent ?? null,
  svg,
);
await elsewhere.close();
assert.equal(broken, null, "the vectors are no XML that other programs read");
const png = await exported("Picture (PNG)");
assert.equal(png.subarray(1, 4).toString(), "PNG");
assert.ok(png.length > 5000, `${png.length} bytes`);
assert.ok((await exported("Receipt (CBOR)")).length > 500);

// Two keys and a condition, by the builder; then the same as SQL, changed, and back.
await choose(page, "And by", "sex");
await button(page, "Add a condition").click();
await choose(page, "Column", "age");
await choose(page, "How", "is at least");
await page.getByRole("textbox", { name: "Value" }).fill("60");
await page.getByText("WHERE age >= 60 GROUP BY ward, sex").waitFor();
const second = await ask(first);
await seen(page, "studio-grouped");
await button(page, "SQL", { exact: true }).click();
const text = page.getByLabel("Question in SQL");
await text.fill("SELECT histogram(age, 11) FROM vitals");
const third = await ask(second);
await page.getByRole("rowheader", { name: "0 – 10", exact: true }).waitFor();
await seen(page, "studio-histogram");
await button(page, "As a line").click();
await accessible(page, "an answer as a line");
await picture(page, "studio-line", false);
await text.fill("SELECT nothing FROM vitals");
await page.locator(".trouble").first().waitFor();
await accessible(page, "a text that is no question");
await text.fill("SELECT avg(age) FROM vitals WHERE sex = 'female'");
await expected();
await page.waitForTimeout(600);
await button(page, "Builder").click();
await page.getByText("SELECT avg(age) FROM vitals WHERE sex = 'female'").waitFor();
const fourth = await ask(third);
await page.locator(".single").waitFor();
await seen(page, "studio-mean");
// A line through two columns, with the band in which the exact one lies.
await choose(page, "What", "Line through two columns");
await choose(page, "Explained", "stay");
await choose(page, "Explaining", "age");
await button(page, "Remove the condition on sex").click();
await page.getByText("SELECT regr_slope(stay, age) FROM vitals").waitFor();
await ask(fourth);
await page.getByText("the exact line lies within the band in 95 of 100 answers").waitFor();
const slope = rows.filter({ hasText: "slope" }).locator("td");
// By least squares over the exact rows it is 0.125. Five standard errors are left once in a million.
const [tilt, error] = [await slope.nth(0).innerText(), await slope.nth(2).innerText()].map(Number);
assert.ok(error > 0 && error < 0.1 && Math.abs(tilt - 0.125) < 5 * error, `${tilt} with ${error}`);
await seen(page, "studio-regression");
const places = (await exported("Figures (CSV)")).toString().split("\r\n");
assert.equal(places.filter((one) => one.includes("line of stay")).length, 33);
assert.ok((await exported("Vectors (SVG)")).toString().includes("stay"));
// The same again costs nothing.
await button(page, /^Ask for/).click();
await page.getByText("This answer was given before").waitFor();

// Whole counts that add up, beside the noisy ones.
await choose(page, "What", "Rows in each group");
await choose(page, "Column", "ward");
await button(page, /^Ask for/).click();
await page.getByText("This answer was given before").waitFor();
await page.getByRole("button", { name: "Whole counts that add up" }).click();
const wholes = await page.getByRole("main").locator("table tbody tr td:last-child").allInnerTexts();
assert.ok(wholes.length >= 2 && wholes.every((one) => /^[\d,]+$/.test(one)), wholes.join(" "));
await button(page, "Whole counts that add up").click();

// A count that is followed: one price, and the same words ask for the next answer.
await choose(page, "What", "Number of patients");
await choose(page, "Answers for this price", "Up to 52, followed over time");
await button(page, /^Ask for .*, all 52$/).click();
await page.getByText("Answer 1 of 52, for one price.").waitFor();
await seen(page, "studio-followed");

await page.getByRole("link", { name: "My questions" }).click();
await heading(page, "My questions");
await page.getByRole("main").locator("tbody tr").nth(4).waitFor();
await seen(page, "questions");
await page.goto("/console/accounts");
await heading(page, "Not for your role");
await page.goto("/console/me");
await heading(page, "Your account");
await seen(page, "me");

// In dark and on a narrow screen, with the keys that this browser keeps.
for (const [look, scheme] of [["dark", "dark"], ["narrow", "light"]]) {
  await page.emulateMedia({ colorScheme: scheme, reducedMotion: "reduce" });
  await page.setViewportSize((look === "dark" ? DARK : NARROW).viewport);
  await page.goto("/console/studio");
  await heading(page, "Question");
  await choose(page, "What", "Rows in each group");
  await choose(page, "Column", "ward");
  await button(page, /^Ask for/).click();
  await page.getByText("This answer was given before").waitFor();
  await page.locator(".strip .mark.verified").waitFor();
  await seen(page, `studio-answer-${look}`);
}
await page.setViewportSize(LIGHT.viewport);
await page.emulateMedia({ colorScheme: "light", reducedMotion: "reduce" });
// A session that has ended asks to sign in again, and says why.
await page.context().clearCookies();
await page.getByRole("link", { name: "My questions" }).click();
await page.getByText("Your session has ended").waitFor();
await accessible(page, "a session that has ended");
await page.context().close();

// The hospital's steward: datasets, quarantine, keys.
page = await open(hospital);
await accept(page, need("SALUS_HOSPITAL_CODE"), PASSWORDS[2]);
await enrol(page);
await heading(page, "Own datasets");
await page.getByRole("rowheader", { name: "vitals" }).waitFor();
await seen(page, "holdings");
// Why records were refused, without a value of them; and how the keys are.
await page.getByRole("link", { name: "vitals" }).click();
await heading(page, "vitals");
const why = page.getByRole("region", { name: "Why records were refused" }).locator("tbody tr");
await why.first().waitFor();
assert.deepEqual(await why.locator("th, td").allInnerTexts(), ["age", "is not a whole number of 64 bits", "1"]);
assert.ok(!(await page.content()).includes("V9999"), "a record stands on the page");
await page.getByRole("rowheader", { name: "vitals.clinical" }).waitFor();
await seen(page, "holding");
await page.goto("/console/holdings/nothing-here");
await heading(page, "Not at this site");
await accessible(page, "a dataset that is not there");
await page.getByRole("link", { name: "Intake" }).click();
await heading(page, "Intake");
const servers = page.getByRole("region", { name: "FHIR servers" });
await servers.getByText("given up").waitFor();
await servers.getByText("403").waitFor();
const flow = page.getByRole("region", { name: "By dataset" });
for (const [dataset, way] of [["vitals", "tables of files"], ["fhir_resources", "FHIR"], ["devices_history", "device reports"]]) {
  await flow.getByRole("row").filter({ has: page.getByRole("rowheader", { name: dataset, exact: true }) }).getByRole("cell", { name: way, exact: true }).waitFor();
}
await seen(page, "intake");
await page.getByRole("link", { name: "fhir_resources", exact: true }).first().click();
await heading(page, "fhir_resources");
await page.getByRole("rowheader", { name: "Patient.birthDate" }).waitFor();
await seen(page, "holding-fhir", false);
await page.getByRole("link", { name: "Keys", exact: true }).click();
await heading(page, "Keys");
await page.getByText("site.st-mary").first().waitFor();
await seen(page, "keys");
await page.emulateMedia({ colorScheme: "dark", reducedMotion: "reduce" });
await accessible(page, "keys (dark)");
await page.goto("/console/holdings");
await heading(page, "Own datasets");
await seen(page, "holdings-dark", false);
for (const part of ["intake", "holdings/vitals"]) {
  await page.setViewportSize(DARK.viewport);
  await page.goto(`/console/${part}`);
  await page.getByRole("table").first().waitFor();
  await accessible(page, `${part} (dark)`);
  await page.setViewportSize(NARROW.viewport);
  await seen(page, `${part.replace("/", "-")}-narrow`, false);
}
await page.goto("/console/holdings");
await heading(page, "Own datasets");
await seen(page, "holdings-narrow", false);
await page.context().close();

// The hospital's technician: her fleet, exactly and live, and no patient.
const fleet = JSON.parse(need("SALUS_FLEET"));
page = await open(hospital);
await accept(page, need("SALUS_TECHNICIAN_CODE"), PASSWORDS[2]);
await heading(page, "Devices");
await page.getByText(`${fleet.devices} in all`).waitFor();
const figure = (word) =>
  page.locator(".fleet > div").filter({ hasText: word }).locator("dd").first().innerText().then(Number);
assert.equal(await figure("Known vulnerabilities"), fleet.known_vulnerabilities);
assert.equal(await figure("Low battery"), fleet.low_battery);
assert.ok(fleet.known_vulnerabilities > 0 && fleet.low_battery > 0, "the fleet has something to show");
await seen(page, "devices");
// By keyboard and link to those with a version, and from there to those with an alert.
const lines = page.getByRole("region", { name: "Devices" }).locator("tbody tr");
const [version, number] = Object.entries(fleet.os_versions).sort(([, a], [, b]) => b - a)[0];
await page.locator(".versions").getByRole("link", { name: version, exact: true }).focus();
await page.keyboard.press("Enter");
await page.getByText(`${number} of ${fleet.devices}`).waitFor();
assert.equal(await lines.count(), Math.min(number, 25));
await choose(page, "Operating system", "Any version");
await choose(page, "Alert", "Low battery");
await page.getByText(`${fleet.low_battery} of ${fleet.devices}`).waitFor();
assert.equal(await lines.filter({ hasText: "low battery" }).count(), Math.min(fleet.low_battery, 25));
await choose(page, "Alert", "Known vulnerabilities");
await page.getByText(`${fleet.known_vulnerabilities} of ${fleet.devices}`).waitFor();
await lines.first().getByRole("button", { name: /known CVE/ }).click();
await page.getByRole("dialog").getByText(/^CVE-/).first().waitFor();
await accessible(page, "the CVEs of a device");
await page.keyboard.press("Escape");
// Page by page, each device once.
await choose(page, "Alert", "All devices");
await page.getByText(`${fleet.devices} in all`).waitFor();
const met = new Set();
for (;;) {
  for (const name of await lines.locator("th code").allInnerTexts()) {
    assert.ok(!met.has(name), `${name} came twice`);
    met.add(name);
  }
  const next = page.getByRole("link", { name: "Next" });
  if ((await next.count()) === 0) break;
  // By its name: the rest of a line changes while it is looked at.
  const first = await lines.locator("th code").first().innerText();
  await next.click();
  await page.waitForFunction((old) => {
    const now = document.querySelector("tbody th code");
    return now !== null && now.innerText !== old;
  }, first);
}
assert.equal(met.size, fleet.devices);
// It looks again by itself, unless it is held; and says so when the node is away.
const looked = () => page.locator(".liveness time").getAttribute("datetime");
const before_ = await looked();
await page.waitForFunction(
  (old) => document.querySelector(".liveness time")?.getAttribute("datetime") !== old,
  before_,
  { timeout: 30_000 },
);
await button(page, "Hold").click();
await page.locator(".liveness").getByText("held,").waitFor();
await accessible(page, "a fleet that is held");
await button(page, "Hold").click();
away(true);
await page.route("**/v1/console/devices*", (route) => route.abort("connectionrefused"));
await page.locator(".liveness").getByText("interrupted").waitFor({ timeout: 30_000 });
assert.ok((await lines.count()) > 0, "what was last read stays");
await accessible(page, "a fleet without its node");
await page.getByRole("link", { name: "Devices", exact: true }).click();
await page.goto("/console/devices?show=silent");
await heading(page, "The node cannot be reached");
await accessible(page, "no node from the beginning");
await page.unroute("**/v1/console/devices*");
away(false);
// A policy of the site may withhold what a device's state needs.
const withheld = { error: "the site's policies do not let the role technician see it", class: "refused", reason: "policy" };
await page.route("**/v1/console/devices*", (route) => route.fulfill({ status: 403, json: withheld }));
await page.goto("/console/devices");
await heading(page, "You may not read this");
await accessible(page, "devices withheld");
await page.unroute("**/v1/console/devices*");
for (const [look, options] of [["dark", DARK], ["narrow", NARROW]]) {
  await page.emulateMedia({ colorScheme: options.colorScheme, reducedMotion: "reduce" });
  await page.setViewportSize(options.viewport);
  await page.goto("/console/devices");
  await page.getByText(`${fleet.devices} in all`).waitFor();
  await seen(page, `devices-${look}`, false);
}
for (const part of ["holdings", "keys", "intake", "studio", "accounts"]) {
  await page.goto(`/console/${part}`);
  await heading(page, "Not for your role");
}
await page.context().close();

// The auditor: everybody's questions, the ledger, and no power.
page = await open(uni);
await accept(page, auditorCode, PASSWORDS[2]);
await heading(page, "Overview");
await seen(page, "ledger", false);
await page.getByRole("link", { name: "Questions", exact: true }).click();
await heading(page, "Questions");
await page.getByRole("cell", { name: "Ana Silva" }).first().waitFor();
await seen(page, "questions-auditor");
await page.getByRole("link", { name: "Users and roles" }).click();
await heading(page, "Users and roles");
assert.equal(await button(page, "Invite a person").count(), 0);
assert.equal(await button(page, /^Change /).count(), 0);
await seen(page, "accounts-auditor", false);
await page.goto(`/console/receipts/${first}`);
await heading(page, "Receipt");
await page.locator(".proof .mark.verified").waitFor();
await page.goto("/console/keys");
await heading(page, "Not for your role");
await page.context().close();

await browser.close();

// Nothing that opens the key file left the browser, nor the file.
const { sealed } = JSON.parse(await readFile(keyFile, "utf8"));
const plain = keyCode.replaceAll("-", "");
for (const needle of [sealed.slice(0, 64), plain, keyCode, plain.toLowerCase(), keyCode.toLowerCase()]) {
  assert.ok(!sent.some((one) => one.includes(needle)), "what opens the permit's key left the browser");
}
assert.ok(sent.some((one) => one.includes(permit)), "the search would find what was sent");
assert.deepEqual(problems, []);
console.log(`six roles, ${sent.length} requests, no violation`);
