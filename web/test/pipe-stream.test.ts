import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import type { Channel } from "../src/sdk/channel.js";
import { PeerlineError } from "../src/sdk/errors.js";
import { type Frame, MAX_DATA, readFrames, writeFrame } from "../src/sdk/pipe/frames.js";
import { FIRST_WINDOW, Incoming, WINDOW } from "../src/sdk/pipe/halves.js";
import { LABEL, PROTOCOL, Pipe } from "../src/sdk/pipe/pipe.js";
import { legible } from "../src/sdk/text.js";
import { wires } from "./wires.js";

const utf8 = new TextEncoder();

/** Two ends of a pipe, the guest's first. */
function pipes(): [Pipe, Pipe] {
  const [guest, host] = wires(LABEL, PROTOCOL, (message) => message);
  return [new Pipe(guest, "guest"), new Pipe(host, "host")];
}

/** A pipe of this role, and the other end of its channel by hand. */
function byHand(role: "guest" | "host"): { pipe: Pipe; say: (...frames: readonly Frame[]) => void; heard: Frame[]; other: Channel; next: (kind: Frame["kind"]) => Promise<Frame> } {
  const [other, ours] = wires(LABEL, PROTOCOL, (message) => message);
  const heard: Frame[] = [];
  let rung: () => void = () => undefined;
  other.read((data) => {
    heard.push(...readFrames(data));
    rung();
  });
  const next = async (kind: Frame["kind"]): Promise<Frame> => {
    for (;;) {
      const found = heard.find((frame) => frame.kind === kind);
      if (found !== undefined) return found;
      await new Promise<void>((resolve) => (rung = resolve));
    }
  };
  return { pipe: new Pipe(ours, role), say: (...frames) => frames.forEach((frame) => other.send(writeFrame(frame))), heard, other, next };
}

function noise(size: number, seed: number): Uint8Array<ArrayBuffer> {
  return Uint8Array.from({ length: size }, (_, i) => (i * 31 + (i >> 9) * seed) & 0xff);
}

async function all(readable: ReadableStream<Uint8Array>): Promise<string> {
  const hash = createHash("sha256");
  for await (const bytes of readable as unknown as AsyncIterable<Uint8Array>) hash.update(bytes);
  return hash.digest("hex");
}

const digest = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

const failsWith = (code: string) => (error: unknown) => error instanceof PeerlineError && error.code === code;

test("frames are written as the native side writes them, and read back", () => {
  const frames: readonly [string, Frame][] = [
    ["010000000070697065", { kind: "open", stream: 0, target: "pipe" }],
    ["0200000003", { kind: "accept", stream: 3 }],
    ["03ffffffff6869", { kind: "data", stream: 0xffffffff, bytes: utf8.encode("hi") }],
    ["04000000000000000000020000", { kind: "grant", stream: 0, total: 131_072 }],
    ["05000000000000010000000000", { kind: "end", stream: 0, total: 2 ** 40 }],
    ["0600000000", { kind: "taken", stream: 0 }],
    ["0700000000036f", { kind: "reset", stream: 0, code: 3, reason: "o" }],
  ];
  for (const [hex, frame] of frames) {
    const written = writeFrame(frame);
    assert.equal(Buffer.from(written).toString("hex"), hex);
    assert.deepEqual([...readFrames(written.buffer)], [frame]);
  }
  const several = Uint8Array.from(Buffer.from("08" + frames.map(([hex]) => (hex.length / 2).toString(16).padStart(4, "0") + hex).join(""), "hex"));
  assert.deepEqual([...readFrames(several.buffer)], frames.map(([, frame]) => frame));
  for (const hex of ["", "01", "01000000", "00000000", "0800000000", "02000000000000", "0300000000", "040000000000", "0500000000", "0700000000", "0600000000ff", "0100000000ff", `0100000000${"61".repeat(65)}`, `070000000000${"61".repeat(257)}`, "08", "0800", "080000", "080006060000000400"]) {
    const bytes = Uint8Array.from(Buffer.from(hex, "hex"));
    assert.throws(() => [...readFrames(bytes.buffer)], { name: "Malformed" }, hex);
  }
  assert.throws(() => [...readFrames("text")], { name: "Malformed" });
});

test("memory is what was granted, in whatever pieces it comes", () => {
  const incoming = new Incoming();
  const sent = noise(3 * WINDOW, 7);
  const read: Uint8Array[] = [];
  let limit = FIRST_WINDOW;
  for (let at = 0; at < sent.length; ) {
    const length = Math.min(1 + ((at * 7) % 9_999), limit - at, sent.length - at);
    if (length > 0) incoming.data(sent.subarray(at, at + length));
    at += length;
    if (length > 0 && at % 3 !== 0) continue;
    for (let bytes = incoming.next(); bytes !== undefined; bytes = incoming.next()) read.push(bytes);
    limit = incoming.grant() ?? limit;
  }
  incoming.ended(sent.length);
  for (let bytes = incoming.next(); bytes !== undefined; bytes = incoming.next()) read.push(bytes);
  assert.equal(digest(Buffer.concat(read)), digest(sent));
  assert.ok(incoming.over);
  const full = new Incoming();
  full.data(new Uint8Array(FIRST_WINDOW));
  assert.throws(() => full.data(new Uint8Array(1)), { name: "Malformed" });
});

test("a direction ends when the other side has taken it, while the other one goes on", async () => {
  const [guest, host] = pipes();
  const there = noise(5 * 1024 * 1024 + 3, 3);
  const sending = new Blob([there]).stream().pipeTo(guest.writable);
  let sent = false;
  void sending.then(() => (sent = true));
  assert.throws(() => host.take(), /to its end/);
  assert.equal(await all(host.readable), digest(there));
  assert.equal(sent, false, "it is read, and nobody has said that it is where it belongs");
  host.take();
  await sending;
  const back = noise(700_000, 5);
  const answer = all(guest.readable);
  const writer = host.writable.getWriter();
  await writer.write(back);
  const closing = writer.close();
  assert.equal(await answer, digest(back));
  guest.take();
  await Promise.all([closing, guest.finished, host.finished]);
  assert.deepEqual([guest.sent, guest.received, host.sent, host.received], [there.length, back.length, back.length, there.length]);
  guest.end(new PeerlineError("peer-gone", "after the end"));
  await guest.finished;
});

test("nobody gets further ahead of a reader than the window", async () => {
  const { pipe, say, heard, next } = byHand("host");
  say({ kind: "open", stream: 0, target: "pipe" });
  await next("accept");
  const writer = pipe.writable.getWriter();
  let written = false;
  const writing = writer.write(new Uint8Array(FIRST_WINDOW + 10)).then(() => (written = true));
  for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve));
  const count = (): number => heard.reduce((sum, frame) => sum + (frame.kind === "data" ? frame.bytes.length : 0), 0);
  assert.deepEqual([count(), written], [FIRST_WINDOW, false]);
  assert.ok(heard.every((frame) => frame.kind !== "data" || frame.bytes.length <= MAX_DATA));
  say({ kind: "grant", stream: 0, total: FIRST_WINDOW + 10 }, { kind: "grant", stream: 0, total: 3 });
  await writing;
  assert.equal(heard.some(({ kind }) => kind === "grant"), false, "nothing was read here");
  say({ kind: "data", stream: 0, bytes: new Uint8Array(40_000) });
  await pipe.readable.getReader().read();
  assert.deepEqual(await next("grant"), { kind: "grant", stream: 0, total: 40_000 + WINDOW });
});

test("what breaks off never looks ended, on either side", async () => {
  for (const breaks of ["channel", "line", "reset", "stopped"] as const) {
    const { pipe, say, other, next } = byHand("guest");
    say({ kind: "accept", stream: 0 }, { kind: "data", stream: 0, bytes: utf8.encode("before") });
    const reader = pipe.readable.getReader();
    assert.equal(new TextDecoder().decode((await reader.read()).value), "before");
    const writer = pipe.writable.getWriter();
    await writer.write(utf8.encode("x"));
    const closing = writer.close();
    const reading = reader.read();
    const ends = [closing, reading, pipe.finished];
    for (const end of ends) end.catch(() => undefined);
    if (breaks === "channel") other.close();
    if (breaks === "line") pipe.end(new PeerlineError("tampered", "so it was"));
    if (breaks === "reset") say({ kind: "reset", stream: 0, code: 3, reason: "stdout: \u001b[2Jbroken" });
    if (breaks === "stopped") say({ kind: "reset", stream: 0, code: 0, reason: "" });
    const code = { channel: "peer-gone", line: "tampered", reset: "storage", stopped: "cancelled" }[breaks];
    for (const end of ends) await assert.rejects(end, failsWith(code), breaks);
    if (breaks === "reset") await assert.rejects(pipe.finished, /It says: stdout: \\u\{1b\}\[2Jbroken\./);
    assert.equal(await next("open").then(({ kind }) => kind), "open");
  }
});

test("who stops is heard on the other side, with nothing in flight and with everything in flight", async () => {
  for (const stop of ["cancel", "abort", "blocked", "failed"] as const) {
    const [guest, host] = pipes();
    const [writer, reader] = [guest.writable.getWriter(), guest.readable.getReader()];
    const idle = [reader.closed, writer.closed];
    for (const end of idle) end.catch(() => undefined);
    const blocked = stop === "blocked" ? writer.write(new Uint8Array(8 * WINDOW)) : undefined;
    blocked?.catch(() => undefined);
    // A message takes one turn: both know of the stream.
    for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve));
    if (stop === "cancel") await host.readable.cancel();
    if (stop === "abort") await host.writable.abort();
    if (stop === "blocked") await writer.abort();
    if (stop === "failed") await host.readable.cancel(new PeerlineError("storage", "the disk is full, at /home/anna"));
    const code = stop === "failed" ? "storage" : "cancelled";
    await assert.rejects(guest.finished, failsWith(code), stop);
    await assert.rejects(host.finished, failsWith(code), stop);
    if (stop === "failed") await assert.rejects(guest.finished, (error: Error) => !error.message.includes("anna"));
    if (blocked !== undefined) await assert.rejects(blocked);
    else for (const end of idle) await assert.rejects(end, failsWith(code), stop);
  }
});

test("who stops before there is a stream closes the channel", async () => {
  const [guest, host] = pipes();
  await host.readable.cancel();
  await assert.rejects(host.finished, failsWith("cancelled"));
  await assert.rejects(guest.finished, failsWith("peer-gone"));
});

test("a peer that breaks the rules is told apart from one that is gone", async () => {
  const opened: Frame = { kind: "open", stream: 0, target: "pipe" };
  const wrong: readonly (readonly Frame[])[] = [
    [{ kind: "data", stream: 0, bytes: new Uint8Array(1) }],
    [opened, opened],
    [{ kind: "open", stream: 1, target: "pipe" }],
    [opened, { kind: "accept", stream: 0 }],
    [opened, { kind: "data", stream: 0, bytes: new Uint8Array(40_000) }, { kind: "data", stream: 0, bytes: new Uint8Array(40_000) }],
    [opened, { kind: "end", stream: 0, total: 1 }],
    [opened, { kind: "end", stream: 0, total: 0 }, { kind: "end", stream: 0, total: 0 }],
    [opened, { kind: "end", stream: 0, total: 0 }, { kind: "data", stream: 0, bytes: new Uint8Array(1) }],
    [opened, { kind: "taken", stream: 0 }],
    [opened, { kind: "data", stream: 2, bytes: new Uint8Array(1) }],
    Array.from({ length: 300 }, (_, i) => ({ kind: "open", stream: 2 * i, target: "shell" })),
  ];
  for (const [index, frames] of wrong.entries()) {
    const { pipe, say } = byHand("host");
    say(...frames);
    await assert.rejects(pipe.finished, failsWith("protocol"), `case ${index}`);
  }
  const { pipe, say, next } = byHand("host");
  say({ kind: "open", stream: 0, target: "shell" }, { kind: "data", stream: 0, bytes: new Uint8Array(1) });
  assert.deepEqual(await next("reset"), { kind: "reset", stream: 0, code: 1, reason: "this is a pipe" });
  assert.equal(await Promise.race([pipe.finished.catch(() => "failed"), new Promise((resolve) => setImmediate(() => resolve("open")))]), "open");
  say({ kind: "open", stream: 2, target: "pipe" });
  assert.deepEqual(await next("accept"), { kind: "accept", stream: 2 });
  pipe.end(new PeerlineError("peer-gone", "the end of the test"));
});

test("text of a pipe is shown in its lines, and can do nothing else", () => {
  assert.equal(legible("a\tb\r\nc\n\u001b[31mred\u0007\rover\u202Egpj\ud800"), "a\tb\nc\n\\u{1b}[31mred\\u{7}\\u{d}over\\u{202e}gpj\ufffd");
});

test("what is no buffer is refused, and the other side does not take what came for all of it", async () => {
  for (const wrong of ["hello", 5, new Blob(["hello"])]) {
    const [guest, host] = pipes();
    await assert.rejects(guest.writable.getWriter().write(wrong as unknown as Uint8Array<ArrayBuffer>), TypeError);
    await assert.rejects(guest.finished);
    await assert.rejects(host.finished);
  }
});

test("a pipe over a channel that is closed already has failed", async () => {
  for (const role of ["guest", "host"] as const) {
    const [ours] = wires(LABEL, PROTOCOL, (message) => message);
    const closed = new Promise((resolve) => ours.on("closed", resolve));
    ours.close();
    await closed;
    await assert.rejects(new Pipe(ours, role).finished, failsWith("peer-gone"));
  }
});
