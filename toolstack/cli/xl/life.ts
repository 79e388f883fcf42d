/** What is done to domains, with xl's words. */
import { parseCount } from "../../api/options.ts";
import {
  destroyRequest,
  memMaxRequest,
  memSetRequest,
  pauseRequest,
  rebootRequest,
  renameRequest,
  shutdownRequest,
  sysrqRequest,
  triggerRequest,
  unpauseRequest,
  vcpuSetRequest,
} from "../../api/requests/domains.ts";
import { debugKeysRequest } from "../../api/requests/machine.ts";
import { FAILED, findDomain, guests, readArguments, telling, XlError, type Asker, type XlOutput } from "./arguments.ts";
import { usedCpus } from "./scheduling.ts";

const MOST_VCPUS = 64;
/** A guest that is asked to end is waited for so long, s: xl waits for ever. */
const WAIT_S = 86_400;

export async function destroy(asker: Asker, words: string[]): Promise<void> {
  const { rest } = readArguments("destroy", words, { f: {} }, 1);
  const { id } = await findDomain(asker, rest[0]!);
  if (id === 0) throw new XlError("Not destroying domain 0; Typevisor's console ends the machine: `poweroff`");
  await asker.ask(destroyRequest, { ids: [String(id)] });
}

/** xl's shutdown and reboot: of one domain, or of all, waiting or not. */
function ending(name: "shutdown" | "reboot") {
  return async (asker: Asker, words: string[], { err }: XlOutput): Promise<void> => {
    const { rest, given } = readArguments(name, words, { a: { long: "all" }, w: { long: "wait" }, F: {} }, 0, 1);
    if (given.has("a") && rest.length > 0) throw new XlError("You can't specify a domain with -a", FAILED, name);
    if (!given.has("a") && rest.length === 0) {
      throw new XlError("You must specify -a or a domain id.\n", FAILED, name);
    }
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
  const { rest } = readArguments("pause", words, {}, 1);
  await asker.ask(pauseRequest, { ids: [String((await findDomain(asker, rest[0]!)).id)] });
}

export async function unpause(asker: Asker, words: string[]): Promise<void> {
  const { rest } = readArguments("unpause", words, {}, 1);
  await asker.ask(unpauseRequest, { ids: [String((await findDomain(asker, rest[0]!)).id)] });
}

/** KiB in the units of a size: without one it is MiB, as for xl. */
const UNITS: Readonly<Record<string, number>> = { "": 1024, b: 1 / 1024, k: 1, m: 1024, g: 1024 ** 2, t: 1024 ** 3 };

/** A size as xl reads it, in MiB, which must be whole ones here. */
function mibOf(text: string): number {
  const [, digits, unit] = /^([0-9]{1,15})([bkmgt]?)$/i.exec(text) ?? [];
  const mib = (Number(digits ?? NaN) * UNITS[(unit ?? "").toLowerCase()]!) / 1024;
  if (Number.isInteger(mib) && mib >= 1) return mib;
  throw new XlError(`invalid memory size: ${text}${digits === undefined ? "" : " (whole MiB are possible here)"}`);
}

export async function memSet(asker: Asker, words: string[]): Promise<void> {
  const [which, size] = readArguments("mem-set", words, {}, 2).rest as [string, string];
  const { id } = await findDomain(asker, which);
  const memory = mibOf(size);
  const failed = `cannot set domid ${id} dynamic max memory to : ${size}`;
  await telling(failed, () => asker.ask(memSetRequest, { id: String(id), memory }));
}

export async function memMax(asker: Asker, words: string[]): Promise<void> {
  const [which, size] = readArguments("mem-max", words, {}, 2).rest as [string, string];
  const { id } = await findDomain(asker, which);
  const memory = mibOf(size);
  const failed = `cannot set domid ${id} static max memory to : ${size}`;
  await telling(failed, () => asker.ask(memMaxRequest, { id: String(id), memory }));
}

export async function vcpuSet(asker: Asker, words: string[]): Promise<void> {
  const { rest, given } = readArguments("vcpu-set", words, { i: { long: "ignore-host" } }, 2);
  const { id, vcpus: online } = await findDomain(asker, rest[0]!);
  if (!/^[0-9]+$/.test(rest[1]!)) throw new XlError("Error: Invalid argument.");
  const vcpus = parseCount("vCPUs", rest[1]!, 1, MOST_VCPUS);
  if (!given.has("i") && vcpus > online) {
    const cpus = await usedCpus(asker);
    if (vcpus > cpus) {
      throw new XlError(
        `You are overcommmitting! You have ${cpus} physical CPUs and want ${vcpus} vCPUs! Aborting, use --ignore-host to continue`,
      );
    }
  }
  await telling(`libxl_set_vcpuonline failed domid=${id} max_vcpus=${vcpus}`, () =>
    asker.ask(vcpuSetRequest, { id: String(id), vcpus }),
  );
}

export async function rename(asker: Asker, words: string[]): Promise<void> {
  const [which, name] = readArguments("rename", words, {}, 2).rest as [string, string];
  const { id } = await findDomain(asker, which);
  await telling(`Can't rename domain '${which}'.`, () => asker.ask(renameRequest, { id: String(id), name }));
}

export async function trigger(asker: Asker, words: string[]): Promise<void> {
  const { rest } = readArguments("trigger", words, {}, 2, 3);
  const { id } = await findDomain(asker, rest[0]!);
  await asker.ask(triggerRequest, { id: String(id), trigger: rest[1]!, vcpu: rest[2] });
}

export async function sysrq(asker: Asker, words: string[]): Promise<void> {
  const { rest } = readArguments("sysrq", words, {}, 2);
  const { id } = await findDomain(asker, rest[0]!);
  await asker.ask(sysrqRequest, { id: String(id), key: rest[1]! });
}

export async function debugKeys(asker: Asker, words: string[]): Promise<void> {
  const { rest } = readArguments("debug-keys", words, {}, 1);
  await asker.ask(debugKeysRequest, { keys: rest[0]! });
}
