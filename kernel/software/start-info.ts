/**
 * A software-isolated domain's hvm_start_info (xen/arch-x86/hvm/start_info.h): Typevisor's command line, ACPI's root pointer
 * and, for domain 0, the boot modules. Layout and meaning of the fields are the same as for a PVH guest, so that the
 * control plane reads the same information as any PVH dom0.
 */
import { BootInfo } from "../../abi/boot-info";
import { HvmModlistEntry, HvmStartInfo, XEN_HVM_START_MAGIC_VALUE } from "../../abi/hvm";
import { say, sayBytes, sayEnd } from "../../arch-x86/log";
import { copyToGuestPhysical } from "../memory/guest-copy";
import { Domain } from "../records/domain";
import { softwareOf } from "../records/software-domain";
import { moduleAddress, moduleFits } from "../memory/software-memory";

const record: usize = memory.data(64, 8);
const COMMAND_LINE_MAX: u32 = 3968;
const NAME_MAX: u32 = 112;

let boot: usize = 0;

export function startInfoInit(bootInfo: usize): void {
  boot = bootInfo;
}

function textLength(at: usize, most: u32): u32 {
  let length: u32 = 0;
  while (length < most && load<u8>(at + length)) length++;
  return length;
}

/** Writes it; its pages are allocated at first touch, zeroed. False when out of memory. Modules beyond the window are omitted. */
export function startInfoBuild(d: Domain): bool {
  const layout = softwareOf(d).layout;
  const modules = layout.modules < layout.modulesEnd ? <u32>load<u64>(boot + BootInfo.moduleCount) : 0;
  const start = (<u64>layout.startInfo) << 12;
  let at: u64 = start + HvmStartInfo.SIZE;
  const list = at;
  at += modules * HvmModlistEntry.SIZE;
  let shown: u32 = 0;
  for (let i: u32 = 0; i < modules; i++) {
    const r = boot + BootInfo.modules + <usize>i * BootInfo.MODULE_RECORD;
    const name = r + 16;
    const length = textLength(name, NAME_MAX - 1);
    if (!moduleFits(d, i)) {
      say("Boot module ");
      sayBytes(name, length);
      say(" does not fit domain 0's window (256 MiB for all modules); it and those after it are not shown.");
      sayEnd();
      break;
    }
    memory.fill(record, 0, HvmModlistEntry.SIZE);
    store<u64>(record + HvmModlistEntry.paddr, moduleAddress(d, i));
    store<u64>(record + HvmModlistEntry.size, load<u64>(r + 8));
    store<u64>(record + HvmModlistEntry.cmdline_paddr, at);
    if (!copyToGuestPhysical(d, list + i * HvmModlistEntry.SIZE, record, HvmModlistEntry.SIZE)) return false;
    if (!copyToGuestPhysical(d, at, name, length)) return false;
    at += length + 1; // memory is already zeroed
    shown++;
  }
  const line = boot + BootInfo.commandLine;
  if (!copyToGuestPhysical(d, at, line, textLength(line, COMMAND_LINE_MAX - 1))) return false;
  memory.fill(record, 0, HvmStartInfo.SIZE);
  store<u32>(record + HvmStartInfo.magic, XEN_HVM_START_MAGIC_VALUE);
  store<u32>(record + HvmStartInfo.version, 1);
  store<u32>(record + HvmStartInfo.nr_modules, shown);
  store<u64>(record + HvmStartInfo.modlist_paddr, shown ? list : 0);
  store<u64>(record + HvmStartInfo.cmdline_paddr, at);
  store<u64>(record + HvmStartInfo.rsdp_paddr, load<u64>(boot + BootInfo.rsdp));
  return copyToGuestPhysical(d, start, record, HvmStartInfo.SIZE);
}
