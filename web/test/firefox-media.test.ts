/** Calls and rooms of pages in Firefox: with terminals, with each other, and with pages in Chromium. */
import { createServer } from "node:http";
import { readFile } from "node:fs/promises";
import type { AddressInfo } from "node:net";
import { after, before, describe, test } from "node:test";
import type { Browser } from "playwright-core";
import { LIMIT_MS, Server, launch } from "./browser.js";
import { HELLOS, launchFirefox } from "./firefox.js";
import { repository } from "./repository.js";
import { type Encoded, backAndForth, pageCallsPage, passedThrough, seenAndRecorded, tutorialCallsTerminal, tutorialCallsTutorial } from "./scenes/calls.js";
import { withTerminals } from "./scenes/rooms.js";

/** Chromium with a camera and a microphone that nobody has to allow. */
const FAKE = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream", "--autoplay-policy=no-user-gesture-required"];

for (const [name, prefs] of HELLOS) {
  describe(`calls of a terminal and Firefox with ${name}`, { timeout: 6 * LIMIT_MS }, () => {
    let browser: Browser;
    let server: Server;
    before(async () => {
      [browser, server] = await Promise.all([launchFirefox(prefs), Server.start()]);
    });
    after(async () => {
      await browser.close();
      await server.kill();
    });

    test("a terminal's picture and sound in a page, and the page's in a recording", () => seenAndRecorded(browser, server));

    test("either side takes its picture back and sends it again, both at once as well", () => backAndForth(browser, server));
  });
}

describe("calls in Firefox", { timeout: 10 * LIMIT_MS }, () => {
  let firefox: Browser;
  let chromium: Browser;
  let server: Server;
  let tutorial: string;
  const site = createServer((_, response) => {
    void readFile(repository("examples/tutorial.html")).then((html) => response.setHeader("content-type", "text/html").end(html));
  });
  before(async () => {
    await new Promise<void>((listening) => site.listen(0, "127.0.0.1", listening));
    [firefox, chromium, server] = await Promise.all([launchFirefox(), launch(...FAKE), Server.start()]);
    tutorial = `http://127.0.0.1:${(site.address() as AddressInfo).port}/?server=${encodeURIComponent(server.url.replace("http", "ws"))}`;
  });
  after(async () => {
    await Promise.all([firefox.close(), chromium.close()]);
    await server.kill();
    site.close();
  });

  // H264 takes a plugin that Firefox fetches from the network.
  const PASSED_THROUGH: readonly Encoded[] = [
    { codec: "VP9", name: "vp9.ivf", encoder: ["-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-lag-in-frames", "0"] },
    { codec: "AV1", name: "av1.ivf", encoder: ["-c:v", "libaom-av1", "-usage", "realtime", "-cpu-used", "8", "-lag-in-frames", "0"] },
  ];
  // Until the first key frame, a second at most, it asks five times a second.
  for (const encoded of PASSED_THROUGH) test(`${encoded.codec} from a file is decoded as it is`, () => passedThrough(firefox, server, encoded, 6));

  test("a page calls another", () => pageCallsPage(firefox, firefox, server));

  test("a page calls one in Chromium", () => pageCallsPage(firefox, chromium, server));

  test("a page in Chromium calls one", () => pageCallsPage(chromium, firefox, server));

  test("tutorial pages call each other", () => tutorialCallsTutorial(firefox, firefox, tutorial));

  test("a tutorial page calls one in Chromium", () => tutorialCallsTutorial(firefox, chromium, tutorial));

  test("a tutorial page calls a terminal in the lobby", () => tutorialCallsTerminal(firefox, server, tutorial));
});

describe("rooms in Firefox", { timeout: 6 * LIMIT_MS }, () => {
  let browser: Browser;
  let server: Server;
  before(async () => {
    [browser, server] = await Promise.all([launchFirefox(), Server.start()]);
  });
  after(async () => {
    await browser.close();
    await server.kill();
  });

  test("a page and terminals through a forwarder", () => withTerminals(browser, server));
});
