/** sysctl: the machine as a whole. */
import { DomctlGetdomaininfo } from "../../../abi/domctl.ts";
import {
  CpuidLeaf,
  MsrEntry,
  Sysctl,
  SysctlCpuPolicy,
  SysctlGetdomaininfolist,
  SysctlPerfcDesc,
  SysctlPerfcOp,
  SysctlPhysinfo,
  SysctlReadconsole,
  XEN_SYSCTL_cpu_policy_host,
  XEN_SYSCTL_get_cpu_policy,
  XEN_SYSCTL_getdomaininfolist,
  XEN_SYSCTL_INTERFACE_VERSION,
  XEN_SYSCTL_perfc_op,
  XEN_SYSCTL_PERFCOP_query,
  XEN_SYSCTL_physinfo,
  XEN_SYSCTL_readconsole,
} from "../../../abi/sysctl.ts";
import { __HYPERVISOR_sysctl } from "../../../abi/xen.ts";
import { memory } from "../host.ts";
import { checked, hypercall } from "../hypercall.ts";
import { reserveScratch } from "../scratch.ts";
import { decodeCString } from "../text.ts";
import { load64, PAGE_SIZE, store64 } from "../window.ts";
import { decodeDomainInfo, type DomainInfo } from "./domain-info.ts";

const buffer = reserveScratch(Sysctl.SIZE);
const u = buffer + Sysctl.u;
/** For lists and text that the hypervisor writes. */
const listPages = 8;
const list = reserveScratch(listPages * PAGE_SIZE);

function sysctl(name: string, cmd: number): void {
  memory.store32(buffer + Sysctl.cmd, cmd);
  memory.store32(buffer + Sysctl.interface_version, XEN_SYSCTL_INTERFACE_VERSION);
  checked(name, hypercall(__HYPERVISOR_sysctl, buffer));
}

/** What XEN_SYSCTL_physinfo tells of the machine. */
export interface PhysicalInfo {
  cpus: number;
  cpuKhz: number;
  /** XEN_SYSCTL_PHYSCAP_*. */
  capabilities: number;
  totalPages: number;
  freePages: number;
}

export function physicalInfo(): PhysicalInfo {
  sysctl("XEN_SYSCTL_physinfo", XEN_SYSCTL_physinfo);
  return {
    cpus: memory.load32(u + SysctlPhysinfo.nr_cpus),
    cpuKhz: memory.load32(u + SysctlPhysinfo.cpu_khz),
    capabilities: memory.load32(u + SysctlPhysinfo.capabilities),
    totalPages: load64(memory, u + SysctlPhysinfo.total_pages),
    freePages: load64(memory, u + SysctlPhysinfo.free_pages),
  };
}

/** The state of every domain, by ascending id. */
export function listDomains(): DomainInfo[] {
  const domains: DomainInfo[] = [];
  const room = Math.floor((listPages * PAGE_SIZE) / DomctlGetdomaininfo.SIZE);
  for (let first = 0; ;) {
    memory.store16(u + SysctlGetdomaininfolist.first_domain, first);
    memory.store32(u + SysctlGetdomaininfolist.max_domains, room);
    store64(memory, u + SysctlGetdomaininfolist.buffer, list);
    sysctl("XEN_SYSCTL_getdomaininfolist", XEN_SYSCTL_getdomaininfolist);
    const found = memory.load32(u + SysctlGetdomaininfolist.num_domains);
    for (let i = 0; i < found; i++) domains.push(decodeDomainInfo(list + i * DomctlGetdomaininfo.SIZE));
    if (found < room) return domains;
    first = domains[domains.length - 1]!.id + 1;
  }
}

/** The hypervisor's log, calling `each` with its pieces in order. */
export function readHypervisorLog(each: (piece: Uint8Array) => void): void {
  const room = listPages * PAGE_SIZE;
  for (let index = 0; ;) {
    memory.store32(u, 0); // clear, incremental and padding
    memory.store8(u + SysctlReadconsole.incremental, 1);
    memory.store32(u + SysctlReadconsole.index, index);
    store64(memory, u + SysctlReadconsole.buffer, list);
    memory.store32(u + SysctlReadconsole.count, room);
    sysctl("XEN_SYSCTL_readconsole", XEN_SYSCTL_readconsole);
    const got = memory.load32(u + SysctlReadconsole.count);
    index = memory.load32(u + SysctlReadconsole.index);
    if (got === 0) return;
    each(memory.read(list, got));
  }
}

/** The hypervisor's counters by name; most have one value. */
export function performanceCounters(): Map<string, number[]> {
  memory.store32(u + SysctlPerfcOp.cmd, XEN_SYSCTL_PERFCOP_query);
  store64(memory, u + SysctlPerfcOp.desc, 0);
  store64(memory, u + SysctlPerfcOp.val, 0);
  sysctl("XEN_SYSCTL_perfc_op", XEN_SYSCTL_perfc_op);
  const counters = memory.load32(u + SysctlPerfcOp.nr_counters);
  const values = list + counters * SysctlPerfcDesc.SIZE;
  if (values + memory.load32(u + SysctlPerfcOp.nr_vals) * 4 > list + listPages * PAGE_SIZE) {
    throw new RangeError("the hypervisor has more counters than there is room for");
  }
  store64(memory, u + SysctlPerfcOp.desc, list);
  store64(memory, u + SysctlPerfcOp.val, values);
  sysctl("XEN_SYSCTL_perfc_op", XEN_SYSCTL_perfc_op);
  const result = new Map<string, number[]>();
  let value = values;
  for (let i = 0; i < counters; i++) {
    const descriptor = list + i * SysctlPerfcDesc.SIZE;
    const name = decodeCString(memory.read(descriptor + SysctlPerfcDesc.name, 80));
    const numbers: number[] = [];
    for (let n = memory.load32(descriptor + SysctlPerfcDesc.nr_vals); n > 0; n--) {
      numbers.push(memory.load32(value));
      value += 4;
    }
    result.set(name, numbers);
  }
  return result;
}

/** One CPUID leaf: registers EAX to EDX. */
export interface CpuidRegisters {
  leaf: number;
  subleaf: number;
  registers: [number, number, number, number];
}

/** What the processor says of itself, and which model-specific registers describe its virtualisation. */
export interface CpuPolicy {
  leaves: CpuidRegisters[];
  /** MSR number to low 32 bits. */
  msrs: Map<number, number>;
}

/** The processor's own CPUID leaves and capability MSRs. */
export function hostCpuPolicy(): CpuPolicy {
  const msrList = list + (listPages / 2) * PAGE_SIZE;
  const room = (listPages / 2) * PAGE_SIZE;
  memory.store32(u + SysctlCpuPolicy.index, XEN_SYSCTL_cpu_policy_host);
  memory.store32(u + SysctlCpuPolicy.nr_leaves, Math.floor(room / CpuidLeaf.SIZE));
  memory.store32(u + SysctlCpuPolicy.nr_msrs, Math.floor(room / MsrEntry.SIZE));
  memory.store32(u + SysctlCpuPolicy._rsvd, 0);
  store64(memory, u + SysctlCpuPolicy.leaves, list);
  store64(memory, u + SysctlCpuPolicy.msrs, msrList);
  sysctl("XEN_SYSCTL_get_cpu_policy", XEN_SYSCTL_get_cpu_policy);
  const leaves: CpuidRegisters[] = [];
  for (let i = memory.load32(u + SysctlCpuPolicy.nr_leaves), at = list; i > 0; i--, at += CpuidLeaf.SIZE) {
    leaves.push({
      leaf: memory.load32(at + CpuidLeaf.leaf),
      subleaf: memory.load32(at + CpuidLeaf.subleaf),
      registers: [
        memory.load32(at + CpuidLeaf.a),
        memory.load32(at + CpuidLeaf.b),
        memory.load32(at + CpuidLeaf.c),
        memory.load32(at + CpuidLeaf.d),
      ],
    });
  }
  const msrs = new Map<number, number>();
  for (let i = memory.load32(u + SysctlCpuPolicy.nr_msrs), at = msrList; i > 0; i--, at += MsrEntry.SIZE) {
    msrs.set(memory.load32(at + MsrEntry.idx), memory.load32(at + MsrEntry.val));
  }
  return { leaves, msrs };
}
