/**
 * BootInfo: the loader's information (Multiboot 2 or PVH), flattened. Written by boot/, read by kernel/.
 * Offsets in bytes, little-endian u64 unless noted.
 */
export namespace BootInfo {
  export const tscEntry: u32 = 0; // TSC at the shim's first instruction
  export const shimBase: u32 = 8; // physical range reserved for the shim: image, page tables, stacks, reserve
  export const shimSize: u32 = 16;
  export const rsdp: u32 = 24; // physical address of ACPI's RSDP, 0 if unknown
  export const flags: u32 = 32; // bit 0: booted by PVH, bit 1: by Multiboot 2, bit 2: on UEFI
  export const memoryCount: u32 = 40;
  export const moduleCount: u32 = 48;
  export const shimUsed: u32 = 56; // bytes of the shim's range in use (the rest is its page-table reserve)
  export const imageBytes: u32 = 64; // bytes of shimSize that are code and constant data of shim, hypervisor and engine
  export const commandLine: u32 = 128; // 3,968 bytes, NUL-terminated
  export const memory: u32 = 4096; // memoryCount records of MEMORY_RECORD bytes
  export const MEMORY_RECORD: u32 = 24; // u64 base, u64 length, u64 type (E820: 1 RAM, 2 reserved, 3 ACPI, 4 NVS, 5 bad)
  export const MEMORY_MAX: u32 = 128;
  export const modules: u32 = 8192; // moduleCount records of MODULE_RECORD bytes
  export const MODULE_RECORD: u32 = 128; // u64 base, u64 size in bytes, 112 bytes of NUL-terminated name
  export const MODULE_MAX: u32 = 32;
  export const SIZE: u32 = 12288;
}
