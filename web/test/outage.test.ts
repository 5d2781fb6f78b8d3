/** A page whose other side goes away and comes back, on a network of their own. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { Browser } from "playwright-core";
import { LIMIT_MS, launch, person, withFolder } from "./browser.js";
import { Cli } from "./cli.js";
import { acceptDownload, complete, sha256 } from "./view.js";

/** So slow that a transfer of this size is in its middle when something happens to it. */
const RATE = "16mbit";
const SIZE = 20 * 1024 * 1024;

/** Longer than ICE waits on either side before it gives up and only a restart helps. */
const OUTAGE_MS = 40_000;

/** A host beside this one, at the other end of a wire. Making it takes root. */
class Host {
  readonly #name = `peerline-${process.pid}`;
  readonly #wire = `pl${process.pid}`;
  readonly #net = `10.251.${process.pid % 250}`;
  /** Starts a command there. */
  readonly inside = ["ip", "netns", "exec", this.#name] as const;
  readonly address = `${this.#net}.2`;

  constructor() {
    root("ip", "netns", "add", this.#name);
    root("ip", "link", "add", this.#wire, "type", "veth", "peer", "name", "wire", "netns", this.#name);
    root("ip", "addr", "add", `${this.#net}.1/24`, "dev", this.#wire);
    root("ip", "link", "set", this.#wire, "up");
    root("ip", "-n", this.#name, "addr", "add", `${this.address}/24`, "dev", "wire");
    root("ip", "-n", this.#name, "link", "set", "lo", "up");
    root("ip", "-n", this.#name, "link", "set", "wire", "up");
    root("tc", "-n", this.#name, "qdisc", "add", "dev", "wire", "root", "tbf", "rate", RATE, "burst", "64k", "latency", "100ms");
  }

  /** Whether anything gets through; nobody is told if not. */
  connect(connected: boolean): void {
    if (connected) return root(...this.inside, "nft", "delete", "table", "inet", "outage");
    for (const hook of ["input", "output"]) {
      const rules = `add table inet outage; add chain inet outage ${hook} { type filter hook ${hook} priority 0; policy drop; }`;
      root(...this.inside, "nft", rules);
    }
    // The host itself goes on.
    root(...this.inside, "nft", "add rule inet outage input iif lo accept; add rule inet outage output oif lo accept");
  }

  end(): void {
    root("ip", "netns", "del", this.#name);
  }
}

function root(program: string, ...words: readonly string[]): void {
  execFileSync(program, words, { stdio: ["ignore", "ignore", "inherit"] });
}

describe("an outage", { timeout: 6 * LIMIT_MS }, () => {
  let browser: Browser;
  let host: Host;
  before(async () => {
    host = new Host();
    browser = await launch("--disable-features=WebRtcHideLocalIpsWithMdns");
  });
  after(async () => {
    await browser.close();
    host.end();
  });

  test("of 40 s interrupts a transfer and a pipe to pages, which then go on by themselves", () =>
    withFolder(async (folder) => {
      const file = join(folder, "file.bin");
      await writeFile(file, randomBytes(SIZE));
      const cli = new Cli(host.inside, "send-file", file);
      const link = new URL(await cli.link());
      link.hostname = host.address;
      const { page, context, troubles } = await person(browser);
      context.setDefaultTimeout(3 * LIMIT_MS);
      await page.goto(link.href);
      const content = randomBytes(SIZE);
      const pipe = Cli.pipe([], host.inside);
      const pipeLink = new URL(await pipe.link());
      pipeLink.hostname = host.address;
      const reader = await person(browser);
      reader.context.setDefaultTimeout(3 * LIMIT_MS);
      await reader.page.goto(pipeLink.href);
      pipe.stdin.end(content);
      await reader.page.getByText(/^\d\.\d MiB so far$/).waitFor();
      const download = acceptDownload(page);
      await cli.isInTheMiddle();
      host.connect(false);
      for (const one of [page, reader.page]) await one.getByText("Connection lost; looking for the other side again…").waitFor();
      // Not a wait for something to happen: this is how long the network is gone.
      await new Promise((resolve) => setTimeout(resolve, OUTAGE_MS));
      host.connect(true);
      await page.getByText(/Connected to a terminal/).waitFor();
      const got = await download;
      await complete(page);
      const { exit, said } = await cli.ends();
      const names = said.map(({ event }) => event);
      assert.equal(exit, 0, JSON.stringify(said.at(-1)));
      assert.ok(names.includes("interrupted") && names.lastIndexOf("reconnected") > names.indexOf("interrupted"), names.join());
      assert.equal(await sha256(got.path), await sha256(file));
      await reader.page.getByText("The other side is done: 20.0 MiB came, and that is all of it.").first().waitFor();
      await reader.page.getByRole("button", { name: "Done" }).click();
      const piped = await pipe.ends();
      assert.equal(piped.exit, 0, JSON.stringify(piped.said.at(-1)));
      const saving = reader.page.waitForEvent("download");
      await reader.page.getByRole("link", { name: "Save again" }).click();
      assert.equal(await sha256(await (await saving).path()), createHash("sha256").update(content).digest("hex"));
      // Chromium reports each connection to the server that broke.
      assert.deepEqual([...troubles, ...reader.troubles].filter((trouble) => !/WebSocket|ERR_/.test(trouble)), []);
      await context.close();
      await reader.context.close();
    }));
});
