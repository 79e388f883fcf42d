/** Any sequence of memory operations by the toolstack leaves every frame with one owner and every page accounted for. */
import test from "ava";
import fc from "fast-check";
import { MemoryReservation, XENMEM_decrease_reservation } from "../../abi/memory.ts";
import { DOM0_SCRATCH } from "../../abi/domain0-layout.ts";
import { __HYPERVISOR_memory_op } from "../../abi/xen.ts";
import { Dom0 } from "../sim/dom0.ts";
import { Machine } from "../sim/machine.ts";
import { hypervisorModule } from "../sim/module.ts";
import { PAGE } from "../sim/ram.ts";
import { freeFrames } from "../sim/simulate.ts";

const PAGES = 24;

type Operation =
  | { kind: "populate"; gfn: number }
  | { kind: "decrease"; gfn: number }
  | { kind: "map"; gfn: number }
  | { kind: "unmap"; pick: number };

const gfn = fc.nat(PAGES * 2);
const operation: fc.Arbitrary<Operation> = fc.oneof(
  gfn.map((n): Operation => ({ kind: "populate", gfn: n })),
  gfn.map((n): Operation => ({ kind: "decrease", gfn: n })),
  gfn.map((n): Operation => ({ kind: "map", gfn: n })),
  fc.nat(1000).map((pick): Operation => ({ kind: "unmap", pick })),
);

function decrease(dom0: Dom0, domain: number, page: number): number {
  const list = new DataView(new ArrayBuffer(8));
  list.setBigUint64(0, BigInt(page), true);
  dom0.write(DOM0_SCRATCH + PAGE, new Uint8Array(list.buffer));
  return dom0.structured(__HYPERVISOR_memory_op, XENMEM_decrease_reservation, MemoryReservation.SIZE, (v) => {
    v.setBigUint64(MemoryReservation.extent_start, BigInt(DOM0_SCRATCH + PAGE), true);
    v.setBigUint64(MemoryReservation.nr_extents, 1n, true);
    v.setUint16(MemoryReservation.domid, domain, true);
  }).result;
}

test("frames have one owner and come back, whatever the toolstack does", async (t) => {
  const module = await hypervisorModule();
  fc.assert(
    fc.property(fc.array(operation, { maxLength: 60 }), (operations) => {
      const machine = new Machine(module);
      const dom0 = new Dom0(machine);
      for (let page = 0; page < 4; page++) dom0.page(DOM0_SCRATCH + page * PAGE, true);
      // A first mapping makes what is kept for good: the book of domain 0's window.
      const first = dom0.create();
      if (dom0.maxMem(first, 1) !== 0 || dom0.populate(first, [0]) !== 1) throw new Error("no first domain");
      dom0.unmapForeign(dom0.mapForeign(first, 0));
      dom0.destroy(first);
      machine.step(2);
      const before = freeFrames(dom0);

      const domain = dom0.create();
      if (dom0.maxVcpus(domain, 1) !== 0 || dom0.maxMem(domain, PAGES) !== 0) throw new Error("no domain");
      const present = new Set<number>();
      /** Pages that a later populate_physmap of the same gfn has put aside: still the domain's, as on Xen. */
      let aside = 0;
      /** gfn -1: its page is no longer the domain's or no longer at a gfn. */
      const mapped: { gfn: number; address: number }[] = [];
      for (const op of operations) {
        switch (op.kind) {
          case "populate": {
            const result = dom0.populate(domain, [op.gfn]);
            if (result !== 0 && result !== 1) throw new Error(`populating ${op.gfn} gave ${result}`);
            if (result === 0 && dom0.info(domain).pages < PAGES) throw new Error(`populating ${op.gfn} was refused`);
            if (result === 1 && present.has(op.gfn)) {
              aside++;
              for (const m of mapped) if (m.gfn === op.gfn) m.gfn = -1;
            }
            if (result === 1) present.add(op.gfn);
            break;
          }
          case "decrease": {
            const result = decrease(dom0, domain, op.gfn);
            if (result !== (present.has(op.gfn) ? 1 : 0)) throw new Error(`decreasing ${op.gfn} gave ${result}`);
            if (present.delete(op.gfn)) {
              for (const m of mapped) if (m.gfn === op.gfn) m.gfn = -1;
            }
            break;
          }
          case "map": {
            if (mapped.length >= 12) break;
            const address = dom0.mapForeign(domain, op.gfn);
            if (address > 0 !== present.has(op.gfn)) throw new Error(`mapping ${op.gfn} gave ${address}`);
            if (address > 0) mapped.push({ gfn: op.gfn, address });
            break;
          }
          case "unmap": {
            if (mapped.length === 0) break;
            const [gone] = mapped.splice(op.pick % mapped.length, 1);
            if (dom0.unmapForeign(gone!.address) !== 0) throw new Error("unmapping failed");
            break;
          }
        }
        if (machine.exports.audit() !== 0) throw new Error(`audit after ${op.kind}\n${machine.output.slice(-800)}`);
      }
      for (const m of mapped) dom0.unmapForeign(m.address);
      const { pages } = dom0.info(domain);
      if (pages !== present.size + aside) throw new Error(`${pages} pages, not ${present.size} and ${aside} put aside`);
      if (dom0.destroy(domain) !== 0) throw new Error("destroy failed");
      machine.step(2);
      return freeFrames(dom0) === before && machine.exports.audit() === 0;
    }),
    { numRuns: 60 },
  );
  t.pass();
});
