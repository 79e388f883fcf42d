/*
 * Bringing up other vCPUs. A started vCPU idles in HLT with the callback vector open; its own IPI event channel wakes it.
 */
#include "guest.h"

extern char stacks[], start_secondary[];
extern struct {
  uint16_t limit;
  uint64_t base;
} __attribute__((packed)) gdt_pointer;

void smp_secondary(unsigned cpu);

static void (*work[MAX_CPUS])(void);
static evtchn_port_t wake_ports[MAX_CPUS];
static bool started[MAX_CPUS];

unsigned smp_count(void) {
  unsigned count = 1;
  while (count < MAX_CPUS && vcpu_op(VCPUOP_is_up, count, NULL) >= 0)
    count++;
  return count;
}

void smp_secondary(unsigned cpu) {
  traps_load(cpu);
  for (;;) {
    interrupts_off();
    void (*function)(void) = __atomic_load_n(&work[cpu], __ATOMIC_ACQUIRE);
    if (function) {
      function();
      __atomic_store_n(&work[cpu], NULL, __ATOMIC_RELEASE);
    } else {
      interrupts_on_and_halt();
    }
  }
}

long smp_start(unsigned cpu) {
  if (started[cpu])
    return 0;
  struct vcpu_hvm_context context = {.mode = VCPU_HVM_MODE_64B};
  context.cpu_regs.x86_64 = (struct vcpu_hvm_x86_64){
      .rsp = (uint64_t)stacks + STACK_SIZE * (cpu + 1),
      .rdi = cpu,
      .rip = (uint64_t)start_secondary,
      .rflags = 2,
      .cr0 = read_cr0(),
      .cr3 = read_cr3(),
      .cr4 = read_cr4(),
      .efer = rdmsr(MSR_EFER),
  };
  cpus[cpu] = (struct cpu){.self = &cpus[cpu], .id = cpu, .info = &shared_info->vcpu_info[cpu]};
  long error = vcpu_op(VCPUOP_initialise, cpu, &context);
  if (error)
    return error;
  error = vcpu_op(VCPUOP_up, cpu, NULL);
  if (error)
    return error;
  long port = event_bind_ipi(cpu);
  if (port < 0)
    return port;
  wake_ports[cpu] = port;
  event_handle(port, NULL);
  started[cpu] = true;
  return 0;
}

void smp_run(unsigned cpu, void (*function)(void)) {
  __atomic_store_n(&work[cpu], function, __ATOMIC_RELEASE);
  event_send(wake_ports[cpu]);
}

bool smp_wait(unsigned cpu) {
  uint64_t deadline = clock_ns() + 10 * SECOND;
  while (__atomic_load_n(&work[cpu], __ATOMIC_ACQUIRE)) {
    if (clock_ns() > deadline)
      return false;
    sched_op(SCHEDOP_yield, NULL);
  }
  return true;
}
