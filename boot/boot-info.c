/*
 * The loader's information: memory map, modules, command line, ACPI root pointer. Multiboot 2 (specification 3.6) and Xen's
 * PVH (struct hvm_start_info) are flattened into one record, which all other code uses (abi/boot-info.ts).
 */
#include "shim.h"

#define PVH_MAGIC 0x336ec578
#define LOW_4_GIB 0x100000000

enum { TAG_END = 0, TAG_COMMAND_LINE = 1, TAG_MODULE = 3, TAG_MEMORY_MAP = 6, TAG_EFI64 = 12 };

struct pvh_start_info { /* xen/arch-x86/hvm/start_info.h: struct hvm_start_info */
  u32 magic, version, flags, module_count;
  u64 modules, command_line, rsdp, memory_map;
  u32 memory_count, reserved;
};
struct pvh_module {
  u64 base, size, command_line, reserved;
};
struct pvh_memory {
  u64 base, length;
  u32 type, reserved;
};
struct multiboot_tag {
  u32 type, size;
  union {
    char command_line[1];
    struct {
      u32 start, end;
      char name[];
    } module;
    struct {
      u32 entry_size, entry_version;
      u8 entries[];
    } memory;
    u64 efi_system_table;
  };
};
struct module_container {
  char magic[8];
  u32 count, zero;
  struct {
    u64 offset, size;
    char name[112];
  } entries[];
};

static const char container_magic[8] = "TVMODS1";
/* EFI_ACPI_20_TABLE_GUID: 8868e871-e4f1-11d3-bc22-0080c73c8881 (UEFI specification 4.6). */
static const u8 acpi_guid[16] = {0x71, 0xe8, 0x68, 0x88, 0xf1, 0xe4, 0xd3, 0x11,
                                 0xbc, 0x22, 0x00, 0x80, 0xc7, 0x3c, 0x88, 0x81};

struct boot_info boot_info;

static void add_memory(u64 base, u64 length, u64 type) {
  if (length && boot_info.memory_count < MEMORY_MAX)
    boot_info.memory[boot_info.memory_count++] = (struct memory_range){base, length, type};
}

static void add_module(u64 base, u64 size, const char *name) {
  if (boot_info.module_count == MODULE_MAX) refuse("more than 32 boot modules.");
  struct boot_module *module = &boot_info.modules[boot_info.module_count++];
  module->base = base;
  module->size = size;
  copy_string(module->name, name, sizeof(module->name));
}

/*
 * Physical address of a valid RSDP in [from, to), 0 if there is none (ACPI 5.2.5.1: 16-byte aligned, bytes sum to 0).
 */
static u64 scan_rsdp(u64 from, u64 to) {
  for (u64 at = (from + 15) & -16ul; at + 20 <= to; at += 16) {
    const u8 *bytes = (const u8 *)at;
    u8 sum = 0;
    if (memcmp(bytes, "RSD PTR ", 8)) continue;
    for (u32 i = 0; i < 20; i++) sum += bytes[i];
    if (sum == 0) return at;
  }
  return 0;
}

static u64 find_rsdp_bios(void) {
  u32 ebda_segment = 0x40e;
  __asm__("" : "+r"(ebda_segment)); /* gcc would warn of an access near address 0 */
  u64 ebda = (u64) * (u16 *)(u64)ebda_segment << 4;
  u64 found = ebda >= 0x400 ? scan_rsdp(ebda, ebda + 1024) : 0;
  return found ? found : scan_rsdp(0xe0000, 0x100000);
}

/* RSDP from the EFI system table's configuration tables (UEFI specification 4.3: count at 104, tables at 112). */
static u64 find_rsdp_efi(u64 system_table) {
  if (system_table >= LOW_4_GIB - PAGE_SIZE) return 0;
  u64 count = *(u64 *)(system_table + 104);
  const u8 *entry = *(const u8 **)(system_table + 112);
  if ((u64)entry >= LOW_4_GIB - PAGE_SIZE) return 0;
  for (; count--; entry += 24)
    if (!memcmp(entry, acpi_guid, 16)) return *(u64 *)(entry + 16);
  return 0;
}

static void read_pvh(const struct pvh_start_info *info) {
  if (info->magic != PVH_MAGIC) refuse("the PVH start information is damaged.");
  if (info->version < 1 || !info->memory_count) refuse("the PVH loader gives no memory map (start info version 0).");
  boot_info.flags = BOOTED_BY_PVH;
  boot_info.rsdp = info->rsdp;
  const char *command_line = (const char *)info->command_line;
  if (command_line) copy_string(boot_info.command_line, command_line, sizeof(boot_info.command_line));
  const struct pvh_memory *memory = (const struct pvh_memory *)info->memory_map;
  for (u32 i = 0; i < info->memory_count; i++) add_memory(memory[i].base, memory[i].length, memory[i].type);
  const struct pvh_module *module = (const struct pvh_module *)info->modules;
  for (u32 i = 0; i < info->module_count; i++) {
    const char *name = (const char *)module[i].command_line;
    add_module(module[i].base, module[i].size, name && *name ? name : "initrd");
  }
}

static void read_multiboot2(u64 info) {
  boot_info.flags = BOOTED_BY_MULTIBOOT2;
  u64 end = info + *(u32 *)info;
  for (u64 at = info + 8; at + 8 <= end;) {
    const struct multiboot_tag *tag = (const struct multiboot_tag *)at;
    if (tag->type == TAG_END) break;
    if (tag->type == TAG_COMMAND_LINE) {
      copy_string(boot_info.command_line, tag->command_line, sizeof(boot_info.command_line));
    } else if (tag->type == TAG_MODULE) {
      const char *name = tag->module.name;
      add_module(tag->module.start, tag->module.end - tag->module.start, *name ? name : "initrd");
    } else if (tag->type == TAG_MEMORY_MAP) {
      for (const u8 *entry = tag->memory.entries; (u64)entry < at + tag->size; entry += tag->memory.entry_size) {
        const struct pvh_memory *memory = (const struct pvh_memory *)entry; /* the same layout */
        add_memory(memory->base, memory->length, memory->type);
      }
    } else if (tag->type == TAG_EFI64) {
      boot_info.flags |= BOOTED_ON_UEFI;
      boot_info.rsdp = find_rsdp_efi(tag->efi_system_table);
    }
    at += (tag->size + 7) & -8u;
  }
  if (!boot_info.memory_count) refuse("the boot loader gives no memory map.");
}

void read_loader_info(u64 info, u32 entered_by) {
  if (entered_by == ENTERED_BY_PVH) read_pvh((const struct pvh_start_info *)info);
  else read_multiboot2(info);
  if (!boot_info.rsdp && !(boot_info.flags & BOOTED_ON_UEFI)) boot_info.rsdp = find_rsdp_bios();
  boot_info.tsc_entry = entry_tsc;
  boot_info.shim_base = (u64)shim_start;
  boot_info.shim_size = (u64)shim_end - (u64)shim_start;
  boot_info.image_bytes = (u64)constants_end - (u64)shim_start;
}

void split_modules(void) {
  u32 loaded = boot_info.module_count;
  static struct boot_module packed[MODULE_MAX];
  memcpy(packed, boot_info.modules, sizeof(packed));
  boot_info.module_count = 0;
  for (u32 i = 0; i < loaded; i++) {
    u64 base = packed[i].base, size = packed[i].size;
    const struct module_container *container = (const struct module_container *)(PHYSMAP_BASE + base);
    if (size < sizeof(*container) || memcmp(container->magic, container_magic, 8)) {
      add_module(base, size, packed[i].name);
      continue;
    }
    if (container->count > MODULE_MAX || size < sizeof(*container) + container->count * sizeof(container->entries[0]))
      refuse("the file of boot modules is truncated, or holds more than 32.");
    for (u32 j = 0; j < container->count; j++) {
      u64 offset = container->entries[j].offset;
      if (offset % PAGE_SIZE || offset > size || container->entries[j].size > size - offset)
        refuse("a boot module reaches beyond the end of the file that holds it: truncated?");
      add_module(base + offset, container->entries[j].size, container->entries[j].name);
    }
  }
}

bool command_line_has(const char *word) {
  size_t length = strlen(word);
  for (const char *at = boot_info.command_line; *at; at++) {
    bool starts = at == boot_info.command_line || at[-1] == ' ';
    if (!starts || strlen(at) < length || memcmp(at, word, length)) continue;
    if (word[length - 1] == '=' || at[length] == ' ' || !at[length]) return true;
  }
  return false;
}
