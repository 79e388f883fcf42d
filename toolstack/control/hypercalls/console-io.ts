/** console_io: the machine's own serial console. */
import { __HYPERVISOR_console_io, CONSOLEIO_read, CONSOLEIO_write } from "../../../abi/xen.ts";
import { checked, hypercall } from "../hypercall.ts";

/** Writes `length` bytes at `address` in the window. */
export function consoleWrite(address: number, length: number): void {
  checked("CONSOLEIO_write", hypercall(__HYPERVISOR_console_io, CONSOLEIO_write, length, address));
}

/** Reads up to `room` bytes of input to `address`; returns how many there were, possibly none. */
export function consoleRead(address: number, room: number): number {
  return checked("CONSOLEIO_read", hypercall(__HYPERVISOR_console_io, CONSOLEIO_read, room, address));
}
