/** A domain of the fake hypervisor: its frames, ports and parameters. */
import { EINVAL } from "../../../abi/errno.ts";
import {
  DomctlGetdomaininfo,
  XEN_DOMINF_blocked,
  XEN_DOMINF_paused,
  XEN_DOMINF_running,
  XEN_DOMINF_shutdown,
} from "../../../abi/domctl.ts";
import { HVM_PARAM_ACPI_S_STATE } from "../../../abi/hvm.ts";
import type { PagedWindow } from "./paged-window.ts";

const PAGE = 4096;

/** One end of an event channel in domain 0 or a guest. */
export interface Port {
  domain: FakeDomain | null;
  peer: Port | null;
  /** Port number in its domain. */
  number: number;
  state: "unbound" | "interdomain" | "virq";
}

export class FakeDomain {
  readonly frames = new Map<number, Uint8Array>();
  readonly ports = new Map<number, Port>();
  readonly params = new Map<number, number>();
  handle = new Uint8Array(16);
  vcpus = 0;
  maxPages = 0;
  pauses = 1;
  shutdown: number | null = null;
  context: Uint8Array | null = null;
  /** What XENMEM_set_memory_map gave: start, size and type of each range. */
  memoryMap: number[][] = [];
  /** Domain 0's mappings of its frames. */
  mapped = 0;

  /** The scheduler's, and by vCPU. */
  weight = 256;
  readonly affinity = new Map<number, { hard: bigint; soft: bigint }>();

  /** What XEN_DOMCTL_sendtrigger sent: trigger and vCPU. */
  triggers: number[][] = [];

  constructor(readonly id: number) {}

  /** HVMOP_set_param by the toolstack. */
  setParam(index: number, value: number): void {
    if (index === HVM_PARAM_ACPI_S_STATE && value === 0 && this.params.get(index) === 3) this.shutdown = null;
    this.params.set(index, value);
  }

  /** XEN_DOMCTL_soft_reset, its ports closed: 0 or a negative errno. */
  softReset(): number {
    if (this.shutdown === null || this.pauses === 0) return -EINVAL;
    this.ports.clear();
    this.shutdown = null;
    return 0;
  }

  /** Bytes of guest-physical memory, across frames. */
  read(address: number, length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    for (let i = 0; i < length; i++) {
      const frame = this.frames.get(Math.floor((address + i) / PAGE));
      if (frame === undefined) throw new RangeError(`guest has nothing at ${address + i}`);
      bytes[i] = frame[(address + i) % PAGE]!;
    }
    return bytes;
  }
}

/** Fills the xen_domctl_getdomaininfo at `at`. */
export function writeDomainInfo(w: PagedWindow, domain: FakeDomain, at: number): void {
  let flags = domain.pauses > 0 && domain.id !== 0 ? XEN_DOMINF_paused : XEN_DOMINF_blocked;
  if (domain.id === 0) flags = XEN_DOMINF_running;
  if (domain.shutdown !== null) {
    flags = XEN_DOMINF_shutdown | (domain.shutdown << 16) | (domain.pauses > 0 ? XEN_DOMINF_paused : 0);
  }
  w.zero(at, DomctlGetdomaininfo.SIZE);
  w.store16(at + DomctlGetdomaininfo.domain, domain.id);
  w.store32(at + DomctlGetdomaininfo.flags, flags);
  w.store64(at + DomctlGetdomaininfo.tot_pages, domain.frames.size);
  w.store64(at + DomctlGetdomaininfo.max_pages, domain.maxPages);
  w.store64(at + DomctlGetdomaininfo.cpu_time, 1.5e9);
  w.store32(at + DomctlGetdomaininfo.nr_online_vcpus, domain.vcpus || 1);
  w.store32(at + DomctlGetdomaininfo.max_vcpu_id, (domain.vcpus || 1) - 1);
  w.write(at + DomctlGetdomaininfo.handle, domain.handle);
}
