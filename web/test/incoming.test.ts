/** A receiver whose disk is slow, or whose sender does not keep to the protocol. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Bytes } from "../src/sdk/bytes.js";
import type { Channel } from "../src/sdk/channel.js";
import { blockDigest } from "../src/sdk/files/digest.js";
import { Inbox } from "../src/sdk/files/inbox.js";
import { IncomingTransfer } from "../src/sdk/files/incoming.js";
import { LaneWriter } from "../src/sdk/files/lane.js";
import { OutgoingTransfer } from "../src/sdk/files/outgoing.js";
import type { Delivery, Sink } from "../src/sdk/files/sink.js";
import { sourceOfFiles } from "../src/sdk/files/source.js";
import type { Session } from "../src/sdk/session.js";
import { wires } from "./wires.js";

const MIB = 1024 * 1024;

/** A disk that writes when it is told to. */
class SlowSink implements Sink {
  readonly writes: Bytes[] = [];
  #waiting: (() => void)[] = [];
  #stuck = true;
  #seen: () => void = () => undefined;

  async open(): Promise<void> {}

  write(_file: number, _offset: number, bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    this.writes.push(bytes.slice());
    this.#seen();
    return this.#stuck ? new Promise((resolve) => this.#waiting.push(resolve)) : Promise.resolve();
  }

  /** Resolves when it was asked to write so often. */
  async wrote(times: number): Promise<void> {
    while (this.writes.length < times) await new Promise<void>((resolve) => (this.#seen = resolve));
  }

  /** From now on it writes at once. */
  go(): void {
    this.#stuck = false;
    for (const resolve of this.#waiting.splice(0)) resolve();
  }

  async finish(): Promise<Delivery> {
    return { kind: "placed" };
  }

  async abort(): Promise<void> {}
}

interface Sender {
  readonly transfer: IncomingTransfer;
  readonly lane: Channel;
  /** What the receiver said. */
  readonly said: Record<string, unknown>[];
  /** Says something to it. */
  readonly say: (message: object) => void;
}

/** Offers one file of `size` bytes and resolves when the person is asked. */
async function offer(size: number, blockSize = MIB): Promise<Sender> {
  const [control, theirs] = wires("files/12345678", "peerline-files/1", (message) => message);
  const [lane, theirLane] = wires("lane/12345678/0", "peerline-lane/1", (message) => message);
  const offered = new Promise<IncomingTransfer>((resolve) => new IncomingTransfer(theirs, theirLane, resolve));
  const said: Record<string, unknown>[] = [];
  control.read((data) => said.push(JSON.parse(String(data))));
  control.send(JSON.stringify({ type: "offer", version: 1, title: "t", files: 1, directories: 0, bytes: size, entries: 1, blockSize }));
  control.send(JSON.stringify({ type: "entries", from: 0, entries: [{ path: "f", kind: "file", size }] }));
  return { transfer: await offered, lane, said, say: (message) => control.send(JSON.stringify(message)) };
}

async function messagesOf(...blocks: readonly { readonly block: number; readonly bytes: Bytes }[]): Promise<Bytes[]> {
  const writer = new LaneWriter();
  const messages: Bytes[] = [];
  for (const { block, bytes } of blocks) {
    for (const message of writer.add({ file: 0, block, bytes, digest: await blockDigest(bytes) })) messages.push(message.slice());
  }
  for (const message of writer.flush()) messages.push(message.slice());
  return messages;
}

test("a block that comes as two different ones, each with its own digest, is no file", async () => {
  const [one, other] = [new Uint8Array(100).fill(1), new Uint8Array(100).fill(2)];
  const { transfer, lane } = await offer(100);
  const sink = new SlowSink();
  await transfer.accept(sink);
  const failed = transfer.once("failed");
  for (const message of await messagesOf({ block: 0, bytes: one }, { block: 0, bytes: other })) lane.send(message);
  assert.equal((await failed).code, "protocol");
  sink.go();
  assert.ok(sink.writes.length <= 1, "only one of them may be on disk");
});

test("a sender stops at the window of a slow disk, and goes on as it writes", async () => {
  let sent = 0;
  let offered: (transfer: IncomingTransfer) => void = () => undefined;
  const incoming = new Promise<IncomingTransfer>((resolve) => (offered = resolve));
  const inbox = new Inbox((transfer) => offered(transfer));
  const session = {
    open: (label: string, { protocol = "" }: RTCDataChannelInit) => {
      const [ours, theirs] = wires(label, protocol, (message) => {
        if (typeof message !== "string") sent += message.byteLength;
        return message;
      });
      assert.ok(inbox.take(theirs));
      return ours;
    },
  };
  const file = new File([new Uint8Array(40 * MIB).fill(7)], "f");
  const outgoing = OutgoingTransfer.start(session as unknown as Session, sourceOfFiles([file]));
  const transfer = await incoming;
  const ended = Promise.all([outgoing.once("done"), transfer.once("done")]);
  const sink = new SlowSink();
  await transfer.accept(sink);
  // With its headers a block is longer than 1 MiB: the sixteenth does not fit.
  await sink.wrote(15);
  for (let turn = 0; turn < 100; turn++) await new Promise(setImmediate);
  assert.equal(sink.writes.length, 15);
  assert.ok(sent <= 16 * MIB);
  sink.go();
  const [{ bytes }] = await ended;
  assert.equal(bytes, file.size);
});

test("a sender that does not care about the window is stopped", async () => {
  const { transfer, lane } = await offer(20 * MIB, MIB);
  await transfer.accept(new SlowSink());
  const failed = transfer.once("failed");
  const blocks = Array.from({ length: 17 }, (_, block) => ({ block, bytes: new Uint8Array(MIB) }));
  for (const message of await messagesOf(...blocks)) lane.send(message);
  assert.match((await failed).message, /window/);
});

/** A lane that joins a transfer: the sender's end. */
function join(transfer: IncomingTransfer, number: number): Channel {
  const [lane, theirs] = wires(`lane/12345678/${number}`, "peerline-lane/1", (message) => message);
  transfer.add(number, theirs);
  return lane;
}

async function settle(): Promise<void> {
  for (let turn = 0; turn < 50; turn++) await new Promise(setImmediate);
}

/** One block of noise in each place of a file of so many. */
function noise(count: number): { block: number; bytes: Bytes }[] {
  return Array.from({ length: count }, (_, block) => ({ block, bytes: new Uint8Array(MIB).map((_, i) => (i * 7 + block) % 251) }));
}

test("blocks come over several lanes, and each lane is accounted for", async () => {
  const { transfer, lane, said } = await offer(3 * MIB);
  const sink = new SlowSink();
  sink.go();
  await transfer.accept(sink);
  await settle();
  assert.equal(said.find(({ type }) => type === "accept")?.["lanes"], 4);
  const lanes = [lane, join(transfer, 1), join(transfer, 2)];
  const all = await Promise.all(noise(3).map((block) => messagesOf(block)));
  // In turn, so that every block is begun before the first one is whole.
  const most = Math.max(...all.map(({ length }) => length));
  for (let i = 0; i < most; i++) {
    for (const [number, messages] of all.entries()) {
      const message = messages[i];
      if (message !== undefined) lanes[number]?.send(message);
    }
  }
  await sink.wrote(3);
  await settle();
  assert.equal(sink.writes.length, 3);
  for (const [number, messages] of all.entries()) {
    const credits = said.filter((message) => message["type"] === "credit" && message["lane"] === number);
    const sizes = messages.map(({ length }) => length);
    const untold = sizes.reduce((sum, size) => sum + size, 0) - Number(credits.at(-1)?.["laneBytes"]);
    assert.ok(untold >= 0 && untold < 192 * 1024, `${untold} bytes of lane ${number} were not told`);
  }
  transfer.cancel();
});

test("blocks that have begun on every lane do not close the window", async () => {
  const blockSize = 4 * MIB;
  const { transfer, lane } = await offer(7 * blockSize, blockSize);
  const sink = new SlowSink();
  sink.go();
  await transfer.accept(sink);
  const failed: unknown[] = [];
  transfer.on("failed", (error) => failed.push(error));
  const lanes = [lane, ...[1, 2, 3, 4].map((number) => join(transfer, number))];
  const blocks = lanes.map((_, block) => ({ block, bytes: new Uint8Array(blockSize).fill(block) }));
  const all = await Promise.all(blocks.map((block) => messagesOf(block)));
  // All but the last message of each, and then those.
  for (const [number, messages] of all.entries()) for (const message of messages.slice(0, -1)) lanes[number]?.send(message);
  await settle();
  for (const [number, messages] of all.entries()) lanes[number]?.send(messages.at(-1) ?? new Uint8Array());
  await Promise.race([sink.wrote(5), transfer.once("failed")]);
  assert.deepEqual(failed, []);
  transfer.cancel();
});

test("what a lane began is thrown away with it and comes again on another", async () => {
  for (const says of [true, false]) {
    const { transfer, lane, said, say } = await offer(2 * MIB);
    const sink = new SlowSink();
    sink.go();
    await transfer.accept(sink);
    const extra = join(transfer, 7);
    const [first, second] = noise(2);
    assert.ok(first !== undefined && second !== undefined);
    const messages = await messagesOf(first);
    const begun = messages.slice(0, 5);
    for (const message of begun) extra.send(message);
    await settle();
    // The sender says that it lost it, or its channel just ends. What is still on its way counts for nothing.
    if (says) {
      say({ type: "lane-lost", lane: 7 });
      extra.send(messages[5] ?? new Uint8Array());
    } else extra.close();
    await settle();
    const bytes = begun.reduce((sum, { length }) => sum + length, 0);
    assert.deepEqual(said.filter(({ type }) => type === "lane-ended"), [{ type: "lane-ended", lane: 7, bytes }]);
    const credited = said.filter(({ type }) => type === "credit").at(-1)?.["bytes"];
    assert.equal(credited, bytes, "nothing of it is held any more");
    for (const message of await messagesOf(first, second)) lane.send(message);
    await sink.wrote(2);
    transfer.cancel();
  }
});

test("a lane that is lost before it came is not read when it comes, and no number comes twice", async () => {
  const { transfer, said, say } = await offer(2 * MIB);
  const early = join(transfer, 1);
  await settle();
  assert.ok(!early.open, "none comes before the files are accepted");
  await transfer.accept(new SlowSink());
  say({ type: "lane-lost", lane: 2 });
  say({ type: "lane-lost", lane: 2 });
  await settle();
  assert.deepEqual(said.filter(({ type }) => type === "lane-ended"), [{ type: "lane-ended", lane: 2, bytes: 0 }]);
  const late = join(transfer, 2);
  const third = join(transfer, 3);
  const again = join(transfer, 3);
  await settle();
  assert.deepEqual([late.open, third.open, again.open], [false, true, false]);
  transfer.cancel();
  await settle();
  assert.ok(!third.open, "lanes end with their transfer");
});

test("little that came is told of all the same", async () => {
  const { transfer, lane, said } = await offer(MIB);
  await transfer.accept(new SlowSink());
  const [block] = noise(1);
  assert.ok(block !== undefined);
  const [message] = await messagesOf(block);
  assert.ok(message !== undefined);
  lane.send(message);
  const told = (): boolean => said.some(({ type }) => type === "credit");
  while (!told()) await new Promise((resolve) => setTimeout(resolve, 10));
  assert.deepEqual(said.filter(({ type }) => type === "credit").map(({ laneBytes }) => laneBytes), [message.length]);
  transfer.cancel();
});

test("an inbox gives lanes to the transfer that they are of", async () => {
  const offered: IncomingTransfer[] = [];
  const inbox = new Inbox((transfer) => void offered.push(transfer));
  const take = (label: string, protocol: string): [Channel, boolean] => {
    const [ours, theirs] = wires(label, protocol, (message) => message);
    return [ours, inbox.take(theirs)];
  };
  const [control] = take("files/12345678", "peerline-files/1");
  take("lane/12345678/0", "peerline-lane/1");
  control.send(JSON.stringify({ type: "offer", version: 1, title: "t", files: 1, directories: 0, bytes: 9, entries: 1, blockSize: MIB }));
  control.send(JSON.stringify({ type: "entries", from: 0, entries: [{ path: "f", kind: "file", size: 9 }] }));
  await settle();
  const transfer = offered[0];
  assert.ok(transfer !== undefined);
  await transfer.accept(new SlowSink());
  const [own, strange, beyond, other] = [
    take("lane/12345678/1", "peerline-lane/1"),
    take("lane/87654321/1", "peerline-lane/1"),
    take("lane/12345678/65536", "peerline-lane/1"),
    take("lane/12345678/2", "something-else/1"),
  ];
  await settle();
  assert.deepEqual([own[1], strange[1], beyond[1], other[1]], [true, true, true, false]);
  assert.deepEqual([own[0].open, strange[0].open, beyond[0].open], [true, false, false]);
  transfer.cancel();
  await settle();
  const [late] = take("lane/12345678/3", "peerline-lane/1");
  await settle();
  assert.ok(!late.open, "one of a transfer that is over");
});
