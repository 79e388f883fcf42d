/** Volumes: named disks for guests in a store on one of the machine's disks. */
import { print } from "../../console/output.ts";
import { newHandle, seedUuids } from "../../domains/uuid.ts";
import type { VolumeInfo } from "../../noxs/block-requests.ts";
import { parseVolumeName } from "../../noxs/vbd-config.ts";
import { VOLUME_STEP } from "../../noxs/volumes.ts";
import { count } from "../../text.ts";
import { CommandError } from "../command-error.ts";
import { printListing, type Column, type Row } from "../listing.ts";
import { parseCount, parseOptions } from "../options.ts";
import { parseBytes } from "../sizes.ts";
import { commandOf } from "../subcommands.ts";
import { sized } from "./disk.ts";

const MOST_DISKS = 255;

const COLUMNS: readonly Column[] = [
  { key: "name", title: "Volume" },
  { key: "disk", title: "Disk", right: true },
  { key: "kind", title: "Kind" },
  { key: "size", title: "Size", right: true },
  { key: "used", title: "Used", right: true },
  { key: "from", title: "From" },
  { key: "clones", title: "Clones", right: true },
  { key: "readers", title: "Readers", right: true },
  { key: "writers", title: "Writers", right: true },
];

function kindOf({ name, snapshot, busy }: VolumeInfo): string {
  if (name === "") return "deleted";
  return snapshot ? "snapshot" : busy ? "shrinking" : "volume";
}

/** What each volume was made from, by name: a clone from a snapshot, a snapshot's volume has it before it. */
function rowsOf(volumes: VolumeInfo[], json: boolean): Row[] {
  const names = new Map(volumes.map(({ disk, id, name }) => [`${disk}/${id}`, name]));
  return volumes.map((volume) => ({
    name: volume.name === "" ? null : volume.name,
    disk: volume.disk,
    kind: kindOf(volume),
    size: sized(volume.bytes, json),
    used: sized(volume.mappedBytes, json),
    from: volume.previous === null ? null : (names.get(`${volume.disk}/${volume.previous}`) ?? null),
    clones: volume.clones,
    readers: volume.readers,
    writers: volume.writers,
  }));
}

const sizeArgument = (text: string) => parseBytes("SIZE", text, VOLUME_STEP);
const diskArgument = (what: string, text: string) => parseCount(what, text, 0, MOST_DISKS);
/** 16 bytes, as random as domains' UUIDs. */
const randomBytes = () => {
  seedUuids();
  return new Uint8Array(Uint32Array.from(newHandle()).buffer);
};

export const volumeCommand = commandOf(
  "volume",
  "named disks for guests, in a store on one of the machine's disks",
  {
    list: {
      usage: "[--json]",
      summary: "show them and their snapshots; used: what has space on the disk, its own or shared",
      async run(words, context) {
        const { switches } = parseOptions(words, { json: {} });
        const json = switches.has("json");
        const volumes = await context.domains.devices.volumes.list();
        volumes.sort((a, b) => a.disk - b.disk || (a.name < b.name ? -1 : a.name > b.name ? 1 : a.id - b.id));
        await printListing(COLUMNS, rowsOf(volumes, json), json, context);
      },
    },
    create: {
      usage: "NAME SIZE [--disk DISK] [--if-absent]",
      summary: "make one of zeroes, which takes space as it is written; on the first disk with a store",
      async run(words, { domains }) {
        const { rest, values, switches } = parseOptions(words, { disk: { value: "DISK" }, "if-absent": {} }, [
          "NAME",
          "SIZE",
        ]);
        const disk = values.get("disk");
        await domains.devices.volumes.create(
          parseVolumeName("volume", rest[0]!),
          sizeArgument(rest[1]!),
          disk === undefined ? null : diskArgument("--disk", disk),
          switches.has("if-absent"),
        );
      },
    },
    delete: {
      usage: "NAME",
      summary: "delete a volume or snapshot that no domain has",
      async run(words, { domains }) {
        const { rest } = parseOptions(words, {}, ["NAME"]);
        await domains.devices.volumes.remove(parseVolumeName("volume", rest[0]!));
      },
    },
    resize: {
      usage: "NAME SIZE",
      summary: "give one another size; smaller only while no domain has it: what is behind the new end is lost",
      async run(words, { domains }) {
        const { rest } = parseOptions(words, {}, ["NAME", "SIZE"]);
        await domains.devices.volumes.resize(parseVolumeName("volume", rest[0]!), sizeArgument(rest[1]!));
      },
    },
    snapshot: {
      usage: "NAME NEW",
      summary: "of a volume: keep what it is now as NEW, read-only; of a snapshot: make the volume NEW from it",
      async run(words, { domains }) {
        const { rest } = parseOptions(words, {}, ["NAME", "NEW"]);
        const [name, made] = rest.map((word) => parseVolumeName("volume", word)) as [string, string];
        if (name === made) throw new CommandError("the new one is to have a name of its own");
        await domains.devices.volumes.snapshot(name, made);
      },
    },
    format: {
      usage: "DISK [--replace-store] [--overwrite-disk]",
      summary: "make an empty store, in free space of a disk with a GPT, or on one that has nothing on it",
      async run(words, { domains }) {
        const { rest, switches } = parseOptions(words, { "replace-store": {}, "overwrite-disk": {} }, ["DISK"]);
        const loss = { store: switches.has("replace-store"), disk: switches.has("overwrite-disk") };
        await domains.devices.volumes.format(diskArgument("DISK", rest[0]!), loss, randomBytes());
      },
    },
    check: {
      usage: "DISK",
      summary: "check the store on a disk",
      async run(words, { domains }) {
        const { rest } = parseOptions(words, {}, ["DISK"]);
        const disk = diskArgument("DISK", rest[0]!);
        const { problems, volumes, chunks, blocks } = await domains.devices.volumes.check(disk);
        const what =
          `${count(volumes, "volume")} with ${count(chunks, "chunk")} of 64 KiB and ${count(blocks, "block")} of ` +
          "metadata checked";
        if (problems > 0) throw new CommandError(`disk ${disk}: ${count(problems, "problem")}, see \`dmesg\`; ${what}`);
        print(`disk ${disk}: no problem; ${what}\n`);
      },
    },
  },
  [
    "SIZE: such as 64M or 2G; without a unit it is MiB. DISK: its number in `disk list`",
    "--replace-store: the store that there is, with all its volumes, is lost",
    "--overwrite-disk: whatever is on a disk without partitions is lost",
    "--if-absent: do nothing when there is one of that name",
    "--json: one line of JSON, sizes in bytes",
  ],
);
