/** Why what a vbd is to be on, or a volume, is not there, in words that say what to do. */
import { DISK_NO_STORE, DISK_STORE } from "../../../abi/io/control-block.ts";
import { BuildError } from "../builder/build-error.ts";
import { listDisks } from "./block-requests.ts";
import type { IoRequests } from "./io-requests.ts";
import type { VbdTarget } from "./vbd-config.ts";

export const NO_DISK = "the machine has no disk (`npm start -- --disk FILE:SIZE` gives it one)";
const NO_STORE = "no disk has a store for volumes: `disk list` shows the disks, `volume format DISK` makes a store";

/** Why a target that was asked for is not there, and what to do. */
export async function targetAbsent(io: IoRequests, { kind, name }: VbdTarget): Promise<BuildError> {
  if (kind === "volume") return new BuildError(await volumeAbsent(io, name));
  // Where the disks were looked at, the I/O domain has said more.
  if (kind === "part" || kind === "file") {
    const disks = await listDisks(io);
    return new BuildError(
      disks.length === 0
        ? NO_DISK
        : `no disk has ${kind === "part" ? `a partition with the label "${name}"` : `a file "${name}"`}`,
    );
  }
  return new BuildError(`there is no ${kind}:${name}`);
}

export async function volumeAbsent(io: IoRequests, name: string): Promise<string> {
  return (
    (await storeAbsent(io)) ??
    `there is no volume "${name}"; \`volume list\` shows them, \`volume create ${name} SIZE\` makes it`
  );
}

/** Why no volume can be made at all; null where one can. */
export async function storeAbsent(io: IoRequests): Promise<string | null> {
  const disks = await listDisks(io);
  if (disks.length === 0) return NO_DISK;
  if (disks.some(({ store }) => store === DISK_STORE)) return null;
  const bad = disks.filter(({ store }) => store !== DISK_NO_STORE).map(({ number }) => number);
  if (bad.length === 0) return NO_STORE;
  return (
    `the store on disk ${bad.join(", ")} cannot be used, \`dmesg\` has the reason; ` +
    `\`volume format ${bad[0]} --replace-store\` makes a new one, and what is in it is lost`
  );
}
