import assert from "node:assert/strict";
import { test } from "node:test";
import { concat, toBase64Url } from "../src/sdk/bytes.js";
import { Channel } from "../src/sdk/channel.js";
import type { PeerlineError } from "../src/sdk/errors.js";
import { blockDigest } from "../src/sdk/files/digest.js";
import { IncomingTransfer } from "../src/sdk/files/incoming.js";
import { Inbox } from "../src/sdk/files/inbox.js";
import type { Manifest } from "../src/sdk/files/manifest.js";
import { OutgoingTransfer, type SendOptions } from "../src/sdk/files/outgoing.js";
import { DownloadSink } from "../src/sdk/files/sink-download.js";
import type { Delivery, Sink } from "../src/sdk/files/sink.js";
import { sourceOfFiles } from "../src/sdk/files/source.js";
import { BlobStore } from "../src/sdk/files/store-blob.js";
import type { Session } from "../src/sdk/session.js";
import { type Meddle, type Message, wires } from "./wires.js";

interface Run {
  readonly outgoing: OutgoingTransfer;
  readonly incoming: Promise<IncomingTransfer>;
  /** The sender's ends, in the order in which they were opened. */
  readonly ends: readonly Channel[];
}

/** Sends `files` to an inbox; `opened` gets each channel of the sender's. */
function run(files: readonly File[], meddle: Meddle = (message) => message, options: SendOptions = {}, opened: (channel: Channel) => void = () => undefined): Run {
  let offered: (transfer: IncomingTransfer) => void = () => undefined;
  const incoming = new Promise<IncomingTransfer>((resolve) => (offered = resolve));
  const inbox = new Inbox((transfer) => offered(transfer));
  const ends: Channel[] = [];
  const open = (label: string, protocol: string): Channel => {
    const [ours, theirs] = wires(label, protocol, meddle);
    assert.ok(inbox.take(theirs));
    ends.push(ours);
    opened(ours);
    return ours;
  };
  const session = { lanes: 4, open: (label: string, { protocol = "" }: RTCDataChannelInit) => open(label, protocol), openLane: open };
  return { outgoing: OutgoingTransfer.start(session as unknown as Session, sourceOfFiles(files), options), incoming, ends };
}

const SIZE = 2 * 1024 * 1024 + 77;
const BYTES = Uint8Array.from({ length: SIZE }, (_, i) => (i * 13) % 253);

function file(name = "file.bin", bytes: Uint8Array<ArrayBuffer> = BYTES): File {
  return new File([bytes], name, { lastModified: 1_700_000_000_000 });
}

async function blobOf(delivery: Delivery): Promise<Uint8Array> {
  assert.ok(delivery.kind === "download");
  return new Uint8Array(await delivery.blob.arrayBuffer());
}

/** Changes one byte in the data of the first `times` lane messages of a block. */
function damaging(times: number): Meddle {
  let left = times;
  return (message, label) => {
    if (label.startsWith("lane/") && typeof message !== "string" && left > 0 && new DataView(message).getUint32(8) === 0) {
      left--;
      const bytes = new Uint8Array(message);
      bytes[100] = (bytes[100] ?? 0) ^ 1;
    }
    return message;
  };
}

test("a file goes through and both sides hold one digest", async () => {
  const { outgoing, incoming } = run([file(), file("empty", new Uint8Array())]);
  const transfer = await incoming;
  assert.deepEqual(transfer.manifest.entries.map(({ path }) => path), ["file.bin", "empty"]);
  const ended = Promise.all([outgoing.once("done"), transfer.once("done")]);
  await transfer.accept(new DownloadSink(new BlobStore()));
  const [receipt, { digest, bytes, files, delivery }] = await ended;
  assert.deepEqual(receipt, { digest, bytes, files });
  assert.equal(bytes, SIZE);
  assert.ok(delivery.kind === "download" && delivery.name === "files.zip");
});

/** A receiver that has something already: it tells, and takes what comes then. */
async function receiverThatHas(have: readonly object[], source = file()): Promise<{ told: string[]; blocks: number[]; outgoing: OutgoingTransfer }> {
  const told: string[] = [];
  const blocks: number[] = [];
  let answered: () => void = () => undefined;
  const end = new Promise<void>((resolve) => (answered = resolve));
  let control: Channel | undefined;
  const session = {
    open: (label: string, { protocol = "" }: RTCDataChannelInit) => {
      const [ours, theirs] = wires(label, protocol, (message) => message);
      if (label.startsWith("files/")) control = theirs;
      theirs.read((data) => {
        if (typeof data !== "string") return void blocks.push(new DataView(data).getUint32(4));
        const message = JSON.parse(data) as { type: string };
        told.push(data);
        if (message.type === "entries") for (const one of have) control?.send(JSON.stringify(one));
        if (message.type === "checked") control?.send('{"type":"accept"}');
        if (message.type === "complete" || message.type === "cancel") answered();
      });
      return ours;
    },
  };
  const outgoing = OutgoingTransfer.start(session as unknown as Session, sourceOfFiles([source]));
  await end;
  return { told, blocks: [...new Set(blocks)], outgoing };
}

async function digestsOf(...blocks: readonly number[]): Promise<string> {
  const digests = await Promise.all(blocks.map((block) => blockDigest(BYTES.slice(block << 20, (block + 1) << 20))));
  return toBase64Url(concat(...digests));
}

test("what a receiver has and we still have is not sent again", async () => {
  const wrong = { type: "have", blocks: [{ file: 0, from: 2, digests: await digestsOf(0) }], last: true };
  const { told, blocks } = await receiverThatHas([{ type: "have", blocks: [{ file: 0, from: 0, digests: await digestsOf(0, 1) }] }, wrong]);
  assert.ok(told[0]?.includes('"resume":true'));
  assert.deepEqual(told.slice(2, 4), ['{"type":"changed","blocks":[{"file":0,"from":2,"count":1}]}', '{"type":"checked"}']);
  assert.deepEqual(blocks, [2]);
  const { told: plain } = await receiverThatHas([{ type: "have", blocks: [], last: true }]);
  assert.equal(told.at(-1), plain.at(-1), "the same digest as of a whole transfer");
});

test("a source that cannot be read is not called changed", async () => {
  const unreadable = file();
  Object.defineProperty(unreadable, "slice", { value: () => ({ arrayBuffer: () => Promise.reject(new DOMException("gone", "NotReadableError")) }) });
  const { told } = await receiverThatHas([{ type: "have", blocks: [{ file: 0, from: 0, digests: await digestsOf(0, 1) }], last: true }], unreadable);
  const [answer, ...more] = told.slice(2).map((text) => JSON.parse(text) as Record<string, unknown>);
  assert.deepEqual([answer?.["type"], answer?.["code"], more.length], ["cancel", "source-changed", 0]);
});

test("a receiver that has what cannot be is refused", async () => {
  const digests = await digestsOf(0);
  for (const blocks of [
    [{ file: 0, from: 3, digests }],
    [{ file: 1, from: 0, digests }],
    [{ file: 0, from: 1, digests }, { file: 0, from: 1, digests }],
    [{ file: 0, from: 0, digests: "AA" }],
  ]) {
    const { told } = await receiverThatHas([{ type: "have", blocks, last: true }]);
    assert.match(told.at(-1) ?? "", /"type":"cancel","code":"protocol"/);
  }
});

test("a damaged block is asked for again and then right", async () => {
  const { outgoing, incoming } = run([file()], damaging(2));
  const transfer = await incoming;
  const ended = Promise.all([outgoing.once("done"), transfer.once("done")]);
  await transfer.accept(new DownloadSink(new BlobStore()));
  const [, done] = await ended;
  assert.deepEqual(await blobOf(done.delivery), BYTES);
});

test("a block that stays damaged ends the transfer on both sides", async () => {
  const { outgoing, incoming } = run([file("small", BYTES.slice(0, 5000))], damaging(4));
  const transfer = await incoming;
  const ended = Promise.all([outgoing.once("failed"), transfer.once("failed")]);
  await transfer.accept(new DownloadSink(new BlobStore()));
  assert.deepEqual((await ended).map(({ code }) => code), ["verification", "verification"]);
});

function replacing(type: string, change: (message: Record<string, unknown>) => object | undefined): Meddle {
  return (message) => {
    if (typeof message !== "string") return message;
    const fields = JSON.parse(message) as Record<string, unknown>;
    if (fields["type"] !== type) return message;
    const changed = change(fields);
    return changed === undefined ? undefined : JSON.stringify(changed);
  };
}

test("another digest for the whole is found out", async () => {
  const { outgoing, incoming } = run([file()], replacing("complete", (message) => ({ ...message, digest: "0".repeat(64) })));
  const transfer = await incoming;
  const ended = Promise.all([outgoing.once("failed"), transfer.once("failed")]);
  await transfer.accept(new DownloadSink(new BlobStore()));
  assert.deepEqual((await ended).map(({ code }) => code), ["verification", "verification"]);
});

const BAD_OFFERS: readonly [string, Meddle][] = [
  ["a climbing path", replacing("entries", (message) => ({ ...message, entries: [{ kind: "file", path: "../x", size: SIZE }] }))],
  ["another size than offered", replacing("entries", (message) => ({ ...message, entries: [{ kind: "file", path: "x", size: 1 }] }))],
  ["entries from elsewhere", replacing("entries", (message) => ({ ...message, from: 1 }))],
  ["a later version", replacing("offer", (message) => ({ ...message, version: 9 }))],
  ["something that is not JSON", (message) => (typeof message === "string" ? "{" : message)],
];
for (const [name, meddle] of BAD_OFFERS) {
  test(`an offer with ${name} never reaches the person`, async () => {
    const { outgoing, incoming } = run([file()], meddle);
    const winner = await Promise.race([incoming.then(() => "offered"), outgoing.once("failed").then(({ code }) => code)]);
    assert.equal(winner, "protocol");
  });
}

test("data before the acceptance ends the transfer", async () => {
  const [ours, theirs] = wires("lane/12345678/0", "peerline-lane/1", (message) => message);
  const [control, theirControl] = wires("files/12345678", "peerline-files/1", (message) => message);
  const transfer = new IncomingTransfer(theirControl, theirs, () => undefined);
  ours.send(new Uint8Array(17));
  const told = new Promise((resolve) => control.read(resolve));
  assert.equal((await transfer.once("failed")).code, "protocol");
  assert.match(String(await told), /"cancel".*"protocol"/);
});

test("declining and cancelling reach the other side", async () => {
  const declined = run([file()]);
  const no = declined.outgoing.once("failed");
  (await declined.incoming).decline();
  assert.equal((await no).code, "declined");

  const cancelled = run([file()]);
  const transfer = await cancelled.incoming;
  const gone = transfer.once("failed");
  cancelled.outgoing.cancel();
  assert.equal((await gone).code, "cancelled");
});

test("a lane that closes first does not hide why", async () => {
  const ends: Channel[] = [];
  const session = {
    open: (label: string, { protocol = "" }: RTCDataChannelInit) => {
      const [ours, theirs] = wires(label, protocol, (message) => message);
      ends.push(theirs);
      return ours;
    },
  };
  const outgoing = OutgoingTransfer.start(session as unknown as Session, sourceOfFiles([file()]));
  const failed = outgoing.once("failed");
  const [control, lane] = ends;
  assert.ok(control !== undefined && lane !== undefined);
  control.read((data) => {
    if (JSON.parse(String(data)).type !== "entries") return;
    lane.close();
    lane.on("closed", () => setTimeout(() => control.send('{"type":"decline","reason":"no room"}'), 20));
  });
  const { code, message } = await failed;
  assert.deepEqual([code, message], ["declined", "The other side declined these files. It says: no room."]);

  const cancelled = run([file()]);
  const transfer = await cancelled.incoming;
  const gone = transfer.once("failed");
  cancelled.ends[1]?.close();
  setTimeout(() => cancelled.outgoing.cancel(), 20);
  assert.equal((await gone).code, "cancelled");
});

const LARGE = Uint8Array.from({ length: 24 * 1024 * 1024 + 5 }, (_, i) => (i * 31 + (i >> 16)) % 251);

/**
 * Sends `LARGE` over four connections beside the first. Returns the numbers of the lanes on which something came. Each takes its
 * first message when the next one has taken one, so that all are used however quick the first is.
 */
async function sendLarge(sink: Sink, meddle: (message: Message, lane: number, close: () => void) => Message | undefined): Promise<readonly number[]> {
  const used = new Set<number>();
  const gates = Array.from({ length: 4 }, () => {
    let open = (): void => undefined;
    const opened = new Promise<void>((resolve) => (open = resolve));
    return { open, opened };
  });
  const sending = run(
    [file("large.bin", LARGE)],
    (message, label) => {
      const lane = Number(/^lane\/.*\/(\d+)$/.exec(label)?.[1] ?? -1);
      if (lane < 0) return message;
      const left = meddle(message, lane, () => sending.ends.find((end) => end.label === label)?.close());
      if (left !== undefined) used.add(lane);
      gates[lane - 1]?.open();
      return left;
    },
    { lanes: 4 },
    (channel) => {
      const gate = gates[Number(/^lane\/.*\/([0-3])$/.exec(channel.label)?.[1] ?? 4)];
      if (gate === undefined) return;
      const ready = channel.ready.bind(channel);
      let opening = !channel.label.endsWith("/0");
      channel.ready = async () => {
        if (!opening) await gate.opened;
        opening = false;
        return ready();
      };
    },
  );
  const transfer = await sending.incoming;
  const [done, receipt] = [transfer.once("done"), sending.outgoing.once("done")];
  await transfer.accept(sink);
  const { delivery, digest } = await done;
  assert.equal((await receipt).digest, digest);
  assert.equal(Buffer.compare(await blobOf(delivery), LARGE), 0);
  return [...used].sort();
}

/** A disk that takes its time: the sender may send no more, on no connection. */
class SlowSink extends DownloadSink {
  override async write(file: number, offset: number, bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    await new Promise((resolve) => setTimeout(resolve, 20));
    return super.write(file, offset, bytes);
  }
}

for (const [disk, sink] of [
  ["a disk that is quick", () => new DownloadSink(new BlobStore())],
  ["a slow disk", () => new SlowSink(new BlobStore())],
] as const) {
  test(`a file goes over several connections to ${disk}`, async () => {
    assert.deepEqual(await sendLarge(sink(), (message) => message), [0, 1, 2, 3, 4]);
  });

  test(`what was on connections that break is sent again on others to ${disk}`, async () => {
    const came = new Map<number, number>();
    const lanes = await sendLarge(sink(), (message, lane, close) => {
      const count = (came.get(lane) ?? 0) + 1;
      came.set(lane, count);
      if (lane !== 1 && lane !== 2) return message;
      // In the middle of a block nothing more comes, and then it is gone.
      if (count === 9) close();
      return count > 5 ? undefined : message;
    });
    assert.deepEqual(lanes.slice(0, 3), [0, 1, 2]);
    assert.ok((came.get(1) ?? 0) >= 9 && (came.get(2) ?? 0) >= 9, "both broke");
  });
}

test("a connection that stands still is given up, also when the others have nothing left to do", async () => {
  let came = 0;
  const lanes = await sendLarge(new DownloadSink(new BlobStore()), (message, lane) => (lane === 1 && ++came > 5 ? undefined : message));
  assert.ok(came > 5 && lanes.includes(1), "it stood still in the middle of a block");
});

test("a receiver that gives on what it gets in order is not run ahead of while a connection stands still", async () => {
  const taken = new Map<number, number>();
  const blocks = new Set<number>();
  let [stuck, lost, ahead, all] = [-1, false, 0, 0];
  let control: Channel | undefined;
  const listen = (lane: number, theirs: Channel): void => theirs.read((data) => {
    assert.ok(typeof data !== "string");
    const block = new DataView(data).getUint32(4);
    const before = taken.get(lane) ?? 0;
    // It stands still in the middle of its first block.
    if (lane === 1 && before > 200_000) return void (stuck = block);
    if (stuck >= 0 && !lost) ahead = Math.max(ahead, block - stuck);
    blocks.add(block);
    taken.set(lane, before + data.byteLength);
    all += data.byteLength;
    control?.send(JSON.stringify({ type: "credit", bytes: all, lane, laneBytes: taken.get(lane) }));
  });
  let complete: () => void = () => undefined;
  const completed = new Promise<void>((resolve) => (complete = resolve));
  const session = {
    lanes: 4,
    open: (label: string, { protocol = "" }: RTCDataChannelInit) => {
      const [ours, theirs] = wires(label, protocol, (message) => message);
      if (!label.startsWith("files/")) listen(0, theirs);
      else {
        control = theirs;
        theirs.read((data) => {
          const { type } = JSON.parse(String(data));
          if (type === "entries") theirs.send('{"type":"accept","window":4194304,"lanes":1}');
          if (type === "lane-lost") {
            [lost] = [true, blocks.delete(stuck)];
            theirs.send(JSON.stringify({ type: "lane-ended", lane: 1, bytes: taken.get(1) }));
          }
          if (type === "complete") complete();
        });
      }
      return ours;
    },
    openLane: (label: string, protocol: string) => {
      const [ours, theirs] = wires(label, protocol, (message) => message);
      listen(Number(label.split("/").at(-1)), theirs);
      return ours;
    },
  };
  const count = 48;
  const content = file("large.bin", new Uint8Array(count * 1024 * 1024 - 5));
  const outgoing = OutgoingTransfer.start(session as unknown as Session, sourceOfFiles([content]), { lanes: 1 });
  const failed = outgoing.once("failed");
  await Promise.race([completed, failed]);
  assert.ok(lost && ahead > 12 && ahead < 24, `${ahead} blocks ahead`);
  assert.equal(blocks.size, count, "what stood still came again");
  control?.send('{"type":"cancel","code":"cancelled","message":""}');
  assert.equal((await failed).code, "cancelled");
});

/** A receiver of four lanes that says `words` once the first block has begun to come on one. The code of the sender's failure. */
async function hostile(words: (id: number) => object): Promise<string> {
  const session = {
    lanes: 4,
    open: (label: string, { protocol = "" }: RTCDataChannelInit) => {
      const [ours, theirs] = wires(label, protocol, (message) => message);
      if (label.startsWith("files/")) {
        theirs.read((data) => JSON.parse(String(data)).type === "entries" && theirs.send('{"type":"accept","window":4194304,"lanes":4}'));
        control = theirs;
      } else theirs.read(() => undefined);
      return ours;
    },
    openLane: (label: string, protocol: string) => {
      const [ours, theirs] = wires(label, protocol, (message) => message);
      theirs.read(() => control?.send(JSON.stringify(words(Number(label.split("/").at(-1))))));
      return ours;
    },
  };
  let control: Channel | undefined;
  const outgoing = OutgoingTransfer.start(session as unknown as Session, sourceOfFiles([file("large.bin", LARGE)]), { lanes: 4 });
  return (await outgoing.once("failed")).code;
}

for (const [name, words] of [
  ["more of a lane than was sent", (lane: number) => ({ type: "credit", bytes: 1, lane, laneBytes: 100_000_000 })],
  ["more than was sent", () => ({ type: "credit", bytes: 100_000_000 })],
  ["the end of the first lane", () => ({ type: "lane-ended", lane: 0, bytes: 0 })],
  ["an end of a lane behind what was sent", (lane: number) => ({ type: "lane-ended", lane, bytes: 100_000_000 })],
] as const) {
  test(`a receiver that claims ${name} is not believed`, async () => {
    assert.equal(await hostile(words), "protocol");
  });
}

/** A sink that fails at one step and notes whether it was cleaned up. */
class FailingSink implements Sink {
  aborted = false;
  constructor(
    private readonly at: "open" | "write" | "finish",
    private readonly error: Error,
  ) {}
  open(_manifest: Manifest): Promise<void> {
    return this.at === "open" ? Promise.reject(this.error) : Promise.resolve();
  }
  write(): Promise<void> {
    return this.at === "write" ? Promise.reject(this.error) : Promise.resolve();
  }
  finish(): Promise<Delivery> {
    return this.at === "finish" ? Promise.reject(this.error) : Promise.resolve({ kind: "placed" });
  }
  async abort(): Promise<void> {
    this.aborted = true;
  }
}

for (const at of ["open", "write", "finish"] as const) {
  test(`a disk that fails at ${at} fails both sides and is never called complete`, async () => {
    const { outgoing, incoming } = run([file()]);
    const transfer = await incoming;
    const ended: Promise<PeerlineError[]> = Promise.all([outgoing.once("failed"), transfer.once("failed")]);
    const sink = new FailingSink(at, new DOMException("full", "QuotaExceededError"));
    await transfer.accept(sink).catch(() => undefined);
    assert.deepEqual((await ended).map(({ code }) => code), ["storage", "storage"]);
    assert.ok(sink.aborted);
  });
}

test("a source that shrank is noticed before anything wrong is sent", async () => {
  const shrinking = file();
  const { outgoing, incoming } = run([shrinking]);
  Object.defineProperty(shrinking, "slice", { value: () => new Blob([new Uint8Array(3)]) });
  const transfer = await incoming;
  const ended = Promise.all([outgoing.once("failed"), transfer.once("failed")]);
  await transfer.accept(new DownloadSink(new BlobStore()));
  assert.deepEqual((await ended).map(({ code }) => code), ["source-changed", "source-changed"]);
});

test("files of one name get numbers, names no receiver takes are refused", () => {
  const names = sourceOfFiles([file("a.txt"), file("A.txt"), file("a.txt"), file("b")]).map(({ path }) => path);
  assert.deepEqual(names, ["a.txt", "A (2).txt", "a (3).txt", "b"]);
  assert.throws(() => sourceOfFiles([file("a:b")]), { code: "unsupported" });
});
