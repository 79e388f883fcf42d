/** Files that are no configurations. */
import { chmodSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import test from "ava";
import { nearest } from "../../../toolstack/cli/config/problems.ts";
import { readConfigFile } from "../../../toolstack/cli/config/read-file.ts";
import { faultsOf } from "./refused.ts";

test("a file's text, or what is wrong with the file", (t) => {
  const folder = mkdtempSync(path.join(os.tmpdir(), "config-"));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const file = path.join(folder, "x.cfg");
  const said = (): string[] => faultsOf(t, () => readConfigFile(file));
  t.deepEqual(said(), [`${file}: there is no such file`]);
  t.deepEqual(
    faultsOf(t, () => readConfigFile(folder)),
    [`${folder}: it is a folder`],
  );
  writeFileSync(file, "name = 'ü€😀'\n");
  t.is(readConfigFile(file), "name = 'ü€😀'\n");
  if (process.getuid?.() !== 0) {
    chmodSync(file, 0);
    t.deepEqual(said(), [`${file}: it may not be read`]);
    chmodSync(file, 0o600);
  }
  writeFileSync(file, Buffer.from([0x61, 0xff, 0x62]));
  t.deepEqual(said(), [`${file}: it is not a text in UTF-8`]);
  truncateSync(file, 1024 * 1024 + 1);
  t.deepEqual(said(), [`${file}: 1048577 bytes are too many for a configuration: 1 MiB at most`]);
});

test("the word that was probably meant", (t) => {
  const words = ["memory", "vcpus", "vif", "maxmem", "uuid"];
  t.is(nearest("memry", words), "memory");
  t.is(nearest("vcpu", words), "vcpus");
  t.is(nearest("vifs", words), "vif");
  t.is(nearest("uid", words), "uuid");
  t.is(nearest("x", words), undefined);
  t.is(nearest("disc", words), undefined);
  t.is(nearest("something", words), undefined);
});
