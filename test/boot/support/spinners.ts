/** Many guests that never yield the processor: domain 0 must still work. */
import type { ExecutionContext } from "ava";
import { bootToPrompt, evaluate, GUEST_MS, powerOff } from "./boot.ts";
import { frames, framesWarm } from "./frames.ts";

/** Commands in one line. */
const BATCH = 10;
const SECOND_NS = 1e9;
/** So many domains that have gone may leave one frame behind. */
const KEPT_PART = 16;
const FREE = "free or domain 0's";

/**
 * Creates `count` guests that spin. `list` answers within a second, a new guest runs to its end, and all are destroyed.
 * Time is that of the machine itself, which counts its instructions (`-icount`): nothing depends on the computer's load.
 */
export async function spinnersLeaveDomain0Time(t: ExecutionContext, count: number, memoryMib: number): Promise<void> {
  t.timeout(GUEST_MS * 4);
  const machine = await bootToPrompt(t, { kind: "qemu-svm", memoryMib, icount: true });
  const before = await framesWarm(machine);
  for (let made = 0; made < count; made += BATCH)
    await machine.command(Array(BATCH).fill("create --kernel spin --memory 2").join("; "), GUEST_MS);
  const list = await machine.command(
    "js globalThis.begun = uptimeNs(); list; js globalThis.took = uptimeNs() - begun",
    GUEST_MS,
  );
  const ids = [...list.matchAll(/^spin\S* +(\d+)/gm)].map((match) => match[1]);
  t.is(ids.length, count, list);
  const took = await evaluate<number>(machine, "took");
  t.log(`list of ${count} domains: ${Math.round(took / 1e6)} ms`);
  t.true(took < SECOND_NS, `list took ${took} ns`);
  t.regex(await machine.command("create --kernel hello --wait", GUEST_MS), /PASS hello/);
  for (let i = 0; i < ids.length; i += BATCH) {
    const line = ids.slice(i, i + BATCH).map((id) => `destroy ${id}`);
    await machine.command(line.join("; "), GUEST_MS);
  }
  t.notRegex(machine.output, /watchdog/i);
  // Tables of the hypervisor's and of domain 0's that grew with the number of domains are kept for the next ones: far less than what
  // would stay of a domain.
  const after = await frames(machine);
  for (const kept of ["heap", "tables"]) {
    const grown = after[kept]! - before[kept]!;
    t.true(grown <= 8 + count / KEPT_PART, `${grown} frames more for ${kept}`);
  }
  const rest = ({ heap, tables, [FREE]: free, ...others }: Record<string, number>) => ({
    ...others,
    together: heap! + tables! + free!,
  });
  t.deepEqual(rest(after), rest(before));
  await powerOff(t, machine);
}
