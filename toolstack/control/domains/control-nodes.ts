/**
 * Requests to a guest through the nodes it watches: Xen's docs/misc/xenstore-paths.pandoc, "control" and
 * "memory", and what libxl does for xl shutdown, sysrq, vcpu-set and mem-set.
 */
import type { LocalStore } from "../store/local.ts";
import { domainPath } from "./domain-nodes.ts";

/** Requests in control/shutdown. */
export type ShutdownRequest = "poweroff" | "reboot";

/** Requests a domain to shut down. */
export function askShutdown(local: LocalStore, domain: number, request: ShutdownRequest): void {
  local.write(`${domainPath(domain)}/control/shutdown`, request);
}

/** True if the guest announces support for that request. */
export function obeys(local: LocalStore, domain: number, request: ShutdownRequest): boolean {
  return local.read(`${domainPath(domain)}/control/feature-${request}`) === "1";
}

/** True if the guest has accepted the request, by emptying the node. */
export function hasTakenShutdown(local: LocalStore, domain: number): boolean {
  return local.read(`${domainPath(domain)}/control/shutdown`) === "";
}

/** Sends a magic system request, one character. */
export function sendSysrq(local: LocalStore, domain: number, key: string): void {
  local.write(`${domainPath(domain)}/control/sysrq`, key);
}

/** Number of vCPUs the domain was created with. */
export function vcpuNodes(local: LocalStore, domain: number): number {
  return local.list(`${domainPath(domain)}/cpu`)?.length ?? 0;
}

/** Asks a guest to use its first `online` vCPUs and no others. */
export function setOnlineVcpus(local: LocalStore, domain: number, online: number): void {
  for (let i = 0; i < vcpuNodes(local, domain); i++) {
    local.write(`${domainPath(domain)}/cpu/${i}/availability`, i < online ? "online" : "offline");
  }
}

/** KiB that a domain is to have, and the most it may be asked to have; NaN if the nodes are missing. */
export function memoryTarget(local: LocalStore, domain: number): { target: number; most: number } {
  const number = (node: string) => Number(local.read(`${domainPath(domain)}/memory/${node}`) ?? NaN);
  return { target: number("target"), most: number("static-max") };
}

/** Asks a guest's balloon driver for another size. @param uuid its /vm name */
export function setMemoryTarget(local: LocalStore, domain: number, uuid: string, kib: number): void {
  local.write(`${domainPath(domain)}/memory/target`, String(kib));
  local.write(`/vm/${uuid}/memory`, String(Math.floor(kib / 1024)));
}
