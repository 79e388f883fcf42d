/** Connecting to a Typevisor: which one is meant, and TLS with its key. */
import { once } from "node:events";
import tls from "node:tls";
import { startCommand } from "../../../scripts/paths.ts";
import { CONTROL_PORT } from "../../api/protocol.ts";
import type { ControlKey } from "../../api/key.ts";
import { VERSION } from "../../api/version.ts";
import { Client, ConnectionLost, type Greeting } from "./client.ts";
import { readKey } from "./key.ts";
import { isMachineName, listMachines, type Place, placeText } from "./machines.ts";
import { connectSerial } from "./serial.ts";

/** What domain 0 has: TLS 1.2 with a pre-shared key (docs/decisions/0012-control-tls.md). */
export const CIPHER = "ECDHE-PSK-CHACHA20-POLY1305";
const CONNECT_MS = 10_000;
/** Attempts on a serial port that the client before has left just now: what was on its way to that one may come to this one. */
const SERIAL_ATTEMPTS = 5;
/** How long a client waits for a port that is free. */
const SERIAL_MS = 15_000;
const UNIX = "unix:";

export type Target = Place & {
  /** For messages: its name or address. */
  name: string;
  keyFile: string;
};

/**
 * The machine that is meant.
 * @param host NAME, ADDRESS, ADDRESS:PORT or unix:PATH, as --host and CHAOS_HOST say; undefined: the only one that runs
 * @param keyFile of one that was not started on this computer
 * @throws Error in words
 */
export function findTarget(host: string | undefined, keyFile: string | undefined): Target {
  const machines = listMachines();
  const known = machines.map(({ name }) => name).join(", ");
  if (host === undefined) {
    if (machines.length === 1) return { ...machines[0]!, keyFile: keyFile ?? machines[0]!.keyFile };
    if (machines.length > 1) throw new Error(`several machines run here (${known}): say which with --host NAME`);
    throw new Error(
      `no machine runs here: \`${startCommand()}\` starts one; --host ADDRESS --key FILE reaches one elsewhere`,
    );
  }
  const machine = machines.find(({ name }) => name === host);
  if (machine !== undefined) return { ...machine, keyFile: keyFile ?? machine.keyFile };
  if (host.startsWith(UNIX)) {
    const socket = host.slice(UNIX.length);
    if (socket === "") throw new Error("--host: unix: is followed by the path of a socket");
    if (keyFile === undefined) throw new Error(`--key FILE is missing: the key of the Typevisor behind ${socket}`);
    return { name: host, sockets: [socket], keyFile };
  }
  const [, address, port] = /^(\[[0-9a-fA-F:]+\]|[^:]+)(?::([0-9]{1,5}))?$/.exec(host) ?? [];
  if (address === undefined)
    throw new Error(`--host: "${host}" is neither a machine's name nor ADDRESS[:PORT] nor unix:PATH`);
  if (keyFile === undefined) {
    const names = known === "" ? "none runs here" : `here run: ${known}`;
    if (isMachineName(host))
      throw new Error(`--host: there is no machine ${host} (${names}); for an address, --key FILE`);
    throw new Error(`--key FILE is missing: the key of the Typevisor at ${host}`);
  }
  return { name: host, address: address.replace(/^\[|\]$/g, ""), port: Number(port ?? CONTROL_PORT), keyFile };
}

/** Connects and greets. Throws ConnectionLost or Error in words. */
export async function connect(
  target: Target,
  software = `chaos ${VERSION}`,
): Promise<{ client: Client; greeting: Greeting }> {
  const key = readKey(target.keyFile);
  for (let attempt = 1; ; attempt++) {
    try {
      return await Client.greet(await secure(target, key), software, target.name);
    } catch (error) {
      const code = ((error as Error).cause as NodeJS.ErrnoException | undefined)?.code;
      const again = "sockets" in target && code === "ERR_SSL_WRONG_VERSION_NUMBER" && attempt < SERIAL_ATTEMPTS;
      if (!again) throw error;
    }
  }
}

/** A connection by TLS, with the machine's key: nothing was said on it yet. @throws ConnectionLost in words */
export async function secure(target: Target, { identity, key }: ControlKey): Promise<tls.TLSSocket> {
  let socket: tls.TLSSocket | null = null;
  try {
    socket = tls.connect({
      ...("sockets" in target
        ? { socket: await connectSerial(target.sockets, SERIAL_MS) }
        : { host: target.address, port: target.port }),
      ciphers: CIPHER,
      ecdhCurve: "X25519",
      minVersion: "TLSv1.2",
      maxVersion: "TLSv1.2",
      pskCallback: () => ({ identity, psk: key }),
      checkServerIdentity: () => undefined,
    });
    if (!("sockets" in target)) socket.setNoDelay(true);
    const limit = setTimeout(() => socket!.destroy(new Error(`no answer within ${CONNECT_MS / 1000} s`)), CONNECT_MS);
    try {
      await once(socket, "secureConnect");
    } finally {
      clearTimeout(limit);
    }
    return socket;
  } catch (error) {
    socket?.destroy();
    const { code, message } = error as NodeJS.ErrnoException;
    const why =
      code === "ECONNREFUSED"
        ? "nothing listens there"
        : code === "ECONNRESET" || /alert|decrypt|handshake/i.test(message)
          ? `it refused the key ${target.keyFile}, or was not ready (${message})`
          : message;
    const place = "sockets" in target && target.name.startsWith(UNIX) ? "" : ` (${placeText(target)})`;
    throw new ConnectionLost(`${target.name}${place} cannot be reached: ${why}`, { cause: error });
  }
}
