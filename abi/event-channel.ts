/**
 * Event channels: numbers and layouts of xen/event_channel.h (Xen 4.17).
 *
 * A field whose C name is a path carries it in a trailing comment. Offsets and sizes in bytes, 64-bit layout.
 */

// EVTCHNOP_* sub-operations of __HYPERVISOR_event_channel_op.
export const EVTCHNOP_bind_interdomain: u32 = 0;
export const EVTCHNOP_bind_virq: u32 = 1;
export const EVTCHNOP_bind_pirq: u32 = 2;
export const EVTCHNOP_close: u32 = 3;
export const EVTCHNOP_send: u32 = 4;
export const EVTCHNOP_status: u32 = 5;
export const EVTCHNOP_alloc_unbound: u32 = 6;
export const EVTCHNOP_bind_ipi: u32 = 7;
export const EVTCHNOP_bind_vcpu: u32 = 8;
export const EVTCHNOP_unmask: u32 = 9;
export const EVTCHNOP_reset: u32 = 10;
export const EVTCHNOP_init_control: u32 = 11;
export const EVTCHNOP_expand_array: u32 = 12;
export const EVTCHNOP_set_priority: u32 = 13;
/** The rest of a reset that was preempted: only in Xen's own build of the header. */
export const EVTCHNOP_reset_cont: u32 = 14; // C: 14

// Values of EvtchnStatus.status.
export const EVTCHNSTAT_closed: u32 = 0;
export const EVTCHNSTAT_unbound: u32 = 1;
export const EVTCHNSTAT_interdomain: u32 = 2;
export const EVTCHNSTAT_pirq: u32 = 3;
export const EVTCHNSTAT_virq: u32 = 4;
export const EVTCHNSTAT_ipi: u32 = 5;

// Ports of a 64-bit guest in the 2-level ABI.
export const EVTCHN_2L_NR_CHANNELS: u32 = 4096;
export const EVTCHN_FIFO_PRIORITY_MAX: u32 = 0;
export const EVTCHN_FIFO_PRIORITY_DEFAULT: u32 = 7;
export const EVTCHN_FIFO_PRIORITY_MIN: u32 = 15;
export const EVTCHN_FIFO_NR_CHANNELS: u32 = 0x20000;
export const EVTCHN_FIFO_MAX_QUEUES: u32 = 16;
// Bits of an event word of the FIFO ABI; its low bits are the link.
export const EVTCHN_FIFO_PENDING: u32 = 31;
export const EVTCHN_FIFO_MASKED: u32 = 30;
export const EVTCHN_FIFO_LINKED: u32 = 29;
export const EVTCHN_FIFO_BUSY: u32 = 28;
export const EVTCHN_FIFO_LINK_BITS: u32 = 17;
export const BIND_PIRQ__WILL_SHARE: u32 = 1;

// C: struct evtchn_alloc_unbound
export namespace EvtchnAllocUnbound {
  export const dom: u32 = 0;
  export const remote_dom: u32 = 2;
  export const port: u32 = 4;
  export const SIZE: u32 = 8;
}

// C: struct evtchn_bind_interdomain
export namespace EvtchnBindInterdomain {
  export const remote_dom: u32 = 0;
  export const remote_port: u32 = 4;
  export const local_port: u32 = 8;
  export const SIZE: u32 = 12;
}

// C: struct evtchn_bind_virq
export namespace EvtchnBindVirq {
  export const virq: u32 = 0;
  export const vcpu: u32 = 4;
  export const port: u32 = 8;
  export const SIZE: u32 = 12;
}

// C: struct evtchn_bind_pirq
export namespace EvtchnBindPirq {
  export const pirq: u32 = 0;
  export const flags: u32 = 4;
  export const port: u32 = 8;
  export const SIZE: u32 = 12;
}

// C: struct evtchn_bind_ipi
export namespace EvtchnBindIpi {
  export const vcpu: u32 = 0;
  export const port: u32 = 4;
  export const SIZE: u32 = 8;
}

// C: struct evtchn_close
export namespace EvtchnClose {
  export const port: u32 = 0;
  export const SIZE: u32 = 4;
}

// C: struct evtchn_send
export namespace EvtchnSend {
  export const port: u32 = 0;
  export const SIZE: u32 = 4;
}

// C: struct evtchn_status
export namespace EvtchnStatus {
  export const dom: u32 = 0;
  export const port: u32 = 4;
  export const status: u32 = 8;
  export const vcpu: u32 = 12;
  export const u_unbound_dom: u32 = 16; // C: u.unbound.dom
  export const u_interdomain_dom: u32 = 16; // C: u.interdomain.dom
  export const u_interdomain_port: u32 = 20; // C: u.interdomain.port
  export const u_pirq: u32 = 16; // C: u.pirq
  export const u_virq: u32 = 16; // C: u.virq
  export const SIZE: u32 = 24;
}

// C: struct evtchn_bind_vcpu
export namespace EvtchnBindVcpu {
  export const port: u32 = 0;
  export const vcpu: u32 = 4;
  export const SIZE: u32 = 8;
}

// C: struct evtchn_unmask
export namespace EvtchnUnmask {
  export const port: u32 = 0;
  export const SIZE: u32 = 4;
}

// C: struct evtchn_reset
export namespace EvtchnReset {
  export const dom: u32 = 0;
  export const SIZE: u32 = 2;
}

// C: struct evtchn_init_control
export namespace EvtchnInitControl {
  export const control_gfn: u32 = 0;
  export const offset: u32 = 8;
  export const vcpu: u32 = 12;
  export const link_bits: u32 = 16;
  export const _pad: u32 = 17;
  export const SIZE: u32 = 24;
}

// C: struct evtchn_expand_array
export namespace EvtchnExpandArray {
  export const array_gfn: u32 = 0;
  export const SIZE: u32 = 8;
}

// C: struct evtchn_set_priority
export namespace EvtchnSetPriority {
  export const port: u32 = 0;
  export const priority: u32 = 4;
  export const SIZE: u32 = 8;
}

// C: struct evtchn_fifo_control_block
export namespace EvtchnFifoControlBlock {
  export const ready: u32 = 0;
  export const head: u32 = 8;
  export const SIZE: u32 = 72;
}
