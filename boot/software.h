/*
 * The container of a software-isolated domain: a native stack in a WebAssembly sandbox that is entered and left by
 * switching stacks. Mirrors abi/software.ts.
 */
#ifndef TYPEVISOR_SOFTWARE_H
#define TYPEVISOR_SOFTWARE_H

#include "trap.h"

enum {
  SOFTWARE_EXIT_HYPERCALL = 0,
  SOFTWARE_EXIT_TURN_END = 1,
  SOFTWARE_EXIT_INTERRUPT = 2,
  SOFTWARE_EXIT_PAGE_FAULT = 3,
  SOFTWARE_EXIT_TRAP = 4,
  SOFTWARE_EXIT_GROW = 5,
  SOFTWARE_EXIT_PORT = 6,
};
enum {
  SOFTWARE_TRAP_MEMORY = 1,
  SOFTWARE_TRAP_STACK = 2,
  SOFTWARE_TRAP_ARITHMETIC = 3,
  SOFTWARE_TRAP_UNREACHABLE = 4,
  SOFTWARE_TRAP_CALL = 5,
  SOFTWARE_TRAP_ABORT = 6,
  SOFTWARE_TRAP_FAULT = 7,
};
struct software_exit {
  u64 vector, address, write, trap, pages, result, port, unused;
};
#define SOFTWARE_PORT_SIZE_SHIFT 16 /* of `port` */
#define SOFTWARE_PORT_WRITE (1u << 24)

#define DOM0_CALL_PAGE 0xc0000000
#define DOM0_SHARED_INFO 0xc0001000
/* At DOM0_CALL_PAGE and IO_CALL_PAGE; the I/O domain uses no more than the hypercall's fields. */
struct call_page {
  u64 op, args[6], result;
  u32 exchange_address, exchange_value;
  u32 exchange_expected;
  u32 text_address, text_room, text_length;
  u32 sandbox, sandbox_arguments[6], sandbox_result, sandbox_status;
  u32 random_source;
  u64 random, random_tsc;
};
#define HOST_CALL_HYPERCALL 1
#define HOST_CALL_EXCHANGE 2
#define HOST_CALL_SANDBOX 3
#define HOST_CALL_ENCODE 4
#define HOST_CALL_RANDOM 5

/* One software-isolated domain, identified by the number of its linear memory (hw's `space`). */
struct software_domain {
  const char *name;                     /* in reports */
  bool uses_fpu;                        /* if not, the vector registers stay a guest's while it runs */
  u64 base;                             /* its linear memory */
  const u8 *guard, *stack, *stack_end;  /* its native stack, and the page below it that is never mapped */
  const u32 *image;                     /* build/snapshot.bin, io.bin: the initial contents of its memory */
  void (*reset)(void);                  /* prepares its module once, and its instance at every reset */
  void (*main)(void);                   /* its own code, on its stack; never returns */
  u64 rsp;                              /* where it continues; 0 before the first reset */
  bool trapped;                         /* its run has ended: it can only be reset */
  const char *nested;                   /* the work inside software_nest; NULL outside */
  void *nest_return[5];                 /* __builtin_setjmp's */
  u32 exit_reason;
  struct software_exit *exit;           /* where the exit record goes */
};
/* The domain whose stack this CPU is using; NULL while it is on the hypervisor's. */
extern struct software_domain *software_current;
/* The domain with that linear memory; panics for any other number. */
struct software_domain *software_domain(u32 space);

/* Entered by the hypervisor: hw.softwareReset, hw.enterSoftware (`info` where the exit record goes). */
void software_reset(u32 space);
u32 software_enter(u32 space, struct software_exit *info);

/* Called on the domain's stack, interrupts off: goes to the hypervisor; returns when the domain is entered again. */
void software_leave(u32 reason);
/* The same from the domain's own code, where interrupts are on. */
void software_call(u32 reason);
/* System time, ns, by Xen's pvclock in the domain's shared info page at linear address `shared_info`. */
u64 software_time(u32 shared_info);
/* The exit record, while in the domain. */
struct software_exit *software_info(void);
/* Ends the domain's run for good, after a report: it can only be reset. */
NORETURN void software_trap(u32 trap);
/*
 * Runs work(context) on the domain's stack, as a sandbox in the sandbox, with a name for reports: whatever would end the
 * domain's run ends the work instead, and false is returned. Every page fault in it is a trap: its memory is mapped in advance.
 */
bool software_nest(const char *name, void (*work)(void *), void *context);
/* Begins a report's line with the current domain's name: "Domain 0's sandbox: " or the nested one's. */
void print_sandbox(void);
/* sandbox.c: HOST_CALL_SANDBOX; and no sandbox has an instance any more. */
void sandbox_call(struct call_page *call);
void sandboxes_reset(void);
/* Domain 0's, in engine.c, and the I/O domain's, in io.c. */
void engine_reset(void);
void engine_main(void);
void io_reset(void);
void io_main(void);

#endif
