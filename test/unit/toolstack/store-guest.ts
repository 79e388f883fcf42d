/** A simulated guest's side of xenstore: requests over its ring page, by polling. */
import { EVTCHNOP_send } from "../../../abi/event-channel.ts";
import { HVM_PARAM_STORE_EVTCHN, HVM_PARAM_STORE_PFN, HVMOP_get_param, HvmParam } from "../../../abi/hvm.ts";
import { XenstoreDomainInterface as X, XS_ERROR, XS_WATCH_EVENT } from "../../../abi/xs-wire.ts";
import { __HYPERVISOR_event_channel_op, __HYPERVISOR_hvm_op, DOMID_SELF } from "../../../abi/xen.ts";
import { decodeHeader, encodeMessage, HEADER_BYTES } from "../../../toolstack/control/store/wire.ts";
import { structured, type Steps } from "../../sim/call.ts";
import type { GuestCpu } from "../../sim/svm-cpu.ts";

const RING = 1024;

export class StoreGuest {
  private base = 0;
  private port = 0;
  private request = 0;
  /** Events, "path token", in the order they came. */
  readonly events: string[] = [];

  constructor(private readonly cpu: GuestCpu) {}

  *open(): Steps<void> {
    this.base = (yield* this.parameter(HVM_PARAM_STORE_PFN)) * 4096;
    this.port = yield* this.parameter(HVM_PARAM_STORE_EVTCHN);
  }

  private *parameter(index: number): Steps<number> {
    const { view } = yield* structured(this.cpu, __HYPERVISOR_hvm_op, HVMOP_get_param, HvmParam.SIZE, (argument) => {
      argument.setUint16(HvmParam.domid, DOMID_SELF, true);
      argument.setUint32(HvmParam.index, index, true);
    });
    return Number(view.getBigUint64(HvmParam.value, true));
  }

  get(field: number): number {
    return Buffer.from(this.cpu.peek(this.base + field, 4)).readUInt32LE();
  }

  set(field: number, value: number): void {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32LE(value >>> 0);
    this.cpu.poke(this.base + field, bytes);
  }

  *notify(): Steps<void> {
    yield* structured(this.cpu, __HYPERVISOR_event_channel_op, EVTCHNOP_send, 4, (view) =>
      view.setUint32(0, this.port, true),
    );
  }

  /** Writes bytes into the ring, at most as many as it holds, and notifies. */
  *send(bytes: string): Steps<void> {
    const producer = this.get(X.req_prod);
    for (let i = 0; i < bytes.length; i++) {
      this.cpu.poke(this.base + X.req + ((producer + i) % RING), Uint8Array.of(bytes.charCodeAt(i)));
    }
    this.set(X.req_prod, producer + bytes.length);
    yield* this.notify();
  }

  private *receive(length: number): Steps<string> {
    let text = "";
    while (text.length < length) {
      const consumer = this.get(X.rsp_cons);
      const available = (this.get(X.rsp_prod) - consumer) >>> 0;
      const piece = Math.min(available, length - text.length);
      for (let i = 0; i < piece; i++) {
        text += String.fromCharCode(this.cpu.peek(this.base + X.rsp + ((consumer + i) % RING), 1)[0]!);
      }
      this.set(X.rsp_cons, consumer + piece);
      if (piece > 0) yield* this.notify();
      else yield { kind: "spin", ns: 100_000 };
    }
    return text;
  }

  /** Takes the next message; an event is kept in `events`. */
  *take(): Steps<{ type: number; request: number; payload: string }> {
    const { type, request, length } = decodeHeader(yield* this.receive(HEADER_BYTES));
    const payload = yield* this.receive(length);
    if (type === XS_WATCH_EVENT) this.events.push(payload.slice(0, -1).replace("\0", " "));
    return { type, request, payload };
  }

  /** The answer's payload, or "!ERRNO". */
  *ask(type: number, payload: string, transaction = 0): Steps<string> {
    const request = ++this.request;
    yield* this.send(encodeMessage({ type, request, transaction, payload }));
    for (;;) {
      const message = yield* this.take();
      if (message.type === XS_WATCH_EVENT) continue;
      if (message.request !== request) throw new Error(`request ${request} was answered as ${message.request}`);
      return message.type === XS_ERROR ? `!${message.payload.slice(0, -1)}` : message.payload;
    }
  }

  /** Waits for an event and takes it out. */
  *event(): Steps<string> {
    while (this.events.length === 0) yield* this.take();
    return this.events.shift()!;
  }
}
