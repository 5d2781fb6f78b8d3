/** Rooms of pages and terminals, in any browser. */
import assert from "node:assert/strict";
import type { Browser, Page } from "playwright-core";
import { type Server, person } from "../browser.js";
import { Cli } from "../cli.js";
import { firstPicture, observe, stats, watch } from "../media.js";

const TILE = ".tile video";
export const DIRECTLY = /Connected directly\./;
export const FORWARDED = /Connected through a forwarder\./;

/** Somebody in a room, taking part like this. */
export async function enter(browser: Browser, server: Server, room: string, how: string): Promise<Awaited<ReturnType<typeof person>>> {
  const someone = await person(browser);
  await observe(someone.context);
  await someone.page.goto(`${server.url}?room=${room}`);
  await someone.page.getByRole("button", { name: how }).click();
  await someone.page.getByRole("button", { name: "Leave" }).waitFor();
  return someone;
}

/** Pictures that arrive now, with colours in them. */
export async function sees(page: Page): Promise<void> {
  await firstPicture(page, TILE);
  assert.ok((await watch(page, TILE, 500)).colours > 2);
}

export const ALL = "With camera and microphone";

/** Pages see each other directly, through a forwarder while there is one, and directly again. */
export async function forwardedForAWhile(browser: Browser, server: Server): Promise<void> {
  const [a, b] = [await enter(browser, server, "switch", ALL), await enter(browser, server, "switch", ALL)];
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
  const late = await enter(browser, server, "switch", "Only watch and listen");
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
}

/** A page and terminals through a forwarder. */
export async function withTerminals(browser: Browser, server: Server): Promise<void> {
  const cli = new Cli("forward", "--room", "mixed", "--server", server.url);
  await cli.hears("waiting");
  const sender = new Cli("call", "--room", "mixed", "--video", "test", "--audio", "test", "--server", server.url);
  await sender.hears("connected");
  const { page, context, troubles } = await enter(browser, server, "mixed", ALL);
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
}
