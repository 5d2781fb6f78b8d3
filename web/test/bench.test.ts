/** Measurements of lines on which there is a page. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { Browser } from "playwright-core";
import { LIMIT_MS, Server, launch } from "./browser.js";
import { measureBetweenPages, measureByPage, measureByTerminal } from "./scenes/bench.js";

describe("measuring a line to a page", { timeout: 5 * LIMIT_MS }, () => {
  let browser: Browser;
  let server: Server;
  before(async () => {
    [browser, server] = await Promise.all([launch(), Server.start()]);
  });
  after(async () => {
    await browser.close();
    await server.kill();
  });

  test("a page measures the line to a terminal", async () => {
    const rows = await measureByPage(browser, server);
    // Chromium takes no larger packets than every path carries, so there is nothing more to measure.
    assert.equal(rows.length, 7);
  });

  test("a terminal measures the line to a page", () => measureByTerminal(browser, server));

  test("a page measures the line to another page", () => measureBetweenPages(browser, server));
});
