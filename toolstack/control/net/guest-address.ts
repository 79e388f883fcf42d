/**
 * Guests' addresses in domain 0's own network: the one that it connects to for a client, and one for a vif with `ip=auto`. Domain 0 is
 * no proxy: it connects to nothing but the addresses of vifs of this machine's that are on its own bridge and in its own network.
 */
import { CommandError } from "../../api/command-error.ts";
import type { GuestDomain } from "../domains/domain.ts";
import { formatIpv4 } from "../../api/devices/addresses.ts";
import { DEFAULT_BRIDGE, parseVif, type VifConfig } from "../noxs/vif-config.ts";

/** What the network says of itself. */
export interface OwnNetwork {
  /** Four bytes each, in network order; null while there is none. */
  readonly own: { address: Uint8Array; mask: Uint8Array } | null;
  readonly neighbourhood: { gateway: Uint8Array; byDhcp: boolean };
  describe(): string;
}

const asNumber = (bytes: Uint8Array) => new DataView(bytes.buffer, bytes.byteOffset).getUint32(0);
const asBytes = (number: number) => Uint8Array.of(number >>> 24, number >>> 16, number >>> 8, number);

function vifsOf(domain: GuestDomain): Readonly<VifConfig>[] {
  return (domain.request?.vifs ?? []).filter((vif) => vif !== null).map((vif) => parseVif("vif", vif));
}

/**
 * The address of a domain that domain 0 connects to.
 * @param wanted one of several, "A.B.C.D"
 * @throws CommandError that says what is missing
 */
export function forwardAddress(domain: GuestDomain, wanted: string | undefined, network: OwnNetwork): Uint8Array {
  const { own } = network;
  if (own === null) throw new CommandError(`domain 0 has no address to connect from: ${network.describe()}`);
  const given = vifsOf(domain).filter(({ ip }) => ip !== undefined);
  const asked = given.filter(({ ip }) => wanted === undefined || formatIpv4(ip!) === wanted);
  if (asked.length === 0) {
    if (wanted !== undefined) throw new CommandError(`${domain} has no vif with the address ${wanted}`);
    throw new CommandError(
      `${domain} has no vif whose address is known here: give it one with ip=A.B.C.D, or ip=auto (an address that it has by DHCP ` +
        "is not known)",
    );
  }
  const near = asked.find(
    ({ ip, bridge }) =>
      bridge === DEFAULT_BRIDGE && ip!.every((byte, i) => ((byte ^ own.address[i]!) & own.mask[i]!) === 0),
  );
  if (near === undefined) {
    const bits = asNumber(own.mask).toString(2).replace(/0/g, "").length;
    throw new CommandError(
      `domain 0 does not reach ${formatIpv4(asked[0]!.ip!)} of ${domain}: only addresses on ${DEFAULT_BRIDGE} in its own network, ` +
        `${formatIpv4(own.address)}/${bits}`,
    );
  }
  return near.ip!;
}

/** Unikernels take an address without a prefix for one of 24 bits: others of domain 0's network would not find it. */
const GUEST_MASK = 0xffffff00;

/** Chooses addresses, from the highest of domain 0's 256 downwards. */
export class AddressChoice {
  /** The one that was chosen last: the domain that it was chosen for may not be there yet. */
  private last = 0;

  /**
   * A vif's settings with an address, if they say `ip=auto`.
   * @param domains all that have vifs: looked through only for such a vif
   * @throws CommandError when none can be chosen
   */
  choose(config: Readonly<VifConfig>, domains: Iterable<GuestDomain>, network: OwnNetwork): Readonly<VifConfig> {
    if (!config.chooseIp) return config;
    const { own } = network;
    if (own === null) throw new CommandError(`ip=auto: domain 0 has no network to choose from: ${network.describe()}`);
    if (config.bridge !== DEFAULT_BRIDGE)
      throw new CommandError(`ip=auto: only on ${DEFAULT_BRIDGE}, domain 0's own bridge`);
    const { gateway, byDhcp } = network.neighbourhood;
    if (byDhcp) {
      throw new CommandError("ip=auto: the addresses of this network are a DHCP server's to give: say ip=A.B.C.D");
    }
    const taken = new Set([asNumber(own.address), asNumber(gateway)]);
    for (const domain of domains) for (const { ip } of vifsOf(domain)) if (ip !== undefined) taken.add(asNumber(ip));
    const mask = (asNumber(own.mask) | GUEST_MASK) >>> 0;
    const first = ((asNumber(own.address) & mask) >>> 0) + 1;
    const end = ((asNumber(own.address) | ~mask) >>> 0) - 1;
    const start = this.last > first && this.last <= end ? this.last - 1 : end;
    for (let i = 0, at = start; i <= end - first; i++, at = at > first ? at - 1 : end) {
      if (taken.has(at)) continue;
      this.last = at;
      const { chooseIp: _chosen, ...rest } = config;
      return { ...rest, ip: asBytes(at) };
    }
    throw new CommandError(`ip=auto: no address of ${formatIpv4(asBytes(first - 1))} is free`);
  }
}
