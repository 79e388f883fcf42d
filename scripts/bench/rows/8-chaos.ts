/** What requests from outside cost: a connection, a request, a create and a destroy as `chaos` makes them. */
import type { BenchFigure, BenchRow } from "../bench.ts";
import { measureChaos } from "../chaos.ts";

export const row: BenchRow = {
  name: "chaos",
  definition:
    "domain 0's and the I/O domain's processor time, TLS, TCP/IP and the virtio-net driver included, while a client on this computer works on the machine: a connection from TCP's handshake to the answer to HELLO and its end; a request that does nothing but be answered (`image list`); create of the guest `idle` with 2 MiB, paused, from a module, and its destroy, each over a connection that is open; the same two as the console's commands. Averages of 30 rounds without what measuring takes. The machine is never idle: a guest spins, so that time passes as instructions do; so no memory is cleaned ahead of time, and each create has the cleaning of its own in it",
  measure: async () => {
    const costs = await measureChaos();
    const unit = "instructions" as const;
    const figures: BenchFigure[] = [
      { what: "a connection: TCP, TLS, HELLO, its end", value: costs.connection, unit },
      { what: "a request that does nothing", value: costs.nothing, unit },
      { what: "create, over an open connection", value: costs.create, unit },
      { what: "create, at the console", value: costs.consoleCreate, unit },
      { what: "create: beyond the console's", value: costs.create - costs.consoleCreate, unit },
      { what: "destroy, over an open connection", value: costs.destroy, unit },
      { what: "destroy, at the console", value: costs.consoleDestroy, unit },
    ];
    return figures;
  },
};
