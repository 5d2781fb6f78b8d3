import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdir, writeFile } from "node:fs/promises";
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { Browser } from "playwright-core";
import { LIMIT_MS, Server, launch, person, withFolder } from "./browser.js";
import { thereAndBack } from "./scenes/files.js";
import { acceptDownload, complete, offerFiles, sha256, shownCode, unzip, wrongCode } from "./view.js";

/** A name that means this machine, but that browsers do not trust as they trust localhost: no WebCrypto, no storage. */
const LAN_NAME = "lan.test";

const ADDRESSES: readonly [string, readonly string[], string?][] = [
  ["hidden addresses", []],
  ["visible addresses", ["--disable-features=WebRtcHideLocalIpsWithMdns"]],
  ["plain http on a LAN", [`--host-resolver-rules=MAP ${LAN_NAME} 127.0.0.1`], LAN_NAME],
];

for (const [name, flags, host] of ADDRESSES) {
  describe(`page to page with ${name}`, { timeout: 5 * LIMIT_MS }, () => {
    let browser: Browser;
    let server: Server;
    let url: string;
    before(async () => {
      [browser, server] = await Promise.all([launch(...flags), Server.start()]);
      url = host === undefined ? server.url : Object.assign(new URL(server.url), { hostname: host }).href;
    });
    after(async () => {
      await browser.close();
      await server.kill();
    });

    test("one file by link, verified on both sides, then one back on the same line", () => thereAndBack(browser, browser, url, host === undefined));

    test("a folder with an empty file and strange names arrives as a zip that unpacks to the same tree", () =>
      withFolder(async (folder) => {
        const tree = join(folder, "träum 🦀");
        await mkdir(join(tree, "deep", "er"), { recursive: true });
        await writeFile(join(tree, "empty"), "");
        await writeFile(join(tree, "deep", "er", "<img src=x onerror=alert(1)>.txt"), "markup is text");
        await writeFile(join(tree, "deep", "large.bin"), randomBytes(3 * 1024 * 1024 + 1));
        for (let i = 0; i < 200; i++) await writeFile(join(tree, `small-${i}.txt`), `number ${i}`);
        const [a, b] = [await person(browser), await person(browser)];
        const link = await offerFiles(a.page, url, tree, "Choose a folder");
        await b.page.goto(link);
        const got = await acceptDownload(b.page);
        await complete(a.page, b.page);
        assert.equal(got.name, "träum 🦀.zip");
        const unpacked = join(folder, "unpacked");
        unzip(got.path, unpacked);
        execFileSync("diff", ["-r", tree, join(unpacked, "träum 🦀")]);
        assert.deepEqual([...a.troubles, ...b.troubles], []);
        await Promise.all([a.context.close(), b.context.close()]);
      }));
  });
}

describe("what can go wrong between two pages", { timeout: 5 * LIMIT_MS }, () => {
  let browser: Browser;
  let server: Server;
  let folder: string;
  let a: Awaited<ReturnType<typeof person>>;
  let b: Awaited<ReturnType<typeof person>>;
  before(async () => {
    [browser, server] = await Promise.all([launch(), Server.start()]);
  });
  after(async () => {
    await browser.close();
    await server.kill();
  });

  /** Runs `use` with two persons and one file of `size` bytes. */
  const both = (size: number, use: (file: string) => Promise<void>) => (): Promise<void> =>
    withFolder(async (temporary) => {
      folder = temporary;
      const file = join(folder, "file.bin");
      await writeFile(file, randomBytes(size));
      [a, b] = [await person(browser), await person(browser)];
      await use(file);
      await Promise.all([a.context.close(), b.context.close()]);
    });

  test("a wrong code burns it and both sides say so", both(10, async (file) => {
    const link = await offerFiles(a.page, server.url, file);
    await b.page.goto(wrongCode(link));
    await b.page.getByRole("alert").getByText("The code is wrong.").waitFor();
    await a.page.getByRole("alert").getByText("Somebody tried a wrong code, so yours was burned.").waitFor();
    await b.page.getByRole("button", { name: "Start again" }).click();
    await b.page.getByLabel("Code or link from the other side").fill(link);
    await b.page.getByRole("button", { name: "Connect" }).click();
    await b.page.getByText("Nobody is waiting with this code.").first().waitFor();
  }));

  test("a code that cannot be one is refused before it is tried", async () => {
    const { page, context } = await person(browser);
    await page.goto(server.url);
    await page.getByLabel("Code or link from the other side").fill("7-crane-velvet-orbitt");
    await page.keyboard.press("Enter");
    await page.getByText("“orbitt” is not a word of any code.").waitFor();
    await context.close();
  });

  test("files and folders can be dropped anywhere on the page", both(1000, async (file) => {
    await a.page.goto(server.url);
    await mkdir(join(folder, "tree", "deep"), { recursive: true });
    await writeFile(join(folder, "tree", "deep", "leaf.txt"), "leaf");
    await a.page.getByText("Drop files or folders here").waitFor();
    const devtools = await a.context.newCDPSession(a.page);
    for (const type of ["dragEnter", "dragOver", "drop"] as const) {
      const data = { items: [], files: [file, join(folder, "tree")], dragOperationsMask: 1 };
      await devtools.send("Input.dispatchDragEvent", { type, x: 200, y: 10, data });
    }
    await b.page.goto(new URL(`#${await shownCode(a.page)}`, server.url).href);
    await b.page.getByText("tree/deep/leaf.txt").waitFor();
    const got = await acceptDownload(b.page);
    const names = execFileSync("python3", ["-c", "import sys, zipfile; print(*zipfile.ZipFile(sys.argv[1]).namelist(), sep='|')", got.path], { encoding: "utf8" });
    assert.deepEqual(names.trim().split("|").sort(), ["file.bin", "tree/", "tree/deep/", "tree/deep/leaf.txt"]);
  }));

  test("declining tells the sender, and nothing is downloaded", both(10, async (file) => {
    await b.page.goto(await offerFiles(a.page, server.url, file));
    await b.page.getByRole("button", { name: "Decline" }).click();
    await a.page.getByText("The other side declined these files.").first().waitFor();
    await b.page.getByText("You declined these files.").first().waitFor();
  }));

  test("the sender's tab closes in the middle: the receiver says so", both(64 * 1024 * 1024, async (file) => {
    await b.page.goto(await offerFiles(a.page, server.url, file));
    await b.page.getByRole("button", { name: "Accept" }).click();
    await b.page.getByText(/ of 64\.0 MiB/).waitFor();
    await a.page.close();
    // Its goodbye comes through, or the browser hangs up before: which of them is a race that neither side can decide.
    await b.page.getByText(/^(The other side (cancelled|closed the connection)|The connection was lost)\./).first().waitFor();
    await b.page.getByRole("button", { name: "Start again" }).waitFor();
    assert.equal(await b.page.getByText(/^Complete and verified/).count(), 0);
  }));

  test("cancelling in the middle tells the other side and the line stays", both(64 * 1024 * 1024, async (file) => {
    await b.page.goto(await offerFiles(a.page, server.url, file));
    await b.page.getByRole("button", { name: "Accept" }).click();
    await b.page.getByText(/ of 64\.0 MiB/).waitFor();
    await b.page.getByRole("button", { name: "Cancel" }).click();
    await a.page.getByText("The other side cancelled this transfer.").first().waitFor();
    await a.page.getByText(/Connected to a browser/).waitFor();
  }));

  test("the server is killed in the middle: the transfer goes on", both(32 * 1024 * 1024, async (file) => {
    const doomed = await Server.start();
    await b.page.goto(await offerFiles(a.page, doomed.url, file));
    const got = acceptDownload(b.page);
    await b.page.getByText(/ of 32\.0 MiB/).waitFor();
    await doomed.kill();
    assert.equal(await sha256((await got).path), await sha256(file));
    await complete(a.page, b.page);
  }));

  test("a file that changes while it waits is noticed", both(1024 * 1024, async (file) => {
    const link = await offerFiles(a.page, server.url, file);
    await writeFile(file, "now it is another one");
    await b.page.goto(link);
    await b.page.getByRole("button", { name: "Accept" }).click();
    await a.page.getByText(/changed or vanished|changed while/).first().waitFor();
    await b.page.getByText("A file changed on the other side while it was sent.").first().waitFor();
  }));
});
