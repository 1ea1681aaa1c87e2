//! What bounds a run. Each limit has a default that suits policies of a few hundred kilobytes to 20 MB.

use std::fmt;
use std::time::Duration;

use crate::model::LimitOverrides;

/// The limits of one run. Exceeding one ends the run with a code and message of its own, or, where
/// noted, is refused without ending it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Linear memory, summed over all memories of the instance, in bytes.
    pub memory_bytes: u64,
    /// Elements, summed over all tables of the instance.
    pub table_elements: u64,
    /// Time that the guest computes, instantiation included; host calls and waiting excluded.
    pub guest_time: Duration,
    /// Wall-clock time of one import. An effect that takes longer goes on and its outcome is unknown to the run.
    pub import_time: Duration,
    /// Wall-clock time of the run, from instantiation to the policy's answer.
    pub run_time: Duration,
    /// Calls of imports, WASI's included.
    pub calls: u32,
    /// Bytes that the guest may pass to the host in one call.
    pub bytes_per_call: u64,
    /// Bytes of text that the guest may pass to the host in the whole run.
    pub bytes_per_run: u64,
    /// Handles that the guest may hold.
    pub handles: u32,
    /// Lines a policy may log in a run; further ones are dropped and counted.
    pub log_lines: u32,
    /// Wasm stack, in bytes.
    pub stack_bytes: u64,
}

impl Limits {
    /// These limits, but each at most what the host allows. The stack is the host's, since all runs share its size.
    #[must_use]
    pub fn at_most(&self, host: &Self) -> Self {
        Self {
            memory_bytes: self.memory_bytes.min(host.memory_bytes),
            table_elements: self.table_elements.min(host.table_elements),
            guest_time: self.guest_time.min(host.guest_time),
            import_time: self.import_time.min(host.import_time),
            run_time: self.run_time.min(host.run_time),
            calls: self.calls.min(host.calls),
            bytes_per_call: self.bytes_per_call.min(host.bytes_per_call),
            bytes_per_run: self.bytes_per_run.min(host.bytes_per_run),
            handles: self.handles.min(host.handles),
            log_lines: self.log_lines.min(host.log_lines),
            stack_bytes: host.stack_bytes,
        }
    }

    /// These limits with what a generation has instead, which is at most as much.
    #[must_use]
    pub fn narrowed(&self, overrides: &LimitOverrides) -> Self {
        let own = overrides.clone();
        Self {
            memory_bytes: own.memory_bytes.unwrap_or(self.memory_bytes),
            guest_time: own.guest_time.unwrap_or(self.guest_time),
            run_time: own.run_time.unwrap_or(self.run_time),
            calls: own.calls.unwrap_or(self.calls),
            bytes_per_run: own.bytes_per_run.unwrap_or(self.bytes_per_run),
            log_lines: own.log_lines.unwrap_or(self.log_lines),
            ..self.clone()
        }
        .at_most(self)
    }

    /// What of these limits is less than the host's, among those that a generation can have.
    pub fn below(&self, host: &Self) -> LimitOverrides {
        fn less<T: PartialOrd>(own: T, host: T) -> Option<T> {
            (own < host).then_some(own)
        }
        LimitOverrides {
            memory_bytes: less(self.memory_bytes, host.memory_bytes),
            guest_time: less(self.guest_time, host.guest_time),
            run_time: less(self.run_time, host.run_time),
            calls: less(self.calls, host.calls),
            bytes_per_run: less(self.bytes_per_run, host.bytes_per_run),
            log_lines: less(self.log_lines, host.log_lines),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_bytes: 64 << 20,
            table_elements: 100_000,
            guest_time: Duration::from_secs(1),
            import_time: Duration::from_secs(30),
            run_time: Duration::from_secs(120),
            calls: 1_000,
            bytes_per_call: 1 << 20,
            bytes_per_run: 4 << 20,
            handles: 256,
            log_lines: 50,
            stack_bytes: 512 << 10,
        }
    }
}

/// A limit of a binding that is above the host's own.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("limits.{limit} is {wanted}, and at most {allowed} on this host")]
pub struct TooMuch {
    /// Its name.
    pub limit: &'static str,
    /// What was asked for.
    pub wanted: String,
    /// The host's own.
    pub allowed: String,
}

impl LimitOverrides {
    /// The host's limits with these in their place, or every one that is above the host's.
    pub fn apply(&self, host: &Limits) -> Result<Limits, Vec<TooMuch>> {
        let mut beyond = Vec::new();
        let limits = Limits {
            memory_bytes: narrowed("memory_bytes", self.memory_bytes, host.memory_bytes, &mut beyond),
            guest_time: narrowed_time("guest_time", self.guest_time, host.guest_time, &mut beyond),
            run_time: narrowed_time("run_time", self.run_time, host.run_time, &mut beyond),
            calls: narrowed("calls", self.calls, host.calls, &mut beyond),
            bytes_per_run: narrowed("bytes_per_run", self.bytes_per_run, host.bytes_per_run, &mut beyond),
            log_lines: narrowed("log_lines", self.log_lines, host.log_lines, &mut beyond),
            ..host.clone()
        };
        if beyond.is_empty() { Ok(limits) } else { Err(beyond) }
    }
}

fn narrowed<T: PartialOrd + Copy + fmt::Display>(
    limit: &'static str,
    wanted: Option<T>,
    allowed: T,
    beyond: &mut Vec<TooMuch>,
) -> T {
    let Some(wanted) = wanted else { return allowed };
    if wanted > allowed {
        beyond.push(TooMuch { limit, wanted: wanted.to_string(), allowed: allowed.to_string() });
    }
    wanted
}

fn narrowed_time(
    limit: &'static str,
    wanted: Option<Duration>,
    allowed: Duration,
    beyond: &mut Vec<TooMuch>,
) -> Duration {
    let Some(wanted) = wanted else { return allowed };
    if wanted > allowed {
        let [wanted, allowed] = [wanted, allowed].map(|span| format!("{} ms", span.as_millis()));
        beyond.push(TooMuch { limit, wanted, allowed });
    }
    wanted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_binding_draws_limits_tighter_and_leaves_the_others() {
        let wanted = LimitOverrides { calls: Some(10), run_time: Some(Duration::from_secs(3)), ..Default::default() };
        let expected = Limits { calls: 10, run_time: Duration::from_secs(3), ..Limits::default() };
        assert_eq!(wanted.apply(&Limits::default()), Ok(expected));
    }

    #[test]
    fn what_was_drawn_tighter_is_told_and_what_was_not_is_not() {
        let (host, wanted) = (Limits::default(), LimitOverrides { calls: Some(10), ..Default::default() });
        assert_eq!(host.narrowed(&wanted).below(&host), wanted);
        let beyond = LimitOverrides { calls: Some(u32::MAX), ..Default::default() };
        assert_eq!(host.narrowed(&beyond).below(&host), LimitOverrides::default());
    }

    #[test]
    fn every_limit_above_the_hosts_is_named_with_what_is_allowed() {
        let wanted = LimitOverrides {
            memory_bytes: Some(64 << 20),
            calls: Some(1_001),
            guest_time: Some(Duration::from_millis(1_500)),
            ..Default::default()
        };
        let told = wanted.apply(&Limits::default()).map_err(|beyond| beyond.iter().map(TooMuch::to_string).collect());
        let expected: Vec<String> = vec![
            "limits.guest_time is 1500 ms, and at most 1000 ms on this host".to_owned(),
            "limits.calls is 1001, and at most 1000 on this host".to_owned(),
        ];
        assert_eq!(told, Err(expected));
    }
}
