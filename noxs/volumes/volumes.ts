/** Starts everything in this folder. */
import { bounceInit } from "./disks/bounce";
import { cacheInit } from "./store/cache";
import { checksumInit } from "./disks/checksum";
import { disksInit, disksStart } from "./disk-list";
import { filesStart } from "./files/open";
import { memoryDisksInit } from "./memory-disk";
import { modulesInit } from "./modules";
import { operationsInit } from "./operation";
import { piecesInit } from "./piece";
import { pieceRunInit } from "./piece-run";
import { tasksInit } from "./disks/task";
import { transfersInit } from "./volume-io";

/** After the drivers have registered their disks. False when there is no memory. */
export function volumesInit(): bool {
  checksumInit();
  tasksInit();
  memoryDisksInit();
  filesStart();
  return (
    cacheInit() &&
    bounceInit() &&
    piecesInit() &&
    pieceRunInit() &&
    transfersInit() &&
    operationsInit() &&
    modulesInit() &&
    disksInit() &&
    disksStart()
  );
}
