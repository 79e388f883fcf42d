/** Xen's scheduler hypercall: xen/sched.h. */

export const SCHEDOP_yield: u32 = 0;
export const SCHEDOP_block: u32 = 1;
export const SCHEDOP_shutdown: u32 = 2;
export const SCHEDOP_poll: u32 = 3;
export const SCHEDOP_remote_shutdown: u32 = 4;
export const SCHEDOP_shutdown_code: u32 = 5;
export const SCHEDOP_watchdog: u32 = 6;
export const SCHEDOP_pin_override: u32 = 7;

export const SHUTDOWN_poweroff: u32 = 0;
export const SHUTDOWN_reboot: u32 = 1;
export const SHUTDOWN_suspend: u32 = 2;
export const SHUTDOWN_crash: u32 = 3;
export const SHUTDOWN_watchdog: u32 = 4;
export const SHUTDOWN_soft_reset: u32 = 5;
export const SHUTDOWN_MAX: u32 = 5;

// C: struct sched_shutdown
export namespace SchedShutdown {
  export const reason: u32 = 0; // u32 SHUTDOWN_*
  export const SIZE: u32 = 4;
}

// C: struct sched_poll
export namespace SchedPoll {
  export const ports: u32 = 0; // u64 guest address of u32 ports
  export const nr_ports: u32 = 8; // u32
  export const timeout: u32 = 16; // u64 absolute system time in ns, 0 none
  export const SIZE: u32 = 24;
}

// C: struct sched_remote_shutdown
export namespace SchedRemoteShutdown {
  export const domain_id: u32 = 0; // u16
  export const reason: u32 = 4; // u32
  export const SIZE: u32 = 8;
}

// C: struct sched_watchdog
export namespace SchedWatchdog {
  export const id: u32 = 0; // u32
  export const timeout: u32 = 4; // u32 seconds
  export const SIZE: u32 = 8;
}

// C: struct sched_pin_override
export namespace SchedPinOverride {
  export const pcpu: u32 = 0; // i32
  export const SIZE: u32 = 4;
}
