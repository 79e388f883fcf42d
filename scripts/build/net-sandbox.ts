/** Domain 0's TCP/IP (guests/sandboxes/net): lwIP as the guests have it, and their code for it, compiled for a sandbox. */
import path from "node:path";
import { fromRoot } from "../paths.ts";
import { findLwip, lwipSources } from "./lwip.ts";
import { buildCModule, cModuleFile } from "./wasm-c.ts";

export const netWasm = cModuleFile("net");

const STACK_BYTES = 0x10000;

const libc = fromRoot("guests/sandboxes");
const own = path.join(libc, "net");
const library = fromRoot("guests/lib");
const SHARED = ["devices/netfront.c", "net/checksum.c", "net/link.c", "net/random.c", "net/timers.c"];

/** Brings build/net.wasm up to date; or says why lwIP, which it is made of, cannot be had. */
export function buildNetWasm(): Promise<{ missing: string } | undefined> {
  return buildNet("net", "compiled the TCP/IP module", "streams.c");
}

/** The same for build/net-client.wasm, which connects to others, too: for tests. */
export const netClientWasm = cModuleFile("net-client");
export function buildNetClientWasm(): Promise<{ missing: string } | undefined> {
  return buildNet("net-client", "compiled the TCP/IP module for tests", "client.c");
}

async function buildNet(name: string, title: string, streams: string): Promise<{ missing: string } | undefined> {
  const lwip = await findLwip();
  if ("missing" in lwip) return lwip;
  await buildCModule({
    name,
    title,
    inputs: () => [own, libc, library, path.join(lwip.folder, "src/include"), "/usr/include/xen"],
    own: [
      ...["main.c", streams].map((name) => path.join(own, name)),
      ...SHARED.map((name) => path.join(library, name)),
      path.join(libc, "bytes.c"),
    ],
    foreign: lwipSources(lwip.folder),
    flags: [
      "-fno-strict-aliasing",
      ...["-I", path.join(own, "port"), "-I", path.join(library, "net/port"), "-isystem", path.join(libc, "include")],
      ...["-isystem", path.join(lwip.folder, "src/include"), "-idirafter", "/usr/include"],
      // Xen's headers know x86 alone. No layout that is used here differs between its kinds.
      ...["-D__i386__", "-D__XEN_INTERFACE_VERSION__=__XEN_LATEST_INTERFACE_VERSION__"],
    ],
    stackBytes: STACK_BYTES,
  });
  return undefined;
}
