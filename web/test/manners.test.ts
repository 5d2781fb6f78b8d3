/** How the page treats the person in front of it, and strangers: whose doing is whose, where the keyboard is, what is asked. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { Browser, Page } from "playwright-core";
import { LIMIT_MS, Server, launch, person, withFolder } from "./browser.js";
import { Cli, errorOf } from "./cli.js";
import { complete, offerFiles } from "./view.js";

type Person = Awaited<ReturnType<typeof person>>;

/** Enough that a transfer is still in its middle when something happens to it. */
const LARGE = 96 * 1024 * 1024;

/** What has the keyboard: its role and text, or `nothing`. */
function focused(page: Page): Promise<string> {
  return page.evaluate(() => {
    const element = document.activeElement;
    return element === null || element === document.body ? "nothing" : `${element.tagName} ${element.textContent}`;
  });
}

describe("manners of the page", { timeout: 12 * LIMIT_MS }, () => {
  let browser: Browser;
  let server: Server;
  before(async () => {
    [browser, server] = await Promise.all([launch(), Server.start()]);
  });
  after(async () => {
    await browser.close();
    await server.kill();
  });

  /** Runs `use` with a file of `size` bytes and two persons, whose pages must not have thrown. */
  const both = (size: number, use: (file: string, a: Person, b: Person) => Promise<void>) => (): Promise<void> =>
    withFolder(async (folder) => {
      const file = join(folder, "file.bin");
      await writeFile(file, randomBytes(size));
      const [a, b] = [await person(browser), await person(browser)];
      await use(file, a, b);
      await Promise.all([a.context.close(), b.context.close()]);
    });

  /** The only thing left to do is to start again: no alert, and nobody else is blamed. */
  async function endsQuietly(page: Page): Promise<void> {
    await page.getByText("Closed", { exact: true }).waitFor();
    await page.getByRole("button", { name: "Start again" }).waitFor();
    assert.equal(await page.getByRole("alert").count(), 0);
  }

  async function receiveToTheMiddle(file: string, { page }: Person): Promise<Cli> {
    const cli = new Cli("send-file", file, "--server", server.url);
    await page.goto(await cli.link());
    await page.getByRole("button", { name: "Accept" }).click();
    await cli.isInTheMiddle();
    return cli;
  }

  test("a person's own cancel is not told back as the other side's failure", both(LARGE, async (file, a) => {
    const cli = await receiveToTheMiddle(file, a);
    await a.page.getByRole("button", { name: "Cancel" }).click();
    const ended = await cli.ends();
    assert.deepEqual([ended.exit, errorOf(ended)], [4, "peer-cancelled"]);
    await endsQuietly(a.page);
    await a.page.getByText("You cancelled this transfer. Nothing of it was kept on this device.").waitFor();
  }));

  test("a person's own decline is theirs", both(10, async (file, { page }) => {
    const cli = new Cli("send-file", file, "--server", server.url);
    await page.goto(await cli.link());
    await page.getByRole("button", { name: "Decline" }).click();
    const ended = await cli.ends();
    assert.deepEqual([ended.exit, errorOf(ended)], [3, "declined"]);
    await endsQuietly(page);
    await page.getByText("You declined these files. Nothing was saved on this device.").waitFor();
    assert.equal(await page.getByText("said no").count(), 0);
  }));

  test("the sender of declined files is told once", both(10, async (file, { page }) => {
    const link = await offerFiles(page, server.url, file);
    await new Cli("receive-file", link, "--out", `${file}.out`).ends();
    await endsQuietly(page);
    await page.getByText("The other side declined these files. It says: nobody is there to accept. The other side said no. Ask them, then start again.").waitFor();
  }));

  for (const [name, leave] of [
    ["reloaded", (page: Page) => page.reload()],
    ["left", (page: Page) => page.goto("about:blank")],
  ] as const) {
    test(`a page that is ${name} in the middle says that it cancelled`, both(LARGE, async (file, a) => {
      a.page.on("dialog", (dialog) => void dialog.accept());
      const cli = await receiveToTheMiddle(file, a);
      await leave(a.page);
      const ended = await cli.ends(20_000);
      // A browser promises a page that it closes nothing: on a busy machine the goodbye may not get out.
      assert.equal(ended.exit, 4);
      assert.ok(["peer-cancelled", "peer-gone", "lost"].includes(errorOf(ended)), errorOf(ended));
    }));
  }

  test("disconnecting in the middle cancels, and both pages say so", both(LARGE, async (file, a, b) => {
    await b.page.goto(await offerFiles(a.page, server.url, file));
    await b.page.getByRole("button", { name: "Accept" }).click();
    await b.page.getByText(/ of 96\.0 MiB/).waitFor();
    await b.page.getByRole("button", { name: "Disconnect" }).click();
    await endsQuietly(b.page);
    await b.page.getByText("You cancelled this transfer.").first().waitFor();
    await a.page.getByText("The other side cancelled").first().waitFor();
    await endsQuietly(a.page);
    assert.deepEqual([...a.troubles, ...b.troubles], []);
  }));

  test("the keyboard stays with the transfer that it accepts", both(LARGE, async (file, a, b) => {
    await b.page.goto(await offerFiles(a.page, server.url, file));
    const { keyboard } = b.page;
    await b.page.getByRole("button", { name: "Accept" }).waitFor();
    assert.equal(await focused(b.page), "H2 file.bin");
    do await keyboard.press("Tab");
    while ((await focused(b.page)) !== "BUTTON Accept");
    await keyboard.press("Enter");
    await b.page.getByRole("button", { name: "Cancel" }).waitFor();
    assert.equal(await focused(b.page), "H2 file.bin");
    do await keyboard.press("Tab");
    while ((await focused(b.page)) !== "BUTTON Cancel");
    await keyboard.press("Enter");
    await b.page.getByText("You cancelled this transfer.").first().waitFor();
    assert.equal(await focused(b.page), "H2 file.bin");
    await b.page.getByRole("button", { name: "Disconnect" }).press("Enter");
    await endsQuietly(b.page);
    assert.equal(await focused(b.page), "STRONG Closed");
  }));

  test("a file dropped where nothing takes it does not leave the page", both(1000, async (file, { page, context }) => {
    await offerFiles(page, server.url, file);
    const address = page.url();
    const verdict = page.evaluate(
      () =>
        new Promise<[boolean, string | undefined]>((resolve) => {
          // Behind the page's own listeners.
          window.addEventListener("dragover", (event) => resolve([event.defaultPrevented, event.dataTransfer?.dropEffect]));
        }),
    );
    const devtools = await context.newCDPSession(page);
    const data = { items: [], files: [file], dragOperationsMask: 1 };
    for (const type of ["dragEnter", "dragOver", "drop"] as const) await devtools.send("Input.dispatchDragEvent", { type, x: 200, y: 10, data });
    assert.deepEqual(await verdict, [true, "none"]);
    assert.equal(page.url(), address);
    assert.equal(context.pages().length, 1);
    await page.getByText("Give them this code").waitFor();
  }));

  test("a second link asks first, and its code stays in no address", both(10, async (file, a, b) => {
    await b.page.goto(await offerFiles(a.page, server.url, file));
    await b.page.getByRole("button", { name: "Accept" }).waitFor();
    const other = new Cli("send-file", file, "--server", server.url);
    const hash = new URL(await other.link()).hash;
    const follow = async (link: string): Promise<void> => {
      await b.page.evaluate((link) => void (location.hash = link), link);
      await b.page.getByRole("button", { name: "Stay here" }).waitFor();
      assert.equal(new URL(b.page.url()).hash, "");
    };
    await follow("#7-crane-velvet-orbitt");
    await b.page.getByText("This link cannot be opened").waitFor();
    await follow(hash);
    assert.equal(await focused(b.page), "H2 Open this link?");
    await b.page.getByRole("button", { name: "Stay here" }).press("Enter");
    assert.equal(await focused(b.page), "H2 file.bin");
    await b.page.getByText(/Connected to a browser/).waitFor();
    await follow(hash);
    await b.page.getByRole("button", { name: "Open it" }).click();
    await b.page.getByText(/Connected to a terminal/).waitFor();
    await a.page.getByText("The other side cancelled.").first().waitFor();
    await b.page.getByRole("button", { name: "Accept" }).click();
    await complete(b.page);
    assert.equal((await other.ends()).exit, 0);
    assert.deepEqual(b.troubles, []);
  }));

  /** Somebody who enters the room of `link` and says nothing; whether it goes when the host does is up to it. */
  async function silentGuest({ page }: Person, link: string, goes: boolean): Promise<void> {
    await page.goto(server.url);
    const room = /#(\w+)-/.exec(link)?.[1];
    await page.evaluate(
      ([room, goes]) =>
        new Promise<void>((resolve) => {
          const socket = new WebSocket(new URL("ws", location.href.replace("http", "ws")));
          socket.onopen = () => socket.send(JSON.stringify({ type: "join", room, create: false }));
          socket.onmessage = ({ data }) => {
            const { type } = JSON.parse(String(data)) as { type: string };
            if (type === "joined") resolve();
            if (type === "peer-left" && goes) socket.close();
          };
        }),
      [room, goes] as const,
    );
  }

  test("a guest who shows nothing is seen, shut out, and does not cost the code", both(10, async (file, a, b) => {
    await a.page.clock.install();
    const link = await offerFiles(a.page, server.url, file);
    await silentGuest(b, link, true);
    await a.page.getByText("Somebody is in the room but has not shown the code yet…").waitFor();
    await a.page.clock.fastForward(10_000);
    await a.page.getByText("was shut out. The code is still good").waitFor();
    await b.page.goto("about:blank");
    await b.page.goto(link);
    await b.page.getByRole("button", { name: "Accept" }).click();
    await complete(a.page, b.page);
    assert.deepEqual(a.troubles, []);
  }));

  test("a guest who goes without a code is no news for long", both(10, async (file, a, b) => {
    const link = await offerFiles(a.page, server.url, file);
    await silentGuest(b, link, true);
    await b.page.goto("about:blank");
    await a.page.getByText("Somebody came and went without the code.").waitFor();
    await b.page.goto(link);
    await a.page.getByText(/Connected to a browser/).waitFor();
  }));

  test("a room that a stranger does not give back costs the code, and the person is told", both(10, async (file, a, b) => {
    let refused = 0;
    let heard = (): void => undefined;
    a.page.on("websocket", (socket) =>
      socket.on("framereceived", ({ payload }) => {
        if (!String(payload).includes("room-taken")) return;
        refused++;
        heard();
      }),
    );
    await a.page.clock.install();
    const link = await offerFiles(a.page, server.url, file);
    await silentGuest(b, link, false);
    await a.page.getByText("Somebody is in the room").waitFor();
    await a.page.clock.fastForward(10_000);
    // Asked at once, and after 1, 2, 4, 8 and 16 s.
    for (let times = 1; times <= 6; times++) {
      if (refused < times) await new Promise<void>((resolve) => (heard = resolve));
      if (times < 6) await a.page.clock.fastForward(16_000);
    }
    await a.page.getByRole("alert").getByText("Somebody took the room of this code and it cannot be had back.").waitFor();
    await a.page.getByRole("button", { name: "Make a new code" }).click();
    await a.page.getByLabel(/^Code \d/).waitFor();
    await a.page.getByText("1 file, 10 B").waitFor();
  }));

  test("a host whose server goes away hears that the code went with it", both(10, async (file, a) => {
    const doomed = await Server.start();
    await a.page.clock.install();
    await offerFiles(a.page, doomed.url, file);
    await doomed.kill();
    const told = a.page.getByRole("alert").getByText("so this code leads nowhere any more.");
    // However long the page may try to come back.
    while ((await told.count()) === 0) await a.page.clock.runFor(5_000);
    await a.page.getByRole("button", { name: "Make a new code" }).waitFor();
  }));

  test("whom the server misses while they connect is gone after ten seconds", both(10, async (file, a) => {
    // Its share and its proof arrive. What follows is its offer.
    let records = 0;
    let missed: (() => void) | undefined;
    const missing = new Promise<void>((resolve) => (missed = resolve));
    await a.page.routeWebSocket(() => true, (socket) => {
      const upstream = socket.connectToServer();
      upstream.onMessage((data) => {
        const message = JSON.parse(data.toString()) as { type: string; from: string };
        if (message.type !== "sealed" || ++records <= 2) return socket.send(data);
        socket.send(JSON.stringify({ type: "peer-away", peer: message.from }));
        missed?.();
      });
    });
    await a.page.clock.install();
    const link = await offerFiles(a.page, server.url, file);
    const cli = new Cli("receive-file", link, "--out", `${file}.out`);
    await missing;
    const told = a.page.getByRole("alert").getByText("The other side closed the connection.");
    await a.page.clock.runFor(7_000);
    assert.equal(await told.count(), 0);
    await a.page.clock.runFor(3_500);
    await told.waitFor();
    assert.equal((await cli.ends()).exit, 4);
  }));

  test("the sample in the README works, also when no file is chosen", both(10, async (file, a) => {
    const readme = await readFile(join(process.cwd(), "..", "README.md"), "utf8");
    const sample = /```html\n([^`]*peerline\.js[^`]*)```/.exec(readme)?.[1] ?? "";
    const body = sample.replace("https://line.example.org/", new URL("/", server.url).href);
    assert.notEqual(body, sample);
    // Not another origin: a browser lets no page that it was merely told of reach this machine.
    const elsewhere = new URL("sample.html", server.url).href;
    await a.page.route(elsewhere, (route) => route.fulfill({ contentType: "text/html", body: `<!doctype html><link rel="icon" href="data:," />${body}` }));
    const said: string[] = [];
    a.page.on("console", (message) => said.push(message.text()));
    await a.page.goto(elsewhere);
    const input = a.page.locator("input");
    await input.dispatchEvent("change");
    const code = a.page.waitForEvent("console", (message) => /^\d+(-[a-z]+){3} http/.test(message.text()));
    await input.setInputFiles(file);
    const [, link = ""] = (await code).text().split(" ");
    const verified = a.page.waitForEvent("console", (message) => /^verified [0-9a-f]{64}$/.test(message.text()));
    const cli = new Cli("receive-file", link, "--yes", "--out", `${file}.out`);
    await verified;
    assert.equal((await cli.ends()).exit, 0);
    assert.deepEqual(await readFile(join(`${file}.out`, "file.bin")), await readFile(file));
    // The page has no address of its own, so a browser may keep its WebSocket from this machine; requests go through.
    const heard = (lines: string[]): string[] => lines.filter((line) => !line.includes("LOCAL_NETWORK_ACCESS"));
    assert.equal(heard(said).length, 2, said.join("\n"));
    assert.deepEqual(heard(a.troubles), []);
  }));
});
