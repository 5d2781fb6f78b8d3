import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { Browser, Page } from "playwright-core";
import { LIMIT_MS, Server, launch } from "./browser.js";
import { Cli } from "./cli.js";
import { ALL, DIRECTLY, FORWARDED, enter, forwardedForAWhile, sees, withTerminals } from "./scenes/rooms.js";

/** A camera and a microphone that nobody has to allow. */
const FAKE = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream", "--autoplay-policy=no-user-gesture-required"];

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

  test("pages see each other directly, through a forwarder while there is one, and directly again", () => forwardedForAWhile(browser, server));

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
    const both = [await enter(browser, server, "stalls", ALL), await enter(browser, server, "stalls", ALL)];
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

  test("a page and terminals through a forwarder", () => withTerminals(browser, server));
});
