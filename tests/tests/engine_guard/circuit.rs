//! The circuit by itself, whatever happens.

use std::time::Duration;

use proptest::prelude::*;
use rtmanager::guarded::{Admission, Circuit, CircuitOptions, Probe};
use rtmanager::metrics::CircuitState;

const SECOND: Duration = Duration::from_secs(1);

fn circuit(failures: u32) -> Circuit {
    Circuit::new(CircuitOptions { failures, cooldown: SECOND })
}

#[test]
fn the_pause_doubles_up_to_a_cap() {
    let mut circuit = circuit(1);
    let mut now = Duration::ZERO;
    let mut pauses = Vec::new();
    circuit.failed(now, now);
    for _ in 0..8 {
        let Admission::Refused(left) = circuit.admit(now) else { panic!("let through") };
        pauses.push(left.as_secs());
        now += left;
        assert_eq!(circuit.admit(now), Admission::Probe);
        circuit.probed(Probe::Failed, now);
    }
    assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 32, 32]);
}

#[test]
fn an_answered_ping_does_not_make_up_for_calls_that_go_on_failing() {
    let mut circuit = circuit(2);
    let mut now = Duration::ZERO;
    for pause in [1, 2, 4] {
        circuit.failed(now, now);
        circuit.failed(now, now);
        assert_eq!(circuit.admit(now), Admission::Refused(SECOND * pause));
        now += SECOND * pause;
        assert_eq!(circuit.admit(now), Admission::Probe);
        circuit.probed(Probe::Answered, now);
        assert_eq!(circuit.admit(now), Admission::Pass);
    }
    circuit.succeeded(now);
    circuit.failed(now, now);
    circuit.failed(now, now);
    assert_eq!(circuit.admit(now), Admission::Refused(SECOND));
}

#[test]
fn what_was_under_way_when_it_opened_changes_nothing() {
    let mut circuit = circuit(1);
    circuit.failed(Duration::ZERO, SECOND);
    circuit.failed(Duration::ZERO, SECOND + SECOND / 2);
    circuit.succeeded(SECOND + SECOND / 2);
    assert_eq!(circuit.admit(SECOND + SECOND / 2), Admission::Refused(SECOND / 2));
}

#[derive(Debug, Clone)]
enum Step {
    Ask,
    Succeed,
    Fail,
    Probed(Probe),
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let probe = prop_oneof![Just(Probe::Answered), Just(Probe::Failed), Just(Probe::GivenUp)];
    prop_oneof![
        4 => Just(Step::Ask),
        2 => Just(Step::Succeed),
        4 => Just(Step::Fail),
        2 => probe.prop_map(Step::Probed),
        2 => (0..5_000_u64).prop_map(Step::Pass),
    ]
}

proptest! {
    #[test]
    fn open_it_lets_nothing_through_but_one_ping_at_a_time_and_never_for_ever(
        failures in 1..4_u32,
        steps in proptest::collection::vec(step(), 0..300),
    ) {
        let mut circuit = circuit(failures);
        let (mut now, mut in_a_row, mut probing) = (Duration::ZERO, 0, false);
        for step in steps {
            let before = circuit.state();
            match step {
                Step::Pass(ms) => now += Duration::from_millis(ms),
                Step::Ask => match circuit.admit(now) {
                    Admission::Pass => prop_assert_eq!(before, CircuitState::Closed),
                    Admission::Probe => {
                        prop_assert!(before == CircuitState::Open && !probing);
                        probing = true;
                    }
                    Admission::Refused(left) => {
                        prop_assert!(before != CircuitState::Closed);
                        prop_assert_eq!(left.is_zero(), probing);
                        prop_assert!(left <= 32 * SECOND);
                    }
                },
                Step::Succeed => {
                    circuit.succeeded(now);
                    in_a_row = 0;
                }
                Step::Fail => {
                    circuit.failed(now, now);
                    in_a_row = if before == CircuitState::Closed { in_a_row + 1 } else { 0 };
                }
                Step::Probed(probe) if probing => {
                    circuit.probed(probe, now);
                    (probing, in_a_row) = (false, 0);
                }
                Step::Probed(_) => {}
            }
            let opened = before == CircuitState::Closed && circuit.state() == CircuitState::Open;
            prop_assert_eq!(opened, before == CircuitState::Closed && in_a_row >= failures);
            if opened {
                in_a_row = 0;
            }
        }
    }
}
