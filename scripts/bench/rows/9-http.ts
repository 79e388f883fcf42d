/** The TypeScript HTTP demo as a guest, and on Node in a Debian guest: work per request, from create to the first answer, memory. */
import type { BenchFigure, BenchRow } from "../bench.ts";
import { httpFigures, LOAD, REQUESTS, SUBJECTS } from "../http.ts";

export const row: BenchRow = {
  name: "http",
  definition: `guests/typescript/demo/server.ts, once as a guest (\`chaos build\`; ${SUBJECTS[0]!.memoryMib} MiB), once bundled for Debian's Node 18 in a guest of Debian's cloud kernel (${SUBJECTS[1]!.memoryMib} MiB, all files in its initramfs, xen-netfront), one vCPU each, asked by \`wrk -t 1 -c ${LOAD.connections}\` in a Linux guest on the same bridge, so that nothing of it passes the emulator's network. Per request: processor time of the guest and of the I/O domain, hypervisor included, over what wrk counts in ${LOAD.runSeconds} s of the machine's clock behind ${LOAD.warmSeconds} s to warm up; what wrk's guest and domain 0 execute is not in it. Requests per second are wrk's, it and the server taking turns on the one processor, where a second is 10^9 instructions. Create to first answer: processor time of domain 0 in \`create\`, of the guest and of the I/O domain, until ${REQUESTS[0].path} was answered. Memory: frames of the machine that are in use with that guest and were not before it, its devices' and page tables' included: Debian's is what it was given`,
  measure: async () => {
    const figures = await httpFigures();
    return SUBJECTS.flatMap(({ name, what }): BenchFigure[] => {
      const { start, memoryKib, requests } = figures.get(name)!;
      return [
        ...REQUESTS.flatMap((request): BenchFigure[] => {
          const { all, guest, io, perSecond } = requests.get(request.name)!;
          return [
            { what: `${what}: ${request.name}`, value: all, unit: "instructions" },
            { what: "  of that the guest", value: guest, unit: "instructions" },
            { what: "  of that the I/O domain", value: io, unit: "instructions" },
            { what: "  requests per second", value: perSecond, unit: "1/s" },
          ];
        }),
        { what: `${what}: create to first answer`, value: start, unit: "instructions" },
        { what: `${what}: memory`, value: memoryKib, unit: "KiB" },
      ];
    });
  },
};
