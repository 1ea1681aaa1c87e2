// The contract of wit/ in TypeScript, as componentize-qjs has it: names in camelCase, none as null, 64-bit numbers as
// numbers (microseconds stay exact until the year 2255), and an error is thrown, as the `payload` of an Error. What all of
// it means stands in wit/, in the files of the same names.

declare module "galaxy:rtmanager/types@0.1.0" {
  /** Microseconds since 1970, UTC. */
  export type Timestamp = number;
  export type Outcome = "success" | "failure";
  export type Label = [name: string, value: string];
  /** The `payload` of what a call throws. */
  export type Failure =
    | { tag: "not-found" | "conflict" | "lease-lost" | "outcome-unknown" }
    | { tag: "denied" | "unavailable" | "internal"; val: string };
  export type Status = { tag: "running" | "stopped" | "removed" } | { tag: "other"; val: string };
  export interface RuntimeRecord {
    gameId: string;
    tenant: string;
    engine: string;
    status: Status;
    containerId: string | null;
    imageRef: string | null;
    labels: Label[];
    createdAt: Timestamp;
    startedAt: Timestamp | null;
    stoppedAt: Timestamp | null;
    removedAt: Timestamp | null;
    lastOpAt: Timestamp;
    version: number;
  }
}

declare module "galaxy:rtmanager/clock@0.1.0" {
  export function now(): number;
}

declare module "galaxy:rtmanager/leases@0.1.0" {
  export interface Lease {
    release(): void;
  }
  export function tryAcquire(): Lease | null;
}

declare module "galaxy:rtmanager/records@0.1.0" {
  import type { Lease } from "galaxy:rtmanager/leases@0.1.0";
  import type { RuntimeRecord, Status } from "galaxy:rtmanager/types@0.1.0";
  export function get(): RuntimeRecord;
  export function updateStatus(
    lease: Lease,
    expectedStatus: Status,
    expectedContainerId: string | null,
    newStatus: Status,
  ): void;
}

declare module "galaxy:rtmanager/docker@0.1.0" {
  import type { Lease } from "galaxy:rtmanager/leases@0.1.0";
  import type { Label, Timestamp } from "galaxy:rtmanager/types@0.1.0";
  export type ContainerState =
    | { tag: "created" | "running" | "paused" | "restarting" | "removing" | "exited" | "dead" }
    | { tag: "other"; val: string };
  export interface Container {
    id: string;
    state: ContainerState;
    exitCode: number | null;
    startedAt: Timestamp | null;
    finishedAt: Timestamp | null;
    image: string;
    labels: Label[];
  }
  export type Removal = "removed" | "already-gone";
  export function inspect(containerId: string): Container;
  export function remove(lease: Lease, containerId: string): Removal;
}

declare module "galaxy:rtmanager/op-log@0.1.0" {
  import type { Outcome } from "galaxy:rtmanager/types@0.1.0";
  export interface Entry {
    outcome: Outcome;
    errorCode: string | null;
    message: string | null;
    containerId: string | null;
    imageRef: string | null;
  }
  export function append(entry: Entry): number;
}

declare module "galaxy:rtmanager/cleanup@0.1.0" {
  import type { Outcome } from "galaxy:rtmanager/types@0.1.0";
  export interface Request {
    gameId: string;
    opSource: string;
    sourceRef: string;
  }
  export interface Verdict {
    outcome: Outcome;
    errorCode: string | null;
    message: string | null;
  }
}

declare module "galaxy:rtmanager/retention@0.1.0" {
  import type { RuntimeRecord, Timestamp } from "galaxy:rtmanager/types@0.1.0";
  export interface Candidate {
    runtime: RuntimeRecord;
    floorPassedAt: Timestamp;
    failedAttempts: number;
  }
  export type Advice = { tag: "due" } | { tag: "wait-until"; val: Timestamp } | { tag: "keep"; val: string };
}

declare module "wasi:config/store@0.2.0-rc.1" {
  export function get(key: string): string | null;
  export function getAll(): [name: string, value: string][];
}

declare module "wasi:logging/logging@0.1.0-draft" {
  export type Level = "trace" | "debug" | "info" | "warn" | "error" | "critical";
  export function log(level: Level, context: string, message: string): void;
}
