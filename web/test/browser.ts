/** What the browser tests share: the real signaling server, Chromium, and pages used as a person uses them. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Browser, type BrowserContext, type Page, chromium } from "playwright-core";
import { Front } from "./front.js";

/** A busy machine with two cores may be this slow; nothing is waited for longer. */
export const LIMIT_MS = 60_000;

/** Quiet and headless; QUIC and the component updater would only make noise on the network. */
const FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];

/** A signaling server on a free port. */
export class Server {
  private constructor(
    private readonly process: ChildProcess,
    /** Address of its page. */
    readonly url: string,
    /** Address and port of its TURN server, if it has one. */
    readonly turn: string,
    private readonly metrics: string,
    private readonly front: Front | undefined,
  ) {}

  /**
   * Starts the binary that `SIGNALING_SERVER` names, with more `words`; with `PAGE=dist` the page is the one in
   * `dist/`, not the embedded one.
   */
  static async start(...words: readonly string[]): Promise<Server> {
    const binary = process.env["SIGNALING_SERVER"];
    assert.ok(binary !== undefined && existsSync(binary), "SIGNALING_SERVER must name the signaling-server binary");
    const child = spawn(binary, ["--json", ...(words.includes("--listen") ? [] : ["--listen", "127.0.0.1:0"]), ...words], { stdio: ["ignore", "ignore", "pipe"] });
    for await (const line of createInterface({ input: child.stderr })) {
      const event = JSON.parse(line) as { event?: string; url?: string; turn?: string[]; metrics?: string };
      if (event.event !== "listening" || event.url === undefined) continue;
      const front = process.env["PAGE"] === "dist" ? await Front.start(new URL(event.url)) : undefined;
      return new Server(child, front?.url ?? event.url, event.turn?.[0] ?? "", event.metrics ?? "", front);
    }
    throw new Error("the signaling server ended before it listened");
  }

  /** Waits until the figure `name` of a server that has `--metrics-listen` is `value`. */
  async shows(name: string, value: number): Promise<void> {
    const end = Date.now() + LIMIT_MS;
    for (;;) {
      const text = await (await fetch(`http://${this.metrics}/metrics`)).text();
      if (text.split("\n").includes(`${name} ${value}`)) return;
      assert.ok(Date.now() < end, `${name} is not ${value} in ${text}`);
    }
  }

  /** Ends it as a crash would. */
  async kill(): Promise<void> {
    if (this.process.exitCode !== null || this.process.signalCode !== null) return;
    const ended = new Promise((resolve) => this.process.once("exit", resolve));
    this.process.kill("SIGKILL");
    await ended;
    this.front?.stop();
  }
}

/** Starts Chromium with `flags` in addition to the usual ones. */
export function launch(...flags: readonly string[]): Promise<Browser> {
  const executablePath = process.env["CHROMIUM"] ?? "/usr/bin/chromium";
  return chromium.launch({ executablePath, args: [...FLAGS, ...flags], timeout: LIMIT_MS });
}

/** A new person: a context of their own, whose errors fail the test. */
export async function person(browser: Browser): Promise<{ context: BrowserContext; page: Page; troubles: string[] }> {
  const context = await browser.newContext({ acceptDownloads: true });
  context.setDefaultTimeout(LIMIT_MS);
  const page = await context.newPage();
  const troubles: string[] = [];
  page.on("pageerror", (error) => troubles.push(error.message));
  page.on("console", (message) => message.type() === "error" && troubles.push(message.text()));
  return { context, page, troubles };
}

/** A folder that is gone after `use`. */
export async function withFolder(use: (folder: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "peerline-page-"));
  try {
    await use(folder);
  } finally {
    await rm(folder, { recursive: true });
  }
}
