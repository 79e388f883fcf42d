/* The shim's main function: read the loader's information, build page tables, set up the CPU, start the hypervisor. */
#include "shim.h"

NORETURN void shim_main(u64 info, u32 entered_by) {
  read_loader_info(info, entered_by);
  page_tables_init();
  cpu_init();
  split_modules();
  hypervisor_run();
}
