/** xen_version: the hypervisor's version and capabilities. */
import {
  XEN_CAPABILITIES_INFO_LEN,
  XEN_EXTRAVERSION_LEN,
  XENVER_capabilities,
  XENVER_extraversion,
  XENVER_version,
} from "../../../abi/version.ts";
import { __HYPERVISOR_xen_version } from "../../../abi/xen.ts";
import { memory } from "../host.ts";
import { checked, hypercall } from "../hypercall.ts";
import { reserveScratch } from "../scratch.ts";
import { decodeCString } from "../text.ts";

const buffer = reserveScratch(XEN_CAPABILITIES_INFO_LEN);

function versionString(name: string, command: number, room: number): string {
  checked(name, hypercall(__HYPERVISOR_xen_version, command, buffer.address));
  return decodeCString(memory.read(buffer.address, room));
}

/** The version as Xen writes it: "4.17" and the extra version. */
export function xenVersion(): string {
  const version = checked("XENVER_version", hypercall(__HYPERVISOR_xen_version, XENVER_version));
  const extra = versionString("XENVER_extraversion", XENVER_extraversion, XEN_EXTRAVERSION_LEN);
  return `${version >>> 16}.${version & 0xffff}${extra}`;
}

/** Guest types the hypervisor runs, such as "hvm-3.0-x86_64". */
export function xenCapabilities(): string {
  return versionString("XENVER_capabilities", XENVER_capabilities, XEN_CAPABILITIES_INFO_LEN).trim();
}

/**
 * Whether there is memory at `address` of the window, or can be: the hypervisor writes there, where domain 0 itself would be
 * ended by a page that cannot be had. What is there is lost.
 */
export function canWrite(address: number): boolean {
  return hypercall(__HYPERVISOR_xen_version, XENVER_extraversion, address) >= 0;
}
