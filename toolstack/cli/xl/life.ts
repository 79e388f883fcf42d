/** What is done to domains, with xl's words. */
import { parseCount } from "../../api/options.ts";
import {
  destroyRequest,
  memSetRequest,
  pauseRequest,
  rebootRequest,
  shutdownRequest,
  sysrqRequest,
  triggerRequest,
  unpauseRequest,
  vcpuSetRequest,
} from "../../api/requests/domains.ts";
import { debugKeysRequest } from "../../api/requests/machine.ts";
import { findDomain, guests, readArguments, XlError, type Asker, type XlOutput } from "./arguments.ts";

const MOST_VCPUS = 64;
/** A guest that is asked to end is waited for so long, s: xl waits for ever. */
const WAIT_S = 86_400;

export async function destroy(asker: Asker, words: string[]): Promise<void> {
  const { rest } = readArguments(
    words,
    { f: {} },
    "destroy [options] <Domain>\n-f  also domain 0, which is refused here",
    1,
  );
  const { id } = await findDomain(asker, rest[0]!);
  if (id === 0) throw new XlError("Not destroying domain 0; Typevisor's console ends the machine: `poweroff`");
  await asker.ask(destroyRequest, { ids: [String(id)] });
}

/** xl's shutdown and reboot: of one domain, or of all, waiting or not. */
function ending(name: "shutdown" | "reboot") {
  return async (asker: Asker, words: string[], { err }: XlOutput): Promise<void> => {
    const usage = `${name} [options] <-a|Domain>\n-a, --all  all guests\n-w, --wait  until they have ended\n-F  of HVM guests: without effect`;
    const { rest, given } = readArguments(words, { a: { long: "all" }, w: { long: "wait" }, F: {} }, usage, 0, 1);
    if (given.has("a") === rest.length > 0) throw new XlError(`Usage: xl ${usage}`);
    const domains = given.has("a") ? await guests(asker) : [await findDomain(asker, rest[0]!)];
    const waits = given.has("w");
    const asked = domains.map(async ({ id }) => {
      err(`${name === "shutdown" ? "Shutting down" : "Rebooting"} domain ${id}\n`);
      const params = { id: String(id), timeout: waits ? WAIT_S : undefined, noWait: !waits };
      if (name === "shutdown") await asker.ask(shutdownRequest, params);
      else await asker.ask(rebootRequest, params);
    });
    // Each is asked, whatever the others say.
    const failed = (await Promise.allSettled(asked)).filter((result) => result.status === "rejected");
    for (const { reason } of failed) err(`${(reason as Error).message}\n`);
    if (failed.length > 0) throw new XlError("");
  };
}

export const shutdown = ending("shutdown");
export const reboot = ending("reboot");

export async function pause(asker: Asker, words: string[]): Promise<void> {
  const { rest } = readArguments(words, {}, "pause <Domain>", 1);
  await asker.ask(pauseRequest, { ids: [String((await findDomain(asker, rest[0]!)).id)] });
}

export async function unpause(asker: Asker, words: string[]): Promise<void> {
  const { rest } = readArguments(words, {}, "unpause <Domain>", 1);
  await asker.ask(unpauseRequest, { ids: [String((await findDomain(asker, rest[0]!)).id)] });
}

/** KiB in the units of a size: without one it is KiB, as xl(1) says of mem-set. */
const UNITS: Readonly<Record<string, number>> = { "": 1, b: 1 / 1024, k: 1, m: 1024, g: 1024 ** 2, t: 1024 ** 3 };

export async function memSet(asker: Asker, words: string[]): Promise<void> {
  const { rest } = readArguments(words, {}, "mem-set <Domain> <MemKB['b'[bytes]|'k'[KB]|'m'[MB]|'g'[GB]|'t'[TB]]>", 2);
  const { id } = await findDomain(asker, rest[0]!);
  const [, digits, unit] = /^([0-9]{1,15})([bkmgt]?)$/i.exec(rest[1]!) ?? [];
  const mib = (Number(digits ?? NaN) * UNITS[(unit ?? "").toLowerCase()]!) / 1024;
  if (!(Number.isInteger(mib) && mib >= 1)) {
    throw new XlError(`invalid memory size: ${rest[1]} (whole MiB are possible here; without a unit it is KiB)`);
  }
  await asker.ask(memSetRequest, { id: String(id), memory: mib });
}

export async function vcpuSet(asker: Asker, words: string[]): Promise<void> {
  const { rest } = readArguments(words, { i: { long: "ignore-host" } }, "vcpu-set [option] <Domain> <vCPUs>", 2);
  const { id } = await findDomain(asker, rest[0]!);
  await asker.ask(vcpuSetRequest, { id: String(id), vcpus: parseCount("vCPUs", rest[1]!, 1, MOST_VCPUS) });
}

export async function trigger(asker: Asker, words: string[]): Promise<void> {
  const { rest } = readArguments(words, {}, "trigger <Domain> <nmi|reset|init|power|sleep|s3resume> [<VCPU>]", 2, 3);
  const { id } = await findDomain(asker, rest[0]!);
  await asker.ask(triggerRequest, { id: String(id), trigger: rest[1]!, vcpu: rest[2] });
}

export async function sysrq(asker: Asker, words: string[]): Promise<void> {
  const { rest } = readArguments(words, {}, "sysrq <Domain> <letter>", 2);
  const { id } = await findDomain(asker, rest[0]!);
  await asker.ask(sysrqRequest, { id: String(id), key: rest[1]! });
}

export async function debugKeys(asker: Asker, words: string[]): Promise<void> {
  const { rest } = readArguments(words, {}, "debug-keys <Keys>", 1);
  await asker.ask(debugKeysRequest, { keys: rest[0]! });
}
