/** Files between a page and whoever is on the other side, in any browser. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdir, readdir, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import type { Browser, BrowserContextOptions } from "playwright-core";
import { type Server, person, withFolder } from "../browser.js";
import { Cli, type Ended } from "../cli.js";
import { acceptDownload, complete, digests, offerFiles, phrase, sha256, shownCode, unzip } from "../view.js";

/** A file of noise. Returns its path. */
export async function fileIn(folder: string, name: string, size: number): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, randomBytes(size));
  return path;
}

/** A directory with everything that programs get wrong. Returns its path. */
export async function treeIn(folder: string): Promise<string> {
  const tree = join(folder, "träum 🦀");
  await mkdir(join(tree, "empty directory"), { recursive: true });
  await mkdir(join(tree, "日本", "深い"), { recursive: true });
  await writeFile(join(tree, "empty"), "");
  await writeFile(join(tree, "日本", "深い", "שלום.txt"), "right to left");
  await writeFile(join(tree, "<img src=x onerror=alert(1)>.txt"), "markup is text");
  await writeFile(join(tree, "large.bin"), randomBytes(3 * 1024 * 1024 + 1));
  for (let i = 0; i < 50; i++) await writeFile(join(tree, `small ${i}.txt`), `number ${i}`);
  return tree;
}

export function same(tree: string, copy: string): void {
  execFileSync("diff", ["-r", tree, copy]);
}

export function assertDone(ended: Ended): void {
  assert.equal(ended.exit, 0, JSON.stringify(ended.said.at(-1)));
  const done = ended.said.at(-1);
  assert.equal(done?.event, "done");
  assert.equal(done["path"], "direct");
}

/** From the terminal to the page. */
export function fileToPage(browser: Browser, server: Server): Promise<void> {
  return withFolder(async (folder) => {
    const file = await fileIn(folder, "there.bin", 8 * 1024 * 1024 + 12_345);
    const cli = new Cli("send-file", file, "--server", server.url);
    const { page, context, troubles } = await person(browser);
    await page.goto(await cli.link());
    await page.getByText("The other side wants to send you 1 file, 8.0 MiB.").first().waitFor();
    await page.getByText(/Connected to a terminal · direct/).waitFor();
    const got = await acceptDownload(page);
    await complete(page);
    assertDone(await cli.ends());
    assert.equal(got.name, "there.bin");
    assert.equal(await sha256(got.path), await sha256(file));
    assert.equal((await cli.hears("peer"))["engine"], "browser");
    assert.deepEqual(troubles, []);
    await context.close();
  });
}

/** A large file from the terminal, which gets more `words`, to a page with such `options`. How the terminal ended. */
export function largeToPage(browser: Browser, server: Server, size: number, words: readonly string[] = [], options: BrowserContextOptions = {}): Promise<Ended> {
  return withFolder(async (folder) => {
    const file = await fileIn(folder, "large.bin", size);
    const { page, context, troubles } = await person(browser, options);
    const cli = new Cli("send-file", file, ...words, "--server", server.url);
    await page.goto(await cli.link());
    const got = await acceptDownload(page);
    const ended = await cli.ends();
    assertDone(ended);
    assert.equal(await sha256(got.path), await sha256(file));
    assert.deepEqual(troubles, []);
    await context.close();
    return ended;
  });
}

/** A directory from the terminal to the page, which makes a zip of it. */
export function treeToPage(browser: Browser, server: Server): Promise<void> {
  return withFolder(async (folder) => {
    const tree = await treeIn(folder);
    const cli = new Cli("send-file", tree, "--server", server.url);
    const { page, context, troubles } = await person(browser);
    await page.goto(await cli.link());
    const got = await acceptDownload(page);
    await complete(page);
    assertDone(await cli.ends());
    assert.equal(got.name, "träum 🦀.zip");
    const unpacked = join(folder, "unpacked");
    unzip(got.path, unpacked);
    same(tree, join(unpacked, basename(tree)));
    assert.deepEqual(troubles, []);
    await context.close();
  });
}

/** From the page to the terminal, by code and server. */
export function fileFromPage(browser: Browser, server: Server): Promise<void> {
  return withFolder(async (folder) => {
    const file = await fileIn(folder, "back.bin", 8 * 1024 * 1024 + 54_321);
    const out = join(folder, "out");
    const { page, context, troubles } = await person(browser);
    await offerFiles(page, server.url, file);
    const cli = new Cli("receive-file", await shownCode(page), "--server", server.url, "--yes", "--out", out);
    await complete(page);
    assertDone(await cli.ends());
    assert.equal(await sha256(join(out, "back.bin")), await sha256(file));
    assert.deepEqual(await readdir(out), ["back.bin"]);
    assert.deepEqual(troubles, []);
    await context.close();
  });
}

/**
 * From a page of `hosts` to one of `guests` by link, verified on both sides, then one back on the same line. A page that
 * is not `trusted` has neither WebCrypto nor storage.
 */
export function thereAndBack(hosts: Browser, guests: Browser, url: string, trusted: boolean): Promise<void> {
  return withFolder(async (folder) => {
    const [there, back] = [join(folder, "there.bin"), join(folder, "back.txt")];
    await writeFile(there, randomBytes(8 * 1024 * 1024 + 12_345));
    await writeFile(back, "back");
    const [a, b] = [await person(hosts), await person(guests)];
    const link = await offerFiles(a.page, url, there);
    await b.page.goto(link);
    assert.equal(await b.page.evaluate(() => isSecureContext), trusted);
    await b.page.getByText("The other side wants to send you 1 file, 8.0 MiB.").first().waitFor();
    assert.equal(new URL(b.page.url()).hash, "", "the code is taken out of the address");
    const got = await acceptDownload(b.page);
    await complete(a.page, b.page);
    assert.equal(got.name, "there.bin");
    assert.equal(await sha256(got.path), await sha256(there));
    assert.deepEqual(await digests(a.page), await digests(b.page));
    assert.equal(await phrase(a.page), await phrase(b.page));
    await a.page.getByText(/Connected to a browser · direct/).waitFor();

    const chooser = b.page.waitForEvent("filechooser");
    await b.page.getByRole("button", { name: "Choose files" }).click();
    await (await chooser).setFiles(back);
    const returned = await acceptDownload(a.page);
    assert.equal(await sha256(returned.path), await sha256(back));
    await b.page.getByRole("button", { name: "Disconnect" }).click();
    await a.page.getByRole("button", { name: "Start again" }).waitFor();
    assert.deepEqual([...a.troubles, ...b.troubles], []);
    await Promise.all([a.context.close(), b.context.close()]);
  });
}

/** From the page to the terminal, over connections of their own that the page opens. */
export function lanesFromPage(browser: Browser, server: Server): Promise<void> {
  return withFolder(async (folder) => {
    const file = await fileIn(folder, "lanes.bin", 48 * 1024 * 1024 + 5);
    const out = join(folder, "out");
    const { page, context, troubles } = await person(browser);
    await page.goto(server.url);
    await page.evaluate(() => {
      const input = document.createElement("input");
      input.type = "file";
      input.id = "lanes";
      document.body.append(input);
    });
    await page.locator("#lanes").setInputFiles(file);
    const code = await page.evaluate(async (sdk) => {
      const { Line, sourceOfFiles } = (await import(sdk)) as typeof import("../../src/sdk/index.js");
      const line = Line.host({ intent: "send-files" });
      const files = document.querySelector<HTMLInputElement>("#lanes")?.files ?? [];
      line.on("connected", () => line.send(sourceOfFiles([...files]), { lanes: 3 }));
      return (await line.once("code")).code;
    }, new URL("peerline.js", server.url).href);
    const cli = new Cli("receive-file", code, "--server", server.url, "--yes", "--out", out);
    const ended = await cli.ends();
    assertDone(ended);
    assert.equal(ended.said.at(-1)?.["lanes"], 3);
    assert.equal(await sha256(join(out, "lanes.bin")), await sha256(file));
    assert.deepEqual(troubles, []);
    await context.close();
  });
}

/** Datagrams of this machine with so many bytes or more get through no more, until the returned function is called. */
function swallow(bytes: number): () => void {
  const root = (program: string, words: string): void => void execFileSync(program, words.split(" "), { stdio: ["ignore", "ignore", "inherit"] });
  // What leaves together would otherwise arrive together, as one that is longer.
  root("ip", "link set dev lo gso_max_segs 1");
  root("nft", `add table inet swallow; add chain inet swallow input { type filter hook input priority 0; }; add rule inet swallow input iif lo udp length >= ${bytes} drop`);
  return () => {
    root("nft", "delete table inet swallow");
    root("ip", "link set dev lo gso_max_segs 65535");
  };
}

/** Time from the moment when nothing large gets through to 8 MiB more, most of which is the second that this may take. */
const SWALLOWED_MS = 2_300;

/** From the terminal to a page that takes large packets, which the path does no more once it has carried some. */
export function packetsSwallowed(browser: Browser, server: Server): Promise<void> {
  return withFolder(async (folder) => {
    const file = await fileIn(folder, "swallowed.bin", 256 * 1024 * 1024);
    const { page, context, troubles } = await person(browser);
    const cli = new Cli("send-file", file, "--server", server.url);
    await page.goto(await cli.link());
    const got = acceptDownload(page);
    const { bytes } = await cli.hears("progress", (said) => Number(said["bytes"]) > 32 * 1024 * 1024);
    const restore = swallow(4_000);
    const since = performance.now();
    try {
      await cli.hears("progress", (said) => Number(said["bytes"]) > Number(bytes) + 8 * 1024 * 1024);
    } finally {
      restore();
    }
    const took = performance.now() - since;
    assertDone(await cli.ends());
    assert.equal(await sha256((await got).path), await sha256(file));
    assert.ok(took < SWALLOWED_MS, `it took ${Math.round(took)} ms`);
    assert.deepEqual(troubles, []);
    await context.close();
  });
}
