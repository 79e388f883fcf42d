/** Sets of CPUs as xl writes them. */
import fc from "fast-check";
import test from "ava";
import { ALL_CPUS, formatCpuList, parseCpuList } from "../../../../toolstack/api/cpu-list.ts";
import { uptimeText } from "../../../../toolstack/api/uptime.ts";

for (const [text, cpus, shown] of [
  ["all", 4, "all"],
  ["nodes:all", 4, "all"],
  ["node:0", 4, "all"],
  ["all,^nodes:0,all", 4, "all"],
  ["0-3,^2", 4, "0-1,3"],
  ["1,4,2", 8, "1-2,4"],
  ["all,^2", 4, "0-1,3"],
  ["all,^2", 1, "all"],
  ["0", 1, "all"],
  ["3-3", 4, "3"],
  ["0-3,^0-2", 4, "3"],
  ["0-7,^4-7", 4, "all"],
  ["63", 64, "63"],
] as const) {
  test(`"${text}" of ${cpus} CPUs is ${shown}`, (t) => {
    t.is(formatCpuList(parseCpuList("HARD", text, cpus), cpus), shown);
  });
}

for (const [text, cpus, said] of [
  ["", 4, /^HARD: "" is none of all, N, N-M, nodes:N and nodes:all/],
  ["foo", 4, /"foo" is none of/],
  ["1,,2", 4, /"" is none of/],
  ["1-", 4, /"1-" is none of/],
  ["-1", 4, /"-1" is none of/],
  ["0x1", 4, /"0x1" is none of/],
  [" 1", 4, /" 1" is none of/],
  ["1 ", 4, /"1 " is none of/],
  ["^all", 4, /"\^" cannot leave out "all"/],
  ["^nodes:all", 4, /"\^" cannot leave out "all"/],
  ["3-1", 4, /"3-1" goes from 3 down to 1/],
  ["4", 4, /CPU 4 is not there: CPUs 0 to 3 are used/],
  ["0-9", 4, /CPU 9 is not there/],
  ["1", 1, /CPU 1 is not there: only CPU 0 is used/],
  ["64", 64, /CPU 64 is not there: CPUs 0 to 63 are used/],
  ["0-9999", 4, /CPU 9999 is not there/],
  ["nodes:1", 4, /there is no node 1/],
  ["^0", 1, /"\^0" leaves no CPU/],
  ["all,^nodes:0", 4, /leaves no CPU/],
] as const) {
  test(`"${text}" of ${cpus} CPUs is refused`, (t) => {
    t.throws(() => parseCpuList("HARD", text, cpus), { message: said });
  });
}

test("what is shown of a set is that set again", (t) => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 64 }), fc.bigInt({ min: 0n, max: ALL_CPUS }), (cpus, bits) => {
      const used = 2n ** BigInt(cpus) - 1n;
      const text = formatCpuList(bits, cpus);
      if ((bits & used) === 0n) t.is(text, "none");
      else t.is(parseCpuList("HARD", text, cpus) & used, bits & used, text);
    }),
    { numRuns: 1000 },
  );
});

test("any text is a set with a CPU that is used, or refused", (t) => {
  const letters = fc.constantFrom(..."0123456789,-^:", "all", "nodes:", "all,^");
  fc.assert(
    fc.property(fc.string({ unit: letters, maxLength: 12 }), fc.integer({ min: 1, max: 64 }), (text, cpus) => {
      let mask: bigint;
      try {
        mask = parseCpuList("HARD", text, cpus);
      } catch (error) {
        t.regex((error as Error).message, /^HARD: /);
        return;
      }
      t.true((mask & (2n ** BigInt(cpus) - 1n)) !== 0n && mask <= ALL_CPUS, text);
    }),
    { numRuns: 3000 },
  );
});

test("times as xl writes them", (t) => {
  t.is(uptimeText(7), " 0:00:07");
  t.is(uptimeText(86_399), "23:59:59");
  t.is(uptimeText(86_400 + 3723), "1 day,  1:02:03");
  t.is(uptimeText(12 * 86_400 + 36_000), "12 days, 10:00:00");
  t.is(uptimeText(12 * 86_400 + 36_059, true), "12 days, 10:00");
});
