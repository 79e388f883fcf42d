/** The I/O domain played by a test: its hypercalls, its memory by abi/io/layout.ts. */
import { IO_CALL_PAGE, IO_MAP } from "../../abi/io/layout.ts";
import {
  GNTMAP_host_map,
  GNTTABOP_map_grant_ref,
  GNTTABOP_unmap_grant_ref,
  GnttabMapGrantRef,
  GnttabUnmapGrantRef,
} from "../../abi/grant-table.ts";
import {
  AddToPhysmap,
  MemoryReservation,
  XENMEM_add_to_physmap,
  XENMEM_decrease_reservation,
  XENMEM_populate_physmap,
} from "../../abi/memory.ts";
import { __HYPERVISOR_grant_table_op, __HYPERVISOR_memory_op, DOMID_SELF } from "../../abi/xen.ts";
import type { Machine } from "./machine.ts";
import { PAGE } from "./ram.ts";
import { SoftwareCaller } from "./software-caller.ts";

/** Where the tests' argument structures are: anywhere in its RAM. */
const BUFFER = 0x100000;

export class IoDomain extends SoftwareCaller {
  constructor(machine: Machine) {
    super(machine, { space: 2, callPage: IO_CALL_PAGE, buffer: BUFFER });
  }

  /** Whether it can read, or write, at a linear address, which gives it memory there. */
  canTouch(address: number, write = true): boolean {
    try {
      this.page(address, write);
      return true;
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      return false;
    }
  }

  /** XENMEM_populate_physmap, or decrease_reservation, of one extent; how many were done, and the list's entry afterwards. */
  reserve(address: number, order = 0, op = XENMEM_populate_physmap): { done: number; entry: bigint } {
    const list = BUFFER + PAGE;
    const bytes = new DataView(new ArrayBuffer(8));
    bytes.setBigUint64(0, BigInt(Math.floor(address / PAGE)), true);
    this.write(list, new Uint8Array(bytes.buffer));
    const { result } = this.structured(__HYPERVISOR_memory_op, op, MemoryReservation.SIZE, (v) => {
      v.setBigUint64(MemoryReservation.extent_start, BigInt(list), true);
      v.setBigUint64(MemoryReservation.nr_extents, 1n, true);
      v.setUint32(MemoryReservation.extent_order, order, true);
      v.setUint16(MemoryReservation.domid, DOMID_SELF, true);
    });
    return { done: result, entry: new DataView(this.read(list, 8).buffer).getBigUint64(0, true) };
  }

  release(address: number, order = 0): number {
    return this.reserve(address, order, XENMEM_decrease_reservation).done;
  }

  /** XENMEM_add_to_physmap of one page. */
  addToPhysmap(space: number, index: number, address: number): number {
    return this.structured(__HYPERVISOR_memory_op, XENMEM_add_to_physmap, AddToPhysmap.SIZE, (v) => {
      v.setUint16(AddToPhysmap.domid, DOMID_SELF, true);
      v.setUint32(AddToPhysmap.space, space, true);
      v.setBigUint64(AddToPhysmap.idx, BigInt(index), true);
      v.setBigUint64(AddToPhysmap.gpfn, BigInt(Math.floor(address / PAGE)), true);
    }).result;
  }

  /** Maps entry `ref` of `domain` at a linear address. */
  mapGrant(
    domain: number,
    ref: number,
    address = IO_MAP,
    flags = GNTMAP_host_map,
  ): { status: number; handle: number; busAddress: number } {
    const { result, view } = this.structured(
      __HYPERVISOR_grant_table_op,
      GNTTABOP_map_grant_ref,
      GnttabMapGrantRef.SIZE,
      (v) => {
        v.setBigUint64(GnttabMapGrantRef.host_addr, BigInt(address), true);
        v.setUint32(GnttabMapGrantRef.flags, flags, true);
        v.setUint32(GnttabMapGrantRef.ref, ref, true);
        v.setUint16(GnttabMapGrantRef.dom, domain, true);
      },
      1,
    );
    if (result !== 0) throw new Error(`map_grant_ref returned ${result}`);
    return {
      status: view.getInt16(GnttabMapGrantRef.status, true),
      handle: view.getUint32(GnttabMapGrantRef.handle, true),
      busAddress: Number(view.getBigUint64(GnttabMapGrantRef.dev_bus_addr, true)),
    };
  }

  unmapGrant(handle: number, address = IO_MAP): number {
    return this.structured(
      __HYPERVISOR_grant_table_op,
      GNTTABOP_unmap_grant_ref,
      GnttabUnmapGrantRef.SIZE,
      (v) => {
        v.setBigUint64(GnttabUnmapGrantRef.host_addr, BigInt(address), true);
        v.setUint32(GnttabUnmapGrantRef.handle, handle, true);
      },
      1,
    ).view.getInt16(GnttabUnmapGrantRef.status, true);
  }
}
