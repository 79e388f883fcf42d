/**
 * The control service on the machine: on domain 0's own address and on serial ports, for clients that have the key that the machine was
 * given, as a boot module or at its console.
 */
import { CONTROL_PORT } from "../../api/protocol.ts";
import { CommandError } from "../../api/command-error.ts";
import { formatKey, KEY_MODULE, parseKey, type ControlKey } from "../../api/key.ts";
import { hexOf } from "../../api/hex.ts";
import { ownModule } from "../boot-info.ts";
import type { Connection, Listen } from "../net/connection.ts";
import { sha256 } from "../tls/sha256.ts";
import { decodeUtf8, encodeUtf8 } from "../text.ts";
import type { TlsServer } from "../tls/listen.ts";
import { openTls } from "../tls/machine.ts";
import { parseControlOption, type ControlOption } from "../net/option.ts";
import type { ControlView, KeyDescription } from "./current.ts";
import { keep, type Kept } from "./kept.ts";
import type { ControlServer } from "./server.ts";

/** Bytes of a module that can be a key. */
const KEY_MOST = 128;
/** Bytes of a fingerprint. */
const FINGERPRINT = 8;

/** What brings connections besides the network. */
export interface Ports {
  /** How many there are. */
  readonly count: number;
  listen(accept: (connection: Connection) => void): void;
}

/** Domain 0's own address, as far as it is said here. */
export interface OwnNetwork {
  set(option: ControlOption): Promise<void>;
  describe(): string;
}

export class ControlService implements ControlView {
  private key: { key: ControlKey; from: KeyDescription["from"] } | null = null;
  private kept: Kept = { key: null, network: null };
  private tls: TlsServer | null = null;
  private reason = "it is being started";

  /** @param log gets a line for what an operator should know */
  constructor(
    private readonly server: ControlServer,
    private readonly listen: Listen,
    private readonly ports: Ports,
    private readonly network: OwnNetwork,
    private readonly log: (text: string) => void,
  ) {}

  /**
   * Begins, if there is a key: without one nobody can authenticate.
   * @param kept what was said at the console to an earlier domain 0
   */
  start(kept: Kept): void {
    this.kept = kept;
    if (kept.key !== null) {
      this.key = { key: kept.key, from: "console" };
    } else {
      const module = ownModule(KEY_MODULE);
      if (module === undefined) {
        this.reason = `no key: there is no boot module ${KEY_MODULE}, and none was set (\`control key set\`)`;
        return;
      }
      const key = module.size > KEY_MOST ? null : parseKey(decodeUtf8(module.read(0, module.size)));
      if (key === null) {
        this.reason = `the boot module ${KEY_MODULE} is no key: \`chaos key FILE\` makes one`;
        this.log(`control: ${this.reason}`);
        return;
      }
      this.key = { key, from: "boot module" };
    }
    try {
      this.open(this.key.key);
    } catch (error) {
      this.reason = (error as Error).message;
      this.log(`control: ${this.reason}`);
    }
  }

  /**
   * Has clients authenticate themselves by another key: those that have by the one before are disconnected.
   * @throws Error in words: there are no random numbers for TLS. Then nothing has changed
   */
  setKey(key: ControlKey): void {
    if (this.tls === null) this.open(key);
    else this.tls.setKeys([key]);
    this.key = { key, from: "console" };
    this.keep({ ...this.kept, key });
  }

  /** As ControlView's. */
  async setNetwork(text: string): Promise<void> {
    const option = parseControlOption(text);
    if (typeof option === "object" && "wrong" in option) throw new CommandError(option.wrong.replace(/^control=/, ""));
    this.keep({ ...this.kept, network: text });
    await this.network.set(option);
  }

  describeNetwork(): string {
    return this.network.describe();
  }

  private keep(kept: Kept): void {
    this.kept = kept;
    if (!keep(kept)) this.log("control: there is no room to keep this: a restart of domain 0 forgets it");
  }

  describeKey(): KeyDescription | null {
    if (this.key === null) return null;
    const { key, from } = this.key;
    return { name: key.identity, fingerprint: fingerprintOf(key), from };
  }

  get refusal(): string | null {
    return this.tls === null ? this.reason : null;
  }

  get serialPorts(): number {
    return this.ports.count;
  }

  get clients(): number {
    return this.server.count;
  }

  private open(key: ControlKey): void {
    const tls = openTls([key], this.log);
    const accept = (connection: Connection) => this.server.accept(connection);
    tls.secure(this.listen)(CONTROL_PORT, accept);
    this.ports.listen((connection) => tls.add(connection, accept));
    this.tls = tls;
    this.server.connections = () => tls.sizes;
  }
}

export function fingerprintOf(key: ControlKey): string {
  return hexOf(sha256(encodeUtf8(formatKey(key))).subarray(0, FINGERPRINT));
}
