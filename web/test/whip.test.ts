/** Pages that publish by WHIP and play by WHEP with nothing but fetch, as any player on the web does. */
import assert from "node:assert/strict";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { after, before, describe, test } from "node:test";
import type { Browser, Page } from "playwright-core";
import { LIMIT_MS, Server, launch, person } from "./browser.js";
import { Cli } from "./cli.js";
import { firstPicture, observe, stats, watch } from "./media.js";

/** A camera and a microphone that nobody has to allow. */
const FAKE = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream", "--autoplay-policy=no-user-gesture-required"];

/** What a page keeps of its session. */
interface Session {
  connection: RTCPeerConnection;
  location: string;
  etag: string;
}

/** Publishes the camera at `url`, or plays from there into a video element; candidates trickle if `trickles`. */
function open(page: Page, url: string, { publishes, trickles = false, token }: { readonly publishes: boolean; readonly trickles?: boolean; readonly token?: string }): Promise<{ readonly status: number; readonly links: string | null }> {
  return page.evaluate(
    async ([url, publishes, trickles, token]) => {
      const connection = new RTCPeerConnection({ bundlePolicy: "max-bundle" });
      if (publishes) {
        const camera = await navigator.mediaDevices.getUserMedia({ audio: true, video: { width: 640, height: 360, frameRate: 30 } });
        for (const track of camera.getTracks()) connection.addTransceiver(track, { direction: "sendonly", streams: [camera] });
      } else {
        const video = document.createElement("video");
        const stream = new MediaStream();
        Object.assign(video, { autoplay: true, muted: true, srcObject: stream });
        document.body.replaceChildren(video);
        connection.ontrack = ({ track }) => stream.addTrack(track);
        for (const kind of ["audio", "video"]) connection.addTransceiver(kind, { direction: "recvonly" });
      }
      const found: RTCIceCandidate[] = [];
      const whole = new Promise<void>((resolve) => {
        connection.onicecandidate = ({ candidate }) => (candidate === null ? resolve() : found.push(candidate));
      });
      await connection.setLocalDescription();
      const early = connection.localDescription?.sdp ?? "";
      await whole;
      const authorization: Record<string, string> = token === undefined ? {} : { authorization: `Bearer ${token}` };
      const body = trickles ? early : connection.localDescription?.sdp ?? "";
      const made = await fetch(url, { method: "POST", body, headers: { "content-type": "application/sdp", ...authorization } });
      if (made.status !== 201) return { status: made.status, links: null };
      await connection.setRemoteDescription({ type: "answer", sdp: await made.text() });
      const location = new URL(made.headers.get("location") ?? "", url).href;
      const etag = made.headers.get("etag") ?? "";
      Object.assign(window, { session: { connection, location, etag } });
      if (trickles) {
        const [, ufrag = "", password = ""] = /a=ice-ufrag:(\S+)\s+a=ice-pwd:(\S+)/.exec(early) ?? [];
        const lines = [`a=ice-ufrag:${ufrag}`, `a=ice-pwd:${password}`, "m=audio 9 RTP/AVP 0", "a=mid:0", ...found.map(({ candidate }) => `a=${candidate}`), "a=end-of-candidates", ""];
        const headers = { "content-type": "application/trickle-ice-sdpfrag", "if-match": etag, ...authorization };
        const told = await fetch(location, { method: "PATCH", body: lines.join("\r\n"), headers });
        if (told.status !== 204) return { status: told.status, links: null };
      }
      return { status: 201, links: made.headers.get("link") };
    },
    [url, publishes, trickles, token] as const,
  );
}

/** Restarts ICE by PATCH, and waits until the connection has found a way again. */
function restart(page: Page): Promise<number> {
  return page.evaluate(async () => {
    const { session } = window as unknown as { session: Session };
    const { connection } = session;
    const connected = new Promise<void>((resolve) => {
      let began = false;
      connection.oniceconnectionstatechange = () => {
        began ||= connection.iceConnectionState === "checking";
        if (began && ["connected", "completed"].includes(connection.iceConnectionState)) resolve();
      };
    });
    const found: RTCIceCandidate[] = [];
    const whole = new Promise<void>((resolve) => {
      connection.onicecandidate = ({ candidate }) => (candidate === null ? resolve() : found.push(candidate));
    });
    connection.restartIce();
    await connection.setLocalDescription();
    await whole;
    const ours = connection.localDescription?.sdp ?? "";
    const ice = (sdp: string, name: string): string => new RegExp(`a=${name}:(\\S+)`).exec(sdp)?.[1] ?? "";
    const lines = [`a=ice-ufrag:${ice(ours, "ice-ufrag")}`, `a=ice-pwd:${ice(ours, "ice-pwd")}`, "m=audio 9 RTP/AVP 0", "a=mid:0", ...found.map(({ candidate }) => `a=${candidate}`), ""];
    const headers = { "content-type": "application/trickle-ice-sdpfrag", "if-match": "*" };
    const told = await fetch(session.location, { method: "PATCH", body: lines.join("\r\n"), headers });
    const fragment = await told.text();
    if (told.status !== 200) return told.status;
    const kept = (connection.currentRemoteDescription?.sdp ?? "")
      .split("\r\n")
      .filter((line) => !line.startsWith("a=candidate:") && line !== "a=end-of-candidates")
      .map((line) => line.replace(/^a=(ice-ufrag|ice-pwd):.*/, (_, name: string) => `a=${name}:${ice(fragment, name)}`));
    await connection.setRemoteDescription({ type: "answer", sdp: kept.join("\r\n") });
    for (const line of fragment.split("\r\n")) {
      if (line.startsWith("a=candidate:")) await connection.addIceCandidate({ candidate: line.slice(2), sdpMLineIndex: 0 });
    }
    await connected;
    return told.status;
  });
}

function close(page: Page): Promise<number> {
  return page.evaluate(async () => {
    const { session } = window as unknown as { session: Session };
    const deleted = await fetch(session.location, { method: "DELETE" });
    session.connection.close();
    return deleted.status;
  });
}

/** Pictures decoded a second, over `ms`. */
async function decodedRate(page: Page, ms: number): Promise<number> {
  const before = await stats(page, "inbound-rtp", "video");
  await page.waitForTimeout(ms);
  const after = await stats(page, "inbound-rtp", "video");
  return (1000 * ((after["framesDecoded"] ?? 0) - (before["framesDecoded"] ?? 0))) / ms;
}

describe("WHIP and WHEP", { timeout: 10 * LIMIT_MS }, () => {
  let browser: Browser;
  let server: Server;
  // Of an origin of its own, and really of this machine: browsers keep others away from its ports.
  const studio = createServer((_, response) => response.setHeader("content-type", "text/html").end("<title>studio</title>"));
  before(async () => {
    [browser, server] = await Promise.all([launch(...FAKE), Server.start(), new Promise<void>((resolve) => studio.listen(0, "127.0.0.1", resolve))]);
  });
  after(async () => {
    await browser.close();
    await server.kill();
    studio.close();
  });

  /** A page with nothing on it. */
  async function blank(): Promise<Awaited<ReturnType<typeof person>>> {
    const someone = await person(browser);
    await observe(someone.context);
    await someone.page.goto(`http://127.0.0.1:${(studio.address() as AddressInfo).port}/`);
    return someone;
  }

  test("one page publishes and another plays, with a terminal and a page of the room between them", async () => {
    const forward = new Cli("forward", "--room", "studio", "--whip-listen", "127.0.0.1:0", "--server", server.url);
    const { publish, play } = await forward.hears("whip");
    await forward.hears("waiting");
    const [camera, viewer] = [await blank(), await blank()];
    assert.equal((await open(viewer.page, String(play), { publishes: false })).status, 409);
    assert.equal((await open(camera.page, `${String(publish)}/front`, { publishes: true, trickles: true })).status, 201);
    await forward.heardTimes("track", 2, ({ state }) => state === "started");

    assert.equal((await open(viewer.page, `${String(play)}/back`, { publishes: false })).status, 409);
    assert.equal((await open(viewer.page, `${String(play)}/front`, { publishes: false })).status, 201);
    await firstPicture(viewer.page, "video");
    const seen = await watch(viewer.page, "video", 500);
    assert.ok(seen.colours > 2, JSON.stringify(seen));
    const rate = await decodedRate(viewer.page, 4_000);
    console.log(`${rate} pictures a second decoded`);
    assert.ok(rate >= 24, `${rate} pictures a second`);
    assert.ok(((await stats(viewer.page, "inbound-rtp", "audio"))["packetsReceived"] ?? 0) > 100);

    // Those who are in the room as pages and terminals see it as well.
    const terminal = new Cli("call", "--room", "studio", "--video", "none", "--audio", "none", "--duration", "3", "--server", server.url);
    const { page, context, troubles } = await person(browser);
    await page.goto(`${server.url}?room=studio`);
    await page.getByRole("button", { name: "Only watch and listen" }).click();
    await firstPicture(page, ".tile video");
    await context.close();
    const received = (await terminal.ends()).said.at(-1)?.["received"] as { readonly video: { readonly frames: number } };
    assert.ok(received.video.frames > 45, JSON.stringify(received));

    assert.equal(await restart(camera.page), 200);
    assert.equal(await restart(viewer.page), 200);
    const again = await decodedRate(viewer.page, 3_000);
    assert.ok(again >= 24, `${again} pictures a second after both restarted ICE`);
    assert.equal(await close(camera.page), 200);
    await forward.heardTimes("track", 2, ({ state }) => state === "ended");
    assert.equal(await close(viewer.page), 200);
    assert.deepEqual(troubles, []);
    await Promise.all([camera, viewer].map(({ context }) => context.close()));
    forward.interrupt();
    assert.equal((await forward.ends()).exit, 0);
  });

  test("a page of another origin needs the token", async () => {
    const forward = new Cli("forward", "--room", "guarded", "--whip-listen", "127.0.0.1:0", "--whip-token", "secret", "--server", server.url);
    const { publish } = await forward.hears("whip");
    await forward.hears("waiting");
    const { page, context } = await blank();
    assert.equal((await open(page, String(publish), { publishes: true })).status, 401);
    assert.equal((await open(page, String(publish), { publishes: true, token: "secret" })).status, 201);
    await forward.heardTimes("track", 2, ({ state }) => state === "started");
    await context.close();
    forward.interrupt();
    assert.equal((await forward.ends()).exit, 0);
  });
});
