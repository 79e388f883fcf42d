/** `control=` on the command line. */
import test from "ava";
import { maskOf, parseControlOption } from "../../../../toolstack/control/net/option.ts";

test("what control= may say", (t) => {
  t.is(parseControlOption(undefined), "off");
  t.is(parseControlOption("off"), "off");
  t.is(parseControlOption("dhcp"), "dhcp");
  const address = Uint8Array.of(10, 0, 2, 40);
  t.deepEqual(parseControlOption("10.0.2.40/24"), { address, prefix: 24, gateway: null });
  t.deepEqual(parseControlOption("10.0.2.40/24,10.0.2.2"), {
    address,
    prefix: 24,
    gateway: Uint8Array.of(10, 0, 2, 2),
  });
  t.deepEqual([...maskOf(20)], [255, 255, 240, 0]);
});

test("what it may not say is refused in words", (t) => {
  for (const [text, why] of [
    ["", /one of ADDRESS\/PREFIX/],
    ["10.0.2.40", /one of ADDRESS\/PREFIX/],
    ["10.0.2.400/24", /no IPv4 address/],
    ["127.0.0.1/8", /no address of a host/],
    ["10.0.2.40/31", /1 to 30 bits/],
    ["10.0.2.40/0", /1 to 30 bits/],
    ["10.0.2.40/24,10.0.3.1", /gateway 10\.0\.3\.1 is not in the network/],
    ["10.0.2.40/24,", /one of ADDRESS\/PREFIX/],
  ] as const) {
    const result = parseControlOption(text);
    t.true(typeof result === "object" && "wrong" in result && why.test(result.wrong), JSON.stringify(result));
  }
});
