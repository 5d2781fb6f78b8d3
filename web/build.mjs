// The whole build: `page` makes dist/ (SDK and page), `unit`, `browser` and `firefox` make the tests runnable, and
// `bench` the measurement of a page.
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const { version } = JSON.parse(readFileSync(here("package.json"), "utf8"));

const shared = {
  bundle: true,
  format: "esm",
  target: "es2022",
  charset: "utf8",
  legalComments: "none",
  logLevel: "warning",
  define: { PEERLINE_VERSION: JSON.stringify(version) },
};

/** The page loads the SDK as its own module, as any other page would, so it is shipped once. */
const sdkOutside = {
  name: "sdk-outside",
  setup(build) {
    build.onResolve({ filter: /^peerline$/ }, () => ({ path: "./peerline.js", external: true }));
  },
};

async function page() {
  rmSync(here("dist"), { recursive: true, force: true });
  mkdirSync(here("dist"), { recursive: true });
  const minified = { ...shared, minify: true };
  await build({ ...minified, entryPoints: [here("src/sdk/index.ts")], outfile: here("dist/peerline.js") });
  await build({ ...minified, entryPoints: [here("src/page/app.ts")], outfile: here("dist/app.js"), plugins: [sdkOutside] });
  await build({ ...minified, entryPoints: [here("src/page/style.css")], outfile: here("dist/style.css") });
  for (const file of ["index.html", "icon.svg"]) cpSync(here(`src/page/${file}`), here(`dist/${file}`));
  for (const name of readdirSync(here("dist"))) console.log(`dist/${name} ${statSync(here(`dist/${name}`)).size}`);
}

/** Tests that need Chromium and the binaries. */
const BROWSER_TESTS = ["access.test.ts", "bench.test.ts", "call.test.ts", "chat.test.ts", "cli.test.ts", "manners.test.ts", "outage.test.ts", "page.test.ts", "pipe.test.ts", "room-faults.test.ts", "room.test.ts", "signaling.test.ts", "turn.test.ts", "whip.test.ts"];

/** Tests that need Firefox as well. */
const FIREFOX_TESTS = ["firefox-files.test.ts", "firefox-media.test.ts"];

/** Bundled tests live among the installed packages: whoever watches this folder for changes looks past them. */
async function forNode(folder, entryPoints) {
  const out = here(`node_modules/.cache/peerline/${folder}`);
  rmSync(out, { recursive: true, force: true });
  await build({ ...shared, entryPoints, outdir: out, platform: "node", target: "node20", packages: "external", sourcemap: "inline", outExtension: { ".js": ".mjs" } });
}

/** The folder of a test: `unit` unless it needs a browser. */
const kindOf = (name) => (BROWSER_TESTS.includes(name) ? "browser" : FIREFOX_TESTS.includes(name) ? "firefox" : "unit");

const tests = (folder) =>
  forNode(
    folder,
    readdirSync(here("test"))
      .filter((name) => name.endsWith(".test.ts") && kindOf(name) === folder)
      .map((name) => here(`test/${name}`)),
  );

const targets = { page, unit: () => tests("unit"), browser: () => tests("browser"), firefox: () => tests("firefox"), bench: () => forNode("bench", [here("bench/page.ts")]) };
const target = targets[process.argv[2]];
if (target === undefined) {
  console.error(`usage: node build.mjs ${Object.keys(targets).join("|")}`);
  process.exit(2);
}
await target();
