/** Devices of a description as domain 0 reads them: the settings of `create --vif` and `--vbd`. */
import type { VbdDescription, VifDescription } from "./description.ts";

function joined(settings: Record<string, string | undefined>): string {
  return Object.entries(settings)
    .filter(([, value]) => value !== undefined)
    .map(([key, value]) => `${key}=${value}`)
    .join(",");
}

/** `mac=00:16:3e:12:34:56,bridge=xenbr0`; empty when nothing is given. */
export function vifSettings({ mac, ip, bridge, rate, model }: VifDescription): string {
  const limit = rate === undefined ? undefined : `${bytes(rate.bytesPerSecond)}/s@${rate.intervalUs}us`;
  return joined({ mac, ip, bridge, rate: limit, model });
}

/** In the largest unit that leaves a whole number: domain 0 reads 12 digits. */
function bytes(count: number): string {
  if (count % 1e9 === 0) return `${count / 1e9}GB`;
  return count % 1e6 === 0 ? `${count / 1e6}MB` : `${count}B`;
}

/** `target=volume:data,vdev=xvda,access=w`. */
export function vbdSettings({ target, vdev, access, model }: VbdDescription): string {
  // Without a unit a size would be MiB.
  const name = target.kind === "ram" ? `${target.name}B` : target.name;
  return joined({ target: `${target.kind}:${name}`, vdev, access, model });
}
