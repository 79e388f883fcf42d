/** What a user can do when domain 0 cannot be connected to one more domain. */
import { ENOSPC } from "../../../abi/errno.ts";
import { BuildError } from "../builder/build-error.ts";
import { HypercallError } from "../hypercall.ts";

/** The error in words if it is the lack of an event channel, else as it is. @param domains how many there are */
export function noPortLeft(error: unknown, domains: number): unknown {
  if (!(error instanceof HypercallError) || error.code !== ENOSPC) return error;
  return new BuildError(
    `domain 0 has no event channel left for one more domain: there are ${domains}; destroy some first`,
  );
}
