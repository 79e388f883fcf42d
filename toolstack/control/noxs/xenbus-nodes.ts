/**
 * A xenbus device's nodes in the store, as libxl writes them: the frontend's, which the guest owns, and the backend's, which it may
 * read. The backend is the I/O domain; its nodes are domain 0's, which speaks for it.
 *
 * Source: libxl__device_generic_add, libxl__set_xenstore_vif, libxl__set_xenstore_disk; Xen's xenstore-paths.pandoc.
 */
import { IO_DOMAIN } from "../../../abi/io/layout.ts";
import { domainPath } from "../domains/domain-nodes.ts";
import type { LocalStore } from "../store/local.ts";
import { formatIpv4, formatMac } from "../../api/devices/addresses.ts";
import type { VbdConfig } from "./vbd-config.ts";
import type { VifConfig } from "./vif-config.ts";
import { XenbusState, type Nodes } from "./xenbus.ts";

export type XenbusType = "vif" | "vbd";

/** Paths of a device's two halves. */
export interface XenbusPaths {
  frontend: string;
  backend: string;
}

export function xenbusPaths(type: XenbusType, domain: number, devid: number): XenbusPaths {
  return {
    frontend: `${domainPath(domain)}/device/${type}/${devid}`,
    backend: `${domainPath(IO_DOMAIN)}/backend/${type}/${domain}/${devid}`,
  };
}

const INITIALISING = String(XenbusState.Initialising);

/** Creates both halves; the domain's own nodes are there. */
export function writeDevice(
  local: LocalStore,
  domain: number,
  { frontend, backend }: XenbusPaths,
  ofFrontend: Nodes,
  ofBackend: Nodes,
): void {
  writeBackend(local, domain, { frontend, backend }, [...ofBackend, ["state", INITIALISING]]);
  writeFrontend(local, domain, { frontend, backend }, ofFrontend);
}

/** Creates the frontend's half, as one that has not begun. */
export function writeFrontend(
  local: LocalStore,
  domain: number,
  { frontend, backend }: XenbusPaths,
  nodes: Nodes,
): void {
  writeHalf(
    local,
    frontend,
    [`n${domain}`, "r0"],
    [["backend", backend], ["backend-id", String(IO_DOMAIN)], ...nodes, ["state", INITIALISING]],
  );
}

/** Creates the backend's half, or writes it anew. */
export function writeBackend(
  local: LocalStore,
  domain: number,
  { frontend, backend }: XenbusPaths,
  nodes: Nodes,
): void {
  writeHalf(
    local,
    backend,
    ["n0", `r${domain}`],
    [["frontend", frontend], ["frontend-id", String(domain)], ["online", "1"], ...nodes],
  );
}

function writeHalf(local: LocalStore, path: string, permissions: string[], nodes: Nodes): void {
  local.write(path, "");
  local.setPermissions(path, ...permissions);
  for (const [name, value] of nodes) local.write(`${path}/${name}`, value);
}

/** Removes both halves. */
export function removeDeviceNodes(local: LocalStore, { frontend, backend }: XenbusPaths): void {
  local.remove(frontend);
  local.remove(backend);
}

export function vifNodes(devid: number, config: VifConfig & { mac: Uint8Array }): { frontend: Nodes; backend: Nodes } {
  const mac = formatMac(config.mac);
  return {
    frontend: [
      ["handle", String(devid)],
      ["mac", mac],
      ["mtu", "1500"],
    ],
    backend: [
      ["handle", String(devid)],
      ["mac", mac],
      ["bridge", config.bridge],
      ...(config.ip === undefined ? [] : [["ip", formatIpv4(config.ip)] as const]),
      ["type", "vif"],
      ["hotplug-status", "connected"],
    ],
  };
}

export function vbdNodes({ target, vdev, number, writable }: VbdConfig): { frontend: Nodes; backend: Nodes } {
  return {
    frontend: [
      ["virtual-device", String(number)],
      ["device-type", "disk"],
    ],
    backend: [
      ["params", `${target.kind}:${target.name}`],
      ["removable", "0"],
      ["bootable", "1"],
      ["dev", vdev],
      ["type", "phy"],
      ["mode", writable ? "w" : "r"],
      ["device-type", "disk"],
      ["hotplug-status", "connected"],
    ],
  };
}
