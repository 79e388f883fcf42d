/**
 * The container of a software-isolated domain: the interface between its sandbox, the shim and the hypervisor.
 * It corresponds to the VMCS/VMCB of hardware guests; the hypercalls made through it are Xen's.
 *
 * Read by AssemblyScript (kernel/), TypeScript (toolstack/control, test/) and mirrored by boot/software.h.
 */

/** Why `enterSoftware` returned. */
export const SOFTWARE_EXIT_HYPERCALL: u32 = 0; // the call page holds number and arguments
export const SOFTWARE_EXIT_TURN_END: u32 = 1; // the event loop has nothing more to do: SCHEDOP_block semantics
export const SOFTWARE_EXIT_INTERRUPT: u32 = 2; // preempted; SoftwareExit.vector
export const SOFTWARE_EXIT_PAGE_FAULT: u32 = 3; // SoftwareExit.address not mapped, or not writable; retried at next entry
export const SOFTWARE_EXIT_TRAP: u32 = 4; // SoftwareExit.trap; the stack was printed on the console; it cannot continue
export const SOFTWARE_EXIT_GROW: u32 = 5; // SoftwareExit.pages = wanted size in 64 KiB pages; write SoftwareExit.result before re-entry
export const SOFTWARE_EXIT_PORT: u32 = 6; // SoftwareExit.port; a read's value goes into SoftwareExit.result before re-entry

/** SoftwareExit record: offsets of u64 fields. */
export namespace SoftwareExit {
  export const vector: u32 = 0;
  export const address: u32 = 8; // linear address in the space
  export const write: u32 = 16; // 1 when the faulting access was a write
  export const trap: u32 = 24; // SOFTWARE_TRAP_*
  export const pages: u32 = 32;
  export const result: u32 = 40; // growth, in: 1 lets it happen, 0 refuses it. Port: the value, out when written, in when read
  export const port: u32 = 48; // its number, SOFTWARE_PORT_SIZE_SHIFT and SOFTWARE_PORT_WRITE
  export const SIZE: u32 = 64;
}

/** SoftwareExit.port: the access's size in bytes (1, 2, 4, or whatever the domain says) from this bit on; set for a write. */
export const SOFTWARE_PORT_SIZE_SHIFT: u32 = 16;
export const SOFTWARE_PORT_SIZE_MASK: u32 = 0xff;
export const SOFTWARE_PORT_WRITE: u32 = 1 << 24;

export const SOFTWARE_TRAP_MEMORY: u32 = 1; // access outside the 4 GiB of linear memory, or refused page fault
export const SOFTWARE_TRAP_STACK: u32 = 2; // native stack exhausted
export const SOFTWARE_TRAP_ARITHMETIC: u32 = 3; // division by zero, integer overflow
export const SOFTWARE_TRAP_UNREACHABLE: u32 = 4;
export const SOFTWARE_TRAP_CALL: u32 = 5; // indirect call of the wrong type
export const SOFTWARE_TRAP_ABORT: u32 = 6; // the engine called abort, exit or a failed assertion
export const SOFTWARE_TRAP_FAULT: u32 = 7; // any other CPU exception

/** The call page: offsets. All values little-endian u64 except where noted. */
export namespace CallPage {
  export const op: u32 = 0; // hypercall number; result (i64) is written over `result`
  export const args: u32 = 8; // six u64
  export const result: u32 = 56;
  export const exchangeAddress: u32 = 64; // u32 linear address (4-byte aligned) for HOST_CALL_EXCHANGE
  export const exchangeValue: u32 = 68; // u32 in: new value, out: value found
  export const exchangeExpected: u32 = 72; // u32 in: the new value is written only where this is found
  export const textAddress: u32 = 76; // u32 in, for HOST_CALL_ENCODE: where the bytes go
  export const textRoom: u32 = 80; // u32 in: as many are written at most
  export const textLength: u32 = 84; // u32 out: the text's bytes, written or not
  export const sandbox: u32 = 88; // u32 in, for HOST_CALL_SANDBOX: SANDBOX_*, with SANDBOX_NEW or without
  export const sandboxArguments: u32 = 92; // six u32 in
  export const sandboxResult: u32 = 116; // u32 out: what the module's `call` returned; unchanged without SANDBOX_RETURNED
  export const sandboxStatus: u32 = 120; // u32 out: SANDBOX_RETURNED, ...
  export const randomSource: u32 = 124; // u32 out, for HOST_CALL_RANDOM: RANDOM_NONE, ...
  export const random: u32 = 128; // out: 64 bits from there
  export const randomTsc: u32 = 136; // out: the TSC afterwards
}

/** Host functions of the control plane's engine, by reference number (quickjs-emscripten's HostRefId). */
export const HOST_CALL_HYPERCALL: u32 = 1; // no arguments: the call page holds them
export const HOST_CALL_EXCHANGE: u32 = 2; // atomic compare-and-exchange through the call page
export const HOST_CALL_SANDBOX: u32 = 3; // calls a sandbox in the sandbox, as the call page says
export const HOST_CALL_ENCODE: u32 = 4; // its argument, a string, as UTF-8, up to its first NUL, to the place in the call page
export const HOST_CALL_RANDOM: u32 = 5; // a random number of the processor's, and the TSC

/** Where a random number is from. */
export const RANDOM_NONE: u32 = 0; // the processor has no instruction for one, or it did not give one
export const RANDOM_RDRAND: u32 = 1;
export const RANDOM_RDSEED: u32 = 2;

/**
 * Sandboxes inside domain 0's, by number: modules that domain 0 calls. Each has one entry point, `call`, with six arguments and
 * one result, and a linear memory of its own (abi/domain0-layout.ts), which domain 0 sees in its window; nothing else is
 * within its reach.
 */
export const SANDBOX_NET: u32 = 0; // TCP/IP
export const SANDBOX_TLS: u32 = 1;
export const SANDBOX_CODEC: u32 = 2; // codec/
/** Added to the number: a new instance first, whose call this is. An instance keeps its state until then. */
export const SANDBOX_NEW: u32 = 1 << 31;

/** How a call of a sandbox ended. */
export const SANDBOX_RETURNED: u32 = 0;
export const SANDBOX_STOPPED: u32 = 1; // by a fault, whose stack was reported on the console; the instance is gone
export const SANDBOX_ABSENT: u32 = 2; // there is no instance, or no such sandbox
