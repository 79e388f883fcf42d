/** Why this machine cannot run guests, if it cannot: from the hypervisor's log. */
import { XEN_SYSCTL_PHYSCAP_hvm } from "../../abi/sysctl.ts";
import { physicalInfo, readHypervisorLog } from "./hypercalls/sysctl.ts";
import { decodeUtf8 } from "./text.ts";

/** The reason as text; null when guests can run. */
export function guestRefusal(): string | null {
  if ((physicalInfo().capabilities & XEN_SYSCTL_PHYSCAP_hvm) !== 0) return null;
  let log = "";
  readHypervisorLog((piece) => {
    log += decodeUtf8(piece);
  });
  const said = /^.*?(No guests can run here: .*?)\s*$/m.exec(log);
  return said?.[1] ?? "No guests can run here: see dmesg";
}
