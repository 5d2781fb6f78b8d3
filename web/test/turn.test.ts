/** Chromium through our TURN server, over every transport, and together with a terminal where nothing else gets through. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, test } from "node:test";
import type { Page } from "playwright-core";
import { LIMIT_MS, Server, launch, person, withFolder } from "./browser.js";
import { Cli } from "./cli.js";
import { acceptDownload, complete, sha256 } from "./view.js";

const SECRET = "what both servers of this test know";

/** Chromium verifies TURN servers like web servers; the test's own certificate is good enough for it. */
const TRUSTING = "--ignore-certificate-errors";

/** No UDP at all, not even to a TURN server. */
const NO_UDP = ["--force-webrtc-ip-handling-policy=disable_non_proxied_udp", "--webrtc-ip-handling-policy=disable_non_proxied_udp"];

/** What a session through a relay takes at most. */
const CONNECTED_MS = 3000;

/** A certificate for loopback, and its options. */
function certificate(folder: string): { chain: string; options: string[] } {
  const [chain, key] = [join(folder, "chain.pem"), join(folder, "key.pem")];
  const words = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1", "-subj", "/CN=test"];
  const names = ["-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE"];
  execFileSync("openssl", [...words, ...names, "-keyout", key, "-out", chain], { stdio: "ignore" });
  return { chain, options: ["--tls-cert", chain, "--tls-key", key] };
}

/** Two connections in one page that may use relays only: what carried a message between them. */
function relayed(page: Page, ending: string): Promise<{ message: string; types: string[]; protocols: string[] }> {
  return page.evaluate(async (wanted) => {
    const socket = new WebSocket(`${location.origin.replace("http", "ws")}/ws`);
    const joined = await new Promise<{ iceServers: RTCIceServer[] }>((resolve) => {
      socket.onopen = () => socket.send(JSON.stringify({ type: "join", create: true }));
      socket.onmessage = ({ data }) => resolve(JSON.parse(String(data)));
    });
    const iceServers = joined.iceServers.map((server) => ({ ...server, urls: [server.urls].flat().filter((url) => url.startsWith(wanted.scheme) && url.endsWith(wanted.query)) }));
    const [one, other] = [0, 1].map(() => new RTCPeerConnection({ iceServers, iceTransportPolicy: "relay" })) as [RTCPeerConnection, RTCPeerConnection];
    const types: string[] = [];
    for (const [from, to] of [[one, other], [other, one]] as const) {
      from.onicecandidate = ({ candidate }) => {
        if (candidate === null || candidate.candidate === "") return;
        types.push(String(candidate.type));
        void to.addIceCandidate(candidate);
      };
    }
    const channel = one.createDataChannel("test");
    const message = new Promise<string>((resolve) => {
      other.ondatachannel = ({ channel: incoming }) => (incoming.onmessage = ({ data }) => resolve(String(data)));
    });
    channel.onopen = () => channel.send("through the relay");
    await one.setLocalDescription();
    await other.setRemoteDescription(one.localDescription!);
    await other.setLocalDescription();
    await one.setRemoteDescription(other.localDescription!);
    const received = await message;
    const protocols: string[] = [];
    (await one.getStats()).forEach((entry: { type: string; relayProtocol?: string }) => {
      if (entry.type === "local-candidate" && entry.relayProtocol !== undefined) protocols.push(entry.relayProtocol);
    });
    one.close();
    other.close();
    socket.close();
    return { message: received, types, protocols };
  }, { scheme: ending.split("?")[0]!, query: ending.split("?")[1]! });
}

describe("Chromium and the TURN server inside", { timeout: 4 * LIMIT_MS }, () => {
  test("relays over UDP, TCP and TLS", () =>
    withFolder(async (folder) => {
      const { options } = certificate(folder);
      const server = await Server.start("--turn", "127.0.0.1:0", ...options);
      const browser = await launch(TRUSTING);
      try {
        const { page } = await person(browser);
        await page.goto(server.url);
        for (const [url, protocol] of [["turn:?transport=udp", "udp"], ["turn:?transport=tcp", "tcp"], ["turns:?transport=tcp", "tls"]] as const) {
          const { message, types, protocols } = await relayed(page, url);
          assert.equal(message, "through the relay");
          assert.deepEqual(new Set(types), new Set(["relay"]), url);
          assert.deepEqual(new Set(protocols), new Set([protocol]), url);
        }
      } finally {
        await browser.close();
        await server.kill();
      }
    }));

  test("a file from a terminal to a page where only TURN over TLS gets through", () =>
    withFolder(async (folder) => {
      const { chain, options } = certificate(folder);
      const turn = await Server.start("--turn", "127.0.0.1:0", "--turn-secret", SECRET, ...options);
      const server = await Server.start("--metrics-listen", "127.0.0.1:0", "--turn-secret", SECRET, "--turn-uri", `turns:${turn.turn}?transport=tcp`);
      const browser = await launch(TRUSTING, ...NO_UDP);
      process.env["SSL_CERT_FILE"] = chain;
      try {
        const file = join(folder, "there.bin");
        await writeFile(file, randomBytes(3 * 1024 * 1024));
        const cli = new Cli("send-file", file, "--server", server.url, "--relay-only");
        const { page, troubles } = await person(browser);
        const link = await cli.link();
        const started = performance.now();
        await page.goto(link);
        const connected = await cli.hears("connected");
        const took = performance.now() - started;
        assert.equal(connected["path"], "relayed");
        assert.equal(connected["relay"], "tls");
        await page.getByText(/Connected to a terminal · relayed/).waitFor();
        const got = await acceptDownload(page);
        await complete(page);
        assert.equal((await cli.ends()).exit, 0);
        assert.equal(await sha256(got.path), await sha256(file));
        await server.shows('peerline_paths_total{kind="relayed"}', 2);
        assert.deepEqual(troubles, []);
        console.log(`terminal and page, TURN over TLS only: connected in ${Math.round(took)} ms`);
        assert.ok(took < CONNECTED_MS, `${took} ms`);
      } finally {
        delete process.env["SSL_CERT_FILE"];
        await browser.close();
        await Promise.all([server.kill(), turn.kill()]);
      }
    }));
});
