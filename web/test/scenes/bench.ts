/** Measurements in which a page takes part, in whatever browser. */
import assert from "node:assert/strict";
import type { Browser, Page } from "playwright-core";
import { type Server, person } from "../browser.js";
import { Cli } from "../cli.js";
import { shots, shownCode } from "../view.js";

/** The rows of the table, each as its cells. */
async function rowsOf(page: Page): Promise<string[][]> {
  const rows = await page.getByRole("article", { name: "Measurement" }).locator("tbody tr").all();
  return Promise.all(rows.map((row) => row.locator("th, td").allTextContents()));
}

async function measured(page: Page): Promise<void> {
  await page.getByRole("article", { name: "Measurement" }).getByText(/^Everything was measured/).waitFor();
}

/** Each of these rows has a rate and round trips. */
function assertMeasured(rows: readonly string[][], names: readonly string[]): void {
  assert.deepEqual(rows.map(([name]) => name), names, JSON.stringify(rows));
  for (const [, rate = "", ...rest] of rows) {
    const [packet = "", trips] = [rest.at(-1), rest.slice(0, -1)];
    assert.match(packet, /^\d+ B$/);
    assert.match(rate, /^\d+\.\d [KMG]iB\/s$/);
    for (const trip of trips) assert.match(trip, /^\d+\.\d ms$/);
  }
}

const BOTH_WAYS = [1, 2, 4].flatMap((lanes) => [`sending ×${lanes}`, `receiving ×${lanes}`]);

/** The page is the guest, so it decides what is measured. Returns what it shows and what the terminal says. */
export async function measureByPage(browser: Browser, server: Server): Promise<string[][]> {
  const cli = new Cli("bench", "--server", server.url);
  const { page, context, troubles } = await person(browser);
  await page.goto(await cli.link());
  await measured(page);
  const rows = await rowsOf(page);
  const { exit, said } = await cli.ends();
  assert.equal(exit, 0, JSON.stringify(said.at(-1)));
  assert.match(rows[0]?.join(" ").trim() ?? "", /^idle .* ms$/);
  assertMeasured(rows.slice(1, 7), BOTH_WAYS);
  const rates = said.filter(({ event }) => event === "throughput");
  assert.equal(rates.length, rows.length - 1);
  for (const { bytes, packet } of rates) assert.ok(Number(bytes) > 0 && Number(packet) >= 1228);
  await shots(page, "bench");
  assert.deepEqual(troubles, []);
  await context.close();
  return rows;
}

/** The terminal is the guest; it asks for more lanes than a page takes, too. */
export async function measureByTerminal(browser: Browser, server: Server): Promise<void> {
  const { page, context, troubles } = await person(browser);
  await page.goto(server.url);
  await page.getByRole("button", { name: "Measure it" }).click();
  const cli = new Cli("bench", await shownCode(page), "--server", server.url, "--duration", "0.5", "--lanes", "1,3,5");
  const { exit, said } = await cli.ends();
  assert.equal(exit, 0, JSON.stringify(said.at(-1)));
  await measured(page);
  const rows = (await rowsOf(page)).slice(1);
  const [some, many] = [rows.filter(([name]) => name?.endsWith("5") === false), rows.filter(([name]) => name?.endsWith("5"))];
  assert.ok(some.length >= 4);
  assert.deepEqual(many.map((cells) => cells[1]?.startsWith("not measured: ")), [true, true], JSON.stringify(many));
  assertMeasured(some.slice(0, 4), [1, 3].flatMap((lanes) => [`receiving ×${lanes}`, `sending ×${lanes}`]));
  assert.deepEqual(troubles, []);
  await context.close();
}

/** No terminal at all. */
export async function measureBetweenPages(browser: Browser, server: Server): Promise<void> {
  const [host, guest] = await Promise.all([person(browser), person(browser)]);
  await host.page.goto(server.url);
  await host.page.getByRole("button", { name: "Measure it" }).click();
  await guest.page.goto(`${server.url}#${await shownCode(host.page)}`);
  await Promise.all([measured(host.page), measured(guest.page)]);
  const [ours, theirs] = await Promise.all([rowsOf(guest.page), rowsOf(host.page)]);
  assertMeasured(ours.slice(1), BOTH_WAYS);
  assert.deepEqual(theirs.map((cells) => cells.slice(1)), ours.map((cells) => cells.slice(1)));
  assert.deepEqual([...host.troubles, ...guest.troubles], []);
  await Promise.all([host.context.close(), guest.context.close()]);
}
