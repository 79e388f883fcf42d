/** Errors of requests to the store: their names on the wire (xs_wire.h, xsd_errors). */

export type StoreErrno =
  | "EINVAL"
  | "EACCES"
  | "EEXIST"
  | "ENOENT"
  | "ENOMEM"
  | "ENOSPC"
  | "EIO"
  | "ENOSYS"
  | "EBUSY"
  | "EAGAIN"
  | "E2BIG"
  | "EPERM";

/** A refused request. The instances below are thrown as they are: a guest's mistakes cost no new objects. */
export class StoreError extends Error {
  override name = "StoreError";

  constructor(readonly errno: StoreErrno) {
    super(errno);
  }
}

export const EINVAL = new StoreError("EINVAL");
export const EACCES = new StoreError("EACCES");
export const EEXIST = new StoreError("EEXIST");
export const ENOENT = new StoreError("ENOENT");
export const ENOMEM = new StoreError("ENOMEM");
export const ENOSPC = new StoreError("ENOSPC");
export const EIO = new StoreError("EIO");
export const ENOSYS = new StoreError("ENOSYS");
export const EBUSY = new StoreError("EBUSY");
export const EAGAIN = new StoreError("EAGAIN");
export const E2BIG = new StoreError("E2BIG");
export const EPERM = new StoreError("EPERM");
