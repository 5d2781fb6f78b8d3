/** What the browser tests share: the real signaling server, Chromium, and pages used as a person uses them. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Browser, type BrowserContext, type BrowserContextOptions, type Page, chromium } from "playwright-core";
import { Front } from "./front.js";

/** A busy machine with two cores may be this slow; nothing is waited for longer. */
export const LIMIT_MS = 60_000;

/** Quiet and headless; QUIC and the component updater would only make noise on the network. */
const FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];

/** A signaling server on a free port. */
export class Server {
  private constructor(
    private process: ChildProcess,
    /** Where it listens itself. */
    private readonly port: string,
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
    const { child, url, turn, metrics } = await listening(words.includes("--listen") ? words : ["--listen", "127.0.0.1:0", ...words]);
    const front = process.env["PAGE"] === "dist" ? await Front.start(new URL(url)) : undefined;
    return new Server(child, new URL(url).port, front?.url ?? url, turn?.[0] ?? "", metrics ?? "", front);
  }

  /** Ends it as a crash would; then another one, with nothing but the port, is in its place. */
  async restart(): Promise<void> {
    await this.#end();
    this.process = (await listening(["--listen", `127.0.0.1:${this.port}`])).child;
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
    await this.#end();
    this.front?.stop();
  }

  async #end(): Promise<void> {
    if (this.process.exitCode !== null || this.process.signalCode !== null) return;
    const ended = new Promise((resolve) => this.process.once("exit", resolve));
    this.process.kill("SIGKILL");
    await ended;
  }
}

/** What a server says of itself once it listens. */
interface Listening {
  readonly child: ChildProcess;
  readonly url: string;
  readonly turn?: readonly string[];
  readonly metrics?: string;
}

async function listening(words: readonly string[]): Promise<Listening> {
  const binary = process.env["SIGNALING_SERVER"];
  assert.ok(binary !== undefined && existsSync(binary), "SIGNALING_SERVER must name the signaling-server binary");
  const child = spawn(binary, ["--json", ...words], { stdio: ["ignore", "ignore", "pipe"] });
  for await (const line of createInterface({ input: child.stderr })) {
    const event = JSON.parse(line) as Omit<Listening, "child"> & { readonly event?: string };
    if (event.event === "listening" && event.url !== undefined) return { ...event, child };
  }
  throw new Error("the signaling server ended before it listened");
}

/** Starts Chromium with `flags` in addition to the usual ones. */
export function launch(...flags: readonly string[]): Promise<Browser> {
  const executablePath = process.env["CHROMIUM"] ?? "/usr/bin/chromium";
  return chromium.launch({ executablePath, args: [...FLAGS, ...flags], timeout: LIMIT_MS });
}

/** A new person: a context of their own, whose errors fail the test. */
export async function person(browser: Browser, options: BrowserContextOptions = {}): Promise<{ context: BrowserContext; page: Page; troubles: string[] }> {
  const context = await browser.newContext({ acceptDownloads: true, ...options });
  context.setDefaultTimeout(LIMIT_MS);
  const page = await context.newPage();
  const troubles: string[] = [];
  page.on("pageerror", (error) => troubles.push(error.message));
  page.on("console", (message) => message.type() === "error" && troubles.push(message.text()));
  return { context, page, troubles };
}

/** A folder that is gone after `use`. */
export async function withFolder<Result>(use: (folder: string) => Promise<Result>): Promise<Result> {
  const folder = await mkdtemp(join(tmpdir(), "peerline-page-"));
  try {
    return await use(folder);
  } finally {
    await rm(folder, { recursive: true });
  }
}
