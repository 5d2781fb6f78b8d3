/** A receiver and a sender that need not keep to the protocol. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Bytes } from "../src/sdk/bytes.js";
import type { Channel, ChannelData } from "../src/sdk/channel.js";
import { blockDigest } from "../src/sdk/files/digest.js";
import { IncomingTransfer } from "../src/sdk/files/incoming.js";
import { LaneWriter } from "../src/sdk/files/lane.js";
import type { Delivery, Sink } from "../src/sdk/files/sink.js";
import { wires } from "./wires.js";

const BLOCK = 65_536;

/** A disk that writes when it is told to. */
class SlowSink implements Sink {
  readonly writes: Bytes[] = [];
  #waiting: (() => void)[] = [];
  #stuck = true;

  async open(): Promise<void> {}

  write(_file: number, _offset: number, bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    this.writes.push(bytes.slice());
    return this.#stuck ? new Promise((resolve) => this.#waiting.push(resolve)) : Promise.resolve();
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
  readonly control: Channel;
  readonly lane: Channel;
  /** What the receiver said. */
  readonly told: Record<string, unknown>[];
}

/** Offers one file of `size` bytes and resolves when the person is asked. */
async function offer(size: number, blockSize = BLOCK): Promise<Sender> {
  const [control, theirs] = wires("files/12345678", "peerline-files/1", (message) => message);
  const [lane, theirLane] = wires("lane/12345678/0", "peerline-lane/1", (message) => message);
  const told: Record<string, unknown>[] = [];
  control.read((data: ChannelData) => void told.push(JSON.parse(String(data)) as Record<string, unknown>));
  const offered = new Promise<IncomingTransfer>((resolve) => new IncomingTransfer(theirs, theirLane, resolve));
  control.send(JSON.stringify({ type: "offer", version: 1, title: "t", files: 1, directories: 0, bytes: size, entries: 1, blockSize }));
  control.send(JSON.stringify({ type: "entries", from: 0, entries: [{ path: "f", kind: "file", size }] }));
  return { transfer: await offered, control, lane, told };
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
