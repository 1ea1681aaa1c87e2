//! What a scenario plans happens: every fault at every call where it can, every deed, hosts that die, limits, grants, time.

use rtmanager::scenario::{DeedKind, What};
use rtmanager::session::Crossing;

use rtmanager_tests::fixtures::TRAPPING_START;

use super::{OF_HOSTILE, SIMULATOR, cleanup, passes, play, tester};

/// What the policy is told when a call goes wrong in this way; none where it never hears of it.
fn answer(call: &str, what: What) -> Option<&'static str> {
    Some(match what {
        What::Unavailable => "unavailable",
        What::Internal => "internal",
        What::Conflict => "conflict",
        What::Held => "none",
        What::OutcomeUnknown | What::LostReply if call == "lease.release" => "unavailable",
        What::OutcomeUnknown | What::LostReply => "outcome-unknown",
        // Hosts ask again what became of a change.
        What::Hang if call == "records.update-status" => "unavailable",
        What::HangDone if call == "records.update-status" => "ok",
        What::Hang | What::HangDone if matches!(call, "records.get" | "docker.inspect" | "lease.release") => {
            "unavailable"
        }
        What::Hang | What::HangDone => "outcome-unknown",
        What::LeaseLost => "lease-lost",
        _ => return None,
    })
}

/// A policy that asks for everything once: `docker.inspect` is what the default policy asks in a review only.
fn step_with(call: Crossing, what: What, by: &str) -> String {
    let fault = format!("faults = [{{ call = \"{call}\", what = \"{}\"{by} }}]\n", what.as_str());
    if call == Crossing::Inspect {
        let text = cleanup(&fault).replace("cleanup = ", "review = ");
        return text.replace("name = \"x\"", "name = \"x\"\nsettings = { keep_failed_days = 60 }");
    }
    cleanup(&fault)
}

#[test]
fn every_fault_happens_at_every_call_where_it_can_and_the_policy_is_told_what_a_host_would_tell() {
    let mut happened = 0;
    for call in Crossing::ALL {
        for what in What::ALL {
            let by = match what {
                What::ClockJump => ", by = \"-2h\"",
                What::Pause => ", by = \"3s\"",
                _ => "",
            };
            let text = step_with(*call, *what, by);
            if rtmanager::scenario::read(&text).is_err() {
                continue;
            }
            let report = passes(&text);
            let step = &report.steps[0];
            assert!(step.missed_faults.is_empty(), "{text}: {step:#?}");
            let made = step.calls.iter().find(|made| made.call == call.as_str()).unwrap();
            assert!(made.notes.iter().any(|note| note.contains(what.as_str())), "{made:?}");
            if let Some(expected) = answer(call.as_str(), *what) {
                let told = made.answer.as_deref().unwrap_or("nothing");
                assert!(told.starts_with(expected), "{call} with {}: {told}", what.as_str());
            }
            happened += 1;
        }
    }
    assert_eq!(happened, 65);
}

#[test]
fn every_fault_of_a_backend_happens() {
    for what in [
        "unavailable",
        "corrupt",
        "lose-request",
        "lose-reply",
        "hang",
        "hang-after-effect",
        "refuse",
        "crash-before",
        "crash-after",
    ] {
        for backend in [
            "leases.try_acquire",
            "records.begin_run",
            "records.get_for_effect",
            "records.compare_and_set",
            "engine.inspect",
            "engine.remove",
            "log.append",
            "leases.release",
        ] {
            let text = cleanup(&format!("faults = [{{ backend = \"{backend}\", what = \"{what}\" }}]\n"));
            let report = passes(&text);
            assert!(report.steps[0].missed_faults.is_empty(), "{text}: {:#?}", report.steps);
        }
    }
}

#[test]
fn a_fault_that_does_not_happen_is_told() {
    let report = passes(&cleanup("faults = [{ call = \"records.get\", nth = 2, what = \"hang\" }]\n"));
    assert_eq!(report.steps[0].missed_faults, ["hang at records.get no. 2"]);
}

#[test]
fn every_deed_has_its_effect_as_a_step_and_meanwhile() {
    for deed in DeedKind::ALL {
        let more = match deed {
            DeedKind::StatusChanged => "status = \"zombie\"",
            DeedKind::TenantChanged => "tenant = \"tenant-b\"",
            _ => "",
        };
        let first = match deed {
            DeedKind::Stopped => "status = \"running\"\n",
            DeedKind::ContainerStops => "container = { state = \"running\" }\n",
            DeedKind::Released => "hold = \"x\"\n",
            _ => "",
        };
        let deed = deed.as_str();
        let head = format!("[[scenario]]\nname = \"x\"\n[[scenario.runtime]]\ngame = \"g\"\n{first}");
        let step = format!("{head}[[scenario.step]]\ndeed = \"{deed}\"\ngame = \"g\"\n{more}\n");
        let report = passes(&step);
        assert!(report.steps[0].notes.is_empty(), "{deed}: {:?}", report.steps[0]);
        let comma = if more.is_empty() { "" } else { ", " };
        let text = format!(
            "{head}[[scenario.step]]\ncleanup = \"g\"\nmeanwhile = [{{ before = \"records.get\", deed = \"{deed}\"{comma}{more} }}]\n"
        );
        let notes = passes(&text).steps[0].calls.iter().flat_map(|made| made.notes.clone()).collect::<Vec<_>>();
        assert_eq!(notes, [format!("meanwhile: {deed} g")]);
    }
}

#[test]
fn deeds_change_the_world_as_they_say() {
    for (deed, record, container, lease) in [
        ("container-starts", "stopped", "running", "free"),
        ("container-vanishes", "stopped", "gone", "free"),
        ("container-removing", "stopped", "removing", "free"),
        ("record-deleted", "none", "exited", "free"),
        ("record-removed", "removed", "exited", "free"),
        ("restarted", "running", "running", "free"),
        ("renewed", "running", "exited", "free"),
        ("lease-taken", "stopped", "exited", "held"),
    ] {
        passes(&format!(
            "[[scenario]]\nname = \"x\"\n[[scenario.runtime]]\ngame = \"g\"\n[[scenario.step]]\ndeed = \"{deed}\"\ngame = \"g\"\n\
             expect = {{ record = \"{record}\", container = \"{container}\", lease = \"{lease}\" }}\n"
        ));
    }
}

#[test]
fn a_revoked_policy_has_no_effect_any_more() {
    let text = cleanup(
        "meanwhile = [{ before = \"docker.remove\", deed = \"policy-revoked\" }]\n\
         expect = { outcome = \"failure\", denied = [\"policy-revoked\"], container = \"exited\", keeps_rules = true }\n",
    );
    passes(&text);
}

#[test]
fn a_host_that_died_leaves_its_run_to_another() {
    let text = "
        [[scenario]]
        name = \"x\"
        [[scenario.runtime]]
        game = \"g\"
        [[scenario.step]]
        cleanup = \"g\"
        faults = [{ call = \"records.update-status\", what = \"crash-after\" }]
        expect = { outcome = \"crashed\", record = \"removed\", container = \"gone\", lease = \"held\", entry = \"none\" }
        [[scenario.step]]
        advance = \"5m\"
        [[scenario.step]]
        recover = true
        expect = { entry = { outcome = \"success\", author = \"recovery\" } }
        [[scenario.end]]
        game = \"g\"
        lease = \"free\"
        entries = 1
    ";
    passes(text);
}

#[test]
fn limits_and_grants_are_those_of_the_scenario() {
    passes(
        &cleanup("expect = { outcome = \"failure\", error_code = \"policy_calls_exceeded\", keeps_rules = false }\n")
            .replacen("name = \"x\"", "name = \"x\"\nlimits = { calls = 2 }", 1),
    );
    let granted = "grants = [\"clock\", \"leases\", \"records.get\", \"op-log\", \"settings:*\"]";
    let step =
        "expect = { outcome = \"failure\", denied = [\"not-granted\"], container = \"exited\", keeps_rules = true }\n";
    passes(&cleanup(step).replacen("name = \"x\"", &format!("name = \"x\"\n{granted}"), 1));
}

#[test]
fn time_passes_by_steps_only() {
    let text = "
        [[scenario]]
        name = \"x\"
        now = 2030-06-01T00:00:00Z
        retention = \"10d\"
        settings = { extra_retention_days = 5 }
        [[scenario.runtime]]
        game = \"g\"
        stopped_at = 2030-05-20T00:00:00Z
        [[scenario.step]]
        review = \"g\"
        expect = { advice = \"wait\", wait_until = 2030-06-04T00:00:00Z }
        [[scenario.step]]
        advance = \"2d23h59m59s\"
        [[scenario.step]]
        review = \"g\"
        expect = { advice = \"wait\", waits = \"1s\" }
        [[scenario.step]]
        advance = \"1s\"
        [[scenario.step]]
        review = \"g\"
        expect = { advice = \"due\" }
    ";
    passes(text);
}

#[test]
fn a_trap_tells_the_functions_that_were_under_way() {
    let scenarios = rtmanager::scenario::read(&cleanup("")).unwrap();
    let named = SIMULATOR.load(TRAPPING_START).unwrap();
    let report = tester(&named, &[]).test("here", &scenarios[0]).unwrap();
    assert!(report.steps[0].backtrace[0].starts_with("s ("), "{:#?}", report.steps[0].backtrace);

    // One whose names were stripped: the places are left.
    let report = tester(&OF_HOSTILE, &[("mode", "trap-under-lease")]).test("here", &scenarios[0]).unwrap();
    let step = &report.steps[0];
    assert!(step.ended.starts_with("failure policy_trap"), "{step:#?}");
    assert!(step.backtrace.iter().all(|function| function.contains("+0x")), "{:#?}", step.backtrace);
    assert!(!step.backtrace.is_empty());
    assert!(step.fuel.is_some_and(|fuel| fuel > 0) && step.memory_bytes >= 65_536, "{step:#?}");
}

#[test]
fn a_policys_lines_are_kept() {
    let scenarios = rtmanager::scenario::read(&cleanup("")).unwrap();
    let report = tester(&OF_HOSTILE, &[("mode", "log-flood")]).test("here", &scenarios[0]).unwrap();
    assert_eq!(report.steps[0].logs.len(), 50, "as many as the limit allows");
    assert!(!play(&cleanup("")).is_empty());
}
