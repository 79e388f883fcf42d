/** Stock Linux guests' networks under load: 100 MB with the right checksum, and iperf3 both ways, from a guest and from this computer. */
import { type ChildProcess, spawn } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import http from "node:http";
import type { AddressInfo } from "node:net";
import type { ExecutionContext } from "ava";
import { freePorts } from "../../scripts/devices.ts";
import { linuxModules } from "../../scripts/linux/guest.ts";
import type { LinuxShell } from "../../scripts/linux/shell.ts";
import type { Machine } from "../../scripts/machine.ts";
import { bootToPrompt, COMMAND_MS, powerOff } from "./support/boot.ts";
import { expectCalm, LINUX_MS, startLinux } from "./support/linux.ts";
import { packageTests } from "./support/packages.ts";

const { modules, test: linuxTest, why } = packageTests(() => linuxModules(["iperf3", "ethtool"]));

const MEGABYTES = 100;
const IPERF_MEGABYTES = 10;
const IPERF_PORT = 5201;
/** A transfer, on a computer that has ten other things to do. */
const TRANSFER_MS = LINUX_MS * 2;
/** A frame without segmentation offload is no longer. */
const ETHERNET_MAX = 1514;

interface Vif {
  domain: number;
  txFrames: number;
  txBytes: number;
  rxFrames: number;
  rxBytes: number;
  drops: Record<string, number>;
}

async function vifs(machine: Machine): Promise<Vif[]> {
  return JSON.parse((await machine.command("vif list --json", COMMAND_MS)).trim()) as Vif[];
}

/** Waits for the address that DHCP is to bring. */
async function awaitAddress(shell: LinuxShell, address: string): Promise<void> {
  await shell.run(`until ip address show eth0 | grep -q "inet ${address}/24"; do sleep 0.1; done`);
}

/** What iperf3 (JSON) has measured: bytes that arrived, and bits per second by the client's clock. */
function iperfResult(t: ExecutionContext, printed: string): { bytes: number; mbit: string; resent: number } {
  const report = JSON.parse(printed.slice(printed.indexOf("{"))) as {
    error?: string;
    end: { sum_sent: { bytes: number; retransmits: number }; sum_received: { bytes: number; bits_per_second: number } };
  };
  t.is(report.error, undefined);
  const { sum_sent: sent, sum_received: received } = report.end;
  t.true(sent.bytes >= IPERF_MEGABYTES << 20, `${sent.bytes} bytes sent`);
  return {
    bytes: received.bytes,
    mbit: (received.bits_per_second / 1e6).toFixed(1),
    resent: sent.retransmits,
  };
}

const IPERF_WAYS = [
  ["to the server", []],
  ["from the server", ["-R"]],
] as const;

const iperfArguments = (host: string, port: number, more: readonly string[]): string[] => {
  return ["-c", host, "-p", String(port), "-n", `${IPERF_MEGABYTES}M`, "-J", ...more];
};

linuxTest(
  `two Linux guests: ${MEGABYTES} MB with the right checksum, iperf3 both ways, with and without offloads${why}`,
  async (t) => {
    t.timeout(LINUX_MS * 8);
    const machine = await bootToPrompt(t, { memoryMib: 896, modules });
    await machine.command("bridge create inner --dhcp 10.1.0.1/24", COMMAND_MS);
    const a = await startLinux(machine, "a", "--memory 192 --vif bridge=inner,ip=10.1.0.10");
    const b = await startLinux(machine, "b", "--memory 320 --vif bridge=inner,ip=10.1.0.11");
    // Each of its megabytes is told apart from the others by its first line. httpd hands the file to the kernel in one piece.
    await b.shell.enter();
    await awaitAddress(b.shell, "10.1.0.11");
    await b.shell.run("iperf3 -s -D; mkdir /www; dd if=/dev/urandom of=/tmp/part bs=1M count=1 2>/dev/null");
    const make = `for i in $(seq ${MEGABYTES}); do echo "megabyte $i"; cat /tmp/part; done`;
    const sum = (await b.shell.run(`(${make}) >/www/data; md5sum </www/data`, TRANSFER_MS)).trim();
    t.regex(sum, /^[0-9a-f]{32} /);
    await b.shell.run("httpd -h /www");
    await b.shell.leave();

    await a.shell.enter();
    await awaitAddress(a.shell, "10.1.0.10");
    t.is((await a.shell.run("wget -q -O - http://10.1.0.11/data | md5sum", TRANSFER_MS)).trim(), sum);
    await a.shell.leave();
    const [{ txFrames, txBytes }] = (await vifs(machine)).filter(({ domain }) => domain === Number(b.id)) as [Vif];
    t.true(txBytes > MEGABYTES << 20);
    const usual = Math.round(txBytes / txFrames);
    t.log(`${MEGABYTES} MB in ${txFrames} frames, ${usual} bytes each`);
    t.true(usual > 2 * ETHERNET_MAX, `frames of ${usual} bytes: large ones are passed on whole`);

    await a.shell.enter();
    for (const offloads of ["on", "off"] as const) {
      if (offloads === "off") await a.shell.run("ethtool -K eth0 tso off gso off tx off sg off");
      for (const [way, more] of IPERF_WAYS) {
        const command = `iperf3 ${iperfArguments("10.1.0.11", IPERF_PORT, more).join(" ")}`;
        const { bytes, mbit, resent } = iperfResult(t, await a.shell.run(command, TRANSFER_MS));
        t.log(
          `guest to guest, offloads ${offloads}, ${way}: ${bytes} bytes, ${mbit} Mbit/s, ${resent} segments resent`,
        );
      }
    }
    expectCalm(t, await a.shell.run("dmesg"));
    await a.shell.leave();
    for (const { drops } of await vifs(machine)) t.deepEqual(drops, {});
    await powerOff(t, machine);
  },
);

/** A page of this computer's that is the same megabyte again and again, each behind a line of its own; and its checksum. */
async function servePage(t: ExecutionContext): Promise<{ port: number; sum: string }> {
  const part = randomBytes(1 << 20);
  const pieces = Array.from({ length: MEGABYTES }, (_, i) => Buffer.from(`megabyte ${i}\n`));
  const hash = createHash("md5");
  for (const piece of pieces) hash.update(piece).update(part);
  const server = http.createServer((_request, response) => {
    void (async () => {
      for (const piece of pieces) {
        response.write(piece);
        if (!response.write(part)) await once(response, "drain");
      }
      response.end();
    })().catch(() => response.destroy());
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  return { port: (server.address() as AddressInfo).port, sum: hash.digest("hex") };
}

/** Runs iperf3 on this computer; what it printed. */
async function iperfHere(t: ExecutionContext, args: string[]): Promise<string> {
  const child: ChildProcess = spawn("iperf3", args, { stdio: ["ignore", "pipe", "inherit"] });
  t.teardown(() => child.kill("SIGKILL"));
  let printed = "";
  child.stdout!.on("data", (data: Buffer) => (printed += data.toString()));
  const [status] = (await once(child, "close")) as [number | null];
  t.is(status, 0, printed);
  return printed;
}

linuxTest(
  `a Linux guest and this computer: ${MEGABYTES} MB with the right checksum, iperf3 both ways${why}`,
  async (t) => {
    t.timeout(LINUX_MS * 8);
    const [hostPort] = (await freePorts(1)) as [number];
    const forwards = [{ protocol: "tcp" as const, hostPort, address: "10.0.2.15", port: IPERF_PORT }];
    const machine = await bootToPrompt(t, { memoryMib: 512, modules, nic: "virtio-net", forwards });
    const { shell } = await startLinux(machine, "peer", "--memory 192 --vcpus 2 --vif bridge=xenbr0");
    const { port, sum } = await servePage(t);
    await shell.enter();
    await awaitAddress(shell, "10.0.2.15");
    const got = await shell.run(`wget -q -O - http://10.0.2.2:${port}/ | md5sum`, TRANSFER_MS);
    t.is(got.trim(), `${sum}  -`);
    for (const [way, more] of IPERF_WAYS) {
      // A server for one test: between two of them it does not listen for a moment, which resets who connects then.
      await shell.run(
        "while pidof iperf3 >/dev/null; do sleep 0.1; done; iperf3 -s -1 -D; until netstat -ltn | grep -q :5201; do sleep 0.1; done",
      );
      await shell.leave();
      const printed = await iperfHere(t, iperfArguments("127.0.0.1", hostPort, more));
      const { bytes, mbit, resent } = iperfResult(t, printed);
      t.log(`this computer and a guest, ${way}: ${bytes} bytes, ${mbit} Mbit/s, ${resent} segments resent`);
      await shell.enter();
    }
    expectCalm(t, await shell.run("dmesg"));
    await shell.leave();
    for (const { drops } of await vifs(machine)) t.deepEqual(drops, {});
    await powerOff(t, machine);
  },
);
