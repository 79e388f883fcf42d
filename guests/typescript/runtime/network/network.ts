/** The domain's network, opened at its first use, and IPv4 addresses. */
import { codedError } from "../program/errors.ts";
import { call, OPERATION, word } from "../guest/host.ts";
import { addTimer, EVENT, removeTimer, watchSocket } from "../guest/loop.ts";

/** As long as it may take to get an address by DHCP. */
const PATIENCE_MS = 20_000;

let opened = false;
let ready = false;
const waiting: ((error?: Error) => void)[] = [];

/** Takes the network into use. @throws ENETDOWN where the domain has no network device */
export function openNetwork(): void {
  if (opened) return;
  if (call(OPERATION.networkOpen) !== 1) throw codedError("ENETDOWN", "the domain has no network device");
  opened = true;
  watchSocket(0, (events) => {
    if ((events & EVENT.network) === 0) return;
    ready = true;
    for (const tell of waiting.splice(0)) tell();
  });
}

/** Calls `done` when the network has an address, at once when it has; or with an error when that takes too long. */
export function whenReady(done: (error?: Error) => void): void {
  openNetwork();
  if (ready) {
    done();
    return;
  }
  let over = false;
  const timer = addTimer(PATIENCE_MS, () => {
    over = true;
    done(codedError("ENETUNREACH", "the domain's network has got no address"));
  });
  waiting.push((error) => {
    if (over) return;
    removeTimer(timer);
    done(error);
  });
}

/** Address, mask and gateway once the network is ready; undefined before. */
export function ownAddress(): { address: string; mask: string; gateway: string } | undefined {
  if (!opened || call(OPERATION.names, 0) < 0) return undefined;
  return { address: addressText(word(0)), mask: addressText(word(1)), gateway: addressText(word(2)) };
}

/** The number of "10.0.0.2"; undefined when a text is no such address. */
export function parseAddress(text: string): number | undefined {
  const parts = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text)?.slice(1).map(Number);
  if (parts === undefined || parts.some((part) => part > 255)) return undefined;
  return parts.reduce((number, part) => number * 256 + part, 0);
}

export function addressText(number: number): string {
  return [24, 16, 8, 0].map((shift) => (number >>> shift) & 0xff).join(".");
}

/** Where to listen: undefined and the names of everywhere are 0. @throws EADDRNOTAVAIL for what is no IPv4 address */
export function listenAddress(host: string | undefined): number {
  if (host === undefined || host === "" || host === "::" || host === "localhost") return 0;
  const number = parseAddress(host);
  if (number === undefined) throw codedError("EADDRNOTAVAIL", `${host} is no IPv4 address`);
  return number;
}
