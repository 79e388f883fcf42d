/**
 * Event channels of good guests, half of them in the FIFO ABI, and the check that no event is lost. Only the
 * receiver's own memory is checked: the ends of a channel record every event sent and received, independently of the hypervisor.
 */
import {
  EVTCHNOP_alloc_unbound,
  EVTCHNOP_bind_interdomain,
  EVTCHNOP_bind_virq,
  EVTCHNOP_close,
  EVTCHNOP_send,
  EVTCHNOP_unmask,
  EvtchnAllocUnbound,
  EvtchnBindInterdomain,
  EvtchnBindVirq,
} from "../../abi/event-channel.ts";
import { HVM_PARAM_CALLBACK_IRQ, HVM_PARAM_CALLBACK_TYPE_VECTOR, HVMOP_set_param, HvmParam } from "../../abi/hvm.ts";
import { SCHEDOP_block } from "../../abi/sched.ts";
import { VCPUOP_set_singleshot_timer, VcpuSetSingleshotTimer } from "../../abi/vcpu.ts";
import {
  __HYPERVISOR_event_channel_op,
  __HYPERVISOR_hvm_op,
  __HYPERVISOR_sched_op,
  __HYPERVISOR_vcpu_op,
  DOMID_SELF,
  SharedInfo,
  VcpuInfo,
} from "../../abi/xen.ts";
import { expandArray, FifoView, initControl, LINKED, MASKED, PENDING } from "./fifo.ts";
import { ARGUMENT_GFN, expect, hypercall, SHARED_INFO_GFN, type Steps, structured, systemTime } from "./call.ts";
import { type Channel, expectUnlessTight, type Peer, type Scene } from "./peer.ts";
import { PAGE } from "./ram.ts";
import { type GuestCpu, Violation } from "./svm-cpu.ts";

/** Words of pending bits that ports up to XEN_DOMCTL_createdomain's max_evtchn_port (dom0.ts) reach. */
const WORDS = 16;
const UPCALL_VECTOR = 0xf3n;
/** Where guests of the FIFO ABI have their control block and event words. */
const CONTROL_GFN = 22;
const WORDS_GFN = 23;
/** Most ports a guest has on offer. */
const OFFERS = 6;
/** Longest time between an event and its sleeping receiver's next instruction, ns: several rounds of full slices. */
export const WAKE_NS = 500_000_000;

function sharedInfo(of: Peer): DataView {
  return of.cpu!.look(SHARED_INFO_GFN * PAGE, PAGE);
}

function getWord(shared: DataView, array: number, word: number): bigint {
  return shared.getBigUint64(array + word * 8, true);
}

function getBit(shared: DataView, array: number, port: number): boolean {
  return ((getWord(shared, array, port >> 6) >> BigInt(port & 63)) & 1n) !== 0n;
}

function setBit(shared: DataView, array: number, port: number, on: boolean): void {
  const bit = 1n << BigInt(port & 63);
  const word = getWord(shared, array, port >> 6);
  shared.setBigUint64(array + (port >> 6) * 8, on ? word | bit : word & ~bit, true);
}

/** What `of` sees of a port, in whichever ABI it uses. */
function isPending(of: Peer, port: number): boolean {
  if (of.fifo) return (of.fifo.word(port) & PENDING) !== 0;
  return getBit(sharedInfo(of), SharedInfo.evtchn_pending, port);
}

function isMasked(of: Peer, port: number): boolean {
  if (of.fifo) return (of.fifo.word(port) & MASKED) !== 0;
  return getBit(sharedInfo(of), SharedInfo.evtchn_mask, port);
}

function setMasked(of: Peer, port: number, on: boolean): void {
  if (!of.fifo) setBit(sharedInfo(of), SharedInfo.evtchn_mask, port, on);
  else of.fifo.setWord(port, (on ? of.fifo.word(port) | MASKED : of.fifo.word(port) & ~MASKED) >>> 0);
}

/** eventWaits in the FIFO ABI: a pending event is on a queue, and its vCPU is notified of non-empty queues. */
function fifoEventWaits(of: Peer, fifo: FifoView): boolean {
  let waits = false;
  for (let port = 1; port < WORDS * 64; port++) {
    const word = fifo.word(port);
    if (!(word & PENDING) || word & MASKED) continue;
    waits = true;
    if (!(word & LINKED) || fifo.readyWord === 0 || !upcallFlag(sharedInfo(of))) {
      throw new Violation(`event lost: domain ${of.id} has one at port ${port} and is not told`);
    }
  }
  return waits;
}

function upcallFlag(shared: DataView): boolean {
  return shared.getUint8(SharedInfo.vcpu_info + VcpuInfo.evtchn_upcall_pending) !== 0;
}

/** Whether an unmasked port of `of` is pending. Throws Violation if one is and its selector bit or the upcall flag is not set. */
function eventWaits(of: Peer): boolean {
  if (of.fifo) return fifoEventWaits(of, of.fifo);
  const shared = sharedInfo(of);
  let waits = false;
  for (let word = 0; word < WORDS; word++) {
    if ((getWord(shared, SharedInfo.evtchn_pending, word) & ~getWord(shared, SharedInfo.evtchn_mask, word)) === 0n) {
      continue;
    }
    waits = true;
    const selector = shared.getBigUint64(SharedInfo.vcpu_info + VcpuInfo.evtchn_pending_sel, true);
    if (!((selector >> BigInt(word)) & 1n) || !upcallFlag(shared)) {
      throw new Violation(`event lost: domain ${of.id} has one pending in word ${word} and is not told`);
    }
  }
  return waits;
}

/** Holds a good guest's shared_info against the record; whether an event waits. */
function checkRecord(of: Peer): boolean {
  for (const [port, end] of of.bound) {
    if (end.owed && !isPending(of, port)) throw lost(of, port);
  }
  return eventWaits(of);
}

/** Checks a good guest's events between two turns of the hypervisor, at virtual time `now`: all there, and it wakes. */
export function checkEvents(of: Peer, now: number, wakeNs = WAKE_NS): void {
  if (!of.cpu) return;
  if (!checkRecord(of) || !of.asleep) of.dueSince = null;
  else if (of.dueSince === null) of.dueSince = now;
  else if (now - of.dueSince > wakeNs) throw new Violation(`domain ${of.id} sleeps through an event`);
}

function lost(of: Peer, port: number): Violation {
  return new Violation(`event lost: port ${port} of domain ${of.id}`);
}

/** What `victim`'s end leaves the others with. Call it before it is destroyed, and after it has left `scene.peers`. */
export function closeChannelsOf(scene: Scene, victim: Peer): void {
  for (const end of victim.bound.values()) abandon(end);
  if (victim.binding) victim.binding.peer.left.add(victim.binding.port);
  for (const p of scene.peers) {
    for (const [port, target] of p.offered) {
      if (target !== victim.id) continue;
      p.offered.delete(port);
      p.left.add(port);
    }
  }
}

/** The other end of `end` is no longer connected. */
function abandon(end: Channel): void {
  end.peer.bound.delete(end.port);
  end.peer.left.add(end.port);
}

/** What a good guest does with event channels, once `start` has run. */
export function channelActions(scene: Scene, me: Peer) {
  const { random } = scene;
  const others = (): Peer[] => scene.peers.filter((p) => p !== me && p.good);
  let timerPort = 0;
  let upcalls = 0;
  /** The port that it is closing: what still came is taken as well. */
  let closing = 0;
  /** An event that came while it was binding, before the port was returned. */
  let early = 0;

  function* operation(cpu: GuestCpu, command: number, port: number): Steps<number> {
    const { result } = yield* structured(cpu, __HYPERVISOR_event_channel_op, command, 4, (v) =>
      v.setUint32(0, port, true),
    );
    return result;
  }

  /** One event found in shared_info. */
  function take(port: number): void {
    const end = me.bound.get(port);
    if (end) {
      if (!end.owed && end.inFlight === 0)
        throw new Violation(`port ${port} of domain ${me.id} has an event nobody sent`);
      end.owed = false;
      end.taken++;
    } else if (port === timerPort || port === closing || me.left.has(port)) {
      return;
    } else if (me.binding && early === 0) {
      early = port;
    } else {
      throw new Violation(`port ${port} of domain ${me.id} has an event and nobody to send one`);
    }
  }

  /** Takes every unmasked event, in one go, as the handler of an upcall does. */
  function drain(): void {
    checkRecord(me);
    const shared = sharedInfo(me);
    shared.setUint8(SharedInfo.vcpu_info + VcpuInfo.evtchn_upcall_pending, 0);
    if (me.fifo) {
      for (const port of me.fifo.drain()) take(port);
      return;
    }
    shared.setBigUint64(SharedInfo.vcpu_info + VcpuInfo.evtchn_pending_sel, 0n, true);
    for (let port = 0; port < WORDS * 64; port++) {
      if (port % 64 === 0 && getWord(shared, SharedInfo.evtchn_pending, port / 64) === 0n) {
        port += 63;
        continue;
      }
      if (!getBit(shared, SharedInfo.evtchn_pending, port) || getBit(shared, SharedInfo.evtchn_mask, port)) continue;
      setBit(shared, SharedInfo.evtchn_pending, port, false);
      take(port);
    }
  }

  function* poll(): Steps<void> {
    drain();
  }

  /** CLI or STI: upcalls wait in between. */
  function* toggleInterrupts(cpu: GuestCpu): Steps<void> {
    cpu.interruptsOn = !cpu.interruptsOn;
  }

  /** Its shared_info is mapped. False: there was not the memory for it. */
  function* start(cpu: GuestCpu): Steps<boolean> {
    const fifo = random.oneIn(2);
    if (fifo && !expectUnlessTight(scene, yield* initControl(cpu, 0, CONTROL_GFN), "EVTCHNOP_init_control"))
      return false;
    me.cpu = cpu;
    if (fifo) {
      expect(yield* expandArray(cpu, WORDS_GFN), 0, "EVTCHNOP_expand_array");
      me.fifo = new FifoView(cpu, CONTROL_GFN * PAGE, [WORDS_GFN]);
    }
    cpu.handler = (vector) => {
      if (BigInt(vector) !== UPCALL_VECTOR) throw new Violation(`interrupt ${vector} of domain ${me.id}`);
      if (!upcallFlag(sharedInfo(me))) throw new Violation(`domain ${me.id} has an upcall and no event`);
      upcalls++;
      drain();
    };
    const { result, view } = yield* structured(
      cpu,
      __HYPERVISOR_event_channel_op,
      EVTCHNOP_bind_virq,
      EvtchnBindVirq.SIZE,
      () => {}, // VIRQ_TIMER, vCPU 0
    );
    if (!expectUnlessTight(scene, result, "binding VIRQ_TIMER")) {
      me.cpu = null;
      return false;
    }
    timerPort = view.getUint32(EvtchnBindVirq.port, true);
    const callback = yield* structured(cpu, __HYPERVISOR_hvm_op, HVMOP_set_param, HvmParam.SIZE, (v) => {
      v.setUint16(HvmParam.domid, DOMID_SELF, true);
      v.setUint32(HvmParam.index, HVM_PARAM_CALLBACK_IRQ, true);
      v.setBigUint64(HvmParam.value, (BigInt(HVM_PARAM_CALLBACK_TYPE_VECTOR) << 56n) | UPCALL_VECTOR, true);
    });
    expect(callback.result, 0, "setting the vector of upcalls");
    return true;
  }

  function* open(cpu: GuestCpu): Steps<void> {
    const to = others();
    if (to.length === 0 || me.offered.size >= OFFERS) return;
    const target = random.pick(to);
    const { result, view } = yield* structured(
      cpu,
      __HYPERVISOR_event_channel_op,
      EVTCHNOP_alloc_unbound,
      EvtchnAllocUnbound.SIZE,
      (v) => {
        v.setUint16(EvtchnAllocUnbound.dom, DOMID_SELF, true);
        v.setUint16(EvtchnAllocUnbound.remote_dom, target.id, true);
      },
    );
    const alive = scene.peers.includes(target);
    if (result !== 0) {
      if (alive) expectUnlessTight(scene, result, "EVTCHNOP_alloc_unbound");
      return;
    }
    const port = view.getUint32(EvtchnAllocUnbound.port, true);
    if (alive) me.offered.set(port, target.id);
    else me.left.add(port);
  }

  function* bind(cpu: GuestCpu): Steps<void> {
    const offers = others().flatMap((p) =>
      [...p.offered].filter(([, to]) => to === me.id).map(([port]) => ({ peer: p, port })),
    );
    if (offers.length === 0) return;
    const far = random.pick(offers);
    far.peer.offered.delete(far.port);
    me.binding = far;
    early = 0;
    const { result, view } = yield* structured(
      cpu,
      __HYPERVISOR_event_channel_op,
      EVTCHNOP_bind_interdomain,
      EvtchnBindInterdomain.SIZE,
      (v) => {
        v.setUint16(EvtchnBindInterdomain.remote_dom, far.peer.id, true);
        v.setUint32(EvtchnBindInterdomain.remote_port, far.port, true);
      },
    );
    me.binding = null;
    const local = view.getUint32(EvtchnBindInterdomain.local_port, true);
    if (early !== 0 && early !== local)
      throw new Violation(`port ${early} of domain ${me.id} has an event: it bound ${local}`);
    if (!scene.peers.includes(far.peer)) {
      if (result === 0) me.left.add(local);
      return;
    }
    if (!expectUnlessTight(scene, result, "EVTCHNOP_bind_interdomain to an offered port")) {
      far.peer.left.add(far.port);
      return;
    }
    // The binder's end starts pending: it cannot know what was sent before.
    const owed = early === 0;
    if (owed && !isPending(me, local)) throw lost(me, local);
    me.bound.set(local, { ...far, owed, inFlight: 0, taken: 0 });
    far.peer.bound.set(far.port, { peer: me, port: local, owed: false, inFlight: 0, taken: 0 });
  }

  function* send(cpu: GuestCpu): Steps<void> {
    if (me.bound.size === 0) return;
    const [port, near] = random.pick([...me.bound]);
    const far = near.peer.bound.get(near.port)!;
    const taken = far.taken;
    far.inFlight++;
    const result = yield* operation(cpu, EVTCHNOP_send, port);
    far.inFlight--;
    if (me.bound.get(port) !== near) return; // the other end has been closed meanwhile
    expect(result, 0, "EVTCHNOP_send");
    if (isPending(near.peer, near.port)) far.owed = true;
    else if (far.taken === taken) throw lost(near.peer, near.port);
    eventWaits(near.peer);
  }

  /** Masks a port, or has a masked one unmasked, with what came in behind the mask. */
  function* mask(cpu: GuestCpu): Steps<void> {
    if (me.bound.size === 0) return;
    const [port] = random.pick([...me.bound]);
    if (!isMasked(me, port)) {
      setMasked(me, port, true);
      return;
    }
    expect(yield* operation(cpu, EVTCHNOP_unmask, port), 0, "EVTCHNOP_unmask");
    if (isMasked(me, port)) throw new Violation(`port ${port} is still masked`);
    eventWaits(me);
  }

  function* close(cpu: GuestCpu): Steps<void> {
    const ports = [...me.bound.keys(), ...me.left];
    if (ports.length === 0) return;
    const port = random.pick(ports);
    const end = me.bound.get(port);
    if (end) abandon(end);
    me.bound.delete(port);
    me.left.delete(port);
    closing = port;
    expect(yield* operation(cpu, EVTCHNOP_close, port), 0, "EVTCHNOP_close");
    closing = 0;
    if (isPending(me, port)) {
      throw new Violation(`port ${port} of domain ${me.id} is pending after EVTCHNOP_close`);
    }
    setMasked(me, port, false); // masks outlive ports
  }

  /** Blocks until an event: the timer's, soon or so late that only another guest's wakes it in time. */
  function* sleep(cpu: GuestCpu): Steps<void> {
    cpu.interruptsOn = false;
    const late = me.bound.size > 0 && random.oneIn(3);
    const wake =
      systemTime(cpu.tsc, sharedInfo(me)) + BigInt((late ? 1_000_000_000 : 100_000) + random.below(2_000_000));
    const timer = new DataView(new ArrayBuffer(VcpuSetSingleshotTimer.SIZE));
    timer.setBigUint64(VcpuSetSingleshotTimer.timeout_abs_ns, wake, true);
    cpu.poke(ARGUMENT_GFN * PAGE, new Uint8Array(timer.buffer));
    const set = yield* hypercall(cpu, __HYPERVISOR_vcpu_op, VCPUOP_set_singleshot_timer, 0, ARGUMENT_GFN * PAGE);
    expect(set, 0, "VCPUOP_set_singleshot_timer");
    cpu.enableInterrupts(); // no sooner than it blocks: the event might be lost on it
    me.asleep = true;
    me.dueSince = null;
    const before = upcalls;
    yield* hypercall(cpu, __HYPERVISOR_sched_op, SCHEDOP_block, 0);
    me.asleep = false;
    if (upcalls === before) throw new Violation(`domain ${me.id} woke without an upcall`);
  }

  return { start, actions: [open, bind, bind, send, send, send, send, mask, close, poll, toggleInterrupts, sleep] };
}
