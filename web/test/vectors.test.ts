import assert from "node:assert/strict";
import { test } from "node:test";
import { concat, fromBase64Url, fromHex, toBase64Url, toHex, utf8 } from "../src/sdk/bytes.js";
import { formatCode, parseCode } from "../src/sdk/code.js";
import { parseSealedMessage } from "../src/sdk/control.js";
import { scalarOf } from "../src/sdk/cpace.js";
import { deriveKeys, phraseOf, type Role, tag, transcriptOf } from "../src/sdk/keys.js";
import { GuestPairing, HostPairing, type PairingAction, abortRecord } from "../src/sdk/pairing.js";
import { Opener, Sealer } from "../src/sdk/seal.js";
import { repositoryJson } from "./repository.js";

type Both = Readonly<Record<Role, string>>;

interface Vectors {
  readonly code: string;
  readonly codes: readonly { readonly text: string; readonly code: string | null }[];
  readonly sid: string;
  readonly scalarGuest: string;
  readonly scalarHost: string;
  readonly ya: string;
  readonly yb: string;
  readonly isk: string;
  readonly transcript: string;
  readonly keys: Readonly<Record<"confirm" | "seal" | "certificates", Both>>;
  readonly tags: Both;
  readonly phrase: string;
  readonly records: Readonly<Record<string, string>>;
  readonly sealed: readonly { readonly role: Role; readonly counter: number; readonly plaintext: string; readonly record: string }[];
  readonly certificateTags: Both & { readonly offererFingerprint: string; readonly answererFingerprint: string };
}

const vectors = repositoryJson<Vectors>("tests/vectors/pairing.json");
const CODE = parseCode(vectors.code);

function sent(actions: readonly PairingAction[]): string[] {
  return actions.flatMap((action) => (action.do === "send" ? [toBase64Url(action.record)] : []));
}

function record(name: string): Uint8Array<ArrayBuffer> {
  return fromBase64Url(vectors.records[name] ?? "");
}

test("codes are read as the native side reads them", () => {
  for (const { text, code } of vectors.codes) {
    if (code === null) assert.throws(() => parseCode(text), { code: "bad-code" }, text);
    else assert.equal(formatCode(parseCode(text)), code, text);
  }
});

test("a run with fixed choices gives the shared records on both sides", () => {
  const guest = new GuestPairing(CODE, { scalar: scalarOf(fromHex(vectors.scalarGuest)), sid: fromHex(vectors.sid) });
  const host = new HostPairing(CODE, { scalar: scalarOf(fromHex(vectors.scalarHost)) });
  assert.deepEqual(sent(guest.start()), [vectors.records["shareGuest"]]);
  assert.deepEqual(sent(host.handle(record("shareGuest"))), [vectors.records["shareHost"]]);
  assert.deepEqual(sent(guest.handle(record("shareHost"))), [vectors.records["confirmGuest"]]);
  assert.deepEqual(sent(host.handle(record("confirmGuest"))), [vectors.records["confirmHost"]]);
  assert.deepEqual(guest.handle(record("confirmHost")), [{ do: "confirmed" }]);
});

test("keys, tags and phrase", () => {
  const keys = deriveKeys(fromHex(vectors.isk));
  const transcript = transcriptOf(fromHex(vectors.sid), fromHex(vectors.ya), utf8("peerline/1 guest"), fromHex(vectors.yb), utf8("peerline/1 host"));
  assert.equal(toHex(transcript), vectors.transcript);
  assert.equal(keys.phrase, vectors.phrase);
  const both = concat(fromHex(vectors.certificateTags.offererFingerprint), fromHex(vectors.certificateTags.answererFingerprint));
  for (const role of ["guest", "host"] as const) {
    for (const purpose of ["confirm", "seal", "certificates"] as const) assert.equal(toHex(keys[purpose][role]), vectors.keys[purpose][role]);
    assert.equal(toHex(tag(keys.confirm[role], transcript)), vectors.tags[role]);
    assert.equal(toBase64Url(tag(keys.certificates[role], both)), vectors.certificateTags[role]);
  }
  assert.equal(phraseOf(new Uint8Array(9)), "abandon abandon abandon abandon abandon abandon");
  assert.equal(phraseOf(new Uint8Array(9).fill(255)), "zoo zoo zoo zoo zoo zoo");
});

test("sealed records open, seal the same, and hold messages we understand", () => {
  for (const role of ["guest", "host"] as const) {
    const key = fromHex(vectors.keys.seal[role]);
    const [sealer, opener] = [new Sealer(key, role), new Opener(key, role)];
    for (const { plaintext, record } of vectors.sealed.filter((sample) => sample.role === role)) {
      assert.equal(toBase64Url(sealer.seal(utf8(plaintext))), record);
      assert.equal(new TextDecoder().decode(opener.open(fromBase64Url(record))), plaintext);
      assert.deepEqual(parseSealedMessage(plaintext), JSON.parse(plaintext));
    }
  }
});

test("abort records", () => {
  const names = { abortWrongCode: "wrong-code", abortUnsupportedVersion: "version", abortTampered: "tampered", abortCodeUsed: "code-used", abortCancelled: "cancelled" } as const;
  for (const [name, reason] of Object.entries(names)) assert.equal(toBase64Url(abortRecord(reason)), vectors.records[name]);
});
