/** A host that does nothing, for tests of what needs a part of it: spread it, and give the window and that part. */
import type { Host } from "../../../toolstack/control/host.ts";

const nothing = () => {};

export const NO_HOST: Omit<Host, "machineWindow"> = {
  hypercall: nothing,
  exchange: nothing,
  sandbox: nothing,
  encode: nothing,
  random: nothing,
};
