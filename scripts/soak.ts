/**
 * `npm run soak [-- --seconds N]`: Debian's stress-ng in a Linux guest, beside another Linux guest and three unikernels
 * that watch their timers. Prints figures, and a verdict for each guest; exit status 0 only if all is well.
 */
import { openSync, writeSync } from "node:fs";
import { Command, InvalidArgumentError, Option } from "commander";
import { build } from "./build.ts";
import { orExplain, progress } from "./build/task.ts";
import { bestMachine, MACHINE_DESCRIPTIONS, MACHINE_KINDS, type MachineKind, purposesFor } from "./emulators.ts";
import { installPackages } from "./setup.ts";
import { runSoak, soakModules, type SoakResult, UNIKERNELS } from "./soak/run.ts";

function wholeSeconds(text: string): number {
  if (!/^[1-9][0-9]{0,5}$/.test(text)) throw new InvalidArgumentError("expected a positive whole number.");
  return Number(text);
}

function parseOptions(): { machine: MachineKind | "auto"; seconds: number; log?: string } {
  return new Command("npm run soak --")
    .description(
      "Debian's stress-ng in a Linux guest with two vCPUs, beside another Linux guest and three unikernels\n" +
        "that watch their timers. Prints figures and verdicts; exit status 0 only if all is well.",
    )
    .option("--seconds <n>", "how long stress-ng runs, in the guest's time", wholeSeconds, 120)
    .addOption(
      new Option("--machine <kind>", "where to boot, as for npm start")
        .choices(["auto", ...MACHINE_KINDS])
        .default("auto"),
    )
    .option("--log <file>", "write all that the machine's console prints to a file")
    .allowExcessArguments(false)
    .parse()
    .opts();
}

function print(result: SoakResult): void {
  for (const { name, bogoOps, seconds } of result.stressors) {
    console.log(`stress-ng ${name.padEnd(8)} ${String(bogoOps).padStart(10)} bogo ops in ${seconds} s`);
  }
  console.log(`beside    ${String(result.sums).padStart(19)} sums of 1 MiB were right`);
  for (const [name, { count, worstUs, usualUs }] of result.timers) {
    console.log(`${name}: ${count} timers, none lost; 99 in 100 less than ${usualUs} us late, worst ${worstUs} us`);
  }
  const guests = ["stress-ng", "Linux stress", "Linux beside", "beside", ...UNIKERNELS.keys(), "Typevisor"];
  for (const who of guests) {
    const trouble = result.trouble.get(who) ?? [];
    console.log(`${trouble.length === 0 ? "PASS" : "FAIL"} ${who}`);
    for (const line of trouble) console.log(`     ${line}`);
  }
  console.log(`soak: ${result.trouble.size === 0 ? "PASS" : "FAIL"}`);
}

const options = parseOptions();
const kind = options.machine === "auto" ? bestMachine() : options.machine;
installPackages(["build", ...purposesFor(kind)]);
await orExplain(build);
progress(`booting in ${MACHINE_DESCRIPTIONS[kind]}`);
try {
  const { seconds, log } = options;
  const file = log === undefined ? undefined : openSync(log, "w");
  const output = file === undefined ? undefined : (text: string) => void writeSync(file, text);
  const result = await runSoak({ kind, seconds, output, modules: soakModules(), progress });
  print(result);
  process.exitCode = result.trouble.size === 0 ? 0 : 1;
} catch (error) {
  console.log(`FAIL ${(error as Error).message}\nsoak: FAIL`);
  process.exitCode = 1;
}
