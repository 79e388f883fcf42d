/** Text pasted into a Linux guest's console arrives completely, whatever the guest does meanwhile. */
import { createHash } from "node:crypto";
import { linuxModules } from "../../scripts/linux/guest.ts";
import { bootToPrompt, powerOff } from "./support/boot.ts";
import { LINUX_MS, startLinux } from "./support/linux.ts";
import { packageTests } from "./support/packages.ts";

const MEMORY_MIB = 640;

const { modules, test, why } = packageTests(() => linuxModules());

test(`18,800 bytes pasted into a Linux guest's console arrive${why}`, async (t) => {
  t.timeout(LINUX_MS * 3);
  const machine = await bootToPrompt(t, { memoryMib: MEMORY_MIB, modules });
  const { shell } = await startLinux(machine, "linux");
  await shell.enter();
  const pasted = Array.from({ length: 188 }, (_, i) => `${String(i).padStart(99, ".")}\n`).join("");
  // The guest does not read for a while: more waits than all that lies between it and the sender keeps.
  machine.send("stty -echo; echo now''; sleep 3; md5sum; stty echo\r");
  await machine.waitFor("\nnow\r", LINUX_MS, "the guest's shell to begin");
  machine.send(`${pasted}\x04`);
  const { match } = await machine.waitFor(/^([0-9a-f]{32}) {2}-/m, LINUX_MS, "the sum of what arrived");
  t.is(match[1], createHash("md5").update(pasted).digest("hex"));
  await machine.waitFor("linux:/root# ", LINUX_MS);
  await shell.leave();
  await powerOff(t, machine);
});
