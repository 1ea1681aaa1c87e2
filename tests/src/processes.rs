//! What the kernel tells of processes.

use std::time::Duration;

/// Whether every thread of a process is stopped, as by SIGSTOP.
pub fn is_stopped(pid: u32) -> bool {
    let Ok(threads) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return false };
    threads.flatten().all(|thread| {
        let stat = std::fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('T'))
    })
}

/// Waits until a process that was sent SIGSTOP has stopped.
pub fn wait_until_stopped(pid: u32) {
    for _ in 0..500 {
        if is_stopped(pid) {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("process {pid} was not stopped within 5 s");
}
