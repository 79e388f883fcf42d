/** What devices reach through an IOMMU, and what is said about tables of firmware's that make no sense. */
import test, { type ExecutionContext } from "ava";
import {
  GNTST_general_error,
  GNTST_okay,
  GrantEntryV1,
  GTF_permit_access,
  GTF_readonly,
} from "../../../abi/grant-table.ts";
import { IO_DMA, IO_DOMAIN, IO_MAP } from "../../../abi/io/layout.ts";
import { XENMAPSPACE_grant_table } from "../../../abi/memory.ts";
import { SCHEDOP_block } from "../../../abi/sched.ts";
import { __HYPERVISOR_sched_op } from "../../../abi/xen.ts";
import { addToPhysmap, GRANT_TABLE_GFN } from "../call.ts";
import { hypervisorModule } from "../module.ts";
import { PciFunction } from "../pci.ts";
import { PAGE } from "../ram.ts";
import type { GuestProgram } from "../svm-cpu.ts";
import { freeFrames } from "../simulate.ts";
import { AmdModel } from "./amd-model.ts";
import { CARD, IommuLab, OTHER, sorted } from "./lab.ts";
import type { IommuModel } from "./model.ts";
import { VtdModel } from "./vtd-model.ts";

const MODELS: [string, () => IommuModel][] = [
  ["VT-d", () => new VtdModel()],
  ["VT-d that does not look into caches", () => new VtdModel({ coherent: false })],
  [
    "VT-d with 4 levels and little else",
    () => new VtdModel({ levels: 4, large: false, selective: false, caching: true, coherent: false }),
  ],
  ["AMD-Vi", () => new AmdModel()],
];

function audit(t: ExecutionContext, lab: IommuLab): void {
  t.is(lab.machine.exports.audit(), 0, lab.log.slice(-1500));
}

/** Devices reach exactly what they should. */
function exact(t: ExecutionContext, lab: IommuLab): void {
  t.deepEqual(sorted(lab.reached()), sorted(lab.expected()));
  audit(t, lab);
}

/** A guest that grants its frames 9 and 10 to the I/O domain by entries 8 and 9, the second for reading. */
function granter(lab: IommuLab): number {
  let ready = false;
  const program: GuestProgram = function* (cpu) {
    yield* addToPhysmap(cpu, XENMAPSPACE_grant_table, GRANT_TABLE_GFN);
    for (const [ref, flags] of [
      [8, GTF_permit_access],
      [9, GTF_permit_access | GTF_readonly],
    ] as const) {
      const entry = cpu.view(GRANT_TABLE_GFN * PAGE + ref * GrantEntryV1.SIZE, GrantEntryV1.SIZE);
      entry.setUint16(GrantEntryV1.flags, flags, true);
      entry.setUint16(GrantEntryV1.domid, IO_DOMAIN, true);
      entry.setUint32(GrantEntryV1.frame, ref + 1, true);
    }
    ready = true;
    for (;;) yield { kind: "hypercall", op: __HYPERVISOR_sched_op, args: [SCHEDOP_block, 0] };
  };
  const id = lab.dom0.build(program, 64);
  lab.dom0.unpause(id);
  lab.machine.runUntil(() => ready, "the guest's grants");
  return id;
}

for (const [name, make] of MODELS) {
  test(`${name}: devices reach the I/O domain's memory for them, at its linear addresses, and no other`, async (t) => {
    const model = make();
    const lab = new IommuLab(await hypervisorModule(), model);
    const { io } = lab;
    t.true(model.on);
    t.regex(lab.log, /(VT-d|AMD-Vi) confines devices/);
    t.is(lab.access(IO_DMA), null, "not attached");
    lab.master();
    t.is(lab.access(IO_DMA), null, "nothing is there");
    for (const [address, order] of [
      [IO_DMA, 0],
      [IO_DMA + 8 * PAGE, 3],
      [IO_DMA + 512 * PAGE, 9],
    ] as const) {
      t.deepEqual(io.reserve(address, order), { done: 1, entry: BigInt(address / PAGE) });
      exact(t, lab);
    }
    t.is(lab.access(IO_DMA + 700 * PAGE), lab.machine.space(2).get(IO_DMA / PAGE + 700)!.mfn);
    io.reserve(0x200000);
    t.true(io.canTouch(0x200000));
    for (const address of [0, 0x200000, 0x10000000, lab.machine.space(2).get(IO_DMA / PAGE)!.mfn * PAGE]) {
      t.is(lab.access(address), null, address.toString(16));
    }
    t.is(lab.access(IO_DMA, true, OTHER), null, "another device");
    // One page of 2 MiB is given back: the rest stays.
    t.is(io.release(IO_DMA + 700 * PAGE), 1);
    t.is(lab.access(IO_DMA + 700 * PAGE), null);
    exact(t, lab);
    t.is(io.release(IO_DMA + 8 * PAGE, 3), 1);
    exact(t, lab);
  });

  test(`${name}: a frame that was granted is reached while it is mapped, with the grant's rights`, async (t) => {
    const lab = new IommuLab(await hypervisorModule(), make());
    lab.master();
    const guest = granter(lab);
    const first = lab.map(guest, 8, IO_MAP);
    const again = lab.map(guest, 8, IO_MAP + 5 * PAGE);
    t.deepEqual([first.status, again.status], [GNTST_okay, GNTST_okay]);
    t.deepEqual([first.bus, again.bus], [IO_MAP, IO_MAP + 5 * PAGE]);
    t.is(lab.map(guest, 9, IO_MAP + PAGE).status, GNTST_general_error, "not for writing");
    const readonly = lab.map(guest, 9, IO_MAP + PAGE, true);
    t.is(readonly.status, GNTST_okay);
    exact(t, lab);
    const frame = lab.access(IO_MAP)!;
    t.is(lab.access(IO_MAP + 5 * PAGE), frame);
    t.not(lab.access(IO_MAP + PAGE, false), null);
    t.is(lab.access(IO_MAP + PAGE, true), null);
    t.is(lab.io.unmapGrant(first.handle, IO_MAP), GNTST_okay);
    t.is(lab.access(IO_MAP), null, "at once, though it was cached");
    t.is(lab.access(IO_MAP + 5 * PAGE), frame, "the other mapping stays");
    exact(t, lab);
    // The guest goes; its frame stays until the last mapping is undone.
    lab.dom0.destroy(guest);
    lab.machine.step(3);
    t.is(lab.access(IO_MAP + 5 * PAGE), frame);
    t.is(lab.io.unmapGrant(again.handle, IO_MAP + 5 * PAGE), GNTST_okay);
    t.is(lab.io.unmapGrant(readonly.handle, IO_MAP + PAGE), GNTST_okay);
    lab.machine.step(3);
    t.deepEqual(sorted(lab.reached()), []);
    audit(t, lab);
  });

  test(`${name}: a restart of the I/O domain leaves its devices nothing, and gives back the tables`, async (t) => {
    const lab = new IommuLab(await hypervisorModule(), make());
    const fill = (): void => {
      lab.master();
      t.is(lab.io.reserve(IO_DMA).done, 1);
      t.is(lab.io.reserve(IO_DMA + 512 * PAGE, 9).done, 1);
      t.not(lab.access(IO_DMA), null);
      exact(t, lab);
    };
    lab.crash();
    fill();
    lab.crash();
    const before = freeFrames(lab.dom0);
    t.is(lab.access(IO_DMA), null);
    t.is(lab.reached().size, 0);
    fill();
    lab.crash();
    t.is(freeFrames(lab.dom0), before);
    t.is(lab.access(IO_DMA), null);
    audit(t, lab);
  });

  test(`${name}: accesses that are refused are logged in words, the first few of a minute`, async (t) => {
    const lab = new IommuLab(await hypervisorModule(), make());
    lab.master();
    const second = (): void => {
      const end = lab.machine.now + 1_100_000_000;
      lab.machine.runUntil(() => lab.machine.now > end, "a second");
    };
    lab.access(0x12345678, true);
    lab.access(0x5000, false, OTHER);
    second();
    t.regex(lab.log, /DMA: 0:3\.0 may not write to 0x12345000: the I\/O domain has given it no such memory/);
    t.regex(lab.log, /DMA: 0:4\.0 may not read from 0x5000: the I\/O domain does not use the device/);
    for (let i = 0; i < 40; i++) {
      lab.access(0x1000 * i, true);
      if (i % 3 === 2) second();
    }
    t.is(lab.log.split("DMA: ").length - 1, 8);
    for (let i = 0; i < 1000; i++) lab.access(0x1000 * i, true);
    for (let i = 0; i < 70; i++) second();
    t.regex(lab.log, /DMA: \d+ more accesses were refused/);
    lab.access(0x777000, true);
    second();
    t.regex(lab.log, /write to 0x777000/);
  });
}

test("a device behind a bridge is known by the bridge's requester id, too", async (t) => {
  const bridge = (address: number, bus: number, express: number | null): PciFunction => {
    const f = new PciFunction(address, [], 0, 6);
    f.config.setUint8(0xa, 4);
    f.config.setUint8(0xe, 1);
    f.config.setUint8(0x19, bus);
    if (express === null) f.config.setUint16(6, 0, true);
    else f.config.setUint16(0x82, express << 4, true);
    return f;
  };
  const device = new PciFunction(0x218, []);
  const model = new VtdModel();
  // A root port, behind it a bridge to PCI, and behind that the device; bus 3 is behind a bridge without PCI Express.
  const extra = [bridge(0x28, 1, 4), bridge(0x100, 2, 7), device, bridge(0x30, 3, null), new PciFunction(0x308, [])];
  const lab = new IommuLab(await hypervisorModule(), model, {}, extra);
  lab.io.reserve(IO_DMA);
  lab.master(0x218);
  const reaches = (requester: number): boolean => lab.access(IO_DMA, true, requester) !== null;
  t.deepEqual([0x218, 0x200, 0x100, 0x28, 0x308, 0x30].map(reaches), [true, true, true, false, false, false]);
  lab.master(0x308);
  t.deepEqual([0x308, 0x30].map(reaches), [true, true]);
  lab.crash();
  t.deepEqual([0x218, 0x200, 0x100, 0x308, 0x30].map(reaches), [false, false, false, false, false]);
  audit(t, lab);
});

const body = (model: IommuModel): Buffer => Buffer.from(model.table().bytes);
function changed(model: IommuModel, change: (bytes: Buffer) => void, sum = true): Uint8Array {
  const bytes = body(model);
  change(bytes);
  if (sum) bytes[9] = (bytes[9]! - bytes.reduce((total, byte) => total + byte, 0)) & 255;
  return bytes;
}

for (const [what, make, change, words] of [
  ["checksum", () => new VtdModel(), null, /VT-d is not used: the checksum of its DMAR table is wrong\. Drivers are/],
  ["length", () => new VtdModel(), (b: Buffer) => b.writeUInt32LE(40, 4), /its DMAR table is too short/],
  ["no unit", () => new VtdModel(), (b: Buffer) => b.writeUInt16LE(9, 48), /its DMAR table has no unit/],
  ["a unit's length", () => new VtdModel(), (b: Buffer) => b.writeUInt16LE(8, 50), /a unit in its DMAR table is too/],
  ["beyond its end", () => new VtdModel(), (b: Buffer) => b.writeUInt16LE(90, 50), /reaches beyond the table/],
  ["length of 0", () => new VtdModel(), (b: Buffer) => b.writeUInt16LE(0, 50), /reaches beyond the table/],
  ["in RAM", () => new VtdModel(), (b: Buffer) => b.writeUInt32LE(0x200000, 56), /places a unit where no registers/],
  ["not aligned", () => new VtdModel(), (b: Buffer) => b.writeUInt8(8, 56), /places a unit where no registers/],
  ["nothing there", () => new VtdModel(), (b: Buffer) => b.writeUInt32LE(0xd0000000, 56), /does not answer/],
  ["no queue", () => new VtdModel({ queue: false }), () => {}, /a VT-d unit has no invalidation queue/],
  ["AMD's checksum", () => new AmdModel(), null, /AMD-Vi is not used: the checksum of its IVRS table is wrong/],
  ["AMD's length", () => new AmdModel(), (b: Buffer) => b.writeUInt32LE(47, 4), /its IVRS table is too short/],
  ["AMD's beyond", () => new AmdModel(), (b: Buffer) => b.writeUInt16LE(900, 50), /its IVRS table reaches beyond/],
  ["AMD's in RAM", () => new AmdModel(), (b: Buffer) => b.writeUInt32LE(0x200000, 56), /where no registers can be/],
  ["AMD's nothing", () => new AmdModel(), (b: Buffer) => b.writeUInt32LE(0xd0000000, 56), /does not do what it is/],
] as [string, () => IommuModel, ((b: Buffer) => void) | null, RegExp][]) {
  test(`a table that makes no sense is refused in words, and the machine starts: ${what}`, async (t) => {
    const model = make();
    const iommuTable = changed(model, change ?? ((b) => b.writeUInt8(b[9]! ^ 1, 9)), change !== null);
    const lab = new IommuLab(await hypervisorModule(), model, { iommuTable });
    t.regex(lab.log, words);
    t.false(model.on);
    const { done, entry } = lab.io.reserve(IO_DMA);
    t.is(done, 1);
    t.is(Number(entry), lab.machine.space(2).get(IO_DMA / PAGE)!.mfn, "bus addresses are the machine's");
    lab.master();
    t.is(lab.card.command & 4, 4);
    audit(t, lab);
  });
}

test("iommu=off: it is left alone", async (t) => {
  const model = new VtdModel();
  const lab = new IommuLab(await hypervisorModule(), model, { commandLine: "iommu=off" });
  t.false(model.on);
  t.regex(lab.log, /VT-d is not used: iommu=off was given\. Drivers are trusted/);
  audit(t, lab);
});

test("a unit that stops answering ends the machine: what devices reach is not known any more", async (t) => {
  const model = new VtdModel();
  const lab = new IommuLab(await hypervisorModule(), model);
  lab.master();
  lab.io.reserve(IO_DMA);
  model.dead = true;
  t.throws(() => lab.io.release(IO_DMA), { message: /an IOMMU does not answer/ });
});

test("a function is no bus master when there is no entry for it", async (t) => {
  // Bus 1 is behind no bridge that is known: AMD's device table ends with bus 0.
  const model = new AmdModel();
  const lab = new IommuLab(await hypervisorModule(), model, {}, [new PciFunction(0x100, [])]);
  lab.master(0x100);
  t.is(lab.bus.functions.at(-1)!.command & 4, 0);
  lab.master(CARD);
  t.is(lab.card.command & 4, 4);
});
