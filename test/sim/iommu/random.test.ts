/**
 * Random acts of the I/O domain, of guests that grant it frames and of devices that use all they reach: after each, nothing is reached,
 * by tables or by what a unit has cached, but what the domain has at that place. All is drawn from a seed.
 */
import test from "ava";
import { GNTST_okay, GrantEntryV1, GTF_permit_access } from "../../../abi/grant-table.ts";
import { IO_DMA, IO_DOMAIN, IO_MAP } from "../../../abi/io/layout.ts";
import { XENMAPSPACE_grant_table, XENMEM_decrease_reservation } from "../../../abi/memory.ts";
import { SCHEDOP_block } from "../../../abi/sched.ts";
import { __HYPERVISOR_sched_op } from "../../../abi/xen.ts";
import { addToPhysmap, GRANT_TABLE_GFN } from "../call.ts";
import { hypervisorModule, type Mutation, mutatedModule } from "../module.ts";
import { PAGE } from "../ram.ts";
import { Random } from "../random.ts";
import { type GuestProgram, Violation } from "../svm-cpu.ts";
import { AmdModel } from "./amd-model.ts";
import { IommuLab, OTHER, sorted } from "./lab.ts";
import type { IommuModel } from "./model.ts";
import { VtdModel } from "./vtd-model.ts";

const ACTS = 80;
const SEEDS = 4;
const MUTATION_SEEDS = 6;
const REFS = 8;
const FIRST_REF = 8;
const FIRST_GFN = 20;
const SLOTS = 24;

const MODELS: [string, () => IommuModel][] = [
  ["VT-d", () => new VtdModel({ coherent: false })],
  ["VT-d, poor", () => new VtdModel({ levels: 4, large: false, selective: false, caching: true })],
  ["AMD-Vi", () => new AmdModel()],
];

/** A guest that grants some of its frames, half of them for reading. */
function guest(lab: IommuLab): number {
  let ready = false;
  const program: GuestProgram = function* (cpu) {
    yield* addToPhysmap(cpu, XENMAPSPACE_grant_table, GRANT_TABLE_GFN);
    for (let i = 0; i < REFS; i++) {
      const entry = cpu.view(GRANT_TABLE_GFN * PAGE + (FIRST_REF + i) * GrantEntryV1.SIZE, GrantEntryV1.SIZE);
      entry.setUint16(GrantEntryV1.flags, GTF_permit_access, true);
      entry.setUint16(GrantEntryV1.domid, IO_DOMAIN, true);
      entry.setUint32(GrantEntryV1.frame, FIRST_GFN + i, true);
    }
    ready = true;
    for (;;) yield { kind: "hypercall", op: __HYPERVISOR_sched_op, args: [SCHEDOP_block, 0] };
  };
  const id = lab.dom0.build(program, 64);
  lab.dom0.unpause(id);
  lab.machine.runUntil(() => ready, "the guest's grants");
  return id;
}

function run(module: WebAssembly.Module, model: IommuModel, seed: number): void {
  const random = new Random(seed);
  const lab = new IommuLab(module, model);
  const { io, dom0, machine } = lab;
  const guests: number[] = [];
  let dma: { address: number; order: number }[] = [];
  let maps: { address: number; handle: number }[] = [];
  /** Where the next things are put: places are used again only when they are free. */
  const free = (): number | undefined => {
    const at = IO_MAP + random.below(SLOTS) * PAGE;
    return maps.some(({ address }) => address === at) ? undefined : at;
  };
  const act = (): void => {
    switch (random.below(10)) {
      case 0:
        if (guests.length < 3) guests.push(guest(lab));
        break;
      case 1:
        if (guests.length > 0) {
          dom0.destroy(guests.splice(random.below(guests.length), 1)[0]!);
          machine.step(2);
        }
        break;
      case 2:
        if (guests.length > 0) dom0.release(random.pick(guests), [FIRST_GFN + random.below(REFS)]);
        break;
      case 3:
      case 4:
      case 5: {
        const at = free();
        if (guests.length === 0 || at === undefined) break;
        const { status, handle } = lab.map(random.pick(guests), FIRST_REF + random.below(REFS), at, random.oneIn(2));
        if (status === GNTST_okay) maps.push({ address: at, handle });
        break;
      }
      case 6:
        if (maps.length > 0) {
          const { address, handle } = maps.splice(random.below(maps.length), 1)[0]!;
          if (io.unmapGrant(handle, address) !== GNTST_okay) throw new Violation("a mapping cannot be undone");
        }
        break;
      case 7: {
        const order = random.pick([0, 0, 1, 3, 9]);
        const address = IO_DMA + random.below(order === 9 ? 3 : 1024 >> order) * PAGE * 2 ** order;
        if (io.reserve(address, order).done === 1) dma.push({ address, order });
        break;
      }
      case 8:
        if (dma.length > 0) {
          const { address, order } = dma.splice(random.below(dma.length), 1)[0]!;
          // Parts of it first, at times.
          if (order > 1 && random.oneIn(2)) io.release(address + random.below(2 ** order) * PAGE);
          else io.reserve(address, order, XENMEM_decrease_reservation);
        }
        break;
      default:
        if (!random.oneIn(4)) break;
        lab.crash();
        dma = [];
        maps = [];
        if (lab.reached().size > 0) throw new Violation("a restart leaves something");
        lab.master();
    }
  };
  const check = (): void => {
    const reached = lab.reached();
    const should = lab.expected();
    for (const [page, { mfn, write }] of reached) {
      const allowed = should.get(page);
      if (allowed === undefined || allowed.mfn !== mfn || (write && !allowed.write)) {
        throw new Violation(`devices reach frame 0x${mfn.toString(16)} at page 0x${page.toString(16)}`);
      }
    }
    if (lab.access(IO_DMA, false, OTHER) !== null) throw new Violation("a device that is not attached reaches memory");
    if (JSON.stringify(sorted(reached)) !== JSON.stringify(sorted(should))) {
      throw new Violation("devices do not reach what they should");
    }
    // Devices use all that they reach, so that it is cached.
    for (const [page, { write }] of reached) lab.access(page * PAGE, write);
  };
  lab.master();
  for (let i = 0; i < ACTS; i++) {
    act();
    check();
    if (i % 30 === 0 && machine.exports.audit() !== 0) throw new Violation(lab.log.slice(-500));
  }
}

for (const [name, make] of MODELS) {
  test(`${name}: ${SEEDS} seeds break no rule of what devices reach`, async (t) => {
    const module = await hypervisorModule();
    for (let seed = 1; seed <= SEEDS; seed++) t.notThrows(() => run(module, make(), seed), `seed ${seed}`);
  });
}

/** Deliberate bugs, and the model that shows each. */
const MUTATIONS: (Mutation & { make: () => IommuModel })[] = [
  {
    name: "what is cached of a page is not forgotten when it is unmapped",
    file: "arch-x86/iommu/iommu.ts",
    find: "if (rc == 1) answered(",
    replace: "if (false) answered(",
    make: () => new VtdModel(),
  },
  {
    name: "a page stays in the tables when it is unmapped",
    file: "kernel/memory/physmap.ts",
    find: "const old = dmaConfined() && !dmaUnmapped(d, gfn) ? 0 : p2mUnmap(p2mOf(d), gfn);",
    replace: "const old = p2mUnmap(p2mOf(d), gfn);",
    make: () => new AmdModel(),
  },
  {
    name: "a grant for reading can be written",
    file: "kernel/memory/dma-space.ts",
    find: "order, type != P2M_GRANT_RO)",
    replace: "order, true)",
    make: () => new VtdModel(),
  },
  {
    name: "an entry is not written back to memory",
    file: "arch-x86/iommu/tables.ts",
    find: "  hw.store64(at, entry);\n  written(at, 8);",
    replace: "  hw.store64(at, entry);",
    make: () => new VtdModel({ coherent: false }),
  },
  {
    name: "a restart leaves devices attached",
    file: "kernel/devices/functions.ts",
    find: "      dmaDetach(f.address);\n",
    replace: "",
    make: () => new AmdModel(),
  },
];

for (const { make, ...mutation } of MUTATIONS) {
  test.serial(`it is noticed when ${mutation.name}`, async (t) => {
    t.timeout(20 * 60_000);
    const module = await mutatedModule(mutation);
    for (let seed = 1; seed <= MUTATION_SEEDS; seed++) {
      try {
        run(module, make(), seed);
      } catch (error) {
        t.log(`seed ${seed}: ${(error as Error).message.split("\n")[0]}`);
        t.pass();
        return;
      }
    }
    t.fail(`${MUTATION_SEEDS} seeds found nothing`);
  });
}
