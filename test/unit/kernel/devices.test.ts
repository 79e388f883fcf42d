/** What the I/O domain may do with devices, and what is taken back when it is restarted. */
import test from "ava";
import { EBUSY, EEXIST, EINVAL, ENODEV, ENOSYS, EOPNOTSUPP, EPERM } from "../../../abi/errno.ts";
import {
  EVTCHNOP_bind_pirq,
  EVTCHNOP_close,
  EVTCHNOP_status,
  EVTCHNSTAT_pirq,
  EvtchnBindPirq,
  EvtchnClose,
  EvtchnStatus,
} from "../../../abi/event-channel.ts";
import { IO_DOMAIN, IO_MAP, IO_MMIO, IO_SHARED_INFO } from "../../../abi/io/layout.ts";
import { RemoveFromPhysmap, XENMAPSPACE_dev_mmio, XENMEM_remove_from_physmap } from "../../../abi/memory.ts";
import {
  MAP_PIRQ_TYPE_GSI,
  MAP_PIRQ_TYPE_MSI_SEG,
  MAP_PIRQ_TYPE_MULTI_MSI,
  PhysdevEoi,
  PhysdevIrqStatusQuery,
  PhysdevMapPirq,
  PHYSDEVOP_eoi,
  PHYSDEVOP_irq_status_query,
  PHYSDEVOP_map_pirq,
  PHYSDEVOP_setup_gsi,
  PHYSDEVOP_unmap_pirq,
  PhysdevUnmapPirq,
} from "../../../abi/physdev.ts";
import { SCHEDOP_remote_shutdown, SchedRemoteShutdown, SHUTDOWN_crash } from "../../../abi/sched.ts";
import {
  SOFTWARE_EXIT_PORT,
  SOFTWARE_PORT_SIZE_SHIFT,
  SOFTWARE_PORT_WRITE,
  SoftwareExit,
} from "../../../abi/software.ts";
import {
  __HYPERVISOR_event_channel_op,
  __HYPERVISOR_memory_op,
  __HYPERVISOR_physdev_op,
  __HYPERVISOR_sched_op,
  DOMID_SELF,
  SharedInfo,
} from "../../../abi/xen.ts";
import { IoDomain } from "../../sim/io-domain.ts";
import { PciBus, PciFunction } from "../../sim/pci.ts";
import { PAGE } from "../../sim/ram.ts";
import { Lab, put, type Values } from "./lab.ts";

const CARD = 0x18; // 0:3.0
const BRIDGE = 0x08;
const TABLE = 0xe0001000;
const REGISTERS = 0xe0010000;
const PORTS = 0xc000;
const ENABLE = 0x80000000;

class Devices {
  readonly io: IoDomain;
  /** What the I/O domain does next time it runs. */
  private next: ((record: DataView) => number) | null = null;

  private constructor(
    readonly lab: Lab,
    readonly bus: PciBus,
    readonly card: PciFunction,
  ) {
    this.io = new IoDomain(lab.machine);
    lab.machine.ioTurn = (record) => {
      const once = this.next;
      this.next = null;
      return once?.(record);
    };
  }

  static async open(): Promise<Devices> {
    const bus = new PciBus();
    const card = bus.add(
      new PciFunction(
        CARD,
        [
          { size: 0x10000, base: REGISTERS },
          { size: 0x1000, base: TABLE },
          { size: 0x40, base: PORTS, io: true },
        ],
        4,
      ),
    );
    bus.add(new PciFunction(BRIDGE, [], 0, 0x06));
    return new Devices(await Lab.open({ ioImage: Uint8Array.of(1), pci: bus }), bus, card);
  }

  /** An access to a port by the domain, as an exit of it. */
  private port(access: number, value: number): number {
    let at: DataView | null = null;
    this.next = (record) => {
      at = record;
      record.setBigUint64(SoftwareExit.port, BigInt(access), true);
      record.setBigUint64(SoftwareExit.result, BigInt(value >>> 0), true);
      return SOFTWARE_EXIT_PORT;
    };
    this.wake();
    this.lab.machine.runUntil(() => at !== null, "the domain's access");
    return Number((at as unknown as DataView).getBigUint64(SoftwareExit.result, true));
  }

  in(port: number, size: number): number {
    return this.port(port | (size << SOFTWARE_PORT_SIZE_SHIFT), 0);
  }

  out(port: number, size: number, value: number): void {
    this.port((port | (size << SOFTWARE_PORT_SIZE_SHIFT) | SOFTWARE_PORT_WRITE) >>> 0, value);
  }

  read(address: number, register: number, size: number): number {
    this.out(0xcf8, 4, (ENABLE | (address << 8) | (register & 0xfc)) >>> 0);
    return this.in(0xcfc + (register & 3), size);
  }

  write(address: number, register: number, size: number, value: number): void {
    this.out(0xcf8, 4, (ENABLE | (address << 8) | (register & 0xfc)) >>> 0);
    this.out(0xcfc + (register & 3), size, value);
  }

  /** Gives the domain an event, so that it runs. */
  wake(): void {
    const { io } = this;
    const port = io
      .structured(__HYPERVISOR_event_channel_op, 6, 8, (v) => {
        v.setUint16(0, DOMID_SELF, true);
        v.setUint16(2, DOMID_SELF, true);
      })
      .view.getUint32(4, true);
    io.structured(__HYPERVISOR_event_channel_op, 0, 12, (v) => {
      v.setUint16(0, DOMID_SELF, true);
      v.setUint32(4, port, true);
    });
  }

  physdev<L extends { SIZE: number }>(op: number, layout: L, values: Values<L>): { result: number; view: DataView } {
    return this.io.structured(__HYPERVISOR_physdev_op, op, layout.SIZE, (v) => put(v, layout, values));
  }

  /** map_pirq: the pirq, or a negative errno. */
  map(values: Values<typeof PhysdevMapPirq>): number {
    const all = { domid: DOMID_SELF, index: -1, pirq: -1, ...values };
    const { result, view } = this.physdev(PHYSDEVOP_map_pirq, PhysdevMapPirq, all);
    return result < 0 ? result : view.getInt32(PhysdevMapPirq.pirq, true);
  }

  mapEntry(entry_nr: number): number {
    return this.map({ type: MAP_PIRQ_TYPE_MSI_SEG, devfn: CARD, entry_nr, table_base: TABLE });
  }

  bind(pirq: number): number {
    const { result, view } = this.io.structured(
      __HYPERVISOR_event_channel_op,
      EVTCHNOP_bind_pirq,
      EvtchnBindPirq.SIZE,
      (v) => put(v, EvtchnBindPirq, { pirq }),
    );
    return result < 0 ? result : view.getUint32(EvtchnBindPirq.port, true);
  }

  close(port: number): number {
    return this.io.structured(__HYPERVISOR_event_channel_op, EVTCHNOP_close, EvtchnClose.SIZE, (v) =>
      put(v, EvtchnClose, { port }),
    ).result;
  }

  /** Lets the machine take what waits; whether `port` has become pending since, which it takes back. */
  pending(port: number): boolean {
    this.lab.machine.step(4);
    const at = IO_SHARED_INFO + SharedInfo.evtchn_pending + 8 * Math.floor(port / 64);
    const word = new DataView(this.io.read(at, 8).buffer).getBigUint64(0, true);
    const bit = 1n << BigInt(port % 64);
    const cleared = new DataView(new ArrayBuffer(8));
    cleared.setBigUint64(0, word & ~bit, true);
    this.io.write(at, new Uint8Array(cleared.buffer));
    return (word & bit) !== 0n;
  }

  crash(): void {
    this.lab.dom0.structured(__HYPERVISOR_sched_op, SCHEDOP_remote_shutdown, SchedRemoteShutdown.SIZE, (v) =>
      put(v, SchedRemoteShutdown, { domain_id: IO_DOMAIN, reason: SHUTDOWN_crash }),
    );
    this.lab.machine.step(4);
  }
}

test("ports: configuration space, ports of functions in use, legacy ATA; the hypervisor's own are not there", async (t) => {
  const d = await Devices.open();
  t.is(d.read(CARD, 0, 4), 0x10411af4);
  t.is(d.read(CARD, 2, 2), 0x1041);
  t.is(d.read(CARD, 0xb, 1), 2);
  t.is(d.read(0x20, 0, 4), 0xffffffff, "nothing there");
  t.is(d.in(0xcf8, 4) >>> 0, (ENABLE | (0x20 << 8)) >>> 0);
  d.bus.ports.set(PORTS + 4, 0x77);
  t.is(d.in(PORTS + 4, 1), 0xffffffff, "not in use yet");
  d.write(CARD, 4, 2, 7);
  t.is(d.in(PORTS + 4, 1), 0x77);
  d.out(PORTS + 8, 2, 0x1234);
  t.is(d.bus.ports.get(PORTS + 8), 0x1234);
  t.is(d.in(PORTS + 0x3e, 4), 0xffffffff, "beyond the end");
  d.bus.ports.set(0x1f7, 0x50);
  t.is(d.in(0x1f7, 1), 0x50);
  const own = [
    0x20, 0x21, 0x40, 0x43, 0x61, 0x64, 0x70, 0x71, 0x92, 0xa0, 0xf4, 0x3f8, 0x3fd, 0x604, 0xb004, 0x8900, 0xcf9,
  ];
  for (const port of own) {
    d.bus.ports.delete(port);
    d.out(port, 1, 6);
    t.false(d.bus.ports.has(port), port.toString(16));
    t.is(d.in(port, 1), 0xffffffff, port.toString(16));
  }
  for (const size of [0, 3, 8, 255]) t.is(d.in(0xcfc, size), 0xffffffff);
  t.is(d.in(0xcfd, 2), 0xffffffff, "not aligned");
  d.lab.audit(t);
});

test("configuration space: base addresses are sized and stay, what a driver must write is written, and nothing else", async (t) => {
  const d = await Devices.open();
  const { card } = d;
  t.is(d.read(CARD, 0x10, 4) >>> 0, REGISTERS);
  d.write(CARD, 0x10, 4, 0xffffffff);
  t.is(d.read(CARD, 0x10, 4) >>> 0, 0xffff0000);
  t.is(card.config.getUint32(0x10, true), REGISTERS, "the device itself was asked once, by the hypervisor");
  d.write(CARD, 0x10, 4, 0x1000);
  t.is(d.read(CARD, 0x10, 4) >>> 0, REGISTERS, "not moved");
  d.write(CARD, 0x18, 4, 0xffffffff);
  t.is(d.read(CARD, 0x18, 4) >>> 0, 0xffffffc1);
  d.write(CARD, 0x18, 4, PORTS | 1);
  t.is(d.read(CARD, 0x18, 4), PORTS | 1);

  card.writes.length = 0;
  d.write(CARD, 4, 2, 0xffff);
  t.is(card.command, 0x547);
  d.write(CARD, 0x3c, 1, 11);
  d.write(CARD, 0xc, 1, 16);
  card.writes.length = 0;
  for (const [register, size] of [
    [0x52, 2],
    [0x54, 4],
    [0x5c, 2],
    [0x72, 2],
    [0x74, 4],
    [0x34, 1],
    [0x40, 4],
    [0x90, 2],
    [0, 4],
    [0x2c, 4],
  ] as const) {
    d.write(CARD, register, size, 0xffffffff);
  }
  t.deepEqual(card.writes, [], "messages, identity, what is not known");
  d.write(CARD, 0x88, 2, 0xffff);
  t.deepEqual(card.writes, [[0x88, 2, 0x7fff]], "no reset of the function");
  d.write(CARD, 0xc4, 2, 0x103);
  t.deepEqual(card.writes.at(-1), [0xc4, 2, 0x100], "D0");
  const bridge = d.bus.functions[1]!;
  d.write(BRIDGE, 4, 2, 7);
  d.write(BRIDGE, 0x18, 4, 0x010100);
  t.deepEqual(bridge.writes, []);
  d.lab.audit(t);
});

test("device memory is mapped uncached; RAM and the hypervisor's registers are refused, firmware's can only be read", async (t) => {
  const d = await Devices.open();
  const { io, lab } = d;
  const map = (pa: number, at = IO_MMIO): number => io.addToPhysmap(XENMAPSPACE_dev_mmio, pa / PAGE, at);
  const flags = (at: number): boolean | undefined => lab.machine.space(2).get(at / PAGE)?.writable;
  t.is(map(REGISTERS), 0);
  t.is(lab.machine.space(2).get(IO_MMIO / PAGE)?.mfn, REGISTERS / PAGE);
  t.true(lab.machine.space(2).get(IO_MMIO / PAGE)?.uncached);
  t.true(flags(IO_MMIO));
  t.is(map(REGISTERS + PAGE), -EEXIST);
  let next = IO_MMIO + PAGE;
  for (const pa of [
    0, 0x9e000, 0xa0000, 0x100000, 0x200000, 0x3fff000, 0xfee00000, 0xfee12000, 0xfec00000, 0xfed00000,
  ]) {
    t.is(map(pa, next), -EPERM, pa.toString(16));
  }
  t.is(map(2 ** 52, next), -EPERM);
  for (const pa of [0xe0000, 0xff000, 0xb0000000, 0xb01ff000]) {
    t.is(map(pa, next), 0, pa.toString(16));
    t.false(flags(next), pa.toString(16));
    next += PAGE;
  }
  t.is(map(0xb0200000, next), 0);
  t.true(flags(next));
  t.is(map(REGISTERS, IO_MAP), -EPERM);
  t.is(map(REGISTERS, 0x300000), -EPERM);
  t.is(
    lab.dom0.structured(__HYPERVISOR_memory_op, 7, 24, (v) => {
      v.setUint16(0, DOMID_SELF, true);
      v.setUint32(4, XENMAPSPACE_dev_mmio, true);
      v.setBigUint64(8, BigInt(REGISTERS / PAGE), true);
      v.setBigUint64(16, 0xd4000n, true);
    }).result,
    -EOPNOTSUPP,
  );
  lab.audit(t);
  const unmap = (at: number): number =>
    io.structured(__HYPERVISOR_memory_op, XENMEM_remove_from_physmap, RemoveFromPhysmap.SIZE, (v) => {
      v.setUint16(RemoveFromPhysmap.domid, DOMID_SELF, true);
      v.setBigUint64(RemoveFromPhysmap.gpfn, BigInt(at / PAGE), true);
    }).result;
  t.is(unmap(IO_MMIO), 0);
  t.is(map(REGISTERS), 0);
  d.crash();
  t.false(io.canTouch(IO_MMIO));
  lab.audit(t);
});

test("MSI-X: the hypervisor programs entries, an interrupt becomes an event, closing the port masks it", async (t) => {
  const d = await Devices.open();
  const { bus, card, io, lab } = d;
  t.is(io.addToPhysmap(XENMAPSPACE_dev_mmio, TABLE / PAGE, IO_MMIO), 0);
  t.true(lab.machine.space(2).get(IO_MMIO / PAGE)!.writable);
  t.is(d.mapEntry(4), -EINVAL, "there are four");
  const first = d.mapEntry(0);
  const third = d.mapEntry(2);
  t.true(first > 0 && third > 0 && first !== third);
  t.is(d.mapEntry(2), -EEXIST);
  t.is(d.map({ type: MAP_PIRQ_TYPE_MSI_SEG, devfn: CARD }), -EBUSY, "one kind at a time");
  t.is(d.map({ type: MAP_PIRQ_TYPE_MSI_SEG, devfn: BRIDGE, table_base: 1 }), -ENODEV);
  t.is(d.map({ type: MAP_PIRQ_TYPE_MSI_SEG, devfn: 0x20 }), -ENODEV);
  t.is(d.map({ type: MAP_PIRQ_TYPE_MSI_SEG, bus: 0x10000, devfn: CARD }), -EINVAL, "another segment");
  t.is(d.map({ type: MAP_PIRQ_TYPE_MULTI_MSI, devfn: CARD }), -EOPNOTSUPP);
  t.is(d.map({ type: MAP_PIRQ_TYPE_MSI_SEG, devfn: CARD, domid: 1 }), -EPERM);
  t.false(lab.machine.space(2).get(IO_MMIO / PAGE)!.writable, "the table is not the domain's any more");
  t.true((card.command & 0x400) !== 0, "no INTx beside messages");

  t.false(bus.message(card, 0), "masked until a port is bound");
  const port = d.bind(first);
  const other = d.bind(third);
  t.true(port > 0 && other > 0);
  t.is(d.bind(first), -EEXIST);
  t.is(d.bind(999), -EINVAL);
  const status = io.structured(__HYPERVISOR_event_channel_op, EVTCHNOP_status, EvtchnStatus.SIZE, (v) =>
    put(v, EvtchnStatus, { dom: DOMID_SELF, port }),
  ).view;
  t.is(status.getUint32(EvtchnStatus.status, true), EVTCHNSTAT_pirq);
  t.is(status.getUint32(EvtchnStatus.u_pirq, true), first);
  const ends = bus.ends;
  t.true(bus.message(card, 2));
  t.true(d.pending(other));
  t.true(bus.ends > ends, "the local APIC is told");
  t.false(d.pending(port));
  t.true(bus.message(card, 0));
  t.true(d.pending(port));
  t.is(d.physdev(PHYSDEVOP_unmap_pirq, PhysdevUnmapPirq, { domid: DOMID_SELF, pirq: first }).result, -EBUSY);
  lab.audit(t);
  t.is(d.close(port), 0);
  t.false(bus.message(card, 0));
  t.is(d.physdev(PHYSDEVOP_unmap_pirq, PhysdevUnmapPirq, { domid: DOMID_SELF, pirq: first }).result, 0);
  t.is(d.physdev(PHYSDEVOP_unmap_pirq, PhysdevUnmapPirq, { domid: DOMID_SELF, pirq: first }).result, -EINVAL);
  t.true(bus.message(card, 2), "the other one goes on");
  t.is(d.physdev(PHYSDEVOP_setup_gsi, PhysdevEoi, {}).result, -ENOSYS);
  lab.audit(t);
});

test("MSI: one message", async (t) => {
  const d = await Devices.open();
  const { bus, card } = d;
  const pirq = d.map({ type: MAP_PIRQ_TYPE_MSI_SEG, devfn: CARD });
  t.true(pirq > 0);
  t.is(card.config.getUint32(0x54, true) >>> 20, 0xfee);
  t.false(bus.message(card));
  const port = d.bind(pirq);
  t.true(bus.message(card));
  t.true(d.pending(port));
  t.is(d.mapEntry(0), -EBUSY);
  d.lab.audit(t);
});

test("a line: masked from its interrupt to its end, when it is level triggered", async (t) => {
  const d = await Devices.open();
  const { bus, lab } = d;
  t.is(d.map({ type: MAP_PIRQ_TYPE_GSI, index: 24 }), -EINVAL);
  t.is(d.map({ type: MAP_PIRQ_TYPE_GSI, index: 14, pirq: 15 }), -EINVAL);
  t.is(d.map({ type: MAP_PIRQ_TYPE_GSI, index: 18 }), 18);
  t.is(d.map({ type: MAP_PIRQ_TYPE_GSI, index: 18 }), 18, "again");
  t.is(d.map({ type: MAP_PIRQ_TYPE_GSI, index: 14 }), 14);
  t.is(d.map({ type: MAP_PIRQ_TYPE_GSI, index: 9 }), 9);
  t.deepEqual(
    [9, 14, 18].map((line) => bus.isLevel(line)),
    [true, false, true],
  );
  t.false(bus.pull(18));
  const port = d.bind(18);
  const edge = d.bind(14);
  const needs = (irq: number): number =>
    d
      .physdev(PHYSDEVOP_irq_status_query, PhysdevIrqStatusQuery, { irq })
      .view.getUint32(PhysdevIrqStatusQuery.flags, true);
  t.deepEqual([needs(18), needs(14)], [1, 0]);
  t.is(d.physdev(PHYSDEVOP_irq_status_query, PhysdevIrqStatusQuery, { irq: 20 }).result, -EINVAL);
  t.true(bus.pull(18));
  t.true(d.pending(port));
  t.false(bus.pull(18), "until its end");
  t.is(d.physdev(PHYSDEVOP_eoi, PhysdevEoi, { irq: 18 }).result, 0);
  t.true(bus.pull(18));
  t.true(d.pending(port));
  for (let i = 0; i < 3; i++) {
    t.true(bus.pull(14));
    t.true(d.pending(edge));
  }
  lab.audit(t);
});

test("a restart ends DMA, messages and lines; a late interrupt is nobody's", async (t) => {
  const d = await Devices.open();
  const { bus, card, lab } = d;
  const free = lab.free;
  for (let round = 0; round < 3; round++) {
    d.write(CARD, 4, 2, 7);
    d.write(CARD, 0x10, 4, 0xffffffff);
    const port = d.bind(d.mapEntry(1));
    const line = d.bind(d.map({ type: MAP_PIRQ_TYPE_GSI, index: 18 }));
    t.true(port > 0 && line > 0);
    t.true(bus.message(card, 1));
    const late = bus.vectors.at(-1)!;
    bus.vectors.length = 0;
    d.crash();
    t.is(card.command & 4, 0, "no bus master");
    t.false(bus.message(card, 1));
    t.false(bus.pull(18));
    t.is(card.config.getUint32(0x10, true), REGISTERS);
    t.is(d.read(CARD, 0x10, 4) >>> 0, REGISTERS, "nothing is being sized");
    const ends = bus.ends;
    bus.vectors.push(late);
    lab.machine.step(4);
    t.true(bus.ends > ends, "its end is told all the same");
    lab.audit(t);
  }
  t.true(free - lab.free < 8);
});

test("others have no devices", async (t) => {
  const d = await Devices.open();
  t.is(d.lab.dom0.hypercall(__HYPERVISOR_physdev_op, PHYSDEVOP_map_pirq, 0xc0010000), -ENOSYS);
  t.is(
    d.lab.dom0.structured(__HYPERVISOR_event_channel_op, EVTCHNOP_bind_pirq, EvtchnBindPirq.SIZE, () => {}).result,
    -EINVAL,
  );
});
