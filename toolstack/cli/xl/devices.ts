/** Devices that come and go: specifications as in xl.cfg. */
import { parseCount } from "../../api/options.ts";
import {
  vbdAttachRequest,
  vbdDetachRequest,
  vifAttachRequest,
  vifDetachRequest,
  vifListRequest,
} from "../../api/requests/devices.ts";
import { vbdSettings, vifSettings } from "../config/settings.ts";
import { readXlConfig } from "../config/xl-cfg.ts";
import { findDomain, readArguments, XlError, type Asker, type XlOutput } from "./arguments.ts";

const MOST_VIFS = 31;

/** A domain with one device, so that its specification is read by the rules of xl.cfg. */
function describe(key: "disk" | "vif", spec: string) {
  const quoted = `'${spec.replace(/[\\']/g, (c) => `\\${c}`)}'`;
  return readXlConfig("", "the command line", ['name="x"', 'kernel="module:x"', 'type="pvh"', `${key}=[${quoted}]`])
    .description;
}

export async function networkAttach(asker: Asker, words: string[], { out, dryRun }: XlOutput): Promise<void> {
  const { rest } = readArguments("network-attach", words, {}, 1, 16);
  const { id } = await findDomain(asker, rest[0]!);
  const [vif] = describe("vif", rest.slice(1).join(",")).vifs;
  if (dryRun) return out(`vif: ${JSON.stringify(vif)}\n`);
  await asker.ask(vifAttachRequest, { id: String(id), settings: vif === undefined ? "" : vifSettings(vif) });
}

export async function networkDetach(asker: Asker, words: string[]): Promise<void> {
  const { rest } = readArguments("network-detach", words, {}, 2);
  const { id } = await findDomain(asker, rest[0]!);
  let number: number;
  if (rest[1]!.includes(":")) {
    const found = (await asker.ask(vifListRequest, {})).find(
      ({ domain, mac }) => domain === id && mac.toLowerCase() === rest[1]!.toLowerCase(),
    );
    if (found === undefined) throw new XlError(`Unknown device ${rest[1]}.`);
    number = found.vif;
  } else {
    number = parseCount("DevId", rest[1]!, 0, MOST_VIFS);
  }
  await asker.ask(vifDetachRequest, { id: String(id), number });
}

export async function blockAttach(asker: Asker, words: string[], { out, dryRun }: XlOutput): Promise<void> {
  const { rest } = readArguments("block-attach", words, {}, 2, 16);
  const { id } = await findDomain(asker, rest[0]!);
  const vbd = describe("disk", rest.slice(1).join(",")).vbds[0]!;
  if (dryRun) return out(`disk: ${JSON.stringify(vbd)}\n`);
  await asker.ask(vbdAttachRequest, { id: String(id), settings: vbdSettings(vbd) });
}

export async function blockDetach(asker: Asker, words: string[]): Promise<void> {
  const { rest } = readArguments("block-detach", words, {}, 2);
  const { id } = await findDomain(asker, rest[0]!);
  await asker.ask(vbdDetachRequest, { id: String(id), vdev: rest[1]! });
}
