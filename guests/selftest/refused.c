/*
 * Hypercalls that do not exist, that are not for PVH guests, or that need a privilege; and from where they may be made.
 */
#include "suite.h"

static long bare(unsigned number) {
  static char argument[4096];
  return hypercall(number, (uint64_t)argument, 0, 0, 0, 0);
}

static void refused_unknown(void) {
  EXPECT(bare(43), -XEN_ENOSYS);
  EXPECT(bare(57), -XEN_ENOSYS);
  EXPECT(bare(63), -XEN_ENOSYS);
  EXPECT(bare(64), -XEN_ENOSYS);
  EXPECT(bare(127), -XEN_ENOSYS);
}

static void refused_physdev(void) {
  static char argument[256];
  EXPECT(physdev_op(PHYSDEVOP_map_pirq, argument), -XEN_ENOSYS);
  EXPECT(physdev_op(PHYSDEVOP_unmap_pirq, argument), -XEN_ENOSYS);
  EXPECT(physdev_op(PHYSDEVOP_eoi, argument), -XEN_ENOSYS);
  EXPECT(physdev_op(PHYSDEVOP_set_iopl, argument), -XEN_ENOSYS);
  EXPECT(physdev_op(PHYSDEVOP_irq_status_query, argument), -XEN_ENOSYS);
  EXPECT(physdev_op(PHYSDEVOP_get_free_pirq, argument), -XEN_ENOSYS);
  EXPECT(physdev_op(PHYSDEVOP_apic_read, argument), -XEN_ENOSYS);
  EXPECT(physdev_op(UNKNOWN_COMMAND, argument), -XEN_ENOSYS);
}

static void refused_physdev_hardware(void) {
  static char argument[256];
  EXPECT(physdev_op(PHYSDEVOP_pci_device_add, argument), -XEN_ENOSYS);
}

/* domctl and sysctl begin with a command and an interface version; getdomaininfo is 5, readconsole 1 (public headers). */
static uint32_t *control_request(uint32_t command, uint32_t version) {
  static uint32_t request[64];
  memset(request, 0, sizeof request);
  request[0] = command;
  request[1] = version;
  request[2] = 1;
  return request;
}

static void refused_domctl(void) {
  EXPECT(hypercall(__HYPERVISOR_domctl, (uint64_t)control_request(5, 0x15), 0, 0, 0, 0), -XEN_EPERM);
}

static void refused_sysctl(void) {
  EXPECT(hypercall(__HYPERVISOR_sysctl, (uint64_t)control_request(1, 0x15), 0, 0, 0, 0), -XEN_EPERM);
}

static void refused_control_version(void) {
  EXPECT(hypercall(__HYPERVISOR_domctl, (uint64_t)control_request(5, 0xffff), 0, 0, 0, 0), -XEN_EACCES);
  EXPECT(hypercall(__HYPERVISOR_sysctl, (uint64_t)control_request(1, 0xffff), 0, 0, 0, 0), -XEN_EACCES);
  EXPECT(hypercall(__HYPERVISOR_domctl, (uint64_t)UNMAPPED, 0, 0, 0, 0), -XEN_EFAULT);
  EXPECT(hypercall(__HYPERVISOR_sysctl, (uint64_t)UNMAPPED, 0, 0, 0, 0), -XEN_EFAULT);
}

/* The interface version comes before the privilege. */
static void refused_platform_version(void) {
  EXPECT(bare(__HYPERVISOR_platform_op), -XEN_EACCES);
  EXPECT(hypercall(__HYPERVISOR_platform_op, (uint64_t)UNMAPPED, 0, 0, 0, 0), -XEN_EFAULT);
}

static void refused_platform(void) {
  static uint32_t request[64] = {0, XENPF_INTERFACE_VERSION};
  EXPECT(hypercall(__HYPERVISOR_platform_op, (uint64_t)request, 0, 0, 0, 0), -XEN_EPERM);
}

/* Page tables that Xen checks are for PV domains; a domain's own id does not name it here. */
static void refused_mmuext(void) {
  static char operation[64];
  EXPECT(hypercall(__HYPERVISOR_mmuext_op, (uint64_t)operation, 1, 0, DOMID_SELF, 0), -XEN_EINVAL);
  EXPECT(hypercall(__HYPERVISOR_mmuext_op, (uint64_t)operation, 1, 0, NOBODY, 0), -XEN_ESRCH);
  if (own_domid() >= 0)
    EXPECT(hypercall(__HYPERVISOR_mmuext_op, (uint64_t)operation, 1, 0, own_domid(), 0), -XEN_ESRCH);
}

static void refused_dm(void) {
  static char buffers[64];
  EXPECT(hypercall(__HYPERVISOR_dm_op, NOBODY, 0, (uint64_t)buffers, 0, 0), -XEN_ENODATA);
  EXPECT(hypercall(__HYPERVISOR_dm_op, NOBODY, 3, (uint64_t)buffers, 0, 0), -XEN_E2BIG);
  EXPECT(hypercall(__HYPERVISOR_dm_op, NOBODY, 1, (uint64_t)UNMAPPED, 0, 0), -XEN_EFAULT);
  EXPECT(hypercall(__HYPERVISOR_dm_op, NOBODY, 1, (uint64_t)buffers, 0, 0), -XEN_ESRCH);
  if (own_domid() >= 0)
    EXPECT(hypercall(__HYPERVISOR_dm_op, own_domid(), 1, (uint64_t)buffers, 0, 0), -XEN_EPERM);
}

static void refused_xenpmu(void) { EXPECT(bare(__HYPERVISOR_xenpmu_op), -XEN_EOPNOTSUPP); }

static void refused_hypfs(void) { EXPECT(bare(__HYPERVISOR_hypfs_op), -XEN_EPERM); }

/* The number by which Xen continues a long domctl (arch_1): public, and with separate checks. */
static void refused_domctl_continuation(void) {
  EXPECT(bare(__HYPERVISOR_arch_1), -XEN_EOPNOTSUPP);
  EXPECT(hypercall(__HYPERVISOR_arch_1, (uint64_t)UNMAPPED, 0, 0, 0, 0), -XEN_EFAULT);
}

/* The instruction behind the hypercall page: VMMCALL where the processor says AMD, else VMCALL. */
static long bare_instruction(uint64_t number, uint64_t argument) {
  struct cpuid_result vendor = cpuid(0, 0);
  bool amd = vendor.ebx == 0x68747541 || vendor.ebx == 0x6f677948; /* "Auth"enticAMD, "Hygo"nGenuine */
  long result;
  __asm__ volatile(
      "testb %[amd], %[amd]\n"
      "jz 1f\n"
      "vmmcall\n"
      "jmp 2f\n"
      "1: vmcall\n"
      "2:\n"
      : "=a"(result), "+D"(argument)
      : "0"(number), [amd] "b"(amd)
      : "rsi", "rdx", "r10", "r8", "r9", "memory", "cc");
  return result;
}

static void refused_pv_only(void) {
  static const uint8_t numbers[] = {
      __HYPERVISOR_set_trap_table,
      __HYPERVISOR_mmu_update,
      __HYPERVISOR_set_gdt,
      __HYPERVISOR_stack_switch,
      __HYPERVISOR_set_callbacks,
      __HYPERVISOR_fpu_taskswitch,
      __HYPERVISOR_set_debugreg,
      __HYPERVISOR_get_debugreg,
      __HYPERVISOR_update_descriptor,
      __HYPERVISOR_update_va_mapping,
      __HYPERVISOR_event_channel_op_compat,
      __HYPERVISOR_physdev_op_compat,
      __HYPERVISOR_update_va_mapping_otherdomain,
      __HYPERVISOR_set_segment_base,
      __HYPERVISOR_nmi_op,
      __HYPERVISOR_callback_op,
      __HYPERVISOR_tmem_op,
      __HYPERVISOR_sched_op_compat,
      __HYPERVISOR_xsm_op,
      __HYPERVISOR_xenoprof_op,
      __HYPERVISOR_kexec_op,
      __HYPERVISOR_argo_op,
      __HYPERVISOR_arch_0,
  };
  for (unsigned i = 0; i < sizeof numbers; i++)
    if (bare(numbers[i]) != -XEN_ENOSYS)
      FAIL("hypercall %u returns %ld", numbers[i], bare(numbers[i]));
  /* Its slot of the hypercall page is an invalid instruction, since iret is a jump for PV guests. */
  EXPECT(bare_instruction(__HYPERVISOR_iret, 0), -XEN_ENOSYS);
  EXPECT_TRAP(VECTOR_UD, bare(__HYPERVISOR_iret));
}

/* In 64-bit mode all of RAX is the number. */
static void refused_wide_number(void) {
  EXPECT(bare_instruction(__HYPERVISOR_xen_version, XENVER_version), xen_version(XENVER_version, NULL));
  EXPECT(bare_instruction(1ull << 32 | __HYPERVISOR_xen_version, XENVER_version), -XEN_ENOSYS);
  EXPECT(bare_instruction(~0ull, XENVER_version), -XEN_ENOSYS);
}

/* The 32-bit ABI from a compatibility-mode code segment: EBX and ECX are the arguments, EAX the result. */
static long call32(unsigned number, uint32_t first, uint32_t second) {
  long result;
  uint32_t page = (uint32_t)(uint64_t)hypercall_page + number * 32;
  __asm__ volatile(
      "pushq %%rbx\n"
      "movl %[first], %%ebx\n"
      "subq $16, %%rsp\n"
      "leaq 1f(%%rip), %%rax\n"
      "movl %%eax, (%%rsp)\n"
      "movl %[code32], 4(%%rsp)\n"
      "lcall *(%%rsp)\n"
      "addq $16, %%rsp\n"
      "popq %%rbx\n"
      "jmp 2f\n"
      ".code32\n"
      "1: call *%%edx\n"
      "lret\n"
      ".code64\n"
      "2:\n"
      : "=&a"(result)
      : [first] "r"(first), "c"(second), "d"(page), [code32] "i"(SELECTOR_CODE32)
      : "rsi", "rdi", "r8", "r9", "r10", "r11", "memory", "cc");
  return (int32_t)result;
}

static void refused_32bit(void) {
  EXPECT(call32(__HYPERVISOR_xen_version, XENVER_version, 0), xen_version(XENVER_version, NULL));
  EXPECT(call32(__HYPERVISOR_xen_version, UNKNOWN_COMMAND, 0), -XEN_ENOSYS);
  EXPECT(call32(__HYPERVISOR_sched_op, SCHEDOP_yield, 0), 0);
  EXPECT(call32(__HYPERVISOR_sched_op, UNKNOWN_COMMAND, 0), -XEN_ENOSYS);
  EXPECT(call32(57, 0, 0), -XEN_ENOSYS);
}

/* Runs a hypercall in ring 3 and comes back through an interrupt gate. */
#define RETURN_VECTOR 0x80
static uint64_t user_result;
static uint8_t user_stack[512] __attribute__((aligned(16)));

static void user_return(struct trap_frame *frame) {
  user_result = frame->rax;
  guard_restore(innermost_guard);
}

static void set_user_access(bool on) {
  for (uint64_t at = (uint64_t)image_start & ~0x1fffffull; at < (uint64_t)image_end; at += 0x200000) {
    page_directories[at >> 21] = on ? page_directories[at >> 21] | PTE_USER : page_directories[at >> 21] & ~PTE_USER;
    invlpg(at);
  }
}

static void run_in_user_mode(void) {
  uint64_t stack = (uint64_t)user_stack + sizeof user_stack;
  __asm__ volatile(
      "pushq %[data]\n"
      "pushq %[stack]\n"
      "pushq $2\n"
      "pushq %[code]\n"
      "leaq 1f(%%rip), %%rax\n"
      "pushq %%rax\n"
      "iretq\n"
      "1: xorl %%edi, %%edi\n"
      "call *%[page]\n"
      "int %[vector]\n"
      :
      : [data] "i"(SELECTOR_USER_DATA | 3), [code] "i"(SELECTOR_USER_CODE64 | 3), [stack] "r"(stack),
        [page] "r"((uint64_t)hypercall_page + __HYPERVISOR_xen_version * 32), [vector] "i"(RETURN_VECTOR)
      : "rax", "rdi", "rsi", "rdx", "r10", "r8", "r9", "memory");
}

static void refused_user_mode(void) {
  static uint8_t kernel_stack[4096] __attribute__((aligned(16)));
  traps_set_ring0_stack(0, (uint64_t)kernel_stack + sizeof kernel_stack);
  traps_set_gate_privilege(RETURN_VECTOR, 3);
  traps_set_handler(RETURN_VECTOR, user_return);
  set_user_access(true);
  user_result = 1;
  int trap = TRAP_OF(run_in_user_mode());
  set_user_access(false);
  traps_set_handler(RETURN_VECTOR, NULL);
  traps_set_gate_privilege(RETURN_VECTOR, 0);
  (void)trap;
  EXPECT(user_result, -XEN_EPERM);
}

const struct test refused_tests[] = {
    {"refused-unknown", refused_unknown},
    {"refused-pv-only", refused_pv_only},
    {"refused-physdev", refused_physdev},
    {"refused-physdev-hardware", refused_physdev_hardware},
    {"refused-domctl", refused_domctl},
    {"refused-sysctl", refused_sysctl},
    {"refused-control-version", refused_control_version},
    {"refused-platform-version", refused_platform_version},
    {"refused-platform", refused_platform},
    {"refused-mmuext", refused_mmuext},
    {"refused-dm", refused_dm},
    {"refused-xenpmu", refused_xenpmu},
    {"refused-hypfs", refused_hypfs},
    {"refused-domctl-continuation", refused_domctl_continuation},
    {"refused-wide-number", refused_wide_number},
    {"refused-32bit", refused_32bit},
    {"refused-user-mode", refused_user_mode},
    {NULL, NULL},
};
