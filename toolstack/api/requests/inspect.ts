/** Requests that look into the machine and into guests: `check`, `xenctx`. */
import { countOption, naming, option, word } from "../argument.ts";
import { defineRequest } from "../request.ts";
import { checkLines, machineCheck } from "../results/check.ts";
import { domainContext, xenctxLines } from "../results/xenctx.ts";

export const checkRequest = defineRequest({
  name: "check",
  summary: "say what this machine offers and lacks",
  details: [
    "required  without it no guest runs: the command then fails",
    "used      made use of where it is there; in brackets what its lack means",
    "unused    Typevisor makes no use of it yet; in brackets what it does instead, or what it would be for",
  ],
  arguments: {},
  result: machineCheck,
  lines: checkLines,
  failure: ({ refusal }) => refusal,
});

export const xenctxRequest = defineRequest({
  name: "xenctx",
  summary: "show the registers and stacks of a domain's vCPUs",
  details: [
    "The domain stands still meanwhile. In the call trace, addresses marked ? are words on the stack that follow a call in",
    "the guest's code: callers, or what earlier calls have left behind. The others come from frame pointers.",
  ],
  arguments: {
    id: naming("domain", word("ID", "")),
    vcpu: countOption("N", "only this one", 0, 0xffff),
    symbols: naming(
      "module",
      option(
        "NAME",
        "a boot module with the kernel's symbols, an ELF image or a Linux kernel's System.map; if not given: the domain's kernel",
      ),
    ),
  },
  result: domainContext,
  lines: xenctxLines,
});
