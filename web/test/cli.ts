/** A real `peer-cli` process, followed by its `--json` events. */
import assert from "node:assert/strict";
import { type ChildProcessByStdio, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";
import { text } from "node:stream/consumers";
import { after } from "node:test";
import { LIMIT_MS } from "./browser.js";

/** One event; its other fields depend on its name. */
export interface Said {
  readonly event: string;
  readonly [field: string]: unknown;
}

/** How it ended. */
export interface Ended {
  /** `null` if a signal ended it. */
  readonly exit: number | null;
  /** Everything it said. */
  readonly said: readonly Said[];
}

interface Waiter {
  readonly matches: (said: Said) => boolean;
  readonly resolve: (said: Said) => void;
  readonly reject: (error: Error) => void;
}

/** What a process reads; `undefined` if more is said to it later. With `data`, stdout is no talk. */
interface Piped {
  readonly input: Uint8Array | undefined;
  readonly data?: true;
  /** A command that starts others. */
  readonly by?: readonly string[];
}

/** A test that failed leaves its processes behind, and they would keep the runner waiting for ever. */
const running = new Set<{ kill(signal: "SIGKILL"): boolean }>();
after(() => running.forEach((process) => process.kill("SIGKILL")));

/** One run of `peer-cli`. */
export class Cli {
  readonly #process: ChildProcessByStdio<Writable, Readable, Readable>;
  readonly #said: Said[] = [];
  readonly #waiters = new Set<Waiter>();
  readonly #talk: Promise<string>;
  readonly #ended: Promise<number | null>;

  /**
   * Starts the binary that `PEER_CLI` names with `--json` and these arguments; nobody is at its terminal. A list in front
   * of them is a command that starts others, an `input` is what it reads.
   */
  constructor(first: string | readonly string[] | Piped, ...rest: readonly string[]) {
    const binary = process.env["PEER_CLI"];
    assert.ok(binary !== undefined && existsSync(binary), "PEER_CLI must name the peer-cli binary");
    const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("PEERLINE_")));
    const piped = typeof first === "object" && "input" in first ? first : undefined;
    const words = typeof first === "string" ? [binary, first, ...rest] : "input" in first ? [...(first.by ?? []), binary, ...rest] : [...first, binary, ...rest];
    this.#process = spawn(words[0] ?? binary, [...words.slice(1), "--json"], { stdio: ["pipe", "pipe", "pipe"], env });
    running.add(this.#process);
    this.#process.once("close", () => running.delete(this.#process));
    // A process that ends early does not read it all.
    this.#process.stdin.on("error", () => undefined);
    if (piped === undefined || piped.input !== undefined) this.#process.stdin.end(piped?.input);
    const [talk, events] = piped?.data === true ? [undefined, this.#process.stderr] : [this.#process.stderr, this.#process.stdout];
    this.#talk = talk === undefined ? Promise.resolve("") : text(talk);
    createInterface({ input: events }).on("line", (line) => this.#hear(JSON.parse(line) as Said));
    this.#ended = new Promise((resolve) => this.#process.once("close", (code) => resolve(code)));
    void this.#ended.then(async (exit) => {
      const story = `peer-cli ended with ${exit} after ${JSON.stringify(this.#said.at(-1))}\n${await this.#talk}`;
      for (const { reject } of this.#waiters) reject(new Error(story));
    });
  }

  /** As the constructor, with `input` on its stdin. */
  static piped(input: Uint8Array, ...words: readonly string[]): Cli {
    return new Cli({ input }, ...words);
  }

  /** As the constructor; {@link say} writes to its stdin. */
  static talking(...words: readonly string[]): Cli {
    return new Cli({ input: undefined }, ...words);
  }

  /** `pipe` with these words, started by `by` if that is another command: events are on its stderr. */
  static pipe(words: readonly string[], by: readonly string[] = []): Cli {
    return new Cli({ input: undefined, data: true, by }, "pipe", ...words);
  }

  /** A line on its stdin. */
  say(line: string): void {
    this.#process.stdin.write(`${line}\n`);
  }

  /** Its stdin. */
  get stdin(): Writable {
    return this.#process.stdin;
  }

  /** Its stdout, of one whose events are elsewhere. */
  get stdout(): Readable {
    return this.#process.stdout;
  }

  /** SIGINT, as Ctrl-C sends it. */
  interrupt(): void {
    this.#process.kill("SIGINT");
  }

  /** Id of the process. */
  get pid(): number {
    assert.ok(this.#process.pid !== undefined, "it runs");
    return this.#process.pid;
  }

  /** The first event of this name, past or to come, that `matches`. */
  hears(name: string, matches: (said: Said) => boolean = () => true): Promise<Said> {
    const wanted = (said: Said): boolean => said.event === name && matches(said);
    const past = this.#said.find(wanted);
    if (past !== undefined) return Promise.resolve(past);
    const heard = new Promise<Said>((resolve, reject) => {
      const waiter: Waiter = { matches: wanted, resolve, reject };
      this.#waiters.add(waiter);
    });
    return within(LIMIT_MS, `event "${name}" of peer-cli`, heard);
  }

  /** Until this was said so many times. */
  async heardTimes(name: string, times: number, matches: (said: Said) => boolean = () => true): Promise<void> {
    const count = (): number => this.#said.filter((said) => said.event === name && matches(said)).length;
    await this.hears(name, () => count() >= times);
  }

  /** The link of a sender. */
  async link(): Promise<string> {
    return String((await this.hears("code"))["link"]);
  }

  /** Until verified data moves, but long before all of it has. */
  async isInTheMiddle(): Promise<void> {
    await this.hears("progress", ({ bytes, total }) => Number(bytes) > 0 && Number(bytes) < Number(total) / 2);
  }

  /** How it ends, which must be within `ms`. */
  async ends(ms = LIMIT_MS): Promise<Ended> {
    const exit = await within(ms, "the end of peer-cli", this.#ended);
    return { exit, said: this.#said };
  }

  /** Stops it where it is, or lets it go on. */
  freeze(frozen: boolean): void {
    this.#process.kill(frozen ? "SIGSTOP" : "SIGCONT");
  }

  /** Ends it as a crash would, if it still runs. */
  async kill(): Promise<void> {
    this.#process.kill("SIGKILL");
    await this.#ended;
  }

  #hear(said: Said): void {
    this.#said.push(said);
    for (const waiter of this.#waiters) {
      if (!waiter.matches(said)) continue;
      this.#waiters.delete(waiter);
      waiter.resolve(said);
    }
  }
}

/** The error that a run ended with. */
export function errorOf({ said }: Ended): string {
  const last = said.at(-1);
  return last?.event === "error" ? String(last["code"]) : `no error but ${last?.event}`;
}

async function within<T>(ms: number, what: string, wait: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited ${ms} ms for ${what}`)), ms);
  });
  try {
    return await Promise.race([wait, late]);
  } finally {
    clearTimeout(timer);
  }
}
