/** Names for completion, from the machine. */
import type { NameKind } from "../../api/argument.ts";
import type { Arguments, Params, RequestDefinition } from "../../api/request.ts";
import { bridgeListRequest, diskListRequest, volumeListRequest } from "../../api/requests/devices.ts";
import { listRequest } from "../../api/requests/domains.ts";
import { imageListRequest } from "../../api/requests/images.ts";
import { modulesRequest } from "../../api/requests/machine.ts";
import { formatBytes } from "../../api/sizes.ts";
import { listMachines, placeText } from "../connection/machines.ts";
import { isGuest } from "../xl/arguments.ts";
import type { Candidate, Expected } from "./expected.ts";

/** Who asks the machine. */
export interface NameSource {
  ask<A extends Arguments, R>(request: RequestDefinition<A, R>, params: Params<A>): Promise<R>;
}

type Find = (source: NameSource, current: string) => Promise<Candidate[]>;

const modules: Find = async (source) =>
  (await source.ask(modulesRequest, {})).map(({ name, bytes }) => ({ value: name, summary: formatBytes(bytes) }));

const images: Find = async (source) =>
  (await source.ask(imageListRequest, {})).map(({ hash, name, bytes }) => ({
    value: hash,
    summary: `${name}, ${formatBytes(bytes)}`,
  }));

const FINDERS: Readonly<Record<NameKind, Find>> = {
  async domain(source, current) {
    const guests = (await source.ask(listRequest, {})).filter(isGuest);
    // Who types digits wants an id.
    return /^[0-9]+$/.test(current)
      ? guests.map(({ id, name }) => ({ value: String(id), summary: name }))
      : guests.map(({ id, name }) => ({ value: name, summary: `domain ${id}` }));
  },
  bridge: async (source) =>
    (await source.ask(bridgeListRequest, {})).map(({ name, vifs }) => ({ value: name, summary: `${vifs} vifs` })),
  volume: async (source) =>
    (await source.ask(volumeListRequest, {})).flatMap(({ name, kind, size }) =>
      name === null ? [] : [{ value: name, summary: `${kind}, ${formatBytes(size)}` }],
    ),
  disk: async (source) =>
    (await source.ask(diskListRequest, {})).map(({ disk, driver, size }) => ({
      value: String(disk),
      summary: `${driver}, ${formatBytes(size)}`,
    })),
  image: images,
  module: modules,
  kernel: async (source, current) => [...(await modules(source, current)), ...(await images(source, current))],
};

/** Names of a kind. @throws RequestFailed, ConnectionLost, Error: the machine cannot be asked */
export async function namesOf(
  kind: NonNullable<Expected["names"]>,
  source: NameSource,
  current: string,
): Promise<Candidate[]> {
  if (kind !== "machine") return await FINDERS[kind](source, current);
  return listMachines().map((machine) => ({ value: machine.name, summary: placeText(machine) }));
}
