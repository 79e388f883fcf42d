/** Which addresses domain 0 connects to for clients, and which one a vif with `ip=auto` gets. */
import test from "ava";
import { GuestDomain } from "../../../../toolstack/control/domains/domain.ts";
import { AddressChoice, forwardAddress, type OwnNetwork } from "../../../../toolstack/control/net/guest-address.ts";
import { formatIpv4 } from "../../../../toolstack/api/devices/addresses.ts";
import { formatVif, parseVif } from "../../../../toolstack/control/noxs/vif-config.ts";

function network(address: number[] | null, prefix = 24, byDhcp = false): OwnNetwork {
  const mask = Uint8Array.from([24, 16, 8, 0], (shift) => ((0xffffffff << (32 - prefix)) >>> 0) >>> shift);
  return {
    own: address === null ? null : { address: Uint8Array.from(address), mask },
    neighbourhood: { gateway: Uint8Array.of(10, 0, 2, 2), byDhcp },
    describe: () => "no address: control=off",
  };
}

const ours = network([10, 0, 2, 4]);

function domain(...vifs: (string | null)[]): GuestDomain {
  return {
    request: { vifs: vifs.map((vif) => (vif === null ? null : formatVif(parseVif("vif", vif)))) },
    toString: () => "domain 7 (web)",
  } as unknown as GuestDomain;
}

test("domain 0 connects to a guest's own addresses on its bridge and in its network, and to nothing else", (t) => {
  const address = (of: GuestDomain, wanted?: string, by = ours) => formatIpv4(forwardAddress(of, wanted, by));
  t.is(address(domain("ip=10.0.2.10")), "10.0.2.10");
  t.is(address(domain(null, "bridge=inner,ip=10.0.2.9", "ip=10.0.2.10")), "10.0.2.10");
  t.is(address(domain("ip=10.0.2.10", "ip=10.0.2.11"), "10.0.2.11"), "10.0.2.11");
  t.is(address(domain("ip=10.9.9.9"), undefined, network([10, 0, 2, 4], 8)), "10.9.9.9");
  const refused = (of: GuestDomain, message: RegExp, wanted?: string, by = ours) =>
    t.throws(() => address(of, wanted, by), { message });
  refused(domain("ip=10.0.2.10"), /has no vif with the address 10\.0\.2\.11/, "10.0.2.11");
  refused(domain("ip=10.0.2.10"), /has no vif with the address 127\.0\.0\.1/, "127.0.0.1");
  refused(domain(), /no vif whose address is known here: give it one with ip=/);
  refused(domain("mac=00:16:3e:00:00:01"), /no vif whose address is known here/);
  refused(domain("bridge=inner,ip=10.0.2.9"), /does not reach 10\.0\.2\.9 of domain 7/);
  refused(domain("ip=10.0.3.10"), /only addresses on xenbr0 in its own network, 10\.0\.2\.4\/24/);
  refused(domain("ip=10.0.2.10"), /no address to connect from: no address: control=off/, undefined, network(null));
  refused({ request: null, toString: () => "x" } as unknown as GuestDomain, /no vif whose address is known/);
});

test("ip=auto is the highest address that nobody has, and another one each time", (t) => {
  const auto = parseVif("vif", "ip=auto");
  const choice = new AddressChoice();
  const choose = (domains: GuestDomain[], by = ours) => formatVif(choice.choose(auto, domains, by));
  t.is(choose([]), "bridge=xenbr0,ip=10.0.2.254");
  t.is(choose([]), "bridge=xenbr0,ip=10.0.2.253", "the first one's domain may not be there yet");
  t.is(choose([domain("ip=10.0.2.252"), domain(null, "ip=10.0.2.251")]), "bridge=xenbr0,ip=10.0.2.250");
  const all = (except: number) =>
    Array.from({ length: 254 }, (_, i) => i + 1)
      .filter((last) => last !== except)
      .map((last) => domain(`ip=10.0.2.${last}`));
  t.is(choose(all(7)), "bridge=xenbr0,ip=10.0.2.7");
  t.is(choose(all(100)), "bridge=xenbr0,ip=10.0.2.100", "from the top again");
  t.throws(() => choose(all(4)), { message: /no address of 10\.0\.2\.0 is free/ }, "domain 0's own");
  t.throws(() => choose(all(2)), { message: /no address of/ }, "the gateway's");
  t.throws(() => choose([], network(null)), { message: /no network to choose from/ });
  t.throws(() => choose([], network([10, 0, 2, 4], 24, true)), { message: /DHCP server's to give: say ip=A\.B\.C\.D/ });
  t.throws(() => choice.choose(parseVif("vif", "ip=auto,bridge=inner"), [], ours), { message: /only on xenbr0/ });
  const wide = formatVif(new AddressChoice().choose(auto, [], network([10, 0, 2, 4], 8)));
  t.is(wide, "bridge=xenbr0,ip=10.0.2.254", "where a guest that takes its network for a /24 finds domain 0");
  const other = parseVif("vif", "ip=10.0.2.9");
  t.is(choice.choose(other, [], network(null)), other);
  t.is(
    choice.choose(parseVif("vif", "ip=auto,mac=00:16:3e:00:00:01"), [], network([192, 168, 7, 9], 30)).ip!.join("."),
    "192.168.7.10",
  );
});
