/** The simulation's hostile guest: any hypercall, CPUID, MSR and memory access, with any arguments. No other domain may be affected. */
import {
  EVTCHNOP_bind_ipi,
  EVTCHNOP_close,
  EVTCHNOP_send,
  EVTCHNOP_set_priority,
  EVTCHNOP_unmask,
} from "../../abi/event-channel.ts";
import { __HYPERVISOR_devctl, Devctl, NOXS_DEVICE_PAGE, XEN_DEVCTL_VERSION } from "../../abi/io/noxs.ts";
import {
  AddToPhysmap,
  MemoryReservation,
  RemoveFromPhysmap,
  XENMAPSPACE_gmfn,
  XENMAPSPACE_grant_table,
  XENMAPSPACE_shared_info,
  XENMEM_add_to_physmap,
  XENMEM_decrease_reservation,
  XENMEM_populate_physmap,
  XENMEM_remove_from_physmap,
} from "../../abi/memory.ts";
import { __HYPERVISOR_event_channel_op, __HYPERVISOR_memory_op, DOMID_SELF } from "../../abi/xen.ts";
import { expandArray, initControl } from "./fifo.ts";
import { addToPhysmap, ARGUMENT_GFN, GRANT_TABLE_GFN, hypercall, SHARED_INFO_GFN, type Steps } from "./call.ts";
import type { Scene } from "./peer.ts";
import { PAGE } from "./ram.ts";
import { type GuestCpu, GuestException, type GuestProgram, type GuestRequest } from "./svm-cpu.ts";

const ARGUMENTS = ARGUMENT_GFN * PAGE;
/** Where it has its control block and event words, if it has. */
const CONTROL_GFN = 22;
const WORDS_GFN = 23;
const PORT_OPERATIONS = [EVTCHNOP_send, EVTCHNOP_unmask, EVTCHNOP_close, EVTCHNOP_bind_ipi, EVTCHNOP_set_priority];
// MSRs of the local APIC.
const APIC_BASE = 0x1b;
const TSC_DEADLINE = 0x6e0;
const X2APIC = 0x800;
const ICR = 0x830;
/** Bytes of noise that pointers among the arguments lead to, and then some way beyond. */
const NOISE = 256;

/** A guest that tries everything, with arguments that are wrong in every way a random number can be. */
export function hostileGuest(scene: Scene): GuestProgram {
  const { random } = scene;
  const operations = [
    0, 1, 2, 4, 7, 12, 12, 13, 14, 15, 17, 18, 20, 20, 20, 21, 24, 24, 26, 29, 32, 32, 32, 33, 34, 34, 35, 36, 36, 39,
    41, 55, 63,
  ];

  function* anyHypercall(cpu: GuestCpu): Steps<void> {
    const op = random.oneIn(8) ? random.hostile64() : BigInt(random.pick(operations));
    // A guest may always end itself: not interesting here, so SCHEDOP_shutdown and its kind are left out.
    const command = BigInt(random.below(28));
    if (op === 29n && (command === 2n || command === 5n || command === 6n)) return;
    const noise = new DataView(new ArrayBuffer(NOISE));
    for (let i = 0; i < NOISE; i += 8) noise.setBigUint64(i, random.hostile64(), true);
    cpu.poke(ARGUMENTS, new Uint8Array(noise.buffer));
    const pointer = BigInt(ARGUMENTS + random.below(64) * 8);
    const argument = (): bigint => {
      if (random.oneIn(2)) return pointer;
      return random.oneIn(2) ? BigInt(random.below(16)) : random.hostile64(); // a count, or anything
    };
    const first = random.oneIn(6) ? random.hostile64() : command;
    yield* hypercall(cpu, op, first, argument(), argument(), argument(), argument());
  }

  /** Spoils event words and the heads of queues, and has an event put behind them. */
  function* spoilQueues(cpu: GuestCpu): Steps<void> {
    for (let i = 0; i < 4; i++) {
      const gpa = random.pick([CONTROL_GFN * PAGE + random.below(18) * 4, WORDS_GFN * PAGE + random.below(64) * 4]);
      const value = new DataView(new ArrayBuffer(4));
      value.setUint32(0, random.u32(), true);
      if (cpu.has(gpa)) cpu.poke(gpa, new Uint8Array(value.buffer));
    }
    const port = new DataView(new ArrayBuffer(8));
    port.setUint32(0, random.below(8), true);
    port.setUint32(4, random.below(17), true); // a priority, for set_priority
    cpu.poke(ARGUMENTS, new Uint8Array(port.buffer));
    yield* hypercall(cpu, __HYPERVISOR_event_channel_op, random.pick(PORT_OPERATIONS), ARGUMENTS);
  }

  /** One senseless use of the local APIC: its modes, deadline, registers. Not INIT to itself, which would end the guest. */
  function* useApic(): Steps<void> {
    const msr = random.pick([APIC_BASE, TSC_DEADLINE, X2APIC + random.below(64), X2APIC + random.below(64), ICR]);
    let value = random.oneIn(2) ? random.hostile64() : BigInt(random.below(1 << 20));
    if (msr === APIC_BASE) value = 0xfee00000n | (BigInt(random.below(4)) << 10n);
    if (msr === ICR && (value & 0x700n) === 0x500n) value &= ~0x700n;
    const rdx = BigInt.asUintN(64, value) >> 32n;
    const write = random.oneIn(4) ? 0n : 1n;
    yield { kind: "exit", code: 0x7c, info1: write, rcx: BigInt(msr), rax: value & 0xffff_ffffn, rdx };
  }

  /** A memory operation whose structure may have been given away when it is done. */
  function* memoryOp(cpu: GuestCpu, op: number, size: number, fill: (view: DataView) => void): Steps<void> {
    const bytes = new Uint8Array(size);
    fill(new DataView(bytes.buffer));
    cpu.poke(ARGUMENTS, bytes);
    yield* hypercall(cpu, __HYPERVISOR_memory_op, op, ARGUMENTS);
  }

  /** A devctl of the right version, on any domain; or something done to its device page. */
  function* devices(cpu: GuestCpu): Steps<void> {
    const gfn = BigInt(NOXS_DEVICE_PAGE / PAGE);
    const list = ARGUMENTS + 2048;
    const extent = (view: DataView): void => {
      cpu.view(list, 8).setBigUint64(0, gfn, true);
      view.setBigUint64(MemoryReservation.extent_start, BigInt(list), true);
      view.setBigUint64(MemoryReservation.nr_extents, 1n, true);
      view.setUint16(MemoryReservation.domid, DOMID_SELF, true);
    };
    switch (random.below(8)) {
      case 0:
        yield { kind: "access", gpa: NOXS_DEVICE_PAGE + 8 * random.below(512), write: true, value: random.u64() };
        break;
      case 1: {
        const [op, size] = [XENMEM_remove_from_physmap, RemoveFromPhysmap.SIZE];
        yield* memoryOp(cpu, op, size, (view) => {
          view.setUint16(RemoveFromPhysmap.domid, DOMID_SELF, true);
          view.setBigUint64(RemoveFromPhysmap.gpfn, gfn, true);
        });
        break;
      }
      case 2:
      case 3: {
        const op = random.pick([XENMEM_decrease_reservation, XENMEM_populate_physmap]);
        yield* memoryOp(cpu, op, MemoryReservation.SIZE, extent);
        break;
      }
      case 4:
        yield* memoryOp(cpu, XENMEM_add_to_physmap, AddToPhysmap.SIZE, (view) => {
          view.setUint16(AddToPhysmap.domid, DOMID_SELF, true);
          view.setUint32(AddToPhysmap.space, random.pick([XENMAPSPACE_gmfn, XENMAPSPACE_shared_info]), true);
          view.setBigUint64(AddToPhysmap.idx, random.oneIn(2) ? gfn : BigInt(random.below(32)), true);
          view.setBigUint64(AddToPhysmap.gpfn, random.oneIn(2) ? gfn : BigInt(random.below(64)), true);
        });
        break;
      default: {
        const call = new DataView(new ArrayBuffer(Devctl.SIZE));
        for (let at = 0; at < Devctl.SIZE; at += 8) call.setBigUint64(at, random.hostile64(), true);
        call.setUint32(Devctl.version, XEN_DEVCTL_VERSION, true);
        call.setUint32(Devctl.cmd, random.below(6), true);
        call.setUint16(Devctl.domain, random.pick([DOMID_SELF, DOMID_SELF, 0, 1, 2, 3, random.u32() & 0xffff]), true);
        cpu.poke(ARGUMENTS, new Uint8Array(call.buffer));
        yield* hypercall(cpu, __HYPERVISOR_devctl, random.oneIn(8) ? random.hostile64() : ARGUMENTS);
      }
    }
  }

  function* anything(cpu: GuestCpu): Steps<void> {
    switch (random.below(15)) {
      case 14:
        yield* devices(cpu);
        break;
      case 13:
        yield* useApic();
        break;
      case 0:
        yield { kind: "exit", code: 0x72, rax: BigInt(random.u32()), rcx: BigInt(random.below(4)) }; // CPUID
        break;
      case 1:
        yield {
          kind: "exit",
          code: 0x7c,
          info1: BigInt(random.below(2)),
          rcx: BigInt(random.u32()),
          rax: BigInt(random.u32()),
          rdx: 0n,
        }; // MSR
        break;
      case 2:
        yield { kind: "access", gpa: random.below(1 << 20) * PAGE, write: random.oneIn(2), value: random.u64() };
        break;
      case 3:
        yield { kind: "spin", ns: random.below(random.oneIn(8) ? 30_000_000 : 300_000) };
        break;
      case 4:
        yield* spoilQueues(cpu);
        break;
      default:
        yield* anyHypercall(cpu);
    }
  }

  return function* (cpu: GuestCpu): Generator<GuestRequest, void, bigint> {
    yield* addToPhysmap(cpu, XENMAPSPACE_shared_info, SHARED_INFO_GFN);
    yield* addToPhysmap(cpu, XENMAPSPACE_grant_table, GRANT_TABLE_GFN);
    if (random.oneIn(2)) {
      yield* initControl(cpu, 0, CONTROL_GFN);
      yield* expandArray(cpu, WORDS_GFN);
    }
    // Until it has given away the page of its arguments: a triple fault.
    while (cpu.has(ARGUMENTS)) {
      try {
        yield* anything(cpu);
      } catch (error) {
        if (!(error instanceof GuestException)) throw error; // its own fault: on to the next
      }
    }
  };
}
