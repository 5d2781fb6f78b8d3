/** A server that asks for a token, and the dashboard of one that is administered. */
import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { Browser } from "playwright-core";
import { LIMIT_MS, Server, launch, person, withFolder } from "./browser.js";
import { shownCode } from "./view.js";

const SECRET = "correct horse battery staple";
const ADMIN = "a token of an administrator";
const ROOM = "x.img-src_1~";

describe("a server that asks for a token", { timeout: 4 * LIMIT_MS }, () => {
  let browser: Browser;
  let server: Server;
  before(async () => {
    [browser, server] = await Promise.all([launch(), Server.start("--access-secret", SECRET, "--admin-token", ADMIN)]);
  });
  after(async () => {
    await browser.close();
    await server.kill();
  });

  test("the page asks for it, goes on with it, and keeps it for this tab", () =>
    withFolder(async (folder) => {
      const file = join(folder, "note.txt");
      await writeFile(file, "note");
      const { page, context, troubles } = await person(browser);
      await page.goto(server.url);
      const chooser = page.waitForEvent("filechooser");
      await page.getByRole("button", { name: "Choose files" }).click();
      await (await chooser).setFiles(file);
      const heading = page.getByRole("heading", { name: "This server asks for a token" });
      await heading.waitFor();
      await page.getByLabel("Token").fill("wrong");
      await page.getByRole("button", { name: "Try again" }).click();
      await page.getByText(/this is no token/).waitFor();
      await page.getByLabel("Token").fill(SECRET);
      await page.getByRole("button", { name: "Try again" }).click();
      const code = await shownCode(page);
      assert.ok(!page.url().includes(SECRET) && !page.url().includes("token"));

      await page.getByRole("button", { name: "Cancel" }).click();
      await page.getByRole("button", { name: "Show one to the sender" }).click();
      assert.notEqual(await shownCode(page), code, "no second question");
      // Another tab is asked again, also for a link.
      const other = await context.newPage();
      await other.goto(new URL(`#${await shownCode(page)}`, server.url).href);
      await other.getByRole("heading", { name: "This server asks for a token" }).waitFor();
      await other.getByLabel("Token").fill(SECRET);
      await other.getByRole("button", { name: "Try again" }).click();
      await other.getByText(/Connected to a browser/).waitFor();
      assert.deepEqual(troubles, []);
      await context.close();
    }));

  test("the dashboard shows what there is, on a phone too, and closes rooms", async () => {
    const { page, context, troubles } = await person(browser);
    await page.setViewportSize({ width: 360, height: 740 });
    // A member in a page of its own, and what the server closed it with.
    const member = await person(browser);
    await member.page.goto(server.url);
    await member.page.evaluate((join) => {
      const socket = new WebSocket(new URL("ws", location.href.replace("http", "ws")));
      Object.assign(window, { membershipEnded: new Promise((resolve) => socket.addEventListener("close", ({ code }) => resolve(code))) });
      return new Promise((resolve) => {
        socket.addEventListener("message", resolve, { once: true });
        socket.addEventListener("open", () => socket.send(join));
      }).then(() => undefined);
    }, JSON.stringify({ type: "join", room: ROOM, token: SECRET }));

    await page.goto(new URL("admin", server.url).href);
    await page.getByLabel("Admin token").fill(ADMIN);
    await page.getByRole("button", { name: "Open" }).click();
    await page.getByText("Live", { exact: true }).waitFor();
    await page.getByRole("cell", { name: ROOM, exact: true }).waitFor();
    const wide = await page.evaluate(() => document.documentElement.scrollWidth > document.documentElement.clientWidth);
    assert.equal(wide, false, "nothing is cut off");
    page.on("dialog", (dialog) => void dialog.accept());
    await page.getByRole("button", { name: `Close room ${ROOM}` }).click();
    assert.equal(await member.page.evaluate(() => (window as unknown as { membershipEnded: Promise<number> }).membershipEnded), 4401);
    await page.getByText("Nobody is in a room.").waitFor();
    await page.getByRole("button", { name: "Forget the token" }).click();
    await page.getByLabel("Admin token").waitFor();
    assert.deepEqual(troubles, []);

    // What is wrong is said; the browser itself reports a 401.
    await page.getByLabel("Admin token").fill("wrong");
    await page.getByRole("button", { name: "Open" }).click();
    await page.getByText("this is not the admin token").waitFor();
    await context.close();
  });
});
