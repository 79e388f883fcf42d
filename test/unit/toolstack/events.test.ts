/** Event channels of domain 0: thousands of ports, the queue, masking, ports closed while they are on it. */
import test from "ava";
import {
  EVTCHNOP_bind_interdomain,
  EVTCHNOP_close,
  EVTCHNOP_expand_array,
  EVTCHNOP_init_control,
  EVTCHNOP_unmask,
} from "../../../abi/event-channel.ts";
import { ENOSPC } from "../../../abi/errno.ts";
import { DOM0_CALL_PAGE, DOM0_SHARED_INFO } from "../../../abi/domain0-layout.ts";
import { CallPage } from "../../../abi/software.ts";
import { VcpuInfo } from "../../../abi/xen.ts";
import {
  closeChannel,
  drainEvents,
  maskPort,
  onInterdomain,
  onNewDomain,
  openEvents,
  unmaskPort,
} from "../../../toolstack/control/events.ts";
import { openHost } from "../../../toolstack/control/host.ts";
import { HypercallError, openHypercalls } from "../../../toolstack/control/hypercall.ts";
import { openScratch } from "../../../toolstack/control/scratch.ts";
import { FakeFifo } from "./fake-fifo.ts";
import { PagedWindow } from "./paged-window.ts";
import { NO_HOST } from "./no-host.ts";

const window = new PagedWindow((page) => {
  const bytes = new Uint8Array(4096);
  window.map(page, bytes);
  return bytes;
});
const events = new FakeFifo(window);
let lastPort = 0;
/** Makes EVTCHNOP_expand_array fail. */
let full = false;
/** Called in the middle of a compare-and-exchange, before it looks. */
let meanwhile: (() => void) | null = null;

function eventChannelOp(op: number, arg: number): number {
  if (op === EVTCHNOP_init_control) return events.initControl(arg);
  if (op === EVTCHNOP_expand_array) return full ? -ENOSPC : events.expandArray(arg);
  if (op === EVTCHNOP_unmask) events.unmask(window.load32(arg));
  if (op === EVTCHNOP_close) events.closed(window.load32(arg));
  if (op === EVTCHNOP_bind_interdomain) {
    window.store32(arg + 8, ++lastPort);
    events.setPending(lastPort);
  }
  return 0;
}

openHost({
  ...NO_HOST,
  hypercall: () => {
    const argument = (n: number) => window.load32(DOM0_CALL_PAGE + CallPage.args + 8 * n);
    const result = eventChannelOp(argument(0), argument(1));
    window.store32(DOM0_CALL_PAGE + CallPage.result, result >>> 0);
    window.store32(DOM0_CALL_PAGE + CallPage.result + 4, result < 0 ? 0xffffffff : 0);
  },
  exchange: () => {
    const work = meanwhile;
    meanwhile = null;
    work?.();
    const address = window.load32(DOM0_CALL_PAGE + CallPage.exchangeAddress);
    const found = window.load32(address);
    if (found === window.load32(DOM0_CALL_PAGE + CallPage.exchangeExpected))
      window.store32(address, window.load32(DOM0_CALL_PAGE + CallPage.exchangeValue));
    window.store32(DOM0_CALL_PAGE + CallPage.exchangeValue, found);
  },
  machineWindow: window,
});
openHypercalls();
openScratch();
openEvents();

const upcall = (): boolean => window.load8(DOM0_SHARED_INFO + VcpuInfo.evtchn_upcall_pending) !== 0;
let heard: number[] = [];

function bind(): number {
  const port: number = onInterdomain(1, 1, () => heard.push(port));
  return port;
}

function taken(): number[] {
  heard = [];
  drainEvents();
  return heard;
}

test.serial("10,000 ports: each is heard, in the order of its event, once", (t) => {
  const ports = Array.from({ length: 10_000 }, bind);
  t.deepEqual(taken(), ports, "a new port is pending");
  t.false(upcall());
  t.deepEqual(taken(), []);
  const some = ports.filter((port) => port % 7 === 0).reverse();
  for (const port of some) events.setPending(port);
  for (const port of some) events.setPending(port);
  t.deepEqual(taken(), some);
});

test.serial("a masked port waits, however often it is raised, and is heard once when unmasked", (t) => {
  const [a, b, c] = [bind(), bind(), bind()];
  taken();
  maskPort(b);
  for (let i = 0; i < 3; i++) for (const port of [a, b, c]) events.setPending(port);
  t.deepEqual(taken(), [a, c]);
  events.setPending(b);
  t.false(upcall());
  unmaskPort(b);
  t.true(upcall());
  t.deepEqual(taken(), [b]);
  maskPort(b);
  unmaskPort(b);
  t.deepEqual(taken(), []);
  // Masked while it is on the queue.
  for (const port of [a, b, c]) events.setPending(port);
  maskPort(b);
  t.deepEqual(taken(), [a, c]);
  unmaskPort(b);
  t.deepEqual(taken(), [b]);
});

test.serial("an event that comes between two steps is not lost", (t) => {
  const [a, b] = [bind(), bind()];
  taken();
  const steps: [string, () => void, () => void][] = [
    ["masking", () => events.setPending(a), () => maskPort(a)],
    ["unmasking", () => maskPort(a), () => unmaskPort(a)],
    ["taking", () => events.setPending(a), drainEvents],
  ];
  for (const [step, before, work] of steps) {
    for (const port of [a, b]) {
      before();
      heard = [];
      meanwhile = () => events.setPending(port);
      work();
      t.true(meanwhile === null, "it was in the middle");
      unmaskPort(a);
      drainEvents();
      t.true(heard.includes(port), `${step}, ${port === a ? "itself" : "another"}: ${heard.join()}`);
      if (step !== "unmasking") t.true(heard.includes(a), step);
    }
  }
});

test.serial(
  "a port closed while it is on the queue is not heard; a new domain's is heard from its first event on",
  (t) => {
    const [a, b, c] = [bind(), bind(), bind()];
    taken();
    for (const port of [a, b, c]) events.setPending(port);
    closeChannel(b);
    t.deepEqual(taken(), [a, c]);
    t.false(events.isBusy(b), "its number may be given out again");
    events.setPending(a);
    const fresh: number = onNewDomain(2, 1, () => heard.push(fresh));
    t.true(upcall(), "the other's event is still to be heard");
    t.deepEqual(taken(), [a]);
    events.setPending(fresh);
    t.deepEqual(taken(), [fresh]);
  },
);

test.serial("without room for more event words a port is refused, and closed again", (t) => {
  full = true;
  const error = t.throws(
    () => {
      for (;;) bind();
    },
    { instanceOf: HypercallError },
  );
  t.is(error.code, ENOSPC);
  full = false;
  lastPort--;
  const port = bind();
  t.true(taken().includes(port));
});
