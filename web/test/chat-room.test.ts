import assert from "node:assert/strict";
import { test } from "node:test";
import { Chat, type ChatPeople, type ChatSaid, chatName } from "../src/sdk/chat/chat.js";
import { parseChatMessage } from "../src/sdk/chat/messages.js";
import { wires } from "./wires.js";

function room(names: readonly [string, string]): { host: Chat; guest: Chat } {
  const [left, right] = wires("chat", "peerline-chat/1", (message) => message);
  return { host: new Chat(left, "host", names[0]), guest: new Chat(right, "guest", names[1]) };
}

/** Everything that `chat` hears, once it has heard `count`. */
function heard(chat: Chat, count: number): Promise<readonly ChatSaid[]> {
  const all: ChatSaid[] = [];
  return new Promise((resolve) => chat.on("said", (said) => all.push(said) === count && resolve(all)));
}

/** Says `count` numbers, as fast as they are taken. */
async function count(chat: Chat, count: number): Promise<void> {
  for (let n = 0; n < count; ) {
    if (chat.say(String(n))) n += 1;
    else await chat.once("waiting");
  }
}

test("ten thousand each way arrive once and in order", async () => {
  const { host, guest } = room(["anna", "ANNA"]);
  const people = new Promise<ChatPeople>((resolve) => guest.on("people", resolve));
  const [atHost, atGuest] = [heard(host, 10_000), heard(guest, 10_000)];
  await Promise.all([count(host, 10_000), count(guest, 10_000)]);
  const expected = Array.from({ length: 10_000 }, (_, n) => String(n));
  assert.deepEqual((await atHost).map(({ text }) => text), expected);
  assert.deepEqual((await atGuest).map(({ text }) => text), expected);
  // Nobody is called as somebody else is.
  assert.deepEqual(await people, { name: "ANNA-2", others: ["anna"] });
});

test("what was said before somebody came is old, and names change", async () => {
  const [left, right] = wires("chat", "peerline-chat/1", (message) => message);
  const host = new Chat(left, "host", "h");
  host.say("early", "action");
  const guest = new Chat(right, "guest", "g");
  const [said] = await heard(guest, 1);
  assert.deepEqual([said?.text, said?.kind, said?.old, said?.name], ["early", "action", true, "h"]);
  const renamed = new Promise<ChatPeople>((resolve) => host.on("people", ({ others, name }) => others.includes("x y") && resolve({ others, name })));
  guest.rename("  x\ty ");
  assert.deepEqual(await renamed, { name: "h", others: ["x y"] });
});

const SAY = '{"type":"say","n":1,"at":0,"text":"x"}';
const ENTER = '{"type":"enter","key":"AAECAwQFBgcICQoLDA0ODw","name":"x"}';
const HOSTILE: readonly [string, readonly string[]][] = [
  ["not JSON", ["{"]],
  ["no object", ["[]"]],
  ["no enter", [SAY]],
  ["a short key", ['{"type":"enter","key":"AA","name":"x"}']],
  ["a key that is no base64url", ['{"type":"enter","key":"§","name":"x"}']],
  ["twice", [ENTER, ENTER]],
  ["a gap", [ENTER, SAY.replace('"n":1', '"n":2')]],
  ["again", [ENTER, SAY, SAY]],
  ["as the host", [ENTER, '{"type":"people","people":[]}']],
  ["took what was not sent", [ENTER, '{"type":"ack","n":1}']],
  ["too long", [ENTER, JSON.stringify({ type: "say", n: 1, at: 0, text: "é".repeat(4097) })]],
  ["too many at once", [ENTER, ...Array.from({ length: 65 }, (_, i) => SAY.replace('"n":1', `"n":${i + 1}`))]],
];
for (const [what, messages] of HOSTILE) {
  test(`a guest that breaks the rules is hung up on: ${what}`, async () => {
    const [left, right] = wires("chat", "peerline-chat/1", (message) => message);
    const host = new Chat(left, "host", "h");
    const closed = host.once("closed");
    for (const message of messages) right.send(message);
    await closed;
  });
}

test("what is newer is understood as far as it goes", () => {
  assert.deepEqual(parseChatMessage('{"type":"typing"}'), { type: "unknown" });
  assert.deepEqual(parseChatMessage('{"type":"say","n":1,"at":5,"kind":"poem","text":"x","more":1}'), { type: "say", n: 1, at: 5, kind: "text", text: "x" });
});

test("a name is one line that can be shown", () => {
  for (const [text, name] of [
    ["  two \n words ", "two words"],
    ["", "somebody"],
    ["a\u001b[2J", "a\\u{1b}[2J"],
    ["exe\u202egpj", "exe\\u{202e}gpj"],
  ] as const) {
    assert.equal(chatName(text), name);
  }
  assert.equal(Array.from(chatName("é".repeat(100))).length, 32);
});
