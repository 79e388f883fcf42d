/*
 * Malicious hypercalls. The only ones excluded are legal requests that end or block the guest itself: shutdown, its
 * watchdog, blocking forever, taking its own vCPU down, starting another vCPU in an invalid state.
 */
#include "hostile.h"

struct call {
  uint64_t number;
  uint64_t arguments[5];
};

static const uint16_t domains[] = {DOMID_SELF, DOMID_SELF, 0, 1, 2, 3, 0x7000, 0x7fef, 0x7ff1, DOMID_XEN, 0x7ff3, 0x7ff4, 0xffff};

static uint64_t any_argument(void) { return random_below(2) ? (uint64_t)random_pointer() : random_value(); }

static void any_arguments(struct call *call) {
  arena_fill(false);
  for (int i = 0; i < 5; i++)
    call->arguments[i] = any_argument();
}

static void make_xen_version(struct call *call) {
  call->arguments[0] = random_below(4) ? random_below(14) : random_value();
  call->arguments[1] = any_argument();
}

/* Text from the arena may be anything, but it should not bury the log: a long one only with an address that is refused. */
static void make_console_io(struct call *call) {
  static const uint64_t bad[] = {0x600000000000, 0x7ffffffff000, 0xffff800000000000};
  bool unmapped = random_below(4) != 0;
  call->arguments[0] = random_below(2) ? CONSOLEIO_write : random_value();
  call->arguments[1] = unmapped ? random_value() : 0;
  call->arguments[2] = unmapped ? RANDOM_OF(bad) : any_argument();
}

static void make_sched_op(struct call *call) {
  struct sched_poll *poll = (struct sched_poll *)ARENA;
  switch (random_below(4)) {
    case 0:
      call->arguments[0] = SCHEDOP_yield;
      call->arguments[1] = any_argument();
      break;
    case 1:
      /* The timeout is over already: a poll never waits. */
      arena_fill(false);
      poll->nr_ports = random_below(2) ? random_below(130) : random_value();
      poll->timeout = 1;
      set_xen_guest_handle(poll->ports, random_pointer());
      call->arguments[0] = SCHEDOP_poll;
      call->arguments[1] = (uint64_t)poll;
      break;
    case 2:
      call->arguments[0] = SCHEDOP_remote_shutdown;
      arena_fill(false);
      *(volatile uint16_t *)ARENA = RANDOM_OF(domains);
      call->arguments[1] = random_below(2) ? ARENA : 0x600000000000;
      break;
    default:
      call->arguments[0] = random_below(2) ? 7 + random_below(100) : random_value() | 1ull << 31;
      call->arguments[1] = any_argument();
  }
}

static void make_event_channel_op(struct call *call) {
  arena_fill(false);
  uint32_t *words = (uint32_t *)ARENA;
  words[0] = random_below(2) ? random_below(40) : random_value();
  words[1] = random_below(2) ? random_below(40) : random_value();
  if (random_below(2))
    *(uint16_t *)words = RANDOM_OF(domains);
  call->arguments[0] = random_below(8) ? random_below(16) : random_value();
  call->arguments[1] = random_below(4) ? ARENA : any_argument();
}

static void make_grant_table_op(struct call *call) {
  arena_fill(false);
  uint64_t *words = (uint64_t *)ARENA;
  /* Requests of 24 to 64 bytes, several in a row: sprinkle numbers of domains and small references over them. */
  for (int i = 0; i < 32; i++) {
    if (random_below(2))
      words[random_below(64)] = (uint64_t)RANDOM_OF(domains) << (16 * random_below(4)) | random_below(64) << 32;
    if (random_below(4) == 0)
      words[random_below(64)] = random_frame() << 12;
  }
  call->arguments[0] = random_below(8) ? random_below(14) : random_value();
  /* A huge count walks far from its start, and writes statuses as it goes: never from below the image. */
  call->arguments[1] = random_below(4) ? ARENA : (uint64_t)random_pointer();
  call->arguments[2] = random_below(2) ? random_below(8) : random_value();
}

/*
 * Sub-operations that read lists of frames: extents start at the arena or beyond RAM, and lists lie in the arena or at
 * refused addresses, so that nothing of the image is given away.
 */
static void make_memory_op(struct call *call) {
  static const uint32_t orders[] = {0, 0, 0, 1, 2, 9, 10, 18, 31, 32, 60, 63, 64, 255, ~0u};
  static const uint64_t lists[] = {ARENA + 512, ARENA + 4096, ARENA + 100, ARENA + ARENA_PAGES * 4096 - 24,
                                   0x600000000000, 0x8000000000000000, ~0ull, ~0ull - 7};
  arena_fill(true);
  uint64_t *words = (uint64_t *)ARENA;
  uint64_t command = random_below(4) ? random_below(32) : random_value();
  if (random_below(8) == 0)
    command |= random_value() << 6;
  switch (command & 63) {
    case XENMEM_increase_reservation:
    case XENMEM_decrease_reservation:
    case XENMEM_populate_physmap:
    case XENMEM_exchange:
      for (int i = 0; i < 8; i += 4) {
        words[i] = RANDOM_OF(lists);
        words[i + 1] = random_below(2) ? random_below(20) : random_value();
        words[i + 2] = RANDOM_OF(orders) | random_value() << 32;
        words[i + 3] = RANDOM_OF(domains);
      }
      break;
    case XENMEM_add_to_physmap:
      words[0] = RANDOM_OF(domains) | random_below(0x10000) << 16 | random_below(8) << 32;
      break;
    case XENMEM_add_to_physmap_batch:
      words[0] = RANDOM_OF(domains) | random_below(8) << 16 | random_below(64) << 32 | (uint64_t)RANDOM_OF(domains) << 48;
      for (int i = 1; i < 4; i++)
        words[i] = RANDOM_OF(lists);
      break;
    default:
      words[0] = random_below(2) ? RANDOM_OF(domains) : random_value();
  }
  call->arguments[0] = command;
  call->arguments[1] = random_below(8) ? ARENA : RANDOM_OF(lists);
}

static void make_hvm_op(struct call *call) {
  struct xen_hvm_param *parameter = (struct xen_hvm_param *)ARENA;
  arena_fill(false);
  parameter->domid = RANDOM_OF(domains);
  parameter->index = random_below(4) ? random_below(48) : random_value();
  parameter->value = random_value();
  /* The TSS for virtual 8086 mode: Xen itself crashes a guest that gives a bad one. */
  if (parameter->index == HVM_PARAM_VM86_TSS || parameter->index == HVM_PARAM_VM86_TSS_SIZED)
    parameter->index = HVM_PARAM_CALLBACK_IRQ;
  call->arguments[0] = random_below(8) ? random_below(28) : random_value();
  call->arguments[1] = random_below(4) ? ARENA : 0x600000000000;
}

static void make_vcpu_op(struct call *call) {
  arena_fill(false);
  uint64_t *words = (uint64_t *)ARENA;
  words[0] = random_value();
  uint32_t command = random_below(4) ? random_below(16) : random_value();
  if (command == VCPUOP_down || command == VCPUOP_up)
    command = VCPUOP_is_up;
  call->arguments[0] = command;
  call->arguments[1] = random_below(2) ? 0 : random_value();
  call->arguments[2] = random_below(4) ? ARENA : any_argument();
}

static void make_set_timer_op(struct call *call) { call->arguments[0] = random_value(); }

/* Numbers without a generator of their own: all that Xen has, and beyond. Without sched_op and multicall. */
static void make_other(struct call *call) {
  static const uint8_t numbers[] = {
      __HYPERVISOR_set_trap_table, __HYPERVISOR_mmu_update, __HYPERVISOR_set_gdt, __HYPERVISOR_stack_switch,
      __HYPERVISOR_set_callbacks, __HYPERVISOR_fpu_taskswitch, __HYPERVISOR_sched_op_compat, __HYPERVISOR_platform_op,
      __HYPERVISOR_set_debugreg, __HYPERVISOR_get_debugreg, __HYPERVISOR_update_descriptor, 11,
      __HYPERVISOR_update_va_mapping, __HYPERVISOR_event_channel_op_compat, __HYPERVISOR_physdev_op_compat,
      __HYPERVISOR_vm_assist, __HYPERVISOR_update_va_mapping_otherdomain, __HYPERVISOR_set_segment_base,
      __HYPERVISOR_mmuext_op, __HYPERVISOR_xsm_op, __HYPERVISOR_nmi_op, __HYPERVISOR_callback_op,
      __HYPERVISOR_xenoprof_op, __HYPERVISOR_physdev_op, __HYPERVISOR_sysctl, __HYPERVISOR_domctl,
      __HYPERVISOR_kexec_op, __HYPERVISOR_tmem_op, __HYPERVISOR_argo_op, __HYPERVISOR_xenpmu_op, __HYPERVISOR_dm_op,
      __HYPERVISOR_hypfs_op, 43, 47, __HYPERVISOR_arch_0, __HYPERVISOR_arch_1, __HYPERVISOR_arch_7, 56, 63, 64, 126, 127,
  };
  any_arguments(call);
  call->number = RANDOM_OF(numbers);
  if (random_below(2))
    *(uint32_t *)(ARENA + 4) = 0x15; /* the interface version of domctl and sysctl */
  *(uint32_t *)ARENA = random_below(90);
}

static const struct {
  uint8_t number;
  void (*make)(struct call *call);
} makers[] = {
    {__HYPERVISOR_xen_version, make_xen_version},
    {__HYPERVISOR_console_io, make_console_io},
    {__HYPERVISOR_sched_op, make_sched_op},
    {__HYPERVISOR_event_channel_op, make_event_channel_op},
    {__HYPERVISOR_grant_table_op, make_grant_table_op},
    {__HYPERVISOR_grant_table_op, make_grant_table_op},
    {__HYPERVISOR_memory_op, make_memory_op},
    {__HYPERVISOR_memory_op, make_memory_op},
    {__HYPERVISOR_memory_op, make_memory_op},
    {__HYPERVISOR_hvm_op, make_hvm_op},
    {__HYPERVISOR_vcpu_op, make_vcpu_op},
    {__HYPERVISOR_set_timer_op, make_set_timer_op},
    {0, make_other},
    {0, make_other},
};

/*
 * A list of calls without lists of their own; or a count and an address that do not fit. The entries' pointers go to the
 * arena's upper half, away from the entries.
 */
static void attack_multicall(void) {
  static const uint8_t numbers[] = {__HYPERVISOR_xen_version, __HYPERVISOR_event_channel_op, __HYPERVISOR_grant_table_op,
                                    __HYPERVISOR_multicall, __HYPERVISOR_set_timer_op, __HYPERVISOR_physdev_op, 63, 99};
  static const uint64_t bad[] = {ARENA + ARENA_PAGES * 4096 - 100, 0x600000000000, 0x8000000000000000, ~0ull - 31};
  multicall_entry_t *entries = (multicall_entry_t *)ARENA;
  note("multicall", 0, 0, 0);
  arena_fill(true);
  for (int i = 0; i < 16; i++) {
    entries[i].op = RANDOM_OF(numbers);
    entries[i].args[0] = random_below(16);
    entries[i].args[1] = ARENA + 4096 + random_below(2048);
    entries[i].args[2] = random_below(4);
  }
  if (random_below(2))
    multicall(entries, random_below(17));
  else
    multicall((void *)RANDOM_OF(bad), random_value());
}

/* The number itself out of range: through the instruction, as the page has slots for valid numbers only. */
static void attack_number(void) {
  uint64_t number = random_value() | 0x80;
  if (number == 0x80000000) /* another hypervisor's convention */
    number++;
  struct cpuid_result vendor = cpuid(0, 0);
  uint64_t argument = any_argument();
  note("hypercall number", number, argument, 0);
  if (vendor.ebx == 0x68747541 || vendor.ebx == 0x6f677948)
    __asm__ volatile("vmmcall" : "+a"(number), "+D"(argument) : : "rsi", "rdx", "r10", "r8", "r9", "memory");
  else
    __asm__ volatile("vmcall" : "+a"(number), "+D"(argument) : : "rsi", "rdx", "r10", "r8", "r9", "memory");
}

static void attack_one(void) {
  struct call call = {0};
  unsigned i = random_below(sizeof makers / sizeof makers[0]);
  call.number = makers[i].number;
  makers[i].make(&call);
  note("hypercall", call.number, call.arguments[0], call.arguments[1]);
  hypercall(call.number, call.arguments[0], call.arguments[1], call.arguments[2], call.arguments[3], call.arguments[4]);
}

void attack_hypercall(void) {
  /* The arena's pages may be gone by now, so filling it can go nowhere, but not fault. */
  switch (random_below(16)) {
    case 0:
      count_exception(TRAP_OF(attack_multicall()));
      break;
    case 1:
      count_exception(TRAP_OF(attack_number()));
      break;
    default:
      count_exception(TRAP_OF(attack_one()));
  }
}
