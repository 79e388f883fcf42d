/**
 * lwIP, the guests' TCP/IP: Debian's source package, fetched once, compiled for a guest (or for this computer, where tests run
 * guests' code as a process) with the configuration in guests/lib/net/.
 */
import path from "node:path";
import { fromRoot } from "../paths.ts";
import { findSource, type FoundSource } from "../source-packages.ts";
import { buildLibrary } from "./archive.ts";

/** The files of lwIP that are compiled. */
export function lwipSources(folder: string): string[] {
  return [...SOURCES, "src/netif/ethernet.c"].map((file) => path.join(folder, file));
}

/** What is compiled of lwIP: IPv4 over Ethernet, with TCP, UDP, ICMP, ARP, DHCP and DNS. */
const SOURCES = [
  ...["def", "dns", "inet_chksum", "init", "ip", "mem", "memp", "netif", "pbuf", "tcp", "tcp_in", "tcp_out", "udp"],
  ...["ipv4/dhcp", "ipv4/etharp", "ipv4/icmp", "ipv4/ip4", "ipv4/ip4_addr", "ipv4/ip4_frag"],
].map((name) => `src/core/${name}.c`);

/** Its own configuration: lwipopts.h and the arch/ headers. */
const configuration = fromRoot("guests/lib/net/port");

/** Where lwIP is unpacked, or why it cannot be had. */
export function findLwip(): Promise<FoundSource> {
  return findSource("lwip");
}

/** Flags for what includes lwIP's headers. */
export function lwipIncludes(folder: string): string[] {
  return ["-I", configuration, "-isystem", path.join(folder, "src/include")];
}

/** lwIP as a static library, compiled with `flags`; `name` tells such libraries apart. */
export async function buildLwip(folder: string, name: string, flags: string[]): Promise<string> {
  const sources = lwipSources(folder);
  return buildLibrary({
    name,
    title: "compiled lwIP",
    inputs: () => [configuration, path.join(folder, "src/include"), ...sources],
    sources,
    // Not our code: its warnings are not ours to mend.
    flags: [...flags, "-w", ...lwipIncludes(folder)],
  });
}
