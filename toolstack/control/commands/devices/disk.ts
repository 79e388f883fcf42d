/** The machine's disks. */
import { DISK_NO_STORE, DISK_STORE, DISK_STORE_BAD } from "../../../../abi/io/control-block.ts";
import { diskListRequest } from "../../../api/requests/devices.ts";
import { handler } from "../handler.ts";
import { commandOf, requestSubcommand } from "../subcommands.ts";

const STORES: Readonly<Record<number, string>> = {
  [DISK_NO_STORE]: "none",
  [DISK_STORE]: "good",
  [DISK_STORE_BAD]: "unusable",
};

const list = handler(diskListRequest, async (_params, { domains }) =>
  (await domains.devices.volumes.disks()).map((disk) => {
    const good = disk.store === DISK_STORE;
    return {
      disk: disk.number,
      driver: disk.driver,
      state: disk.gone ? "gone" : disk.readOnly ? "read-only" : disk.secondTable ? "second table" : "ready",
      size: disk.bytes,
      sectorSize: disk.sectorSize,
      partitions: disk.partitions,
      store: STORES[disk.store] ?? String(disk.store),
      storeSize: good ? disk.storeBytes : null,
      free: good ? disk.freeBytes : null,
      volumes: good ? disk.volumes : null,
      reads: disk.reads,
      writes: disk.writes,
      errors: disk.errors,
      resets: disk.resets,
    };
  }),
);

export const diskCommand = commandOf("disk", { list: requestSubcommand(list) }, [
  "--json: one line of JSON, sizes in bytes",
  "`volume format DISK` makes a store for volumes on one",
]);
