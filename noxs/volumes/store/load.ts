/** Bringing volumes of the table into memory. */
import { ENFILE } from "../../../abi/errno";
import { VolumeRecord } from "../../../abi/io/volume-format";
import { Task } from "../disks/task";
import { Store } from "./store";
import { record, recordId, tableFind, tableGet } from "./table";
import { volumeInMemory, volumeLoad } from "./volume";

/** What the last successful call returned: a Volume. */
export let loaded: usize = 0;

/** The volume with this id, in memory: 0 (`loaded`), WAIT, -ENOENT, -ENFILE too many volumes are in memory, -EIO. */
export function volumeGet(t: Task, s: Store, id: u32): i32 {
  loaded = volumeInMemory(s, id);
  if (loaded) return 0;
  let rc = tableGet(t, s, id);
  if (rc != 0) return rc;
  const previous = load<u32>(record, VolumeRecord.previous);
  let epoch: u32 = 0;
  if (previous) {
    rc = tableGet(t, s, previous - 1);
    if (rc != 0) return rc;
    epoch = load<u32>(record, VolumeRecord.epoch);
    rc = tableGet(t, s, id);
    if (rc != 0) return rc;
  }
  loaded = volumeLoad(s, id, record, epoch);
  return loaded ? 0 : -ENFILE;
}

/** The same by name; also -EINVAL. */
export function volumeFind(t: Task, s: Store, name: usize): i32 {
  const rc = tableFind(t, s, name);
  return rc == 0 ? volumeGet(t, s, recordId) : rc;
}
