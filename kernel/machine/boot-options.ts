/** Options on Typevisor's command line for the hypervisor itself; the others are for domain 0. */
import { BootInfo } from "../../abi/boot-info";
import { hvmEntryUnchecked } from "../../arch-x86/hvm";
import { say, sayEnd } from "../../arch-x86/log";
import { dmesgRefuseGuests } from "./dmesg";

/**
 * Applies them. Once, from `start`.
 *
 * `unchecked-entry`: registers that a toolstack or a guest sets for a vCPU are accepted even if VM entry will fail
 * with them. For tests of the diagnosis of a failed entry; without it they are refused with -EINVAL.
 *
 * `io=off`: there is no I/O domain, and so there are no devices.
 *
 * `iommu=off`: the machine's IOMMUs are left alone, and drivers are trusted with what their devices read and write.
 *
 * `guest-log=off`: guests may not write to the log, neither by CONSOLEIO_write, which then returns -EPERM as on a
 * release build of Xen, nor by port 0xE9. Default `guest-log=on`: they may, with a rate limit.
 */
export function bootOptions(boot: usize): void {
  if (isGiven(boot + BootInfo.commandLine, "guest-log=off")) dmesgRefuseGuests();
  ioRefused = isGiven(boot + BootInfo.commandLine, "io=off");
  iommuOff = isGiven(boot + BootInfo.commandLine, "iommu=off");
  if (!isGiven(boot + BootInfo.commandLine, "unchecked-entry")) return;
  hvmEntryUnchecked();
  say("unchecked-entry: vCPUs are given states that cannot be entered. This is for tests.");
  sayEnd();
}

let ioRefused: bool = false;
let iommuOff: bool = false;

/** `io=off` was given. */
export function ioDomainRefused(): bool {
  return ioRefused;
}

/** `iommu=off` was given. */
export function iommuRefused(): bool {
  return iommuOff;
}

/** Whether the NUL-terminated line at `line` contains this word, separated by blanks. */
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
