/** Chromium on networks that cut connections or let no WebSocket through, and with a real `EventSource`. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { type AddressInfo, type Socket, connect as dial, createServer } from "node:net";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { Browser } from "playwright-core";
import { LIMIT_MS, Server, launch, person, withFolder } from "./browser.js";
import { acceptDownload, complete, offerFiles, sha256 } from "./view.js";

/** What a proxy does to the WebSockets and event streams that come through it. */
interface Behaviour {
  readonly refusesUpgrade?: boolean;
  readonly holdsStreams?: boolean;
  /** Bytes from the server behind which the next WebSockets are reset, one after the other. */
  readonly cuts?: number[];
}

/** A proxy in front of a server. */
class Proxy {
  #sockets = new Set<Socket>();
  #server = createServer((near) => this.#serve(near));
  /** How often it did what it is there for. */
  interfered = 0;

  constructor(
    private readonly port: number,
    private readonly behaviour: Behaviour,
  ) {}

  async url(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/`;
  }

  /** Resets every connection that is open now. */
  cut(): void {
    for (const socket of this.#sockets) socket.resetAndDestroy();
  }

  async close(): Promise<void> {
    this.cut();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #keep(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on("error", () => socket.destroy());
    socket.on("close", () => this.#sockets.delete(socket));
  }

  #serve(near: Socket): void {
    this.#keep(near);
    let head = "";
    const read = (data: Buffer): void => {
      head += data.toString("latin1");
      if (!head.includes("\r\n\r\n")) return;
      near.off("data", read);
      near.pause();
      const upgrade = /^upgrade:/im.test(head);
      if (upgrade && this.behaviour.refusesUpgrade === true) {
        this.interfered++;
        return void near.end("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
      }
      const far = dial(this.port, "127.0.0.1");
      this.#keep(far);
      far.write(head, "latin1");
      near.pipe(far);
      far.on("close", () => near.destroy());
      near.on("close", () => far.destroy());
      if (this.behaviour.holdsStreams === true && /^GET [^ ]*\/events /.test(head)) {
        this.interfered++;
        return void far.resume();
      }
      far.pipe(near);
      const most = upgrade ? this.behaviour.cuts?.shift() : undefined;
      if (most === undefined) return;
      let passed = 0;
      far.on("data", (data) => {
        passed += data.length;
        if (passed < most) return;
        this.interfered++;
        near.resetAndDestroy();
        far.resetAndDestroy();
      });
    };
    near.on("data", read);
  }
}

describe("networks between a page and its server", { timeout: 5 * LIMIT_MS }, () => {
  let browser: Browser;
  let server: Server;
  before(async () => {
    [browser, server] = await Promise.all([launch(), Server.start()]);
  });
  after(async () => {
    await browser.close();
    await server.kill();
  });

  const port = (): number => Number(new URL(server.url).port);

  for (const [name, behaviour] of [
    ["refuses WebSockets", { refusesUpgrade: true }],
    ["refuses WebSockets and holds streams back", { refusesUpgrade: true, holdsStreams: true }],
    ["cuts WebSockets again and again", { cuts: [700, 500, 900, 400, 1200, 300, 2000] }],
  ] as const satisfies readonly (readonly [string, Behaviour])[]) {
    test(`a file gets through where the network ${name}`, () =>
      withFolder(async (folder) => {
        const file = join(folder, "file.bin");
        await writeFile(file, randomBytes(1024 * 1024));
        const copy = (): Behaviour => ("cuts" in behaviour ? { cuts: [...behaviour.cuts] } : behaviour);
        const proxies = [new Proxy(port(), copy()), new Proxy(port(), copy())] as const;
        const [there, here] = [await proxies[0].url(), await proxies[1].url()];
        const [a, b] = [await person(browser), await person(browser)];
        const link = new URL(await offerFiles(a.page, there, file));
        await b.page.goto(new URL(`/${link.hash}`, here).href);
        const got = await acceptDownload(b.page);
        await complete(a.page, b.page);
        assert.equal(await sha256(got.path), await sha256(file));
        for (const proxy of proxies) assert.ok(proxy.interfered > 0, name);
        await Promise.all([a.context.close(), b.context.close()]);
        await Promise.all(proxies.map((proxy) => proxy.close()));
      }));
  }

  test("an EventSource hears what happens in an open room, and misses nothing when it is cut", async () => {
    const proxy = new Proxy(port(), {});
    const url = await proxy.url();
    const { context, page } = await person(browser);
    await page.goto(new URL("/healthz", server.url).href);
    // A page of another origin than the proxy's.
    await page.evaluate((source) => {
      const heard: string[] = [];
      const events = new EventSource(source);
      const hear = (kind: string) => (event: MessageEvent<string>) => heard.push(`${kind} ${event.data}`);
      events.onmessage = hear("default");
      events.addEventListener("update-user-count", hear("count"));
      events.addEventListener("new-message", hear("said"));
      Object.assign(globalThis, { heard });
    }, `${url}events?room=square`);
    const heard = (count: number): Promise<string[]> =>
      page
        .waitForFunction((count) => {
          const { heard } = globalThis as unknown as { heard: string[] };
          return heard.length >= count ? heard : undefined;
        }, count)
        .then((handle) => handle.jsonValue() as Promise<string[]>);
    assert.deepEqual(await heard(1), ['count {"count":0}']);
    const other = await person(browser);
    await other.page.goto(new URL("/healthz", server.url).href);
    await other.page.evaluate(async (url) => {
      const socket = new WebSocket(url);
      await new Promise((resolve) => (socket.onopen = resolve));
      Object.assign(globalThis, { socket });
    }, new URL("/ws", server.url.replace("http", "ws")).href);
    const send = (message: object): Promise<void> =>
      other.page.evaluate((text) => (globalThis as unknown as { socket: WebSocket }).socket.send(text), JSON.stringify(message));
    await send({ type: "join", room: "square", name: "Ada" });
    assert.match((await heard(3)).join("\n"), /default {"type":"peer-joined".*Ada.*\ncount {"count":1}$/);
    await send({ type: "chat", content: "one" });
    await heard(4);
    proxy.cut();
    for (const content of ["two", "three"]) await send({ type: "chat", content });
    const all = await heard(6);
    assert.deepEqual(all.slice(3).map((event) => /^said .*"content":"(\w+)"/.exec(event)?.[1]), ["one", "two", "three"]);
    await send({ type: "leave" });
    assert.match((await heard(8)).slice(6).join("\n"), /default {"type":"peer-left".*\ncount {"count":0}$/);
    assert.equal((await heard(8)).length, 8, "nothing twice");
    await Promise.all([context.close(), other.context.close()]);
    await proxy.close();
  });

  test("a server that is restarted while a code waits: the page says so", () =>
    withFolder(async (folder) => {
      const file = join(folder, "file.bin");
      await writeFile(file, randomBytes(1024));
      const doomed = await Server.start();
      const { context, page } = await person(browser);
      await offerFiles(page, doomed.url, file);
      await doomed.kill();
      const again = await Server.start("--listen", `127.0.0.1:${new URL(doomed.url).port}`);
      await page.getByText("The server was restarted and has forgotten this code.").first().waitFor();
      await context.close();
      await again.kill();
    }));
});
