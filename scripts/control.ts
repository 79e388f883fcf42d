/**
 * How a machine that `npm start` starts can be reached by `chaos` and `xl`: a forwarded port to domain 0's address, or UNIX sockets of serial
 * ports where there is no network; a key made for it, which domain 0 gets as a boot module; and a record of both in the user's runtime
 * folder.
 */
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { SERIAL_PORTS } from "../abi/io/control-serial.ts";
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
  socketFilesOf,
} from "../toolstack/cli/connection/machines.ts";
import { SOCKET_PATH_MOST } from "../toolstack/cli/connection/serial.ts";
import { type Forward, freePorts, NETWORK } from "./devices.ts";
import type { BootModule } from "./modules.ts";

const SEED_BYTES = 64;
/** Domain 0's address: one that guests cannot be given by the options of `npm start`. */
const ADDRESS = `${NETWORK.prefix}4`;
const PREFIX_BITS = 24;
/** Where the search for a free port of this computer's begins. */
const FIRST_PORT = 4170;
const DEFAULT_NAME = "typevisor";

/** What carries the control connection. */
export const CARRIERS = ["network", "virtio-console"] as const;
export type Carrier = (typeof CARRIERS)[number];

/** A machine that is about to start and will be reached. */
export interface Reached {
  name: string;
  modules: BootModule[];
  /** The command that lists its domains. */
  how: string;
  /** Makes the machine known until this process ends. */
  record(): void;
}

/** Over its network. */
export interface Control extends Reached {
  forward: Forward;
  /** For Typevisor's command line. */
  word: string;
}

/** Over its serial ports. */
export interface SerialControl extends Reached {
  /** Sockets that the emulator makes. */
  sockets: string[];
}

/** A seed for domain 0's random numbers: of this start alone. */
function seedModule(folder: string): BootModule {
  const file = path.join(folder, SEED_MODULE);
  writeFileSync(file, randomBytes(SEED_BYTES), { mode: 0o600 });
  return { name: SEED_MODULE, file };
}

/** What both have: a name, a key and a seed. Throws Error in words. */
function prepare(wanted: string | undefined): Omit<Reached, "record"> & { keyFile: string } {
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
  return {
    name,
    keyFile,
    modules: [seedModule(folder), { name: KEY_MODULE, file: keyFile }],
    how: name === DEFAULT_NAME ? "npx chaos list" : `npx chaos --host ${name} list`,
  };
}

/**
 * Prepares the control connection of a machine that is about to start, over its network.
 * @param wanted its name; if not given, one that no machine here has
 * @throws Error in words
 */
export async function prepareControl(wanted: string | undefined): Promise<Control> {
  const prepared = prepare(wanted);
  const { name, keyFile } = prepared;
  const [hostPort] = (await freePorts(1, FIRST_PORT)) as [number];
  return {
    ...prepared,
    forward: { protocol: "tcp", hostPort, address: ADDRESS, port: CONTROL_PORT },
    word: `control=${ADDRESS}/${PREFIX_BITS},${NETWORK.gateway}`,
    record: () => recordMachine({ name, address: "127.0.0.1", port: hostPort, keyFile, pid: process.pid }),
  };
}

/** The same over serial ports, for a machine without a network. */
export function prepareSerialControl(wanted: string | undefined): SerialControl {
  const prepared = prepare(wanted);
  const { name, keyFile } = prepared;
  const sockets = socketFilesOf(name, SERIAL_PORTS);
  checkSockets(sockets);
  return { ...prepared, sockets, record: () => recordMachine({ name, sockets, keyFile, pid: process.pid }) };
}

/** @throws Error for paths that no socket can have */
function checkSockets(sockets: string[]): void {
  const longest = Math.max(...sockets.map((file) => Buffer.byteLength(file)));
  if (longest <= SOCKET_PATH_MOST) return;
  throw new Error(
    `${sockets[0]}: a socket's path has ${SOCKET_PATH_MOST} bytes at most, not ${longest}: set XDG_RUNTIME_DIR to a shorter one`,
  );
}

/** The module of a key that a user has: for an ISO. Throws Error in words. */
export function keyModule(file: string): BootModule {
  readKey(file);
  return { name: KEY_MODULE, file };
}
