/** Our unikernels on a bridge: TCP/IP between them, addresses by DHCP, how they are asked to end. */
import test from "ava";
import { bootToPrompt, COMMAND_MS, powerOff } from "./support/boot.ts";

test("unikernels reach each other over xenbus, each in few MiB, and end when they are asked to", async (t) => {
  const machine = await bootToPrompt(t);
  await machine.command("bridge create inner --dhcp 10.1.0.1/24", COMMAND_MS);
  const vif = (last: number) => `--xenbus --vif bridge=inner,ip=10.1.0.${last}`;
  await machine.command(`create --kernel nettest --name server --memory 4 ${vif(2)}`, COMMAND_MS);
  await machine.command(`create --kernel daytime --name clock --memory 2 ${vif(3)}`, COMMAND_MS);

  const client = await machine.command(
    `create --kernel nettest --memory 4 ${vif(4)} --cmdline "peer=10.1.0.2" --wait`,
    COMMAND_MS * 2,
  );
  t.regex(client, /network: 10\.1\.0\.4\/24, gateway 10\.1\.0\.1, by DHCP/);
  for (const name of ["echo", "sink", "source", "udp"]) t.regex(client, new RegExp(`nettest ${name} \\d+ bytes`));
  t.regex(client, /TYPEVISOR-GUEST: PASS nettest/);

  // The time is asked for by a datagram; its answer is the first frame after the neighbour's own.
  const started = await machine.command(
    `create --kernel timecost --memory 2 ${vif(5)} --cmdline "ip=10.1.0.5 peer=10.1.0.3" --wait`,
    COMMAND_MS,
  );
  t.regex(started, /timecost network-connected \d+ ticks \d+ ns\n/);
  t.regex(started, /TYPEVISOR-GUEST: PASS timecost/);

  const disk = await machine.command("create --kernel blktest --memory 2 --wait", COMMAND_MS);
  t.regex(disk, /FAIL blktest the domain has no block device/);

  for (const name of ["server", "clock"]) await machine.command(`shutdown ${name}`, COMMAND_MS);
  t.notRegex(await machine.command("list", COMMAND_MS), /server|clock/);
  await powerOff(t, machine);
});
