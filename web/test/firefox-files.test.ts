/** Files, pipes and chats of pages in Firefox: with terminals, with each other, and with pages in Chromium. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { Browser } from "playwright-core";
import { LIMIT_MS, Server, launch, person, withFolder } from "./browser.js";
import { Cli } from "./cli.js";
import { HELLOS, LAN_NAME, VISIBLE, launchFirefox } from "./firefox.js";
import { fileFromPage, fileToPage, largeToPage, packetsSwallowed, thereAndBack, treeToPage } from "./scenes/files.js";
import { measureByPage } from "./scenes/bench.js";
import { sha256, shownCode } from "./view.js";

const MIB = 1024 * 1024;

for (const [name, prefs] of HELLOS) {
  describe(`terminal and Firefox with ${name}`, { timeout: 6 * LIMIT_MS }, () => {
    let browser: Browser;
    let server: Server;
    before(async () => {
      [browser, server] = await Promise.all([launchFirefox(prefs), Server.start()]);
    });
    after(async () => {
      await browser.close();
      await server.kill();
    });

    test("a file from the terminal to the page", () => fileToPage(browser, server));

    // The DTLS hello comes from whoever made the code: here it is the page's.
    test("a file from the page to the terminal, by code and server", () => fileFromPage(browser, server));

    test("a directory from the terminal to the page", () => treeToPage(browser, server));

    test("a large file from the terminal to the page, in packets that only Firefox takes", async () => {
      const { said } = await largeToPage(browser, server, 64 * MIB + 5);
      assert.equal(said.at(-1)?.["packet"], 8000);
    });

    test("large packets that stop getting through in the middle are given up within a second", () => packetsSwallowed(browser, server));

    test("64 MiB of noise through a pipe to the page, and a file back", () =>
      withFolder(async (folder) => {
        const [there, back] = [randomBytes(64 * MIB), randomBytes(20 * MIB + 5)];
        const [file, expected] = [join(folder, "back.bin"), join(folder, "there.bin")];
        await writeFile(file, back);
        await writeFile(expected, there);
        const cli = Cli.pipe(["--server", server.url]);
        const { page, context, troubles } = await person(browser);
        await page.goto(await cli.link());
        const card = page.getByRole("article", { name: "Pipe" });
        // What is no text is saved by itself.
        const download = page.waitForEvent("download");
        cli.stdin.end(there);
        const came = cli.stdout.toArray() as Promise<Buffer[]>;
        await card.getByText("The other side is done: 64.0 MiB came, and that is all of it.").waitFor();
        await page.locator('input[type="file"]').setInputFiles(file);
        await card.getByText("20.0 MiB sent").waitFor();
        await page.getByRole("button", { name: "Done" }).click();
        assert.equal((await cli.ends()).exit, 0);
        assert.ok(Buffer.concat(await came).equals(back));
        assert.equal(await sha256(await (await download).path()), await sha256(expected));
        const again = page.waitForEvent("download");
        await page.getByRole("link", { name: "Save again" }).click();
        assert.equal(await sha256(await (await again).path()), await sha256(expected));
        assert.deepEqual(troubles, []);
        await context.close();
      }));

    test("a chat with a terminal", async () => {
      const { page, context, troubles } = await person(browser);
      await page.goto(server.url);
      await page.getByRole("button", { name: "Start a chat" }).click();
      const cli = Cli.talking("chat", await shownCode(page), "--name", "bob", "--server", server.url);
      await cli.hears("entered");
      cli.say("hi");
      await page.getByRole("log", { name: "Messages" }).getByText("hi", { exact: true }).waitFor();
      await page.getByLabel("Message", { exact: true }).fill("hello");
      await page.keyboard.press("Enter");
      await cli.hears("message", ({ text }) => text === "hello");
      await page.getByRole("button", { name: "Disconnect" }).click();
      assert.equal((await cli.ends()).exit, 0);
      assert.deepEqual(troubles, []);
      await context.close();
    });
  });
}

describe("pages of Firefox and of Chromium", { timeout: 8 * LIMIT_MS }, () => {
  let firefox: Browser;
  let visible: Browser;
  let chromium: Browser;
  let server: Server;
  before(async () => {
    [firefox, visible, chromium, server] = await Promise.all([launchFirefox(), launchFirefox(VISIBLE), launch(), Server.start()]);
  });
  after(async () => {
    await Promise.all([firefox.close(), visible.close(), chromium.close()]);
    await server.kill();
  });

  test("a file there and back, both in Firefox", () => thereAndBack(firefox, firefox, server.url, true));

  test("a file there and back, both in Firefox with visible addresses", () => thereAndBack(visible, visible, server.url, true));

  test("a file there and back, from Firefox to Chromium", () => thereAndBack(firefox, chromium, server.url, true));

  test("a file there and back, from Chromium to Firefox", () => thereAndBack(chromium, firefox, server.url, true));

  test("a page in Firefox measures the line to a terminal, in packets that only Firefox takes, too", async () => {
    const rows = await measureByPage(firefox, server);
    assert.deepEqual([...new Set(rows.slice(1).map((cells) => cells.at(-1)))].sort(), ["1228 B", "1472 B", "8000 B"]);
  });

  test("a file there and back over plain http on a LAN", () => thereAndBack(firefox, firefox, Object.assign(new URL(server.url), { hostname: LAN_NAME }).href, false));
});
