/** Files that the Rust tests read too. They are found from the package, wherever the tests were bundled to. */
import { readFileSync } from "node:fs";
import { join } from "node:path";

/** Where a file of the repository is. */
export function repository(path: string): string {
  return join(process.cwd(), "..", path);
}

/** Reads JSON at `path` below the repository's root. */
export function repositoryJson<Shape>(path: string): Shape {
  return JSON.parse(readFileSync(repository(path), "utf8")) as Shape;
}
