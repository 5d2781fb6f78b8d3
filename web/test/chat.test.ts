import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { Browser, Page } from "playwright-core";
import { LIMIT_MS, Server, launch, person } from "./browser.js";
import { Cli } from "./cli.js";
import { offerFiles, shot, shownCode } from "./view.js";
import { withFolder } from "./browser.js";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";

const said = (text: string) => (event: { readonly [field: string]: unknown }): boolean => event["text"] === text;

async function say(page: Page, text: string): Promise<void> {
  await page.getByLabel("Message", { exact: true }).fill(text);
  await page.keyboard.press("Enter");
}

describe("chat", { timeout: 8 * LIMIT_MS }, () => {
  let browser: Browser;
  let server: Server;
  before(async () => {
    [browser, server] = await Promise.all([launch(), Server.start()]);
  });
  after(async () => {
    await browser.close();
    await server.kill();
  });

  test("a page and two terminals in a room that a terminal has made", async () => {
    const host = Cli.talking("chat", "--name", "anna", "--server", server.url);
    const link = await host.link();
    const guest = Cli.talking("chat", link, "--name", "bob");
    await host.hears("member", ({ name, state }) => name === "bob" && state === "came");
    guest.say("before the page came");
    await host.hears("message", said("before the page came"));
    const { page, context, troubles } = await person(browser);
    await page.goto(link);
    const messages = page.getByRole("log", { name: "Messages" });
    await messages.getByText("before the page came").waitFor();
    await page.getByText("with anna, bob").waitFor();
    const hostile = "\u001b]52;c;eA==\u0007 <img src=x onerror=alert(1)> \u202Egpj.exe";
    host.say(hostile);
    await messages.getByText("<img src=x onerror=alert(1)>").waitFor();
    assert.equal(await messages.locator("img").count(), 0);
    assert.match((await messages.textContent()) ?? "", /\\u\{1b\}\]52;c;eA==\\u\{7\}.*\\u\{202e\}gpj/);
    await say(page, "hello from the page");
    await say(page, "/me waves");
    for (const cli of [host, guest]) {
      assert.equal((await cli.hears("message", said("hello from the page")))["name"], "browser");
      assert.equal((await cli.hears("message", said("waves")))["kind"], "action");
    }
    const field = page.getByLabel("Message", { exact: true });
    await field.fill("one");
    await field.press("Shift+Enter");
    await field.pressSequentially("two");
    await page.getByRole("button", { name: "Send" }).click();
    await host.hears("message", said("one\ntwo"));
    await page.getByLabel("Your name").fill("carla");
    await page.getByRole("button", { name: "Change" }).click();
    await guest.hears("member", ({ name, to }) => name === "browser" && to === "carla");
    await shot(page, "chat-light");
    await page.emulateMedia({ colorScheme: "dark" });
    await shot(page, "chat-dark");
    await page.setViewportSize({ width: 360, height: 740 });
    await shot(page, "chat-phone");
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    assert.equal(wide, 0, "nothing is wider than a phone");
    await page.getByRole("button", { name: "Disconnect" }).click();
    await host.hears("member", ({ name, state }) => name === "carla" && state === "left");
    guest.interrupt();
    assert.equal((await guest.ends()).exit, 130);
    host.interrupt();
    assert.equal((await host.ends()).exit, 130);
    assert.deepEqual(troubles, []);
    await context.close();
  });

  test("a terminal comes to the room of a page", async () => {
    const { page, context, troubles } = await person(browser);
    await page.goto(server.url);
    await page.getByRole("button", { name: "Start a chat" }).click();
    const guest = Cli.talking("chat", await shownCode(page), "--name", "bob", "--server", server.url);
    assert.deepEqual((await guest.hears("entered"))["others"], ["browser"]);
    guest.say("hi");
    await page.getByRole("log", { name: "Messages" }).getByText("hi", { exact: true }).waitFor();
    await say(page, "hello");
    await guest.hears("message", said("hello"));
    await page.getByRole("button", { name: "Disconnect" }).click();
    const ended = await guest.ends();
    assert.equal(ended.exit, 0, JSON.stringify(ended.said.at(-1)));
    assert.equal(ended.said.at(-1)?.event, "done");
    await page.getByRole("button", { name: "Start again" }).waitFor();
    assert.deepEqual(troubles, []);
    await context.close();
  });

  test("a thousand messages of a terminal are on the page once and in order", async () => {
    const host = Cli.talking("chat", "--name", "anna", "--server", server.url);
    const { page, context } = await person(browser);
    await page.goto(await host.link());
    const messages = page.getByRole("log", { name: "Messages" });
    await page.getByText("with anna").waitFor();
    const lines = Array.from({ length: 1_000 }, (_, n) => `line ${n}`);
    host.say(lines.join("\n"));
    await messages.getByText("line 999", { exact: true }).waitFor();
    assert.deepEqual(await messages.locator(".text").allTextContents(), lines);
    host.interrupt();
    await host.ends();
    await context.close();
  });

  test("two pages that exchange files can write to each other, too", () =>
    withFolder(async (folder) => {
      const path = join(folder, "note.txt");
      await writeFile(path, "x");
      const [sender, receiver] = [await person(browser), await person(browser)];
      await receiver.page.goto(await offerFiles(sender.page, server.url, path));
      await receiver.page.getByRole("button", { name: "Accept" }).waitFor();
      // Folded away until somebody wants it.
      assert.equal(await receiver.page.getByLabel("Message", { exact: true }).isVisible(), false);
      await sender.page.getByRole("heading", { name: "Chat" }).click();
      await say(sender.page, "is it the right one?");
      await receiver.page.getByLabel("1 new").waitFor();
      await shot(receiver.page, "chat-folded");
      await receiver.page.getByRole("heading", { name: "Chat" }).click();
      await receiver.page.getByText("is it the right one?").waitFor();
      await say(receiver.page, "yes");
      await sender.page.getByText("yes", { exact: true }).waitFor();
      assert.deepEqual([...sender.troubles, ...receiver.troubles], []);
      await sender.context.close();
      await receiver.context.close();
    }));
});
