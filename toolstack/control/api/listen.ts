/** The control service on the machine: on domain 0's own address, for clients that have the key that the machine was given. */
import { CONTROL_PORT } from "../../api/protocol.ts";
import { KEY_MODULE, ownModule } from "../boot-info.ts";
import type { Listen } from "../net/connection.ts";
import { decodeUtf8 } from "../text.ts";
import { openTls } from "../tls/machine.ts";
import type { TlsKey } from "../tls/module.ts";
import type { ControlServer } from "./server.ts";

/** A key's file: its name, and 32 bytes in hexadecimal (toolstack/cli/connection/key.ts). */
const KEY_LINE = /^([A-Za-z0-9._-]{1,32}) ([0-9a-f]{64})\n?$/;
const KEY_MOST = 128;

/** The key in a boot module's text; null: it is none. */
export function parseKey(text: string): TlsKey | null {
  const [, identity, digits] = KEY_LINE.exec(text) ?? [];
  if (identity === undefined) return null;
  const key = Uint8Array.from({ length: digits!.length / 2 }, (_, i) => parseInt(digits!.slice(2 * i, 2 * i + 2), 16));
  return { identity, key };
}

/**
 * Listens, if the machine was given a key: without one nobody can authenticate.
 * @param log gets a line for what an operator should know
 * @returns why there is no control connection; null when there is one
 */
export function openControl(server: ControlServer, listen: Listen, log: (text: string) => void): string | null {
  const module = ownModule(KEY_MODULE);
  if (module === undefined) return `no key: there is no boot module ${KEY_MODULE}`;
  const key = module.size > KEY_MOST ? null : parseKey(decodeUtf8(module.read(0, module.size)));
  if (key === null) {
    const reason = `the boot module ${KEY_MODULE} is no key: \`chaos key FILE\` makes one`;
    log(`control: ${reason}`);
    return reason;
  }
  try {
    openTls([key], log).secure(listen)(CONTROL_PORT, (connection) => server.accept(connection));
    return null;
  } catch (error) {
    const reason = (error as Error).message;
    log(`control: ${reason}`);
    return reason;
  }
}
