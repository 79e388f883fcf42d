/** An access of a device's that an IOMMU refused. */
@unmanaged
export class Fault {
  /** The device: bus << 8 | device << 3 | function. */
  requester: u32;
  /** FAULT_*. */
  kind: u32;
  /** Where to, in the device's address space: its page at least. */
  address: u64;
  /** 1: it would have written. */
  write: u32;
  /** The unit's own word for it. */
  reason: u32;
}

/** The device may reach nothing. */
export const FAULT_DEVICE: u32 = 0;
/** Not this address, or not for writing. */
export const FAULT_ADDRESS: u32 = 1;
/** Something else: `reason`. */
export const FAULT_OTHER: u32 = 2;
