/* Powering off and resetting, by every known method, most standard first. */
#include "shim.h"

#define SLEEP_ENABLE (1u << 13) /* ACPI 4.8.3.2.1: PM1 control */
#define SLEEP_TYPE_SHIFT 10
#define FADT_DSDT 40
#define FADT_PM1A_CONTROL 64
#define FADT_PM1B_CONTROL 68
#define TABLE_HEADER 36
#define AML_PACKAGE 0x12
#define AML_BYTE 0x0a

#define RESET_CONTROL 0xcf9
#define KEYBOARD_COMMAND 0x64
#define KEYBOARD_PULSE_RESET 0xfe
#define BOCHS_SHUTDOWN 0x8900
#define DEBUG_EXIT_PORT 0xf4

/* A firmware table as seen through the physmap; NULL when `pa` cannot be one. */
static const u8 *physical(u64 pa) { return pa && pa < physical_end ? (const u8 *)(PHYSMAP_BASE + pa) : NULL; }

static u32 read32(const u8 *at) { return at[0] | at[1] << 8 | at[2] << 16 | (u32)at[3] << 24; }

/* The FADT ("FACP") by way of the RSDT, which every machine with PM1 registers has. */
static const u8 *find_fadt(void) {
  const u8 *rsdp = physical(boot_info.rsdp);
  const u8 *rsdt = rsdp ? physical(read32(rsdp + 16)) : NULL;
  if (!rsdt || memcmp(rsdt, "RSDT", 4)) return NULL;
  for (u32 at = TABLE_HEADER; at + 4 <= read32(rsdt + 4); at += 4) {
    const u8 *table = physical(read32(rsdt + at));
    if (table && !memcmp(table, "FACP", 4)) return table;
  }
  return NULL;
}

/*
 * Sleep type of S5 from the DSDT's \_S5_ package: PackageOp, length (1..4 bytes), count, first element. -1: not found.
 */
static int find_s5(const u8 *dsdt) {
  if (!dsdt || memcmp(dsdt, "DSDT", 4)) return -1;
  u32 length = read32(dsdt + 4);
  for (u32 at = TABLE_HEADER; at + 16 < length; at++) {
    const u8 *element = dsdt + at;
    if (memcmp(element, "_S5_", 4) || element[4] != AML_PACKAGE) continue;
    element += 5;
    element += 1 + (*element >> 6) + 1;
    return *element == AML_BYTE ? element[1] : *element;
  }
  return -1;
}

/* Returns 0 where there is no ACPI to do it. */
static int off_by_acpi(void) {
  const u8 *fadt = find_fadt();
  int type = fadt ? find_s5(physical(read32(fadt + FADT_DSDT))) : -1;
  if (type < 0) return 0;
  u16 value = (u16)(SLEEP_ENABLE | (u32)type << SLEEP_TYPE_SHIFT);
  if (read32(fadt + FADT_PM1A_CONTROL)) out16((u16)read32(fadt + FADT_PM1A_CONTROL), value);
  if (read32(fadt + FADT_PM1B_CONTROL)) out16((u16)read32(fadt + FADT_PM1B_CONTROL), value);
  return 1;
}

/*
 * A machine acts on a port some time after the write, an emulator in a thread of its own: two seconds in QEMU. Port accesses
 * and PAUSE would keep QEMU's lock from that very thread.
 */
static void wait(void) {
  for (u32 i = 1000000000; i; i--) __asm__ volatile("");
}

void machine_off(u32 how) {
  __asm__ volatile("cli");
  if (how == 1) {
    out8(RESET_CONTROL, 2);
    out8(RESET_CONTROL, 6);
    wait();
    out8(KEYBOARD_COMMAND, KEYBOARD_PULSE_RESET);
    wait();
    struct __attribute__((packed)) { u16 limit; u64 base; } none = {0, 0};
    __asm__ volatile("lidt %0; int3" : : "m"(none)); /* triple fault */
  }
  if (off_by_acpi()) wait();
  for (const char *word = "Shutdown"; *word; word++) out8(BOCHS_SHUTDOWN, (u8)*word);
  out16(0x604, SLEEP_ENABLE);  /* QEMU q35, pc */
  out16(0xb004, SLEEP_ENABLE); /* Bochs, old QEMU */
  wait();
  out8(DEBUG_EXIT_PORT, 0);
  print("It is now safe to turn off the machine.\n");
  for (;;) __asm__ volatile("cli; hlt");
}
