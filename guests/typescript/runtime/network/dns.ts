/** node:dns: IPv4 addresses of names, by lwIP's resolver. */
import { call, OPERATION, transfer, word } from "../guest/host.ts";
import { EVENT, forgetSocket, hold, watchSocket } from "../guest/loop.ts";
import { addTick } from "../guest/ticks.ts";
import { codedError } from "../program/errors.ts";
import { addressText, ownAddress, parseAddress, whenReady } from "./network.ts";

type Answer = (error: Error | null, address?: string) => void;
interface LookupOptions {
  family?: number | string;
  all?: boolean;
}
interface LookupAddress {
  address: string;
  family: number;
}

/** lwip/err.h. */
const ERR_MEM = -1;
const ERR_VAL = -6;
const NAME_MOST = 253;

const failure = (code: string, message: string, hostname: string) =>
  Object.assign(codedError(code, `${message}, getaddrinfo '${hostname}'`, { syscall: "getaddrinfo" }), { hostname });

/** What the domain name system takes: labels of 1 to 63 letters, digits, - and _; a dot may be behind the last. */
function isName(name: string): boolean {
  return name.length <= NAME_MOST && /^(?:[A-Za-z0-9_-]{1,63}\.)*[A-Za-z0-9_-]{1,63}\.?$/.test(name);
}

/** Lookups that wait for one of the resolver's places. */
const waiting: (() => void)[] = [];
let underWay = 0;

function ask(name: string, done: Answer): void {
  for (let i = 0; i < name.length; i++) transfer[i] = name.charCodeAt(i);
  const handle = call(OPERATION.lookup, name.length);
  if (handle === 0) {
    done(null, addressText(word(0)));
    return;
  }
  if (handle === ERR_MEM && underWay > 0) {
    waiting.push(() => ask(name, done));
    return;
  }
  if (handle < 0) {
    const [code, why] =
      handle === ERR_VAL
        ? ["EAI_FAIL", "no server of names is known: `dns=A.B.C.D` on the domain's command line says one, or DHCP"]
        : ["EAI_AGAIN", `the resolver has refused it (error ${handle} of lwIP)`];
    done(failure(code!, why!, name));
    return;
  }
  underWay++;
  const release = hold();
  watchSocket(handle, (events) => {
    if ((events & EVENT.resolved) === 0) return;
    forgetSocket(handle);
    underWay--;
    release();
    const found = call(OPERATION.lookupResult, handle) === 0;
    const address = found ? addressText(word(0)) : undefined;
    waiting.shift()?.();
    if (address === undefined) done(failure("ENOTFOUND", "the name has no address, or no server has answered", name));
    else done(null, address);
  });
}

/** The address of a name, later. */
function addressOf(name: string, done: Answer): void {
  const later: Answer = (error, address) => addTick(() => done(error, address));
  if (parseAddress(name) !== undefined) later(null, name);
  else if (name === "localhost") {
    const own = ownAddress()?.address;
    if (own === undefined) later(failure("ENOTFOUND", "the domain has no address yet", name));
    else later(null, own);
  } else if (!isName(name)) later(failure("ENOTFOUND", "that is no name", name));
  else {
    try {
      whenReady((error) => (error ? later(error) : ask(name.replace(/\.$/, ""), later)));
    } catch (error) {
      later(error as Error);
    }
  }
}

export function lookup(name: string, options: unknown, done?: (...values: never[]) => void): void {
  const tell = (typeof options === "function" ? options : done) as (...values: unknown[]) => void;
  const { family = 0, all = false } =
    typeof options === "number"
      ? { family: options }
      : typeof options === "object" && options !== null
        ? (options as LookupOptions)
        : {};
  if (family === 6 || family === "IPv6") {
    addTick(() => tell(failure("ENOTFOUND", "there are IPv4 addresses only", name)));
    return;
  }
  addressOf(name, (error, address) => {
    if (error) tell(error);
    else if (all) tell(null, [{ address, family: 4 }]);
    else tell(null, address, 4);
  });
}

export function resolve4(
  name: string,
  options: unknown,
  done?: (error: Error | null, addresses?: string[]) => void,
): void {
  const tell = (typeof options === "function" ? options : done) as (error: Error | null, addresses?: string[]) => void;
  addressOf(name, (error, address) => (error ? tell(error) : tell(null, [address!])));
}

export function resolve(name: string, type: unknown, done?: (error: Error | null, addresses?: string[]) => void): void {
  const tell = (typeof type === "function" ? type : done) as (error: Error | null, addresses?: string[]) => void;
  if (typeof type === "string" && type !== "A") {
    addTick(() => tell(failure("ENOTIMP", `records of the kind ${type} are not asked for: A is`, name)));
  } else resolve4(name, tell);
}

export const promises = {
  lookup: (name: string, options: unknown = {}): Promise<LookupAddress | LookupAddress[]> =>
    new Promise((fulfil, reject) =>
      lookup(name, options, (error: Error | null, address: string | LookupAddress[], family: number) => {
        if (error) reject(error);
        else fulfil(typeof address === "string" ? { address, family } : address);
      }),
    ),
  resolve4: (name: string): Promise<string[]> =>
    new Promise((fulfil, reject) =>
      resolve4(name, (error: Error | null, addresses?: string[]) => (error ? reject(error) : fulfil(addresses!))),
    ),
  resolve: (name: string, type = "A"): Promise<string[]> =>
    new Promise((fulfil, reject) =>
      resolve(name, type, (error, addresses) => (error ? reject(error) : fulfil(addresses!))),
    ),
};
