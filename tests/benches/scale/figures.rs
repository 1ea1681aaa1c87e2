//! What is made of the measured times.

use std::time::Duration;

/// The kernel counts a process's time in these.
const TICK: Duration = Duration::from_millis(10);

/// The value that so large a share of the others is below.
pub(crate) fn at(share: f64, values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_unstable_by(f64::total_cmp);
    values[((values.len() - 1) as f64 * share).round() as usize]
}

pub(crate) fn median(values: &[f64]) -> f64 {
    at(0.5, values)
}

/// What a process, without its children, has used of a processor.
pub(crate) fn cpu_time(process: &str) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    // The fields after the name, which may hold spaces; user and system time are the 14th and 15th of all.
    let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    let ticks = |index: usize| fields[index].parse::<u32>().unwrap();
    TICK * (ticks(11) + ticks(12))
}

/// How a figure stands to its aim, in a word.
pub(crate) fn verdict(is_met: bool) -> &'static str {
    if is_met { "met" } else { "MISSED" }
}
