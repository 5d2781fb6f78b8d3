/** Measurements without a connection. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Allowance } from "../src/sdk/bench/allowance.js";
import { Bench } from "../src/sdk/bench/bench.js";
import { type Message, type Step, parse, write } from "../src/sdk/bench/messages.js";
import { Pings } from "../src/sdk/bench/pings.js";
import type { Channel } from "../src/sdk/channel.js";
import { PeerlineError } from "../src/sdk/errors.js";
import type { Session } from "../src/sdk/session.js";
import { wires } from "./wires.js";

const STEP: Step = { step: 0, sender: "leader", lanes: 1, packet: 0, millis: 1_000 };
const LATENCY = { samples: 9, p50: 100, p90: 200, p99: 300 };

/** As they are in src/bench/message.rs. */
const WIRE: readonly [string, Message][] = [
  [`{"type":"run","step":3,"sender":"leader","lanes":2,"packet":1472,"millis":2000}`, { type: "run", step: 3, sender: "leader", lanes: 2, packet: 1472, millis: 2000 }],
  [`{"type":"sent","step":3,"bytes":65535,"packet":1472}`, { type: "sent", step: 3, bytes: 65_535, packet: 1472 }],
  [`{"type":"received","step":3,"bytes":65535,"micros":17}`, { type: "received", step: 3, bytes: 65_535, micros: 17 }],
  [`{"type":"failed","step":3,"reason":"no"}`, { type: "failed", step: 3, reason: "no" }],
  [`{"type":"ping","id":7}`, { type: "ping", id: 7 }],
  [`{"type":"report","what":"idle","latency":{"samples":9,"p50":100,"p90":200,"p99":300}}`, { type: "report", report: { what: "idle", latency: LATENCY } }],
  [`{"type":"end"}`, { type: "end" }],
];

test("the wire is the protocol text", () => {
  for (const [text, message] of WIRE) {
    assert.deepEqual(parse(text), message);
    assert.equal(write(message), text);
  }
  const rate = parse(`{"type":"report","what":"rate","sender":"follower","lanes":1,"packet":16384,"bytes":5,"micros":1,"latency":null}`);
  assert.deepEqual(rate, { type: "report", report: { what: "rate", sender: "follower", lanes: 1, packet: 16_384, bytes: 5, micros: 1, latency: undefined } });
  for (const garbage of ["", "[]", "{}", `{"type":"run"}`, `{"type":"run","step":0,"sender":"me","lanes":1,"packet":0,"millis":1}`, `{"type":"sent","step":0,"bytes":1e99,"packet":0}`, `{"type":"report","what":"rate"}`]) {
    assert.throws(() => parse(garbage), { name: "Malformed" }, garbage);
  }
  assert.deepEqual(parse(`{"type":"dance"}`), { type: "unknown" });
  const hostile = parse(`{"type":"failed","step":0,"reason":${JSON.stringify("\u001b]52;".repeat(1000))}}`);
  assert.ok(hostile.type === "failed" && hostile.reason.length < 2_000 && !hostile.reason.includes("\u001b"));
});

test("round trips are nearest ranks, and no more than eight pings are unanswered", () => {
  const pings = new Pings();
  assert.equal(pings.ping(0), undefined);
  pings.start(0);
  const sent = Array.from({ length: 20 }, (_, i) => pings.ping(10 * i));
  assert.deepEqual(sent.filter((id) => id !== undefined), [0, 1, 2, 3, 4, 5, 6, 7]);
  assert.equal(pings.due, undefined);
  for (let id = 0; id < 8; id++) pings.pong(100, id);
  assert.throws(() => pings.pong(100, 8), { name: "Malformed" });
  pings.stop();
  assert.ok(pings.settled);
  assert.deepEqual(pings.latency(), { samples: 8, p50: 60_000, p90: 100_000, p99: 100_000 });
  assert.equal(pings.latency(), undefined);
});

test("a leader may ask for so much and no more", () => {
  for (const wrong of [{ step: 1 }, { lanes: 0 }, { lanes: 17 }, { packet: 1_227 }, { packet: 16_377 }, { millis: 0 }, { millis: 60_001 }]) {
    assert.throws(() => new Allowance().admit({ ...STEP, ...wrong }), { name: "Malformed" }, JSON.stringify(wrong));
  }
  const count = (millis: number): number => {
    const allowance = new Allowance();
    for (let step = 0; ; step++) {
      try {
        allowance.admit({ ...STEP, step, millis });
      } catch {
        return step;
      }
    }
  };
  assert.deepEqual([count(1), count(60_000)], [128, 30]);
});

/** A follower, and the leader's end of their channel. `open` is asked for lanes of the follower's. */
function follower(open: (label: string, protocol: string) => Channel): { bench: Bench; channel: Channel } {
  const [channel, theirs] = wires("bench", "peerline-bench/1", (message) => message);
  return { bench: Bench.start({ openLane: open } as unknown as Session, theirs, "follower"), channel };
}

const NO_LANES = (): never => {
  throw new Error("none");
};

for (const [name, messages] of [
  ["a step out of turn", [`{"type":"run","step":1,"sender":"leader","lanes":1,"packet":0,"millis":1}`]],
  ["an answer to nothing", [`{"type":"pong","id":0}`]],
  ["a word out of turn", [`{"type":"received","step":0,"bytes":0,"micros":1}`]],
  ["nonsense", ["{"]],
  ["two steps at a time", Array.from({ length: 2 }, (_, step) => `{"type":"run","step":${step},"sender":"leader","lanes":1,"packet":0,"millis":1}`)],
] as const) {
  test(`a follower hangs up over ${name}`, async () => {
    const { bench, channel } = follower(NO_LANES);
    const failed = bench.once("failed");
    let closed = false;
    channel.on("closed", () => (closed = true));
    // What a later version says is what it does not mind.
    for (const message of [`{"type":"dance"}`, ...messages]) channel.send(message);
    assert.equal((await failed).code, "protocol");
    while (!closed) await new Promise((resolve) => setImmediate(resolve));
  });
}

test("a line that is closed here stops the measurement, in its own words", async () => {
  const { bench } = follower(NO_LANES);
  const heard: string[] = [];
  bench.on("failed", ({ code, message }) => heard.push(code, message));
  bench.end(new PeerlineError("cancelled", "You cancelled this transfer."));
  assert.deepEqual(heard, ["cancelled", "The measurement was stopped."], "before anybody hears that the line is over");
});

test("a load that is more than was said is not counted, and a lane may come before its step", async () => {
  const { bench, channel } = follower(NO_LANES);
  const answers: Message[] = [];
  const heard = (count: number): Promise<void> =>
    new Promise((resolve) => {
      const look = (): void => void (answers.length >= count ? resolve() : setImmediate(look));
      look();
    });
  channel.read((data) => answers.push(parse(data)));
  const lane = (step: number): Channel => {
    const [ours, theirs] = wires(`bench/${step}/0`, "peerline-bench-lane/1", (message) => message);
    assert.ok(bench.take(theirs));
    return ours;
  };
  const early = lane(0);
  early.send(new Uint8Array(1000));
  channel.send(`{"type":"run","step":0,"sender":"leader","lanes":1,"packet":0,"millis":1}`);
  channel.send(`{"type":"sent","step":0,"bytes":1000,"packet":1228}`);
  await heard(1);
  const [first] = answers;
  assert.ok(first?.type === "received" && first.bytes === 1000 && first.micros >= 1);

  channel.send(`{"type":"run","step":1,"sender":"leader","lanes":1,"packet":0,"millis":1}`);
  lane(1).send(new Uint8Array(1001));
  channel.send(`{"type":"sent","step":1,"bytes":1000,"packet":1228}`);
  await heard(2);
  assert.equal(answers[1]?.type, "failed");

  // It cannot send: the next step can still be measured.
  channel.send(`{"type":"run","step":2,"sender":"follower","lanes":1,"packet":0,"millis":1}`);
  await heard(3);
  assert.equal(answers[2]?.type, "failed");
  const done = bench.once("done");
  channel.send(`{"type":"report","what":"idle","latency":{"samples":9,"p50":100,"p90":200,"p99":300}}`);
  channel.send(`{"type":"end"}`);
  assert.deepEqual(await done, [{ what: "idle", latency: LATENCY }]);
});
