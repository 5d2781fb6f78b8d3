/** A stock Firefox, driven through WebDriver BiDi: pages of it are used as those of Chromium are. */
import assert from "node:assert/strict";
import { type Browser, firefox } from "playwright-core";
import { LIMIT_MS } from "./browser.js";

/** Preferences of Firefox, by name. */
export type Prefs = Readonly<Record<string, string | number | boolean>>;

/** A name of this machine that it trusts no more than others: such pages have neither WebCrypto nor storage. */
export const LAN_NAME = "lan.test";

/** Its cameras and microphones are made up, and nobody has to allow them; addresses of this machine are used. */
const PREFS: Prefs = {
  "media.peerconnection.ice.loopback": true,
  "media.navigator.streams.fake": true,
  "media.navigator.permission.disabled": true,
  "media.autoplay.default": 0,
  "network.dns.localDomains": LAN_NAME,
};

/** Candidates with the addresses of this machine, which pages otherwise hide. */
export const VISIBLE: Prefs = { "media.peerconnection.ice.obfuscate_host_addresses": false };

const hello = (isLong: boolean): Prefs => ({ "media.webrtc.enable_pq_hybrid_kex": isLong, "media.webrtc.send_mlkem_keyshare": isLong });

/** Whether it offers a key exchange that quantum computers do not break: its DTLS hello then takes two datagrams. */
export const HELLOS: readonly [string, Prefs][] = [
  ["a long hello", hello(true)],
  ["a short hello", hello(false)],
];

/** A message of WebDriver BiDi. */
interface Message {
  readonly id?: number;
  readonly method?: string;
  readonly type?: string;
  readonly params?: Readonly<Record<string, unknown>>;
  readonly result?: object;
}

/** What is used of the driver's inside: there is no public way to what it says to the browser. */
interface Transport {
  send(message: Message): void;
  onmessage?: (message: Message) => void;
}

function transportOf(browser: Browser): Transport {
  const outside = browser as unknown as { _connection?: { toImpl?: (outside: Browser) => { _connection?: { _transport?: Transport } } } };
  const transport = outside._connection?.toImpl?.(browser)._connection?._transport;
  assert.ok(transport?.onmessage !== undefined, "this version of playwright-core has its transport where 1.65 has it");
  return transport;
}

/**
 * Makes up for what the driver expects of a Firefox that is newer than 153, the long-lived release that Debian has:
 * that one can be told which colours a page prefers, and names each download.
 */
function adapt(browser: Browser): void {
  const transport = transportOf(browser);
  const [send, hear] = [transport.send.bind(transport), transport.onmessage?.bind(transport)];
  transport.send = (message) => {
    // The driver says so before it opens a page, and nothing here depends on it.
    if (message.method !== "emulation.setMediaFeaturesOverride") return send(message);
    queueMicrotask(() => hear?.({ ...message, type: "success", result: {} }));
  };
  transport.onmessage = (message) => {
    const { method, params } = message;
    const isDownload = method === "browsingContext.downloadWillBegin" || method === "browsingContext.downloadEnd";
    // An address is a name: what pages here save are Blobs, each with an address of its own.
    hear?.(isDownload ? { ...message, params: { ...params, download: params?.["download"] ?? params?.["navigation"] ?? params?.["url"] } } : message);
  };
}

/** Starts the Firefox that `FIREFOX` names, or Debian's, with `prefs` in addition to the usual ones. */
export async function launchFirefox(prefs: Prefs = {}): Promise<Browser> {
  const executablePath = process.env["FIREFOX"] ?? "/usr/bin/firefox-esr";
  const browser = await firefox.launch({ channel: "moz-firefox", executablePath, firefoxUserPrefs: { ...PREFS, ...prefs }, timeout: LIMIT_MS });
  adapt(browser);
  return browser;
}
