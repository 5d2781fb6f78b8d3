import assert from "node:assert/strict";
import { test } from "node:test";
import { parseControlMessage, parseSealedMessage } from "../src/sdk/control.js";
import { Malformed } from "../src/sdk/json.js";
import { fingerprintOf } from "../src/sdk/sdp.js";
import { type ClientMessage, type ServerMessage, parseServerMessage } from "../src/sdk/wire.js";
import { repositoryJson } from "./repository.js";

interface Golden<Message> {
  readonly name: string;
  readonly message: Message;
}

for (const { name, message } of repositoryJson<Golden<ServerMessage>[]>("signaling-protocol/golden/server.json")) {
  test(`the server's "${name}" is understood`, () => assert.deepEqual(parseServerMessage(JSON.stringify(message)), message));
}

test("unknown fields are ignored and unknown types are known to be unknown", () => {
  assert.deepEqual(parseServerMessage('{"type":"pong","later":[1]}'), { type: "pong" });
  assert.deepEqual(parseServerMessage('{"type":"dance"}'), { type: "unknown" });
});

test("what this client sends is in the golden samples", () => {
  const golden = repositoryJson<Golden<ClientMessage>[]>("signaling-protocol/golden/client.json");
  const known = new Set(golden.map(({ message }) => message.type));
  for (const type of ["join", "sealed", "path", "leave"] as const) assert.ok(known.has(type));
});

const REFUSED: readonly string[] = [
  "",
  "null",
  "[]",
  '"pong"',
  "{}",
  '{"type":1}',
  '{"type":"joined","room":"7","self":"a"}',
  '{"type":"joined","room":"../","self":"a","peers":[],"iceServers":[],"resume":"","limits":{"messageBytes":1,"messagesPerSecond":1,"peers":2}}',
  '{"type":"joined","room":"7","self":"a","peers":[],"iceServers":[{"urls":["http://x"]}],"resume":"","limits":{"messageBytes":1,"messagesPerSecond":1,"peers":2}}',
  '{"type":"joined","room":"7","self":"a","peers":[],"iceServers":[],"resume":"","limits":{"messageBytes":-1,"messagesPerSecond":1,"peers":2}}',
  '{"type":"peer-joined","peer":{"id":"a","name":"x\\u0007"}}',
  '{"type":"peer-joined","peer":{"id":"<img>"}}',
  '{"type":"peer-left","peer":"a","reason":"bored"}',
  '{"type":"offer","from":"a"}',
  '{"type":"offer","from":"a","sdp":{}}',
  '{"type":"ice-candidate","from":"a"}',
  `{"type":"ice-candidate","from":"a","candidate":{"candidate":"${"x".repeat(513)}"}}`,
  '{"type":"sealed","from":"a","data":7}',
  '{"type":"message","from":"a"}',
  '{"type":"error","code":7}',
  '{"type":"draining","reconnectAfterMs":1.5}',
  `{"type":"chat","from":"a","content":"${"x".repeat(65_537)}"}`,
];
for (const frame of REFUSED) {
  test(`the server's ${frame.slice(0, 60)} is refused`, () => assert.throws(() => parseServerMessage(frame), Malformed));
}

const HELLO = '{"type":"hello","version":1,"agent":"peer-cli/1","engine":"native","intent":"send-files","certificates":"AA"}';

test("control messages are understood", () => {
  assert.deepEqual(parseControlMessage(HELLO), JSON.parse(HELLO));
  assert.deepEqual(parseControlMessage('{"type":"ping","id":3}'), { type: "ping", id: 3 });
  assert.deepEqual(parseControlMessage('{"type":"bye","code":"strange","message":"x"}'), { type: "bye", code: "internal", message: "x" });
  assert.equal((parseControlMessage(HELLO.replace("send-files", "teleport")) as { intent: string }).intent, "any");
});

const REFUSED_CONTROL: readonly string[] = [
  HELLO.replace("peer-cli", "\\u001b[2J"),
  HELLO.replace("native", "steam"),
  HELLO.replace('"version":1', '"version":"1"'),
  HELLO.replace("peer-cli", "x".repeat(65)),
  '{"type":"ping","id":-1}',
  '{"type":"offer"}',
];
for (const json of REFUSED_CONTROL) {
  test(`control message ${json.slice(0, 60)} is refused`, () => assert.throws(() => parseControlMessage(json), Malformed));
}

test("a sealed description names its agent and engine", () => {
  assert.throws(() => parseSealedMessage('{"type":"offer","sdp":"v=0"}'), Malformed);
  assert.deepEqual(parseSealedMessage('{"type":"later"}'), { type: "unknown" });
});

const PRINT = Array.from({ length: 32 }, (_, i) => i.toString(16).padStart(2, "0")).join(":");

test("one SHA-256 fingerprint, in either case, as often as the description likes", () => {
  const sdp = `v=0\r\na=fingerprint:sha-256 ${PRINT}\r\nm=application\r\na=fingerprint:SHA-256 ${PRINT.toUpperCase()}\r\n`;
  assert.deepEqual([...fingerprintOf(sdp)], Array.from({ length: 32 }, (_, i) => i));
});

const FINGERPRINTS: readonly [string, string][] = [
  ["none", "v=0\r\n"],
  ["two", `a=fingerprint:sha-256 ${PRINT}\r\na=fingerprint:sha-256 ${PRINT.replace("00", "ff")}\r\n`],
  ["a weak one", "a=fingerprint:sha-1 00:01\r\n"],
  ["a short one", "a=fingerprint:sha-256 00:01\r\n"],
  ["an odd one", `a=fingerprint:sha-256 ${PRINT.replace("00", "0g")}\r\n`],
];
for (const [name, sdp] of FINGERPRINTS) {
  test(`a description with ${name} is refused`, () => assert.throws(() => fingerprintOf(sdp)));
}
