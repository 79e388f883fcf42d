/**
 * Tasks: work on a store that has to wait for disks. A task's function is called again after each wait and does what it did before,
 * up to where it then gets further: everything it needs is looked up anew, so that nothing it saw before the wait can be stale.
 *
 * No task runs inside another, nor inside a callback of a disk: what becomes able to go on is run by the module's turn.
 */
import { pollEnter, pollInit, Pollable } from "../../../drivers/poll";

/** Result of a step that has to wait; the task is on some list and is run again. */
export const WAIT: i32 = 1;

export type TaskFn = (task: usize) => void;

/** Metadata blocks that a task may hold on to at once (cache.ts). */
export const TASK_PINS: u32 = 8;

/** Base class of everything that waits. */
@unmanaged
export class Task {
  link: usize; // of the list it is on
  fn: usize; // TaskFn
  waiting: u32; // 1: on a list
  /** Why what it waited for cannot be had: told at its next attempt. */
  error: i32;
  admitted: u32; // 1: it may use the cache
  pins: u32;
  pin0: usize; // CacheBlocks
  pin1: usize;
  pin2: usize;
  pin3: usize;
  pin4: usize;
  pin5: usize;
  pin6: usize;
  pin7: usize;
}

/** Tasks in the order in which they came. */
@unmanaged
export class TaskList {
  head: usize;
  tail: usize;
}

const ready = changetype<TaskList>(memory.data(8, 8));
const poll = changetype<Pollable>(memory.data(16, 8));

/** Before anything else of this file. */
export function tasksInit(): void {
  pollInit(poll, tasksRun);
}

/** Prepares a task; it is not run. */
export function taskInit(t: Task, fn: TaskFn): void {
  t.link = 0;
  t.fn = changetype<usize>(fn);
  t.waiting = 0;
  t.error = 0;
  t.admitted = 0;
  t.pins = 0;
}

/** Puts a task at the end of a list. It is on no other. */
export function taskWait(list: TaskList, t: Task): void {
  assert(!t.waiting, "a task waits for two things");
  t.waiting = 1;
  t.link = 0;
  if (list.tail) changetype<Task>(list.tail).link = changetype<usize>(t);
  else list.head = changetype<usize>(t);
  list.tail = changetype<usize>(t);
}

/** Takes the first task off a list; 0 when it is empty. */
export function taskTake(list: TaskList): usize {
  const first = list.head;
  if (!first) return 0;
  const t = changetype<Task>(first);
  list.head = t.link;
  if (!list.head) list.tail = 0;
  t.link = 0;
  t.waiting = 0;
  return first;
}

/** Has a task run in this turn or the next. */
export function taskReady(t: Task): void {
  taskWait(ready, t);
  pollEnter(poll);
}

/** Makes the first task of a list ready; false when it was empty. */
export function taskWakeOne(list: TaskList): bool {
  const first = taskTake(list);
  if (first) taskReady(changetype<Task>(first));
  return first != 0;
}

/** Makes every task of a list ready, and tells each of `error` (0: of none). */
export function taskWakeAll(list: TaskList, error: i32): void {
  for (let at = taskTake(list); at; at = taskTake(list)) {
    if (error) changetype<Task>(at).error = error;
    taskReady(changetype<Task>(at));
  }
}

/** The error that a wait ended with, once; 0 for none. */
export function taskError(t: Task): i32 {
  const error = t.error;
  t.error = 0;
  return error;
}

/** Runs tasks: those that are ready, and those that become so, up to a number. */
function tasksRun(_record: usize, budget: u32): bool {
  for (let i: u32 = 0; i < budget; i++) {
    const at = taskTake(ready);
    if (!at) return false;
    changetype<TaskFn>(changetype<Task>(at).fn)(at);
  }
  return ready.head != 0;
}
