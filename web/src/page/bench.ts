/** The card of a measurement: one row for everything that was measured, as it is measured. */
import type { Bench, Latency, Report, Side, Step } from "peerline";
import { announce } from "./announce.js";
import { foreign, h } from "./dom.js";
import { bytes } from "./format.js";

/** What matters most is first: a phone shows three of them. */
const COLUMNS = ["", "Rate", "Round trip", "9 of 10", "99 of 100", "Packets"] as const;

/** The card, for as long as the page is there. */
export class BenchView {
  readonly element: HTMLElement;
  /** Not a live region: it changes every two seconds. */
  readonly #status = h("p", { class: "status" }, "Measuring round trips while nothing is sent…");
  readonly #rows = h("tbody", {});
  readonly #trouble = h("p", { class: "trouble", role: "alert" });
  readonly #side: Side;
  #best = 0;
  #failed = false;

  constructor(bench: Bench) {
    this.#side = bench.side;
    const head = h("thead", {}, h("tr", {}, ...COLUMNS.map((name) => (name === "" ? h("td", {}) : h("th", { scope: "col" }, name)))));
    this.element = h(
      "article",
      { class: "card bench", "aria-label": "Measurement" },
      h("h2", {}, "How good this line is"),
      this.#trouble,
      this.#status,
      // A table can be wider than a phone, and then takes the keyboard to be moved.
      h("div", { class: "scrolls", tabindex: "0", role: "region", "aria-label": "What was measured" }, h("table", {}, head, this.#rows)),
      h("p", { class: "aside" }, "What is sent is made up and thrown away. ×4 is over four connections at a time; round trips were measured meanwhile."),
    );
    bench.on("step", (step) => this.#begun(step));
    bench.on("report", (report) => this.#report(report));
    bench.on("done", () => this.#done());
    bench.on("failed", ({ message, hint }) => {
      this.#failed = true;
      this.#status.textContent = "";
      this.#trouble.textContent = `${message} ${hint}`;
    });
  }

  /** Whether a failure is on the card, so that nobody else need tell it. */
  get failed(): boolean {
    return this.#failed;
  }

  #begun({ sender, lanes }: Step): void {
    const over = lanes === 1 ? "1 connection" : `${lanes} connections`;
    this.#status.textContent = `Measuring ${sender === this.#side ? "to" : "from"} the other side over ${over}…`;
  }

  #report(report: Report): void {
    if (report.what === "idle") return this.#row("idle", "", report.latency, "");
    const { sender, lanes, packet } = report;
    const name = `${sender === this.#side ? "sending" : "receiving"} ×${lanes}`;
    if (report.what === "failed") return this.#rows.append(h("tr", {}, heading(name), h("td", { colspan: "5" }, "not measured: ", foreign(report.reason))));
    // What the other side reports may take no time at all.
    const rate = (report.bytes * 1e6) / Math.max(1, report.micros);
    this.#best = Math.max(this.#best, rate);
    this.#row(name, `${bytes(rate)}/s`, report.latency, packet === 0 ? "" : `${packet} B`);
  }

  #row(name: string, rate: string, latency: Latency | undefined, packet: string): void {
    const trips = latency === undefined ? ["", "", ""] : [latency.p50, latency.p90, latency.p99].map(millis);
    this.#rows.append(h("tr", {}, heading(name), ...[rate, ...trips, packet].map((text) => h("td", {}, text))));
  }

  #done(): void {
    this.element.classList.add("good");
    const best = this.#best === 0 ? "Everything was measured." : `Everything was measured: up to ${bytes(this.#best)}/s.`;
    this.#status.textContent = best;
    announce(best);
  }
}

function heading(text: string): HTMLElement {
  return h("th", { scope: "row" }, text);
}

function millis(micros: number): string {
  return `${(micros / 1000).toFixed(1)} ms`;
}
