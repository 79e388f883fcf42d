/**
 * The control bundle as domain 0 of the simulated machine: the two programs that boot, hypervisor.wasm and control.js,
 * together in Node. Pages of the window are the machine frames that the hypervisor maps there.
 */
import { createContext, Script, type Context } from "node:vm";
import { build } from "esbuild";
import { CallPage } from "../../../abi/software.ts";
import { DOM0_CALL_PAGE } from "../../../abi/domain0-layout.ts";
import { SCHEDOP_shutdown, SHUTDOWN_crash } from "../../../abi/sched.ts";
import { __HYPERVISOR_sched_op } from "../../../abi/xen.ts";
import type { Machine } from "../../sim/machine.ts";
import { hostEncode } from "./host-encode.ts";
import { HostSandbox } from "./host-sandbox.ts";
import { PagedWindow } from "./paged-window.ts";

const PAGE = 4096;
const SPACE = 1;

const bundle = build({
  entryPoints: [new URL("../../../toolstack/control/main.ts", import.meta.url).pathname],
  bundle: true,
  format: "iife",
  target: "es2020",
  write: false,
  logLevel: "error",
}).then((result) => new Script(result.outputFiles[0]!.text, { filename: "control.js" }));

const turn = new Script("turn()");

export class ControlPlane {
  private readonly window: PagedWindow;
  private readonly sandbox: HostSandbox;
  private context: Context | null = null;
  /** What the hypervisor threw within a hypercall: the end of the machine, or a panic. */
  private thrown: unknown = null;
  /** Domain 0 has shut itself down as crashed: the next turn is the first of a new heap. */
  private crashed = false;
  private ramAtCrash: Uint8Array | null = null;
  /** Run in every new heap before the control plane is evaluated there. */
  prelude = "";
  /** Functions of the test's that scripts may call. */
  globals: Record<string, () => unknown> = {};
  turns = 0;
  hypercalls = 0;

  private constructor(
    private readonly machine: Machine,
    private readonly script: Script,
  ) {
    this.window = new PagedWindow((page, address) => this.page(page, address));
    this.sandbox = new HostSandbox(this.window);
    machine.dom0Turn = () => this.turn();
  }

  /** Makes the control plane domain 0 of `machine`. */
  static async on(machine: Machine): Promise<ControlPlane> {
    return new ControlPlane(machine, await bundle);
  }

  private page(page: number, address: number): Uint8Array {
    const space = this.machine.space(SPACE);
    if (!space.has(page) && this.machine.exports.softwareTouch(SPACE, address, 0) === 0) {
      throw new RangeError(`domain 0 has nothing at 0x${address.toString(16)}`);
    }
    const frame = this.machine.ram.frame(space.get(page)!.mfn);
    if (frame.length !== PAGE) throw new Error("a frame is not a page");
    return frame;
  }

  /** The hypercall in the call page is SCHEDOP_shutdown with SHUTDOWN_crash. */
  private isCrash(): boolean {
    const { window } = this;
    const argument = (n: number) => window.load32(DOM0_CALL_PAGE + CallPage.args + n * 8);
    return (
      window.load32(DOM0_CALL_PAGE + CallPage.op) === __HYPERVISOR_sched_op &&
      argument(0) === SCHEDOP_shutdown &&
      window.load32(argument(1)) === SHUTDOWN_crash
    );
  }

  private guarded(work: () => void): void {
    try {
      work();
    } catch (error) {
      this.thrown ??= error;
      throw error;
    }
  }

  private turn(): void {
    if (this.crashed) {
      this.crashed = false;
      this.context = null;
    }
    if (this.context === null) {
      // Promise jobs run before runInContext returns, as the engine's loop runs them before the turn ends.
      this.context = createContext(
        {
          hypercall: () =>
            this.guarded(() => {
              if (this.crashed) return;
              this.hypercalls++;
              this.crashed = this.isCrash();
              this.machine.exports.softwareHypercall(SPACE);
              if (this.crashed) this.ramAtCrash = this.machine.ram.bytes.slice();
            }),
          exchange: () => {
            const address = this.window.load32(DOM0_CALL_PAGE + CallPage.exchangeAddress);
            const old = this.window.load32(address);
            if (old === this.window.load32(DOM0_CALL_PAGE + CallPage.exchangeExpected))
              this.window.store32(address, this.window.load32(DOM0_CALL_PAGE + CallPage.exchangeValue));
            this.window.store32(DOM0_CALL_PAGE + CallPage.exchangeValue, old);
          },
          sandbox: () => this.sandbox.call(),
          encode: (text: string) => hostEncode(this.window, text),
          random: () => {},
          machineWindow: this.window,
          ...this.globals,
        },
        { microtaskMode: "afterEvaluate" },
      );
      new Script(this.prelude).runInContext(this.context);
      this.script.runInContext(this.context);
    }
    this.turns++;
    turn.runInContext(this.context);
    // The simulated engine continues to the end of its turn: its actions after its end are ignored.
    if (this.crashed && this.ramAtCrash !== null) this.machine.ram.bytes.set(this.ramAtCrash);
    this.ramAtCrash = null;
    if (this.thrown !== null) throw this.thrown;
  }
}
