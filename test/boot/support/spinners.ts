/** Many guests that never yield the processor: domain 0 must still work. */
import type { ExecutionContext } from "ava";
import { bootToPrompt, evaluate, GUEST_MS, powerOff } from "./boot.ts";
import { frames, framesWarm } from "./frames.ts";

/** Commands in one line. */
const BATCH = 10;
const SECOND_NS = 1e9;

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
  // Tables that grew with the number of domains are kept for the next ones.
  const { heap, "free or domain 0's": free, ...others } = await frames(machine);
  const { heap: heapBefore = 0, "free or domain 0's": freeBefore = 0, ...othersBefore } = before;
  t.deepEqual(others, othersBefore);
  t.is(heap! + free!, heapBefore + freeBefore);
  await powerOff(t, machine);
}
