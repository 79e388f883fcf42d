/** What the readers of ACPI's tables about IOMMUs share. */
import { load8 } from "../hw";

/** Whether there may be a device's registers at this physical address: a page that is neither RAM nor firmware's. */
export type RegistersOk = (pa: u64) => bool;

/** Whether the bytes of a table do not sum to 0 (ACPI 6.5, 5.2.6). */
export function checksumBad(table: u64, length: u64): bool {
  let sum: u32 = 0;
  for (let i: u64 = 0; i < length; i++) sum += load8(table + i);
  return (sum & 0xff) != 0;
}
