/**
 * Measures a page: files between `peer-cli` and a browser, and between two tabs.
 *
 *     npm run bench [-- --size MIB] [--runs N] [--browser firefox]
 *
 * `SIGNALING_SERVER` and `PEER_CLI` name release binaries. Every digest is checked. Memory is the peak
 * resident size of the largest renderer, looked at ten times a second; Linux only.
 */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readFileSync, readdirSync } from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";
import type { Browser } from "playwright-core";
import { Server, launch, person, withFolder } from "../test/browser.js";
import { Cli } from "../test/cli.js";
import { launchFirefox } from "../test/firefox.js";
import { acceptDownload, offerFiles, sha256, shownCode } from "../test/view.js";

const MIB = 1024 * 1024;
const SAMPLE_MS = 100;
/** On the command line of what shows pages: Chromium's, and Firefox's, which has processes of other kinds as well. */
const RENDERER = /--type=renderer|-contentproc.*[ \0]tab\0*$/s;
/** A transfer slower than this hangs. */
const LIMIT_MS = 300_000;

const { values } = parseArgs({ options: { size: { type: "string", default: "256" }, runs: { type: "string", default: "3" }, browser: { type: "string", default: "chromium" } } });
const [size, runs] = [Number(values.size), Number(values.runs)];
assert.ok(["chromium", "firefox"].includes(values.browser), `--browser ${values.browser} is none that can be measured`);

interface Figure {
  readonly seconds: number;
  readonly page: number;
}

/** Resident MiB of the largest renderer. */
function largestRenderer(): number {
  let largest = 0;
  for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    try {
      if (!RENDERER.test(readFileSync(`/proc/${pid}/cmdline`, "utf8"))) continue;
      const kib = /^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
      largest = Math.max(largest, Number(kib ?? 0) / 1024);
    } catch {
      // It ended while it was looked at.
    }
  }
  return largest;
}

/** Peak of the largest renderer while `work` runs. */
async function watched(work: () => Promise<number>): Promise<Figure> {
  let page = 0;
  const timer = setInterval(() => (page = Math.max(page, largestRenderer())), SAMPLE_MS);
  try {
    return { seconds: await work(), page };
  } finally {
    clearInterval(timer);
  }
}

const seconds = (since: number): number => (performance.now() - since) / 1000;

async function toPage(browser: Browser, server: Server, file: string, digest: string): Promise<number> {
  const { page, context } = await person(browser);
  context.setDefaultTimeout(LIMIT_MS);
  const cli = new Cli("send-file", file, "--server", server.url);
  await page.goto(await cli.link());
  await page.getByRole("button", { name: "Accept" }).waitFor();
  const begun = performance.now();
  const got = await acceptDownload(page);
  assert.equal((await cli.ends(LIMIT_MS)).exit, 0);
  const took = seconds(begun);
  assert.equal(await sha256(got.path), digest);
  await context.close();
  return took;
}

async function fromPage(browser: Browser, server: Server, file: string, digest: string, out: string): Promise<number> {
  const { page, context } = await person(browser);
  await offerFiles(page, server.url, file);
  const code = await shownCode(page);
  const begun = performance.now();
  const cli = new Cli("receive-file", code, "--server", server.url, "--yes", "--out", out);
  assert.equal((await cli.ends(LIMIT_MS)).exit, 0);
  const took = seconds(begun);
  assert.equal(await sha256(join(out, "large.bin")), digest);
  await context.close();
  return took;
}

async function betweenPages(browser: Browser, server: Server, file: string, digest: string): Promise<number> {
  const [near, far] = [await person(browser), await person(browser)];
  for (const { context } of [near, far]) context.setDefaultTimeout(LIMIT_MS);
  await far.page.goto(await offerFiles(near.page, server.url, file));
  await far.page.getByRole("button", { name: "Accept" }).waitFor();
  const begun = performance.now();
  const got = await acceptDownload(far.page);
  await near.page.getByText(/^Complete and verified/).waitFor({ timeout: LIMIT_MS });
  const took = seconds(begun);
  assert.equal(await sha256(got.path), digest);
  await near.context.close();
  await far.context.close();
  return took;
}

await withFolder(async (folder) => {
  const path = join(folder, "large.bin");
  const file = await open(path, "w");
  for (let i = 0; i < size; i++) await file.write(randomBytes(MIB));
  await file.close();
  const digest = await sha256(path);
  const server = await Server.start();
  for (let run = 0; run < runs; run++) {
    // A browser of its own for each run: what a tab leaves behind is not the next one's.
    const rows: [string, (browser: Browser) => Promise<number>][] = [
      ["terminal to page", (browser) => toPage(browser, server, path, digest)],
      ["page to terminal", (browser) => fromPage(browser, server, path, digest, join(folder, `out-${run}`))],
      ["page to page", (browser) => betweenPages(browser, server, path, digest)],
    ];
    for (const [name, work] of rows) {
      const browser = await (values.browser === "firefox" ? launchFirefox() : launch());
      const figure = await watched(() => work(browser));
      await browser.close();
      console.log(`${name.padEnd(18)} ${(size / figure.seconds).toFixed(1).padStart(6)} MiB/s  ${figure.seconds.toFixed(1).padStart(6)} s  page ${figure.page.toFixed(0)} MiB`);
    }
  }
  await server.kill();
});
