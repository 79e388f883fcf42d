/** sysctl: the machine as a whole. */
import { DomctlGetdomaininfo, XEN_SCHEDULER_CREDIT2 } from "../../../abi/domctl.ts";
import {
  CpuidLeaf,
  MsrEntry,
  Sysctl,
  SysctlCpuPolicy,
  SysctlCredit2Schedule,
  SysctlDebugKeys,
  SysctlGetdomaininfolist,
  SysctlPerfcDesc,
  SysctlPerfcOp,
  SysctlPhysinfo,
  SysctlReadconsole,
  SysctlSchedId,
  SysctlSchedulerOp,
  XEN_SYSCTL_cpu_policy_host,
  XEN_SYSCTL_debug_keys,
  XEN_SYSCTL_get_cpu_policy,
  XEN_SYSCTL_getdomaininfolist,
  XEN_SYSCTL_INTERFACE_VERSION,
  XEN_SYSCTL_perfc_op,
  XEN_SYSCTL_PERFCOP_query,
  XEN_SYSCTL_physinfo,
  XEN_SYSCTL_readconsole,
  XEN_SYSCTL_sched_id,
  XEN_SYSCTL_SCHEDOP_getinfo,
  XEN_SYSCTL_scheduler_op,
} from "../../../abi/sysctl.ts";
import { __HYPERVISOR_sysctl } from "../../../abi/xen.ts";
import { memory } from "../host.ts";
import { checked, hypercall } from "../hypercall.ts";
import { reserveScratch } from "../scratch.ts";
import { decodeCString, encodeUtf8 } from "../text.ts";
import { number64, PAGE_SIZE } from "../window.ts";
import { LARGE_BUFFER_SIZE, largeBuffer } from "./large-buffer.ts";
import { decodeDomainInfo, infoDomain, type DomainInfo } from "./domain-info.ts";

const buffer = reserveScratch(Sysctl.SIZE, (words) => {
  words[Sysctl.interface_version / 4] = XEN_SYSCTL_INTERFACE_VERSION;
});
/** For lists and text that the hypervisor writes. */
const list = reserveScratch(PAGE_SIZE);
const U = Sysctl.u / 4;

/**
 * Makes a sysctl. `fields` are byte offset and value of the union's fields that are not zero; 64-bit ones are below 2^32.
 * @returns the union's words, as the hypervisor left them
 */
function sysctl(name: string, cmd: number, fields: readonly (readonly [number, number])[]): Uint32Array {
  const { words } = buffer;
  words.fill(0, U);
  words[Sysctl.cmd / 4] = cmd;
  for (const [offset, value] of fields) words[U + offset / 4] = value;
  checked(name, hypercall(__HYPERVISOR_sysctl, buffer.address));
  return words.subarray(U);
}

/** The result of XEN_SYSCTL_physinfo. */
export interface PhysicalInfo {
  cpus: number;
  cpuKhz: number;
  /** XEN_SYSCTL_PHYSCAP_*. */
  capabilities: number;
  totalPages: number;
  freePages: number;
  /** Those of them that are not promised to someone: what a new domain can have. */
  availablePages: number;
}

export function physicalInfo(): PhysicalInfo {
  const u = sysctl("XEN_SYSCTL_physinfo", XEN_SYSCTL_physinfo, []);
  const freePages = number64(u, SysctlPhysinfo.free_pages / 4);
  return {
    cpus: u[SysctlPhysinfo.nr_cpus / 4]!,
    cpuKhz: u[SysctlPhysinfo.cpu_khz / 4]!,
    capabilities: u[SysctlPhysinfo.capabilities / 4]!,
    totalPages: number64(u, SysctlPhysinfo.total_pages / 4),
    freePages,
    availablePages: Math.max(0, freePages - number64(u, SysctlPhysinfo.outstanding_pages / 4)),
  };
}

/** The scheduler's name in xl, and the least time that a vCPU runs before another may take its CPU, us. */
export function schedulerInfo(): { name: string; rateLimitUs: number } {
  const id = sysctl("XEN_SYSCTL_sched_id", XEN_SYSCTL_sched_id, [])[SysctlSchedId.sched_id / 4]!;
  const u = sysctl("XEN_SYSCTL_scheduler_op", XEN_SYSCTL_scheduler_op, [
    [SysctlSchedulerOp.sched_id, id],
    [SysctlSchedulerOp.cmd, XEN_SYSCTL_SCHEDOP_getinfo],
  ]);
  const name = id === XEN_SCHEDULER_CREDIT2 ? "credit2" : `scheduler ${id}`;
  return { name, rateLimitUs: u[(SysctlSchedulerOp.u + SysctlCredit2Schedule.ratelimit_us) / 4]! };
}

const INFO_WORDS = DomctlGetdomaininfo.SIZE / 4;
const INFOS = Math.floor(PAGE_SIZE / DomctlGetdomaininfo.SIZE);

/** Calls `each` with the word index of every domain's record in `list.words`, by ascending id. */
function forEachDomain(each: (at: number) => void): void {
  for (let first = 0; ;) {
    const u = sysctl("XEN_SYSCTL_getdomaininfolist", XEN_SYSCTL_getdomaininfolist, [
      [SysctlGetdomaininfolist.first_domain, first],
      [SysctlGetdomaininfolist.max_domains, INFOS],
      [SysctlGetdomaininfolist.buffer, list.address],
    ]);
    const found = u[SysctlGetdomaininfolist.num_domains / 4]!;
    for (let i = 0; i < found; i++) each(i * INFO_WORDS);
    if (found < INFOS) return;
    first = infoDomain(list.words, (found - 1) * INFO_WORDS) + 1;
  }
}

/** The state of every domain, by ascending id. */
export function listDomains(): DomainInfo[] {
  const domains: DomainInfo[] = [];
  forEachDomain((at) => domains.push(decodeDomainInfo(list.words, at)));
  return domains;
}

/** The hypervisor's log, calling `each` with its pieces in order. @param clear each is dropped when it has been read */
export function readHypervisorLog(each: (piece: Uint8Array) => void, clear = false): void {
  for (let index = 0; ;) {
    const u = sysctl("XEN_SYSCTL_readconsole", XEN_SYSCTL_readconsole, [
      [SysctlReadconsole.clear, (clear ? 1 : 0) | (1 << 8)], // incremental 1: bytes of one word
      [SysctlReadconsole.index, index],
      [SysctlReadconsole.buffer, list.address],
      [SysctlReadconsole.count, PAGE_SIZE],
    ]);
    const got = u[SysctlReadconsole.count / 4]!;
    index = u[SysctlReadconsole.index / 4]!;
    if (got === 0) return;
    each(memory.read(list.address, got));
  }
}

/**
 * The hypervisor's debug keys, each a letter: "h" lists them in its log, "a" checks all its invariants.
 * @throws HypercallError EIO when "a" found violations; they are in the log
 */
export function debugKeys(keys: string): void {
  const bytes = encodeUtf8(keys);
  memory.write(list.address, bytes);
  sysctl("XEN_SYSCTL_debug_keys", XEN_SYSCTL_debug_keys, [
    [SysctlDebugKeys.keys, list.address],
    [SysctlDebugKeys.nr_keys, bytes.length],
  ]);
}

/** The hypervisor's counters by name: one value, or one for each domain of "domains". */
export function performanceCounters(): Map<string, number[]> {
  const counting = sysctl("XEN_SYSCTL_perfc_op", XEN_SYSCTL_perfc_op, [[SysctlPerfcOp.cmd, XEN_SYSCTL_PERFCOP_query]]);
  const counters = counting[SysctlPerfcOp.nr_counters / 4]!;
  const values = counting[SysctlPerfcOp.nr_vals / 4]!;
  const valuesAt = counters * SysctlPerfcDesc.SIZE;
  if (valuesAt + values * 4 > LARGE_BUFFER_SIZE) {
    throw new RangeError("the hypervisor has more counters than there is room for");
  }
  sysctl("XEN_SYSCTL_perfc_op", XEN_SYSCTL_perfc_op, [
    [SysctlPerfcOp.cmd, XEN_SYSCTL_PERFCOP_query],
    [SysctlPerfcOp.desc, largeBuffer],
    [SysctlPerfcOp.val, largeBuffer + valuesAt],
  ]);
  const bytes = memory.read(largeBuffer, valuesAt + values * 4);
  const view = new DataView(bytes.buffer);
  const result = new Map<string, number[]>();
  let value = valuesAt;
  for (let descriptor = 0; descriptor < valuesAt; descriptor += SysctlPerfcDesc.SIZE) {
    const name = decodeCString(bytes.subarray(descriptor + SysctlPerfcDesc.name, descriptor + SysctlPerfcDesc.nr_vals));
    const count = view.getUint32(descriptor + SysctlPerfcDesc.nr_vals, true);
    result.set(
      name,
      Array.from({ length: count }, (_, i) => view.getUint32(value + 4 * i, true)),
    );
    value += 4 * count;
  }
  return result;
}

/** Prefix of the counters of exits, one for each reason. */
const EXITS = "exits.";

/** How often each domain's vCPUs left their guest so far, modulo 2^32, by reason; by domain id. */
export function exitCounts(): Map<number, Map<string, number>> {
  const counters = performanceCounters();
  const reasons = [...counters].filter(([name]) => name.startsWith(EXITS));
  const ids = counters.get("domains") ?? [];
  return new Map(
    ids.map((id, i) => [id, new Map(reasons.map(([name, values]) => [name.slice(EXITS.length), values[i]!]))]),
  );
}

/** One CPUID leaf: registers EAX, EBX, ECX, EDX. */
export interface CpuidRegisters {
  leaf: number;
  subleaf: number;
  registers: number[];
}

/** The processor's CPUID leaves, and the model-specific registers that describe its virtualisation features. */
export interface CpuPolicy {
  leaves: CpuidRegisters[];
  /** MSR number to its halves. */
  msrs: Map<number, { low: number; high: number }>;
}

/** The processor's own CPUID leaves and capability MSRs. */
export function hostCpuPolicy(): CpuPolicy {
  const half = PAGE_SIZE / 2;
  const u = sysctl("XEN_SYSCTL_get_cpu_policy", XEN_SYSCTL_get_cpu_policy, [
    [SysctlCpuPolicy.index, XEN_SYSCTL_cpu_policy_host],
    [SysctlCpuPolicy.nr_leaves, Math.floor(half / CpuidLeaf.SIZE)],
    [SysctlCpuPolicy.nr_msrs, half / MsrEntry.SIZE],
    [SysctlCpuPolicy.leaves, list.address],
    [SysctlCpuPolicy.msrs, list.address + half],
  ]);
  const leaves: CpuidRegisters[] = [];
  for (let i = 0; i < u[SysctlCpuPolicy.nr_leaves / 4]!; i++) {
    const record = list.words.subarray((i * CpuidLeaf.SIZE) / 4);
    leaves.push({
      leaf: record[CpuidLeaf.leaf / 4]!,
      subleaf: record[CpuidLeaf.subleaf / 4]!,
      registers: Array.from(record.subarray(CpuidLeaf.a / 4, CpuidLeaf.SIZE / 4)),
    });
  }
  const msrs: CpuPolicy["msrs"] = new Map();
  for (let i = 0; i < u[SysctlCpuPolicy.nr_msrs / 4]!; i++) {
    const record = list.words.subarray((half + i * MsrEntry.SIZE) / 4);
    msrs.set(record[MsrEntry.idx / 4]!, { low: record[MsrEntry.val / 4]!, high: record[MsrEntry.val / 4 + 1]! });
  }
  return { leaves, msrs };
}
