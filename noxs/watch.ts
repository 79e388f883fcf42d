/** How a NoXS frontend is told of a change on its device's control page (abi/io/noxs.ts). */
import { noxs_watch_updated, NoxsCtrlHdr } from "../abi/io/noxs";
import { barrier, write32 } from "../drivers/host/host";
import { eventSend } from "../drivers/host/hypercalls";

/**
 * Tells the frontend that its control page has changed: at every change, whether it has asked to be told or not. LightVM's
 * Mini-OS asks in one thread and takes the request back in another, that of the change before; who heeds only requests leaves
 * it waiting for ever.
 * @param page its control page, written before
 * @param port of the device, 0: none, the frontend looks when it has bound one
 */
export function frontendTell(page: usize, port: u32): void {
  barrier();
  write32(page + NoxsCtrlHdr.fe_watch_state, noxs_watch_updated);
  if (port) eventSend(port);
}
