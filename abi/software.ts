/**
 * The container of a software-isolated domain: what domain 0's sandbox, the shim and the hypervisor agree on.
 * It plays the part that VMCS/VMCB play for hardware guests; the hypercalls made through it are Xen's.
 *
 * Read by AssemblyScript (kernel/), TypeScript (toolstack/control, test/) and mirrored by boot/software.h.
 */

/** Why `enterSoftware` returned. */
export const SOFTWARE_EXIT_HYPERCALL: u32 = 0; // the call page holds number and arguments
export const SOFTWARE_EXIT_TURN_END: u32 = 1; // the event loop has nothing more to do: SCHEDOP_block semantics
export const SOFTWARE_EXIT_INTERRUPT: u32 = 2; // preempted; SoftwareExit.vector
export const SOFTWARE_EXIT_PAGE_FAULT: u32 = 3; // SoftwareExit.address not mapped, or not writable; retried at next entry
export const SOFTWARE_EXIT_TRAP: u32 = 4; // SoftwareExit.trap; the stack was reported on the console; it cannot go on
export const SOFTWARE_EXIT_GROW: u32 = 5; // SoftwareExit.pages = wanted size in 64 KiB pages; write SoftwareExit.result before re-entry

/** SoftwareExit record: offsets of u64 fields. */
export namespace SoftwareExit {
  export const vector: u32 = 0;
  export const address: u32 = 8; // linear address in the space
  export const write: u32 = 16; // 1 when the faulting access was a write
  export const trap: u32 = 24; // SOFTWARE_TRAP_*
  export const pages: u32 = 32;
  export const result: u32 = 40; // in: 1 lets the growth happen, 0 refuses it
  export const SIZE: u32 = 64;
}

export const SOFTWARE_TRAP_MEMORY: u32 = 1; // access outside the 4 GiB of linear memory, or refused page fault
export const SOFTWARE_TRAP_STACK: u32 = 2; // native stack exhausted
export const SOFTWARE_TRAP_ARITHMETIC: u32 = 3; // division by zero, integer overflow
export const SOFTWARE_TRAP_UNREACHABLE: u32 = 4;
export const SOFTWARE_TRAP_CALL: u32 = 5; // indirect call of the wrong type
export const SOFTWARE_TRAP_ABORT: u32 = 6; // the engine called abort, exit or a failed assertion
export const SOFTWARE_TRAP_FAULT: u32 = 7; // any other CPU exception

/** Host values by number for hw.hostState. Selectors, then bases, then addresses. */
export const HOST_STATE_CS: u32 = 0;
export const HOST_STATE_SS: u32 = 1;
export const HOST_STATE_TR: u32 = 2;
export const HOST_STATE_GDT_BASE: u32 = 3;
export const HOST_STATE_IDT_BASE: u32 = 4;
export const HOST_STATE_TR_BASE: u32 = 5;
export const HOST_STATE_FPU_SIZE: u32 = 6; // bytes an fpuSave area needs

/**
 * Linear layout of domain 0's space. Domain 0's guest-physical addresses are its linear addresses: gfn = linear >> 12,
 * so XENMEM_add_to_physmap and GNTTABOP_map_grant_ref map straight into its window.
 */
export const DOM0_WINDOW: u32 = 0xc0000000; // one ArrayBuffer covers [DOM0_WINDOW, DOM0_WINDOW_END)
export const DOM0_CALL_PAGE: u32 = 0xc0000000;
export const DOM0_SHARED_INFO: u32 = 0xc0001000;
export const DOM0_START_INFO: u32 = 0xc0002000; // hvm_start_info, its module list, strings; up to 0xc0010000
export const DOM0_SCRATCH: u32 = 0xc0010000; // RAM, given zeroed on first touch; hypercall buffers
export const DOM0_SCRATCH_END: u32 = 0xc0200000;
export const DOM0_STABLE: u32 = 0xc0200000; // zeroed RAM on first touch that a restart of domain 0 leaves as it is
export const DOM0_STABLE_END: u32 = 0xc0300000;
export const DOM0_MODULES: u32 = 0xc1000000; // boot modules, read-only, each page-aligned, addresses in hvm_start_info
export const DOM0_MAP: u32 = 0xd0000000; // free for foreign and grant mappings; toolstack/control allocates from it
/**
 * From here to the window's end: the linear memory of the codec (abi/codec.ts), a sandbox in the sandbox. Domain 0 gives
 * it RAM (XENMEM_populate_physmap) for as long as a run takes.
 */
export const DOM0_CODEC: u32 = 0xe0000000;
export const DOM0_WINDOW_END: u32 = 0xfff00000;

/** The call page: offsets. All values little-endian u64 except where noted. */
export namespace CallPage {
  export const op: u32 = 0; // hypercall number; result (i64) is written over `result`
  export const args: u32 = 8; // six u64
  export const result: u32 = 56;
  export const exchangeAddress: u32 = 64; // u32 linear address (4-byte aligned) for HOST_CALL_EXCHANGE
  export const exchangeValue: u32 = 68; // u32 in: new value, out: value found
  export const codecArguments: u32 = 72; // five u32 for HOST_CALL_CODEC: format, input, its size, output, its size
  export const codecStatus: u32 = 92; // u32 out: CODEC_*
}

/** Host functions of the control plane's engine, by reference number (quickjs-emscripten's HostRefId). */
export const HOST_CALL_HYPERCALL: u32 = 1; // no arguments: the call page holds them
export const HOST_CALL_EXCHANGE: u32 = 2; // atomic exchange through the call page
export const HOST_CALL_CODEC: u32 = 3; // begins a run of the codec or goes on with it, by the call page
