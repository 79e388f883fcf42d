/** Volumes: named disks for guests in a store on one of the machine's disks. */
import { newHandle, seedUuids } from "../../domains/uuid.ts";
import type { VolumeInfo } from "../../noxs/block-requests.ts";
import { parseVolumeName } from "../../noxs/vbd-config.ts";
import { VOLUME_STEP } from "../../noxs/volumes.ts";
import { count } from "../../../api/sizes.ts";
import { CommandError } from "../../../api/command-error.ts";
import {
  checkedText,
  volumeCheckRequest,
  volumeCreateRequest,
  volumeDeleteRequest,
  volumeFormatRequest,
  volumeListRequest,
  volumeResizeRequest,
  volumeSnapshotRequest,
} from "../../../api/requests/devices.ts";
import { handler } from "../handler.ts";
import { parseBytes } from "../../../api/sizes.ts";
import { commandOf, requestSubcommand } from "../subcommands.ts";

function kindOf({ name, snapshot, busy }: VolumeInfo): string {
  if (name === "") return "deleted";
  return snapshot ? "snapshot" : busy ? "shrinking" : "volume";
}

/** What each volume was made from, by name: a clone from a snapshot, a snapshot's volume has it before it. */
function rowsOf(volumes: VolumeInfo[]) {
  const names = new Map(volumes.map(({ disk, id, name }) => [`${disk}/${id}`, name]));
  return volumes.map((volume) => ({
    name: volume.name === "" ? null : volume.name,
    disk: volume.disk,
    kind: kindOf(volume),
    size: volume.bytes,
    used: volume.mappedBytes,
    from: volume.previous === null ? null : (names.get(`${volume.disk}/${volume.previous}`) ?? null),
    clones: volume.clones,
    readers: volume.readers,
    writers: volume.writers,
  }));
}

const sizeArgument = (text: string) => parseBytes("SIZE", text, VOLUME_STEP);
/** 16 bytes, as random as domains' UUIDs. */
const randomBytes = () => {
  seedUuids();
  return new Uint8Array(Uint32Array.from(newHandle()).buffer);
};

const nameArgument = (name: string) => parseVolumeName("volume", name);

const list = handler(volumeListRequest, async (_params, { domains }) => {
  const volumes = await domains.devices.volumes.list();
  return rowsOf(volumes.sort((a, b) => a.disk - b.disk || (a.name < b.name ? -1 : a.name > b.name ? 1 : a.id - b.id)));
});

const create = handler(volumeCreateRequest, ({ name, size, disk, ifAbsent }, { domains }) =>
  domains.devices.volumes.create(nameArgument(name), sizeArgument(size), disk ?? null, ifAbsent ?? false),
);

const remove = handler(volumeDeleteRequest, ({ name }, { domains }) =>
  domains.devices.volumes.remove(nameArgument(name)),
);

const resize = handler(volumeResizeRequest, ({ name, size }, { domains }) =>
  domains.devices.volumes.resize(nameArgument(name), sizeArgument(size)),
);

const snapshot = handler(volumeSnapshotRequest, async (params, { domains }) => {
  const [name, made] = [nameArgument(params.name), nameArgument(params.made)];
  if (name === made) throw new CommandError("the new one is to have a name of its own");
  await domains.devices.volumes.snapshot(name, made);
});

const format = handler(volumeFormatRequest, ({ disk, replaceStore, overwriteDisk }, { domains }) => {
  const loss = { store: replaceStore ?? false, disk: overwriteDisk ?? false };
  return domains.devices.volumes.format(disk, loss, randomBytes());
});

const check = handler(volumeCheckRequest, async ({ disk }, { domains }) => {
  const { problems, volumes, chunks, blocks } = await domains.devices.volumes.check(disk);
  if (problems > 0) {
    const what = checkedText({ volumes, chunks, blocks });
    throw new CommandError(`disk ${disk}: ${count(problems, "problem")}, see \`dmesg\`; ${what}`);
  }
  return { disk, volumes, chunks, blocks };
});

export const volumeCommand = commandOf(
  "volume",
  {
    list: requestSubcommand(list),
    create: requestSubcommand(create),
    delete: requestSubcommand(remove),
    resize: requestSubcommand(resize),
    snapshot: requestSubcommand(snapshot),
    format: requestSubcommand(format),
    check: requestSubcommand(check),
  },
  [
    "SIZE: such as 64M or 2G; without a unit it is MiB. DISK: its number in `disk list`",
    "--replace-store: the store that there is, with all its volumes, is lost",
    "--overwrite-disk: whatever is on a disk without partitions is lost",
    "--if-absent: do nothing when there is one of that name",
    "--json: one line of JSON, sizes in bytes",
  ],
);
