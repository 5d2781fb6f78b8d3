import assert from "node:assert/strict";
import { test } from "node:test";
import { type Bytes, utf8 } from "../src/sdk/bytes.js";
import { type Code, parseCode } from "../src/sdk/code.js";
import { GuestPairing, HostPairing, type PairingAction } from "../src/sdk/pairing.js";

const CODE = parseCode("7-crane-velvet-orbit");
const OTHER = parseCode("7-crane-velvet-orchard");

function records(actions: readonly PairingAction[]): Bytes[] {
  return actions.flatMap((action) => (action.do === "send" ? [action.record] : []));
}

function names(actions: readonly PairingAction[]): string[] {
  return actions.map((action) => (action.do === "stop" ? `stop ${action.reason} by ${action.by}` : action.do));
}

function only(actions: readonly PairingAction[]): Bytes {
  const [record, another] = records(actions);
  assert.ok(record !== undefined && another === undefined);
  return record;
}

/** Guest and host up to the guest's confirm. */
function started(guestCode: Code = CODE): { guest: GuestPairing; host: HostPairing; share: Bytes; answer: Bytes; confirm: Bytes } {
  const guest = new GuestPairing(guestCode);
  const host = new HostPairing(CODE);
  const share = only(guest.start());
  const answer = only(host.handle(share));
  const confirm = only(guest.handle(answer));
  return { guest, host, share, answer, confirm };
}

function paired(): { guest: GuestPairing; host: HostPairing } {
  const { guest, host, confirm } = started();
  const back = host.handle(confirm);
  assert.deepEqual(names(back), ["send", "agreed", "confirmed"]);
  assert.deepEqual(names(guest.handle(only(back))), ["confirmed"]);
  return { guest, host };
}

function sealed(pairing: GuestPairing | HostPairing, text: string): Bytes {
  const record = pairing.seal(utf8(text));
  assert.ok(record !== undefined);
  return record;
}

function flipped(record: Bytes, at: number): Bytes {
  const copy = record.slice();
  copy[at] = (copy[at] ?? 0) ^ 1;
  return copy;
}

test("both sides agree, seal in both directions, and show one phrase", () => {
  const { guest, host, confirm } = started();
  const early = sealed(guest, "offer");
  const back = host.handle(confirm);
  assert.deepEqual(names(host.handle(early)), ["open"]);
  guest.handle(only(back));
  const answer = guest.handle(sealed(host, "answer"))[0];
  assert.ok(answer?.do === "open");
  assert.equal(new TextDecoder().decode(answer.plaintext), "answer");
});

test("keys are equal on both sides", () => {
  const { host, guest, answer, confirm } = started();
  const again = new GuestPairing(CODE);
  again.start();
  assert.notDeepEqual(only(again.handle(answer)), confirm);
  const agreed = host.handle(confirm).find((action) => action.do === "agreed");
  assert.ok(agreed?.do === "agreed");
  assert.equal(agreed.keys.phrase.split(" ").length, 6);
  assert.ok(sealed(guest, "x"));
});

test("a wrong code burns the host and tells the guest", () => {
  const { guest, host, confirm } = started(OTHER);
  const stop = host.handle(confirm);
  assert.deepEqual(names(stop), ["send", "stop wrong-code by us"]);
  assert.deepEqual(names(guest.handle(only(stop))), ["stop wrong-code by peer"]);
  assert.deepEqual(host.handle(only(new GuestPairing(CODE).start())), []);
  assert.equal(host.seal(utf8("x")), undefined);
});

test("a host that does not know the code learns nothing and is found out", () => {
  const guest = new GuestPairing(CODE);
  const liar = new HostPairing(OTHER);
  const confirm = guest.handle(only(liar.handle(only(guest.start()))));
  assert.deepEqual(names(liar.handle(only(confirm))), ["send", "stop wrong-code by us"]);
  // Even one that goes on regardless.
  const forged = Uint8Array.of(3, ...new Uint8Array(32));
  assert.deepEqual(names(guest.handle(forged)), ["send", "stop wrong-code by us"]);
});

test("a guest that leaves before its confirm costs nothing, ten times", () => {
  const host = new HostPairing(CODE);
  for (let i = 0; i < 10; i++) {
    assert.deepEqual(names(host.handle(only(new GuestPairing(CODE).start()))), ["send"]);
    host.guestLeft();
  }
  assert.deepEqual(names(host.handle(only(new GuestPairing(CODE).start()))), ["send", "stop code-used by us"]);
});

test("a second share while one is answered is refused and does not disturb the first", () => {
  const { host, confirm } = started();
  assert.deepEqual(host.handle(only(new GuestPairing(CODE).start())), [{ do: "send", record: Uint8Array.of(5, 4) }]);
  assert.deepEqual(names(host.handle(confirm)), ["send", "agreed", "confirmed"]);
});

const TO_GUEST: readonly [string, (records: ReturnType<typeof started>) => Bytes, string][] = [
  ["its own share as the host's", ({ share }) => Uint8Array.of(2, ...share.slice(18)), "tampered"],
  ["its own share reflected", ({ share }) => share, "tampered"],
  ["its own confirm reflected", ({ confirm }) => confirm, "wrong-code"],
  ["a sealed record before the host's confirm", ({ guest }) => sealed(guest, "x"), "tampered"],
  ["a second answer", ({ answer }) => answer, "tampered"],
  ["a changed confirm", ({ host, confirm }) => flipped(only(host.handle(confirm)), 7), "wrong-code"],
  ["a cut confirm", ({ host, confirm }) => only(host.handle(confirm)).slice(0, 20), "wrong-code"],
  ["nothing", () => new Uint8Array(), "tampered"],
  ["an unknown record", () => Uint8Array.of(9), "tampered"],
];
for (const [name, make, reason] of TO_GUEST) {
  test(`the guest stops on ${name}`, () => {
    const run = started();
    assert.deepEqual(names(run.guest.handle(make(run))), ["send", `stop ${reason} by us`]);
  });
}

const SHARES: readonly [string, (share: Bytes) => Bytes, readonly string[]][] = [
  ["of another version", (share) => { const copy = share.slice(); copy[1] = 2; return copy; }, ["send"]],
  ["that is cut", (share) => share.slice(0, 49), ["send", "stop tampered by us"]],
  ["that does not decode", (share) => Uint8Array.of(...share.slice(0, 18), ...new Uint8Array(32).fill(255)), ["send", "stop wrong-code by us"]],
  ["that is the identity", (share) => Uint8Array.of(...share.slice(0, 18), ...new Uint8Array(32)), ["send", "stop wrong-code by us"]],
];
for (const [name, change, expected] of SHARES) {
  test(`a host and a share ${name}`, () => {
    const share = only(new GuestPairing(CODE).start());
    assert.deepEqual(names(new HostPairing(CODE).handle(change(share))), expected);
  });
}

const SEALED: readonly [string, (run: { guest: GuestPairing; host: HostPairing }) => Bytes[]][] = [
  ["changed", ({ guest }) => [flipped(sealed(guest, "x"), 12)]],
  ["repeated", ({ guest }) => { const record = sealed(guest, "x"); return [record, record]; }],
  ["missing", ({ guest }) => { sealed(guest, "x"); return [sealed(guest, "y")]; }],
  ["reordered", ({ guest }) => { const first = sealed(guest, "x"); return [sealed(guest, "y"), first]; }],
  ["reflected", ({ host }) => [sealed(host, "x")]],
  ["cut", ({ guest }) => [sealed(guest, "x").slice(0, 20)]],
  ["with another counter", ({ guest }) => [flipped(sealed(guest, "x"), 8)]],
];
for (const [name, make] of SEALED) {
  test(`a sealed record that is ${name} ends the session`, () => {
    const run = paired();
    const results = make(run).map((record) => names(run.host.handle(record)).join());
    assert.equal(results.at(name === "reordered" ? 0 : -1), "send,stop tampered by us");
  });
}

test("records that begin no exchange are ignored, and the code stays good", () => {
  const host = new HostPairing(CODE);
  for (const first of [0, 2, 3, 4, 5, 9]) assert.deepEqual(host.handle(Uint8Array.of(first, ...new Uint8Array(40))), []);
  assert.deepEqual(host.handle(new Uint8Array()), []);
  assert.deepEqual(names(host.handle(only(new GuestPairing(CODE).start()))), ["send"]);
});

test("an abort of the other side says why", () => {
  const { guest } = started();
  assert.deepEqual(guest.handle(Uint8Array.of(5, 5)), [{ do: "stop", reason: "cancelled", by: "peer" }]);
});

test("somebody who came anew proves itself with a newer record, and nothing old or false is heeded", () => {
  const { guest, host } = paired();
  const sealed = ["0", "1", "2", "3"].map((word) => guest.seal(utf8(word)) ?? new Uint8Array());
  const open = (record: Uint8Array): string | undefined => {
    const plaintext = host.openAhead(record);
    return plaintext === undefined ? undefined : new TextDecoder().decode(plaintext);
  };
  const [first, second, third, last] = sealed as [Bytes, Bytes, Bytes, Bytes];
  assert.equal(open(first), "0");
  const false2 = Uint8Array.from(third);
  false2[false2.length - 1] = (false2.at(-1) ?? 0) ^ 1;
  const endless = Uint8Array.from(third).fill(0xff, 1, 9);
  for (const record of [new Uint8Array(), Uint8Array.of(4, 0), false2, endless, host.seal(utf8("reflected")) ?? first]) assert.equal(open(record), undefined);
  assert.equal(open(third), "2");
  for (const old of [first, second, third]) assert.equal(open(old), undefined);
  assert.deepEqual(names(host.handle(last)), ["open"]);
});
