/**
 * Memory maps: the E820 table that the toolstack gives a guest (XENMEM_set_memory_map, memory_map), and the machine's
 * own, for domain 0 (machine_memory_map). Entries are 20 bytes: u64 base, u64 size, u32 type (xen/memory.h).
 */
import { EFAULT, EINVAL, ENOMEM, ENOSYS, EPERM, ESRCH } from "../../abi/errno";
import { BootInfo } from "../../abi/boot-info";
import { ForeignMemoryMap, MemoryMap } from "../../abi/memory";
import { domainNamed, mayTarget } from "../records/domain-access";
import { copyStructureFrom, Layout, LONG } from "./compat";
import { DomainKind, DomainLife } from "../records/domain";
import { copyFromGuest, copyToGuest } from "../memory/guest-copy";
import { heapAllocFor, heapFreeFor } from "../memory/heap";
import { scratch } from "../memory/scratch";
import { Vcpu } from "../records/vcpu";
import { ENTRY_BYTES, memoryMapFree } from "../memory/e820";
/** Xen's E820MAX. */
const ENTRIES_MAX: u32 = 1024;
/** Entries copied in one go, within the scratch page. */
const BATCH: u32 = 128;

const MEMORY_MAP: Layout = [4, LONG];
/** nr_entries, too, is aligned to the width of a register. */
const FOREIGN_MEMORY_MAP: Layout = [2, LONG, LONG];

/** Linear address of BootInfo, which has the machine's map. */
let boot: usize = 0;

/** Sets the address of BootInfo; once, from `start`. */
export function memoryMapStart(bootInfo: usize): void {
  boot = bootInfo;
}

/** XENMEM_set_memory_map. */
export function setMemoryMap(v: Vcpu, gva: u64): i64 {
  const arg = scratch(v);
  if (!copyStructureFrom(v, arg, gva, ForeignMemoryMap.SIZE, FOREIGN_MEMORY_MAP)) return -EFAULT;
  const entries = load<u32>(arg, ForeignMemoryMap.map_nr_entries);
  if (entries > ENTRIES_MAX) return -EINVAL;
  const d = domainNamed(v, load<u16>(arg, ForeignMemoryMap.domid));
  if (d == null) return -ESRCH;
  if (!mayTarget(v, d)) return -EPERM;
  if (d.life != DomainLife.Alive) return -EINVAL;
  const bytes: u32 = entries * ENTRY_BYTES;
  let map: usize = 0;
  if (entries) {
    map = heapAllocFor(d, bytes);
    if (!map) return -ENOMEM;
    if (!copyFromGuest(v, map, load<u64>(arg, ForeignMemoryMap.map_buffer), bytes)) {
      heapFreeFor(d, map, bytes);
      return -EFAULT;
    }
  }
  memoryMapFree(d);
  d.memoryMap = map;
  d.memoryMapEntries = entries;
  return 0;
}

/** XENMEM_memory_map: as many entries as fit the caller's buffer. -ENOSYS if no map was set, as Xen. */
export function getMemoryMap(v: Vcpu, gva: u64): i64 {
  const arg = scratch(v);
  const d = v.domain;
  if (!copyStructureFrom(v, arg, gva, MemoryMap.SIZE, MEMORY_MAP)) return -EFAULT;
  if (!d.memoryMapEntries) return -ENOSYS;
  const entries = min(load<u32>(arg, MemoryMap.nr_entries), d.memoryMapEntries);
  store<u32>(arg, entries, MemoryMap.nr_entries);
  if (!copyToGuest(v, load<u64>(arg, MemoryMap.buffer), d.memoryMap, entries * ENTRY_BYTES)) return -EFAULT;
  return copyToGuest(v, gva + MemoryMap.nr_entries, arg + MemoryMap.nr_entries, 4) ? 0 : -EFAULT;
}

/** XENMEM_machine_memory_map, for domain 0; hardware guests have no such call. A null buffer asks for the number of entries only. */
export function machineMemoryMap(v: Vcpu, gva: u64): i64 {
  if (v.domain.kind == DomainKind.Hvm) return -ENOSYS;
  const arg = scratch(v);
  if (!copyFromGuest(v, arg, gva, MemoryMap.SIZE)) return -EFAULT;
  const entries: u32 = boot ? <u32>load<u64>(boot + BootInfo.memoryCount) : 0;
  const buffer = load<u64>(arg, MemoryMap.buffer);
  if (buffer && load<u32>(arg, MemoryMap.nr_entries) < entries) return -EINVAL;
  const batch = arg + 1024;
  for (let done: u32 = 0; buffer && done < entries; done += BATCH) {
    const count = min(BATCH, entries - done);
    for (let i: u32 = 0; i < count; i++) {
      const from = boot + BootInfo.memory + <usize>(done + i) * BootInfo.MEMORY_RECORD;
      const to = batch + <usize>(i * ENTRY_BYTES);
      store<u64>(to, load<u64>(from));
      store<u64>(to, load<u64>(from, 8), 8);
      store<u32>(to, <u32>load<u64>(from, 16), 16);
    }
    if (!copyToGuest(v, buffer + <u64>done * ENTRY_BYTES, batch, count * ENTRY_BYTES)) return -EFAULT;
  }
  store<u32>(arg, entries, MemoryMap.nr_entries);
  return copyToGuest(v, gva, arg, MemoryMap.SIZE) ? 0 : -EFAULT;
}
