/**
 * `hw`: everything the shim offers the hypervisor, as WebAssembly imports of module "hw".
 *
 * On the machine these are `static inline` C functions of boot/hw.h, compiled into the hypervisor's code; in Node they
 * are the simulated machine of test/sim. Nothing else reaches hardware. Every function is called on a physical CPU
 * with interrupts off, inside `start` or `step`.
 *
 * Addresses: `pa` is a machine physical address in bytes, `mfn` a machine frame number (pa >> 12), `ptr` an offset into
 * the hypervisor's own linear memory. A physical access that touches the shim's own range (BootInfo.shimBase,
 * shimSize) or is outside the machine's RAM traps: a broken invariant, which a guest cannot cause.
 */

// --- Physical memory: RAM only --------------------------------------------------------------------------------------

@external("hw", "load8") export declare function load8(pa: u64): u32;
@external("hw", "load16") export declare function load16(pa: u64): u32;
@external("hw", "load32") export declare function load32(pa: u64): u32;
@external("hw", "load64") export declare function load64(pa: u64): u64;
@external("hw", "store8") export declare function store8(pa: u64, value: u32): void;
@external("hw", "store16") export declare function store16(pa: u64, value: u32): void;
@external("hw", "store32") export declare function store32(pa: u64, value: u32): void;
@external("hw", "store64") export declare function store64(pa: u64, value: u64): void;

/** Atomic compare-and-exchange; returns the value found (equal to `expected` on success). Address naturally aligned. */
@external("hw", "cmpxchg32") export declare function cmpxchg32(pa: u64, expected: u32, value: u32): u32;
/** Atomic fetch-or and fetch-and of 64 bits; return the value found. */
@external("hw", "fetchOr64") export declare function fetchOr64(pa: u64, bits: u64): u64;
@external("hw", "fetchAnd64") export declare function fetchAnd64(pa: u64, bits: u64): u64;

/** Copies between linear memory and physical memory; `length` in bytes, may cross frames that are contiguous. */
@external("hw", "copyFromPhys") export declare function copyFromPhys(ptr: usize, pa: u64, length: u32): void;
@external("hw", "copyToPhys") export declare function copyToPhys(pa: u64, ptr: usize, length: u32): void;
/** Copies `length` bytes from physical to physical memory (grant copy); regions do not overlap. */
@external("hw", "copyPhys") export declare function copyPhys(toPa: u64, fromPa: u64, length: u32): void;
/** Fills the 4 KiB frame with zeroes. */
@external("hw", "zeroFrame") export declare function zeroFrame(mfn: u64): void;

// --- Memory-mapped registers (local APIC, I/O APIC, MSI-X tables): uncached, 32 bits ---------------------------------

@external("hw", "mmioRead32") export declare function mmioRead32(pa: u64): u32;
@external("hw", "mmioWrite32") export declare function mmioWrite32(pa: u64, value: u32): void;

/** Writes `length` bytes' cache lines at `pa` back to RAM, for hardware that does not look into caches (CLFLUSH; MFENCE). */
@external("hw", "cacheFlush") export declare function cacheFlush(pa: u64, length: u32): void;

// --- Linear memories ("spaces") --------------------------------------------------------------------------------------
// Space 0 is the hypervisor's own linear memory, space 1 domain 0's, 2 the I/O domain's. Each has 4 GiB of 4 KiB pages, given
// frames here. The shim keeps the page tables; they come from its own small reserve.

/** Flags of spaceMap: the page can be written; it is not cached (devices' registers). */
export const SPACE_WRITABLE: u32 = 1;
export const SPACE_UNCACHED: u32 = 2;

/**
 * Maps linear page `page` (0 .. 0xFFFFF) of `space` to frame `mfn`, replacing nothing: the page must not be mapped.
 * @param flags SPACE_*
 * @returns 0; 1 when the shim's page-table reserve is used up; 2 when the page is mapped already
 */
@external("hw", "spaceMap") export declare function spaceMap(space: u32, page: u32, mfn: u64, flags: u32): u32;
/** Unmaps a page and flushes it from this CPU's TLB; returns 1 if it was mapped, else 0. */
@external("hw", "spaceUnmap") export declare function spaceUnmap(space: u32, page: u32): u32;
/** Space 0 only: the first linear page beyond the module's static data; pages from here up are the hypervisor's to map. */
@external("hw", "firstFreePage") export declare function firstFreePage(): u32;

// --- Software-isolated domains -----------------------------------------------------------------------------------------

/** Number of non-zero pages in the heap snapshot that the software-isolated domain of linear memory `space` starts from. */
@external("hw", "imagePages") export declare function imagePages(space: u32): u32;
/** Linear page number at which snapshot page `index` belongs. */
@external("hw", "imagePageNumber") export declare function imagePageNumber(space: u32, index: u32): u32;
/** Copies snapshot page `index` (4 KiB) into frame `mfn`. */
@external("hw", "imagePageCopy") export declare function imagePageCopy(space: u32, index: u32, mfn: u64): void;
/** Size in 4 KiB pages of the engine's linear memory in the snapshot (zero pages included): its initial RAM size. */
@external("hw", "imageSize") export declare function imageSize(space: u32): u32;
/** Prepares `space` so that the next `enterSoftware` starts at its entry point with a new native stack and reset globals. */
@external("hw", "softwareReset") export declare function softwareReset(space: u32): void;
/**
 * Runs the software-isolated domain, interrupts on, until it leaves; its registers are kept on its own stack.
 * @param info offset in linear memory of a SoftwareExit record (abi/software.ts) that is filled in
 * @returns a SOFTWARE_EXIT_* reason (abi/software.ts)
 */
@external("hw", "enterSoftware") export declare function enterSoftware(space: u32, info: usize): u32;

// --- CPU ---------------------------------------------------------------------------------------------------------------

@external("hw", "cpuidA") export declare function cpuidEax(leaf: u32, subleaf: u32): u32;
@external("hw", "cpuidB") export declare function cpuidEbx(leaf: u32, subleaf: u32): u32;
@external("hw", "cpuidC") export declare function cpuidEcx(leaf: u32, subleaf: u32): u32;
@external("hw", "cpuidD") export declare function cpuidEdx(leaf: u32, subleaf: u32): u32;
/** RDMSR that survives #GP: returns 0 and sets the flag that `msrFaulted` reads. */
@external("hw", "rdmsr") export declare function rdmsr(msr: u32): u64;
/** WRMSR that survives #GP: see `msrFaulted`. */
@external("hw", "wrmsr") export declare function wrmsr(msr: u32, value: u64): void;
/** 1 if the latest rdmsr or wrmsr on this CPU raised #GP. */
@external("hw", "msrFaulted") export declare function msrFaulted(): u32;
@external("hw", "readCr0") export declare function readCr0(): u64;
@external("hw", "writeCr0") export declare function writeCr0(value: u64): void;
@external("hw", "readCr3") export declare function readCr3(): u64;
@external("hw", "readCr4") export declare function readCr4(): u64;
@external("hw", "writeCr4") export declare function writeCr4(value: u64): void;
/** XGETBV(0); 0 where the host has no XSAVE. The shim sets CR4.OSXSAVE and XCR0 to x87|SSE|AVX as far as the CPU has them. */
@external("hw", "readXcr0") export declare function readXcr0(): u64;
@external("hw", "writeXcr0") export declare function writeXcr0(value: u64): void;
/** Debug register `n`, 0..3 or 6. The host uses none of them; DR7 stays as it is after reset. */
@external("hw", "readDr") export declare function readDr(n: u32): u64;
@external("hw", "writeDr") export declare function writeDr(n: u32, value: u64): void;
@external("hw", "rdtsc") export declare function rdtsc(): u64;
@external("hw", "pause") export declare function pause(): void;
/** Host values that VMX needs in its host-state area; `which` is a HOST_STATE_* of abi/host-state.ts. */
@external("hw", "hostState") export declare function hostState(which: u32): u64;

@external("hw", "in8") export declare function in8(port: u32): u32;
@external("hw", "in16") export declare function in16(port: u32): u32;
@external("hw", "in32") export declare function in32(port: u32): u32;
@external("hw", "out8") export declare function out8(port: u32, value: u32): void;
@external("hw", "out16") export declare function out16(port: u32, value: u32): void;
@external("hw", "out32") export declare function out32(port: u32, value: u32): void;

/** Lets pending interrupts in for a moment (STI; NOP; CLI); returns the vector taken, or -1. Call until it returns -1. */
@external("hw", "takeInterrupt") export declare function takeInterrupt(): i32;
/** STI; HLT; CLI: sleeps until an interrupt; returns its vector, or -1 for none recorded. */
@external("hw", "idle") export declare function idle(): i32;

// --- Virtualisation ----------------------------------------------------------------------------------------------------

/** VMX instructions return 0 on success, 1 VMfailInvalid, 2 VMfailValid (SDM 3C 31.2). */
@external("hw", "vmxon") export declare function vmxon(pa: u64): u32;
@external("hw", "vmxoff") export declare function vmxoff(): u32;
@external("hw", "vmclear") export declare function vmclear(pa: u64): u32;
@external("hw", "vmptrld") export declare function vmptrld(pa: u64): u32;
/** VMREAD of a field of the current VMCS; an unsupported field reads 0. */
@external("hw", "vmread") export declare function vmread(field: u32): u64;
@external("hw", "vmwrite") export declare function vmwrite(field: u32, value: u64): u32;
/** INVEPT / INVVPID of `type` for an EPTP or VPID. */
@external("hw", "invept") export declare function invept(type: u64, eptp: u64): u32;
@external("hw", "invvpid") export declare function invvpid(type: u64, vpid: u64, address: u64): u32;
/**
 * VMLAUNCH (`launched` 0) or VMRESUME (1) of the current VMCS: loads the guest's registers from `regs`, runs it, and at
 * the exit stores them back. The shim writes HOST_RSP and HOST_RIP. FPU state is not touched.
 * @param regs linear offset of 16 u64 registers, index = x86 register number (RAX RCX RDX RBX RSP RBP RSI RDI R8..R15);
 *   RSP (index 4) is ignored: it is in the VMCS. At index 16 the guest's CR2 (loaded before entry, stored after).
 * @returns 0 after an exit, 1 VMfailInvalid, 2 VMfailValid
 */
@external("hw", "enterVmx") export declare function enterVmx(regs: usize, launched: u32): u32;
/**
 * CLGI; VMLOAD; VMRUN; VMSAVE; restore host state (VMLOAD of the shim's own host area); STGI, with interrupts off
 * throughout. RAX and RSP are in the VMCB; index 0 and 4 of `regs` are ignored. CR2 is in the VMCB.
 * @param vmcb physical address of the VMCB
 * @param regs as for enterVmx
 */
@external("hw", "enterSvm") export declare function enterSvm(vmcb: u64, regs: usize): void;
/** Saves / restores x87, SSE and AVX state (XSAVE or FXSAVE) in a 64-byte aligned area of at least `fpuSize` bytes, at physical address `pa`. */
@external("hw", "fpuSave") export declare function fpuSave(pa: u64): void;
@external("hw", "fpuLoad") export declare function fpuLoad(pa: u64): void;
/** Writes the state a CPU has after INIT (x87, SSE, AVX all initial, MXCSR 1F80H) to the area at `pa`. */
@external("hw", "fpuInit") export declare function fpuInit(pa: u64): void;

// --- The machine -------------------------------------------------------------------------------------------------------

/** Copies the BootInfo record (abi/boot-info.ts) to `ptr`. */
@external("hw", "bootInfo") export declare function bootInfo(ptr: usize): void;
/** Raw, polled output to the first serial port, for the earliest messages and for panics; arch-x86/host/uart.ts is the driver. */
@external("hw", "serialWrite") export declare function serialWrite(ptr: usize, length: u32): void;
/** Prints "PANIC: <message>" with a stack trace naming TypeScript functions, and stops the machine. Does not return. */
@external("hw", "panic") export declare function panic(ptr: usize, length: u32): void;
/** Powers the machine off (0) or resets it (1) by every method known to the shim (ACPI, isa-debug-exit, Bochs, 8042); never returns. */
@external("hw", "machineOff") export declare function machineOff(how: u32): void;
/** Spin lock at linear offset `ptr` (a u32, 0 free): an import so that no compiler caches across it. */
@external("hw", "lock") export declare function lock(ptr: usize): void;
@external("hw", "unlock") export declare function unlock(ptr: usize): void;
