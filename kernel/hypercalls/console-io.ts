/**
 * The console hypercall (xen/xen.h, CONSOLEIO_*) and debug port 0xE9. Domain 0 owns the serial line: its bytes go out as
 * they are, and it reads console input after VIRQ_CONSOLE. Guests write whole lines of printable text to the log, as
 * on a Xen built with verbose debugging.
 */
import { E2BIG, EFAULT, ENOMEM, ENOSYS, EPERM } from "../../abi/errno";
import { CONSOLEIO_read, CONSOLEIO_write } from "../../abi/xen";
import { uartPump } from "../../arch-x86/host/uart";
import { consoleRoom, consoleWrite, dmesgTakesGuests } from "../machine/dmesg";
import { copyFromGuest } from "../memory/guest-copy";
import { hypercallRestart } from "./hypercall";
import { scratch } from "../memory/scratch";
import { Vcpu } from "../records/vcpu";
import { pollTimerSet } from "../domains/vcpu-timers";
import { vcpuBlock } from "../scheduling/scheduler";
import { nowNs } from "../scheduling/time";
import { consoleByte } from "../domains/guest-log";
import { preemptNeeded } from "../records/cpu";
import { consoleInputTake } from "../events/console-input";

/** Bytes between checks of the clock. */
const COPY_BYTES: u32 = 256;
/** While the serial port is busy, time until it is checked again, ns: enough for about a hundred bytes. */
const RETRY_NS: u64 = 10000000;

/** CONSOLEIO_* for any domain: see xen/xen.h. */
export function consoleIo(v: Vcpu, cmd: u64, count: u64, buffer: u64, a4: u64, a5: u64, a6: u64): i64 {
  const privileged = v.domain.privileged != 0;
  if (!privileged && (<u32>cmd != CONSOLEIO_write || !dmesgTakesGuests())) return -EPERM;
  if (<u32>cmd == CONSOLEIO_write) return write(v, <u32>count, buffer);
  if (<u32>cmd == CONSOLEIO_read) return read(v, <u32>count, buffer);
  return -ENOSYS;
}

function write(v: Vcpu, total: u32, buffer: u64): i64 {
  const bytes = scratch(v);
  let done: u32 = 0;
  while (done < total) {
    if (done && preemptNeeded(v)) return hypercallRestart(v, CONSOLEIO_write, total - done, buffer + done, 0, 0, 0);
    let piece = min(total - done, COPY_BYTES);
    if (v.domain.privileged) {
      if (consoleRoom() < piece) uartPump();
      piece = min(piece, consoleRoom());
      if (!piece) return writeLater(v, total - done, buffer + done);
    }
    if (!copyFromGuest(v, bytes, buffer + done, piece)) return -EFAULT;
    if (v.domain.privileged) {
      consoleWrite(bytes, piece);
    } else {
      for (let i: u32 = 0; i < piece; i++) if (!consoleByte(v.domain, load<u8>(bytes + i))) return -ENOMEM;
    }
    done += piece;
  }
  return 0;
}

/** The serial port is busy: the caller sleeps until some of the queued output has been sent, and then continues. */
function writeLater(v: Vcpu, rest: u32, buffer: u64): i64 {
  const rc = hypercallRestart(v, CONSOLEIO_write, rest, buffer, 0, 0, 0);
  pollTimerSet(v, nowNs() + RETRY_NS);
  vcpuBlock(v);
  return rc;
}

function read(v: Vcpu, count: u32, buffer: u64): i64 {
  if (count > 0x7fffffff) return -E2BIG;
  const taken = consoleInputTake(v, count, buffer);
  return taken < 0 ? -EFAULT : taken;
}
