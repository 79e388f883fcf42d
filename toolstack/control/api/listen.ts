/** The control service on the machine: on domain 0's own address, for clients that have the key that the machine was given. */
import { CONTROL_PORT } from "../../api/protocol.ts";
import { KEY_MODULE, parseKey } from "../../api/key.ts";
import { ownModule } from "../boot-info.ts";
import type { Listen } from "../net/connection.ts";
import { decodeUtf8 } from "../text.ts";
import { openTls } from "../tls/machine.ts";
import type { ControlServer } from "./server.ts";

/** Bytes of a module that can be a key. */
const KEY_MOST = 128;

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
