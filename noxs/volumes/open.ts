/** Giving volumes to clients. */
import { EBUSY, ENOENT, EROFS } from "../../abi/errno";
import { VOLUME_DELETING, VOLUME_SNAPSHOT, VOLUME_TRIMMING } from "../../abi/io/volume-format";
import { Task } from "./disks/task";
import { loaded, volumeFind } from "./store/load";
import { Store } from "./store/store";
import { Volume, volumeInUse } from "./store/volume";
import { volumeDevice } from "./volume-io";

/** What volumeOpen has opened. */
export let opened: usize = 0;

/**
 * Gives a volume to a client. Many may read it, or one may write it.
 * @returns 0: `opened`, a Volume, which is a BlockDevice; WAIT; -ENOENT; -EBUSY it is in use, or being made smaller; -EROFS it is a
 * snapshot, or the store is read-only; -EINVAL not a name; -ENFILE too many volumes are in memory; -EIO
 */
export function volumeOpen(t: Task, s: Store, name: usize, write: bool): i32 {
  const rc = volumeFind(t, s, name);
  if (rc != 0) return rc;
  const v = changetype<Volume>(loaded);
  if (v.flags & VOLUME_DELETING) return -ENOENT;
  if (v.operation) return -EBUSY;
  if (write) {
    if (v.flags & VOLUME_SNAPSHOT || s.readOnly) return -EROFS;
    if (volumeInUse(v) || v.flags & VOLUME_TRIMMING) return -EBUSY;
    v.writers = 1;
  } else {
    if (v.writers != 0) return -EBUSY;
    v.readers++;
  }
  volumeDevice(v);
  opened = loaded;
  return 0;
}

/** A client needs the volume no more; its requests are done. */
export function volumeClose(v: Volume, write: bool): void {
  if (write) v.writers = 0;
  else v.readers--;
}
