/** The event channels of a guest's console and xenstore rings: allocated when it is built, and again when it is reset. */
import {
  HVM_PARAM_CONSOLE_EVTCHN,
  HVM_PARAM_CONSOLE_PFN,
  HVM_PARAM_STORE_EVTCHN,
  HVM_PARAM_STORE_PFN,
} from "../../../abi/hvm.ts";
import { allocUnbound } from "../hypercalls/event-channel.ts";
import { getHvmParam, setHvmParam } from "../hypercalls/hvm.ts";

const DOMAIN_0 = 0;

/** The guest's ports and frames of both rings. */
export interface Rings {
  id: number;
  consoleGfn: number;
  consolePort: number;
  storeGfn: number;
  storePort: number;
}

/** Allocates a port for each ring and sets the guest's HVM parameters for them. */
export function openRings(id: number, consoleGfn: number, storeGfn: number): Rings {
  const consolePort = allocUnbound(id, DOMAIN_0);
  setHvmParam(id, HVM_PARAM_CONSOLE_PFN, consoleGfn);
  setHvmParam(id, HVM_PARAM_CONSOLE_EVTCHN, consolePort);
  const storePort = allocUnbound(id, DOMAIN_0);
  setHvmParam(id, HVM_PARAM_STORE_PFN, storeGfn);
  setHvmParam(id, HVM_PARAM_STORE_EVTCHN, storePort);
  return { id, consoleGfn, consolePort, storeGfn, storePort };
}

/** Ports and frames that were passed to a guest. */
export function ringsOf(id: number): Rings {
  return {
    id,
    consoleGfn: getHvmParam(id, HVM_PARAM_CONSOLE_PFN),
    consolePort: getHvmParam(id, HVM_PARAM_CONSOLE_EVTCHN),
    storeGfn: getHvmParam(id, HVM_PARAM_STORE_PFN),
    storePort: getHvmParam(id, HVM_PARAM_STORE_EVTCHN),
  };
}
