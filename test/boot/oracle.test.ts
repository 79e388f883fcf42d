/**
 * Our guests on Debian's real Xen 4.17: what they expect of a hypervisor is what Xen does. Skipped by name where Xen's
 * package cannot be had.
 */
import test from "ava";
import { checkSelftest, checkVerdict, measureXen, type OracleCheck } from "../../scripts/oracle/checks.ts";
import { findXen } from "../../scripts/oracle/xen.ts";

const xen = findXen();
const image = "image" in xen ? xen.image : "";
const why = "image" in xen ? "" : ` (${xen.missing})`;
// One emulator at a time.
const onXen = "image" in xen ? test.serial : test.skip;

test.beforeEach((t) => t.timeout(1_200_000));

function failures(checks: OracleCheck[]): string[] {
  return checks.filter((check) => check.outcome === "failed").map((check) => `${check.name}: ${check.detail}`);
}

onXen(`hello and timer pass on real Xen${why}`, async (t) => {
  t.deepEqual(
    failures([...(await checkVerdict(image, "hello")), ...(await checkVerdict(image, "timer", "count=5"))]),
    [],
  );
});

onXen(`every expectation of selftest holds on real Xen, or is listed with its reason${why}`, async (t) => {
  const checks = await checkSelftest(image);
  t.true(checks.length > 150, `only ${checks.length} checks ran`);
  t.deepEqual(failures(checks), []);
});

onXen(`bench gives Xen's figures${why}`, async (t) => {
  const names = (await measureXen(image)).map((figure) => figure.name);
  for (const name of ["null-hypercall", "event-send", "event-upcall", "vcpu-round-trip"])
    t.true(names.includes(name), name);
});
