/** A pipe between a terminal and a page. */
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { after, before, describe, test } from "node:test";
import type { Browser, Locator, Page } from "playwright-core";
import { LIMIT_MS, Server, launch, person, withFolder } from "./browser.js";
import { Cli, type Ended, errorOf } from "./cli.js";
import { sha256, shots } from "./view.js";

const MIB = 1024 * 1024;

/** A page that is connected with a terminal. */
interface Pair {
  readonly cli: Cli;
  readonly page: Page;
  /** What came, as it is shown. */
  readonly shown: Locator;
  readonly leave: () => Promise<void>;
}

function digest(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

async function digestOf(stream: Readable): Promise<string> {
  const hash = createHash("sha256");
  for await (const bytes of stream) hash.update(bytes as Buffer);
  return hash.digest("hex");
}

/** Reads exactly this from `stream`, which has more to come. */
async function reads(stream: Readable, expected: string): Promise<void> {
  let read = "";
  while (read.length < expected.length) {
    const bytes = stream.read() as Buffer | null;
    if (bytes === null) await new Promise((resolve) => stream.once("readable", resolve));
    else read += bytes.toString();
  }
  assert.equal(read, expected);
}

/** Until the card says so; a screen reader is told some of it, too. */
async function says(page: Page, words: string | RegExp): Promise<void> {
  await page.getByRole("article", { name: "Pipe" }).getByText(words).waitFor();
}

async function type(page: Page, text: string): Promise<void> {
  await page.getByLabel("Text to send").fill(text);
  await page.keyboard.press("Enter");
}

async function choose(page: Page, ...paths: readonly string[]): Promise<void> {
  await page.locator('input[type="file"]').setInputFiles([...paths]);
}

async function saved(page: Page, label: string): Promise<{ path: string; name: string }> {
  const download = page.waitForEvent("download");
  await page.getByRole("link", { name: label }).click();
  const done = await download;
  return { path: await done.path(), name: done.suggestedFilename() };
}

function assertDone({ exit, said }: Ended, counts: { readonly sent: number; readonly received: number }): void {
  const done = said.at(-1);
  assert.deepEqual([exit, done?.event, done?.["sent"], done?.["received"]], [0, "done", counts.sent, counts.received], JSON.stringify(done));
}

describe("a pipe between a terminal and a page", { timeout: 10 * LIMIT_MS }, () => {
  let browser: Browser;
  let server: Server;
  before(async () => {
    [browser, server] = await Promise.all([launch(), Server.start()]);
  });
  after(async () => {
    await browser.close();
    await server.kill();
  });

  async function pair(): Promise<Pair> {
    const cli = Cli.pipe(["--server", server.url]);
    const { page, context, troubles } = await person(browser);
    await page.goto(await cli.link());
    await page.getByRole("heading", { name: "From the terminal" }).waitFor();
    const leave = async (): Promise<void> => {
      assert.deepEqual(troubles, []);
      await context.close();
    };
    return { cli, page, shown: page.getByRole("region", { name: "What comes from the terminal" }), leave };
  }

  test("text goes both ways, and the page ends its half first", async () => {
    const { cli, page, shown, leave } = await pair();
    const [first, last] = ["first line\n\tsecond \u001b]52;c;eA==\u0007 <img src=x onerror=alert(1)> \u202Egpj.exe — żółw\n", "the terminal goes on, and ends\n"];
    cli.stdin.write(first);
    await shown.getByText("first line").waitFor();
    assert.equal(await shown.textContent(), "first line\n\tsecond \\u{1b}]52;c;eA==\\u{7} <img src=x onerror=alert(1)> \\u{202e}gpj.exe — żółw\n");
    assert.equal(await shown.locator("img").count(), 0);
    await type(page, "hello from the page");
    await reads(cli.stdout, "hello from the page\n");
    const field = page.getByLabel("Text to send");
    await field.fill("two");
    await field.press("Shift+Enter");
    await field.pressSequentially("lines");
    await page.getByRole("button", { name: "Send" }).click();
    await reads(cli.stdout, "two\nlines\n");
    await says(page, "30 B sent");
    await shots(page, "pipe-text");
    const ended = new Promise((resolve) => cli.stdout.once("end", resolve));
    cli.stdout.resume();
    await page.getByRole("button", { name: "Done" }).click();
    await ended;
    await says(page, "You are done: the other side has everything, 30 B.");
    assert.equal(await field.count(), 0);
    cli.stdin.end(last);
    const sent = Buffer.byteLength(first + last);
    await shown.getByText("the terminal goes on, and ends").waitFor();
    await says(page, `The other side is done: ${sent} B came, and that is all of it.`);
    await page.getByRole("button", { name: "Start again" }).waitFor();
    assertDone(await cli.ends(), { sent, received: 30 });
    assert.equal((await cli.hears("peer"))["engine"], "browser");
    await shots(page, "pipe-done");
    const { path, name } = await saved(page, "Save as a file");
    assert.equal(name, "pipe.txt");
    assert.equal(await readFile(path, "utf8"), first + last);
    await leave();
  });

  test("the terminal ends its half first, and files go on to it", () =>
    withFolder(async (folder) => {
      const contents = [randomBytes(20 * MIB + 5), randomBytes(77)];
      const paths = contents.map((_, index) => join(folder, `${index}.bin`));
      for (const [index, path] of paths.entries()) await writeFile(path, contents[index] ?? "");
      const { cli, page, leave } = await pair();
      cli.stdin.end();
      await says(page, "The other side is done: nothing came, and that is all of it.");
      const got = digestOf(cli.stdout);
      await type(page, "before");
      await choose(page, ...paths);
      await says(page, "20.0 MiB sent");
      await type(page, "after");
      await page.getByRole("button", { name: "Done" }).click();
      assert.equal(await got, digest(Buffer.concat([Buffer.from("before\n"), ...contents, Buffer.from("after\n")])));
      await says(page, "You are done: the other side has everything, 20.0 MiB.");
      assertDone(await cli.ends(), { sent: 0, received: 20 * MIB + 5 + 77 + 13 });
      await leave();
    }));

  test("64 MiB that are no text are counted and saved, and equal", async () => {
    const content = randomBytes(64 * MIB);
    const { cli, page, shown, leave } = await pair();
    cli.stdin.end(content);
    await says(page, "This is not text, so it is not shown here.");
    await says(page, /^\d+\.\d MiB so far$/);
    await shots(page, "pipe-binary");
    await says(page, "The other side is done: 64.0 MiB came, and that is all of it.");
    assert.equal(await shown.isVisible(), false);
    await page.getByRole("button", { name: "Done" }).click();
    assertDone(await cli.ends(), { sent: 64 * MIB, received: 0 });
    const { path, name } = await saved(page, "Save again");
    assert.equal(name, "pipe.bin");
    assert.equal(await sha256(path), digest(content));
    await leave();
  });

  test("of long text the newest part is shown and all of it is saved", async () => {
    const content = Array.from({ length: 120_000 }, (_, i) => `line ${i}: the quick brown fox 🦊 jumps\n`).join("");
    const { cli, page, shown, leave } = await pair();
    cli.stdin.end(content);
    await says(page, /^The other side is done: \d\.\d MiB came/);
    await says(page, "Only the newest part is shown here. All of it can be saved.");
    const text = (await shown.textContent()) ?? "";
    assert.ok(content.endsWith(text) && text.length <= MIB && text.length > MIB / 2, `${text.length} characters`);
    await shots(page, "pipe-long");
    const { path } = await saved(page, "Save again");
    assert.equal(await sha256(path), digest(Buffer.from(content)));
    await page.getByRole("button", { name: "Done" }).click();
    assert.equal((await cli.ends()).exit, 0);
    await leave();
  });

  test("a terminal that is killed while it sends is no end", async () => {
    const content = randomBytes(96 * MIB);
    const { cli, page, leave } = await pair();
    cli.stdin.end(content);
    await says(page, /^\d+\.\d MiB so far$/);
    await cli.kill();
    await says(page, /^It broke off after \d+\.\d MiB: this is not all of it\.$/);
    await says(page, "It broke off: the other side may not have everything that you sent.");
    await page.getByRole("alert").getByText(/other side/).first().waitFor();
    await page.getByRole("button", { name: "Start again" }).waitFor();
    await shots(page, "pipe-broken");
    const { path } = await saved(page, "Save what came");
    const got = await readFile(path);
    assert.ok(got.length > 0 && got.length < content.length);
    assert.equal(digest(got), digest(content.subarray(0, got.length)));
    await leave();
  });

  test("Ctrl-C at the terminal is told on the page", async () => {
    const { cli, page, shown, leave } = await pair();
    cli.stdin.write("so far\n");
    await shown.getByText("so far").waitFor();
    cli.interrupt();
    assert.equal((await cli.ends()).exit, 130);
    await says(page, "It broke off after 7 B: this is not all of it.");
    await says(page, /The other side (stopped|cancelled)/);
    await leave();
  });

  test("a terminal that nobody reads any more is told on the page", async () => {
    const { cli, page, leave } = await pair();
    cli.stdout.destroy();
    // That the first one was written to nobody shows with the second.
    for (const line of ["hello?", "hello??"]) await type(page, line);
    await says(page, /The other side could not go on\. It says: stdout: broken pipe\./);
    assert.equal((await cli.ends()).exit, 9);
    await page.getByRole("button", { name: "Start again" }).waitFor();
    await leave();
  });

  for (const [how, leaves] of [
    ["closed", (page: Page) => page.close({ runBeforeUnload: false })],
    ["left by its button", (page: Page) => page.getByRole("button", { name: "Disconnect" }).click()],
  ] as const) {
    test(`a page that is ${how} ends the terminal with an error`, async () => {
      const { cli, page, leave } = await pair();
      cli.stdin.write("before\n");
      await type(page, "hello");
      await reads(cli.stdout, "hello\n");
      await leaves(page);
      cli.stdout.resume();
      const ended = await cli.ends();
      assert.equal(ended.exit, 4, JSON.stringify(ended.said.at(-1)));
      // A page that is closed has no time for its goodbye, on a busy machine.
      assert.ok(["peer-cancelled", "peer-gone", "lost"].includes(errorOf(ended)), errorOf(ended));
      await leave();
    });
  }
});
