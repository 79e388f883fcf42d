/**
 * The simulation's domain 0: a toolstack small enough to draw at random from. It makes the same hypercalls as
 * toolstack/control, through the same call page, whenever a test says so: between two steps of the hypervisor, domain 0
 * is simply the caller.
 */
import {
  Domctl,
  DomctlCreatedomain,
  DomctlGetdomaininfo,
  DomctlHvmcontext,
  DomctlMaxMem,
  DomctlMaxVcpus,
  XEN_DOMCTL_CDF_hap,
  XEN_DOMCTL_CDF_hvm,
  XEN_DOMCTL_createdomain,
  XEN_DOMCTL_destroydomain,
  XEN_DOMCTL_getdomaininfo,
  XEN_DOMCTL_INTERFACE_VERSION,
  XEN_DOMCTL_max_mem,
  XEN_DOMCTL_max_vcpus,
  XEN_DOMCTL_pausedomain,
  XEN_DOMCTL_sethvmcontext,
  XEN_DOMCTL_unpausedomain,
  XEN_X86_EMU_LAPIC,
} from "../../abi/domctl.ts";
import {
  HVM_FILE_MAGIC,
  HVM_FILE_VERSION,
  HVM_SAVE_CODE_CPU,
  HVM_SAVE_CODE_END,
  HVM_SAVE_CODE_HEADER,
  HvmHwCpu,
  HvmSaveHeader,
} from "../../abi/hvm.ts";
import {
  MemoryReservation,
  RemoveFromPhysmap,
  XENMAPSPACE_gmfn_foreign,
  XENMEM_add_to_physmap_batch,
  XENMEM_decrease_reservation,
  XENMEM_populate_physmap,
  XENMEM_remove_from_physmap,
  AddToPhysmapBatch,
} from "../../abi/memory.ts";
import { DOM0_CALL_PAGE, DOM0_MAP, DOM0_SCRATCH } from "../../abi/domain0-layout.ts";
import { __HYPERVISOR_domctl, __HYPERVISOR_memory_op, DOMID_SELF } from "../../abi/xen.ts";
import type { Machine } from "./machine.ts";
import { PAGE } from "./ram.ts";
import { SoftwareCaller } from "./software-caller.ts";
import { guestCode, type GuestProgram } from "./svm-cpu.ts";

/** Guest-physical layout of simulated guests: zero page, page tables, code, then plain memory. */
export const GUEST_TABLES = 0x1000;
export const GUEST_CODE = 0x4000;
export const GUEST_SHARED_INFO = 0x5000;
export const GUEST_DATA = 0x6000;

/** A domain could not be built; nothing of it is left. */
export class BuildFailure extends Error {
  constructor(
    what: string,
    /** Negative errno, or how many of the frames were given. */
    readonly result: number,
  ) {
    super(`${what} returned ${result}`);
  }
}

export class Dom0 extends SoftwareCaller {
  private nextMapping = DOM0_MAP;
  /** XEN_DOMCTL_CDF_* and XEN_X86_EMU_* of the domains to be made. */
  flags = XEN_DOMCTL_CDF_hvm | XEN_DOMCTL_CDF_hap;
  emulation = XEN_X86_EMU_LAPIC;
  /** Pages of handles they may have. */
  maptrackFrames = 16;

  constructor(machine: Machine) {
    super(machine, { space: 1, callPage: DOM0_CALL_PAGE, buffer: DOM0_SCRATCH });
  }

  domctl(cmd: number, domain: number, fill: (view: DataView, u: number) => void = () => {}) {
    return this.structured(__HYPERVISOR_domctl, null, Domctl.SIZE, (view) => {
      view.setUint32(Domctl.cmd, cmd, true);
      view.setUint32(Domctl.interface_version, XEN_DOMCTL_INTERFACE_VERSION, true);
      view.setUint16(Domctl.domain, domain, true);
      fill(view, Domctl.u);
    });
  }

  /** XEN_DOMCTL_createdomain with `vcpus` and event channels up to `maxPort`; the domain id or a negative errno. */
  create(vcpus = 1, maxPort = 1023): number {
    const { result, view } = this.domctl(XEN_DOMCTL_createdomain, 0, (v, u) => {
      v.setUint32(u + DomctlCreatedomain.flags, this.flags, true);
      v.setUint32(u + DomctlCreatedomain.max_vcpus, vcpus, true);
      v.setUint32(u + DomctlCreatedomain.max_evtchn_port, maxPort, true);
      v.setUint32(u + DomctlCreatedomain.max_grant_frames, 4, true);
      v.setUint32(u + DomctlCreatedomain.max_maptrack_frames, this.maptrackFrames, true);
      v.setUint32(u + DomctlCreatedomain.grant_opts, 1, true);
      v.setUint32(u + DomctlCreatedomain.arch_emulation_flags, this.emulation, true);
    });
    return result < 0 ? result : view.getUint16(Domctl.domain, true);
  }

  maxVcpus(domain: number, count: number): number {
    return this.domctl(XEN_DOMCTL_max_vcpus, domain, (v, u) => v.setUint32(u + DomctlMaxVcpus.max, count, true)).result;
  }

  maxMem(domain: number, pages: number): number {
    return this.domctl(XEN_DOMCTL_max_mem, domain, (v, u) => {
      v.setBigUint64(u + DomctlMaxMem.max_memkb, BigInt(pages * 4), true);
    }).result;
  }

  pause(domain: number): number {
    return this.domctl(XEN_DOMCTL_pausedomain, domain).result;
  }

  unpause(domain: number): number {
    return this.domctl(XEN_DOMCTL_unpausedomain, domain).result;
  }

  destroy(domain: number): number {
    return this.domctl(XEN_DOMCTL_destroydomain, domain).result;
  }

  info(domain: number): { result: number; flags: number; pages: number; view: DataView } {
    const { result, view } = this.domctl(XEN_DOMCTL_getdomaininfo, domain);
    return {
      result,
      view,
      flags: view.getUint32(Domctl.u + DomctlGetdomaininfo.flags, true),
      pages: Number(view.getBigUint64(Domctl.u + DomctlGetdomaininfo.tot_pages, true)),
    };
  }

  /** vCPUs of a domain that are up. */
  onlineVcpus(domain: number): number {
    return this.info(domain).view.getUint32(Domctl.u + DomctlGetdomaininfo.nr_online_vcpus, true);
  }

  /** XENMEM_populate_physmap of 2^order pages from each of the given guest frame numbers on; returns how many were given. */
  populate(domain: number, gfns: number[], order = 0): number {
    return this.reserve(XENMEM_populate_physmap, domain, gfns, order);
  }

  /** XENMEM_decrease_reservation of them; returns how many were removed. */
  release(domain: number, gfns: number[]): number {
    return this.reserve(XENMEM_decrease_reservation, domain, gfns);
  }

  private reserve(command: number, domain: number, gfns: number[], order = 0): number {
    const list = DOM0_SCRATCH + PAGE;
    const bytes = new DataView(new ArrayBuffer(gfns.length * 8));
    gfns.forEach((gfn, i) => bytes.setBigUint64(i * 8, BigInt(gfn), true));
    this.write(list, new Uint8Array(bytes.buffer));
    return this.structured(__HYPERVISOR_memory_op, command, MemoryReservation.SIZE, (v) => {
      v.setBigUint64(MemoryReservation.extent_start, BigInt(list), true);
      v.setBigUint64(MemoryReservation.nr_extents, BigInt(gfns.length), true);
      v.setUint32(MemoryReservation.extent_order, order, true);
      v.setUint16(MemoryReservation.domid, domain, true);
    }).result;
  }

  /** Maps one foreign frame into the window; returns its linear address or a negative errno. */
  mapForeign(domain: number, gfn: number, at = this.nextMapping): number {
    const lists = DOM0_SCRATCH + PAGE;
    const bytes = new DataView(new ArrayBuffer(24));
    bytes.setBigUint64(0, BigInt(gfn), true);
    bytes.setBigUint64(8, BigInt(at / PAGE), true);
    this.write(lists, new Uint8Array(bytes.buffer));
    const { result } = this.structured(
      __HYPERVISOR_memory_op,
      XENMEM_add_to_physmap_batch,
      AddToPhysmapBatch.SIZE,
      (v) => {
        v.setUint16(AddToPhysmapBatch.domid, DOMID_SELF, true);
        v.setUint16(AddToPhysmapBatch.space, XENMAPSPACE_gmfn_foreign, true);
        v.setUint16(AddToPhysmapBatch.size, 1, true);
        v.setUint16(AddToPhysmapBatch.u_foreign_domid, domain, true);
        v.setBigUint64(AddToPhysmapBatch.idxs, BigInt(lists), true);
        v.setBigUint64(AddToPhysmapBatch.gpfns, BigInt(lists + 8), true);
        v.setBigUint64(AddToPhysmapBatch.errs, BigInt(lists + 16), true);
      },
    );
    const error = new DataView(this.read(lists + 16, 4).buffer).getInt32(0, true);
    if (result < 0 || error < 0) return result < 0 ? result : error;
    if (at === this.nextMapping) this.nextMapping += PAGE;
    return at;
  }

  unmapForeign(address: number): number {
    return this.structured(__HYPERVISOR_memory_op, XENMEM_remove_from_physmap, RemoveFromPhysmap.SIZE, (v) => {
      v.setUint16(RemoveFromPhysmap.domid, DOMID_SELF, true);
      v.setBigUint64(RemoveFromPhysmap.gpfn, BigInt(address / PAGE), true);
    }).result;
  }

  /** XEN_DOMCTL_sethvmcontext: `vcpu` alone, in 32-bit flat protected mode at `eip`, as a PVH entry. */
  setContext(domain: number, eip: number, vcpu = 0): number {
    const at = DOM0_SCRATCH + 2 * PAGE;
    const header = 8 + HvmSaveHeader.SIZE;
    const total = header + 8 + HvmHwCpu.SIZE + 8;
    const v = new DataView(new ArrayBuffer(total));
    const descriptor = (offset: number, code: number, length: number): void => {
      v.setUint16(offset, code, true);
      v.setUint32(offset + 4, length, true);
    };
    descriptor(0, HVM_SAVE_CODE_HEADER, HvmSaveHeader.SIZE);
    v.setUint32(8 + HvmSaveHeader.magic, HVM_FILE_MAGIC, true);
    v.setUint32(8 + HvmSaveHeader.version, HVM_FILE_VERSION, true);
    descriptor(header, HVM_SAVE_CODE_CPU, HvmHwCpu.SIZE);
    v.setUint16(header + 2, vcpu, true);
    const cpu = header + 8;
    v.setBigUint64(cpu + HvmHwCpu.rip, BigInt(eip), true);
    v.setBigUint64(cpu + HvmHwCpu.rflags, 2n, true);
    v.setBigUint64(cpu + HvmHwCpu.cr0, 0x11n, true);
    for (const [name, limit, rights] of [
      ["cs", 0xffffffff, 0xc9b],
      ["ds", 0xffffffff, 0xc93],
      ["es", 0xffffffff, 0xc93],
      ["ss", 0xffffffff, 0xc93],
      ["tr", 0x67, 0x8b],
    ] as const) {
      v.setUint32(cpu + HvmHwCpu[`${name}_limit`], limit, true);
      v.setUint32(cpu + HvmHwCpu[`${name}_arbytes`], rights, true);
    }
    descriptor(cpu + HvmHwCpu.SIZE, HVM_SAVE_CODE_END, 0);
    this.write(at, new Uint8Array(v.buffer));
    return this.domctl(XEN_DOMCTL_sethvmcontext, domain, (d, u) => {
      d.setUint32(u + DomctlHvmcontext.size, total, true);
      d.setBigUint64(u + DomctlHvmcontext.buffer, BigInt(at), true);
    }).result;
  }

  /**
   * Builds a whole guest of `pages` frames running `program`, paused. Frames 0 .. pages-1 are RAM.
   * @returns its domain id; throws when a step fails, naming it
   */
  build(program: GuestProgram, pages = 32, vcpus = 1, maxPort = 1023): number {
    const id = this.create(vcpus, maxPort);
    const mapped: number[] = [];
    const check = (what: string, result: number, good = 0): void => {
      if (result === good) return;
      for (const address of mapped) this.unmapForeign(address);
      if (id >= 0) this.destroy(id);
      throw new BuildFailure(what, result);
    };
    const map = (gfn: number): number => {
      const address = this.mapForeign(id, gfn);
      check("add_to_physmap", Math.min(address, 0));
      mapped.push(address);
      return address;
    };
    check("createdomain", id < 0 ? id : 0);
    check("max_vcpus", this.maxVcpus(id, vcpus));
    check("max_mem", this.maxMem(id, pages + 64));
    check(
      "populate_physmap",
      this.populate(
        id,
        Array.from({ length: pages }, (_, i) => i),
      ),
      pages,
    );
    // Identity page tables: four 1 GiB pages, user-accessible.
    this.writeWords(map(GUEST_TABLES / PAGE), [[0, BigInt(GUEST_TABLES + PAGE) | 7n]]);
    this.writeWords(
      map(GUEST_TABLES / PAGE + 1),
      [0, 1, 2, 3].map((gib) => [gib, (BigInt(gib) << 30n) | 0x87n]),
    );
    this.write(map(GUEST_CODE / PAGE), guestCode(this.machine.svm.program(program)));
    for (const address of mapped.splice(0)) check("unmap", this.unmapForeign(address));
    check("sethvmcontext", this.setContext(id, GUEST_CODE));
    return id;
  }

  /** As `build`, with registers for every vCPU. As on Xen only the last to get them is up; it may VCPUOP_up the others. */
  buildWithVcpus(program: GuestProgram, pages: number, vcpus: number): number {
    const id = this.build(program, pages, vcpus);
    for (let vcpu = 1; vcpu < vcpus; vcpu++) {
      const result = this.setContext(id, GUEST_CODE, vcpu);
      if (result !== 0) throw new Error(`sethvmcontext of vCPU ${vcpu} returned ${result}`);
    }
    return id;
  }

  private writeWords(page: number, words: [number, bigint][]): void {
    for (const [index, value] of words) {
      const bytes = new DataView(new ArrayBuffer(8));
      bytes.setBigUint64(0, value, true);
      this.write(page + index * 8, new Uint8Array(bytes.buffer));
    }
  }
}
