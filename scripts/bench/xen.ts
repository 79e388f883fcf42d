/** Xen's figures for the guest `bench`: the same binary on Debian's Xen 4.17 in the same emulator, measured once a run. */
import { progress } from "../build/task.ts";
import { comparison } from "./comparison.ts";

let figures: Promise<Map<string, number>> | undefined;

async function measure(): Promise<Map<string, number>> {
  if (!comparison.xen) return new Map();
  try {
    const { xenBench } = await import("../oracle.ts");
    return new Map((await xenBench()).map((row) => [row.name, row.value]));
  } catch (error) {
    progress(`no figures of Xen: ${(error as Error).message}`);
    return new Map();
  }
}

/** Xen's figure for a line of the guest `bench`; undefined where Xen cannot be had or does not print it. */
export async function xenFigure(name: string): Promise<number | undefined> {
  figures ??= measure();
  return (await figures).get(name);
}
