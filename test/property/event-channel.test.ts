/** Any sequence of event channel operations leaves both ends of every channel agreeing, and every port accounted for. */
import test from "ava";
import fc from "fast-check";
import {
  EVTCHNOP_alloc_unbound,
  EVTCHNOP_bind_interdomain,
  EVTCHNOP_bind_ipi,
  EVTCHNOP_close,
  EVTCHNOP_send,
  EVTCHNOP_status,
  EVTCHNSTAT_closed,
  EVTCHNSTAT_interdomain,
  EVTCHNSTAT_ipi,
  EVTCHNSTAT_unbound,
  EvtchnAllocUnbound,
  EvtchnBindInterdomain,
  EvtchnBindIpi,
  EvtchnStatus,
} from "../../abi/event-channel.ts";
import { EINVAL } from "../../abi/errno.ts";
import { __HYPERVISOR_event_channel_op, DOMID_SELF } from "../../abi/xen.ts";
import { Dom0 } from "../sim/dom0.ts";
import { Machine } from "../sim/machine.ts";
import { hypervisorModule } from "../sim/module.ts";

type Operation =
  | { kind: "alloc" }
  | { kind: "ipi" }
  | { kind: "bind"; pick: number }
  | { kind: "send"; pick: number }
  | { kind: "close"; pick: number }
  | { kind: "wild"; command: number; port: number };

const operation: fc.Arbitrary<Operation> = fc.oneof(
  fc.constant<Operation>({ kind: "alloc" }),
  fc.constant<Operation>({ kind: "ipi" }),
  fc.nat(1000).map((pick): Operation => ({ kind: "bind", pick })),
  fc.nat(1000).map((pick): Operation => ({ kind: "send", pick })),
  fc.nat(1000).map((pick): Operation => ({ kind: "close", pick })),
  fc.record({
    kind: fc.constant("wild" as const),
    command: fc.constantFrom(EVTCHNOP_close, EVTCHNOP_send),
    port: fc.integer({ min: 4096, max: 0xffffffff }),
  }),
);

/** What the model knows of a port: EVTCHNSTAT_* and, for interdomain ones, the other end. */
interface Port {
  status: number;
  remote: number;
}

test("both ends of every channel agree after any sequence of operations", async (t) => {
  const module = await hypervisorModule();
  fc.assert(
    fc.property(fc.array(operation, { maxLength: 40 }), (operations) => {
      const machine = new Machine(module);
      const dom0 = new Dom0(machine);
      const ports = new Map<number, Port>();
      const call = (command: number, size: number, fill: (view: DataView) => void) =>
        dom0.structured(__HYPERVISOR_event_channel_op, command, size, fill);
      const pick = (n: number, status?: number): number | undefined => {
        const fitting = [...ports].filter(([, p]) => status === undefined || p.status === status);
        return fitting[n % Math.max(fitting.length, 1)]?.[0];
      };
      for (const op of operations) {
        switch (op.kind) {
          case "alloc": {
            const { result, view } = call(EVTCHNOP_alloc_unbound, EvtchnAllocUnbound.SIZE, (v) => {
              v.setUint16(EvtchnAllocUnbound.dom, DOMID_SELF, true);
              v.setUint16(EvtchnAllocUnbound.remote_dom, DOMID_SELF, true);
            });
            if (result !== 0) throw new Error(`alloc_unbound: ${result}`);
            ports.set(view.getUint32(EvtchnAllocUnbound.port, true), { status: EVTCHNSTAT_unbound, remote: 0 });
            break;
          }
          case "ipi": {
            const { result, view } = call(EVTCHNOP_bind_ipi, EvtchnBindIpi.SIZE, () => {});
            if (result !== 0) throw new Error(`bind_ipi: ${result}`);
            ports.set(view.getUint32(EvtchnBindIpi.port, true), { status: EVTCHNSTAT_ipi, remote: 0 });
            break;
          }
          case "bind": {
            const remote = pick(op.pick, EVTCHNSTAT_unbound);
            if (remote === undefined) break;
            const { result, view } = call(EVTCHNOP_bind_interdomain, EvtchnBindInterdomain.SIZE, (v) => {
              v.setUint16(EvtchnBindInterdomain.remote_dom, DOMID_SELF, true);
              v.setUint32(EvtchnBindInterdomain.remote_port, remote, true);
            });
            if (result !== 0) throw new Error(`bind_interdomain: ${result}`);
            const local = view.getUint32(EvtchnBindInterdomain.local_port, true);
            ports.set(local, { status: EVTCHNSTAT_interdomain, remote });
            ports.set(remote, { status: EVTCHNSTAT_interdomain, remote: local });
            break;
          }
          case "send": {
            const port = pick(op.pick);
            if (port === undefined) break;
            const { result } = call(EVTCHNOP_send, 4, (v) => v.setUint32(0, port, true));
            if (result !== 0) throw new Error(`send: ${result}`);
            break;
          }
          case "close": {
            const port = pick(op.pick);
            if (port === undefined) break;
            const { result } = call(EVTCHNOP_close, 4, (v) => v.setUint32(0, port, true));
            if (result !== 0) throw new Error(`close: ${result}`);
            const { status, remote } = ports.get(port)!;
            ports.delete(port);
            if (status === EVTCHNSTAT_interdomain) ports.set(remote, { status: EVTCHNSTAT_unbound, remote: 0 });
            break;
          }
          case "wild": {
            const { result } = call(op.command, 4, (v) => v.setUint32(0, op.port, true));
            if (result !== -EINVAL) throw new Error(`port ${op.port}: ${result}`);
            break;
          }
        }
      }
      for (const [port, expected] of ports) {
        const { result, view } = call(EVTCHNOP_status, EvtchnStatus.SIZE, (v) => {
          v.setUint16(EvtchnStatus.dom, DOMID_SELF, true);
          v.setUint32(EvtchnStatus.port, port, true);
        });
        const status = view.getUint32(EvtchnStatus.status, true);
        if (result !== 0 || status !== expected.status)
          throw new Error(`port ${port}: status ${status}, result ${result}`);
        if (status === EVTCHNSTAT_closed) throw new Error(`port ${port} is closed`);
        if (status !== EVTCHNSTAT_interdomain) continue;
        const remote = view.getUint32(EvtchnStatus.u_interdomain_port, true);
        if (remote !== expected.remote) throw new Error(`port ${port} leads to ${remote}, not ${expected.remote}`);
      }
      return machine.exports.audit() === 0;
    }),
    { numRuns: 60 },
  );
  t.pass();
});
