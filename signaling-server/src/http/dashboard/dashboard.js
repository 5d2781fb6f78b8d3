// The dashboard: figures of every second over an event stream, and the rooms. Whatever comes from the
// server becomes text, never markup. The token stays in this tab.

const KEY = "peerline-admin-token";
const KEPT = 60;
const ROOMS_EVERY_MS = 3_000;
const RETRY_MS = 2_000;

const find = (id) => document.getElementById(id);
const state = find("state");
let token = sessionStorage.getItem(KEY) ?? "";
let open;

/** What is shown: a name, how to get the number from two reports, and how to write it. */
const FIGURES = [
  ["Members", (now) => now.members, whole],
  ["Rooms", (now) => now.rooms, whole],
  ["Connections", (now) => now.connections, whole],
  ["Away", (now) => now.away, whole],
  ["Joins a second", rate("joins"), whole],
  ["Pairings a second", rate("pairings"), whole],
  ["Messages a second", rate("messages"), whole],
  ["Relayed a second", rate("bytes"), bytes],
  ["Refused a second", rate("refused"), whole],
  ["Resumed a second", rate("resumes"), whole],
  ["TURN allocations", (now) => now.turnAllocations, whole],
  ["TURN a second", rate("turnBytes"), bytes],
  ["Pairings so far", (now) => now.pairings, whole],
  ["Relayed paths so far", (now) => now.pathsRelayed / (now.pathsDirect + now.pathsRelayed || 1), percent],
  ["Slow readers so far", (now) => now.slowConsumers, whole],
  ["Memory", (now) => now.residentBytes, bytes],
  ["Running for", (now) => now.uptimeSeconds, age],
];

function rate(name) {
  return (now, before, seconds) => (before === undefined ? 0 : Math.max(0, now[name] - before[name]) / seconds);
}

function whole(number) {
  return new Intl.NumberFormat(undefined, { maximumFractionDigits: number < 10 ? 1 : 0 }).format(number);
}

function percent(share) {
  return new Intl.NumberFormat(undefined, { style: "percent" }).format(share);
}

function bytes(number) {
  const units = ["B", "KB", "MB", "GB", "TB"];
  const step = number < 1 ? 0 : Math.min(units.length - 1, Math.floor(Math.log10(number) / 3));
  return `${whole(number / 1000 ** step)} ${units[step]}`;
}

function age(seconds) {
  for (const [size, unit] of [[86_400, "d"], [3_600, "h"], [60, "min"]]) {
    if (seconds >= size) return `${Math.floor(seconds / size)} ${unit}`;
  }
  return `${Math.floor(seconds)} s`;
}

function element(name, ...content) {
  const made = document.createElement(name);
  made.append(...content);
  return made;
}

const tiles = FIGURES.map(([name, read, write]) => {
  const value = element("dd", "–");
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 100 20");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("aria-hidden", "true");
  const line = document.createElementNS("http://www.w3.org/2000/svg", "polyline");
  svg.append(line);
  const tile = element("dl", element("dt", name), value, svg);
  tile.className = "figure";
  find("figures").append(tile);
  return { read, write, value, line, history: [] };
});

function show(now, before, seconds) {
  for (const { read, write, value, line, history } of tiles) {
    const number = read(now, before, seconds);
    value.textContent = write(number);
    history.push(number);
    if (history.length > KEPT) history.shift();
    const most = Math.max(...history, 1e-9);
    const points = history.map((each, index) => `${((index + KEPT - history.length) * 100) / (KEPT - 1)},${19 - (18 * each) / most}`);
    line.setAttribute("points", points.join(" "));
  }
}

function say(text, kind = "") {
  if (state.textContent === text) return;
  state.textContent = text;
  state.className = kind;
}

function ask(path, options = {}) {
  return fetch(path, { ...options, headers: { authorization: `Bearer ${token}` }, cache: "no-store" });
}

/** The figures, until the stream ends. */
async function follow(signal) {
  const response = await ask("/api/admin/figures", { signal });
  if (!response.ok) throw await refusal(response);
  find("door").hidden = true;
  find("inside").hidden = false;
  sessionStorage.setItem(KEY, token);
  void listRooms().catch(() => undefined);
  let before;
  let at = 0;
  let rest = "";
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const events = (rest + value).split("\n\n");
    rest = events.pop() ?? "";
    for (const event of events) {
      const data = event.split("\n").find((line) => line.startsWith("data: "));
      if (data === undefined) continue;
      const now = JSON.parse(data.slice(6));
      const time = performance.now();
      show(now, before, Math.max(0.2, (time - at) / 1000));
      [before, at] = [now, time];
      say(now.draining ? "Draining" : "Live", now.draining ? "lost" : "live");
      find("drain").disabled = now.draining;
    }
  }
}

async function refusal(response) {
  const answer = await response.json().catch(() => ({}));
  const error = new Error(typeof answer.message === "string" ? answer.message : `HTTP ${response.status}`);
  error.status = response.status;
  return error;
}

async function listRooms() {
  const response = await ask("/api/admin/rooms");
  if (!response.ok) return;
  const { rooms, total } = await response.json();
  find("count").textContent = rooms.length < total ? `${whole(rooms.length)} of ${whole(total)}, the youngest first` : whole(total);
  find("empty").hidden = total > 0;
  const focused = document.activeElement?.dataset?.room;
  find("rooms").replaceChildren(...rooms.slice(0, 200).map(row));
  if (focused !== undefined) [...document.querySelectorAll("button[data-room]")].find((each) => each.dataset.room === focused)?.focus();
}

function row({ room, members, away, capacity, ageSeconds }) {
  const kick = element("button", "Close");
  kick.type = "button";
  kick.dataset.room = room;
  kick.setAttribute("aria-label", `Close room ${room}`);
  kick.addEventListener("click", () => {
    if (!confirm(`Throw everybody out of room ${room}?`)) return;
    void ask("/api/admin/kick", { method: "POST", body: JSON.stringify({ room }) }).then(listRooms);
  });
  const there = `${members} of ${capacity}${away > 0 ? `, ${away} away` : ""}`;
  return element("tr", element("td", room), element("td", there), element("td", age(ageSeconds)), element("td", kick));
}

async function run(signal) {
  const rooms = setInterval(() => !find("inside").hidden && void listRooms().catch(() => undefined), ROOMS_EVERY_MS);
  signal.addEventListener("abort", () => clearInterval(rooms));
  while (!signal.aborted) {
    try {
      await follow(signal);
      say("The server ended the stream", "lost");
    } catch (error) {
      if (signal.aborted) return;
      if (error.status !== undefined) return shut(error.message);
      say("No connection to the server", "lost");
    }
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
  }
}

function shut(message = "") {
  open?.abort();
  sessionStorage.removeItem(KEY);
  token = "";
  find("trouble").textContent = message;
  find("inside").hidden = true;
  find("door").hidden = false;
  say("Not connected");
  find("token").focus();
}

function start() {
  open?.abort();
  open = new AbortController();
  find("trouble").textContent = "";
  void run(open.signal);
}

find("door").addEventListener("submit", (event) => {
  event.preventDefault();
  token = find("token").value.trim();
  find("token").value = "";
  // What a header cannot carry is no token.
  if (/^[\x20-\x7e]+$/.test(token)) start();
  else find("trouble").textContent = "This is not a token.";
});
find("leave").addEventListener("click", () => shut());
find("drain").addEventListener("click", () => {
  if (confirm("Let nobody in any more, and stop the server when everybody is gone or the grace is over?")) void ask("/api/admin/drain", { method: "POST" });
});
if (token !== "") start();
