/** Domain 0's hvm_start_info as the hypervisor writes it (kernel/software/start-info.ts). */
import { HvmModlistEntry, HvmStartInfo } from "../../../abi/hvm.ts";
import { DOM0_START_INFO } from "../../../abi/domain0-layout.ts";
import type { PagedWindow } from "./paged-window.ts";

export interface FakeModule {
  name: string;
  address: number;
  size: number;
}

export function writeStartInfo(window: PagedWindow, commandLine: string, modules: FakeModule[]): void {
  const list = DOM0_START_INFO + 0x100;
  let text = DOM0_START_INFO + 0x1000;
  const store64 = (address: number, value: number) => {
    window.store32(address, value >>> 0);
    window.store32(address + 4, Math.floor(value / 2 ** 32));
  };
  const putText = (value: string) => {
    const at = text;
    const bytes = Buffer.from(`${value}\0`, "utf8");
    window.write(at, bytes);
    text += bytes.length;
    return at;
  };
  window.store32(DOM0_START_INFO + HvmStartInfo.nr_modules, modules.length);
  store64(DOM0_START_INFO + HvmStartInfo.modlist_paddr, list);
  store64(DOM0_START_INFO + HvmStartInfo.cmdline_paddr, putText(commandLine));
  modules.forEach((module, i) => {
    const entry = list + i * HvmModlistEntry.SIZE;
    store64(entry + HvmModlistEntry.paddr, module.address);
    store64(entry + HvmModlistEntry.size, module.size);
    store64(entry + HvmModlistEntry.cmdline_paddr, putText(module.name));
  });
}
