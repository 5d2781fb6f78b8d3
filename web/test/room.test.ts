import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { Browser, Page } from "playwright-core";
import { LIMIT_MS, Server, launch, person } from "./browser.js";
import { Cli } from "./cli.js";
import { firstPicture, observe, stats, watch } from "./media.js";

/** A camera and a microphone that nobody has to allow. */
const FAKE = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream", "--autoplay-policy=no-user-gesture-required"];

const TILE = ".tile video";
const DIRECTLY = /Connected directly\./;
const FORWARDED = /Connected through a forwarder\./;

describe("rooms", { timeout: 10 * LIMIT_MS }, () => {
  let browser: Browser;
  let server: Server;
  let folder: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "peerline-room-"));
    // The browser's own sound is a beep a second, which nobody would take for speech.
    const voice = join(folder, "voice.wav");
    execFileSync("ffmpeg", ["-y", "-v", "error", "-f", "lavfi", "-i", "sine=frequency=440:duration=10", "-af", "volume=0.8", voice]);
    [browser, server] = await Promise.all([launch(...FAKE, `--use-file-for-fake-audio-capture=${voice}`), Server.start("--metrics-listen", "127.0.0.1:0")]);
  });
  after(async () => {
    await browser.close();
    await server.kill();
    await rm(folder, { recursive: true });
  });

  /** Somebody in a room, taking part like this. */
  async function enter(room: string, how: string): Promise<Awaited<ReturnType<typeof person>>> {
    const someone = await person(browser);
    await observe(someone.context);
    await someone.page.goto(`${server.url}?room=${room}`);
    await someone.page.getByRole("button", { name: how }).click();
    await someone.page.getByRole("button", { name: "Leave" }).waitFor();
    return someone;
  }

  /** Pictures that arrive now, with colours in them. */
  async function sees(page: Page): Promise<void> {
    await firstPicture(page, TILE);
    assert.ok((await watch(page, TILE, 500)).colours > 2);
  }

  const ALL = "With camera and microphone";

  test("pages see each other directly, through a forwarder while there is one, and directly again", async () => {
    const [a, b] = [await enter("switch", ALL), await enter("switch", ALL)];
    for (const { page } of [a, b]) {
      await page.getByText(DIRECTLY).waitFor();
      await sees(page);
    }
    await server.shows('peerline_paths_total{kind="direct"}', 2);
    const cli = new Cli("forward", "--room", "switch", "--server", server.url);
    for (const { page } of [a, b]) {
      await page.getByText(FORWARDED).waitFor();
      await sees(page);
    }
    await cli.heardTimes("track", 4, ({ state }) => state === "started");
    // Everybody sends once, in several sizes.
    const layers = await a.page.evaluate(async () => {
      const seen = (window as unknown as { seen: RTCPeerConnection[] }).seen.filter(({ connectionState }) => connectionState === "connected");
      const reports = await Promise.all(seen.map((connection) => connection.getStats()));
      const all = reports.flatMap((report) => [...(report as unknown as ReadonlyMap<string, Readonly<Record<string, unknown>>>).values()]);
      return { connections: seen.length, rids: all.filter((entry) => entry["type"] === "outbound-rtp" && entry["kind"] === "video").map((entry) => String(entry["rid"])) };
    });
    assert.equal(layers.connections, 1);
    assert.deepEqual([...layers.rids].sort(), ["f", "h", "q"]);
    // Somebody comes late, and sees both.
    const late = await enter("switch", "Only watch and listen");
    const began = Date.now();
    await late.page.waitForFunction(() => [...document.querySelectorAll<HTMLVideoElement>(".tile video")].filter((video) => video.videoWidth > 0).length === 2);
    console.log(`both pictures ${Date.now() - began} ms after joining`);
    await cli.hears("speaker");
    cli.interrupt();
    const ended = await cli.ends();
    assert.equal(ended.exit, 0, JSON.stringify(ended.said.at(-1)));
    for (const { page } of [a, b]) {
      await page.getByText(DIRECTLY).waitFor();
      await sees(page);
    }
    await a.page.getByRole("button", { name: "Leave" }).click();
    await b.page.getByText(/One other person is here/).waitFor();
    assert.deepEqual([...a.troubles, ...b.troubles, ...late.troubles], []);
    await Promise.all([a, b, late].map(({ context }) => context.close()));
  });

  /** Waits until the newest connection of a page decodes pictures. */
  async function decodesAnew(page: Page, before: number): Promise<void> {
    await page.waitForFunction(
      async (before) => {
        const seen = (window as unknown as { seen: RTCPeerConnection[] }).seen;
        const newest = seen.at(-1);
        if (newest === undefined || seen.length <= before) return false;
        const entries = [...(await newest.getStats()).values()] as Readonly<Record<string, unknown>>[];
        return entries.some(({ type, kind, framesDecoded }) => type === "inbound-rtp" && kind === "video" && Number(framesDecoded) > 30);
      },
      before,
      { polling: 200 },
    );
  }

  const connections = (page: Page): Promise<number> => page.evaluate(() => (window as unknown as { seen: RTCPeerConnection[] }).seen.length);

  test("a line that broke down is connected again: with a forwarder that stood still, and with a page", async () => {
    const cli = new Cli("forward", "--room", "stalls", "--server", server.url);
    await cli.hears("waiting");
    const both = [await enter("stalls", ALL), await enter("stalls", ALL)];
    for (const { page } of both) {
      await page.getByText(FORWARDED).waitFor();
      await sees(page);
    }
    const before = await Promise.all(both.map(({ page }) => connections(page)));
    cli.freeze(true);
    for (const { page } of both) await page.waitForFunction(() => (window as unknown as { seen: RTCPeerConnection[] }).seen.some(({ connectionState }) => connectionState === "failed" || connectionState === "closed"));
    cli.freeze(false);
    const began = Date.now();
    for (const [index, { page }] of both.entries()) await decodesAnew(page, before[index] ?? 0);
    console.log(`connected again ${Date.now() - began} ms after the forwarder went on`);
    cli.interrupt();
    assert.equal((await cli.ends()).exit, 0);

    // Directly: one side loses the other, and calls anew under another certificate.
    for (const { page } of both) {
      await page.getByText(DIRECTLY).waitFor();
      await sees(page);
    }
    const direct = await Promise.all(both.map(({ page }) => connections(page)));
    await both[1]?.page.evaluate(() => {
      const lost = (window as unknown as { seen: RTCPeerConnection[] }).seen.at(-1);
      Object.defineProperty(lost, "connectionState", { value: "failed" });
      lost?.dispatchEvent(new Event("connectionstatechange"));
    });
    for (const [index, { page }] of both.entries()) await decodesAnew(page, direct[index] ?? 0);
    assert.deepEqual(both.flatMap(({ troubles }) => troubles), []);
    await Promise.all(both.map(({ context }) => context.close()));
  });

  test("a page and terminals through a forwarder", async () => {
    const cli = new Cli("forward", "--room", "mixed", "--server", server.url);
    await cli.hears("waiting");
    const sender = new Cli("call", "--room", "mixed", "--video", "test", "--audio", "test", "--server", server.url);
    await sender.hears("connected");
    const { page, context, troubles } = await enter("mixed", ALL);
    await page.getByText(FORWARDED).waitFor();
    await firstPicture(page, TILE);
    const seen = await watch(page, TILE, 2_500);
    // The test picture is white for a moment in each second, and colourful otherwise.
    assert.ok(seen.brightest > 235 && seen.darkest < 180 && seen.colours > 60, JSON.stringify(seen));
    const before = await stats(page, "inbound-rtp", "video");
    await page.waitForTimeout(4_000);
    const after = await stats(page, "inbound-rtp", "video");
    const rate = ((after["framesDecoded"] ?? 0) - (before["framesDecoded"] ?? 0)) / 4;
    console.log(`${rate} pictures a second decoded`);
    assert.ok(rate >= 24, `${rate} pictures a second`);
    await sender.hears("track", ({ direction, kind, state }) => direction === "in" && kind === "video" && state === "started");
    // The page's camera goes and comes back for the terminal.
    const camera = page.getByRole("button", { name: "Camera", exact: true });
    await camera.click();
    await sender.hears("track", ({ direction, kind, state }) => direction === "in" && kind === "video" && state === "ended");
    await camera.click();
    await sender.heardTimes("track", 2, ({ direction, kind, state }) => direction === "in" && kind === "video" && state === "started");
    assert.deepEqual(troubles, []);
    await context.close();
    sender.interrupt();
    await sender.ends();
    cli.interrupt();
    assert.equal((await cli.ends()).exit, 0);
  });
});
