/**
 * `npm run test:oracle`: our guests on Debian's real Xen 4.17. What the self-test expects of a hypervisor must be what Xen
 * does, or be listed in scripts/oracle/exceptions.ts with the reason. Ends with one line `N passed, N failed`.
 */
import { fileURLToPath } from "node:url";
import { buildGuests } from "./build/guests.ts";
import { progress } from "./build/task.ts";
import { checkSelftest, checkVerdict, type GuestFigure, measureXen, type OracleCheck } from "./oracle/checks.ts";
import { findXen } from "./oracle/xen.ts";
import { guestsFolder } from "./paths.ts";
import { installPackages } from "./setup.ts";

/** Real Xen's figures from the guest `bench`, or an empty list where Xen cannot be had; `ticks` are instructions. */
export async function xenBench(): Promise<GuestFigure[]> {
  const xen = findXen();
  if ("missing" in xen) {
    progress(`no figures of Xen: ${xen.missing}`);
    return [];
  }
  await buildGuests(guestsFolder, progress);
  return measureXen(xen.image);
}

async function benchCheck(xen: string): Promise<OracleCheck> {
  try {
    const figures = await measureXen(xen);
    for (const figure of figures) console.log(`bench   ${figure.name} ${figure.value} ${figure.unit}`);
    return { name: "bench", outcome: figures.length > 0 ? "passed" : "failed", detail: `${figures.length} figures` };
  } catch (error) {
    return { name: "bench", outcome: "failed", detail: (error as Error).message };
  }
}

async function main(): Promise<number> {
  installPackages(["build", "qemu"]);
  await buildGuests(guestsFolder, progress);
  const xen = findXen();
  if ("missing" in xen) {
    console.log(`skipped our guests on real Xen: ${xen.missing}`);
    console.log("0 passed, 0 failed");
    return 0;
  }
  const checks = [
    ...(await checkVerdict(xen.image, "hello")),
    ...(await checkVerdict(xen.image, "timer", "count=5")),
    ...(await checkSelftest(xen.image)),
    await benchCheck(xen.image),
  ];
  const words = { passed: "ok     ", failed: "FAILED ", skipped: "skipped" };
  for (const { name, outcome, detail } of checks) {
    console.log(`${words[outcome]} ${name}${detail === "" ? "" : `  ${detail}`}`);
  }
  const count = (outcome: string) => checks.filter((check) => check.outcome === outcome).length;
  console.log(`${count("passed")} passed, ${count("failed")} failed`);
  return count("failed") === 0 ? 0 : 1;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) process.exitCode = await main();
