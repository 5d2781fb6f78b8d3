import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdir, mkdtemp, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { Browser } from "playwright-core";
import { LIMIT_MS, Server, launch, person, withFolder } from "./browser.js";
import { Cli, errorOf } from "./cli.js";
import { assertDone, fileFromPage, fileIn, fileToPage, largeToPage, lanesFromPage, same, treeIn, treeToPage } from "./scenes/files.js";
import { acceptDownload, complete, offerFiles, phrase, sha256, wrongCode } from "./view.js";

type Person = Awaited<ReturnType<typeof person>>;

/** Enough that a transfer is still in its middle when something happens to it. */
const LARGE = 96 * 1024 * 1024;

const ADDRESSES: readonly [string, readonly string[]][] = [
  ["hidden addresses", []],
  ["visible addresses", ["--disable-features=WebRtcHideLocalIpsWithMdns"]],
];

for (const [name, flags] of ADDRESSES) {
  describe(`terminal and page with ${name}`, { timeout: 8 * LIMIT_MS }, () => {
    let browser: Browser;
    let server: Server;
    before(async () => {
      [browser, server] = await Promise.all([launch(...flags), Server.start()]);
    });
    after(async () => {
      await browser.close();
      await server.kill();
    });

    test("a file from the terminal to the page", () => fileToPage(browser, server));

    test("a file from the terminal to the page, over three lanes", async () => {
      const { said } = await largeToPage(browser, server, 24 * 1024 * 1024 + 5, ["--lanes", "3"]);
      assert.equal(said.at(-1)?.["lanes"], 3);
    });

    test("a file from the page to the terminal, over lanes that the page opens", () => lanesFromPage(browser, server));

    // It says that it takes what Firefox takes, and connections of Chromium end at 2,000 bytes.
    test("a file from the terminal to a page that takes smaller packets than it says", async () => {
      const { said } = await largeToPage(browser, server, 64 * 1024 * 1024 + 5, [], { userAgent: "Mozilla/5.0 Firefox/153.0" });
      assert.equal(said.at(-1)?.["packet"], 8000, "the largest that was tried");
    });

    test("a directory from the terminal to the page", () => treeToPage(browser, server));

    test("a file from the page to the terminal, by code and server", () => fileFromPage(browser, server));

    test("files from one page after the other to a terminal that listens, by its link", () =>
      withFolder(async (folder) => {
        const out = join(folder, "inbox");
        const cli = new Cli("receive-file", "--listen", "--server", server.url, "--dest", out, "--max-size", "4MiB", "--accept", "names:*.bin");
        const link = await cli.link();
        for (const [index, name] of ["one.bin", "two.bin"].entries()) {
          await cli.heardTimes("waiting", index + 1);
          const file = await fileIn(folder, name, 1024 * 1024 + 7);
          const { page, context, troubles } = await person(browser);
          await page.goto(link);
          await page.getByText("The other side is ready for your files.").waitFor();
          await page.locator('input[type="file"]:not([webkitdirectory])').setInputFiles(file);
          await complete(page);
          await cli.hears("file", ({ path }) => path === name);
          assert.equal(await sha256(join(out, name)), await sha256(file));
          assert.deepEqual(troubles, []);
          await context.close();
        }
        const refused = await fileIn(folder, "three.txt", 10);
        await cli.heardTimes("waiting", 3);
        const { page, context } = await person(browser);
        await page.goto(link);
        await page.locator('input[type="file"]:not([webkitdirectory])').setInputFiles(refused);
        await page.getByText(/they take only \*\.bin/).first().waitFor();
        await cli.hears("failed", ({ code }) => code === "declined");
        await context.close();
        await cli.heardTimes("waiting", 4);
        cli.interrupt();
        assert.equal((await cli.ends()).exit, 0);
      }));

    test("what is piped in a terminal to a page that shows a code", () =>
      withFolder(async (folder) => {
        const { page, context, troubles } = await person(browser);
        await page.goto(server.url);
        await page.getByRole("button", { name: "Show one to the sender" }).click();
        const line = (await page.getByText(/^peer-cli send-file PATH --to /).textContent()) ?? "";
        const link = /'(\S+)'$/.exec(line)?.[1] ?? "";
        const content = randomBytes(3 * 1024 * 1024 + 99);
        const cli = Cli.piped(content, "send-file", "-", "--name", "piped.bin", "--to", link);
        const got = await acceptDownload(page);
        await complete(page);
        assertDone(await cli.ends());
        assert.equal(got.name, "piped.bin");
        const file = join(folder, "expected");
        await writeFile(file, content);
        assert.equal(await sha256(got.path), await sha256(file));
        assert.deepEqual(troubles, []);
        await context.close();
      }));

    test("a directory from the page to the terminal, by the line that the page shows", () =>
      withFolder(async (folder) => {
        const tree = await treeIn(folder);
        const out = await mkdtemp(join(folder, "out-"));
        const { page, context, troubles } = await person(browser);
        await offerFiles(page, server.url, tree, "Choose a folder");
        const line = (await page.getByText(/^peer-cli receive-file /).textContent()) ?? "";
        const [, verb, link] = /^peer-cli (receive-file) '(\S+)'$/.exec(line) ?? [];
        const cli = new Cli(verb ?? line, link ?? line, "--yes", "--out", out);
        await complete(page);
        assertDone(await cli.ends());
        // A page is told of files only: an empty directory stays behind.
        await mkdir(join(out, basename(tree), "empty directory"));
        same(tree, join(out, basename(tree)));
        assert.deepEqual(troubles, []);
        await context.close();
      }));
  });
}

describe("the server inside the terminal's sender", { timeout: 4 * LIMIT_MS }, () => {
  let browser: Browser;
  before(async () => void (browser = await launch()));
  after(() => browser.close());

  for (const [name, address] of [
    ["the printed link", (link: string) => link],
    ["localhost", (link: string) => Object.assign(new URL(link), { hostname: "localhost" }).href],
  ] as const) {
    test(`the page receives from ${name}`, () =>
      withFolder(async (folder) => {
        const file = await fileIn(folder, "file.bin", 2 * 1024 * 1024 + 1);
        const cli = new Cli("send-file", file);
        const { page, context, troubles } = await person(browser);
        await page.goto(address(await cli.link()));
        const got = await acceptDownload(page);
        await complete(page);
        assertDone(await cli.ends());
        assert.equal(await sha256(got.path), await sha256(file));
        assert.deepEqual(troubles, []);
        await context.close();
      }));
  }
});

describe("what can go wrong between a terminal and a page", { timeout: 12 * LIMIT_MS }, () => {
  let browser: Browser;
  let server: Server;
  before(async () => {
    [browser, server] = await Promise.all([launch(), Server.start()]);
  });
  after(async () => {
    await browser.close();
    await server.kill();
  });

  /** Runs `use` with a person and a file of `size` bytes. */
  const withFile = (size: number, use: (file: string, somebody: Person) => Promise<void>) => (): Promise<void> =>
    withFolder(async (folder) => {
      const somebody = await person(browser);
      await use(await fileIn(folder, "file.bin", size), somebody);
      await somebody.context.close();
    });

  /** A transfer from the terminal to the page that has not reached its half. */
  async function toTheMiddle(file: string, { page }: Person, at = server): Promise<{ cli: Cli; download: Promise<{ path: string }> }> {
    const cli = new Cli("send-file", file, "--server", at.url);
    await page.goto(await cli.link());
    const download = acceptDownload(page);
    // Most tests end before there is a download.
    download.catch(() => undefined);
    await cli.isInTheMiddle();
    return { cli, download };
  }

  test("a wrong code on the page burns the terminal's", withFile(10, async (file, { page }) => {
    const cli = new Cli("send-file", file, "--server", server.url);
    await page.goto(wrongCode(await cli.link()));
    await page.getByRole("alert").getByText("The code is wrong.").waitFor();
    const ended = await cli.ends();
    assert.deepEqual([ended.exit, errorOf(ended)], [6, "wrong-code"]);
  }));

  test("a wrong code on the terminal burns the page's", withFile(10, async (file, { page }) => {
    const link = await offerFiles(page, server.url, file);
    const cli = new Cli("receive-file", wrongCode(link), "--yes", "--out", `${file}.out`);
    const ended = await cli.ends();
    assert.deepEqual([ended.exit, errorOf(ended)], [6, "wrong-code"]);
    await page.getByRole("alert").getByText("Somebody tried a wrong code, so yours was burned.").waitFor();
  }));

  test("the page declines", withFile(10, async (file, { page }) => {
    const cli = new Cli("send-file", file, "--server", server.url);
    await page.goto(await cli.link());
    await page.getByRole("button", { name: "Decline" }).click();
    const ended = await cli.ends();
    assert.deepEqual([ended.exit, errorOf(ended)], [3, "declined"]);
    await page.getByText("You declined these files.").first().waitFor();
  }));

  test("nobody at the terminal accepts", withFile(10, async (file, { page }) => {
    const link = await offerFiles(page, server.url, file);
    const ended = await new Cli("receive-file", link, "--out", `${file}.out`).ends();
    assert.deepEqual([ended.exit, errorOf(ended)], [3, "declined"]);
    await page.getByText("The other side declined these files.").first().waitFor();
  }));

  test("the terminal's file exists already", withFile(10, async (file, { page }) => {
    const link = await offerFiles(page, server.url, file);
    const ended = await new Cli("receive-file", link, "--yes", "--out", join(file, "..")).ends();
    assert.deepEqual([ended.exit, errorOf(ended)], [9, "exists"]);
    await page.getByText("The other side already has files of these names.").first().waitFor();
  }));

  test("the tab is closed in the middle", withFile(LARGE, async (file, somebody) => {
    const { cli } = await toTheMiddle(file, somebody);
    await somebody.page.close();
    assert.equal((await cli.ends(20_000)).exit, 4);
  }));

  test("the tab crashes in the middle", withFile(LARGE, async (file, somebody) => {
    const { cli } = await toTheMiddle(file, somebody);
    const devtools = await somebody.context.newCDPSession(somebody.page);
    const crashed = somebody.page.waitForEvent("crash");
    // It cannot answer any more.
    devtools.send("Page.crash").catch(() => undefined);
    await crashed;
    assert.equal((await cli.ends(20_000)).exit, 4);
  }));

  test("the terminal's sender is killed in the middle", withFile(LARGE, async (file, somebody) => {
    const { cli } = await toTheMiddle(file, somebody);
    await cli.kill();
    await somebody.page.getByText("The other side closed the connection.").first().waitFor();
    await somebody.page.getByRole("button", { name: "Start again" }).waitFor();
  }));

  test("the terminal's receiver is killed in the middle", withFile(LARGE, async (file, { page }) => {
    const link = await offerFiles(page, server.url, file);
    const cli = new Cli("receive-file", link, "--yes", "--out", `${file}.out`);
    await cli.isInTheMiddle();
    await cli.kill();
    await page.getByText("The other side closed the connection.").first().waitFor();
  }));

  test("the page cancels in the middle", withFile(LARGE, async (file, somebody) => {
    const { cli } = await toTheMiddle(file, somebody);
    await somebody.page.getByRole("button", { name: "Cancel" }).click();
    const ended = await cli.ends();
    assert.deepEqual([ended.exit, errorOf(ended)], [4, "peer-cancelled"]);
  }));

  test("the server is killed in the middle, from terminal to page", withFile(LARGE, async (file, somebody) => {
    const doomed = await Server.start();
    const { cli, download } = await toTheMiddle(file, somebody, doomed);
    await doomed.kill();
    assert.equal(await sha256((await download).path), await sha256(file));
    assertDone(await cli.ends());
    await complete(somebody.page);
  }));

  test("the server is killed in the middle, from page to terminal", withFile(LARGE, async (file, { page }) => {
    const doomed = await Server.start();
    const link = await offerFiles(page, doomed.url, file);
    const cli = new Cli("receive-file", link, "--yes", "--out", `${file}.out`);
    await cli.isInTheMiddle();
    await doomed.kill();
    assertDone(await cli.ends());
    assert.equal(await sha256(join(`${file}.out`, "file.bin")), await sha256(file));
    await complete(page);
  }));

  test("both sides show the same words", withFile(10, async (file, { page }) => {
    const cli = new Cli("send-file", file, "--server", server.url, "--verify");
    await page.goto(await cli.link());
    await page.getByRole("button", { name: "Accept" }).waitFor();
    assert.equal(await phrase(page), (await cli.hears("phrase"))["phrase"]);
    await acceptDownload(page);
    assertDone(await cli.ends());
  }));
});
