/** Words of Typevisor's command line that the hypervisor itself obeys; the others are domain 0's. */
import { BootInfo } from "../../abi/boot-info";
import { hvmEntryUnchecked } from "../../arch-x86/hvm";
import { say, sayEnd } from "../../arch-x86/log";
import { dmesgRefuseGuests } from "./dmesg";

/**
 * Obeys them. Once, from `start`.
 *
 * `unchecked-entry`: registers that a toolstack or a guest gives a vCPU are taken although the processor will refuse to
 * enter them. For tests of what is said then; without it they are refused with -EINVAL.
 *
 * `guest-log=off`: guests may not write into the log, neither by CONSOLEIO_write, which is then refused with -EPERM as on a
 * release build of Xen, nor by port 0xE9. Default `guest-log=on`: they may, a number of lines a second.
 */
export function bootOptions(boot: usize): void {
  if (isGiven(boot + BootInfo.commandLine, "guest-log=off")) dmesgRefuseGuests();
  if (!isGiven(boot + BootInfo.commandLine, "unchecked-entry")) return;
  hvmEntryUnchecked();
  say("unchecked-entry: vCPUs are given states that cannot be entered. This is for tests.");
  sayEnd();
}

/** Whether the NUL-terminated line at `line` has this word between blanks. */
function isGiven(line: usize, word: string): bool {
  let at: usize = line;
  while (true) {
    while (load<u8>(at) == 0x20) at++;
    if (!load<u8>(at)) return false;
    let length = 0;
    let same = true;
    for (; load<u8>(at + length) && load<u8>(at + length) != 0x20; length++) {
      if (length >= word.length || load<u8>(at + length) != <u8>word.charCodeAt(length)) same = false;
    }
    if (same && length == word.length) return true;
    at += length;
  }
}
