/** Evaluates the output of a soak's guests: pure functions, so that tests can show that each kind of problem is detected. */

/** What a stressor did. */
export interface Stressor {
  name: string;
  bogoOps: number;
  seconds: number;
}

/** A unikernel's report on its timers. */
export interface Timers {
  count: number;
  worstUs: number;
  /** Fewer than one in a hundred came later. */
  usualUs: number;
}

/** Lines of a kernel's log that report a problem with it, or with the machine below it. */
const COMPLAINT =
  /\bOops\b|\bBUG:|\bWARNING:|Call Trace|soft lockup|hard LOCKUP|clocksource.*unstable|rcu.*stall|blocked for more than|general protection|segfault|Kernel panic|Out of memory|timer.*(?:lost|missed)/i;

/** A stressor's time goes on while it gets ready, which is not counted: so much of it, or so many seconds, may be missing. */
const READY_PART = 0.1;
const READY_SECONDS = 5;

/** The complaints in what `dmesg` printed. */
export function complaints(dmesg: string): string[] {
  return dmesg.split("\n").filter((line) => COMPLAINT.test(line));
}

/** The stressors' figures of `stress-ng --metrics-brief`. */
export function stressFigures(output: string): Stressor[] {
  const line = /^stress-ng: metrc: \[\d+\] (\S+) +(\d+) +([\d.]+) +[\d.]+ +[\d.]+ +[\d.]+ +[\d.]+/gm;
  return [...output.matchAll(line)].map((m) => ({ name: m[1]!, bogoOps: Number(m[2]), seconds: Number(m[3]) }));
}

/**
 * What is wrong with a run of stress-ng.
 * @param output what it printed, and `status N` behind it
 * @param wanted stressors that must all have done something, for `seconds` but what they needed to get ready
 */
export function stressTrouble(output: string, wanted: string[], seconds: number): string[] {
  const trouble = output.split("\n").filter((line) => /^stress-ng: (?:fail|error|warn)/.test(line));
  const status = /^status (\d+)$/m.exec(output)?.[1];
  if (status !== "0") trouble.push(status === undefined ? "stress-ng did not end" : `stress-ng: status ${status}`);
  // A failed one is "unsuccessful run completed".
  if (!/\bsuccessful run completed/.test(output)) trouble.push("stress-ng does not call its run successful");
  const figures = stressFigures(output);
  const least = seconds - Math.max(seconds * READY_PART, READY_SECONDS);
  for (const name of wanted) {
    const found = figures.find((figure) => figure.name === name);
    if (found === undefined) trouble.push(`stress-ng gives no figures for ${name}`);
    else if (found.bogoOps === 0) trouble.push(`the stressor ${name} did nothing`);
    else if (found.seconds < least) trouble.push(`the stressor ${name} ran for ${found.seconds} s only`);
  }
  return trouble;
}

/** What the guest `timer` printed; undefined when it did not come to its end. */
export function timerFigures(output: string): Timers | undefined {
  const worst = /^worst: (\d+) us late$/m.exec(output);
  const usual = /^usual: (\d+) timers, 99 in 100 less than (\d+) us late$/m.exec(output);
  if (worst === null || usual === null || !output.includes("TYPEVISOR-GUEST: PASS timer")) return undefined;
  return { count: Number(usual[1]), worstUs: Number(worst[1]), usualUs: Number(usual[2]) };
}
