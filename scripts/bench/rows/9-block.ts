/** Block requests of a guest, beside Linux's back end on Xen. */
import type { BenchFigure, BenchRow } from "../bench.ts";
import { BLOCK_RUNS, linuxRequests, typevisorRequests } from "../block.ts";

export const row: BenchRow = {
  name: "block",
  definition:
    "everything that is executed while a guest has requests of one kind done, hypervisor, back end, driver and guest together, per request; less what a spinning guest of the lowest weight has executed meanwhile, which is the time nobody else needed. One at a time: 150 requests behind the 20th; 32 at a time: 1,000 behind the 100th. The requests go through a partition of a virtio-blk disk in order, from pages that stay granted (persistent grants), those of 128 KiB with indirect segments. Over NoXS and over xenbus on Typevisor; on Xen over xenbus through Linux's blkback in a PV domain 0, in the same machine with the same guests. The disk is a file of this computer's, in QEMU's own time: what it does is not counted",
  measure: async () => {
    const noxs = await typevisorRequests("noxs");
    const xenbus = await typevisorRequests("xenbus");
    const xen = await linuxRequests();
    const models = [
      ["NoXS", noxs],
      ["xenbus", xenbus],
    ] as const;
    return models.flatMap(([model, figures]) =>
      BLOCK_RUNS.map(({ name, what }): BenchFigure => ({
        what: `${what}, ${model}`,
        value: figures.get(name)!,
        unit: "instructions",
        xen: xen?.get(name),
      })),
    );
  },
};
