/** How long something has been there, as `xl uptime` writes it. */

const two = (n: number) => String(n).padStart(2, "0");

/** "1 day,  2:03:04", " 0:00:07"; without the seconds if `short`. */
export function uptimeText(seconds: number, short = false): string {
  const days = Math.floor(seconds / 86_400);
  const hours = String(Math.floor(seconds / 3600) % 24).padStart(2);
  const clock = `${hours}:${two(Math.floor(seconds / 60) % 60)}${short ? "" : `:${two(seconds % 60)}`}`;
  return days === 0 ? clock : `${days} day${days === 1 ? "" : "s"}, ${clock}`;
}
