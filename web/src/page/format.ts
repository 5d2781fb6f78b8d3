/** Numbers as people read them, in the words that `peer-cli` uses (peer-cli/src/ui/size.rs). */

const UNITS = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"] as const;

/** A number of bytes in binary units with one decimal: `812 B`, `1.5 KiB`, `3.0 GiB`. */
export function bytes(count: number): string {
  if (count < 1024) return `${Math.floor(count)} B`;
  let value = count / 1024;
  let unit = 0;
  // 1023.95 would be shown as 1024.0: the next unit starts where rounding does.
  for (; value >= 1023.95 && unit + 1 < UNITS.length; unit++) value /= 1024;
  return `${value.toFixed(1)} ${UNITS[unit] ?? ""}`;
}

/** `3 files` */
export function files(count: number): string {
  return count === 1 ? "1 file" : `${count.toLocaleString("en")} files`;
}

/** A time span with the two units that matter: `0.4 s`, `12 s`, `2 min 5 s`, `3 h 20 min`, `2 d 1 h`. */
export function duration(seconds: number): string {
  const tenths = Math.round(seconds * 10);
  if (tenths < 100) return `${(tenths / 10).toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  if (whole < 86_400) return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
  return `${Math.floor(whole / 86_400)} d ${Math.floor((whole % 86_400) / 3600)} h`;
}

/** Time left in whole seconds, so that it does not flicker. */
export function remaining(seconds: number): string {
  return `${duration(Math.max(1, Math.ceil(seconds))).replace(".0 ", " ")} left`;
}
