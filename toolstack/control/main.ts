/**
 * Domain 0: the control plane. This module is evaluated when the image is built; domain 0 starts from the resulting heap,
 * on every boot and after every crash. The engine then calls `turn` whenever there is something to do; the
 * first turn initialises everything that needs the machine.
 */
import { setControlView } from "./api/current.ts";
import { parseKept } from "./api/kept.ts";
import { ControlService } from "./api/listen.ts";
import { ControlServer } from "./api/server.ts";
import { bootOption } from "./boot-info.ts";
import { openInput, readInput } from "./console/input.ts";
import { print } from "./console/output.ts";
import { Shell } from "./shell.ts";
import { plantRoots } from "./domains/domain-nodes.ts";
import { Domains } from "./domains/domains.ts";
import type { Listen } from "./net/connection.ts";
import { network } from "./net/network.ts";
import { IoChannel } from "./noxs/channel.ts";
import { onVirq, openEvents } from "./events.ts";
import { detach, reportFailure, reportFailuresTo } from "./failures.ts";
import { openHost, type Host } from "./host.ts";
import { openHypercalls } from "./hypercall.ts";
import { stayAwake, turn } from "./loop.ts";
import { installGlobals } from "./repl-globals.ts";
import { openScratch } from "./scratch.ts";
import { SerialPorts } from "./serial/ports.ts";
import { startSession } from "./session.ts";
import { prepareAcpi } from "./builder/acpi.ts";
import { openSuspects } from "./suspects.ts";
import { StoreService } from "./store/service.ts";
import { timerFired } from "./timers.ts";
import { showLife } from "./watchdog.ts";
import { IO_DOMAIN } from "../../abi/io/layout.ts";
import { VIRQ_TIMER } from "../../abi/xen.ts";

let started = false;

const notice = (text: string) => shell.notice(text);
const store = new StoreService(notice);
const io = new IoChannel();
const domains = new Domains(notice, store, io);
domains.systemChanged = (id) => {
  if (id !== IO_DOMAIN) return;
  io.changed();
  network.ioChanged();
  domains.devices.sweep((domain) => domains.find(domain) !== undefined);
};
const control = new ControlServer(domains);
const ports = new SerialPorts(() => io.notify(), notice);
io.ports = ports;
const listen: Listen = (port, accept) => network.tcp.listen(port, accept);
const service = new ControlService(control, listen, ports, network, notice);
setControlView(service);
const shell = new Shell(domains, readInput);

prepareAcpi();
plantRoots(store.local);

function start(): void {
  openHost(globalThis as unknown as Host);
  openHypercalls();
  openScratch();
  // Before anything that could take long: the first commands, and adopting domains after a restart.
  showLife();
  domains.devices.sysctls.notePorts();
  openEvents();
  reportFailuresTo((text) => print(`${text}\n`));
  stayAwake();
  // The timer's event makes the hypervisor enter domain 0, and the turn checks the clock.
  onVirq(VIRQ_TIMER, timerFired);
  openSuspects();
  const taken = domains.start();
  const kept = parseKept(domains.ownRecord);
  io.open();
  domains.devices.start();
  network.start(kept.network ?? bootOption("control"), () => domains.devices.whenReady(), notice);
  installGlobals(domains, io, control);
  openInput(shell);
  reportFailuresTo(notice);
  detach("the session", async () => {
    await taken;
    service.start(kept);
    await startSession(shell, domains);
  });
}

(globalThis as unknown as { turn: () => void }).turn = () => {
  if (!started) {
    started = true;
    try {
      start();
    } catch (error) {
      reportFailure("domain 0's start", error);
    }
  }
  turn();
};
