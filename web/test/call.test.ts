import { createServer } from "node:http";
import { readFile } from "node:fs/promises";
import type { AddressInfo } from "node:net";
import { after, before, describe, test } from "node:test";
import type { Browser } from "playwright-core";
import { LIMIT_MS, Server, launch } from "./browser.js";
import { type Encoded, backAndForth, pageCallsPage, passedThrough, recordedTogether, seenAndRecorded, tutorialCallsTerminal, tutorialCallsTutorial } from "./scenes/calls.js";
import { repository } from "./repository.js";

/** A camera and a microphone that nobody has to allow. */
const FAKE = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream", "--autoplay-policy=no-user-gesture-required"];

/** How long the call is whose recording is listened to: docs/testing.md names a longer one. */
const SECONDS = Number(process.env["PEERLINE_CALL_SECONDS"] ?? 8);

describe("calls", { timeout: 10 * LIMIT_MS + 1000 * SECONDS }, () => {
  let browser: Browser;
  let server: Server;
  before(async () => {
    [browser, server] = await Promise.all([launch(...FAKE), Server.start()]);
  });
  after(async () => {
    await browser.close();
    await server.kill();
  });

  test("a terminal's picture and sound in a page, and the page's in a recording", () => seenAndRecorded(browser, server));

  const PASSED_THROUGH: readonly Encoded[] = [
    { codec: "VP9", name: "vp9.ivf", encoder: ["-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-lag-in-frames", "0"] },
    { codec: "H264", name: "h264.h264", encoder: ["-c:v", "libx264", "-profile:v", "baseline", "-preset", "ultrafast", "-f", "h264"] },
    { codec: "AV1", name: "av1.ivf", encoder: ["-c:v", "libaom-av1", "-usage", "realtime", "-cpu-used", "8", "-lag-in-frames", "0"] },
  ];
  for (const encoded of PASSED_THROUGH) test(`${encoded.codec} from a file is decoded as it is`, () => passedThrough(browser, server, encoded, 2));

  test("sound and pictures of a page are recorded together", () => recordedTogether(browser, server, SECONDS));

  test("either side takes its picture back and sends it again, both at once as well", () => backAndForth(browser, server));

  test("a page that has no devices watches, and a page calls another", () => pageCallsPage(browser, browser, server));
});

describe("tutorial pages", { timeout: 4 * LIMIT_MS }, () => {
  let browser: Browser;
  let server: Server;
  let address: string;
  const site = createServer((_, response) => {
    void readFile(repository("examples/tutorial.html")).then((html) => response.setHeader("content-type", "text/html").end(html));
  });
  before(async () => {
    await new Promise<void>((listening) => site.listen(0, "127.0.0.1", listening));
    const origin = `http://127.0.0.1:${(site.address() as AddressInfo).port}`;
    [browser, server] = await Promise.all([launch(...FAKE), Server.start()]);
    address = `${origin}/?server=${encodeURIComponent(server.url.replace("http", "ws"))}`;
  });
  after(async () => {
    await browser.close();
    await server.kill();
    site.close();
  });

  test("two of them call each other", () => tutorialCallsTutorial(browser, browser, address));

  test("one calls a terminal in the lobby", () => tutorialCallsTerminal(browser, server, address));
});
