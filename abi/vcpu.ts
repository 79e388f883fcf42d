/** Xen's vCPU hypercall: xen/vcpu.h. */

export const VCPUOP_initialise: u32 = 0;
export const VCPUOP_up: u32 = 1;
export const VCPUOP_down: u32 = 2;
export const VCPUOP_is_up: u32 = 3;
export const VCPUOP_get_runstate_info: u32 = 4;
export const VCPUOP_register_runstate_memory_area: u32 = 5;
export const VCPUOP_set_periodic_timer: u32 = 6;
export const VCPUOP_stop_periodic_timer: u32 = 7;
export const VCPUOP_set_singleshot_timer: u32 = 8;
export const VCPUOP_stop_singleshot_timer: u32 = 9;
export const VCPUOP_register_vcpu_info: u32 = 10;
export const VCPUOP_send_nmi: u32 = 11;
export const VCPUOP_get_physid: u32 = 12;
export const VCPUOP_register_vcpu_time_memory_area: u32 = 13;

export const RUNSTATE_running: u32 = 0;
export const RUNSTATE_runnable: u32 = 1;
export const RUNSTATE_blocked: u32 = 2;
export const RUNSTATE_offline: u32 = 3;

/** Request to have the timeout in the future, else -ETIME. */
export const VCPU_SSHOTTMR_future: u32 = 1;

// C: struct vcpu_runstate_info
export namespace VcpuRunstateInfo {
  export const state: u32 = 0; // i32 RUNSTATE_*
  export const state_entry_time: u32 = 8; // u64 ns; bit 63 is XEN_RUNSTATE_UPDATE
  export const time: u32 = 16; // 4 u64, ns in each RUNSTATE_*
  export const SIZE: u32 = 48;
}

// C: struct vcpu_register_runstate_memory_area
export namespace VcpuRegisterRunstateMemoryArea {
  export const addr: u32 = 0; // u64 guest virtual address
  export const SIZE: u32 = 8;
}

// C: struct vcpu_set_periodic_timer
export namespace VcpuSetPeriodicTimer {
  export const period_ns: u32 = 0; // u64
  export const SIZE: u32 = 8;
}

// C: struct vcpu_set_singleshot_timer
export namespace VcpuSetSingleshotTimer {
  export const timeout_abs_ns: u32 = 0; // u64
  export const flags: u32 = 8; // u32 VCPU_SSHOTTMR_*
  export const SIZE: u32 = 16;
}

// C: struct vcpu_register_vcpu_info
export namespace VcpuRegisterVcpuInfo {
  export const mfn: u32 = 0; // u64; a guest frame number for translated guests
  export const offset: u32 = 8; // u32 bytes in that frame
  export const rsvd: u32 = 12; // u32
  export const SIZE: u32 = 16;
}

// C: struct vcpu_get_physid
export namespace VcpuGetPhysid {
  export const phys_id: u32 = 0; // u64
  export const SIZE: u32 = 8;
}

// C: struct vcpu_register_time_memory_area
export namespace VcpuRegisterTimeMemoryArea {
  export const addr: u32 = 0; // u64 guest virtual address
  export const SIZE: u32 = 8;
}
