/** Calls of a page, in any browser. */
import assert from "node:assert/strict";
import { join } from "node:path";
import type { Browser, Page } from "playwright-core";
import { type Server, person, withFolder } from "../browser.js";
import { Cli, type Ended } from "../cli.js";
import { firstPicture, moves, observe, picture, probe, skew, stats, watch } from "../media.js";

export const REMOTE = ".stage > video:first-child";

const SENDING = ["--video", "test", "--audio", "test"];

/** As `person`, with its connections observed. */
export async function caller(browser: Browser): Promise<Awaited<ReturnType<typeof person>>> {
  const someone = await person(browser);
  await observe(someone.context);
  return someone;
}

export async function joinWith(page: Page, button: string): Promise<void> {
  await page.getByRole("button", { name: button }).click();
  await page.getByRole("button", { name: "Hang up" }).waitFor();
}

export const CAMERA_AND_MICROPHONE = "With camera and microphone";

export function assertCallDone(ended: Ended, reason: string): void {
  assert.equal(ended.exit, 0, JSON.stringify(ended.said.at(-1)));
  const done = ended.said.at(-1);
  assert.equal(done?.event, "call-done");
  assert.equal(done["reason"], reason);
  assert.equal(done["path"], "direct");
}

/** Pictures decoded a second, over `ms`. */
export async function decodedRate(page: Page, ms: number): Promise<number> {
  const before = await stats(page, "inbound-rtp", "video");
  await page.waitForTimeout(ms);
  const after = await stats(page, "inbound-rtp", "video");
  return (1000 * ((after["framesDecoded"] ?? 0) - (before["framesDecoded"] ?? 0))) / ms;
}

/** A terminal's picture and sound in a page, and the page's in a recording. */
export function seenAndRecorded(browser: Browser, server: Server): Promise<void> {
  return withFolder(async (folder) => {
    const recording = join(folder, "page.webm");
    const cli = new Cli("call", ...SENDING, "--record", recording, "--server", server.url);
    const { page, context, troubles } = await caller(browser);
    await page.goto(await cli.link());
    const first = await firstPicture(page, REMOTE);
    console.log(`first picture ${Math.round(first)} ms after the page was opened`);
    await joinWith(page, CAMERA_AND_MICROPHONE);
    await cli.hears("track", ({ direction, kind }) => direction === "in" && kind === "video");
    const joined = Date.now();
    const rate = await decodedRate(page, 10_000);
    console.log(`${rate} pictures a second decoded`);
    assert.ok(rate >= 25, `${rate} pictures a second`);
    const seen = await watch(page, REMOTE, 2_500);
    // The test picture is white for a moment in each second, and colourful otherwise.
    assert.ok(seen.brightest > 235, `brightest ${seen.brightest}`);
    assert.ok(seen.darkest < 180 && seen.colours > 60, JSON.stringify(seen));
    const audio = await stats(page, "inbound-rtp", "audio");
    assert.ok((audio["totalAudioEnergy"] ?? 0) > 0.001, "something is heard");
    await page.getByText(/^640 × 360 · \d+ pictures a second/).waitFor();
    await page.getByRole("button", { name: "Hang up" }).click();
    const seconds = (Date.now() - joined) / 1000;
    const ended = await cli.ends();
    assertCallDone(ended, "peer-hung-up");
    const probed = probe(recording);
    assert.deepEqual([...probed.codecs].sort(), ["opus", "vp8"]);
    assert.equal(probed.complaints, "");
    assert.ok(Math.abs(probed.seconds - seconds) < 1.5, `${probed.seconds} s of ${seconds} s`);
    const said = ended.said.find(({ event }) => event === "recorded");
    assert.ok(Math.abs(probed.seconds - Number(said?.["seconds"])) < 0.3, JSON.stringify(said));
    assert.ok(probed.frames / probed.seconds > 15, `${probed.frames} pictures in ${probed.seconds} s`);
    assert.deepEqual(troubles, []);
    await context.close();
  });
}

/** Moving pictures in a file, encoded like this. */
export interface Encoded {
  readonly codec: string;
  readonly name: string;
  readonly encoder: readonly string[];
}

/** A terminal's file of pictures is decoded by the page as it is, which asks at most so often for a key frame. */
export function passedThrough(browser: Browser, server: Server, { codec, name, encoder }: Encoded, requests: number): Promise<void> {
  return withFolder(async (folder) => {
    const path = join(folder, name);
    picture(path, 8, encoder);
    const cli = new Cli("call", "--video", path, "--audio", "none", "--server", server.url);
    const { page, context } = await caller(browser);
    await page.goto(await cli.link());
    await cli.hears("track", (said) => said["codec"] === codec && said["state"] === "started");
    await firstPicture(page, REMOTE);
    const rate = await decodedRate(page, 4_000);
    const received = await stats(page, "inbound-rtp", "video");
    assert.ok(rate >= 25, `${rate} pictures a second`);
    // One a second is in the file.
    assert.ok((received["keyFramesDecoded"] ?? 99) <= 7, `${received["keyFramesDecoded"]} key frames`);
    assert.ok((received["pliCount"] ?? 99) <= requests, `${received["pliCount"]} requests for key frames`);
    assert.equal(received["packetsLost"], 0);
    assert.ok((await watch(page, REMOTE, 500)).colours > 40);
    await page.getByRole("button", { name: "Disconnect" }).click();
    assertCallDone(await cli.ends(), "peer-hung-up");
    await context.close();
  });
}

/** Sound and pictures of a page are recorded together. */
export function recordedTogether(browser: Browser, server: Server, seconds: number): Promise<void> {
  return withFolder(async (folder) => {
    const recording = join(folder, "page.mkv");
    const cli = new Cli("call", "--video", "none", "--audio", "none", "--record", recording, "--server", server.url);
    const { page, context } = await caller(browser);
    // A camera that flashes while the microphone hears a tone, once a second.
    await context.addInitScript((most) => {
      navigator.mediaDevices.getUserMedia = () => {
        const canvas = document.createElement("canvas");
        [canvas.width, canvas.height] = [320, 180];
        const paper = canvas.getContext("2d");
        const sound = new AudioContext();
        const [oscillator, gain, out] = [sound.createOscillator(), sound.createGain(), sound.createMediaStreamDestination()];
        gain.gain.value = 0;
        oscillator.connect(gain).connect(out);
        oscillator.start();
        for (let second = 1; second < most; second++) {
          gain.gain.setValueAtTime(0.5, second);
          gain.gain.setValueAtTime(0, second + 0.1);
        }
        const draw = (): void => {
          const bright = sound.currentTime > 1 && sound.currentTime % 1 < 0.1;
          if (paper !== null) {
            paper.fillStyle = bright ? "white" : "black";
            paper.fillRect(0, 0, 320, 180);
            paper.fillStyle = `hsl(${performance.now() / 10} 80% 20%)`;
            paper.fillRect(0, 0, 40, 40);
          }
        };
        setInterval(draw, 16);
        return Promise.resolve(new MediaStream([...canvas.captureStream(30).getTracks(), ...out.stream.getTracks()]));
      };
    }, seconds + 60);
    await page.goto(await cli.link());
    await joinWith(page, CAMERA_AND_MICROPHONE);
    await cli.hears("track", ({ direction, kind }) => direction === "in" && kind === "video");
    await page.waitForTimeout(1000 * seconds);
    await page.getByRole("button", { name: "Hang up" }).click();
    assertCallDone(await cli.ends(), "peer-hung-up");
    const { late, drift } = skew(recording);
    console.log(`pictures are ${late} ms later than their sound, in the end by ${drift} ms more than at first`);
    assert.ok(Math.abs(late) < 100, `${late} ms`);
    // Clocks that drift would be minutes apart in a day; a browser's own queue of sound moves by tens of milliseconds when the machine is busy.
    assert.ok(Math.abs(drift) < 100, `${drift} ms`);
    await context.close();
  });
}

/** Either side takes its picture back and sends it again, both at once as well. */
export async function backAndForth(browser: Browser, server: Server): Promise<void> {
  const cli = Cli.talking("call", ...SENDING, "--server", server.url);
  const { page, context, troubles } = await caller(browser);
  await page.goto(await cli.link());
  await joinWith(page, CAMERA_AND_MICROPHONE);
  const nothing = page.getByText("The other side sends no picture yet.");
  const camera = page.getByRole("button", { name: "Camera", exact: true });
  const incoming = (state: string) => (said: { readonly [field: string]: unknown }) => said["direction"] === "in" && said["kind"] === "video" && said["state"] === state;
  await firstPicture(page, REMOTE);
  await cli.hears("track", incoming("started"));
  for (let round = 1; round <= 3; round++) {
    cli.say("camera off");
    await nothing.waitFor();
    cli.say("camera on");
    await nothing.waitFor({ state: "hidden" });
    await camera.click();
    await cli.heardTimes("track", 2 * round - 1, incoming("ended"));
    await camera.click();
    await cli.heardTimes("track", 2 * round, incoming("started"));
    // Both offers meet.
    cli.say("camera off");
    await camera.click();
    await nothing.waitFor();
    await cli.heardTimes("track", 2 * round, incoming("ended"));
    cli.say("camera on");
    await camera.click();
    await nothing.waitFor({ state: "hidden" });
    await cli.heardTimes("track", 2 * round + 1, incoming("started"));
  }
  assert.ok((await decodedRate(page, 2_000)) > 15);
  await page.getByRole("button", { name: "Microphone", exact: true }).click();
  await page.getByRole("button", { name: "Microphone", exact: true, pressed: false }).waitFor();
  cli.say("mute");
  await cli.hears("media", ({ kind, on }) => kind === "audio" && on === false);
  cli.say("stats");
  const told = await cli.hears("stats");
  assert.ok(Number((told["received"] as { video: { frames: number } }).video.frames) > 0);
  cli.say("hangup");
  await page.getByRole("button", { name: "Start again" }).waitFor();
  assertCallDone(await cli.ends(), "hung-up");
  assert.deepEqual(troubles, []);
  await context.close();
}

/** A page of `hosts` calls one of `guests`, which has no devices at first and watches. */
export async function pageCallsPage(hosts: Browser, guests: Browser, server: Server): Promise<void> {
  const [a, b] = [await caller(hosts), await caller(guests)];
  await a.page.goto(server.url);
  await a.page.getByRole("button", { name: "Start a call" }).click();
  const code = await a.page.locator(".code").textContent();
  await a.page.getByText(/^peer-cli call 'http/).waitFor();
  await b.page.goto(server.url);
  await b.page.getByLabel("Code or link from the other side").fill(code ?? "");
  await b.page.getByRole("button", { name: "Connect" }).click();
  await joinWith(a.page, CAMERA_AND_MICROPHONE);
  await joinWith(b.page, "Only watch and listen");
  await moves(b.page, REMOTE);
  await b.page.getByRole("button", { name: "Camera", exact: true }).click();
  await moves(a.page, REMOTE);
  await b.page.getByRole("button", { name: "Hang up" }).click();
  await a.page.getByRole("button", { name: "Start again" }).waitFor();
  assert.deepEqual([...a.troubles, ...b.troubles], []);
  await Promise.all([a.context.close(), b.context.close()]);
}

/** Two tutorial pages at `address` call each other. */
export async function tutorialCallsTutorial(one: Browser, other: Browser, address: string): Promise<void> {
  const [a, b] = [await caller(one), await caller(other)];
  await a.page.goto(address);
  await b.page.goto(address);
  await b.page.locator("#call:enabled").waitFor();
  await a.page.locator("#call:enabled").click();
  await firstPicture(a.page, "#remote");
  await firstPicture(b.page, "#remote");
  assert.deepEqual([...a.troubles, ...b.troubles], []);
  await Promise.all([a.context.close(), b.context.close()]);
}

/** A tutorial page at `address` calls a terminal in the lobby. */
export function tutorialCallsTerminal(browser: Browser, server: Server, address: string): Promise<void> {
  return withFolder(async (folder) => {
    const recording = join(folder, "tutorial.webm");
    const cli = new Cli("call", "--room", "lobby", ...SENDING, "--record", recording, "--server", server.url);
    await cli.hears("waiting");
    const { page, context, troubles } = await caller(browser);
    await page.goto(address);
    await page.locator("#call:enabled").click();
    await firstPicture(page, "#remote");
    assert.ok((await decodedRate(page, 3_000)) > 20);
    assert.ok((await watch(page, "#remote", 2_500)).brightest > 235);
    await page.waitForTimeout(3_000);
    await context.close();
    assertCallDone(await cli.ends(), "peer-hung-up");
    const probed = probe(recording);
    assert.deepEqual([...probed.codecs].sort(), ["opus", "vp8"]);
    assert.deepEqual(troubles, []);
  });
}
