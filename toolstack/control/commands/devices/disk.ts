/** The machine's disks. */
import { DISK_NO_STORE, DISK_STORE, DISK_STORE_BAD } from "../../../../abi/io/control-block.ts";
import { printListing, type Column, type Row } from "../listing.ts";
import { parseOptions } from "../options.ts";
import { shortSize } from "../sizes.ts";
import { commandOf } from "../subcommands.ts";

const STORES: Readonly<Record<number, string>> = {
  [DISK_NO_STORE]: "none",
  [DISK_STORE]: "good",
  [DISK_STORE_BAD]: "unusable",
};

const COLUMNS: readonly Column[] = [
  { key: "disk", title: "Disk", right: true },
  { key: "driver", title: "Driver" },
  { key: "state", title: "State" },
  { key: "size", title: "Size", right: true },
  { key: "sectorSize", title: "Sector", right: true },
  { key: "partitions", title: "Partitions", right: true },
  { key: "store", title: "Store" },
  { key: "storeSize", title: "Its size", right: true },
  { key: "free", title: "Free", right: true },
  { key: "volumes", title: "Volumes", right: true },
  { key: "reads", title: "Reads", right: true },
  { key: "writes", title: "Writes", right: true },
  { key: "errors", title: "Errors", right: true },
  { key: "resets", title: "Resets", right: true },
];

/** Sizes of a listing: for people short, in JSON in bytes. */
export function sized(bytes: number, json: boolean): string | number {
  return json ? bytes : shortSize(bytes);
}

export const diskCommand = commandOf(
  "disk",
  "the machine's disks, on which volumes and partitions are",
  {
    list: {
      usage: "[--json]",
      summary: "show them, with the requests that they were given",
      async run(words, context) {
        const { switches } = parseOptions(words, { json: {} });
        const json = switches.has("json");
        const rows: Row[] = (await context.domains.devices.volumes.disks()).map((disk) => {
          const good = disk.store === DISK_STORE;
          return {
            disk: disk.number,
            driver: disk.driver,
            state: disk.gone ? "gone" : disk.readOnly ? "read-only" : disk.secondTable ? "second table" : "ready",
            size: sized(disk.bytes, json),
            sectorSize: disk.sectorSize,
            partitions: disk.partitions,
            store: STORES[disk.store] ?? String(disk.store),
            storeSize: good ? sized(disk.storeBytes, json) : null,
            free: good ? sized(disk.freeBytes, json) : null,
            volumes: good ? disk.volumes : null,
            reads: disk.reads,
            writes: disk.writes,
            errors: disk.errors,
            resets: disk.resets,
          };
        });
        await printListing(COLUMNS, rows, json, context);
      },
    },
  },
  ["--json: one line of JSON, sizes in bytes", "`volume format DISK` makes a store for volumes on one"],
);
