/** Boot modules made of Debian's packages: where those cannot be had, tests are skipped by name. */
import test from "ava";
import type { BootModule } from "../../../scripts/modules.ts";

export interface PackageTests {
  modules: BootModule[];
  /** `test.serial`, or `test.skip` where the packages are missing. */
  test: typeof test.serial;
  /** What is missing, for the tests' names; empty when nothing is. */
  why: string;
}

/** @param make fetches the packages and makes the modules; throws when it cannot */
export function packageTests(make: () => BootModule[]): PackageTests {
  try {
    return { modules: make(), test: test.serial, why: "" };
  } catch (error) {
    const missing = (error as Error).message.split("\n").at(-1)!;
    return { modules: [], test: test.skip as typeof test.serial, why: ` (${missing})` };
  }
}
