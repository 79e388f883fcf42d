/** Frames from guest to guest and from guest to card, beside Linux's back end and bridge on Xen. */
import type { BenchFigure, BenchRow } from "../bench.ts";
import { FRAME_RUNS, linuxFrames, typevisorFrames } from "../network.ts";

export const row: BenchRow = {
  name: "network",
  definition:
    "everything that is executed from the 400th (40th) frame that a guest sends until the back end has taken all of the 4,000 (400) behind it, hypervisor, back end, switch, sender and receiver together, per frame that arrives; less what a spinning guest of the lowest weight has executed meanwhile, which is the time nobody else needed. Frames of 1,514 bytes, and of 65,214 with 45 segments to be cut; the guest copies each into pages that stay granted, 128 of them for what is under way, one queue. Over NoXS and over xenbus on Typevisor; on Xen over xenbus through Linux's netback and bridge in a PV domain 0, in the same machine with the same guests. Cards are on a wire without listeners, in QEMU's own time: what they do is not counted; all frames must have left through them. The virtio-net card has no checksum offload there, as QEMU's wire takes none: software sums, on both",
  measure: async () => {
    const noxs = await typevisorFrames("noxs");
    const xenbus = await typevisorFrames("xenbus");
    const xen = await linuxFrames();
    const models = [
      ["NoXS", noxs],
      ["xenbus", xenbus],
    ] as const;
    return models.flatMap(([model, figures]) =>
      FRAME_RUNS.map(({ name, what }): BenchFigure => ({
        what: `${what}, ${model}`,
        value: figures.get(name)!,
        unit: "instructions",
        xen: xen?.get(name),
      })),
    );
  },
};
