/**
 * How a machine that `npm start` starts can be reached by `chaos` and `xl`: a forwarded port to domain 0's address, a key made for it,
 * which domain 0 gets as a boot module, and a record of both in the user's runtime folder.
 */
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { KEY_MODULE, SEED_MODULE } from "../toolstack/api/key.ts";
import { CONTROL_PORT } from "../toolstack/api/protocol.ts";
import { makeKey, readKey, writeKey } from "../toolstack/cli/connection/key.ts";
import {
  freeMachineName,
  isMachineName,
  keyFileOf,
  listMachines,
  recordMachine,
  removeMachine,
} from "../toolstack/cli/connection/machines.ts";
import { type Forward, freePorts, NETWORK } from "./devices.ts";
import type { BootModule } from "./modules.ts";

const SEED_BYTES = 64;
/** Domain 0's address: one that guests cannot be given by the options of `npm start`. */
const ADDRESS = `${NETWORK.prefix}4`;
const PREFIX_BITS = 24;
/** Where the search for a free port of this computer's begins. */
const FIRST_PORT = 4170;
const DEFAULT_NAME = "typevisor";

export interface Control {
  name: string;
  modules: BootModule[];
  forward: Forward;
  /** For Typevisor's command line. */
  word: string;
  /** The command that lists its domains. */
  how: string;
  /** Makes the machine known until this process ends. */
  record(): void;
}

/** A seed for domain 0's random numbers: of this start alone. */
function seedModule(folder: string): BootModule {
  const file = path.join(folder, SEED_MODULE);
  writeFileSync(file, randomBytes(SEED_BYTES), { mode: 0o600 });
  return { name: SEED_MODULE, file };
}

/**
 * Prepares the control connection of a machine that is about to start.
 * @param wanted its name; if not given, one that no machine here has
 * @throws Error in words
 */
export async function prepareControl(wanted: string | undefined): Promise<Control> {
  if (wanted !== undefined && !isMachineName(wanted)) {
    throw new Error(`--name: "${wanted}" is no name: a letter, then up to 31 letters, digits, - and _`);
  }
  if (wanted !== undefined && listMachines().some(({ name }) => name === wanted)) {
    throw new Error(`--name: a machine ${wanted} runs already`);
  }
  const name = wanted ?? freeMachineName(DEFAULT_NAME);
  const keyFile = keyFileOf(name);
  removeMachine(name); // what one that was killed has left
  const folder = mkdtempSync(path.join(os.tmpdir(), "typevisor-start-"));
  process.once("exit", () => {
    removeMachine(name);
    rmSync(folder, { recursive: true, force: true });
  });
  writeKey(keyFile, makeKey(name));
  const [hostPort] = (await freePorts(1, FIRST_PORT)) as [number];
  return {
    name,
    modules: [seedModule(folder), { name: KEY_MODULE, file: keyFile }],
    forward: { protocol: "tcp", hostPort, address: ADDRESS, port: CONTROL_PORT },
    how: name === DEFAULT_NAME ? "npx chaos list" : `npx chaos --host ${name} list`,
    word: `control=${ADDRESS}/${PREFIX_BITS},${NETWORK.gateway}`,
    record: () => recordMachine({ name, address: "127.0.0.1", port: hostPort, keyFile, pid: process.pid }),
  };
}

/** The module of a key that a user has: for an ISO. Throws Error in words. */
export function keyModule(file: string): BootModule {
  readKey(file);
  return { name: KEY_MODULE, file };
}
