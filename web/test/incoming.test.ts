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
}

/** Offers one file of `size` bytes and resolves when the person is asked. */
async function offer(size: number, blockSize = MIB): Promise<Sender> {
  const [control, theirs] = wires("files/12345678", "peerline-files/1", (message) => message);
  const [lane, theirLane] = wires("lane/12345678/0", "peerline-lane/1", (message) => message);
  const offered = new Promise<IncomingTransfer>((resolve) => new IncomingTransfer(theirs, theirLane, resolve));
  control.send(JSON.stringify({ type: "offer", version: 1, title: "t", files: 1, directories: 0, bytes: size, entries: 1, blockSize }));
  control.send(JSON.stringify({ type: "entries", from: 0, entries: [{ path: "f", kind: "file", size }] }));
  return { transfer: await offered, lane };
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
