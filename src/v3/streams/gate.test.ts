import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { gateStep } from "./gate.ts";
import type { GatePhase } from "./stream.ts";

describe("D18: when a room may be sent", () => {
  it("every transition is as drawn", () => {
    const phases: (GatePhase | undefined)[] = [undefined, "live", "forbidden"];
    const table = phases.flatMap((phase) =>
      [true, false].flatMap((joinedNow) =>
        [true, false].map((interrupted) => {
          const { step, phase: after } = gateStep(phase, { joinedNow, interrupted });
          return `${phase ?? "none"} ${joinedNow ? "joined" : "out"}${interrupted ? " interrupted" : ""}: ${step} -> ${after}`;
        }),
      ),
    );
    expect(table).toEqual([
      "none joined interrupted: start -> live",
      "none joined: start -> live",
      "none out interrupted: forbid -> forbidden",
      "none out: forbid -> forbidden",
      "live joined interrupted: start -> live",
      "live joined: delta -> live",
      "live out interrupted: lost -> forbidden",
      "live out: lost -> forbidden",
      "forbidden joined interrupted: start -> live",
      "forbidden joined: start -> live",
      "forbidden out interrupted: silent -> forbidden",
      "forbidden out: silent -> forbidden",
    ]);
  });

  it("whatever happens, nothing is sent while not joined but one refusal or one last update", () => {
    fc.assert(
      fc.property(fc.array(fc.record({ joinedNow: fc.boolean(), interrupted: fc.boolean() }), { maxLength: 30 }), (standings) => {
        let phase: GatePhase | undefined;
        let toldOut = false;
        for (const standing of standings) {
          const result = gateStep(phase, standing);
          if (standing.joinedNow) {
            expect(["start", "delta"]).toContain(result.step);
            if (phase !== "live") expect(result.step).toBe("start");
            toldOut = false;
          } else {
            if (toldOut) expect(result.step).toBe("silent");
            toldOut = true;
          }
          ({ phase } = result);
        }
      }),
    );
  });
});
