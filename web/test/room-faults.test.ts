/** Rooms in which something dies: a forwarder, or the signaling server. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { Browser, Page } from "playwright-core";
import { LIMIT_MS, Server, launch, person } from "./browser.js";
import { Cli } from "./cli.js";
import { firstPicture, observe, watch } from "./media.js";

/** A camera and a microphone that nobody has to allow. */
const FAKE = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream", "--autoplay-policy=no-user-gesture-required"];

/** Attempts to come back are up to 5 s apart. */
const AGAIN_MS = 20_000;

const TILE = ".tile video";
const DIRECTLY = /One other person is here\. Connected directly\./;
const FORWARDED = /One other person is here\. Connected through a forwarder\./;

describe("rooms in which something dies", { timeout: 10 * LIMIT_MS }, () => {
  let browser: Browser;
  let server: Server;
  before(async () => {
    [browser, server] = await Promise.all([launch(...FAKE), Server.start()]);
  });
  after(async () => {
    await browser.close();
    await server.kill();
  });

  /** Somebody in a room who sends sound and pictures. */
  async function enter(url: string, room: string): Promise<Awaited<ReturnType<typeof person>>> {
    const someone = await person(browser);
    await observe(someone.context);
    await someone.page.goto(`${url}?room=${room}`);
    await someone.page.getByRole("button", { name: "With camera and microphone" }).click();
    await someone.page.getByRole("button", { name: "Leave" }).waitFor();
    return someone;
  }

  /** Two people in a room who see each other through this forwarder, or directly. */
  async function pair(url: string, room: string, state: RegExp): Promise<Awaited<ReturnType<typeof person>>[]> {
    const both = [await enter(url, room), await enter(url, room)];
    for (const { page } of both) {
      await page.getByText(state).waitFor();
      await sees(page);
    }
    return both;
  }

  /** Pictures that arrive now, with colours in them. */
  async function sees(page: Page): Promise<void> {
    await firstPicture(page, TILE);
    assert.ok((await watch(page, TILE, 500)).colours > 2);
  }

  /** Waits until pictures are decoded on a connection that was made after `before` others. */
  async function decodesAnew(page: Page, before: number, limit: number): Promise<void> {
    await page.waitForFunction(
      async (before) => {
        const { seen } = window as unknown as { seen: RTCPeerConnection[] };
        for (const connection of seen.slice(before)) {
          const entries = [...(await connection.getStats()).values()] as Readonly<Record<string, unknown>>[];
          if (entries.some(({ type, kind, framesDecoded }) => type === "inbound-rtp" && kind === "video" && Number(framesDecoded) > 10)) return true;
        }
        return false;
      },
      before,
      { polling: 200, timeout: limit },
    );
  }

  const connections = (page: Page): Promise<number> => page.evaluate(() => (window as unknown as { seen: RTCPeerConnection[] }).seen.length);

  test("pages call each other when their forwarder was killed, and when they come while it is away", async () => {
    const forward = new Cli("forward", "--room", "killed", "--server", server.url);
    await forward.hears("waiting");
    const both = await pair(server.url, "killed", FORWARDED);
    await forward.kill();
    const killed = Date.now();
    // Whoever comes now calls those who have not noticed yet.
    const late = await enter(server.url, "killed");
    await late.page.waitForFunction(() => [...document.querySelectorAll<HTMLVideoElement>(".tile video")].filter((video) => video.videoWidth > 0).length === 2);
    console.log(`somebody who came late sees both ${Date.now() - killed} ms after the forwarder was killed`);
    for (const { page } of both) await page.getByText("2 others are here. Connected directly.").waitFor({ timeout: 30_000 - (Date.now() - killed) });
    console.log(`connected directly ${Date.now() - killed} ms after the forwarder was killed`);
    for (const { page } of both) await page.waitForFunction(() => [...document.querySelectorAll<HTMLVideoElement>(".tile video")].filter((video) => video.videoWidth > 0).length === 2);
    assert.deepEqual([...both, late].flatMap(({ troubles }) => troubles), []);
    await Promise.all([...both, late].map(({ context }) => context.close()));
  });

  test("a forwarder that was killed is followed by another one at once", async () => {
    const forward = new Cli("forward", "--room", "followed", "--server", server.url);
    await forward.hears("waiting");
    const both = await pair(server.url, "followed", FORWARDED);
    const before = await Promise.all(both.map(({ page }) => connections(page)));
    await forward.kill();
    const next = new Cli("forward", "--room", "followed", "--server", server.url);
    await next.heardTimes("track", 4, ({ state }) => state === "started");
    for (const [index, { page }] of both.entries()) {
      await decodesAnew(page, before[index] ?? 0, LIMIT_MS);
      await page.getByText(FORWARDED).waitFor();
    }
    next.interrupt();
    assert.equal((await next.ends()).exit, 0);
    for (const { page } of both) {
      await page.getByText(DIRECTLY).waitFor();
      await sees(page);
    }
    await Promise.all(both.map(({ context }) => context.close()));
  });

  /** How many of the others a page shows pictures of. */
  const shows = (page: Page, count: number): Promise<unknown> =>
    page.waitForFunction(
      (count) => {
        const videos = [...document.querySelectorAll<HTMLVideoElement>(".tile video")];
        return videos.length === count && videos.every((video) => video.videoWidth > 0 && !video.classList.contains("blank"));
      },
      count,
      { timeout: AGAIN_MS },
    );

  /** Chromium reports each connection to the server that broke, and that the server which came after it knows nothing of them. */
  const serious = (troubles: readonly string[]): string[] => troubles.filter((trouble) => !/WebSocket|ERR_|410 \(Gone\)/.test(trouble));

  test("pages outlive the server: they stay connected, and are in its room again", async () => {
    const mortal = await Server.start();
    const all = [...(await pair(mortal.url, "outlived", DIRECTLY)), await enter(mortal.url, "outlived")];
    for (const { page } of all) await shows(page, 2);
    const before = await Promise.all(all.map(({ page }) => connections(page)));
    await mortal.restart();
    const began = Date.now();
    for (const [index, { page }] of all.entries()) {
      // A new one to each of the others, and nobody twice.
      for (const first of [before[index] ?? 0, (before[index] ?? 0) + 1]) await decodesAnew(page, first, AGAIN_MS);
      await shows(page, 2);
      await page.getByText("2 others are here. Connected directly.").waitFor();
    }
    console.log(`in the room again ${Date.now() - began} ms after the server was`);
    // Who comes now finds them, and they hear who leaves.
    const late = await enter(mortal.url, "outlived");
    for (const { page } of [...all, late]) await shows(page, 3);
    await late.page.getByRole("button", { name: "Leave" }).click();
    for (const { page } of all) await shows(page, 2);
    assert.deepEqual(serious([...all, late].flatMap(({ troubles }) => troubles)), []);
    await Promise.all([...all, late].map(({ context }) => context.close()));
    await mortal.kill();
  });

  test("a forwarder and its pages outlive the server", async () => {
    const mortal = await Server.start();
    const forward = new Cli("forward", "--room", "outlived", "--server", mortal.url);
    await forward.hears("waiting");
    const both = await pair(mortal.url, "outlived", FORWARDED);
    const before = await Promise.all(both.map(({ page }) => connections(page)));
    await mortal.restart();
    await forward.heardTimes("participant", 4, ({ state }) => state === "joined");
    // It hangs up on who they were, so that nobody is there twice.
    await forward.heardTimes("participant", 2, ({ state }) => state === "left");
    for (const [index, { page }] of both.entries()) {
      await decodesAnew(page, before[index] ?? 0, AGAIN_MS);
      await shows(page, 1);
      await page.getByText(FORWARDED).waitFor();
    }
    forward.interrupt();
    assert.equal((await forward.ends()).exit, 0);
    for (const { page } of both) await page.getByText(DIRECTLY).waitFor();
    assert.deepEqual(serious(both.flatMap(({ troubles }) => troubles)), []);
    await Promise.all(both.map(({ context }) => context.close()));
    await mortal.kill();
  });
});
